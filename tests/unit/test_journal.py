"""The journal's file: order, targets, what is kept, what a damaged or full disk does."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import pytest

from qdrant_static.errors import ArgumentError, StorageError
from qdrant_static.journal.changes import Change
from qdrant_static.journal.sqlitejournal import Journal
from tests.fakes import run_python
from tests.journal_suite import *  # noqa: F403
from tests.journal_suite import change


@pytest.fixture
def journal(tmp_path: Path):
    with Journal(tmp_path / "state" / "journal.sqlite") as opened, opened.exclusive():
        opened.set_primary("v1")
        yield opened


def test_it_is_the_same_when_it_is_opened_again(tmp_path):
    path = tmp_path / "journal.sqlite"
    with Journal(path) as opened, opened.exclusive():
        identity = opened.identity
        opened.set_primary("v1")
        entries = opened.append([change(1)])
    with Journal(path) as opened:
        assert opened.identity == identity
        assert opened.pending("v1", 9) == entries
    path.unlink()
    with Journal(path) as opened:
        assert opened.identity != identity


def test_nothing_is_changed_outside_of_exclusive(tmp_path):
    with Journal(tmp_path / "journal.sqlite") as opened:
        with pytest.raises(ArgumentError, match="outside of exclusive"):
            opened.append([change(1)])
    with pytest.raises(ArgumentError, match="is closed"), opened.exclusive():
        pass


def test_a_full_disk_is_told_and_half_of_nothing_is_there(journal):
    pages = journal._db.execute("PRAGMA page_count").fetchone()[0]
    journal._db.execute(f"PRAGMA max_page_count = {pages}")
    large = Change(op="upsert", ids=(2,), payloads=({"text": "x" * 100_000},))
    with pytest.raises(StorageError, match="disk is full"):
        journal.append([change(1), large])
    assert len(journal) == 0
    journal._db.execute("PRAGMA max_page_count = 100000")
    assert len(journal.append([change(1), large])) == 2


def test_a_damaged_file_is_told_and_says_what_to_do(tmp_path):
    path = tmp_path / "journal.sqlite"
    with Journal(path) as opened, opened.exclusive():
        opened.set_primary("v1")
        opened.append([change(1)])
    path.write_bytes(b"this is no journal" * 500)
    with pytest.raises(StorageError, match=r"damaged .*Move it away"):
        Journal(path)


def test_a_damaged_entry_is_told(journal):
    journal.append([change(1)])
    journal._db.execute("UPDATE entries SET payloads = '[{'")
    with pytest.raises(StorageError, match="entry 1 cannot be read"):
        journal.pending("v1", 9)


def test_another_version_is_refused(tmp_path):
    path = tmp_path / "journal.sqlite"
    Journal(path).close()
    with sqlite3.connect(path) as database:
        database.execute("UPDATE meta SET value = 99 WHERE key = 'version'")
    database.close()
    with pytest.raises(StorageError, match="version 99"):
        Journal(path)


def test_who_waits_too_long_hears_who_holds_it(tmp_path):
    path = tmp_path / "journal.sqlite"
    with Journal(path) as one, Journal(path, patience_s=0.05) as other:
        with one.exclusive("a long switch"), pytest.raises(StorageError, match="a long switch"):
            with other.exclusive():
                pass
        with other.exclusive(), other.exclusive():
            assert other.append([change(1)])


@pytest.mark.parametrize("shared", [True, False], ids=["one object", "an object each"])
def test_threads_take_turns(tmp_path, shared):
    path = tmp_path / "journal.sqlite"
    opened = [Journal(path)] if shared else [Journal(path) for _ in range(3)]
    inside, most = [], []

    def work(journal: Journal) -> None:
        for _ in range(20):
            with journal.exclusive():
                inside.append(1)
                most.append(len(inside))
                journal.append([change(1)])
                inside.pop()

    threads = [threading.Thread(target=work, args=(opened[n % len(opened)],)) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(most) == 1
    assert opened[0].last() == 60
    for journal in opened:
        journal.close()


def test_a_process_that_holds_it_keeps_others_out_until_it_is_gone(tmp_path):
    path = tmp_path / "journal.sqlite"
    code = """
import sys
from qdrant_static.errors import StorageError
from qdrant_static.journal.sqlitejournal import Journal
try:
    Journal(sys.argv[1], patience_s=0.2)
except StorageError as error:
    print(error)
"""
    with Journal(path) as opened:
        with opened.exclusive("switching"):
            done = run_python(code, path, cwd=tmp_path)
        assert "switching" in done.out, done.err
        assert run_python(code, path, cwd=tmp_path).out == ""


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot be made or opened"):
        Journal(tmp_path / "file" / "journal.sqlite")
