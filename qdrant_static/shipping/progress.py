"""Defines the progress of `ship` and `pull`, and shows it on standard error."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, TypeVar

from qdrant_static.bars import Bar, duration, print_line

#: A log gets a line after this time, and then less and less often, in seconds.
_FIRST_S = 1.0
_INTERVAL_S = 10.0

Phase = Literal["preparing", "sending", "copying", "proving", "done"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShipProgress:
    """The progress of a shipment.

    Attributes:
        phase: ``preparing`` the target, ``sending`` shards, ``copying`` (the cluster copies them
            to their replicas), ``proving``, ``done``.
        sent_bytes: Bytes sent; a shard that is sent again counts once.
        total_bytes: Bytes to send; 0 while that is not known.
        shards_done: Shards that the server has accepted.
        shards: Shards to send.
    """

    phase: Phase
    sent_bytes: int
    total_bytes: int
    shards_done: int
    shards: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PullProgress:
    """The progress of a pull.

    Attributes:
        phase: ``receiving`` snapshots, or ``opening`` what was received.
        sent_bytes: Bytes received.
        total_bytes: Always 0: the size is not known before everything is received.
        shards_done: Shards that were received and unpacked.
        shards: Shards to receive.
    """

    phase: Literal["receiving", "opening"]
    sent_bytes: int
    total_bytes: int
    shards_done: int
    shards: int


P = TypeVar("P", ShipProgress, PullProgress)


@contextmanager
def progress_callback(
    progress: bool | Callable[[P], None] | None,
) -> Iterator[Callable[[P], None] | None]:
    """Yield the function to call with progress.

    Args:
        progress: True shows progress on standard error; a function is yielded as it is.

    Yields:
        The function; None if progress is reported to nobody.
    """
    if progress is not True:
        yield progress or None
        return
    display = _Display()
    try:
        yield display.show
    finally:
        display.close()


class _Display:
    """Shows progress on standard error: a bar on a terminal, dated lines in a log."""

    def __init__(self) -> None:
        self._bar: Bar | None = None
        self._phase = ""
        self._interval = _FIRST_S
        self._last_line = self._began = time.monotonic()

    def show(self, progress: ShipProgress | PullProgress) -> None:
        """Update the bar, or print a line if it is time for one."""
        terminal = sys.stderr.isatty()
        if progress.phase != self._phase:
            self._phase = progress.phase
            self._began = time.monotonic()
            self.close()
            if not (terminal and _is_transferring(progress)):
                self._print(progress, terminal=terminal)
        elif not terminal and time.monotonic() - self._last_line >= self._interval:
            self._interval = min(_INTERVAL_S, 2 * self._interval)
            self._print(progress, terminal=False)
        if terminal and (self._bar is not None or _is_transferring(progress)):
            self._draw(progress)

    def close(self) -> None:
        """Leave the bar as it was drawn last."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _draw(self, progress: ShipProgress | PullProgress) -> None:
        if self._bar is None:
            self._bar = Bar(progress.phase)
        elapsed = max(1e-9, time.monotonic() - self._began)
        sent, total = progress.sent_bytes, progress.total_bytes
        rate = sent / elapsed
        figures = [*_amounts(progress), f"{rate / 1e6:,.0f} MB/s"]
        if rate and 0 < sent < total:
            figures.insert(1, f"{duration((total - sent) / rate)} left")
        part = sent / total if total else None
        self._bar.show(figures, done=part, final=not _is_transferring(progress))

    def _print(self, progress: ShipProgress | PullProgress, *, terminal: bool) -> None:
        self._last_line = time.monotonic()
        line: str = progress.phase
        if progress.sent_bytes or progress.total_bytes:
            line += ": " + ", ".join(_amounts(progress))
        if terminal:
            print(line, file=sys.stderr, flush=True)  # noqa: T201
        else:
            print_line(line)


def _amounts(progress: ShipProgress | PullProgress) -> list[str]:
    total = f" of {progress.total_bytes / 1e6:,.0f}" if progress.total_bytes else ""
    shards = [f"shards {progress.shards_done}/{progress.shards}"] if progress.shards else []
    return [f"{progress.sent_bytes / 1e6:,.0f}{total} MB", *shards]


def _is_transferring(progress: ShipProgress | PullProgress) -> bool:
    """Return whether bytes are being transferred: some are, and not all of them."""
    if progress.total_bytes:
        return progress.sent_bytes < progress.total_bytes
    return progress.sent_bytes > 0 and progress.shards_done < progress.shards
