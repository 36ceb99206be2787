"""SciFact: all of it is stored, and found as well as brute force measured."""

from __future__ import annotations

import numpy as np
import pytest

from qdrant_static import CollectionSpec, EdgeClient, ingest, load_encoder
from qdrant_static.collection.presets import CASCADE_PROMISED_RECALL
from qdrant_static.querying.run import Searcher
from tests.fakes import shared_path
from tests.judged import judged, ndcg


@pytest.fixture(scope="module")
def scifact(tmp_path_factory):
    """The collection, opened, and the judged queries."""
    pytest.importorskip("wordllama", reason='pip install "qdrant-static[offline]"')
    folder = shared_path("data", "scifact")
    encoder = load_encoder("wordllama")
    spec = CollectionSpec.for_encoder(encoder, matryoshka=(128, 64))
    with EdgeClient(tmp_path_factory.mktemp("scifact") / "db") as client:
        report = ingest(client, "scifact", folder / "corpus.jsonl", spec=spec, encoder=encoder)
        assert (report.read, report.stored, report.points_after) == (5183, 5183, 5183)
        assert report.rejected == {}
        yield Searcher(client, "scifact", encoder=encoder), judged(folder)


def quality(opened: Searcher, data, plan) -> float:
    queries, relevant = data
    found = opened.search_batch(list(queries.values()), plan=plan)
    return float(
        np.mean([
            ndcg([hit.key for hit in hits], relevant[key])
            for key, hits in zip(queries, found, strict=True)
        ])
    )  # fmt: skip


@pytest.mark.parametrize(
    ("plan", "expected"),
    [("exact", 0.513), ("dense", 0.513), ("bm25", 0.688), ("hybrid", 0.707)],
)
def test_a_plan_is_as_good_as_measured(scifact, plan, expected):
    opened, data = scifact
    assert len(data[0]) == 300
    assert quality(opened, data, plan) == pytest.approx(expected, abs=0.005)


def test_the_default_is_hybrid(scifact):
    opened, _ = scifact
    assert opened.plan().kind == "hybrid"


@pytest.mark.parametrize(
    "plan",
    [
        "dense",
        "cascade",
        {"kind": "cascade", "stages": [{"vector": "mrl_128", "limit": 200}, {"vector": "full"}]},
    ],
)
def test_ten_hits_are_nearly_those_of_exact_search(scifact, plan):
    opened, (queries, _) = scifact
    texts = list(queries.values())
    right = wanted = 0
    for exact, found in zip(
        opened.search_batch(texts, plan="exact"),
        opened.search_batch(texts, plan=plan),
        strict=True,
    ):
        right += len({hit.key for hit in exact} & {hit.key for hit in found})
        wanted += len(exact)
    assert right / wanted >= CASCADE_PROMISED_RECALL
