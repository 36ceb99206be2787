"""The runs of a ledger: their files, their batches' sums, and what they have encoded."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from qdrant_static.ledger.records import SUM, Encoded, Run, Span, Totals, UnreadableFile

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from qdrant_static.ledger.ledgerfile import LedgerFile

#: The note of a sampled mean length whose collection is not loaded to its end.
SAMPLED = "sampled mean length"
#: The note of what the last run has encoded.
_ENCODED = "encoded"
#: So many runs keep their batches and files.
_KEPT_RUNS = 30
_JSON_COLUMNS = frozenset({"identity", "versions"})


class RunTable:
    """The tables ``runs``, ``files``, ``batches`` (read only; `Ledger` fills it) and ``broken``.

    Args:
        file: The open ledger.
    """

    def __init__(self, file: LedgerFile) -> None:
        self._file = file

    def all(self) -> list[Run]:
        """Return all runs, the first one first."""
        return self._select("ORDER BY id")

    def last(self) -> Run | None:
        """Return the last run."""
        return next(iter(self._select("ORDER BY id DESC LIMIT 1")), None)

    def _select(self, order: str) -> list[Run]:
        with self._file.errors():
            cursor = self._file.connection.execute(f"SELECT * FROM runs {order}")
            names = [column[0] for column in cursor.description]
            return [_run(dict(zip(names, values, strict=True))) for values in cursor]

    def add(
        self,
        *,
        started: str,
        identity: Mapping[str, Any],
        files: Sequence[tuple[str, str]],
        rejects: str,
        versions: Mapping[str, str],
        building: bool,
    ) -> int:
        """Enter a run within the open transaction, and return its number.

        Unfinished runs become ``abandoned``; runs that are long past lose their batches, files and
        names of unreadable files, and keep their sum.
        """
        connection = self._file.connection
        connection.execute(
            "UPDATE runs SET state = 'abandoned' WHERE state NOT IN ('finished', 'abandoned')"
        )
        cursor = connection.execute(
            "INSERT INTO runs (state, started, identity, rejects, versions, building) "
            "VALUES ('running', ?, ?, ?, ?, ?)",
            (started, json.dumps(identity), rejects, json.dumps(versions), int(building)),
        )
        run = int(cursor.lastrowid or 0)
        connection.executemany(
            "INSERT INTO files VALUES (?, ?, ?, ?)",
            [(run, number, *file) for number, file in enumerate(files)],
        )
        old = connection.execute(
            "SELECT DISTINCT run FROM batches WHERE run <= ?", (run - _KEPT_RUNS,)
        ).fetchall()
        for (number,) in old:
            totals = json.dumps(asdict(self.totals(number)))
            connection.execute("UPDATE runs SET totals = ? WHERE id = ?", (totals, number))
        for table in ("batches", "files", "broken"):
            connection.execute(f"DELETE FROM {table} WHERE run <= ?", (run - _KEPT_RUNS,))
        return run

    def update(self, run: int, **columns: Any) -> None:
        """Change columns of a run, and commit."""
        values = [
            json.dumps(value) if name in _JSON_COLUMNS and value is not None else value
            for name, value in columns.items()
        ]
        assignments = ", ".join(f"{name} = ?" for name in columns)  # names from this package only
        with self._file.transaction() as connection:
            connection.execute(f"UPDATE runs SET {assignments} WHERE id = ?", (*values, run))

    def is_building(self, run: int) -> bool:
        """Return whether a run stores its rows in a local folder."""
        return bool(self._file.number("SELECT building FROM runs WHERE id = ?", run))

    # --- files -------------------------------------------------------------------------------

    def add_file(self, run: int, path: str) -> int:
        """Enter a file that the source has named only now, and return its number."""
        number = self._file.number("SELECT count(*) FROM files WHERE run = ?", run)
        with self._file.transaction() as connection:
            connection.execute("INSERT INTO files VALUES (?, ?, ?, '')", (run, number, path))
        return number

    def files(self, run: int) -> list[tuple[str, str]]:
        """Return path and fingerprint of the files of a run, in order."""
        return [
            (path, fingerprint)
            for path, fingerprint in self._file.query(
                "SELECT path, fingerprint FROM files WHERE run = ? ORDER BY number", run
            )
        ]

    def add_unreadable(self, run: int, path: str, message: str) -> bool:
        """Enter a file that could not be read; return whether that was known before."""
        with self._file.errors():
            self._file.open_transaction()
            cursor = self._file.connection.execute(
                "INSERT OR IGNORE INTO broken VALUES (?, ?, ?)", (run, path, message)
            )
        return cursor.rowcount == 0

    def unreadable(self, run: int) -> tuple[UnreadableFile, ...]:
        """Return the files of a run that could not be opened, or read to their end."""
        found = self._file.query(
            "SELECT path, max(message) FROM broken WHERE run = ? GROUP BY path ORDER BY path", run
        )
        return tuple(UnreadableFile(file=path, problem=message) for path, message in found)

    def never_read(self) -> tuple[UnreadableFile, ...]:
        """Return the files that no run has read since a run could not.

        A file leaves the list when a later run finishes that has read it, or that has read another
        file of the same input: then the file is no longer part of the input.
        """
        found = self._file.query(
            "SELECT path, message FROM broken AS part WHERE NOT EXISTS ("
            "SELECT 1 FROM runs JOIN files ON files.run = runs.id WHERE runs.id > part.run "
            "AND runs.state = 'finished' AND (files.path = part.path OR files.path IN "
            "(SELECT path FROM files WHERE run = part.run))) ORDER BY path, run"
        )
        return tuple(
            UnreadableFile(file=path, problem=message) for path, message in dict(found).items()
        )

    def forget_unreadable(self, before: int | None = None) -> None:
        """Forget which files earlier runs could not read: the collection was made again since.

        Args:
            before: Only those of runs before this one; None: all.
        """
        with self._file.transaction() as connection:
            connection.execute("DELETE FROM broken WHERE run < coalesce(?, run + 1)", (before,))

    # --- batches -----------------------------------------------------------------------------

    def settled(self, run: int) -> dict[int, list[Span]]:
        """Return file number -> half-open ranges of it that are settled, joined and in order."""
        spans: dict[int, list[Span]] = {}
        for file, start, stop in self._file.query(
            "SELECT file, start, stop FROM batches WHERE run = ? AND state <> 'sent' "
            "ORDER BY file, start",
            run,
        ):
            known = spans.setdefault(file, [])
            if known and known[-1][1] >= start:
                known[-1] = (known[-1][0], max(stop, known[-1][1]))
            else:
                known.append((start, stop))
        return spans

    def totals(self, run: int) -> Totals:
        """Return the sum of a run."""
        sums = ", ".join(f"coalesce(sum({name}), 0)" for name in SUM)
        counts = next(
            self._file.query(
                f"SELECT {sums} FROM batches WHERE run = ? AND state <> 'sent'",
                run,
            )
        )
        reasons: Counter[str] = Counter()
        for (written,) in self._file.query(
            "SELECT reasons FROM batches WHERE run = ? AND reasons <> '{}'", run
        ):
            reasons.update(json.loads(written))
        reasons = Counter({name: count for name, count in reasons.items() if count})
        return Totals(**dict(zip(SUM, counts, strict=True)), reasons=dict(sorted(reasons.items())))


class EncodedCounts:
    """Counts what runs have encoded: texts, BM25 terms, vectors of zeros.

    Args:
        file: The open ledger.
    """

    def __init__(self, file: LedgerFile) -> None:
        self._file = file
        self._current: tuple[int, Encoded, tuple[int, int]] | None = None

    def of_run(self, run: int) -> Encoded:
        """Return what a run has encoded, in all its attempts."""
        note = self._file.notes.get(_ENCODED, {})
        return Encoded(*note["counts"]) if note.get("run") == run else Encoded()

    def start_counting_terms(self, mean_length: float) -> None:
        """Note that BM25's mean length was sampled, and count terms from now on."""
        self._file.notes[_ENCODED] = {}
        self._current = None
        self._file.notes[SAMPLED] = [mean_length]

    def texts_and_terms(self, run: int) -> tuple[int, int]:
        """Return texts and their terms since the mean length was sampled, up to this run."""
        texts, terms, _ = self.of_run(run)
        earlier = self._earlier(run)
        return texts + earlier[0], terms + earlier[1]

    def _earlier(self, run: int) -> tuple[int, int]:
        """Texts and terms of earlier runs that did not load a sampled collection to its end."""
        note = self._file.notes.get(_ENCODED, {})
        if not note or SAMPLED not in self._file.notes:
            return 0, 0
        texts, terms = note["earlier"]
        if note["run"] == run:
            return texts, terms
        return texts + note["counts"][0], terms + note["counts"][1]

    def add(self, run: int, more: Encoded) -> None:
        """Add to a run's counts within the open transaction."""
        if self._current is None or self._current[0] != run:
            self._current = (run, self.of_run(run), self._earlier(run))
        _, so_far, earlier = self._current
        counts = Encoded(*(a + b for a, b in zip(so_far, more, strict=True)))
        self._current = (run, counts, earlier)
        self._file.put_note(_ENCODED, {"run": run, "counts": counts, "earlier": earlier})


def _run(values: dict[str, Any]) -> Run:
    for name in _JSON_COLUMNS:
        values[name] = None if values[name] is None else json.loads(values[name])
    for name in ("complete", "building"):
        values[name] = bool(values[name])
    return Run(**values)
