"""search: text -> plan -> hits; against brute force, with filters, from another process."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from qdrant_client import models

from qdrant_static import (
    CollectionSpec,
    EdgeClient,
    Hit,
    SearchPlan,
    SourceOptions,
    create_collection,
    ingest,
    load_encoder,
    search,
)
from qdrant_static.collection.create import read_spec, write_spec
from qdrant_static.collection.spec import SparseSpec, VectorSpec
from qdrant_static.collection.vectorspec import uint8_scale
from qdrant_static.encoders.sparse import Bm25Encoder
from qdrant_static.errors import (
    ArgumentError,
    CollectionNotFoundError,
    EncoderMismatchError,
    NotAPlannedCollectionError,
    QdrantStaticError,
)
from qdrant_static.querying.run import Searcher, search_batch
from qdrant_static.vectors import truncate
from tests.fakes import VOCABULARY, FakeEncoder, run_cli, write_jsonl

WORDS = VOCABULARY[6:]
QUERY = "moon tide over the sea"


def texts(count: int = 400) -> list[str]:
    generator = np.random.default_rng(7)
    return [" ".join(generator.choice(WORDS, generator.integers(3, 12))) for _ in range(count)]


@pytest.fixture(scope="module")
def encoder() -> FakeEncoder:
    return FakeEncoder()


@pytest.fixture(scope="module")
def client(tmp_path_factory, encoder):
    """400 texts in a collection ``c``, never written to by these tests."""
    folder = tmp_path_factory.mktemp("search")
    path = write_jsonl(
        folder / "a.jsonl",
        [{"id": f"k{n}", "text": text, "n": n, "half": n % 2} for n, text in enumerate(texts())],
    )
    spec = CollectionSpec.for_encoder(encoder, matryoshka=(8,), payload_indexes={"n": "integer"})
    with EdgeClient(folder / "db") as opened:
        ingest(opened, "c", path, spec=spec, encoder=encoder)
        yield opened


def keys(hits: list[Hit]) -> list:
    return [hit.key for hit in hits]


@pytest.mark.parametrize(("vector", "size"), [("full", 32), ("mrl_8", 8)])
def test_exact_search_is_brute_force(client, encoder, vector, size):
    table = truncate(encoder.encode(texts()), size)
    for query in (QUERY, "bread", "red ship blue river", "unknown words and a whale"):
        scores = table @ truncate(encoder.encode([query]), size)[0]
        plan = SearchPlan(kind="exact", vector=vector)
        hits = search(client, "c", query, limit=25, plan=plan, encoder=encoder)
        best = np.sort(scores)[::-1][:25]
        assert np.allclose([hit.score for hit in hits], best, atol=1e-5)
        for hit in hits:  # equal scores may come in any order
            assert np.isclose(scores[int(hit.key[1:])], hit.score, atol=1e-5)


def test_dense_search_with_much_oversampling_is_exact_search(client, encoder):
    wide = SearchPlan(kind="dense", oversampling=20)
    exact = search(client, "c", QUERY, limit=10, plan="exact", encoder=encoder)
    dense = search(client, "c", QUERY, limit=10, plan=wide, encoder=encoder)
    assert [hit.score for hit in dense] == pytest.approx([hit.score for hit in exact], abs=1e-5)


def test_rescoring_gives_the_originals_scores(client, encoder):
    scores = encoder.encode(texts()) @ encoder.encode([QUERY])[0]
    for hit in search(client, "c", QUERY, plan="dense", encoder=encoder):
        assert np.isclose(hit.score, scores[int(hit.key[1:])], atol=1e-5)
    coarse = SearchPlan(kind="dense", rescore=False)
    off = [
        abs(hit.score - scores[int(hit.key[1:])])
        for hit in search(client, "c", QUERY, plan=coarse, encoder=encoder)
    ]
    assert max(off) > 1e-3


def test_bm25_is_the_sum_of_weights_times_the_inverse_document_frequency(client, encoder):
    mean = read_spec(client, "c").sparse.mean_length
    engine = Bm25Encoder(avg_len=mean)
    documents = [dict(zip(r.indices, r.values, strict=True))
                 for r in engine.encode_documents(texts())]  # fmt: skip
    query = Bm25Encoder().encode_query(QUERY)
    total = len(documents)
    scores = np.zeros(total)
    for term, weight in zip(query.indices, query.values, strict=True):
        frequency = sum(term in one for one in documents)
        idf = np.log((total - frequency + 0.5) / (frequency + 0.5) + 1)
        scores += [weight * idf * one.get(term, 0.0) for one in documents]
    hits = search(client, "c", QUERY, plan="bm25", limit=20, encoder=encoder)
    assert np.allclose([hit.score for hit in hits], np.sort(scores)[::-1][:20], atol=1e-4)


def test_hybrid_search_adds_normalized_scores_of_the_union_bm25_twice(client, encoder):
    """Complete fusion against its own definition, with as many candidates as there are points."""
    plan = SearchPlan(kind="hybrid", candidates=1000)
    hits = search(client, "c", QUERY, plan=plan, limit=400, encoder=encoder)
    dense = {
        h.key: h.score for h in search(client, "c", QUERY, plan="exact", limit=400, encoder=encoder)
    }
    terms = {
        h.key: h.score for h in search(client, "c", QUERY, plan="bm25", limit=400, encoder=encoder)
    }

    def normalized(scores: dict) -> dict:
        values = np.array(list(scores.values()))
        mean, deviation = values.mean(), values.std(ddof=1)
        low, high = mean - 3 * deviation, mean + 3 * deviation
        return {key: (score - low) / (high - low) for key, score in scores.items()}

    dense, terms = normalized(dense), normalized(terms)
    expected = {key: score + 2 * terms.get(key, 0.0) for key, score in dense.items()}
    assert {hit.key: hit.score for hit in hits} == pytest.approx(expected, abs=2e-3)


@pytest.mark.parametrize("plan", ["exact", "dense", "bm25", "hybrid", None,
                                  {"kind": "dense", "vector": "mrl_8"}])  # fmt: skip
def test_every_plan_gives_typed_hits_best_first(client, encoder, plan):
    hits = search(client, "c", QUERY, limit=7, plan=plan, encoder=encoder)
    assert len(hits) == 7
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    best = hits[0]
    number = best.payload["n"]
    assert isinstance(best, Hit)
    assert (best.key, best.text) == (f"k{number}", texts()[number])
    assert best.payload == {"id": best.key, "text": best.text, "n": number, "half": number % 2}
    assert client.retrieve("c", [best.id])[0].payload == best.payload


def test_the_default_plan_is_hybrid_with_bm25(client, encoder):
    default = search(client, "c", QUERY, encoder=encoder)
    assert default == search(client, "c", QUERY, plan="hybrid", encoder=encoder)
    assert default != search(client, "c", QUERY, plan="dense", encoder=encoder)


@pytest.mark.parametrize("plan", ["exact", "dense", "bm25", "hybrid"])
def test_a_filter_holds_in_every_plan_and_does_not_starve_it(client, encoder, plan):
    rare = models.Filter(
        must=[models.FieldCondition(key="n", range=models.Range(gte=380))],
        must_not=[models.FieldCondition(key="half", match=models.MatchValue(value=1))],
    )
    query = " ".join(WORDS)
    hits = search(client, "c", query, limit=50, plan=plan, query_filter=rare, encoder=encoder)
    assert {hit.payload["n"] for hit in hits} == set(range(380, 400, 2))


def test_a_filter_that_nothing_fulfils_gives_no_hits(client, encoder):
    nothing = models.Filter(must=[models.FieldCondition(key="n", range=models.Range(lt=0))])
    for plan in ("exact", "dense", "bm25", "hybrid"):
        assert search(client, "c", QUERY, plan=plan, query_filter=nothing, encoder=encoder) == []


def test_a_query_of_stop_words_alone_is_answered_by_the_dense_side(client, encoder):
    query = "the of a"
    hits = search(client, "c", query, encoder=encoder)
    assert hits == search(client, "c", query, plan="dense", encoder=encoder)
    assert len(hits) == 10
    assert search(client, "c", query, plan="bm25", encoder=encoder) == []


def test_a_query_without_known_tokens_is_answered_by_bm25(model_folder, tmp_path):
    encoder = load_encoder(model_folder)
    path = write_jsonl(tmp_path / "a.jsonl", [{"id": 1, "text": "zebra moon"},
                                              {"id": 2, "text": "moon"}])  # fmt: skip
    with EdgeClient(tmp_path / "db") as client:
        ingest(client, "c", path, encoder=encoder)
        assert keys(search(client, "c", "zebra", encoder=encoder)) == [1]
        assert search(client, "c", "zebra", plan="dense", encoder=encoder) == []
        assert search(client, "c", "quagga", plan="exact", encoder=encoder) == []
        assert keys(search(client, "c", "moon", encoder=encoder)) == [2, 1]


def test_repeated_terms_count_by_their_root_or_once(client, encoder):
    def scores(query, how):
        plan = SearchPlan(kind="bm25", repeated_terms=how)
        hits = search(client, "c", query, plan=plan, limit=400, encoder=encoder)
        return {hit.key: hit.score for hit in hits}

    once = scores("moon", "one")
    assert scores("moon moon moon moon", "one") == once
    twice = scores("moon moon moon moon", "sqrt")
    assert twice == pytest.approx({key: 2 * score for key, score in once.items()}, rel=1e-5)


def test_a_limit_over_the_number_of_points_gives_all(client, encoder):
    assert len(search(client, "c", QUERY, plan="exact", limit=10_000, encoder=encoder)) == 400


@pytest.mark.parametrize(
    ("text", "problem"),
    [("", "has no text"), ("  \n", "has no text"), (None, "None is not a s"), (5, "5 is not a s")],
)
def test_a_query_without_text_is_an_error(client, encoder, text, problem):
    with pytest.raises(ArgumentError, match=f"query: {problem}"):
        search(client, "c", text, encoder=encoder)


@pytest.mark.parametrize("limit", [0, -1, 1.5])
def test_a_limit_that_cannot_be_is_an_error(client, encoder, limit):
    with pytest.raises(ArgumentError, match="limit"):
        search(client, "c", QUERY, limit=limit, encoder=encoder)


@pytest.mark.parametrize("plan", ["exact", "bm25", "hybrid"])
def test_a_query_that_is_no_unicode_is_an_error_of_ours(client, model_folder, encoder, plan):
    with pytest.raises(QdrantStaticError):
        search(client, "c", "moon \ud800", plan=plan, encoder=encoder)


def test_an_unknown_plan_or_vector_is_an_error(client, encoder):
    with pytest.raises(ArgumentError, match="known: exact, dense, cascade, bm25, hybrid, late"):
        search(client, "c", QUERY, plan="fast", encoder=encoder)
    with pytest.raises(ArgumentError, match="it has full, mrl_8"):
        search(client, "c", QUERY, plan={"kind": "dense", "vector": "mrl_16"}, encoder=encoder)


def test_another_encoder_is_an_error_that_names_both(client):
    with pytest.raises(EncoderMismatchError, match=r"'fake'.*'theirs'"):
        search(client, "c", QUERY, encoder=FakeEncoder("theirs", salt="x"))


def test_a_missing_or_foreign_collection_is_an_error(client, encoder):
    with pytest.raises(CollectionNotFoundError, match=r"there are: .*c"):
        search(client, "d", QUERY, encoder=encoder)
    client.create_collection(
        "foreign", models.VectorParams(size=4, distance=models.Distance.COSINE)
    )
    with pytest.raises(NotAPlannedCollectionError):
        search(client, "foreign", QUERY)
    with pytest.raises(ArgumentError, match="no dense vector of the encoder's 32 dimensions"):
        search(client, "foreign", QUERY, encoder=encoder)


def test_the_collections_own_plan_is_taken(encoder, tmp_path):
    path = write_jsonl(tmp_path / "a.jsonl", [{"id": 1, "text": "moon"}, {"id": 2, "text": "sea"}])
    spec = CollectionSpec.for_encoder(encoder, plan={"kind": "bm25"})
    with EdgeClient(tmp_path / "db") as client:
        ingest(client, "c", path, spec=spec, encoder=encoder)
        assert keys(search(client, "c", "moon", encoder=encoder)) == [1]
        write_spec(client, "c", replace(read_spec(client, "c"), plan="exact"))
        assert keys(search(client, "c", "moon", encoder=encoder)) == [1, 2]


def test_a_collection_without_bm25_is_searched_by_its_dense_vectors(encoder, tmp_path):
    path = write_jsonl(tmp_path / "a.jsonl", [{"id": 1, "text": "moon"}, {"id": 2, "text": "sea"}])
    spec = CollectionSpec.for_encoder(encoder, sparse=None, quantization=None)
    with EdgeClient(tmp_path / "db") as client:
        ingest(client, "c", path, spec=spec, encoder=encoder)
        assert keys(search(client, "c", "moon", encoder=encoder)) == [1, 2]
        for plan in ("bm25", "hybrid"):
            with pytest.raises(ArgumentError, match="needs BM25"):
                search(client, "c", "moon", plan=plan, encoder=encoder)


@pytest.mark.parametrize("plan", ["exact", "dense", "bm25", "hybrid"])
def test_an_empty_collection_has_no_hits(encoder, tmp_path, plan):
    with EdgeClient(tmp_path / "db") as client:
        create_collection(client, "c", CollectionSpec.for_encoder(encoder))
        assert search(client, "c", QUERY, plan=plan, encoder=encoder) == []


def test_a_hit_shows_what_the_payload_holds(encoder, tmp_path):
    path = write_jsonl(tmp_path / "a.jsonl", [{"title": "moon", "text": "and tide"}])
    with EdgeClient(tmp_path / "db") as client:
        ingest(client, "c", path, encoder=encoder, source_options=SourceOptions(payload=("title",)))
        (hit,) = search(client, "c", "moon", encoder=encoder)
        assert (hit.text, hit.key, hit.payload) == ("moon", hit.id, {"title": "moon"})


def test_a_later_process_needs_the_collections_name_alone(model_folder, tmp_path):
    path = write_jsonl(
        tmp_path / "a.jsonl",
        [{"id": 1, "text": "the cat of the sea"}, {"id": 2, "text": "moon and tide"}],
    )
    with EdgeClient(tmp_path / "db") as client:
        ingest(client, "c", path, encoder=load_encoder(model_folder))
        here = search(client, "c", "a moon")
    done = run_cli("search", "c", "a moon", "--db", "db", "--json", cwd=tmp_path)
    assert (done.code, done.err) == (0, "")
    there = json.loads(done.out)
    assert [one["key"] for one in there] == keys(here) == [2, 1]
    assert [one["score"] for one in there] == pytest.approx([hit.score for hit in here], abs=1e-5)
    assert there[0]["text"] == "moon and tide"
    assert there[0]["payload"] == {"id": 2, "text": "moon and tide"}


class Counting:
    """A client that remembers which of its methods were called."""

    def __init__(self, client: EdgeClient) -> None:
        self._client = client
        self.calls: list[str] = []

    def __getattr__(self, name: str):
        method = getattr(self._client, name)

        def call(*arguments, **options):
            self.calls.append(name)
            return method(*arguments, **options)

        return call if callable(method) else method


class CountingEncoder(FakeEncoder):
    """An encoder that remembers how many texts came at once."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[int] = []

    def encode(self, texts):
        self.batches.append(len(texts))
        return super().encode(texts)


CASCADE = {"kind": "hybrid", "stages": [{"vector": "mrl_8", "limit": 50}, {"vector": "full"}]}


@pytest.mark.parametrize("plan", ["exact", "dense", "cascade", "bm25", "hybrid", CASCADE])
def test_an_opened_collection_is_searched_by_one_request_and_one_encoding(client, encoder, plan):
    counted, counting = Counting(client), CountingEncoder()
    opened = Searcher(counted, "c", encoder=counting)
    counted.calls.clear()
    hits = opened.search(QUERY, plan=plan)
    assert hits == search(client, "c", QUERY, plan=plan, encoder=encoder)
    assert counted.calls == ["query_points"]
    assert counting.batches == ([] if plan == "bm25" else [1])


def test_a_search_by_name_is_three_requests(client, encoder):
    counted = Counting(client)
    hits = search(counted, "c", QUERY, encoder=encoder)
    assert hits == search(client, "c", QUERY, encoder=encoder)
    assert counted.calls == ["get_aliases", "get_collection", "query_points"]


def test_a_spec_at_hand_saves_the_requests_that_read_it(client, encoder):
    counted = Counting(client)
    hits = search(counted, "c", QUERY, encoder=encoder, spec=read_spec(client, "c"))
    assert hits == search(client, "c", QUERY, encoder=encoder)
    assert counted.calls == ["query_points"]


def test_many_texts_are_encoded_at_once_and_found_as_one_by_one(client, encoder):
    queries = [" ".join(WORDS[n : n + 3]) for n in range(20)] * 4
    counted, counting = Counting(client), CountingEncoder()
    found = search_batch(counted, "c", queries, plan=CASCADE, limit=4, encoder=counting)
    assert counting.batches == [80]
    assert counted.calls.count("query_batch_points") == 2
    for query, hits in list(zip(queries, found, strict=True))[:20]:
        alone = search(client, "c", query, plan=CASCADE, limit=4, encoder=encoder)
        assert [hit.score for hit in hits] == pytest.approx([hit.score for hit in alone], abs=1e-5)
    assert search_batch(client, "c", [], encoder=encoder) == []


def test_one_text_is_no_batch(client, encoder):
    with pytest.raises(ArgumentError, match="texts: is one text; give a list"):
        search_batch(client, "c", QUERY, encoder=encoder)


def test_feedback_asks_twice_and_reads_payloads_once(client, encoder):
    counted = Counting(client)
    opened = Searcher(counted, "c", encoder=encoder)
    counted.calls.clear()
    hits = opened.search(QUERY, plan={"kind": "hybrid", "feedback": 0.6}, limit=5)
    assert counted.calls == ["query_points", "query_points"]
    assert len(hits) == 5
    assert all(hit.text for hit in hits)


def test_stop_words_of_ones_own_replace_the_languages(encoder, tmp_path):
    path = write_jsonl(
        tmp_path / "a.jsonl", [{"id": 1, "text": "the moon"}, {"id": 2, "text": "a moon of tide"}]
    )
    sparse = SparseSpec(stop_words=("moon",))
    spec = CollectionSpec.for_encoder(encoder, sparse=sparse, plan="bm25")
    with EdgeClient(tmp_path / "db") as client:
        ingest(client, "c", path, spec=spec, encoder=encoder)
        assert search(client, "c", "moon", encoder=encoder) == []
        assert keys(search(client, "c", "the", encoder=encoder)) == [1]
        assert read_spec(client, "c").sparse.mean_length == 2.0


def test_a_later_append_shares_the_mean_length(encoder, tmp_path):
    first = write_jsonl(tmp_path / "a.jsonl", [{"id": 1, "text": "moon tide sea"}])
    later = write_jsonl(tmp_path / "b.jsonl", [{"id": 2, "text": "moon " * 50}])
    with EdgeClient(tmp_path / "db") as client:
        ingest(client, "c", first, encoder=encoder)
        mean = read_spec(client, "c").sparse.mean_length
        ingest(client, "c", later, encoder=encoder)
        assert read_spec(client, "c").sparse.mean_length == mean == 3.0
        (stored,) = client.retrieve("c", [2], with_vectors=["bm25"])
        (weight,) = stored.vector["bm25"].values
        assert weight == pytest.approx(50 * 2.2 / (50 + 1.2 * (0.25 + 0.75 * 50 / 3)))


def test_a_uint8_collection_is_filled_and_asked_in_the_same_form(encoder, tmp_path):
    path = write_jsonl(tmp_path / "a.jsonl", [{"id": n, "text": t} for n, t in enumerate(texts())])
    base = CollectionSpec.for_encoder(encoder, sparse=None)
    scale = uint8_scale(32)
    vector = VectorSpec(name="full", size=32, distance="euclid", datatype="uint8", scale=scale)
    with EdgeClient(tmp_path / "db") as client:
        ingest(client, "c", path, spec=replace(base, vectors=(vector,)), encoder=encoder)
        hits = search(client, "c", QUERY, plan="exact", encoder=encoder)
        scores = encoder.encode(texts()) @ encoder.encode([QUERY])[0]
        best = np.sort(scores)[::-1][:10]
        assert [hit.score for hit in hits] == pytest.approx(best.tolist(), abs=0.03)


def test_a_cross_encoder_has_nothing_to_read_before_the_first_ingest(encoder, tmp_path):
    plan = {"kind": "dense", "rerank": "reader"}
    with EdgeClient(tmp_path / "db") as client:
        create_collection(client, "c", CollectionSpec.for_encoder(encoder, plan=plan))
        with pytest.raises(ArgumentError, match=r"plan\.rerank: reads the hits' texts"):
            search(client, "c", QUERY, encoder=encoder)
