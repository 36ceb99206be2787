"""Every plan on the real engine finds what brute force finds, with filters and any distance."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from qdrant_client import models

from qdrant_static import CollectionSpec, EdgeClient, SearchPlan, create_collection
from qdrant_static.collection.presets import CASCADE_PROMISED_RECALL
from qdrant_static.collection.spec import Fields, Hnsw, LateSpec, VectorSpec
from qdrant_static.collection.vectorform import stored_form
from qdrant_static.collection.vectorspec import uint8_scale
from qdrant_static.encoders.sparsevectors import SparseQuery
from qdrant_static.querying.run import Query, Searcher, answer
from qdrant_static.vectors import normalize, truncate
from tests.fakes import FakeEncoder

COUNT, DIM, TOP = 600, 32, 10
DISTANCES = {
    "euclid": {},
    "manhattan": {},
    "uint8": {"distance": "euclid", "datatype": "uint8", "scale": uint8_scale(DIM)},
}
PLANS = {
    "exact": "exact",
    "dense": {"kind": "dense", "oversampling": 30},
    "named": {"kind": "dense", "vector": "full", "oversampling": 60},
    "unrescored cascade": {
        "kind": "cascade",
        "stages": [
            {"vector": "mrl_8", "limit": COUNT, "rescore": False},
            {"vector": "mrl_16", "limit": COUNT, "rescore": False},
            {"vector": "full"},
        ],
    },
    "cascade": {"kind": "cascade", "oversampling": 15},
    "hybrid": {"kind": "hybrid", "candidates": COUNT},
    "late": {"kind": "late", "late_candidates": COUNT},
}


class Made:
    """Clustered rows, terms and late-interaction rows, and the scores of brute force."""

    def __init__(self) -> None:
        random = np.random.default_rng(5)
        centers = random.standard_normal((30, DIM))
        rows = centers[random.integers(30, size=COUNT)]
        self.rows = normalize(rows + 0.6 * random.standard_normal((COUNT, DIM)))
        self.terms = [
            np.sort(random.choice(50, 6, replace=False)).astype(np.uint32) for _ in range(COUNT)
        ]
        self.late = [normalize(random.standard_normal((1 + row % 3, 4))) for row in range(COUNT)]
        self.query = Query(
            text="moon",
            dense=normalize(self.rows[:1] + 0.3 * random.standard_normal((1, DIM)))[0],
            sparse=SparseQuery(
                indices=np.array([1, 7, 20], np.uint32), values=np.ones(3, np.float32)
            ),
            late=normalize(random.standard_normal((2, 4))),
        )

    def points(self, spec: CollectionSpec) -> list[models.PointStruct]:
        dense = {vector.name: stored_form(self.rows, vector) for vector in spec.vectors}
        return [
            models.PointStruct(
                id=row,
                vector={
                    **{name: matrix[row].tolist() for name, matrix in dense.items()},
                    **({"bm25": self.sparse(row)} if spec.sparse else {}),
                    **({"late": self.late[row].tolist()} if spec.late else {}),
                },
                payload={"n": row, "text": f"text {row}"},
            )
            for row in range(COUNT)
        ]

    def sparse(self, row: int) -> models.SparseVector:
        return models.SparseVector(
            indices=self.terms[row].tolist(), values=[1.0 + row / COUNT] * len(self.terms[row])
        )

    def cosine(self, query: np.ndarray | None = None, size: int = DIM) -> np.ndarray:
        asked = self.query.dense if query is None else query
        return truncate(self.rows, size) @ truncate(asked[None], size)[0]

    def bm25(self) -> np.ndarray:
        scores = np.zeros(COUNT)
        for term in self.query.sparse.indices:
            has = np.array([term in terms for terms in self.terms])
            idf = np.log((COUNT - has.sum() + 0.5) / (has.sum() + 0.5) + 1)
            scores += has * idf * (1 + np.arange(COUNT) / COUNT)
        return scores

    def maxsim(self) -> np.ndarray:
        return np.array([(self.query.late @ rows.T).max(axis=1).sum() for rows in self.late])


@pytest.fixture(scope="module")
def made() -> Made:
    return Made()


def build(client: EdgeClient, name: str, spec: CollectionSpec, made: Made) -> None:
    create_collection(client, name, spec)
    client.upsert(name, made.points(spec))
    client.optimize(name)


@pytest.fixture(scope="module")
def spec() -> CollectionSpec:
    base = CollectionSpec.for_encoder(
        FakeEncoder(), matryoshka=(16, 8), graph="mrl_16", payload_indexes={"n": "integer"},
        quantization={"full": "binary", "mrl_16": "turbo4", "mrl_8": "int8"},
        late=LateSpec(encoder="l", size=4, datatype="float32"),
    )  # fmt: skip
    return replace(base, fields=Fields(key="n", text=("text",)))


@pytest.fixture(scope="module")
def client(tmp_path_factory, spec, made):
    with EdgeClient(tmp_path_factory.mktemp("plans") / "db") as opened:
        build(opened, "c", spec, made)
        yield opened


def ask(client, spec, plan, query, limit=TOP, **given):
    (found,) = answer(client, "c", spec, SearchPlan.of(plan), [query], limit=limit, **given)
    return found


def same(found, scores: np.ndarray, limit: int = TOP) -> None:
    best = np.sort(scores)[::-1][:limit]
    assert [point.score for point in found] == pytest.approx(best.tolist(), abs=1e-4)
    for point in found:
        assert scores[point.id] == pytest.approx(point.score, abs=1e-4)


@pytest.mark.parametrize("plan", ["exact", "dense", "named", "cascade", "unrescored cascade"])
def test_dense_plans_find_what_brute_force_finds(client, spec, made, plan):
    same(ask(client, spec, PLANS[plan], made.query), made.cosine())


@pytest.mark.parametrize("size", [8, 16])
def test_a_plan_of_a_smaller_vector_is_brute_force_over_its_prefix(client, spec, made, size):
    plan = {"kind": "exact", "vector": f"mrl_{size}"}
    same(ask(client, spec, plan, made.query), made.cosine(size=size))


def test_the_default_reaches_what_its_preset_promises(client, spec, made):
    hits = total = 0
    for row in range(0, 100, 2):
        query = Query(dense=made.rows[row])
        best = set(np.argsort(-made.cosine(query.dense))[:TOP].tolist())
        hits += len({one.id for one in ask(client, spec, "dense", query)} & best)
        total += TOP
    assert hits / total >= CASCADE_PROMISED_RECALL


def test_the_last_stage_may_compare_codes(client, spec, made):
    found = ask(client, spec, {"kind": "dense", "rescore": False}, made.query)
    off = [abs(point.score - made.cosine()[point.id]) for point in found]
    assert max(off) > 1e-3


def test_late_interaction_is_the_sum_of_each_rows_best(client, spec, made):
    same(ask(client, spec, PLANS["late"], made.query), made.maxsim())


def test_late_interaction_looks_at_the_candidates_of_both_sides_alone(client, spec, made):
    found = ask(client, spec, {"kind": "late", "late_candidates": 12}, made.query, limit=12)
    near = {point.id for point in ask(client, spec, "dense", made.query, limit=12)}
    near |= {point.id for point in ask(client, spec, "bm25", made.query, limit=12)}
    best = sorted(near, key=lambda row: -made.maxsim()[row])[:12]
    assert [point.id for point in found] == best


def normalized(scores: np.ndarray) -> np.ndarray:
    mean, deviation = scores.mean(), scores.std(ddof=1)
    return (scores - mean + 3 * deviation) / (6 * deviation)


def complete(dense: np.ndarray, terms: np.ndarray, sparse_weight: int) -> np.ndarray:
    """A point without a term of the query is in the dense list alone."""
    total = normalized(dense)
    total[terms > 0] += sparse_weight * normalized(terms[terms > 0])
    return total


@pytest.mark.parametrize("weight", [1, 2])
def test_complete_fusion_adds_normalized_scores_of_both_sides(client, spec, made, weight):
    plan = {**PLANS["hybrid"], "sparse_weight": weight}
    expected = complete(made.cosine().astype(float), made.bm25(), weight)
    found = ask(client, spec, plan, made.query)
    assert [point.score for point in found] == pytest.approx(
        np.sort(expected)[::-1][:TOP].tolist(), abs=3e-3
    )


def test_reciprocal_ranks_are_added(client, spec, made):
    plan = {"kind": "hybrid", "fusion": "rrf", "candidates": 40, "sparse_weight": 2,
            "stages": [{"vector": "full", "exact": True}]}  # fmt: skip
    expected = dict.fromkeys(range(COUNT), 0.0)
    for weight, scores in ((1, made.cosine()), (2, made.bm25())):
        for rank, row in enumerate(np.argsort(-scores, kind="stable")[:40].tolist()):
            expected[row] += weight / (2 + rank)
    found = ask(client, spec, plan, made.query)
    assert [point.score for point in found] == pytest.approx(
        sorted(expected.values(), reverse=True)[:TOP], abs=1e-5
    )


def test_feedback_moves_the_query_by_what_it_found(client, spec, made):
    plan = {"kind": "exact", "feedback": 0.6, "feedback_hits": 3}
    best = np.argsort(-made.cosine())[:3]
    mean = normalize(made.rows[best].mean(axis=0)[None])
    moved = normalize(made.query.dense[None] + 0.6 * mean)[0]
    same(ask(client, spec, plan, made.query), made.cosine(moved))


@pytest.mark.parametrize("name", PLANS)
def test_a_filter_holds_in_every_plan_and_does_not_starve_it(client, spec, made, name):
    few = models.Filter(must=[models.FieldCondition(key="n", range=models.Range(gte=588))])
    found = ask(client, spec, PLANS[name], made.query, limit=50, query_filter=few)
    assert {point.id for point in found} == set(range(588, 600))


@pytest.mark.parametrize("name", [*PLANS, "bm25"])
def test_many_queries_at_once_are_answered_as_one_by_one(client, spec, made, name):
    plan = PLANS.get(name, name)
    queries = [replace(made.query, dense=row) for row in made.rows[:70]]
    together = answer(client, "c", spec, SearchPlan.of(plan), queries, limit=3)
    assert len(together) == 70
    for query, found in list(zip(queries, together, strict=True))[::23]:
        assert [(p.id, p.score) for p in found] == [
            (p.id, pytest.approx(p.score, abs=1e-5))
            for p in ask(client, spec, plan, query, limit=3)
        ]


def test_a_side_that_says_nothing_is_left_out(client, spec, made):
    silent = SparseQuery(indices=np.zeros(0, np.uint32), values=np.zeros(0, np.float32))
    zeros = np.zeros(DIM, np.float32)
    no_terms = replace(made.query, sparse=silent)
    no_dense = replace(made.query, dense=zeros)
    for stages in (
        [], [{"vector": "full", "exact": True}],
        [{"vector": "mrl_16", "limit": COUNT}, {"vector": "full"}],
    ):  # fmt: skip
        plan = {"kind": "hybrid", "stages": stages, "oversampling": 60, "feedback": 0.0}
        same(ask(client, spec, plan, no_terms), made.cosine())
        same(ask(client, spec, plan, no_dense), made.bm25())
    late = PLANS["late"]
    matching = np.where(made.bm25() > 0, made.maxsim(), -np.inf)
    same(ask(client, spec, late, no_dense), matching)
    nothing = replace(made.query, sparse=silent, dense=zeros)
    for plan in ("dense", "cascade", "bm25", "hybrid", "late"):
        assert ask(client, spec, plan, nothing) == []


@pytest.fixture(scope="module", params=DISTANCES)
def other(request, tmp_path_factory, made):
    """A collection compared by another distance, its spec and its vector."""
    options = {"distance": request.param, **DISTANCES[request.param]}
    vector = VectorSpec(name="full", size=DIM, hnsw=Hnsw(), **options)
    base = CollectionSpec.for_encoder(FakeEncoder())
    spec = replace(base, vectors=(vector,), fields=Fields(key="n", text=("text",)))
    with EdgeClient(tmp_path_factory.mktemp(request.param) / "db") as client:
        build(client, "c", spec, made)
        yield client, spec, vector


def distances(made: Made, vector: VectorSpec) -> np.ndarray:
    rows = stored_form(made.rows, vector).astype(float)
    asked = stored_form(made.query.dense[None], vector)[0].astype(float)
    if vector.distance == "manhattan":
        return np.abs(rows - asked).sum(axis=1)
    return np.linalg.norm(rows - asked, axis=1)


@pytest.mark.parametrize("plan", ["exact", "dense"])
def test_smaller_distances_are_nearer(other, made, plan):
    client, spec, vector = other
    found = ask(client, spec, plan, made.query)
    best = np.sort(distances(made, vector))[:TOP]
    assert [point.score for point in found] == pytest.approx(best.tolist(), rel=1e-4)


def test_fusion_takes_the_smaller_distance_for_the_better(other, made):
    client, spec, vector = other
    expected = complete(-distances(made, vector), made.bm25(), 2)
    found = ask(client, spec, PLANS["hybrid"], made.query)
    assert [point.score for point in found] == pytest.approx(
        np.sort(expected)[::-1][:TOP].tolist(), abs=3e-3
    )


class Unit(FakeEncoder):
    """Gives the query's vector, whatever the text."""

    def __init__(self, row: np.ndarray) -> None:
        super().__init__()
        self._row = row

    def encode(self, texts):
        return np.stack([self._row] * len(texts))


def test_a_hits_score_is_the_higher_the_nearer(other, made):
    client, spec, vector = other
    opened = Searcher(client, "c", spec=spec, encoder=Unit(made.query.dense))
    hits = opened.search("moon", plan="exact")
    if vector.distance == "manhattan":
        best = -np.sort(distances(made, vector))[:TOP]
    else:
        best = np.sort(made.cosine())[::-1][:TOP]
    # uint8 rounds each number to 1/56th of the largest.
    close = 0.02 if vector.datatype == "uint8" else 1e-4
    assert [hit.score for hit in hits] == pytest.approx(best.tolist(), abs=close)


class Reader:
    """A cross-encoder that likes high numbers."""

    def __init__(self) -> None:
        self.read: list[int] = []

    def scores(self, query: str, texts: list[str]) -> np.ndarray:
        self.read.append(len(texts))
        return np.array([float(text.split()[1]) for text in texts], np.float32)


def test_a_cross_encoder_reorders_the_top(client, spec, made):
    reader = Reader()
    opened = Searcher(client, "c", spec=spec, encoder=Unit(made.query.dense), cross_encoder=reader)
    plan = {"kind": "exact", "rerank": "reader", "rerank_candidates": 30}
    hits = opened.search("moon", plan=plan, limit=5)
    top = np.argsort(-made.cosine())[:30]
    assert [hit.key for hit in hits] == np.sort(top)[::-1][:5].tolist()
    assert [hit.score for hit in hits] == [float(hit.key) for hit in hits]
    assert reader.read == [30]


def test_an_unnamed_vector_of_a_collection_that_others_made(client, made):
    class Foreign:
        vectors = (VectorSpec(name="", size=DIM),)
        sparse = late = None

        def vector(self, name: str) -> VectorSpec:
            return self.vectors[0]

        def candidates_factor(self, side: str) -> float:
            return 1.0

    client.create_collection(
        "foreign", models.VectorParams(size=DIM, distance=models.Distance.COSINE)
    )
    client.upsert(
        "foreign",
        [models.PointStruct(id=row, vector=made.rows[row].tolist()) for row in range(COUNT)],
    )
    for plan in ("exact", "dense", {"kind": "exact", "feedback": 0.0001}):
        (found,) = answer(client, "foreign", Foreign(), SearchPlan.of(plan), [made.query])
        same(found, made.cosine())
