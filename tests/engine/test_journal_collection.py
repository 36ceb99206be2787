"""The journal as a collection: the same journal, and a lock that no dead writer keeps."""

from __future__ import annotations

import threading

import pytest

from qdrant_static import CollectionSpec, EdgeClient, LiveWriter, Record, create_collection
from qdrant_static.errors import ArgumentError, StorageError
from qdrant_static.journal.replay import replay
from qdrant_static.journal.serverjournal import JournalCollection
from tests.fakes import FakeEncoder
from tests.journal_machine import check, point_at, read
from tests.journal_suite import *  # noqa: F403
from tests.journal_suite import change


@pytest.fixture
def journal(client: EdgeClient):
    opened = JournalCollection(client, "articles__journal")
    with opened.exclusive():
        opened.set_primary("v1")
        yield opened


def test_it_is_the_same_for_everybody(client, journal):
    entries = journal.append([change(1)])
    again = JournalCollection(client, "articles__journal")
    assert again.identity == journal.identity
    assert again.pending("v1", 9) == entries
    assert len(again) == 1


def test_nothing_is_changed_outside_of_exclusive(client):
    with pytest.raises(ArgumentError, match="outside of exclusive"):
        JournalCollection(client, "j").append([change(1)])


def test_changes_are_in_it_as_they_were(journal):
    payload = {"n": 1.0, "k": [None, {"ä.b": []}], "big": 2**63, "tiny": 1e-300}
    journal.append([Change(op="upsert", ids=(2**64 - 1,), payloads=(payload,))])  # noqa: F405
    assert journal.pending("v1", 1)[0].change.payloads == (payload,)


def test_what_a_dying_writer_wrote_beyond_the_state_is_not_there(client, journal, monkeypatch):
    def dying(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(journal, "_write", dying)
    with pytest.raises(KeyboardInterrupt):
        journal.append([change(1), change(2), change(3)])
    monkeypatch.undo()
    assert journal.pending("v1", 9) == []
    (entry,) = journal.append([change(7)])
    assert entry.seq == 1
    assert journal.pending("v1", 9) == [entry]
    assert journal.lag("v1").entries == 1
    more = journal.append([change(8)])
    assert journal.pending("v1", 9) == [entry, *more]


def test_who_waits_too_long_hears_who_holds_it(client, journal):
    other = JournalCollection(client, "articles__journal", patience_s=0.1)
    with pytest.raises(StorageError, match=r"process .*writing"), other.exclusive():
        pass


def test_a_writer_without_a_sign_of_life_is_taken_for_dead_and_finds_out(client, journal):
    other = JournalCollection(client, "articles__journal", lease_s=0.1)
    with other.exclusive():
        other.append([change(1)])
    journal._lease.renewed = float("-inf")
    with pytest.raises(StorageError, match="another has taken over"):
        journal.append([change(2)])


def test_a_holder_that_goes_on_keeps_it(client, journal):
    journal._lease.renewed = float("-inf")
    journal.append([change(1)])
    assert journal._lease._point.read()["holder"].endswith("renewed")


def test_a_collection_of_others_is_no_journal(client):
    journal = JournalCollection(client, "j")
    assert journal.last() == 0
    client.delete("j", ["3f0c9d2e-0000-5000-8000-000000000002"])
    with pytest.raises(StorageError, match="no journal, or it is damaged"):
        journal.last()


def test_writers_of_several_machines_take_turns(client):
    encoders = [FakeEncoder(salt=one, dimension=16) for one in "ab"]
    for name, encoder in zip(("v1", "v2"), encoders, strict=True):
        create_collection(
            client, name, CollectionSpec.for_encoder(encoder, sparse=None, quantization=None)
        )
    point_at(client, "live", "v1")
    journal = JournalCollection(client, "live__journal")
    with journal.exclusive():
        journal.activate("v2", primary="v1")
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            mine = JournalCollection(client, "live__journal")
            writer = LiveWriter(client, "live", journal=mine, encoders=encoders)
            for step in range(8):
                writer.upsert(Record(key=step, text=f"cat {number}", payload={"by": number}))
                if step % 3 == 2:
                    writer.delete([step - 1])
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert journal.last() == 3 * 10
    assert replay(client, "v2", journal, encoders=encoders).left == 0
    model, _ = read(client, "v1")
    check(client, "v1", model, encoders[0])
    check(client, "v2", model, encoders[1])
