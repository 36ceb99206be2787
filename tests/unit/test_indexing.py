"""How long an index may take, and how far a server is with one."""

from __future__ import annotations

import pytest

from qdrant_static import CollectionSpec
from qdrant_static.clients.indexing import IndexProgress
from qdrant_static.ingestion import indexestimate
from qdrant_static.ingestion.indexestimate import expected_seconds, indexed_part
from tests.fakes import FakeEncoder


@pytest.fixture
def spec():
    return CollectionSpec.for_encoder(FakeEncoder(dimension=256))


def test_the_last_build_of_a_collection_tells_best(spec):
    last = {"points": 1000, "seconds": 10.0}
    assert expected_seconds(spec, 1000, last) == pytest.approx(10)
    assert expected_seconds(spec, 1_000_000, last) == pytest.approx(20_000)  # n log n


def test_a_first_build_is_estimated_by_its_graphs(spec, monkeypatch):
    monkeypatch.setattr(indexestimate, "core_count", lambda: 2)
    seconds = expected_seconds(spec, 1_000_000, None)
    assert 100 < seconds < 1000
    monkeypatch.setattr(indexestimate, "core_count", lambda: 4)
    assert expected_seconds(spec, 1_000_000, None) == pytest.approx(seconds / 2)


def test_what_takes_no_time_has_no_estimate(spec):
    assert expected_seconds(spec, 100, None) is None
    assert expected_seconds(spec, 0, {"points": 0, "seconds": 0.0}) is None


@pytest.mark.parametrize(
    ("queued", "running", "fraction", "part"),
    [
        (0, 0, None, 1.0), (50, 50, 0.0, 0.0), (25, 50, 0.5, 0.5), (300, 0, None, 0.0),
        (None, None, None, None),
    ],
)  # fmt: skip
def test_a_server_tells_what_waits(queued, running, fraction, part):
    seen = IndexProgress(
        ready=False, status="yellow", queued_points=queued, running_points=running,
        fraction=fraction,
    )  # fmt: skip
    assert indexed_part(seen, 100) == part
