"""The rows of a ledger: what it knows of every point of the collection.

Rows are compared and written by statements whose parameters are whole columns: n digests of 16
bytes are one blob of ``16 n`` bytes, n positions one JSON array. A statement per row would release
and acquire the GIL once per row.
"""

from __future__ import annotations

from itertools import groupby, repeat
from typing import TYPE_CHECKING

from qdrant_static.digests import each_digest
from qdrant_static.ledger.records import Known, columns

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from qdrant_static.ledger.ledgerfile import LedgerFile
    from qdrant_static.ledger.records import Outcome, PointRecord, Rows

#: So many rows are merged at a time.
_MERGE_ROWS = 32_768
#: The rows that are in the collection: not those of runs whose folder was never shipped.
_STORED = "state <> 'refused' AND run NOT IN (SELECT id FROM runs WHERE building)"
#: The rows that are in the local folder.
_BUILT = "state <> 'refused'"
#: The rows that may be deleted when the input no longer has them.
_NOT_KEPT = "id NOT IN (SELECT id FROM kept)"

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
#: An unchanged row exists: the insert always meets it.
_SEEN = """
INSERT INTO rows (id, text, payload, run, file, position, state)
SELECT substr(:ids, each.key * 16 + 1, 16), x'', x'', :run, :file, each.value, :state
FROM json_each(:positions) AS each WHERE true ORDER BY 1
ON CONFLICT (id) DO UPDATE SET
    run = excluded.run, file = excluded.file, position = excluded.position, state = excluded.state
"""
#: A refused row takes its key. The point that was stored under the key stays, but no longer agrees
#: with the row, so its digests are forgotten.
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
_PENDING = """
INSERT INTO pending (run, file, state, ids, texts, payloads, positions)
VALUES (:run, :file, :state, :ids, :texts, :payloads, :positions)
"""


class RowTable:
    """The tables ``rows``, ``pending`` and ``kept``.

    Args:
        file: The open ledger.

    Attributes:
        is_building: Whether the current run stores its rows in a local folder.
    """

    def __init__(self, file: LedgerFile) -> None:
        self._file = file
        self.is_building = False
        self._recent: dict[bytes, tuple[int, int]] = {}
        self._sent: dict[tuple[int, int], list[bytes]] = {}
        self._unmerged = 0

    @property
    def _present(self) -> str:
        return _BUILT if self.is_building else _STORED

    # --- the batches of the current run ------------------------------------------------------

    def classify(self, run: int, rows: Rows) -> dict[str, list[int]]:
        """Compare the rows of a batch with what is known.

        Returns:
            Kind -> indices: ``seen`` (in this run), ``new``, ``changed`` (its text, or unknown),
            ``payload`` (only that has changed), ``same``.
        """
        with self._file.errors():
            found = self._file.connection.execute(
                _CLASSIFY, {**columns(rows), "run": run}
            ).fetchall()
        kinds = {kind: [int(number) for number in listed.split(",")] for kind, listed in found}
        recent = self._recent
        seen = {number for number, digest in enumerate(each_digest(rows.ids)) if digest in recent}
        if seen:
            for kind, numbers in kinds.items():
                kinds[kind] = [number for number in numbers if number not in seen]
            kinds["seen"] = sorted({*seen, *kinds.get("seen", ())})
        return kinds

    def address(self, digest: bytes) -> tuple[int, int] | None:
        """Return file and position of the row that has a key in this run, settled or sent."""
        if digest in self._recent:
            return self._recent[digest]
        found = self.known(digest)
        return None if found is None else (found.file, found.position)

    def known(self, digest: bytes) -> Known | None:
        """Return what is known of a point that is settled."""
        self.merge()
        for found in self._file.query(
            "SELECT run, file, position, state FROM rows WHERE id = ?", digest
        ):
            return Known(*found)
        return None

    def add_sent(self, file: int, start: int, rows: Rows) -> None:
        """Remember the rows of a batch that was sent and is not settled yet."""
        digests = each_digest(rows.ids)
        self._sent[file, start] = digests
        self._recent.update(zip(digests, zip(repeat(file), rows.positions), strict=False))

    def remove_sent(self, file: int, start: int) -> None:
        """Forget a batch that was sent: it is settled."""
        self._sent.pop((file, start), None)

    def clear_sent(self) -> None:
        """Forget all batches that were sent."""
        self._sent.clear()

    def add_pending(self, run: int, file: int, outcome: Outcome, rows: Rows) -> None:
        """Enter settled rows within the open transaction; `merge` brings them into ``rows``."""
        shared = {"run": run, "file": file, "state": outcome}
        self._file.connection.execute(_PENDING, columns(rows) | shared)
        self._unmerged += len(rows)

    @property
    def is_merge_due(self) -> bool:
        """Whether enough rows are pending to be merged."""
        return self._unmerged >= _MERGE_ROWS

    def merge(self) -> None:
        """Bring pending rows into the table ``rows``, and commit."""
        parts = list(
            self._file.query(
                "SELECT run, file, state, ids, texts, payloads, positions FROM pending "
                "ORDER BY number"
            )
        )
        if not parts:
            return
        with self._file.transaction() as connection:
            for (run, file, state), group in groupby(parts, key=lambda part: part[:3]):
                _, _, _, ids, texts, payloads, positions = zip(*group, strict=True)
                joined = {
                    "ids": b"".join(ids),
                    "texts": b"".join(texts),
                    "payloads": b"".join(payloads),
                    "positions": f"[{','.join(listed[1:-1] for listed in positions)}]",
                }
                shared = {"run": run, "file": file, "state": state}
                connection.execute(_MERGE[state], joined | shared)
            connection.execute("DELETE FROM pending")
        self._unmerged = 0
        recent = self._recent
        self._recent = {one: recent[one] for digests in self._sent.values() for one in digests}

    # --- the points of the collection --------------------------------------------------------

    def count(self) -> int:
        """Count the points of the collection, as far as the ledger knows them."""
        self.merge()
        return self._file.number(f"SELECT count(*) FROM rows WHERE {self._present}")

    def count_built(self) -> int:
        """Count the points of a local folder that was not shipped yet."""
        self.merge()
        return self._file.number(
            "SELECT count(*) FROM rows WHERE state <> 'refused' "
            "AND run IN (SELECT id FROM runs WHERE building)"
        )

    def count_vanished(self, run: int) -> int:
        """Count the points whose key did not come in a run, without those that are kept."""
        self.merge()
        return self._file.number(
            f"SELECT count(*) FROM rows WHERE run <> ? AND {self._present} AND {_NOT_KEPT}", run
        )

    def keep(self, run: int) -> int:
        """Keep the points that a run stored, even if the input lacks them; return how many."""
        self.merge()
        with self._file.transaction() as connection:
            cursor = connection.execute(
                "INSERT OR REPLACE INTO kept SELECT id FROM rows WHERE run = ? "
                "AND state IN ('stored', 'payload', 'unchanged')",
                (run,),
            )
        return cursor.rowcount

    def count_kept(self) -> int:
        """Count the points that are kept even if the input lacks them."""
        return self._file.number("SELECT count(*) FROM kept")

    def release(self, run: int) -> None:
        """Stop keeping the points that a run has found in its input: the input decides again."""
        self.merge()
        with self._file.transaction() as connection:
            connection.execute(
                "DELETE FROM kept WHERE id IN (SELECT kept.id FROM kept JOIN rows "
                "ON rows.id = kept.id WHERE rows.run = ?)",
                (run,),
            )

    def pages(
        self, *, not_in_run: int | None = None, size: int = 1000
    ) -> Iterator[list[PointRecord]]:
        """Yield all points in pages, by id; the table may be changed meanwhile.

        Args:
            not_in_run: Leave out the points of this run, and those that are kept.
            size: Points of a page.
        """
        self.merge()
        kept = "" if not_in_run is None else f" AND {_NOT_KEPT}"
        statement = (
            "SELECT id, payload, run, file, position, state FROM rows WHERE id > ? "
            f"AND {self._present} AND run <> ?{kept} ORDER BY id LIMIT ?"
        )
        last = b""
        while True:
            run = -1 if not_in_run is None else not_in_run
            found = list(self._file.query(statement, last, run, size))
            if not found:
                return
            yield [(row[0], row[1], Known(*row[2:])) for row in found]
            last = found[-1][0]

    def samples(self, count: int, *, size: int = 1000) -> Iterator[list[PointRecord]]:
        """Yield some points, chosen by chance, in pages."""
        self.merge()
        found = list(
            self._file.query(
                "SELECT id, payload, run, file, position, state FROM rows WHERE id IN "
                f"(SELECT id FROM rows WHERE {self._present} ORDER BY random() LIMIT ?)",
                count,
            )
        )
        for start in range(0, len(found), size):
            page = found[start : start + size]
            yield [(row[0], row[1], Known(*row[2:])) for row in page]

    def remove_deleted(self, run: int, digests: Sequence[bytes]) -> None:
        """Remove points that a run has deleted, and count them in the run."""
        with self._file.transaction() as connection:
            self._delete(digests)
            connection.execute(
                "UPDATE runs SET deleted = deleted + ? WHERE id = ?", (len(digests), run)
            )

    def forget(self, digests: Sequence[bytes]) -> None:
        """Forget points that are not as they were stored, so that the next sync stores them."""
        with self._file.transaction():
            self._delete(digests)

    def _delete(self, digests: Sequence[bytes]) -> None:
        self._file.connection.executemany(
            "DELETE FROM rows WHERE id = ?", [(digest,) for digest in digests]
        )

    def clear(self) -> None:
        """Forget all rows, before they are read again from the collection."""
        with self._file.transaction() as connection:
            connection.execute("DELETE FROM rows")

    def add_found(self, rows: Rows) -> None:
        """Enter points that were read from the collection; zeros stand for an unknown digest."""
        with self._file.transaction() as connection:
            connection.execute(_WRITE, {**columns(rows), "run": 0, "file": -1, "state": "known"})
