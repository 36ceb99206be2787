"""What an ingest did, in figures that add up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from qdrant_static.collection.spec import Fields


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestReport:
    """The account of a run: ``read == stored + rejected``, always.

    Attributes:
        collection: The collection.
        encoder: The encoder's name.
        fields: The columns that were taken for key and text.
        files: Files that were read.
        unreadable_files: Files, or rests of files, that could not be; not in ``read``.
        read: Rows that were read and settled.
        stored: Rows that the engine acknowledged.
        rejected: Reason -> rows.
        rejects_path: The file with the rejects; None if there are none.
        left_out: Binary columns, which no payload can hold.
        points_before: Exact count before.
        points_after: Exact count after.
        seconds: Phase (``load``: read, encode and write; ``index``) -> seconds.
        interrupted: Whether it was stopped before the end.
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

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON-like data."""
        return {
            **asdict(self),
            "fields": self.fields.to_dict(),
            "left_out": list(self.left_out),
            "rejects_path": None if self.rejects_path is None else str(self.rejects_path),
            "seconds": {phase: round(value, 3) for phase, value in self.seconds.items()},
        }

    def __str__(self) -> str:
        lost = sum(self.rejected.values())
        load, index = self.seconds["load"], self.seconds.get("index", 0.0)
        rate = f", {self.stored / load:,.0f} rows/s" if self.stored and load else ""
        lines = [
            f"read {self.read:,} = stored {self.stored:,} + rejected {lost:,}",
            f"collection {self.collection!r}: {self.points_after:,} points "
            f"({self.points_before:,} before)",
            f"load {load:.1f} s{rate}; index {index:.1f} s",
        ]
        if self.read:
            lines.insert(2, f"encoder {self.encoder}; {self._taken()}")
        else:
            lines.insert(0, "the input has no rows")
        if self.interrupted:
            lines.insert(0, "interrupted: what is stored stays; the same command goes on from it")
        if lost:
            reasons = ", ".join(f"{name} {count:,}" for name, count in self.rejected.items())
            lines.append(f"rejected: {reasons}")
        if self.unreadable_files:
            lines.append(f"files that could not be read to their end: {self.unreadable_files}")
        if self.rejects_path is not None:
            lines.append(f"details: {self.rejects_path}")
        if self.left_out:
            lines.append(f"binary columns left out of the payload: {', '.join(self.left_out)}")
        return "\n".join(lines)

    def _taken(self) -> str:
        key = self.fields.key_told or "digest of the text"
        return f"key {key}; text {' + '.join(self.fields.text) or 'not in the payload'}"
