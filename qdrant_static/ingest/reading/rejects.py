"""Rows that were not stored, and why: a JSONL file that a person can read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal, Self

if TYPE_CHECKING:
    from types import TracebackType

Reason = Literal[
    "not_json",
    "not_an_object",
    "not_unicode",
    "too_long",
    "no_text",
    "null_key",
    "wrong_type",
    "bad_vector",
    "not_csv",
    "duplicate_key",
    "refused",
    "unreadable_file",
]

#: How much of a row that is too large goes into the rejects file: characters, values.
_SHOWN = 2000
_SHOWN_ITEMS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Reject:
    """One row, or one file, that was not stored.

    Attributes:
        reason: Its kind, one word for counting.
        message: What is wrong, for a person.
        file: The input file.
        unit: What ``position`` counts: ``"line"`` from 1, ``"row"`` from 0.
        position: Where in the file; None for the file itself.
        row: The row, as far as it could be read.
    """

    reason: Reason
    message: str
    file: str
    unit: Literal["line", "row"]
    position: int | None = None
    row: Any = None

    @property
    def is_file(self) -> bool:
        """Whether a whole file is meant, which no sum of rows counts."""
        return self.reason == "unreadable_file"

    def to_dict(self) -> dict[str, Any]:
        """The line of the rejects file."""
        return {
            "reason": self.reason,
            "message": self.message,
            "file": self.file,
            self.unit: self.position,
            "value": self.row,
        }


def shortened(value: Any) -> Any:
    """A row that is too large to be written out: long strings and lists cut."""
    if isinstance(value, str):
        return (
            value if len(value) <= _SHOWN else f"{value[:_SHOWN]} ... ({len(value):,} characters)"
        )
    if isinstance(value, list):
        more = [] if len(value) <= _SHOWN_ITEMS else [f"... ({len(value):,} values)"]
        return [shortened(one) for one in value[:_SHOWN_ITEMS]] + more
    if isinstance(value, dict):
        return {name: shortened(value[name]) for name in list(value)[:_SHOWN]}
    return value


class RejectsFile:
    """Writes rejects to a file, which is made at the first one.

    Args:
        path: The file; an earlier one of that name is replaced.
        kept_bytes: So much of an earlier file is this run's and stays: what came after it belongs
            to batches that are read again.
    """

    def __init__(self, path: Path, *, kept_bytes: int = 0) -> None:
        self.path = path
        self.bytes = 0
        self._file: IO[bytes] | None = None
        if kept_bytes and path.exists() and path.stat().st_size >= kept_bytes:
            self._file = path.open("r+b")
            self._file.truncate(kept_bytes)
            self._file.seek(kept_bytes)
            self.bytes = kept_bytes
        else:
            path.unlink(missing_ok=True)  # an earlier run's would be taken for this one's

    def add(self, *rejects: Reject) -> None:
        """Write rejects; they are in the file when this returns."""
        self.add_lines([_line(reject).encode() + b"\n" for reject in rejects])

    def add_lines(self, lines: Sequence[bytes]) -> None:
        """Write lines of other rejects files, likewise."""
        if not lines:
            return
        if self._file is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("wb")
        self._file.writelines(lines)
        self._file.flush()
        self.bytes += sum(map(len, lines))

    def __bool__(self) -> bool:
        return bool(self.bytes)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file is not None:
            self._file.close()


def _line(reject: Reject) -> str:
    # ASCII escapes keep what is not valid Unicode readable.
    try:
        return json.dumps(reject.to_dict(), default=str, allow_nan=False)
    except (ValueError, RecursionError):  # not finite, or nested too deep to be written
        return json.dumps({**reject.to_dict(), "value": _shown(reject.row)})


def _shown(row: Any) -> str:
    try:
        return repr(row)
    except RecursionError:
        return "(nested too deep to be shown)"
