"""Plans on four judged sets: codes cost nothing, and one hybrid recipe is never below its parts."""

from __future__ import annotations

import numpy as np
import pytest

from qdrant_static import CollectionSpec, EdgeClient, ingest, load_encoder
from qdrant_static.querying.run import Searcher
from tests.fakes import shared_path
from tests.judged import judged, ndcg

pytestmark = pytest.mark.full
SETS = ("scifact", "cranfield", "cisi", "medline")
PLANS = ("exact", "dense", "bm25", "hybrid")


@pytest.fixture(scope="module")
def found(tmp_path_factory) -> dict[str, dict[str, np.ndarray]]:
    """Set -> plan -> NDCG@10 of each query."""
    pytest.importorskip("wordllama", reason='pip install "qdrant-static[offline]"')
    encoder = load_encoder("wordllama")
    spec = CollectionSpec.for_encoder(encoder)
    told: dict[str, dict[str, np.ndarray]] = {}
    with EdgeClient(tmp_path_factory.mktemp("sets") / "db") as client:
        for name in SETS:
            folder = shared_path("data", name)
            queries, relevant = judged(folder)
            ingest(client, name, folder / "corpus.jsonl", spec=spec, encoder=encoder)
            opened = Searcher(client, name, encoder=encoder)
            told[name] = {
                plan: np.array([
                    ndcg([str(hit.key) for hit in hits], relevant[key])
                    for key, hits in zip(
                        queries, opened.search_batch(list(queries.values()), plan=plan),
                        strict=True,
                    )
                ])
                for plan in PLANS
            }  # fmt: skip
    return told


def better(one: dict[str, np.ndarray]) -> np.ndarray:
    return max((one["exact"], one["bm25"]), key=np.mean)


def test_the_quantized_default_keeps_99_percent_of_exact_search(found):
    for name, one in found.items():
        assert one["dense"].mean() >= 0.99 * one["exact"].mean(), name


def test_the_default_hybrid_is_below_the_better_of_its_parts_on_no_set(found):
    """By a paired sign-flip test at 5%."""
    for name, one in found.items():
        differences = one["hybrid"] - better(one)
        signs = np.random.default_rng(0).choice([-1.0, 1.0], (20_000, len(differences)))
        as_low = (signs @ differences <= differences.sum()).mean()
        assert as_low > 0.05, name


def test_the_default_hybrid_is_3_5_percent_above_the_better_of_its_parts(found):
    ratios = [one["hybrid"].mean() / better(one).mean() for one in found.values()]
    assert np.mean(ratios) >= 1.035
