"""Defines `RunOptions`, how an ingest runs, and `RejectLimit`, when it stops because of rejects."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Literal, Self, get_args

from qdrant_static import rules
from qdrant_static.errors import ArgumentError
from qdrant_static.reading.options import SourceOptions

if TYPE_CHECKING:
    from qdrant_static.ledger.records import Totals

OnDuplicate = Literal["reject", "first", "last"]

#: A sync deletes at most this share of the points that it knows, unless it is forced to.
DELETION_SHARE = 0.2
#: A share of rejects is compared with its limit after this many rows, and at the end.
_ENOUGH_ROWS = 1000
_PERCENT = re.compile(r"(\d+(?:\.\d+)?)\s*%")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """How an ingest runs: what it compares, deletes, rejects and keeps.

    The table ``[ingest]`` of a job file and the options of ``qdrant-static ingest`` have the same
    names.

    Attributes:
        sync: Store only what has changed since the last run. An unchanged row is neither encoded
            nor written; a row of which only the payload has changed is not encoded.
        delete_missing: With ``sync``: delete the points whose rows are not in the input, which
            must then be the whole of the collection. Refused if they are more than a fifth of all
            points; nothing is deleted if a part of the input cannot be read.
        force: With ``delete_missing``: delete even more than a fifth of all points.
        again: Write the input even if the last run has written the same. Without it, nothing is
            done where files, options, encoder and the number of points are as they were then.
        on_duplicate: Which row is stored if a key occurs more than once in the input: with
            ``"reject"`` and ``"first"`` the first one, with ``"last"`` the last one. With
            ``"reject"`` the others are rejects, else they count as superseded.
        max_rejects: Stop if more rows than this are rejected, a number or a share (``"1%"``); None
            is no limit. A file that cannot be read exceeds any limit.
        bulk: Have a server index after the load, not during it.
        threads: Encoding threads; None takes one for each processor, less one where the engine
            runs in this process.
        state: The folder for ledger, rejects and manifest; None takes one beside the embedded
            data, or in ``./qdrant-static-state`` for a server.
        rejects: The file for rows that are not stored; None makes a new one in ``state``.
        keep_runs: Keep the rejects files and manifests of this many last runs, and remove those of
            earlier ones; None takes the number that an earlier run was given, else 20.
        pinned: Refuse a collection that is not what ``spec`` and ``encoder`` say, also where a
            migration has put it in the place of one that was.
        job: A name that log lines begin with; None takes the job file's, if there is one.

    Raises:
        ArgumentError: If a value is not allowed, or `delete_missing` is set without `sync`.
    """

    sync: bool = False
    delete_missing: bool = False
    force: bool = False
    again: bool = False
    on_duplicate: OnDuplicate = "reject"
    max_rejects: int | str | None = None
    bulk: bool = False
    threads: int | None = None
    state: str | os.PathLike[str] | None = None
    rejects: str | os.PathLike[str] | None = None
    keep_runs: int | None = None
    pinned: bool = False
    job: str | None = None

    def __post_init__(self) -> None:
        if self.delete_missing and not self.sync:
            raise ArgumentError(field="delete_missing", problem="it needs sync=True")
        rules.check_choice("on_duplicate", self.on_duplicate, get_args(OnDuplicate))
        RejectLimit.parse(self.max_rejects)
        rules.check_integer("threads", self.threads, optional=True)
        rules.check_integer("keep_runs", self.keep_runs, optional=True)
        for name in ("state", "rejects"):
            if (path := getattr(self, name)) is not None:
                rules.location(name, path)

    @property
    def reject_limit(self) -> RejectLimit | None:
        """The limit that `max_rejects` gives; None if there is none."""
        return RejectLimit.parse(self.max_rejects)


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectLimit:
    """How many rows may be rejected.

    Attributes:
        text: The limit as messages show it.
        count: The number of rows; None where a share is meant.
        share: The share of the rows read; None where a number is meant.
    """

    text: str
    count: int | None = None
    share: float | None = None

    @classmethod
    def parse(cls, value: int | str | None) -> Self | None:
        """Read ``100``, ``"100"`` or ``"1%"``; None stays None.

        Raises:
            ArgumentError: If it is none of them.
        """
        if value is None:
            return None
        text = str(value).strip()
        percent = _PERCENT.fullmatch(text)
        if percent is not None and float(percent[1]) <= 100:
            return cls(text=text, share=float(percent[1]) / 100)
        if not isinstance(value, bool) and text.isdecimal():
            return cls(text=f"{int(text):,}", count=int(text))
        raise ArgumentError(
            field="max_rejects", problem=f'{value!r} is neither a number of rows nor like "1%"'
        )

    def is_exceeded(self, totals: Totals, *, at_end: bool, unreadable: int = 0) -> bool:
        """Return whether a sum exceeds the limit; a file that cannot be read exceeds any.

        Args:
            totals: The sum so far.
            at_end: Whether it is the whole sum.
            unreadable: Files that could not be read: how many rows they have is not known.
        """
        if unreadable:
            return True
        if self.count is not None:
            return totals.rejected > self.count
        if self.share is None or not (at_end or totals.read >= _ENOUGH_ROWS):
            return False
        return totals.rejected > self.share * totals.read


def unknown_argument(name: str) -> Exception:
    """Return the error for a keyword that `ingest` lacks; it names the class that has it."""
    for argument, kind in (("source_options", SourceOptions), ("run_options", RunOptions)):
        if any(field.name == name for field in fields(kind)):
            return ArgumentError(
                field=name,
                problem=f"is a field of {kind.__name__}: pass "
                f"{argument}={kind.__name__}({name}=...)",
            )
    return TypeError(f"ingest() got an unexpected keyword argument {name!r}")
