"""What every journal must do; a test file brings the fixture ``journal``, whose primary is v1."""

from __future__ import annotations

import pytest

from qdrant_static.errors import ArgumentError
from qdrant_static.journal.changes import Change


def change(*ids: int | str) -> Change:
    return Change(op="upsert", ids=ids, payloads=tuple({"id": one, "ä": [1.5]} for one in ids))


def test_entries_come_back_as_they_were_in_their_order(journal):
    changes = [
        change(1, "a"),
        Change(op="set_payload", ids=(1,), payloads=({"n": None},)),
        Change(op="delete_payload", ids=(1,), names=("n",)),
        Change(op="delete", ids=(2**64 - 1,)),
    ]
    entries = journal.append(changes)
    assert [one.seq for one in entries] == [1, 2, 3, 4]
    assert journal.pending("v1", 9) == entries
    assert [one.change for one in entries] == changes
    assert [one.seq for one in journal.pending("v1", 2)] == [1, 2]
    assert [one.seq for one in journal.pending("v1", 9, upto=3)] == [1, 2, 3]


def test_what_everybody_has_is_forgotten_and_no_number_is_given_twice(journal):
    for number in (1, 2, 3):
        assert journal.append([change(1)])[0].seq == number
        journal.advance("v1", number)
        assert len(journal) == 0
    assert journal.last() == 3
    assert journal.acknowledged() == 3


def test_a_collection_that_is_built_begins_at_what_the_primary_has(journal):
    journal.append([change(1), change(2)])
    journal.advance("v1", 1)
    target = journal.activate("v2", primary="v1")
    assert (target.start, target.position, target.mode) == (1, 1, "hold")
    journal.advance("v1", 2)
    assert [one.seq for one in journal.pending("v2", 9)] == [2]
    assert journal.activate("v2", primary="v1") == target


def test_what_a_new_build_will_need_is_kept_until_it_is_in_use(journal):
    journal.activate("v2", primary="v1")
    journal.append([change(1), change(2)])
    journal.advance("v1", 2)
    journal.advance("v2", 2)
    assert journal.lag("v2").entries == 0
    journal.rewind("v2")
    assert [one.seq for one in journal.pending("v2", 9)] == [1, 2]
    journal.advance("v2", 2)
    journal.set_primary("v2")
    journal.advance("v1", 2)
    assert len(journal) == 0
    with pytest.raises(ArgumentError, match="in use"):
        journal.rewind("v2")


def test_the_alias_moves_to_a_target_and_the_one_before_follows(journal):
    journal.activate("v2", primary="v1")
    journal.set_primary("v2")
    assert {name: one.mode for name, one in journal.consumers().items()} == {
        "v1": "follow", "v2": "primary",
    }  # fmt: skip
    journal.append([change(1)])
    journal.advance("v2", 1)
    assert journal.lag("v1").entries == 1
    assert len(journal) == 1
    journal.set_primary("v1")
    assert [one.seq for one in journal.pending("v1", 9)] == [1]
    journal.advance("v1", 1)
    journal.retire("v2")
    assert list(journal.consumers()) == ["v1"]


def test_the_alias_moves_to_a_stranger_which_takes_the_place(journal):
    journal.append([change(1)])
    journal.set_primary("other")
    assert list(journal.consumers()) == ["other"]
    assert [one.seq for one in journal.pending("other", 9)] == [1]


def test_lag_says_how_much_how_old_and_why(journal):
    journal.activate("v2", primary="v1")
    assert (journal.lag("v2").entries, journal.lag("v2").oldest_s) == (0, 0.0)
    journal.append([change(1)])
    journal.note_problem("v2", "away")
    lag = journal.lag("v2")
    assert (lag.entries, lag.problem, lag.mode) == (1, "away", "hold")
    assert lag.oldest_s >= 0
    journal.advance("v2", 1)
    assert journal.lag("v2").problem is None


def test_the_primary_is_neither_built_nor_retired(journal):
    with pytest.raises(ArgumentError, match="'v1' is what the writers write to"):
        journal.activate("v1", primary="v1")
    with pytest.raises(ArgumentError, match="'v1' is what the writers write to"):
        journal.retire("v1")
    with pytest.raises(ArgumentError, match="knows no 'v7'; it knows v1"):
        journal.lag("v7")
