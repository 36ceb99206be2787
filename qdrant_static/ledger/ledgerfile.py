"""The file of a ledger: opened, locked by transactions, with errors that say what to do."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from qdrant_static.errors import StorageError
from qdrant_static.ledger.tables import CHANGES, KEPT, TABLES, VERSION

if TYPE_CHECKING:
    from types import TracebackType

#: So many pages of the write-ahead log are gathered before they go to their places.
_CHECKPOINT_PAGES = 8_192
_WAY_OUT = "move it away, and make it anew (qdrant-static verify --anew)"


class LedgerFile:
    """An open ledger, without what is in it.

    Args:
        path: The file; it is made if it is missing.

    Raises:
        StorageError: If it cannot be opened, is damaged, or of another version.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._last_commit = time.monotonic()
        with self._errors():
            self._db = sqlite3.connect(path, isolation_level=None)
        try:
            with self._errors():
                version = self._prepare()
            if version != str(VERSION):
                raise StorageError(
                    path=str(path),
                    problem=f"is a ledger of version {version}, this version of qdrant-static "
                    f"reads {VERSION}: {_WAY_OUT}",
                )
        except BaseException:
            self._db.close()  # whoever tries again must not wait for this one's transaction
            raise

    def _prepare(self) -> str | None:
        """Have the tables there, as this version has them; give the version that they are of."""
        self._db.execute("PRAGMA journal_mode = WAL")
        # A commit survives the death of the process. The last ones may be lost with the power:
        # their batches are then repeated, which is harmless.
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
        if not self._db.execute("SELECT 1 FROM sqlite_master").fetchone():
            self._db.executescript(f"BEGIN IMMEDIATE;{TABLES}COMMIT;")
        version = self._version()
        for number in range(1, VERSION):
            if version == str(number):
                # One transaction: a ledger is of one version or of the next.
                self._db.executescript(
                    f"BEGIN IMMEDIATE;{CHANGES[number]}"
                    f"UPDATE meta SET value = '{number + 1}' WHERE key = 'version';COMMIT;"
                )
                version = self._version()
        if version == str(VERSION):
            self._db.execute(KEPT)
        return version

    @property
    def notes(self) -> MutableMapping[str, Any]:
        """What jobs leave for the next one, durable as soon as it is set."""
        return _Notes(self)

    def _version(self) -> str | None:
        found = self._db.execute("SELECT value FROM meta WHERE key = 'version'").fetchone()
        return None if found is None else str(found[0])

    def commit(self) -> None:
        """Make durable what was entered."""
        with self._errors():
            if self._db.in_transaction:
                self._db.execute("COMMIT")
        self._last_commit = time.monotonic()

    def query(self, statement: str, *arguments: Any) -> Iterator[tuple[Any, ...]]:
        """What a statement that only reads gives, row by row."""
        with self._errors():
            yield from self._db.execute(statement, arguments)

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """The file's connection, for statements that become durable all together."""
        with self._transaction():
            yield self._db

    def enter_note(self, name: str, value: Any) -> None:
        """Leave a note together with what else is entered."""
        self._db.execute(
            "INSERT OR REPLACE INTO meta VALUES (?, ?)", (f"note {name}", json.dumps(value))
        )

    def close(self) -> None:
        """Let go of the file; what was not committed is forgotten."""
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _one(self, statement: str, *arguments: Any) -> int:
        with self._errors():
            return int(self._db.execute(statement, arguments).fetchone()[0])

    def _open_transaction(self) -> None:
        if not self._db.in_transaction:
            self._db.execute("BEGIN IMMEDIATE")

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._errors():
            self._open_transaction()
            yield
            self.commit()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            problem = str(error)
            if "full" in problem:
                problem = "the disk is full. Make room and repeat: the job goes on where it was"
            elif isinstance(error, sqlite3.OperationalError):
                problem = f"{problem}; repeat when the disk is well"
            else:
                problem = f"the ledger is damaged ({problem}): {_WAY_OUT}"
            raise StorageError(path=str(self.path), problem=problem) from error


class _Notes(MutableMapping[str, Any]):
    """JSON values in the table ``meta``."""

    def __init__(self, file: LedgerFile) -> None:
        self._file = file

    def __getitem__(self, name: str) -> Any:
        with self._file._errors():
            found = self._file._db.execute(
                "SELECT value FROM meta WHERE key = ?", (f"note {name}",)
            ).fetchone()
        if found is None:
            raise KeyError(name)
        return json.loads(found[0])

    def __setitem__(self, name: str, value: Any) -> None:
        with self._file._transaction():
            self._file.enter_note(name, value)

    def __delitem__(self, name: str) -> None:
        del_count = 0
        with self._file._transaction():
            cursor = self._file._db.execute("DELETE FROM meta WHERE key = ?", (f"note {name}",))
            del_count = cursor.rowcount
        if not del_count:
            raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        with self._file._errors():
            found = self._file._db.execute(
                "SELECT substr(key, 6) FROM meta WHERE key LIKE 'note %' ORDER BY key"
            ).fetchall()
        return iter([name for (name,) in found])

    def __len__(self) -> int:
        return sum(1 for _ in self)
