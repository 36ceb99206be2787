"""What happened to every row: one SQLite file that a person can open.

::

    meta      version of this form; notes of jobs, such as settings to restore
    runs      one per job: what it read with what, its state, its points before and after
    files     the input files of a run, with their fingerprints
    batches   the address of every batch, and its part of the sum
    broken    files that could not be opened or read to their end
    rows      one per point of the collection: digests of what it was made of, and where from
    pending   rows of the last batches on their way into ``rows``

A batch's rows and its state ``stored`` are one transaction, committed only after the engine has
acknowledged the batch. Its rows are written as they came, into ``pending``, and merged into
``rows`` many batches at a time, in the order of their ids: ids are digests, so that the rows of one
batch alone would touch every page of the table.

Rows are compared and written by statements whose columns are single values: n digests of 16 bytes
are one blob of ``16 n`` bytes. A statement per row would give the interpreter away and wait for it
again once per row.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import groupby, repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from qdrant_static.errors import StorageError

if TYPE_CHECKING:
    from types import TracebackType

#: Version of the tables.
VERSION = 1
#: Bytes of a digest: of an id, of a text, of a payload.
DIGEST = 16
#: Batches of which nothing was written may wait so long for their commit, in seconds.
_LAZY_COMMIT_S = 1.0
#: So many rows are merged at a time.
_MERGE_ROWS = 32_768
#: So many pages of the write-ahead log are gathered before they go to their places.
_CHECKPOINT_PAGES = 8_192
#: So many runs keep their batches and files.
_KEPT_RUNS = 30

Digests = NDArray[np.uint8]
Span = tuple[int, int]
Outcome = Literal["stored", "payload", "unchanged", "refused"]
RunState = Literal["running", "interrupted", "failed", "abandoned", "finished"]

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
    versions TEXT NOT NULL             -- JSON: of this package, the engine, Python
);
CREATE TABLE files (
    run INTEGER NOT NULL, number INTEGER NOT NULL, path TEXT NOT NULL, fingerprint TEXT NOT NULL,
    PRIMARY KEY (run, number)
) WITHOUT ROWID;
CREATE TABLE batches (
    run INTEGER NOT NULL, file INTEGER NOT NULL,
    start INTEGER NOT NULL, stop INTEGER NOT NULL,  -- rows or lines of the file, half open
    state TEXT NOT NULL,               -- sent; stored
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

_CLASSIFY = """
SELECT kind, group_concat(number) FROM (
    SELECT each.key AS number, CASE
        WHEN rows.run = :run THEN 'seen'
        WHEN rows.id IS NULL OR rows.state = 'refused' THEN 'new'
        WHEN rows.text <> substr(:texts, each.key * 16 + 1, 16) THEN 'changed'
        WHEN rows.payload <> substr(:payloads, each.key * 16 + 1, 16) THEN 'payload'
        ELSE 'same' END AS kind
    FROM json_each(:positions) AS each
    LEFT JOIN rows ON rows.id = substr(:ids, each.key * 16 + 1, 16)
) GROUP BY kind
"""
_WRITE = """
INSERT INTO rows (id, text, payload, run, file, position, state)
SELECT substr(:ids, each.key * 16 + 1, 16), substr(:texts, each.key * 16 + 1, 16),
       substr(:payloads, each.key * 16 + 1, 16), :run, :file, each.value, :state
FROM json_each(:positions) AS each WHERE true ORDER BY 1
ON CONFLICT (id) DO UPDATE SET
    text = excluded.text, payload = excluded.payload, run = excluded.run, file = excluded.file,
    position = excluded.position, state = excluded.state
"""
#: An unchanged row is there: what is inserted always meets it.
_SEEN = """
INSERT INTO rows (id, text, payload, run, file, position, state)
SELECT substr(:ids, each.key * 16 + 1, 16), x'', x'', :run, :file, each.value, :state
FROM json_each(:positions) AS each WHERE true ORDER BY 1
ON CONFLICT (id) DO UPDATE SET
    run = excluded.run, file = excluded.file, position = excluded.position, state = excluded.state
"""
#: A refused row takes its key. What was there under it stays there, but is no longer what the row
#: says, so that its digests are forgotten.
_REFUSED = """
INSERT INTO rows (id, text, payload, run, file, position, state)
SELECT substr(:ids, each.key * 16 + 1, 16), x'', x'', :run, :file, each.value, :state
FROM json_each(:positions) AS each WHERE true ORDER BY 1
ON CONFLICT (id) DO UPDATE SET
    text = x'', payload = x'', run = excluded.run, file = excluded.file,
    position = excluded.position,
    state = CASE WHEN rows.state = 'refused' THEN 'refused' ELSE 'known' END
"""
_MERGE = {"stored": _WRITE, "payload": _WRITE, "unchanged": _SEEN, "refused": _REFUSED}
_SUM = ("read", "stored", "payload_updated", "unchanged", "superseded", "rejected", "new", "points")
_PENDING = """
INSERT INTO pending (run, file, state, ids, texts, payloads, positions)
VALUES (:run, :file, :state, :ids, :texts, :payloads, :positions)
"""
#: How a row of a state was counted in its batch.
_COUNTED = {"stored": "stored", "payload": "payload_updated", "unchanged": "unchanged"}


class Known(NamedTuple):
    """What the ledger says of one point."""

    run: int
    file: int
    position: int
    state: str


#: A point: its id's digest, its payload's, and where it came from.
Kept: TypeAlias = tuple[bytes, bytes, Known]


@dataclass(slots=True, kw_only=True)
class Rows:
    """Rows of one batch whose outcome is the same.

    Attributes:
        ids: uint8 ``(n, 16)``, digests of the point ids.
        texts: uint8 ``(n, 16)``.
        payloads: uint8 ``(n, 16)``.
        positions: n positions in the file.
    """

    ids: Digests
    texts: Digests
    payloads: Digests
    positions: Sequence[int]

    def __len__(self) -> int:
        return len(self.positions)

    def take(self, indices: Sequence[int]) -> Rows:
        """Some of the rows."""
        return Rows(
            ids=self.ids[indices],
            texts=self.texts[indices],
            payloads=self.payloads[indices],
            positions=[self.positions[index] for index in indices],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """The sum of a run: ``read = stored + payload_updated + unchanged + superseded + rejected``."""

    read: int = 0
    stored: int = 0
    payload_updated: int = 0
    unchanged: int = 0
    superseded: int = 0
    rejected: int = 0
    new: int = 0
    points: int = 0
    reasons: Mapping[str, int] = field(default_factory=dict)

    @property
    def adds_up(self) -> bool:
        """Whether the parts make the whole."""
        parts = self.stored + self.payload_updated + self.unchanged
        return (
            self.read == parts + self.superseded + self.rejected
            and sum(self.reasons.values()) == self.rejected
        )

    def __add__(self, other: Totals) -> Totals:
        counts = {name: getattr(self, name) + getattr(other, name) for name in _SUM}
        reasons = Counter(self.reasons) + Counter(other.reasons)
        return Totals(**counts, reasons=dict(sorted(reasons.items())))


@dataclass(slots=True, kw_only=True)
class Settlement:
    """A batch that is done.

    Attributes:
        file: Number of its file in the run.
        start: First position of its range.
        stop: Position after the last.
        totals: Its part of the sum.
        rows: Its rows by outcome; those that lost against another of their key are in none.
        displaced: Keys whose row of an earlier batch loses against one of this.
        displaced_as: What becomes of those rows.
    """

    file: int
    start: int
    stop: int
    totals: Totals
    rows: Mapping[Outcome, Rows]
    displaced: Sequence[bytes] = ()
    displaced_as: Literal["superseded", "rejected"] = "superseded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run, as the ledger has it; the fields are the columns of its table."""

    id: int
    state: RunState
    started: str
    finished: str | None
    attempts: int
    identity: Mapping[str, Any]
    points_before: int | None
    points_after: int | None
    deleted: int
    complete: bool
    rejects: str | None
    rejects_bytes: int
    versions: Mapping[str, str]


_JSON_COLUMNS = frozenset({"identity", "versions"})


class Ledger:
    """The ledger of one collection. One thread of one process uses it at a time.

    Args:
        path: The file; it is made if it is missing.

    Raises:
        StorageError: If it cannot be opened, is damaged, or of another version.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._last_commit = time.monotonic()
        self._recent: dict[bytes, tuple[int, int]] = {}
        self._under_way: dict[tuple[int, int], list[bytes]] = {}
        self._unmerged = 0
        with self._errors():
            self._db = sqlite3.connect(path, isolation_level=None)
            self._db.execute("PRAGMA journal_mode = WAL")
            # A commit survives the death of the process. The last ones may be lost with the power:
            # their batches are then repeated, which is harmless.
            self._db.execute("PRAGMA synchronous = NORMAL")
            self._db.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
            if not self._db.execute("SELECT 1 FROM sqlite_master").fetchone():
                self._db.executescript(f"BEGIN IMMEDIATE;{_TABLES}COMMIT;")
            version = self._db.execute("SELECT value FROM meta WHERE key = 'version'").fetchone()
        if version != (str(VERSION),):
            self._db.close()
            raise StorageError(
                path=str(path),
                problem=f"is a ledger of version {version and version[0]}, this version of "
                f"qdrant-static reads {VERSION}: move it away, and rebuild it",
            )
        self.merge()

    @property
    def notes(self) -> MutableMapping[str, Any]:
        """What jobs leave for the next one, durable as soon as it is set."""
        return _Notes(self)

    # --- runs --------------------------------------------------------------------------------

    def runs(self) -> list[Run]:
        """All runs, the first one first."""
        with self._errors():
            cursor = self._db.execute("SELECT * FROM runs ORDER BY id")
            names = [column[0] for column in cursor.description]
            return [_run(dict(zip(names, values, strict=True))) for values in cursor]

    def last(self) -> Run | None:
        """The last run."""
        with self._errors():
            cursor = self._db.execute("SELECT * FROM runs ORDER BY id DESC LIMIT 1")
            names = [column[0] for column in cursor.description]
            found = cursor.fetchone()
        return None if found is None else _run(dict(zip(names, found, strict=True)))

    def begin(
        self,
        *,
        identity: Mapping[str, Any],
        files: Sequence[tuple[str, str]],
        rejects: str,
        versions: Mapping[str, str],
    ) -> int:
        """Enter a new run and give its number; unfinished ones before it are abandoned."""
        self._under_way.clear()
        self.merge()  # what is pending would be taken for rows of this run
        with self._transaction():
            self._db.execute(
                "UPDATE runs SET state = 'abandoned' WHERE state NOT IN ('finished', 'abandoned')"
            )
            cursor = self._db.execute(
                "INSERT INTO runs (state, started, identity, rejects, versions) "
                "VALUES ('running', ?, ?, ?, ?)",
                (now(), json.dumps(identity), rejects, json.dumps(versions)),
            )
            run = int(cursor.lastrowid or 0)
            self._db.executemany(
                "INSERT INTO files VALUES (?, ?, ?, ?)",
                [(run, number, *file) for number, file in enumerate(files)],
            )
            for table in ("batches", "files", "broken"):
                # The names are those of three lines above.
                self._db.execute(f"DELETE FROM {table} WHERE run <= ?", (run - _KEPT_RUNS,))
        return run

    def resume(self, run: int) -> None:
        """Count one more attempt of a run; what was under way is forgotten."""
        with self._transaction():
            self._db.execute(
                "UPDATE runs SET state = 'running', attempts = attempts + 1 WHERE id = ?", (run,)
            )
            self._db.execute("DELETE FROM batches WHERE run = ? AND state = 'sent'", (run,))

    def note(self, run: int, **columns: Any) -> None:
        """Change columns of a run, at once."""
        values = [
            json.dumps(value) if name in _JSON_COLUMNS and value is not None else value
            for name, value in columns.items()
        ]
        assignments = ", ".join(f"{name} = ?" for name in columns)  # names of this package's own
        with self._transaction():
            self._db.execute(f"UPDATE runs SET {assignments} WHERE id = ?", (*values, run))

    def add_file(self, run: int, path: str) -> int:
        """Enter a file that a source names only now; its number."""
        number = self._one("SELECT count(*) FROM files WHERE run = ?", run)
        with self._transaction():
            self._db.execute("INSERT INTO files VALUES (?, ?, ?, '')", (run, number, path))
        return number

    def files(self, run: int) -> list[tuple[str, str]]:
        """Path and fingerprint of the files of a run, in their order."""
        with self._errors():
            return list(
                self._db.execute(
                    "SELECT path, fingerprint FROM files WHERE run = ? ORDER BY number", (run,)
                )
            )

    def settled(self, run: int) -> dict[int, list[Span]]:
        """File -> the half-open ranges of it that are done, joined and in order."""
        spans: dict[int, list[Span]] = {}
        with self._errors():
            found = self._db.execute(
                "SELECT file, start, stop FROM batches WHERE run = ? AND state = 'stored' "
                "ORDER BY file, start",
                (run,),
            )
            for file, start, stop in found:
                known = spans.setdefault(file, [])
                if known and known[-1][1] >= start:
                    known[-1] = (known[-1][0], max(stop, known[-1][1]))
                else:
                    known.append((start, stop))
        return spans

    def totals(self, run: int) -> Totals:
        """The sum of a run."""
        sums = ", ".join(f"coalesce(sum({name}), 0)" for name in _SUM)
        with self._errors():
            counts = self._db.execute(
                f"SELECT {sums} FROM batches WHERE run = ? AND state = 'stored'",
                (run,),
            ).fetchone()
            reasons: Counter[str] = Counter()
            for (told,) in self._db.execute(
                "SELECT reasons FROM batches WHERE run = ? AND reasons <> '{}'", (run,)
            ):
                reasons.update(json.loads(told))
        reasons = Counter({name: count for name, count in reasons.items() if count})
        return Totals(**dict(zip(_SUM, counts, strict=True)), reasons=dict(sorted(reasons.items())))

    def broken_files(self, run: int) -> int:
        """How many files of a run could not be opened, or read to their end."""
        return self._one("SELECT count(*) FROM broken WHERE run = ?", run)

    def is_broken(self, run: int, path: str, message: str) -> bool:
        """Enter a file that could not be read; whether that was known before."""
        with self._errors():
            self._open_transaction()
            cursor = self._db.execute(
                "INSERT OR IGNORE INTO broken VALUES (?, ?, ?)", (run, path, message)
            )
        return cursor.rowcount == 0

    # --- rows --------------------------------------------------------------------------------

    def classify(self, run: int, rows: Rows) -> dict[str, list[int]]:
        """Compare the rows of a batch with what is known.

        Returns:
            Kind -> indices: ``seen`` (in this run), ``new``, ``changed`` (its text, or unknown),
            ``payload`` (only that has changed), ``same``.
        """
        with self._errors():
            found = self._db.execute(_CLASSIFY, {**_columns(rows), "run": run}).fetchall()
        kinds = {kind: [int(number) for number in told.split(",")] for kind, told in found}
        recent = self._recent
        seen = {number for number, one in enumerate(each_digest(rows.ids)) if one in recent}
        if seen:
            for kind, numbers in kinds.items():
                kinds[kind] = [number for number in numbers if number not in seen]
            kinds["seen"] = sorted({*seen, *kinds.get("seen", ())})
        return kinds

    def address(self, digest: bytes) -> tuple[int, int] | None:
        """File and position of the row that has a key in this run, settled or under way."""
        if digest in self._recent:
            return self._recent[digest]
        found = self.known(digest)
        return None if found is None else (found.file, found.position)

    def known(self, digest: bytes) -> Known | None:
        """What is known of a point that is settled."""
        self.merge()
        with self._errors():
            found = self._db.execute(
                "SELECT run, file, position, state FROM rows WHERE id = ?", (digest,)
            ).fetchone()
        return None if found is None else Known(*found)

    def sent(self, run: int, file: int, start: int, stop: int, rows: Rows) -> None:
        """Enter a batch that is under way; committed with whatever is next."""
        digests = each_digest(rows.ids)
        self._under_way[file, start] = digests
        self._recent.update(zip(digests, zip(repeat(file), rows.positions), strict=False))
        with self._errors():
            self._open_transaction()
            self._db.execute(
                "INSERT OR REPLACE INTO batches (run, file, start, stop, state) "
                "VALUES (?, ?, ?, ?, 'sent')",
                (run, file, start, stop),
            )

    def settle(self, run: int, done: Settlement, *, rejects_bytes: int) -> None:
        """Enter a batch that the engine has acknowledged, with all its rows, in one transaction.

        Raises:
            StorageError: If the disk is full; the batch is then as if it had not been sent.
        """
        counts = [getattr(done.totals, name) for name in _SUM]
        with self._errors():
            self._open_transaction()
            for digest in done.displaced:
                self._displace(run, digest, done.displaced_as)
            for state, rows in done.rows.items():
                columns = _columns(rows) | {"run": run, "file": done.file, "state": state}
                self._db.execute(_PENDING, columns)
                self._unmerged += len(rows)
            self._db.execute(
                "INSERT OR REPLACE INTO batches "
                f"(run, file, start, stop, state, {', '.join(_SUM)}, reasons) "
                f"VALUES (?, ?, ?, ?, 'stored', {'?, ' * len(_SUM)}?)",
                (run, done.file, done.start, done.stop, *counts, json.dumps(done.totals.reasons)),
            )
            if done.totals.reasons or done.displaced:
                self._db.execute(
                    "UPDATE runs SET rejects_bytes = ? WHERE id = ?", (rejects_bytes, run)
                )
        urgent = done.totals.points or done.totals.payload_updated or done.totals.reasons
        self._under_way.pop((done.file, done.start), None)
        if self._unmerged >= _MERGE_ROWS:
            self.merge()
        elif urgent or time.monotonic() - self._last_commit > _LAZY_COMMIT_S:
            self.commit()

    def merge(self) -> None:
        """Bring what is pending into ``rows``."""
        with self._errors():
            parts = self._db.execute(
                "SELECT run, file, state, ids, texts, payloads, positions FROM pending "
                "ORDER BY number"
            ).fetchall()
        if not parts:
            return
        with self._transaction():
            for (run, file, state), group in groupby(parts, key=lambda part: part[:3]):
                _, _, _, ids, texts, payloads, positions = zip(*group, strict=True)
                columns = {
                    "ids": b"".join(ids),
                    "texts": b"".join(texts),
                    "payloads": b"".join(payloads),
                    "positions": f"[{','.join(one[1:-1] for one in positions)}]",
                }
                shared = {"run": run, "file": file, "state": state}
                self._db.execute(_MERGE[state], columns | shared)
            self._db.execute("DELETE FROM pending")
        self._unmerged = 0
        kept = self._recent
        self._recent = {one: kept[one] for digests in self._under_way.values() for one in digests}

    def _displace(self, run: int, digest: bytes, to: str) -> None:
        """Count an older row of a key, which this run has settled, as superseded or rejected."""
        older = self.known(digest)
        self._open_transaction()  # a merge may have ended it
        if older is None or older.run != run or older.state not in _COUNTED:
            return
        column = _COUNTED[older.state]
        where = "WHERE run = ? AND file = ? AND start <= ? AND stop > ?"
        address = (run, older.file, older.position, older.position)
        self._db.execute(
            f"UPDATE batches SET {column} = {column} - 1, {to} = {to} + 1 {where}",
            address,
        )
        if to == "rejected":
            self._db.execute(
                "UPDATE batches SET reasons = json_set(reasons, '$.duplicate_key', "
                f"coalesce(json_extract(reasons, '$.duplicate_key'), 0) + 1) {where}",
                address,
            )

    def points(self) -> int:
        """How many points the collection has, as far as the ledger knows."""
        self.merge()
        return self._one("SELECT count(*) FROM rows WHERE state <> 'refused'")

    def vanished(self, run: int) -> int:
        """How many points have a key that did not come in a run."""
        self.merge()
        return self._one("SELECT count(*) FROM rows WHERE run <> ? AND state <> 'refused'", run)

    def each(self, *, not_in_run: int | None = None, size: int = 1000) -> Iterator[list[Kept]]:
        """All points in parts, by id: digest, payload's digest, and where each came from.

        The table may be changed meanwhile.
        """
        self.merge()
        last = b""
        while True:
            with self._errors():
                found = self._db.execute(
                    "SELECT id, payload, run, file, position, state FROM rows WHERE id > ? "
                    "AND state <> 'refused' AND run <> ? ORDER BY id LIMIT ?",
                    (last, -1 if not_in_run is None else not_in_run, size),
                ).fetchall()
            if not found:
                return
            yield [(row[0], row[1], Known(*row[2:])) for row in found]
            last = found[-1][0]

    def samples(self, count: int, *, size: int = 1000) -> Iterator[list[Kept]]:
        """Some points, chosen by chance, in parts."""
        self.merge()
        with self._errors():
            found = self._db.execute(
                "SELECT id, payload, run, file, position, state FROM rows WHERE id IN "
                "(SELECT id FROM rows WHERE state <> 'refused' ORDER BY random() LIMIT ?)",
                (count,),
            ).fetchall()
        for start in range(0, len(found), size):
            part = found[start : start + size]
            yield [(row[0], row[1], Known(*row[2:])) for row in part]

    def forget(self, run: int, digests: Sequence[bytes]) -> None:
        """Remove points that were deleted, and count them."""
        with self._transaction():
            self._db.executemany("DELETE FROM rows WHERE id = ?", [(one,) for one in digests])
            self._db.execute(
                "UPDATE runs SET deleted = deleted + ? WHERE id = ?", (len(digests), run)
            )

    def unlearn(self, digests: Sequence[bytes]) -> None:
        """Forget points that are not as they were stored, so that the next sync stores them."""
        with self._transaction():
            self._db.executemany("DELETE FROM rows WHERE id = ?", [(one,) for one in digests])

    def clear_rows(self) -> None:
        """Forget all rows, before they are found again in the collection."""
        with self._transaction():
            self._db.execute("DELETE FROM rows")

    def found(self, rows: Rows) -> None:
        """Enter points that were found in the collection; zeros stand for an unknown digest."""
        with self._transaction():
            self._db.execute(_WRITE, {**_columns(rows), "run": 0, "file": -1, "state": "known"})

    # --- transactions ------------------------------------------------------------------------

    def commit(self) -> None:
        """Make durable what was entered."""
        with self._errors():
            if self._db.in_transaction:
                self._db.execute("COMMIT")
        self._last_commit = time.monotonic()

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
                problem = f"the ledger is damaged ({problem}): move it away, and rebuild it"
            raise StorageError(path=str(self.path), problem=problem) from error


class _Notes(MutableMapping[str, Any]):
    """JSON values in the table ``meta``."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def __getitem__(self, name: str) -> Any:
        with self._ledger._errors():
            found = self._ledger._db.execute(
                "SELECT value FROM meta WHERE key = ?", (f"note {name}",)
            ).fetchone()
        if found is None:
            raise KeyError(name)
        return json.loads(found[0])

    def __setitem__(self, name: str, value: Any) -> None:
        with self._ledger._transaction():
            self._ledger._db.execute(
                "INSERT OR REPLACE INTO meta VALUES (?, ?)", (f"note {name}", json.dumps(value))
            )

    def __delitem__(self, name: str) -> None:
        del_count = 0
        with self._ledger._transaction():
            cursor = self._ledger._db.execute("DELETE FROM meta WHERE key = ?", (f"note {name}",))
            del_count = cursor.rowcount
        if not del_count:
            raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        with self._ledger._errors():
            found = self._ledger._db.execute(
                "SELECT substr(key, 6) FROM meta WHERE key LIKE 'note %' ORDER BY key"
            ).fetchall()
        return iter([name for (name,) in found])

    def __len__(self) -> int:
        return sum(1 for _ in self)


def each_digest(digests: Digests) -> list[bytes]:
    """Digests one by one."""
    raw = digests.tobytes()
    return [raw[start : start + DIGEST] for start in range(0, len(raw), DIGEST)]


def now() -> str:
    """This moment, ISO 8601 in UTC."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _columns(rows: Rows) -> dict[str, Any]:
    return {
        "ids": rows.ids.tobytes(),
        "texts": rows.texts.tobytes(),
        "payloads": rows.payloads.tobytes(),
        "positions": json.dumps(list(rows.positions)),
    }


def _run(values: dict[str, Any]) -> Run:
    for name in _JSON_COLUMNS:
        values[name] = None if values[name] is None else json.loads(values[name])
    values["complete"] = bool(values["complete"])
    return Run(**values)
