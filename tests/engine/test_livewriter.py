"""LiveWriter and replay: what they do, one thing at a time."""

from __future__ import annotations

import threading
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest
from qdrant_client import models

from qdrant_static import (
    CollectionSpec,
    EdgeClient,
    LiveWriter,
    Record,
    create_collection,
    ingest,
    search,
)
from qdrant_static.collection.create import read_spec
from qdrant_static.collection.spec import Fields
from qdrant_static.errors import (
    ArgumentError,
    CollectionNotFoundError,
    EngineError,
    KeyTypeError,
    NotAPlannedCollectionError,
    PointError,
    ServerUnavailableError,
    TextInputError,
)
from qdrant_static.ids import point_id
from qdrant_static.journal.journalwriter import default_journal
from qdrant_static.journal.replay import replay
from qdrant_static.journal.sqlitejournal import Journal
from tests.fakes import FakeEncoder, write_jsonl
from tests.faulty_edge import Faults, FaultyEdge, FaultyJournal, Killed
from tests.journal_machine import check, matches, point_at, read

A, B = FakeEncoder("a", salt="a", dimension=16), FakeEncoder("b", salt="b", dimension=16)


def make(client: EdgeClient, name: str, encoder: FakeEncoder, **fields: object) -> None:
    spec = CollectionSpec.for_encoder(encoder, sparse=None, quantization=None)
    found = Fields(**({"key": "id", "text": ("text",)} | fields))  # type: ignore[arg-type]
    create_collection(client, name, spec.with_source(fields=found, mean_length=None))


@pytest.fixture
def faults() -> Faults:
    return Faults()


@pytest.fixture
def client(tmp_path: Path, faults: Faults):
    """``live`` is an alias of ``v1``; ``v2`` is empty."""
    with FaultyEdge(tmp_path / "db", faults) as opened:
        make(opened, "v1", A)
        make(opened, "v2", B)
        point_at(opened, "live", "v1")
        yield opened


@pytest.fixture
def writer(client: EdgeClient):
    with LiveWriter(client, "live", encoders=[A, B]) as opened:
        yield opened


def begin(writer: LiveWriter, green: str = "v2", blue: str = "v1") -> None:
    with writer.journal.exclusive():
        writer.journal.activate(green, primary=blue)


def row(key: object, text: str, **more: object) -> dict:
    return {"id": key, "text": text, **more}


# --- what an application does ------------------------------------------------------------------


def test_records_are_stored_with_key_and_text_and_their_vectors(client, writer):
    assert writer.upsert([Record(key=1, text="cat"), Record(key="k", text="dog sea")]) == 2
    assert writer.upsert(Record(key=1, text="moon", payload={"n": [1, {"ä": None}]})) == 1
    model = {1: row(1, "moon", n=[1, {"ä": None}]), point_id("k"): row("k", "dog sea")}
    check(client, "v1", model, A)
    assert client.count("v2").count == 0


def test_many_records_come_from_a_generator_and_the_last_of_a_key_stays(client, writer):
    records = (Record(key=n % 300, text=f"cat {n}") for n in range(700))
    assert writer.upsert(records) == 700
    model = {n: row(n, f"cat {n + 600 if n < 100 else n + 300}") for n in range(300)}
    check(client, "v1", model, A)


def test_the_vectors_are_those_that_ingest_makes(tmp_path, client):
    rows = [{"id": n, "title": f"cat {n}", "text": "sea moon tide", "n": n} for n in range(9)]
    path = write_jsonl(tmp_path / "rows.jsonl", rows)
    spec = CollectionSpec.for_encoder(A, matryoshka=(8,))
    ingest(client, "files", path, spec=spec, encoder=A)
    before = {one.id: one for one in client.scroll("files", limit=99, with_vectors=True)[0]}
    with LiveWriter(client, "files", encoders=[A]) as writer:
        texts = {"title": "cat 3", "text": "sea moon tide"}
        writer.upsert([Record(key=3, text=texts, payload={"n": 3})])
        writer.upsert(Record(key=one["id"], payload=one) for one in rows if one["id"] != 3)
        with pytest.raises(ArgumentError, match="title, text: give a mapping"):
            writer.upsert(Record(key=3, text="cat"))
    for one in client.scroll("files", limit=99, with_vectors=True)[0]:
        assert one.payload == before[one.id].payload
        for name, vector in one.vector.items():
            if name == "bm25":
                assert vector == before[one.id].vector[name]
            else:
                np.testing.assert_array_equal(vector, before[one.id].vector[name])


def test_a_collection_that_does_not_say_where_its_text_is_says_it_then(client, writer):
    create_collection(client, "bare", CollectionSpec.for_encoder(A))
    with LiveWriter(client, "bare", encoders=[A]) as bare:
        bare.upsert(Record(key=UUID(int=7), text="whale river", payload={"n": 1}))
    assert read_spec(client, "bare").fields == Fields(text=("text",))
    assert search(client, "bare", "whale", encoder=A)[0].text == "whale river"
    assert client.retrieve("bare", [str(UUID(int=7))])[0].payload == {
        "n": 1, "text": "whale river",
    }  # fmt: skip


def test_payloads_are_set_replaced_and_removed_by_key_and_by_filter(client, writer):
    writer.upsert(Record(key=n, text=f"cat {n}", payload={"n": n % 2, "m": 0}) for n in range(4))
    assert writer.set_payload([0, 1], {"m": 1}) == 2
    assert writer.set_payload(matches(0), {"k": [1]}) == 2
    assert writer.overwrite_payload(3, {"z": 0}) == 1
    assert writer.delete_payload([1], ["n", "nothing"]) == 1
    assert writer.clear_payload(matches(7)) == 0
    model = {
        0: row(0, "cat 0", n=0, m=1, k=[1]),
        1: row(1, "cat 1", m=1),
        2: row(2, "cat 2", n=0, m=0, k=[1]),
        3: row(3, "cat 3", z=0),
    }
    check(client, "v1", model, A)
    assert writer.clear_payload([0]) == 1
    check(client, "v1", {**model, 0: row(0, "cat 0")}, A)


def test_a_payload_that_changes_the_text_changes_the_vectors(client, writer):
    writer.upsert(Record(key=n, text=f"cat {n}") for n in range(3))
    writer.set_payload([0], {"text": "sea moon"})
    writer.overwrite_payload([1], {"text": "river", "n": 1})
    writer.overwrite_payload([2], {"n": 2})
    model = {0: row(0, "sea moon"), 1: row(1, "river", n=1), 2: row(2, "cat 2", n=2)}
    check(client, "v1", model, A)


def test_records_are_deleted_by_key_and_by_filter(client, writer):
    writer.upsert(Record(key=n, text="cat", payload={"n": n % 3}) for n in range(2500))
    assert writer.delete([0, 0, "absent"]) == 2
    assert writer.delete_by_filter(matches(1)) == 833
    assert set(read(client, "v1")[0]) == {n for n in range(1, 2500) if n % 3 != 1}
    assert writer.delete([]) == 0


# --- what is refused ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda w: w.upsert(Record(key=1, text=" ")), TextInputError, "record 1 has no text"),
        (lambda w: w.upsert(Record(key=1)), TextInputError, "has no text"),
        (lambda w: w.upsert(Record(key=1, text=b"x")), TextInputError, "is a bytes, not a string"),
        (lambda w: w.upsert(Record(key=1, text="\ud800")), TextInputError, "not Unicode"),
        (lambda w: w.upsert(Record(key=1.5, text="x")), KeyTypeError, "float"),
        (lambda w: w.upsert(Record(key=(1, 2), text="x")), KeyTypeError, "2 parts"),
        (lambda w: w.upsert(Record(key=1, text="x", payload={"id": 2})), PointError, "says 2"),
        (
            lambda w: w.upsert(Record(key=1, text="x", payload={"n": float("nan")})),
            PointError,
            "no JSON",
        ),
        (lambda w: w.upsert(Record(key=1, text="x", payload={"n": {1}})), PointError, "no JSON"),
        (lambda w: w.upsert(Record(key=1, text="x", payload={1: 1})), PointError, "no object"),
        (lambda w: w.set_payload([7], {"n": 1}), PointError, "7: it is not in 'v1'"),
        (lambda w: w.set_payload([1], {"id": 2}), ArgumentError, "the record's key"),
        (lambda w: w.delete_payload([1], ["id"]), ArgumentError, "the record's key"),
        (lambda w: w.delete_payload([1], "n"), ArgumentError, "give a list"),
        (lambda w: w.delete((1, 2)), ArgumentError, "a tuple: give a key"),
        (lambda w: w.delete(matches(1)), ArgumentError, "a Filter: give a key"),
    ],
)
def test_what_cannot_be_is_refused_and_leaves_nothing(client, writer, call, error, words):
    writer.upsert(Record(key=1, text="cat"))
    with pytest.raises(error, match=words):
        call(writer)
    check(client, "v1", {1: row(1, "cat")}, A)
    assert len(writer.journal) == 0


def test_a_refusal_in_the_middle_tells_how_much_was_written(writer):
    records = [Record(key=n, text="cat") for n in range(300)] + [Record(key=300, text="")]
    with pytest.raises(TextInputError) as caught:
        writer.upsert(records)
    assert caught.value.__notes__ == ["256 records of this call were written before it"]


def test_points_that_the_engine_refuses_are_in_no_generation(client, writer, monkeypatch):
    begin(writer)
    upsert = EdgeClient.upsert

    def refusing(self, name, points, *given, **named):
        for point in points:
            if point.payload.get("bad"):
                raise PointError(point=point.id, problem="too bad")
        return upsert(self, name, points, *given, **named)

    def refusing_all(*_: object, **__: object) -> None:
        raise PointError(point=2, problem="too bad")

    monkeypatch.setattr(EdgeClient, "upsert", refusing)
    monkeypatch.setattr(EdgeClient, "upsert_matrices", refusing_all)
    with pytest.raises(PointError, match="2: too bad"):
        writer.upsert([Record(key=1, text="cat"), Record(key=2, text="dog", payload={"bad": True})])
    monkeypatch.undo()
    replay(client, "v2", writer.journal, encoders=[A, B])
    for name, encoder in (("v1", A), ("v2", B)):
        check(client, name, {1: row(1, "cat")}, encoder)


def test_a_change_that_is_refused_whole_is_in_no_generation(client, writer, monkeypatch):
    writer.upsert(Record(key=1, text="cat"))

    def refusing(*_: object, **__: object) -> None:
        raise EngineError(operation="changing", problem="no")

    monkeypatch.setattr(FaultyEdge, "batch_update_points", refusing)
    with pytest.raises(EngineError):
        writer.set_payload([1], {"n": 1})
    monkeypatch.undo()
    assert len(writer.journal) == 0
    writer.flush()
    check(client, "v1", {1: row(1, "cat")}, A)


def test_a_name_that_is_nothing_and_a_collection_of_others_are_told(client, tmp_path):
    with LiveWriter(client, "nothing") as writer, pytest.raises(CollectionNotFoundError):
        writer.delete([1])
    client.create_collection("theirs", models.VectorParams(size=2, distance="Dot"))
    with LiveWriter(client, "theirs") as writer, pytest.raises(NotAPlannedCollectionError):
        writer.delete([1])


def test_two_journals_of_one_collection_are_refused_until_one_takes_over(client, writer, tmp_path):
    writer.upsert(Record(key=1, text="cat"))
    other = tmp_path / "other.sqlite"
    with LiveWriter(client, "live", journal=other, encoders=[A]) as second:
        with pytest.raises(ArgumentError, match="All writers must have the same"):
            second.upsert(Record(key=1, text="dog"))
    with LiveWriter(client, "live", journal=other, encoders=[A], take_over=True) as second:
        second.upsert(Record(key=1, text="dog"))
    with pytest.raises(ArgumentError, match="All writers must have the same"):
        writer.upsert(Record(key=1, text="moon"))
    check(client, "v1", {1: row(1, "dog")}, A)


# --- the journal behind it ---------------------------------------------------------------------


def test_without_a_migration_nothing_is_kept(client, writer):
    writer.upsert(Record(key=n, text="cat") for n in range(600))
    writer.delete([1])
    assert len(writer.journal) == 0
    assert [(one.collection, one.mode, one.entries) for one in writer.lag()] == [
        ("v1", "primary", 0)
    ]
    assert writer.journal.place == str(default_journal(client, "live"))
    assert Path(writer.journal.place).is_relative_to(client.path / "_state" / "live")


@pytest.mark.parametrize("steps", range(6))
@pytest.mark.parametrize("kind", ["upsert", "set", "delete", "filter"])
def test_a_writer_that_dies_leaves_all_or_nothing_the_same_everywhere(
    tmp_path, client, faults, kind, steps
):
    path = tmp_path / "j.sqlite"
    with FaultyJournal(path, faults) as journal:
        writer = LiveWriter(client, "live", journal=journal, encoders=[A, B])
        writer.upsert(Record(key=n, text="cat", payload={"n": 1}) for n in range(3))
        calls = {
            "upsert": lambda: writer.upsert(Record(key=n, text="dog") for n in range(1, 5)),
            "set": lambda: writer.set_payload(matches(1), {"m": 1}),
            "delete": lambda: writer.delete([0, 1]),
            "filter": lambda: writer.delete_by_filter(matches(1)),
        }
        faults.arm(steps)
        with pytest.raises(Killed):
            calls[kind]()
        faults.disarm()
    # A migration begins, and reads everything, before anybody finishes it.
    with LiveWriter(client, "live", journal=path, encoders=[A, B]) as writer:
        begin(writer)
        copied = client.scroll("v1", limit=99)[0]
        rows = B.encode([one.payload["text"] for one in copied])
        if copied:
            client.upsert(
                "v2",
                [
                    models.PointStruct(id=one.id, vector={"full": vector}, payload=one.payload)
                    for one, vector in zip(copied, rows.tolist(), strict=True)
                ],
            )
        writer.upsert(Record(key=9, text="ship"))
        replay(client, "v2", writer.journal, encoders=[A, B])
    before = {n: row(n, "cat", n=1) for n in range(3)}
    after = {
        "upsert": {0: before[0], **{n: row(n, "dog") for n in range(1, 5)}},
        "set": {n: {**one, "m": 1} for n, one in before.items()},
        "delete": {2: before[2]},
        "filter": {},
    }[kind]
    model = {**(before if steps == 0 else after), 9: row(9, "ship")}
    check(client, "v1", model, A)
    check(client, "v2", model, B)


def test_a_server_that_is_away_leaves_the_change_to_whoever_writes_next(client, writer, faults):
    begin(writer)
    faults.away = {"v1"}
    with pytest.raises(ServerUnavailableError):
        writer.upsert(Record(key=1, text="cat"))
    assert writer.lag()[0].entries == 1
    faults.away = set()
    writer.upsert(Record(key=2, text="dog"))
    replay(client, "v2", writer.journal, encoders=[A, B])
    for name, encoder in (("v1", A), ("v2", B)):
        check(client, name, {1: row(1, "cat"), 2: row(2, "dog")}, encoder)


def test_two_writers_of_one_process_take_turns(client, tmp_path):
    begin_at = threading.Barrier(4)
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            with LiveWriter(client, "live", encoders=[A, B]) as writer:
                begin_at.wait(30)
                for step in range(15):
                    writer.upsert(Record(key=step, text=f"cat {number}", payload={"by": number}))
                    writer.set_payload([step], {"edit": number})
                    if step % 5 == 4:
                        writer.delete([step])
        except BaseException as error:
            failures.append(error)

    with LiveWriter(client, "live", encoders=[A, B]) as writer:
        begin(writer)
        threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
        for thread in threads:
            thread.start()
        begin_at.wait(30)
        for thread in threads:
            thread.join()
        missing = [one for one in failures if not isinstance(one, PointError)]
        assert not missing, missing
        replay(client, "v2", writer.journal, encoders=[A, B])
    found, _ = read(client, "v1")
    check(client, "v1", found, A)
    check(client, "v2", found, B)


# --- a migration -------------------------------------------------------------------------------


def test_a_filter_means_the_points_that_it_found_when_it_was_given(client, writer):
    begin(writer)
    writer.upsert(Record(key=n, text="cat", payload={"n": 1}) for n in range(3))
    writer.set_payload([0], {"n": 2})
    assert writer.delete_by_filter(matches(1)) == 2
    writer.upsert(Record(key=5, text="dog", payload={"n": 1}))
    replay(client, "v2", writer.journal, encoders=[A, B])
    model = {0: row(0, "cat", n=2), 5: row(5, "dog", n=1)}
    check(client, "v1", model, A)
    check(client, "v2", model, B)


def test_an_edit_of_a_row_that_the_new_one_has_not_is_left_out(client, writer):
    writer.upsert(Record(key=n, text=f"cat {n}") for n in range(3))
    begin(writer)
    writer.set_payload([0, 1], {"n": 1})
    writer.overwrite_payload([1], {"m": 1})
    writer.delete_payload([2], ["n"])
    replay(client, "v2", writer.journal, encoders=[A, B])
    assert client.count("v2").count == 0


def test_replay_goes_in_steps_and_says_how_far_it_is(client, writer):
    begin(writer)
    for n in range(10):
        writer.upsert(Record(key=n % 4, text=f"cat {n}"))
    heard: list[int] = []
    done = replay(
        client, "v2", writer.journal, encoders=[A, B], upto=7, batch=3, progress=heard.append
    )
    assert (done.entries, done.position, done.left, heard) == (7, 7, 3, [3, 6, 7])
    done = replay(client, "v2", writer.journal, encoders=[A, B])
    assert (done.entries, done.left) == (3, 0)
    check(client, "v2", read(client, "v1")[0], B)


def test_a_deletion_and_a_new_record_of_one_batch_keep_their_order(client, writer):
    begin(writer)
    writer.upsert(Record(key=1, text="cat"))
    writer.delete([1])
    writer.upsert(Record(key=1, text="dog"))
    writer.upsert(Record(key=2, text="cat"))
    writer.delete([2])
    replay(client, "v2", writer.journal, encoders=[A, B])
    check(client, "v2", {1: row(1, "dog")}, B)


def test_a_new_layout_takes_its_text_from_other_fields(client, writer):
    make(client, "v3", B, text=("title", "text"))
    begin(writer, "v3")
    writer.upsert(Record(key=1, text="cat", payload={"title": "sea"}))
    writer.set_payload([1], {"title": "moon"})
    replay(client, "v3", writer.journal, encoders=[A, B])
    _, vectors = read(client, "v3")
    np.testing.assert_allclose(vectors[1], B.encode(["moon cat"])[0], atol=1e-6)


def test_the_alias_moves_under_the_writer_and_the_old_one_follows(client, writer):
    writer.upsert(Record(key=1, text="cat"))
    begin(writer)
    writer.upsert(Record(key=2, text="dog"))
    point_at(client, "live", "v2")  # nobody drained the journal: the next write does
    writer.upsert(Record(key=3, text="sea"))
    assert {2, 3} == set(read(client, "v2")[0])
    check(client, "v1", {n: row(n, t) for n, t in ((1, "cat"), (2, "dog"), (3, "sea"))}, A)
    assert [(one.collection, one.mode, one.entries) for one in writer.lag()] == [
        ("v1", "follow", 0), ("v2", "primary", 0),
    ]  # fmt: skip


def test_a_follower_that_is_away_or_gone_only_lags(client, writer, faults):
    begin(writer)
    writer.upsert(Record(key=1, text="cat"))
    with writer.journal.exclusive("cut-over"):
        assert replay(client, "v2", writer.journal, encoders=[A, B]).left == 0
        point_at(client, "live", "v2")
    faults.away = {"v1"}
    for n in (2, 3):
        writer.upsert(Record(key=n, text="dog"))
    lag = {one.collection: one for one in writer.lag()}
    assert (lag["v1"].entries, lag["v2"].entries) == (2, 0)
    assert "away" in lag["v1"].problem
    faults.away = set()
    assert {one.entries for one in writer.flush()} == {0}
    check(client, "v1", read(client, "v2")[0], A)
    client.delete_collection("v1")
    writer.upsert(Record(key=4, text="dog"))
    lag = {one.collection: one for one in writer.lag()}
    assert lag["v1"].entries == 1
    assert "CollectionNotFoundError" in lag["v1"].problem
    with writer.journal.exclusive():
        writer.journal.retire("v1")
    assert len(writer.journal) == 0


def test_what_the_new_one_refuses_is_told_and_kept(client, writer, faults):
    begin(writer)
    writer.upsert(Record(key=1, text="cat"))
    faults.away = {"v2"}
    with pytest.raises(ServerUnavailableError):
        replay(client, "v2", writer.journal, encoders=[A, B])
    lag = {one.collection: one for one in writer.lag()}
    assert (lag["v2"].entries, "away" in lag["v2"].problem) == (1, True)


def test_a_replay_that_dies_is_done_again(tmp_path, client, faults):
    with FaultyJournal(tmp_path / "j.sqlite", faults) as journal:
        writer = LiveWriter(client, "live", journal=journal, encoders=[A, B])
        begin(writer)
        writer.upsert(Record(key=n, text=f"cat {n}") for n in range(3))
        writer.set_payload([1], {"text": "sea"})
        writer.delete([2])
        for steps in range(12):
            faults.arm(steps)
            with journal.exclusive():
                journal.rewind("v2")
            try:
                replay(client, "v2", journal, encoders=[A, B], batch=1)
            except Killed:
                replay(client, "v2", journal, encoders=[A, B], batch=2)
            faults.disarm()
            check(client, "v2", read(client, "v1")[0], B)


def test_writers_wait_for_the_switch(client, tmp_path):
    journal = Journal(tmp_path / "j.sqlite")
    with LiveWriter(client, "live", journal=tmp_path / "j.sqlite", encoders=[A, B]) as writer:
        with journal.exclusive("cut-over"):
            journal.activate("v2", primary="v1")
            thread = threading.Thread(target=writer.upsert, args=(Record(key=1, text="cat"),))
            thread.start()
            thread.join(0.05)
            assert thread.is_alive()
            point_at(client, "live", "v2")
        thread.join()
        check(client, "v2", {1: row(1, "cat")}, B)
    journal.close()
