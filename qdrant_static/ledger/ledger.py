"""What happened to every row: one SQLite file that a person can open.

::

    meta      version of this form; notes of jobs, such as settings to restore
    runs      one per job: what it read with what, its state, its points before and after
    files     the input files of a run, with their fingerprints
    batches   the address of every batch, and its part of the sum
    broken    files that could not be opened or read to their end
    rows      one per point of the collection: digests of what it was made of, and where from
    kept      points that stay although no input has them: rejects that were mended
    pending   rows of the last batches on their way into ``rows``

A run may build the collection in a local folder, to ship it. Its batches are then ``built``, and
its rows in the folder alone: who asks for the points of the collection does not get them, until
`Ledger.shipped` has made ``stored`` of ``built``, or another run has begun.

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
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from itertools import groupby, repeat
from pathlib import Path
from typing import Any

from qdrant_static.ledger.encoded import EncodedCounts
from qdrant_static.ledger.records import (
    SUM,
    Kept,
    Known,
    Rows,
    Run,
    Settlement,
    Totals,
    columns,
    each_digest,
)
from qdrant_static.ledger.tables import CLASSIFY, MERGE, PENDING, WRITE
from qdrant_static.ledger.unreadable import UnreadableFiles

#: Batches of which nothing was written may wait so long for their commit, in seconds.
_LAZY_COMMIT_S = 1.0
#: So many rows are merged at a time.
_MERGE_ROWS = 32_768
#: So many runs keep their batches and files.
_KEPT_RUNS = 30
#: How a row of a state was counted in its batch.
_COUNTED = {"stored": "stored", "payload": "payload_updated", "unchanged": "unchanged"}
#: Rows that are in the collection: not those of runs whose folder was never shipped.
_THERE = "state <> 'refused' AND run NOT IN (SELECT id FROM runs WHERE building)"
#: Rows that may go where an input does not have them.
_NOT_KEPT = "id NOT IN (SELECT id FROM kept)"
#: Rows that are in the local folder.
_BUILT = "state <> 'refused'"
_JSON_COLUMNS = frozenset({"identity", "versions"})

Span = tuple[int, int]


class Ledger(EncodedCounts, UnreadableFiles):
    """The ledger of one collection. One thread of one process uses it at a time.

    Args:
        path: The file; it is made if it is missing.

    Raises:
        StorageError: If it cannot be opened, is damaged, or of another version.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._recent: dict[bytes, tuple[int, int]] = {}
        self._under_way: dict[tuple[int, int], list[bytes]] = {}
        self._unmerged = 0
        self._there = _THERE
        self.merge()  # what the last one was about to

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
        building: bool = False,
    ) -> int:
        """Enter a new run and give its number; unfinished ones before it are abandoned.

        Args:
            identity: What must agree for it to be continued.
            files: Path and fingerprint of its files.
            rejects: Its rejects file.
            versions: Of what carries it out.
            building: Whether it stores in a local folder. Else what earlier runs left in one is
                forgotten.
        """
        self._under_way.clear()
        self.merge()  # what is pending would be taken for rows of this run
        with self._transaction():
            self._db.execute(
                "UPDATE runs SET state = 'abandoned' WHERE state NOT IN ('finished', 'abandoned')"
            )
            if not building:
                self._db.execute(
                    "DELETE FROM rows WHERE run IN (SELECT id FROM runs WHERE building)"
                )
            cursor = self._db.execute(
                "INSERT INTO runs (state, started, identity, rejects, versions, building) "
                "VALUES ('running', ?, ?, ?, ?, ?)",
                (now(), json.dumps(identity), rejects, json.dumps(versions), int(building)),
            )
            run = int(cursor.lastrowid or 0)
            self._db.executemany(
                "INSERT INTO files VALUES (?, ?, ?, ?)",
                [(run, number, *file) for number, file in enumerate(files)],
            )
            old = self._db.execute(
                "SELECT DISTINCT run FROM batches WHERE run <= ?", (run - _KEPT_RUNS,)
            ).fetchall()
            for (one,) in old:
                kept = json.dumps(asdict(self.totals(one)))
                self._db.execute("UPDATE runs SET totals = ? WHERE id = ?", (kept, one))
            for table in ("batches", "files", "broken"):
                # The names are those of three lines above.
                self._db.execute(f"DELETE FROM {table} WHERE run <= ?", (run - _KEPT_RUNS,))
        self._there = _BUILT if building else _THERE
        return run

    def resume(self, run: int) -> None:
        """Count one more attempt of a run; what was under way is forgotten."""
        with self._transaction():
            self._db.execute(
                "UPDATE runs SET state = 'running', attempts = attempts + 1 WHERE id = ?", (run,)
            )
            self._db.execute("DELETE FROM batches WHERE run = ? AND state = 'sent'", (run,))
        building = self._one("SELECT building FROM runs WHERE id = ?", run)
        self._there = _BUILT if building else _THERE

    def shipped(self, run: int, *, points: int) -> None:
        """The server has proved what a run built: it is stored, and the run is finished.

        To the collection every row of it is new, whatever an earlier attempt had built of it.

        Args:
            run: The run.
            points: Points of the collection, counted exactly.
        """
        self.merge()
        with self._transaction():
            self._db.execute(
                "UPDATE batches SET state = 'stored', stored = stored + payload_updated + "
                "unchanged, payload_updated = 0, unchanged = 0 WHERE run = ? AND state = 'built'",
                (run,),
            )
            self._db.execute("UPDATE runs SET building = 0 WHERE building")
            self._db.execute(
                "UPDATE runs SET state = 'finished', finished = ?, points_before = 0, "
                "points_after = ?, deleted = 0 WHERE id = ?",
                (now(), points, run),
            )
        self._there = _THERE

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
                "SELECT file, start, stop FROM batches WHERE run = ? AND state <> 'sent' "
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
        sums = ", ".join(f"coalesce(sum({name}), 0)" for name in SUM)
        with self._errors():
            counts = self._db.execute(
                f"SELECT {sums} FROM batches WHERE run = ? AND state <> 'sent'",
                (run,),
            ).fetchone()
            reasons: Counter[str] = Counter()
            for (told,) in self._db.execute(
                "SELECT reasons FROM batches WHERE run = ? AND reasons <> '{}'", (run,)
            ):
                reasons.update(json.loads(told))
        reasons = Counter({name: count for name, count in reasons.items() if count})
        return Totals(**dict(zip(SUM, counts, strict=True)), reasons=dict(sorted(reasons.items())))

    # --- rows --------------------------------------------------------------------------------

    def classify(self, run: int, rows: Rows) -> dict[str, list[int]]:
        """Compare the rows of a batch with what is known.

        Returns:
            Kind -> indices: ``seen`` (in this run), ``new``, ``changed`` (its text, or unknown),
            ``payload`` (only that has changed), ``same``.
        """
        with self._errors():
            found = self._db.execute(CLASSIFY, {**columns(rows), "run": run}).fetchall()
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
        counts = [getattr(done.totals, name) for name in SUM]
        reasons = json.dumps(done.totals.reasons)
        state = "built" if self._there is _BUILT else "stored"
        with self._errors():
            self._open_transaction()
            for digest in done.displaced:
                self._displace(run, digest, done.displaced_as)
            for outcome, rows in done.rows.items():
                shared = {"run": run, "file": done.file, "state": outcome}
                self._db.execute(PENDING, columns(rows) | shared)
                self._unmerged += len(rows)
            self._db.execute(
                "INSERT OR REPLACE INTO batches "
                f"(run, file, start, stop, state, {', '.join(SUM)}, reasons) "
                f"VALUES (?, ?, ?, ?, ?, {'?, ' * len(SUM)}?)",
                (run, done.file, done.start, done.stop, state, *counts, reasons),
            )
            if done.encoded is not None:
                self._count_encoded(run, done.encoded)
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
                joined = {
                    "ids": b"".join(ids),
                    "texts": b"".join(texts),
                    "payloads": b"".join(payloads),
                    "positions": f"[{','.join(one[1:-1] for one in positions)}]",
                }
                shared = {"run": run, "file": file, "state": state}
                self._db.execute(MERGE[state], joined | shared)
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
        return self._one(f"SELECT count(*) FROM rows WHERE {self._there}")

    def built_points(self) -> int:
        """How many points lie in a local folder that was not shipped yet."""
        self.merge()
        return self._one(
            "SELECT count(*) FROM rows WHERE state <> 'refused' "
            "AND run IN (SELECT id FROM runs WHERE building)"
        )

    def vanished(self, run: int) -> int:
        """How many points have a key that did not come in a run, and are not to be kept."""
        self.merge()
        return self._one(
            f"SELECT count(*) FROM rows WHERE run <> ? AND {self._there} AND {_NOT_KEPT}", run
        )

    def keep(self, run: int) -> int:
        """Keep the points that a run stored, also where an input does not have them; how many."""
        self.merge()
        with self._transaction():
            cursor = self._db.execute(
                "INSERT OR REPLACE INTO kept SELECT id FROM rows WHERE run = ? "
                "AND state IN ('stored', 'payload', 'unchanged')",
                (run,),
            )
        return cursor.rowcount

    def kept(self) -> int:
        """How many points are kept, also where an input does not have them."""
        return self._one("SELECT count(*) FROM kept")

    def release(self, run: int) -> None:
        """Keep no longer what a run has found in its input: from now on that decides."""
        self.merge()
        with self._transaction():
            self._db.execute(
                "DELETE FROM kept WHERE id IN (SELECT kept.id FROM kept JOIN rows "
                "ON rows.id = kept.id WHERE rows.run = ?)",
                (run,),
            )

    def each(self, *, not_in_run: int | None = None, size: int = 1000) -> Iterator[list[Kept]]:
        """All points in parts, by id: digest, payload's digest, and where each came from.

        The table may be changed meanwhile.
        """
        self.merge()
        kept = "" if not_in_run is None else f" AND {_NOT_KEPT}"
        last = b""
        while True:
            with self._errors():
                found = self._db.execute(
                    "SELECT id, payload, run, file, position, state FROM rows WHERE id > ? "
                    f"AND {self._there} AND run <> ?{kept} ORDER BY id LIMIT ?",
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
                f"(SELECT id FROM rows WHERE {self._there} ORDER BY random() LIMIT ?)",
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
            self._db.execute(WRITE, {**columns(rows), "run": 0, "file": -1, "state": "known"})


def now() -> str:
    """This moment, ISO 8601 in UTC."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _run(values: dict[str, Any]) -> Run:
    for name in _JSON_COLUMNS:
        values[name] = None if values[name] is None else json.loads(values[name])
    for name in ("complete", "building"):
        values[name] = bool(values[name])
    return Run(**values)
