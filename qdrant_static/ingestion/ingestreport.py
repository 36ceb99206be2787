"""Defines `IngestReport`, what an ingest did, and `IngestProgress`, how far one is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Self

from qdrant_static.collection.spec import Fields
from qdrant_static.ledger.records import UnreadableFile, sum_line, unreadable_lines

#: So many files that could not be read are named in the summary.
MOST_NAMED = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestProgress:
    """How far an ingest is.

    Attributes:
        phase: What is being done: ``load`` (read, encode and write), ``index``, or ``ship``.
        rows: Rows that were read and settled so far, earlier attempts included.
        total_rows: Rows of the input; None where that is not known before they are read.
        stored: Rows of these that were stored.
        rejected: Rows of these that were rejected.
        fraction: The part of the phase that is done, from 0 to 1; None if it is not known.
        elapsed_s: Seconds since this attempt began.
    """

    phase: Literal["load", "index", "ship"]
    rows: int
    total_rows: int | None
    stored: int
    rejected: int
    fraction: float | None
    elapsed_s: float


ProgressCallback = Callable[[IngestProgress], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestReport:
    """The account of a run, over all its attempts. Two sums hold, always.

    ``read == stored + built + payload_updated + unchanged + superseded + rejected`` (rows), and
    ``points_after == points_before + new - deleted``. Where rows are cut into passages, a row is
    several points.

    Attributes:
        collection: The collection.
        encoder: The encoder's name.
        fields: The columns that were taken for key and text.
        files: Files that were read.
        unreadable_files: Files, rests of files and folders that could not be; not in ``read``.
        read: Rows that were read and settled.
        stored: Rows that the engine acknowledged.
        rejected: Reason -> rows.
        rejects_path: The file with the rejects; None if there are none.
        left_out: Columns that no payload can hold: of bytes, intervals or unions.
        points_before: Exact count before.
        points_after: Exact count after.
        seconds: Phase (``load``: read, encode and write; ``index``, ``verify``, ``ship``) -> s.
        interrupted: Whether it was stopped before the end.
        payload_updated: Rows of which only the payload was stored, as only that had changed.
        unchanged: Rows that were there as they are.
        superseded: Rows that lost against another of their key, and are no rejects.
        points_written: Points that the engine acknowledged.
        new: Points that were not there before.
        deleted: Points whose rows have vanished from the input.
        exact: Whether ``new`` was counted row by row and agrees with the counts of points; else it
            is their difference, because the ledger did not know all points beforehand.
        run: The run's number in the ledger.
        attempts: How many times it was begun; 1 if it ran through.
        sampled: Stored rows that were read back and compared.
        ledger: The ledger's file.
        manifest: The manifest's file; None for a run that was stopped.
        built: Rows that are in a local folder, to be shipped, and not in the collection yet.
        unreadable: What could not be read, and why; if there is any, the input was read in part.
        not_deleted: Points whose rows did not come and that were to be deleted: none was, because
            they may be in what could not be read.
        shipment: The account of the shipment; None where nothing was shipped.
        unchanged_since: When the run ended that stored the same input, if this one had nothing to
            do; None if it had.
        zero_vectors: Texts of which the encoder knows no token: their vectors are zeros.
        earlier: Rows of ``read`` that earlier attempts had settled; no rate counts them.
        notes: What the user should know besides, a sentence each.
    """

    collection: str
    encoder: str
    fields: Fields
    files: int
    unreadable_files: int
    read: int
    stored: int
    rejected: Mapping[str, int]
    rejects_path: Path | None
    left_out: tuple[str, ...]
    points_before: int
    points_after: int
    seconds: Mapping[str, float]
    interrupted: bool = False
    payload_updated: int = 0
    unchanged: int = 0
    superseded: int = 0
    points_written: int = 0
    new: int = 0
    deleted: int = 0
    exact: bool = True
    run: int = 0
    attempts: int = 1
    sampled: int = 0
    ledger: Path | None = None
    manifest: Path | None = None
    built: int = 0
    shipment: Mapping[str, Any] | None = None
    earlier: int = 0
    notes: tuple[str, ...] = ()
    zero_vectors: int = 0
    unreadable: tuple[UnreadableFile, ...] = ()
    not_deleted: int = 0
    unchanged_since: str | None = None

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read a report from `to_dict` or a manifest, whose other keys are ignored."""
        known = {name: data[name] for name in cls.__slots__ if name in data}
        paths = ("rejects_path", "ledger", "manifest")
        return cls(
            **{
                **known,
                "fields": Fields.from_dict(known["fields"]),
                "left_out": tuple(known["left_out"]),
                "notes": tuple(known.get("notes", ())),  # earlier manifests have none
                "unreadable": tuple(UnreadableFile(**one) for one in known.get("unreadable", ())),
                **{name: None if known[name] is None else Path(known[name]) for name in paths},
            }
        )

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON-like data."""
        return {
            **asdict(self),
            "fields": self.fields.to_dict(),
            "left_out": list(self.left_out),
            "notes": list(self.notes),
            "unreadable": [asdict(one) for one in self.unreadable],
            **{
                name: None if path is None else str(path)
                for name, path in (
                    ("rejects_path", self.rejects_path),
                    ("ledger", self.ledger),
                    ("manifest", self.manifest),
                )
            },
            "seconds": {phase: round(value, 3) for phase, value in self.seconds.items()},
        }

    @property
    def rows_per_second(self) -> float | None:
        """Rows that this attempt read and settled, a second; None if it read none."""
        rows, load = self.read - self.earlier, self.seconds.get("load", 0.0)
        return rows / load if rows > 0 and load else None

    @property
    def sum(self) -> str:
        """What became of the rows, in one line: ``read 10 = stored 9 + rejected 1``."""
        counts = {
            "read": self.read,
            "stored": self.built or self.stored,
            "payload_updated": self.payload_updated,
            "unchanged": self.unchanged,
            "superseded": self.superseded,
            "rejected": sum(self.rejected.values()),
        }
        return sum_line(counts, word="built" if self.built else "stored")

    def __str__(self) -> str:
        load, index = self.seconds["load"], self.seconds.get("index", 0.0)
        settled = self.stored + self.built + self.payload_updated + self.unchanged
        rate = f", {self.rows_per_second:,.0f} rows/s" if settled and self.rows_per_second else ""
        deleted = f", {self.deleted:,} deleted" if self.deleted else ""
        shipped = f"; ship {self.seconds['ship']:.1f} s" if "ship" in self.seconds else ""
        only_built = self.built > 0
        lines = [
            self.sum,
            f"{'built ' if only_built else ''}collection {self.collection!r}: "
            f"{self.points_after:,} points "
            f"({self.points_before:,} before{deleted})",
            f"load {load:.1f} s{rate}; index {index:.1f} s{shipped}",
        ]
        if self.read:
            lines.insert(2, f"encoder {self.encoder}; {self._taken()}")
        elif not (self.unreadable or self.interrupted):
            lines.insert(0, "the input has no rows")
        if self.unchanged_since is not None:
            lines.insert(0, self.nothing_to_do)
        if self.shipment is not None:
            proved = ", ".join(one["name"] for one in self.shipment.get("proofs", ()))
            sent = self.shipment.get("sent_bytes", 0)
            how = f"{sent / 1e6:,.1f} MB" if sent else "it was there already"
            lines.append(f"shipped: {how}" + (f"; proved: {proved}" if proved else ""))
        if self.interrupted:
            kept = "built" if only_built else "stored"
            lines.insert(0, f"interrupted: what is {kept} stays; the same command goes on from it")
        if self.attempts > 1:
            lines.append(f"in {self.attempts} attempts: this one went on where the last one ended")
        if any(self.rejected.values()):
            reasons = ", ".join(f"{name} {count:,}" for name, count in self.rejected.items())
            lines.append(f"rejected: {reasons}")
        lines += self._not_read()
        if self.rejects_path is not None:
            lines.append(f"details: {self.rejects_path}")
        if self.left_out:
            names = ", ".join(self.left_out)
            lines.append(f"columns of bytes, intervals or unions left out of the payload: {names}")
        lines += [f"note: {note}" for note in self.notes]
        return "\n".join(lines)

    def _not_read(self) -> list[str]:
        lines = []
        if self.unreadable_files:
            lines.append(f"files that could not be read to their end: {self.unreadable_files}")
            lines += unreadable_lines(self.unreadable, MOST_NAMED)
        if self.not_deleted:
            lines.append(
                f"nothing was deleted: the {self.not_deleted:,} points whose rows did not come may "
                "be in what could not be read"
            )
        return lines

    @property
    def nothing_to_do(self) -> str:
        """The reason why nothing was written."""
        files = "1 file is" if self.files == 1 else f"{self.files:,} files are"
        return (
            f"nothing to do: {files} unchanged since {self.unchanged_since}; --again writes "
            f"{'it' if self.files == 1 else 'them'} again"
        )

    def _taken(self) -> str:
        key = self.fields.key_label or "digest of the text"
        return f"key {key}; text {self.fields.text_label}"
