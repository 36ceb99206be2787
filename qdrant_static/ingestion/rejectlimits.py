"""When a job that eats rubbish stops, and how much a sync may delete."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

from qdrant_static.errors import ArgumentError
from qdrant_static.ledger.records import Totals

#: A share is judged from so many rows on, and at the end.
_ENOUGH_ROWS = 1000
#: A sync deletes at most this share of the points it knows, unless it is forced to.
DELETION_SHARE = 0.2

_PERCENT = re.compile(r"(\d+(?:\.\d+)?)\s*%")


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectLimit:
    """How many rows may be rejected.

    Attributes:
        told: As it was given.
        count: So many; None where a share is meant.
        share: Such a part of the rows read; None where a count is meant.
    """

    told: str
    count: int | None = None
    share: float | None = None

    @classmethod
    def parse(cls, given: int | str | None) -> Self | None:
        """Read ``100``, ``"100"`` or ``"1%"``; None stays None.

        Raises:
            ArgumentError: If it is none of them.
        """
        if given is None:
            return None
        told = str(given).strip()
        percent = _PERCENT.fullmatch(told)
        if percent is not None and float(percent[1]) <= 100:
            return cls(told=told, share=float(percent[1]) / 100)
        if not isinstance(given, bool) and told.isdecimal():
            return cls(told=f"{int(told):,}", count=int(told))
        raise ArgumentError(
            field="max_rejects", problem=f'{given!r} is neither a number of rows nor like "1%"'
        )

    def is_exceeded(self, totals: Totals, *, at_end: bool, unreadable: int = 0) -> bool:
        """Whether a sum exceeds the limit; a file that cannot be read exceeds any.

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
