"""Documents in the place of vectors: the same on EdgeClient and on QdrantClient(":memory:")."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import qdrant_edge as edge
from qdrant_client import QdrantClient, models
from qdrant_client.http.models import QueryResponse

from qdrant_static import EdgeClient, install, load_encoder, uninstall
from qdrant_static.errors import ArgumentError, EncoderNotFoundError, EncoderUnavailableError
from qdrant_static.vectors import truncate
from tests.fakes import DIMENSION

TEXTS = [
    "the cat", "fish in the sea", "the moon and the tide", "bread of yeast", "lava and ash",
    "a book of the sea", "the whale in the river", "red fish blue fish", "a fast ship", "one row",
]  # fmt: skip
QUERY = "whale and ship"


@pytest.fixture
def model(model_folder: Path) -> Iterator[str]:
    install(names=[model_folder])
    yield str(model_folder)
    uninstall()


@pytest.fixture(params=["edge", "memory"])
def either(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    opened = EdgeClient(tmp_path / "db") if request.param == "edge" else QdrantClient(":memory:")
    opened.create_collection(
        "c",
        vectors_config={
            "full": models.VectorParams(size=DIMENSION, distance=models.Distance.COSINE),
            "mrl_8": models.VectorParams(size=8, distance=models.Distance.COSINE),
        },
        sparse_vectors_config={"bm25": models.SparseVectorParams()},
    )
    yield opened
    opened.close()


def _doc(text: str, model: str, **options: Any) -> models.Document:
    return models.Document(text=text, model=model, options=options or None)


def _named(text: str, model: str) -> dict[str, Any]:
    return {"full": _doc(text, model), "mrl_8": _doc(text, model, dimensions=8)}


def _points(model: str) -> list[models.PointStruct]:
    return [
        models.PointStruct(id=number, vector=_named(text, model), payload={"group": number % 3})
        for number, text in enumerate(TEXTS)
    ]


def _stored(client: Any) -> dict[str, np.ndarray]:
    records = client.retrieve("c", list(range(len(TEXTS))), with_vectors=True)
    return {
        name: np.array([record.vector[name] for record in records]) for name in ("full", "mrl_8")
    }


def _expected(model: str) -> dict[str, np.ndarray]:
    full = load_encoder(model).encode(TEXTS)
    return {"full": full, "mrl_8": truncate(full, 8)}


def _require_stored(client: Any, model: str) -> None:
    stored = _stored(client)
    for name, rows in _expected(model).items():
        assert np.allclose(stored[name], rows, atol=1e-6), name


def _best(model: str, size: int | None = None, limit: int = 5) -> list[int]:
    encoder = load_encoder(model)
    rows, query = encoder.encode(TEXTS), encoder.encode([QUERY])
    if size is not None:
        rows, query = truncate(rows, size), truncate(query, size)
    return [int(n) for n in np.argsort(-(rows @ query[0]), kind="stable")[:limit]]


def _ids(found: QueryResponse) -> list[Any]:
    return [hit.id for hit in found.points]


def test_upsert(either, model):
    points = _points(model)
    either.upsert("c", points)
    _require_stored(either, model)
    assert points == _points(model)  # the caller's objects are as they were


def test_upsert_of_a_batch(either, model):
    columns = {
        "full": [_doc(text, model) for text in TEXTS],
        "mrl_8": [_doc(text, model, dimensions=8) for text in TEXTS],
    }
    either.upsert("c", models.Batch(ids=list(range(len(TEXTS))), vectors=columns))
    _require_stored(either, model)


def test_upload_points(either, model):
    either.upload_points("c", iter(_points(model)), batch_size=4, wait=True)
    _require_stored(either, model)


def test_upload_collection(either, model):
    either.upload_collection(
        "c", [_named(text, model) for text in TEXTS], ids=range(len(TEXTS)), wait=True
    )
    _require_stored(either, model)


def test_update_vectors_and_operations(either, model):
    zeros = {"full": [1.0] * DIMENSION, "mrl_8": [1.0] * 8}
    either.upsert("c", [models.PointStruct(id=n, vector=zeros) for n in range(len(TEXTS))])
    new = [models.PointVectors(id=n, vector=_named(text, model)) for n, text in enumerate(TEXTS)]
    either.update_vectors("c", new[:4])
    either.batch_update_points(
        "c",
        [
            models.UpdateVectorsOperation(update_vectors=models.UpdateVectors(points=new[4:6])),
            models.UpsertOperation(upsert=models.PointsList(points=_points(model)[6:])),
        ],
    )
    _require_stored(either, model)


def test_vectors_and_texts_may_be_mixed(either, model):
    vector = load_encoder(model).encode([TEXTS[0]])[0].tolist()
    mixed = {"full": vector, "mrl_8": _doc(TEXTS[0], model, dimensions=8)}
    points = _points(model)
    points[0] = models.PointStruct(id=0, vector=mixed)
    points[1] = models.PointStruct(id=1, vector=_expected_lists(model, 1))
    either.upsert("c", points)
    _require_stored(either, model)


def _expected_lists(model: str, number: int) -> dict[str, list[float]]:
    return {name: rows[number].tolist() for name, rows in _expected(model).items()}


def test_queries(either, model):
    either.upsert("c", _points(model))
    full, short = _doc(QUERY, model), _doc(QUERY, model, dimensions=8)
    assert _ids(either.query_points("c", query=full, using="full", limit=5)) == _best(model)
    nearest = models.NearestQuery(nearest=short)
    assert _ids(either.query_points("c", query=nearest, using="mrl_8", limit=5)) == _best(model, 8)
    asked = models.InferenceObject(object=QUERY, model=model)
    assert _ids(either.query_points("c", query=asked, using="full", limit=5)) == _best(model)


def test_queries_of_several_stages(either, model):
    either.upsert("c", _points(model))
    full, short = _doc(QUERY, model), _doc(QUERY, model, dimensions=8)
    stage = models.Prefetch(query=short, using="mrl_8", limit=6)
    found = _ids(either.query_points("c", query=full, using="full", prefetch=stage, limit=6))
    assert sorted(found) == sorted(_best(model, 8, 6))
    assert found == [n for n in _best(model, limit=10) if n in found]
    nested = models.Prefetch(prefetch=[stage], query=full, using="full", limit=4)
    again = either.query_points(
        "c", query=models.FusionQuery(fusion=models.Fusion.RRF), prefetch=[nested], limit=4
    )
    assert _ids(again) == found[:4]


def test_queries_by_example(either, model):
    either.upsert("c", _points(model))
    recommend = models.RecommendQuery(
        recommend=models.RecommendInput(positive=[6, _doc(QUERY, model)], negative=[3])
    )
    by_vector = models.RecommendQuery(
        recommend=models.RecommendInput(
            positive=[6, load_encoder(model).encode([QUERY])[0].tolist()], negative=[3]
        )
    )
    asked = either.query_points("c", query=recommend, using="full", limit=4)
    assert _ids(asked) == _ids(either.query_points("c", query=by_vector, using="full", limit=4))


def test_batches_and_groups_of_queries(either, model):
    either.upsert("c", _points(model))
    full, short = _doc(QUERY, model), _doc(QUERY, model, dimensions=8)
    lists = either.query_batch_points(
        "c",
        [
            models.QueryRequest(query=full, using="full", limit=5),
            models.QueryRequest(query=short, using="mrl_8", limit=5),
            models.QueryRequest(
                query=models.FusionQuery(fusion=models.Fusion.RRF),
                prefetch=[models.Prefetch(query=full, using="full", limit=3)],
                limit=3,
            ),
        ],
    )
    assert [_ids(one) for one in lists] == [_best(model), _best(model, 8), _best(model, limit=3)]
    groups = either.query_points_groups(
        "c", group_by="group", query=full, using="full", limit=3, group_size=1
    ).groups
    order = _best(model, limit=10)
    assert [group.hits[0].id for group in groups] == [
        next(n for n in order if n % 3 == group.id) for group in groups
    ]


@pytest.mark.parametrize("options", [{"dimensions": DIMENSION + 1}, {"dimension": 8}])
def test_wrong_options_are_an_error_of_ours(either, model, options):
    with pytest.raises(ArgumentError, match="of the model"):
        either.query_points("c", query=_doc(QUERY, model, **options), using="full")
    with pytest.raises(ArgumentError, match="of the model"):
        either.upsert("c", [models.PointStruct(id=1, vector={"full": _doc("a", model, **options)})])
    assert either.count("c").count == 0


def test_an_unknown_model_is_an_error(either, model):
    with pytest.raises((ValueError, EncoderNotFoundError), match="nobody"):
        either.query_points("c", query=_doc(QUERY, "nobody"), using="full")


def test_after_uninstall_a_new_client_does_not_know_the_model(model, tmp_path):
    uninstall()
    with EdgeClient(tmp_path / "db") as client:
        client.create_collection(
            "c", models.VectorParams(size=DIMENSION, distance=models.Distance.COSINE)
        )
        with pytest.raises(EncoderNotFoundError, match=r"qdrant_static\.install\(\)"):
            client.upsert("c", [models.PointStruct(id=1, vector=_doc("a", model))])
        with pytest.raises(EncoderNotFoundError):
            client.get_embedding_size(model)


def test_the_lists_of_models_are_the_clients(model, tmp_path):
    edge_client, memory = EdgeClient(tmp_path / "db"), QdrantClient(":memory:")
    for method in (
        "list_text_models", "list_image_models", "list_sparse_models",
        "list_late_interaction_text_models", "list_late_interaction_multimodal_models",
    ):  # fmt: skip
        assert getattr(edge_client, method)() == getattr(memory, method)()
    for client in (edge_client, memory):
        assert client.list_text_models()[model][0] == client.get_embedding_size(model) == DIMENSION
        assert client.get_embedding_size("wordllama") == 256


# --- EdgeClient's own ---------------------------------------------------------------------------


@pytest.fixture
def opened(client: EdgeClient) -> EdgeClient:
    client.create_collection(
        "c",
        {"full": models.VectorParams(size=DIMENSION, distance=models.Distance.COSINE)},
        sparse_vectors_config={"bm25": models.SparseVectorParams(modifier=models.Modifier.IDF)},
    )
    return client


def test_texts_of_one_request_are_encoded_together(opened, model, monkeypatch):
    from qdrant_static.encoders.static import StaticEncoder

    sizes: list[int] = []
    encode = StaticEncoder.encode

    def counted(self, texts, **options):
        sizes.append(len(texts))
        return encode(self, texts, **options)

    monkeypatch.setattr(StaticEncoder, "encode", counted)
    points = [models.PointStruct(id=n, vector={"full": _doc("a cat", model)}) for n in range(500)]
    opened.upsert("c", points)
    assert sizes == [500]


def test_threads_share_a_client(opened, model):
    errors: list[BaseException] = []

    def store(start: int) -> None:
        try:
            for n in range(start, start + 20):
                opened.upsert(
                    "c", [models.PointStruct(id=n, vector={"full": _doc(f"cat {n}", model)})]
                )
        except BaseException as error:  # shown below
            errors.append(error)

    threads = [threading.Thread(target=store, args=(20 * n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert opened.count("c").count == 80


BM25_TEXTS = [
    "The quick brown foxes, running; the fox ran", "Les maisons de l'été à Paris", "the of and",
    "", "UPPER lower MiXeD naïve café", "one-two_three 3.14 a@b.c", "Die Häuser der Städte",
]  # fmt: skip
BM25_OPTIONS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {}),
    ({"avg_len": 3.5, "k": 1.5, "b": 0.3}, {"avg_len": 3.5, "k": 1.5, "b": 0.3}),
    ({"language": "german"}, {"language": "german"}),
    ({"language": "none"},
     {"stopwords": edge.StopwordsSet(custom=set()), "stemmer": edge.DisabledStemmer()}),
    ({"tokenizer": "whitespace", "lowercase": False},
     {"tokenizer": edge.TokenizerType.Whitespace, "lowercase": False}),
    ({"ascii_folding": True, "min_token_len": 3, "max_token_len": 6},
     {"ascii_folding": True, "min_token_len": 3, "max_token_len": 6}),
    ({"stemmer": {"type": "none"}}, {"stemmer": edge.DisabledStemmer()}),
    ({"stemmer": {"type": "snowball", "language": "french"}},
     {"stemmer": edge.SnowballParams(edge.SnowballLanguage.French)}),
    ({"stopwords": {"languages": ["french"], "custom": ["fox"]}},
     {"stopwords": edge.StopwordsSet(languages={edge.Language.French}, custom={"fox"})}),
    ({"stopwords": "german", "language": "german"},
     {"stopwords": edge.Language.German, "language": "german"}),
]  # fmt: skip


@pytest.mark.parametrize(("options", "engines"), BM25_OPTIONS, ids=str)
def test_bm25_is_the_engines(opened, options, engines):
    engine = edge.Bm25(edge.Bm25Config(**engines))
    opened.upsert(
        "c",
        [
            models.PointStruct(id=n, vector={"bm25": _doc(text, "Qdrant/BM25", **options)})
            for n, text in enumerate(BM25_TEXTS)
        ],
    )
    for record in opened.retrieve("c", list(range(len(BM25_TEXTS))), with_vectors=True):
        expected = engine.embed_document(BM25_TEXTS[record.id])
        stored = record.vector.get("bm25") or models.SparseVector(indices=[], values=[])
        assert dict(zip(stored.indices, stored.values, strict=True)) == pytest.approx(
            dict(zip(expected.indices, expected.values, strict=True))
        )
    for text in ("foxes running running", "maisons", "Häuser"):
        query = engine.embed_query(text)
        by_vector = models.SparseVector(indices=query.indices, values=query.values)
        by_text = _doc(text, "qdrant/bm25", **options)
        found = [
            [
                (hit.id, hit.score)
                for hit in opened.query_points("c", query=one, using="bm25").points
            ]
            for one in (by_text, by_vector)
        ]
        assert found[0] == found[1]


def test_bm25_options_may_be_the_clients_model(opened):
    config = models.Bm25Config(avg_len=3, language="english")
    document = models.Document(text="foxes", model="qdrant/bm25", options=config)
    opened.upsert("c", [models.PointStruct(id=1, vector={"bm25": document})])
    (hit,) = opened.query_points("c", query=document, using="bm25").points
    assert hit.id == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"avg_length": 3},
            r"^avg_length of the model 'qdrant/bm25'.* valid options: k, b, avg_len",
        ),
        ({"avg_len": 0}, "^avg_len"),
        ({"avg_len": "long"}, "^avg_len"),
        ({"language": "klingon"}, "^language"),
        ({"language": "klingon", "stemmer": {"type": "none"}}, "qdrant/bm25"),
        ({"tokenizer": "letters"}, "^tokenizer"),
    ],
)
def test_wrong_options_of_bm25_name_the_option(opened, options, message):
    with pytest.raises(ArgumentError, match=message):
        opened.query_points("c", query=_doc("a", "qdrant/bm25", **options), using="bm25")


def test_a_model_that_cannot_be_loaded_is_an_error_of_ours(opened, model, tmp_path):
    unknown = _doc("a", "minishlab/potion-base-8M", specific_model_path=str(tmp_path))
    with pytest.raises(EncoderNotFoundError, match="no static model"):
        opened.query_points("c", query=unknown, using="full")
    uninstall()
    if "minishlab/potion-base-8M" in opened.list_text_models():  # fastembed's own, from 0.9
        with pytest.raises(EncoderUnavailableError, match="potion-base-8M"):
            opened.query_points("c", query=unknown, using="full")
