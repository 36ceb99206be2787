"""Reports the progress of a training: to a bar, to a log, or to a function."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self, TypeAlias

from qdrant_static.bars import Bar, duration, print_line

#: Time between two log lines of a phase, in seconds.
_LINE_INTERVAL_S = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingProgress:
    """How far a training is.

    Attributes:
        phase: What is being done: ``"teacher"``, ``"fit"``.
        done: How much of it is done, in `unit`.
        total: How much there is; None if that is not known.
        unit: What is counted: ``"texts"``, ``"steps"``.
        left_s: Estimate of the time that the phase still takes, in seconds; None if unknown.
    """

    phase: str
    done: int
    total: int | None = None
    unit: str = ""
    left_s: float | None = None

    def __str__(self) -> str:
        of = "" if self.total is None else f" of {self.total:,}"
        unit = f" {self.unit}" if self.unit else ""
        left = "" if self.left_s is None else f", {duration(self.left_s)} left"
        return f"{self.done:,}{of}{unit}{left}"


#: True shows progress on standard error; a function is called with a `TrainingProgress`.
ProgressArgument: TypeAlias = bool | Callable[[TrainingProgress], None] | None


class ProgressDisplay:
    """Shows progress as the argument ``progress`` of a training says.

    Args:
        progress: True shows a bar on standard error where that is a terminal, else a line for
            every phase and every 15 seconds; a function is called with a `TrainingProgress`.
    """

    def __init__(self, progress: ProgressArgument) -> None:
        self._callback = progress if callable(progress) else None
        self._shown = bool(progress) and self._callback is None
        self._bar: Bar | None = None
        self._phase = ""
        self._next_line = 0.0

    def __call__(self, now: TrainingProgress) -> None:
        """Show progress."""
        if self._callback is not None:
            self._callback(now)
        if not self._shown:
            return
        begins = now.phase != self._phase
        self._phase = now.phase
        if sys.stderr.isatty():
            if begins:
                self._end_bar()
                self._bar = Bar(now.phase)
            if self._bar is not None:
                done = None if not now.total else now.done / now.total
                self._bar.show([str(now)], done=done, final=now.done == now.total)
        elif begins or time.monotonic() >= self._next_line:
            self._next_line = time.monotonic() + _LINE_INTERVAL_S
            print_line(f"{now.phase}: {now}")

    def _end_bar(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end_bar()
