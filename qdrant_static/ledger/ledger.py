"""Defines `Ledger`: what happened to every row, in one SQLite file that anyone can open.

::

    meta      version of this form; notes of jobs, such as settings to restore
    runs      one per job: what it read with what, its state, its points before and after
    files     the input files of a run, with their fingerprints
    batches   the address of every batch, and its part of the sum
    broken    files that could not be opened or read to their end
    rows      one per point of the collection: digests of what it was made of, and where from
    kept      points that stay although no input has them: rejects that were corrected
    pending   rows of the last batches on their way into ``rows``

The protocol of a run is `Ledger.begin` (or `Ledger.resume`), then for every batch `Ledger.sent` and
`Ledger.settle`. A batch's rows and its state ``stored`` are one transaction, committed only after
the engine has acknowledged the batch. Its rows are written as they came, into ``pending``, and
merged into ``rows`` many batches at a time, in the order of their ids: ids are digests, so that the
rows of one batch alone would touch every page of the table.

A run may build the collection in a local folder, to ship it. Its batches are then ``built``, and
its rows are in the folder only: counts and pages of the collection's points leave them out, until
`Ledger.shipped` has turned ``built`` into ``stored``, or another run has begun.
"""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from qdrant_static.ledger.ledgerfile import LedgerFile
from qdrant_static.ledger.records import SUM
from qdrant_static.ledger.rows import RowTable
from qdrant_static.ledger.runs import EncodedCounts, RunTable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from qdrant_static.ledger.records import Rows, Settlement

#: Batches of which nothing was written may wait so long for their commit, in seconds.
_LAZY_COMMIT_S = 1.0
#: State of a row -> the column of ``batches`` that counted it.
_COUNTED = {"stored": "stored", "payload": "payload_updated", "unchanged": "unchanged"}


class Ledger(LedgerFile):
    """The ledger of one collection. One thread of one process uses it at a time.

    Args:
        path: The file; it is created if it is missing.

    Attributes:
        runs: The runs, their files and sums.
        rows: What is known of the collection's points.
        encoded: What runs have encoded.

    Raises:
        StorageError: If it cannot be opened, is damaged, or of another version.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.runs = RunTable(self)
        self.rows = RowTable(self)
        self.encoded = EncodedCounts(self)
        self.rows.merge()  # what the last process left pending

    def begin(
        self,
        *,
        identity: Mapping[str, Any],
        files: Sequence[tuple[str, str]],
        rejects: str,
        versions: Mapping[str, str],
        building: bool = False,
    ) -> int:
        """Enter a new run and return its number; unfinished runs before it are abandoned.

        Args:
            identity: What must agree for the run to be continued later.
            files: Path and fingerprint of its files.
            rejects: Its rejects file.
            versions: Name -> version of the software that runs it.
            building: Whether it stores in a local folder. If not, rows that earlier runs left in
                such a folder are forgotten.
        """
        self.rows.clear_sent()
        self.rows.merge()  # pending rows would be taken for rows of this run
        with self.transaction() as connection:
            if not building:
                connection.execute(
                    "DELETE FROM rows WHERE run IN (SELECT id FROM runs WHERE building)"
                )
            run = self.runs.add(
                started=now(),
                identity=identity,
                files=files,
                rejects=rejects,
                versions=versions,
                building=building,
            )
        self.rows.is_building = building
        return run

    def resume(self, run: int) -> None:
        """Count one more attempt of a run, and forget its batches that were sent, not settled."""
        with self.transaction() as connection:
            connection.execute(
                "UPDATE runs SET state = 'running', attempts = attempts + 1 WHERE id = ?", (run,)
            )
            connection.execute("DELETE FROM batches WHERE run = ? AND state = 'sent'", (run,))
        self.rows.is_building = self.runs.is_building(run)

    def sent(self, run: int, file: int, start: int, stop: int, rows: Rows) -> None:
        """Enter a batch that is sent; it is committed together with the next commit."""
        self.rows.add_sent(file, start, rows)
        with self.errors():
            self.open_transaction()
            self.connection.execute(
                "INSERT OR REPLACE INTO batches (run, file, start, stop, state) "
                "VALUES (?, ?, ?, ?, 'sent')",
                (run, file, start, stop),
            )

    def settle(self, run: int, done: Settlement, *, rejects_bytes: int) -> None:
        """Enter a batch that the engine has acknowledged, with all its rows, in one transaction.

        Args:
            run: The run.
            done: The batch.
            rejects_bytes: Size of the rejects file with the batch's rejects.

        Raises:
            StorageError: If the disk is full; the batch is then as if it had not been sent.
        """
        counts = [getattr(done.totals, name) for name in SUM]
        reasons = json.dumps(done.totals.reasons)
        state = "built" if self.rows.is_building else "stored"
        with self.errors():
            self.open_transaction()
            for digest in done.displaced:
                self._displace(run, digest, done.displaced_as)
            for outcome, rows in done.rows.items():
                self.rows.add_pending(run, done.file, outcome, rows)
            self.connection.execute(
                "INSERT OR REPLACE INTO batches "
                f"(run, file, start, stop, state, {', '.join(SUM)}, reasons) "
                f"VALUES (?, ?, ?, ?, ?, {'?, ' * len(SUM)}?)",
                (run, done.file, done.start, done.stop, state, *counts, reasons),
            )
            if done.encoded is not None:
                self.encoded.add(run, done.encoded)
            if done.totals.reasons or done.displaced:
                self.connection.execute(
                    "UPDATE runs SET rejects_bytes = ? WHERE id = ?", (rejects_bytes, run)
                )
        urgent = done.totals.points or done.totals.payload_updated or done.totals.reasons
        self.rows.remove_sent(done.file, done.start)
        if self.rows.is_merge_due:
            self.rows.merge()
        elif urgent or time.monotonic() - self.last_commit > _LAZY_COMMIT_S:
            self.commit()

    def _displace(self, run: int, digest: bytes, to: str) -> None:
        """Count an older row of a key, settled in this run, as superseded or rejected instead."""
        older = self.rows.known(digest)
        self.open_transaction()  # a merge may have ended it
        if older is None or older.run != run or older.state not in _COUNTED:
            return
        column = _COUNTED[older.state]
        where = "WHERE run = ? AND file = ? AND start <= ? AND stop > ?"
        address = (run, older.file, older.position, older.position)
        self.connection.execute(
            f"UPDATE batches SET {column} = {column} - 1, {to} = {to} + 1 {where}",
            address,
        )
        if to == "rejected":
            self.connection.execute(
                "UPDATE batches SET reasons = json_set(reasons, '$.duplicate_key', "
                f"coalesce(json_extract(reasons, '$.duplicate_key'), 0) + 1) {where}",
                address,
            )

    def shipped(self, run: int, *, points: int) -> None:
        """Finish a run whose collection was built locally and is proved on the server.

        Every row of it counts as newly stored, whatever an earlier attempt had built of it.

        Args:
            run: The run.
            points: Points of the collection, counted exactly.
        """
        self.rows.merge()
        with self.transaction() as connection:
            connection.execute(
                "UPDATE batches SET state = 'stored', stored = stored + payload_updated + "
                "unchanged, payload_updated = 0, unchanged = 0 WHERE run = ? AND state = 'built'",
                (run,),
            )
            connection.execute("UPDATE runs SET building = 0 WHERE building")
            connection.execute(
                "UPDATE runs SET state = 'finished', finished = ?, points_before = 0, "
                "points_after = ?, deleted = 0 WHERE id = ?",
                (now(), points, run),
            )
        self.rows.is_building = False


def now() -> str:
    """Return the current time, ISO 8601 in UTC."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
