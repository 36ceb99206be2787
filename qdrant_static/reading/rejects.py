"""Rows that were not stored, and why: a JSONL file."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
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

#: A row of up to so many characters is kept whole; of a larger row only the beginnings of its
#: values are kept, in a batch as in a rejects file.
_WHOLE = 16 * 2**20
#: How much of a value of such a row is kept: characters, items.
_SHOWN = 2000
_SHOWN_ITEMS = 20
#: Halves of surrogate pairs, which UTF-8 cannot hold, and what some readers take for line ends.
_ESCAPED = re.compile("[\ud800-\udfff\x7f-\x9f\u2028\u2029]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reject:
    """One row, or one file, that was not stored.

    Attributes:
        reason: Its kind, for counting.
        message: The problem.
        file: The input file.
        unit: What ``position`` counts: ``"line"`` from 1, ``"row"`` from 0.
        position: Where in the file; None for the file itself.
        row: The whole row, as far as it could be read.
        is_cut: Whether the row was too large to be kept whole.
        partition: Column -> value from the file's folders, where the row is not parsed yet.
        csv: Delimiter and columns of the CSV file, where the row is not parsed yet.
    """

    reason: Reason
    message: str
    file: str
    unit: Literal["line", "row"]
    position: int | None = None
    row: Any = None
    partition: Mapping[str, Any] | None = None
    csv: Mapping[str, Any] | None = None
    is_cut: bool = False

    def __post_init__(self) -> None:
        if _size(self.row) > _WHOLE:
            object.__setattr__(self, "row", shortened(self.row))
            object.__setattr__(self, "is_cut", True)

    @property
    def is_file(self) -> bool:
        """Whether it stands for a file, which no sum of rows counts."""
        return self.reason == "unreadable_file"

    def to_dict(self) -> dict[str, Any]:
        """Return the line of the rejects file as a dictionary."""
        return {
            "reason": self.reason,
            "message": self.message,
            "file": self.file,
            self.unit: self.position,
            "value": self.row,
            **({"partition": dict(self.partition)} if self.partition else {}),
            **({"csv": dict(self.csv)} if self.csv else {}),
            **({"cut": True} if self.is_cut else {}),
        }


def _size(value: Any) -> int:
    """Estimate the characters of a value."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, dict):
        return sum(len(str(name)) + _size(one) for name, one in value.items())
    return sum(map(_size, value)) if isinstance(value, list) else 8


def shortened(value: Any) -> Any:
    """Return a row that is too large with its long strings and lists cut."""
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
    """Writes rejects to a file, which is created with the first one.

    Args:
        path: The file; an earlier one of that name is replaced.
        options: How the job reads its rows; see `selection.row_options`.
        kept_bytes: So many bytes of an existing file belong to this run and stay; the rest
            belongs to batches that are read again.
    """

    def __init__(
        self, path: Path, *, options: Mapping[str, Any] | None = None, kept_bytes: int = 0
    ) -> None:
        self.path = path
        self._options = options
        self.bytes = 0
        self._file: IO[bytes] | None = None
        if kept_bytes and path.exists() and path.stat().st_size >= kept_bytes:
            self._file = path.open("r+b")
            self._file.truncate(kept_bytes)
            self._file.seek(kept_bytes)
            self.bytes = kept_bytes
        else:
            path.unlink(missing_ok=True)  # an earlier run's rejects would be taken for this one's

    def add(self, *rejects: Reject) -> None:
        """Write rejects, and flush the file."""
        self.add_lines([_line(reject, self._options) for reject in rejects])

    def add_lines(self, lines: Sequence[bytes]) -> None:
        """Write lines of other rejects files, and flush the file."""
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


def _line(reject: Reject, options: Mapping[str, Any] | None) -> bytes:
    """Return a reject as a line of JSON; what UTF-8 cannot hold is escaped."""
    content = reject.to_dict() | ({"options": dict(options)} if options else {})
    try:
        text = _json(content)
    except (ValueError, RecursionError):  # not finite, or nested too deep for JSON
        text = _json({**content, "value": _shown(reject.row)})
    return _ESCAPED.sub(lambda found: f"\\u{ord(found[0]):04x}", text).encode() + b"\n"


def _json(content: Mapping[str, Any]) -> str:
    return json.dumps(content, ensure_ascii=False, default=str, allow_nan=False)


def _shown(row: Any) -> str:
    try:
        return json.dumps(row, ensure_ascii=False, default=str)
    except RecursionError:
        return "(nested too deep to be shown)"
