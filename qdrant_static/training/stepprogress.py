"""Reports the progress of a step of training: a bar, lines in a log, or a call."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self, TypeAlias

from qdrant_static.bars import Bar, duration, print_line

#: True shows a bar on standard error where that is a terminal, else a line every ten seconds; a
#: function is called with the number of parts done and of all.
Progress: TypeAlias = bool | Callable[[int, int], None] | None

#: Time between two log lines, in seconds.
_LINE_INTERVAL_S = 10.0


class StepProgress:
    """Reports how much of a step is done, and how long the rest will take.

    Args:
        step: What is being done, in one word.
        parts: What is counted, in the plural: ``"queries"``.
        progress: Where it is reported.
    """

    def __init__(self, step: str, parts: str, progress: Progress) -> None:
        self._step, self._parts = step, parts
        self._callback = progress if callable(progress) else None
        shown = progress is True
        self._bar = Bar(step) if shown and sys.stderr.isatty() else None
        self._prints = shown and self._bar is None
        self._started = time.monotonic()
        self._next_line = self._started + _LINE_INTERVAL_S

    def show(self, done: int, total: int, figure: str = "") -> None:
        """Report that a number of parts is done.

        Args:
            done: Parts done.
            total: All parts.
            figure: A measured figure, such as a loss.
        """
        if self._callback is not None:
            self._callback(done, total)
        seconds = time.monotonic() - self._started
        figures = [f"{done:,} of {total:,} {self._parts}"]
        if done:
            figures.append(f"{duration(seconds * (total - done) / done)} left")
        if figure:
            figures.append(figure)
        if self._bar is not None:
            self._bar.show(figures, done=done / max(total, 1), final=done == total)
        elif self._prints and (done == total or time.monotonic() >= self._next_line):
            print_line(f"{self._step}: {', '.join(figures)}")
            self._next_line = time.monotonic() + _LINE_INTERVAL_S

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
