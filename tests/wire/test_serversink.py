"""The sink of a server, while things go wrong: nothing lost, nothing twice, everything said."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from qdrant_client import models

from qdrant_static.clients.retry import RetryPolicy
from qdrant_static.encoders.sparsevectors import SparseRows
from qdrant_static.errors import (
    AccessDeniedError,
    ArgumentError,
    CollectionNotFoundError,
    EveryPointRefusedError,
    ServerUnavailableError,
    SpecMismatchError,
)
from qdrant_static.sinks.serversink import ServerSink, Settled
from qdrant_static.sinks.sink import EncodedBatch
from tests.wire.faults import Fault, What

DIMENSION = 8
ROWS = 100
BATCHES = 6
QUICK = RetryPolicy(first_s=0.01, longest_s=0.05, budget_s=20.0)


@dataclass
class Job:
    """Batches of points whose every number is known, and what was heard of them."""

    client: Any
    seed: int = 1
    settled: dict[Any, Settled] = field(default_factory=dict)
    threads: set[str] = field(default_factory=set)

    def create(self) -> Job:
        self.client.create_collection(
            "c",
            vectors_config={
                "full": models.VectorParams(size=DIMENSION, distance=models.Distance.DOT)
            },
            sparse_vectors_config={"bm25": models.SparseVectorParams()},
        )
        return self

    def sink(self, **options: Any) -> ServerSink:
        given: dict[str, Any] = {"retry": QUICK, "timeout_s": 10.0, "in_flight": 3, **options}
        sink = ServerSink(
            self.client,
            "c",
            {"full": DIMENSION},
            sparse="bm25",
            on_settled=self.hear,
            **given,
        )
        sink._pace.points = 25  # many requests of few points
        return sink

    def hear(self, token: Any, settled: Settled) -> None:
        assert token not in self.settled, "settled twice"
        self.settled[token] = settled
        self.threads.add(threading.current_thread().name)

    def run(self, sink: ServerSink, batches: int = BATCHES) -> None:
        with sink:
            for number in range(batches):
                sink.submit(number, *batch(number))

    def check(self, server: Any, *, refused: frozenset[int] = frozenset()) -> None:
        """What is stored is what was said, to the last number."""
        said = {
            token * ROWS + row for token, settled in self.settled.items() for row in settled.stored
        }
        with server.engine() as engine:
            assert engine.count("c", exact=True).count == len(said)
            for token in self.settled:
                ids, vectors, payloads = batch(token)
                kept = [row for row, one in enumerate(ids) if one not in refused]
                assert self.settled[token].stored == kept
                found = engine.retrieve("c", [ids[row] for row in kept], with_vectors=True)
                by_id = {one.id: one for one in found}
                for row in kept:
                    one = by_id[ids[row]]
                    assert one.payload == payloads[row]
                    assert one.vector["full"] == vectors.dense["full"][row].tolist()
                    terms = vectors.sparse.row(row)
                    assert one.vector["bm25"].indices == terms.indices.tolist()
                    assert one.vector["bm25"].values == terms.values.tolist()


def batch(number: int, rows: int = ROWS) -> tuple[list[int], EncodedBatch, list[dict[str, Any]]]:
    rng = np.random.default_rng(number)
    ids = list(range(number * ROWS, number * ROWS + rows))
    pointers = np.arange(rows + 1, dtype=np.int64) * 2
    vectors = EncodedBatch(
        dense={"full": rng.standard_normal((rows, DIMENSION), dtype=np.float32)},
        sparse=SparseRows(
            indices=np.tile(np.array([3, 4_000_000_000], dtype=np.uint32), rows),
            values=rng.random(2 * rows, dtype=np.float32),
            pointers=pointers,
            n_terms=2 * rows,
        ),
    )
    return ids, vectors, [{"n": one, "text": f"text ü {one}"} for one in ids]


SCENARIOS = {
    "nothing": [],
    "delays": [Fault(at=2, what=What.DELAY, times=5, seconds=0.05)],
    "lost before": [Fault(at=3, what=What.LOST, times=4)],
    "lost after": [Fault(at=3, what=What.UNACKNOWLEDGED, times=4)],
    "breaks": [Fault(at=4, what=What.BREAK), Fault(at=11, what=What.BREAK_AFTER, seconds=0.05)],
    "restarts": [
        Fault(at=5, what=What.RESTART, seconds=0.1),
        Fault(at=14, what=What.RESTART_AFTER, seconds=0.1),
    ],
    "exhausted": [Fault(at=2, what=What.EXHAUSTED, times=6)],
    "exhausted, come back later": [Fault(at=4, what=What.EXHAUSTED, retry_after_s=1)],
    "server errors": [Fault(at=1, what=What.INTERNAL, times=3)],
    "all at once": [
        Fault(at=2, what=What.LOST),
        Fault(at=4, what=What.UNACKNOWLEDGED, times=2),
        Fault(at=7, what=What.EXHAUSTED, times=2),
        Fault(at=9, what=What.BREAK_AFTER, seconds=0.05),
        Fault(at=16, what=What.RESTART_AFTER, seconds=0.05),
        Fault(at=20, what=What.DELAY, times=3, seconds=0.02),
    ],
}


@pytest.mark.parametrize("faults", SCENARIOS.values(), ids=SCENARIOS)
def test_what_passes_by_leaves_everything_stored_once(wire, faults):
    job = Job(wire.client()).create()
    wire.faults = faults
    job.run(job.sink())
    assert sorted(job.settled) == list(range(BATCHES))
    assert not any(settled.refused for settled in job.settled.values())
    assert all(fault.at <= len(wire.upserts) for fault in faults), "a fault that never struck"
    job.check(wire)
    assert job.threads == {threading.current_thread().name}


def test_a_server_that_does_not_answer_in_time_gets_it_again(wire):
    job = Job(wire.client()).create()
    wire.faults = [Fault(at=1, what=What.DELAY, seconds=0.6)]
    job.run(job.sink(timeout_s=0.2), batches=2)
    assert len(wire.upserts) > 8
    job.check(wire)


@pytest.mark.parametrize("bad", [{107}, {100, 199}, {5, 6, 7, 301, 302}, set(range(210, 220))])
def test_a_refused_point_is_found_and_refused_alone(wire, bad):
    job = Job(wire.client()).create()
    wire.refused = bad
    job.run(job.sink())
    refused = {
        token * ROWS + row: problem
        for token, settled in job.settled.items()
        for row, problem in settled.refused.items()
    }
    assert set(refused) == bad
    assert all("Wrong input: this point" in problem for problem in refused.values())
    job.check(wire, refused=frozenset(bad))


def test_faults_on_the_way_to_a_refusal_change_nothing(wire):
    job = Job(wire.client()).create()
    wire.refused = {42, 243}
    wire.faults = [
        Fault(at=at, what=what) for at, what in [(3, What.LOST), (8, What.UNACKNOWLEDGED)]
    ]
    job.run(job.sink())
    job.check(wire, refused=frozenset({42, 243}))


def test_a_server_that_wants_fewer_points_at_once_gets_fewer(wire):
    job = Job(wire.client()).create()
    wire.most_points = 10
    job.run(job.sink())
    job.check(wire)
    assert not any(settled.refused for settled in job.settled.values())
    assert max(wire.upserts[-6:]) <= 10, "it went on asking for too much"


def test_a_server_that_is_always_exhausted_by_so_many_gets_fewer(wire):
    job = Job(wire.client()).create()
    wire.faults = [Fault(at=1, what=What.EXHAUSTED, times=3)]
    job.run(job.sink(in_flight=1), batches=1)
    assert wire.upserts[:5] == [25, 25, 25, 12, 13]
    job.check(wire)


def test_a_batch_larger_than_a_request_goes_in_several(wire):
    job = Job(wire.client()).create()
    job.run(job.sink(max_batch_bytes=400))
    assert max(wire.upserts) <= 4
    job.check(wire)


def test_what_cannot_be_sent_is_refused_alone_without_being_sent(wire):
    job = Job(wire.client()).create()
    ids, vectors, payloads = batch(0)
    vectors.dense["full"][3, 2] = np.nan
    vectors.dense["full"][4] = 3e38  # finite, although its sum is not
    vectors.sparse.values[11] = np.inf
    payloads[7] = {"n": 2**70}
    payloads[8] = {"text": "x" * 5000}
    with job.sink(max_point_bytes=4000) as sink:
        sink.submit(0, ids, vectors, payloads)
    refused = job.settled[0].refused
    assert sorted(refused) == [3, 5, 7, 8]
    assert refused[3] == "vector 'full' holds a number that is not finite"
    assert refused[5] == "the sparse vector holds a number that is not finite"
    assert refused[7].startswith(f"payload: the integer {2**70} is outside")
    assert refused[8].startswith("takes 5")
    assert refused[8].endswith("a request may have 4000")
    with wire.engine() as engine:
        assert engine.count("c", exact=True).count == ROWS - 4


def test_a_batch_without_a_sound_row_is_settled_too(wire):
    job = Job(wire.client()).create()
    ids, vectors, payloads = batch(0, rows=2)
    vectors.dense["full"][:] = np.inf
    with job.sink() as sink:
        sink.submit(0, ids, vectors, payloads)
        sink.submit(1, [], *((empty := batch(1, rows=0))[1:]))
    assert not empty[0]
    assert sorted(job.settled[0].refused) == [0, 1]
    assert job.settled[1] == Settled(rows=0, refused={})
    assert not wire.upserts


def test_names_and_shapes_that_do_not_fit_are_said_and_nothing_is_sent(wire):
    job = Job(wire.client()).create()
    ids, vectors, payloads = batch(0)
    full = vectors.dense["full"]
    for dense, given, said in [
        ({"ful": full}, payloads, "vectors: the batch has ful; the collection has full"),
        ({}, payloads, "vectors: the batch has none"),
        ({"full": full[:, :4]}, payloads, r"vectors.full: shape \(100, 4\), not \(100, 8\)"),
        ({"full": full}, payloads[:9], "payloads: 9 for 100 ids"),
    ]:
        wrong = EncodedBatch(dense=dense, sparse=vectors.sparse)
        with pytest.raises(ArgumentError, match=said), job.sink() as sink:
            sink.submit(0, ids, wrong, given)
    assert not wire.upserts
    assert not job.settled


def test_the_later_of_two_points_with_one_id_stays(wire):
    job = Job(wire.client()).create()
    # The first of the two is slower, and would overwrite the second if that were sent meanwhile.
    wire.faults = [Fault(at=at, what=What.DELAY, seconds=0.1) for at in (1, 3)]
    _, vectors, _ = batch(0, rows=4)
    with job.sink() as sink:
        sink.submit("old", [1, 2, 1, 3], vectors, [{"v": v} for v in range(4)])
        sink.submit("new", [3, 4, 5, 6], vectors, [{"v": v} for v in range(4, 8)])
    assert {token: one.stored for token, one in job.settled.items()} == {
        "old": [0, 1, 2, 3],
        "new": [0, 1, 2, 3],
    }
    with wire.engine() as engine:
        found = {one.id: one.payload["v"] for one in engine.retrieve("c", [1, 2, 3, 4, 5, 6])}
    assert found == {1: 2, 2: 1, 3: 4, 4: 5, 5: 6, 6: 7}


# --- giving up ---------------------------------------------------------------------------------


def test_a_server_that_stays_away_ends_the_job_with_what_it_acknowledged(wire):
    job = Job(wire.client()).create()
    wire.faults = [Fault(at=9, what=What.LOST, times=10_000)]
    sink = job.sink(retry=RetryPolicy(first_s=0.01, longest_s=0.02, budget_s=0.2))
    with pytest.raises(ServerUnavailableError, match="Socket closed") as caught:
        job.run(sink)
    assert caught.value.retryable
    assert caught.value.tried > 1
    assert set(job.settled).isdisjoint(sink.unsettled)
    assert job.settled, "eight requests were acknowledged"
    stored = {n * ROWS + row for n, one in job.settled.items() for row in one.stored}
    with wire.engine() as engine:
        found = {one.id for one in engine.retrieve("c", range(BATCHES * ROWS))}
    assert stored <= found

    # The same job again: what was stored is stored again, the rest comes in.
    wire.faults = []
    again = Job(wire.client())
    again.run(again.sink())
    again.check(wire)


@pytest.mark.parametrize(
    ("what", "kind", "said"),
    [
        (What.DENIED, AccessDeniedError, "refuses access: PERMISSION_DENIED: Forbidden"),
        (What.NO_COLLECTION, CollectionNotFoundError, "no collection 'c' in http://127.0.0.1"),
        (What.OTHER_SIZE, SpecMismatchError, "vector full: 9, not 8"),
    ],
)
def test_what_repeating_does_not_help_ends_the_job_at_once(wire, what, kind, said):
    job = Job(wire.client()).create()
    wire.faults = [Fault(at=5, what=what)]
    sink = job.sink(in_flight=1)
    with pytest.raises(kind, match=said):
        job.run(sink)
    assert len(wire.upserts) <= 5
    assert list(job.settled) == [0]
    assert sink.unsettled[0] == 1


def test_a_server_that_refuses_every_point_is_not_asked_about_each(wire):
    job = Job(wire.client()).create()
    wire.refused = set(range(BATCHES * ROWS))
    sink = job.sink(in_flight=1)
    with pytest.raises(EveryPointRefusedError, match="Wrong input: this point"):
        job.run(sink)
    assert len(wire.upserts) < 10
    assert not job.settled


def test_a_failed_sink_stays_failed(wire):
    job = Job(wire.client()).create()
    wire.faults = [Fault(at=1, what=What.DENIED, times=100)]
    sink = job.sink()
    sink.submit(0, *batch(0, rows=1))
    with pytest.raises(AccessDeniedError):
        sink.flush()
    asked = len(wire.upserts)
    with pytest.raises(AccessDeniedError):
        sink.submit(1, *batch(1))
    sink.abort()
    assert len(wire.upserts) == asked


def test_an_abandoned_sink_says_what_was_acknowledged_and_sends_nothing_more(wire):
    job = Job(wire.client()).create()
    wire.faults = [Fault(at=at, what=What.LOST) for at in range(9, 1000)]
    sink = job.sink(retry=RetryPolicy(first_s=30.0, longest_s=30.0, budget_s=300.0))
    for number in range(3):
        sink.submit(number, *batch(number))
    sink.abort()
    assert set(job.settled).isdisjoint(sink.unsettled)
    assert set(job.settled) | set(sink.unsettled) == {0, 1, 2}


def test_a_key_is_in_no_message(wire):
    with pytest.warns(UserWarning, match="insecure connection"):
        client = wire.client(api_key="Socket-secret", headers={"x": "closed"})
    job = Job(client).create()
    wire.faults = [Fault(at=1, what=What.LOST, times=1000)]
    sink = job.sink(retry=RetryPolicy(first_s=0.01, longest_s=0.01, budget_s=0.05))
    with pytest.raises(ServerUnavailableError, match=r"Socket \*\*\*") as caught, sink:
        sink.submit(0, *batch(0))
    assert "secret" not in str(caught.value)
