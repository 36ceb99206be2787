"""Measures the time of a tuning, and reports how much of its budget is used."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from qdrant_static.bars import Bar, duration, print_line

_LOGGER = logging.getLogger("qdrant_static.measuring")
#: Time between two log lines within a phase, in seconds.
_LINE_INTERVAL_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TuneProgress:
    """The progress of a tuning.

    Attributes:
        phase: What is being measured: ``"exact search"``, ``"12 plans"``, ``"check"``.
        seconds: Time since the start.
        budget_s: Time limit, in seconds.
    """

    phase: str
    seconds: float
    budget_s: float


class Clock:
    """Measures the time against a budget, and reports progress.

    Args:
        budget_s: Time limit, in seconds.
        progress: True shows a bar on standard error where that is a terminal, else a line for
            every phase and every ten seconds; a function is called with a `TuneProgress`.
        collection: The collection's name, for log lines.
    """

    def __init__(
        self,
        budget_s: float,
        *,
        progress: bool | Callable[[TuneProgress], None] | None,
        collection: str = "",
    ) -> None:
        self.budget_s = budget_s
        self._started = time.perf_counter()
        self._collection = collection
        self._callback = progress if callable(progress) else None
        self._shown = bool(progress) and self._callback is None
        self._phase = "tune"
        self._next_line = 0.0
        self._bar = Bar("tune") if self._shown and sys.stderr.isatty() else None

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.perf_counter() - self._started

    def over(self, share: float) -> bool:
        """Return whether that share of the budget is used up."""
        return self.elapsed >= share * self.budget_s

    def phase(self, what: str) -> None:
        """Start a phase."""
        self._phase = what
        self._next_line = 0.0
        _LOGGER.info("%s: tune: %s", self._collection, what)
        self.tick()

    def tick(self) -> None:
        """Report the elapsed time."""
        elapsed = self.elapsed
        if self._callback is not None:
            self._callback(TuneProgress(phase=self._phase, seconds=elapsed, budget_s=self.budget_s))
        elif self._bar is not None:
            gone = f"{duration(elapsed)} of at most {duration(self.budget_s)}"
            self._bar.show([gone, self._phase], done=elapsed / max(self.budget_s, 1e-9))
        elif self._shown and elapsed >= self._next_line:
            self._next_line = elapsed + _LINE_INTERVAL_S
            gone = f"{elapsed:.0f} of at most {self.budget_s:.0f} s"
            print_line(f"{self._collection}: tune: {self._phase}, {gone}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.close()
