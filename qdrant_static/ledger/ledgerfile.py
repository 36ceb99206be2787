"""The SQLite file of a ledger: its tables, transactions, errors and notes."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from qdrant_static.errors import StorageError

if TYPE_CHECKING:
    from types import TracebackType

#: Version of the tables.
VERSION = 3
#: Version -> the statements that upgrade its tables to the next version.
UPGRADES = {
    1: "ALTER TABLE runs ADD COLUMN building INTEGER NOT NULL DEFAULT 0;",
    2: "ALTER TABLE runs ADD COLUMN totals TEXT; ALTER TABLE runs ADD COLUMN removed TEXT;",
}
#: Points that stay although no input has them. A table that is created when it is missing: ledgers
#: without it have the same version.
_KEPT_TABLE = "CREATE TABLE IF NOT EXISTS kept (id BLOB PRIMARY KEY) WITHOUT ROWID"
_TABLES = f"""
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
INSERT INTO meta VALUES ('version', '{VERSION}');
CREATE TABLE runs (
    id INTEGER PRIMARY KEY,
    state TEXT NOT NULL,
    started TEXT NOT NULL,
    finished TEXT,
    attempts INTEGER NOT NULL DEFAULT 1,
    identity TEXT NOT NULL,            -- JSON: what must agree for the run to be continued
    points_before INTEGER,
    points_after INTEGER,
    deleted INTEGER NOT NULL DEFAULT 0,
    complete INTEGER NOT NULL DEFAULT 0,  -- the ledger knew every point of the collection before
    rejects TEXT,                      -- the rejects file
    rejects_bytes INTEGER NOT NULL DEFAULT 0,
    versions TEXT NOT NULL,            -- JSON: of this package, the engine, Python
    building INTEGER NOT NULL DEFAULT 0, -- its rows lie in a local folder, not in the collection
    totals TEXT,                       -- JSON: its sum, once its batches are forgotten
    removed TEXT                       -- JSON: names of its files that were removed since
);
CREATE TABLE files (
    run INTEGER NOT NULL, number INTEGER NOT NULL, path TEXT NOT NULL, fingerprint TEXT NOT NULL,
    PRIMARY KEY (run, number)
) WITHOUT ROWID;
CREATE TABLE batches (
    run INTEGER NOT NULL, file INTEGER NOT NULL,
    start INTEGER NOT NULL, stop INTEGER NOT NULL,  -- rows or lines of the file, half open
    state TEXT NOT NULL,               -- sent; built: in the local folder alone; stored
    read INTEGER NOT NULL DEFAULT 0,   -- = stored + payload_updated + ... + rejected
    stored INTEGER NOT NULL DEFAULT 0,
    payload_updated INTEGER NOT NULL DEFAULT 0,
    unchanged INTEGER NOT NULL DEFAULT 0,
    superseded INTEGER NOT NULL DEFAULT 0,
    rejected INTEGER NOT NULL DEFAULT 0,
    new INTEGER NOT NULL DEFAULT 0,    -- points that were not in the collection
    points INTEGER NOT NULL DEFAULT 0, -- points that were written
    reasons TEXT NOT NULL DEFAULT '{{}}',  -- JSON: reason -> rejected rows
    PRIMARY KEY (run, file, start)
) WITHOUT ROWID;
CREATE TABLE broken (
    run INTEGER NOT NULL, path TEXT NOT NULL, message TEXT NOT NULL,
    PRIMARY KEY (run, path, message)
) WITHOUT ROWID;
CREATE TABLE rows (
    id BLOB PRIMARY KEY,               -- 'integer:' and 8 bytes, or the 16 bytes of a UUID
    text BLOB NOT NULL,                -- digest of text, encoder and spec; empty: unknown
    payload BLOB NOT NULL,             -- digest of the payload; empty: unknown
    run INTEGER NOT NULL, file INTEGER NOT NULL, position INTEGER NOT NULL,
    state TEXT NOT NULL                -- stored, payload, unchanged, refused; known: found there
) WITHOUT ROWID;
CREATE TABLE pending (                 -- n rows of one batch in one row
    number INTEGER PRIMARY KEY, run INTEGER NOT NULL, file INTEGER NOT NULL, state TEXT NOT NULL,
    ids BLOB NOT NULL, texts BLOB NOT NULL, payloads BLOB NOT NULL,
    positions TEXT NOT NULL            -- JSON
);
"""

#: The write-ahead log is written back to the file after so many pages.
_CHECKPOINT_PAGES = 8_192
_REMEDY = "move it away, and make it anew (qdrant-static verify --anew)"


class LedgerFile:
    """An open ledger file.

    Args:
        path: The file; it is created if it is missing.

    Attributes:
        connection: The SQLite connection.
        last_commit: When the last transaction was committed, by the monotonic clock.

    Raises:
        StorageError: If it cannot be opened, is damaged, or of another version.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.last_commit = time.monotonic()
        with self.errors():
            self.connection = sqlite3.connect(path, isolation_level=None)
        try:
            with self.errors():
                version = self._prepare()
            if version != str(VERSION):
                raise StorageError(
                    path=str(path),
                    problem=f"is a ledger of version {version}, this version of qdrant-static "
                    f"reads {VERSION}: {_REMEDY}",
                )
        except BaseException:
            self.connection.close()  # releases its transaction, so that a retry need not wait
            raise

    def _prepare(self) -> str | None:
        """Create the tables or upgrade them, and return the version that they then have."""
        run = self.connection.execute
        run("PRAGMA journal_mode = WAL")
        # A commit survives the death of the process. The last ones may be lost in a power failure:
        # their batches are then repeated, which is harmless.
        run("PRAGMA synchronous = NORMAL")
        run(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
        if not run("SELECT 1 FROM sqlite_master").fetchone():
            self.connection.executescript(f"BEGIN IMMEDIATE;{_TABLES}COMMIT;")
        version = self._version()
        for number in range(1, VERSION):
            if version == str(number):
                # One transaction: after a crash the ledger has either the old or the new version.
                self.connection.executescript(
                    f"BEGIN IMMEDIATE;{UPGRADES[number]}"
                    f"UPDATE meta SET value = '{number + 1}' WHERE key = 'version';COMMIT;"
                )
                version = self._version()
        if version == str(VERSION):
            run(_KEPT_TABLE)
        return version

    def _version(self) -> str | None:
        row = self.connection.execute("SELECT value FROM meta WHERE key = 'version'").fetchone()
        return None if row is None else str(row[0])

    @property
    def notes(self) -> MutableMapping[str, Any]:
        """JSON values that jobs leave for later jobs; each is durable as soon as it is set."""
        return _Notes(self)

    def put_note(self, name: str, value: Any) -> None:
        """Set a note within the transaction that is open."""
        self.connection.execute(
            "INSERT OR REPLACE INTO meta VALUES (?, ?)", (f"note {name}", json.dumps(value))
        )

    def query(self, statement: str, *arguments: Any) -> Iterator[tuple[Any, ...]]:
        """Run a statement that only reads, and yield its rows."""
        with self.errors():
            yield from self.connection.execute(statement, arguments)

    def number(self, statement: str, *arguments: Any) -> int:
        """Run a statement that gives one number, and return it."""
        with self.errors():
            return int(self.connection.execute(statement, arguments).fetchone()[0])

    def open_transaction(self) -> None:
        """Begin a transaction unless one is open; a later `commit` makes it durable."""
        if not self.connection.in_transaction:
            self.connection.execute("BEGIN IMMEDIATE")

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Run statements that become durable together, with whatever was entered before them."""
        with self.errors():
            self.open_transaction()
            yield self.connection
            self.commit()

    def commit(self) -> None:
        """Make everything that was entered durable."""
        with self.errors():
            if self.connection.in_transaction:
                self.connection.execute("COMMIT")
        self.last_commit = time.monotonic()

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Raise SQLite's errors as `StorageError`, with a remedy."""
        try:
            yield
        except sqlite3.Error as error:
            problem = str(error)
            if "full" in problem:
                problem = "the disk is full. Make room and repeat: the job goes on where it was"
            elif isinstance(error, sqlite3.OperationalError):
                problem = f"{problem}; repeat when the disk works again"
            else:
                problem = f"the ledger is damaged ({problem}): {_REMEDY}"
            raise StorageError(path=str(self.path), problem=problem) from error

    def close(self) -> None:
        """Close the file; what was not committed is lost."""
        self.connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class _Notes(MutableMapping[str, Any]):
    """JSON values in the table ``meta``."""

    def __init__(self, file: LedgerFile) -> None:
        self._file = file

    def __getitem__(self, name: str) -> Any:
        for (value,) in self._file.query("SELECT value FROM meta WHERE key = ?", f"note {name}"):
            return json.loads(value)
        raise KeyError(name)

    def __setitem__(self, name: str, value: Any) -> None:
        with self._file.transaction():
            self._file.put_note(name, value)

    def __delitem__(self, name: str) -> None:
        with self._file.transaction() as connection:
            cursor = connection.execute("DELETE FROM meta WHERE key = ?", (f"note {name}",))
        if not cursor.rowcount:
            raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        rows = self._file.query(
            "SELECT substr(key, 6) FROM meta WHERE key LIKE 'note %' ORDER BY key"
        )
        return iter([name for (name,) in rows])

    def __len__(self) -> int:
        return sum(1 for _ in self)
