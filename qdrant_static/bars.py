"""Displays progress: `Bar` draws a line on a terminal, `print_line` writes a line to a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

#: Shortest time between two redraws of a line, in seconds.
_INTERVAL_S = 0.1
#: Least width of a bar, in columns; figures are left out for it.
_LEAST_BAR = 8


def print_line(line: str) -> None:
    """Print a line with the time (UTC) on standard error."""
    now = datetime.now(UTC)
    print(f"{now:%Y-%m-%dT%H:%M:%SZ} {line}", file=sys.stderr, flush=True)  # noqa: T201


def duration(seconds: float) -> str:
    """Format a duration: ``0:07``, ``12:34``, ``1:02:03``."""
    minutes, second = divmod(max(0, round(seconds)), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


class Bar:
    """A line with a progress bar on standard error, which must be a terminal.

    Args:
        what: What is being done, in one word.
    """

    def __init__(self, what: str) -> None:
        from tqdm import tqdm

        class Line(tqdm):  # type: ignore[type-arg]
            monitor_interval = 0  # no thread of its own
            figures = ""

            @property
            def format_dict(self) -> Any:
                return {**super().format_dict, "figures": self.figures}

        self._line = Line(
            desc=what, file=sys.stderr, dynamic_ncols=True, mininterval=0,
            delay=1e-9,  # nothing is drawn before there are figures
            bar_format="{desc} {figures}",
        )  # fmt: skip
        self._drawn = 0.0

    def show(self, figures: Sequence[str], *, done: float | None, final: bool = False) -> None:
        """Draw the line.

        Args:
            figures: Figures beside the bar, the most important first; the last ones are left out
                if the terminal is too narrow.
            done: The share of the work that is done, 0 to 1; None, if unknown, draws no bar.
            final: Draw it even if it was drawn a moment ago.
        """
        if not final and time.monotonic() - self._drawn < _INTERVAL_S:
            return
        self._drawn = time.monotonic()
        line = self._line
        width = (line.format_dict["ncols"] or 80) - len(line.desc) - 2
        if done is None:
            line.total, line.bar_format = None, "{desc} {figures}"
        else:
            line.total, line.n = 1, min(1.0, max(0.0, done))
            line.bar_format = "{desc} {percentage:3.0f}% |{bar}| {figures}"
            width -= len("100% || ") + _LEAST_BAR
        kept = list(figures)
        while len(kept) > 1 and len(", ".join(kept)) > width:
            kept.pop()
        line.figures = ", ".join(kept)
        line.refresh()

    def write(self, text: str) -> None:
        """Print a line above this one."""
        self._line.write(text, file=sys.stderr)

    def close(self) -> None:
        """Leave the line as it is, and continue below it."""
        self._line.close()
