"""A plan gives the same hits on EdgeClient and on a server: two judged sets, every plan."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import compress
from urllib.parse import urlsplit
from uuid import uuid4

import numpy as np
import pytest
from qdrant_client import QdrantClient, models

from qdrant_static import CollectionSpec, EdgeClient, RunOptions, SearchPlan, ingest, load_encoder
from qdrant_static.collection.bm25 import bm25_encoder
from qdrant_static.collection.create import read_spec
from qdrant_static.collection.spec import LateSpec, SparseSpec
from qdrant_static.encoders.base import EncoderInfo
from qdrant_static.querying.run import Searcher
from qdrant_static.vectors import truncate
from tests.fakes import write_jsonl

pytestmark = pytest.mark.server

DOCUMENTS, QUERIES, LATE_SIZE = 500, 15, 16
PLANS = {
    "exact": "exact",
    "exact prefix": {"kind": "exact", "vector": "mrl_64"},
    "dense": {"kind": "dense", "oversampling": 8},
    "two stages": {"kind": "dense", "oversampling": 20},
    "cascade": "cascade",
    "three stages": {
        "kind": "cascade",
        "stages": [
            {"vector": "mrl_64", "limit": 300, "ef": 300},
            {"vector": "mrl_128", "limit": 100, "exact": True},
            {"vector": "full"},
        ],
    },
    "bm25": "bm25",
    "bm25, counts one": {"kind": "bm25", "repeated_terms": "one"},
    "hybrid": "hybrid",
    "hybrid over a cascade": {
        "kind": "hybrid",
        "stages": [{"vector": "mrl_64", "limit": 400, "oversampling": 2}, {"vector": "full"}],
    },
    "dbsf": {"kind": "hybrid", "fusion": "dbsf"},
    "rrf": {"kind": "hybrid", "fusion": "rrf", "candidates": 20},
    "feedback": {"kind": "hybrid", "feedback": 0.6},
    "late": "late",
    "rerank": {"kind": "hybrid", "rerank": "reader", "rerank_candidates": 20},
}


class Late:
    """Late interaction of a static model: each word's own vector, cut short."""

    info = EncoderInfo(name="words", dimension=LATE_SIZE, fingerprint="words")

    def __init__(self, encoder) -> None:
        self._encoder = encoder

    def encode(self, texts: list[str]) -> list[np.ndarray]:
        return [truncate(self._encoder.encode(text.split()[:20]), LATE_SIZE) for text in texts]

    encode_queries = encode


class Reader:
    """A cross-encoder: how many of the query's words a text has."""

    def scores(self, query: str, texts: list[str]) -> np.ndarray:
        asked = set(query.lower().split())
        # The length makes ties rare.
        return np.array(
            [len(asked & set(text.lower().split())) - 1e-4 * len(text) for text in texts],
            np.float32,
        )


@contextmanager
def connected(prefer_grpc: bool) -> Iterator[QdrantClient]:
    url = os.environ["QDRANT_URL"]
    client = QdrantClient(
        url=url,
        prefer_grpc=prefer_grpc,
        grpc_port=(urlsplit(url).port or 6333) + 1,
        check_compatibility=False,
    )
    yield client
    client.close()


@pytest.fixture(scope="module", params=["scifact", "cranfield"])
def filled(request, tmp_path_factory):
    """The same documents embedded and on the server, and queries."""
    from tests.fakes import shared_path

    pytest.importorskip("wordllama", reason='pip install "qdrant-static[offline]"')
    folder = shared_path("data", request.param)
    encoder = load_encoder("wordllama")
    lines = (folder / "corpus.jsonl").read_text().splitlines()[:DOCUMENTS]
    # An empty text is no document.
    rows = [one for one in map(json.loads, lines) if one["text"].strip()]
    asked = (folder / "queries.jsonl").read_text().splitlines()[:QUERIES]
    queries = [json.loads(line)["text"] for line in asked]
    place = tmp_path_factory.mktemp(request.param)
    path = write_jsonl(
        place / "corpus.jsonl",
        [{**{k: one[k] for k in ("_id", "title", "text")}, "n": n} for n, one in enumerate(rows)],
    )
    spec = CollectionSpec.for_encoder(
        encoder, matryoshka=(128, 64), graph="mrl_128", payload_indexes={"n": "integer"},
        quantization={"full": "turbo4", "mrl_128": "int8", "mrl_64": "binary"},
        late=LateSpec(encoder="words", size=LATE_SIZE, datatype="float32"),
    )  # fmt: skip
    name = f"plans-{uuid4().hex}"
    with EdgeClient(place / "db") as embedded, connected(prefer_grpc=True) as server:
        for client in (embedded, server):
            report = ingest(
                client,
                name,
                path,
                spec=spec,
                encoder=encoder,
                late_encoder=Late(encoder),
                run_options=RunOptions(state=place / f"state-{type(client).__name__}"),
            )
            assert report.stored == len(rows)
        embedded.optimize(name)
        yield embedded, name, encoder, queries
        server.delete_collection(name)


def opened(client, filled) -> Searcher:
    _, name, encoder, _ = filled
    return Searcher(
        client, name, encoder=encoder, late_encoder=Late(encoder), cross_encoder=Reader()
    )


def tied(searcher: Searcher, text: str, plan, condition) -> bool:
    """Whether points with equal BM25 scores compete for a place among a fusion's candidates.

    Which of them gets it is nobody's promise; ranks change with every tie, sums at the end alone.
    """
    chosen = SearchPlan.of(plan)
    if chosen.kind != "hybrid":
        return False
    count = chosen.candidates
    hits = searcher.search(text, plan="bm25", limit=count + 1, query_filter=condition)
    scores = [hit.score for hit in hits]
    if chosen.fusion == "rrf":
        return len(set(scores)) < len(scores)
    return len(scores) > count and scores[count] == scores[count - 1]


@pytest.mark.parametrize("prefer_grpc", [True, False], ids=["grpc", "rest"])
@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("filtered", [False, True], ids=["all", "filtered"])
def test_a_plan_gives_the_same_hits_embedded_and_on_a_server(filled, plan, prefer_grpc, filtered):
    embedded, _, _, queries = filled
    condition = (
        models.Filter(must=[models.FieldCondition(key="n", range=models.Range(gte=350))])
        if filtered
        else None
    )
    given = {"plan": PLANS[plan], "query_filter": condition}
    here = opened(embedded, filled).search_batch(queries, **given)
    with connected(prefer_grpc) as server:
        there = opened(server, filled).search_batch(queries, **given)
        one = opened(server, filled).search(queries[0], **given)
    clear = [not tied(opened(embedded, filled), text, PLANS[plan], condition) for text in queries]
    assert sum(clear) >= len(queries) / 3
    assert [hit.score for hit in one] == pytest.approx([hit.score for hit in there[0]])
    for ours, theirs in compress(zip(here, there, strict=True), clear):
        assert ours
        assert [hit.score for hit in ours] == pytest.approx(
            [hit.score for hit in theirs], rel=2e-4, abs=2e-4
        )
        # Of hits that score as the last one does, each may have left out another.
        certain = {hit.key for hit in ours if hit.score > ours[-1].score + 4e-4}
        assert certain <= {hit.key for hit in theirs}


def test_our_terms_are_the_servers_own(filled):
    """The server's `Document(model="qdrant/bm25")` finds what our vectors find, score by score."""
    embedded, name, _, queries = filled
    sparse = read_spec(embedded, name).sparse
    plan = {"kind": "bm25", "repeated_terms": "one"}
    ours = opened(embedded, filled).search_batch(queries, plan=plan)
    with connected(prefer_grpc=True) as server:
        for text, hits in zip(queries, ours, strict=True):
            asked = models.Document(
                text=text, model="qdrant/bm25", options={"avg_len": sparse.mean_length}
            )
            found = server.query_points(name, query=asked, using="bm25", limit=10).points
            assert [hit.score for hit in hits] == pytest.approx(
                [point.score for point in found], rel=1e-5
            )


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ({}, {}),
        ({"language": "german"}, {"language": "german"}),
        ({"stop_words": ("what", "must")}, {"stopwords": {"custom": ["what", "must"]}}),
    ],
    ids=["english", "german", "stop words"],
)
def test_our_document_vectors_are_the_servers_own(filled, ours, theirs):
    _, _, _, queries = filled
    name = f"terms-{uuid4().hex}"
    rows = bm25_encoder(SparseSpec(mean_length=17.5, **ours)).encode_documents(queries)
    with connected(prefer_grpc=True) as server:
        server.create_collection(
            name, sparse_vectors_config={"bm25": models.SparseVectorParams()}, vectors_config={}
        )
        try:
            server.upsert(name, [
                models.PointStruct(id=number, vector={"bm25": models.Document(
                    text=text, model="qdrant/bm25", options={"avg_len": 17.5, **theirs}
                )})
                for number, text in enumerate(queries)
            ], wait=True)  # fmt: skip
            there = server.retrieve(name, list(range(len(queries))), with_vectors=True)
        finally:
            server.delete_collection(name)
    for point in there:
        mine = rows.row(int(point.id))
        given = point.vector["bm25"]
        order = np.argsort(given.indices)
        assert np.array(given.indices, np.uint32)[order].tolist() == mine.indices.tolist()
        assert np.array(given.values, np.float32)[order].tolist() == mine.values.tolist()
