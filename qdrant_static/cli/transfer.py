"""Collections that travel between a folder and a server: both ends, and what a person sees."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Protocol, Self

import typer

from qdrant_static.bars import Bar, duration, print_line
from qdrant_static.errors import ArgumentError

if TYPE_CHECKING:
    from types import TracebackType

    from qdrant_client import QdrantClient

    from qdrant_static.edge import EdgeClient

#: How often a log gets a line, in seconds: at first soon, then ever less often.
_FIRST_S = 1.0
_INTERVAL_S = 10.0


def folder(place: str, option: str) -> EdgeClient:
    """The embedded end.

    Raises:
        ArgumentError: If it is a server's address.
    """
    from qdrant_static import EdgeClient, connect

    client = connect(place)
    if not isinstance(client, EdgeClient):
        client.close()
        raise ArgumentError(field=option, problem=f"{place!r} is a server; give a folder")
    return client


def server_at(url: str, option: str, api_key: str | None, timeout_s: int) -> QdrantClient:
    """The server's end; nobody is asked yet.

    Raises:
        ArgumentError: If it is none.
    """
    from qdrant_static import EdgeClient, connect

    client = connect(url, api_key=api_key, timeout_s=timeout_s)
    if isinstance(client, EdgeClient):
        client.close()
        raise ArgumentError(field=option, problem=f"{url!r} is a folder; give a server's URL")
    return client


class Told(Protocol):
    """How far a transfer is."""

    @property
    def phase(self) -> str:
        """What is being done, in one word."""

    @property
    def sent_bytes(self) -> int:
        """What has been sent or received."""

    @property
    def total_bytes(self) -> int:
        """Of how much; 0 where nobody knows."""

    @property
    def shards_done(self) -> int:
        """Shards that are over."""

    @property
    def shards(self) -> int:
        """Of how many."""


class Transfer:
    """On standard error: a bar in bytes on a terminal, dated lines in a log, or silence.

    Args:
        shown: Whether anything is shown.
    """

    def __init__(self, *, shown: bool) -> None:
        self._shown = shown
        self._bar: Bar | None = None
        self._phase = ""
        self._interval = _FIRST_S
        self._last = self._began = time.monotonic()

    def tell(self, seen: Told) -> None:
        """Show how far it is."""
        if not self._shown:
            return
        terminal = sys.stderr.isatty()
        if seen.phase != self._phase:
            self._phase = seen.phase
            self._began = time.monotonic()
            self._end()
            if not (terminal and _moving(seen)):
                self._line(seen, terminal=terminal)
        elif not terminal and time.monotonic() - self._last >= self._interval:
            self._interval = min(_INTERVAL_S, 2 * self._interval)
            self._line(seen, terminal=False)
        if terminal and (self._bar is not None or _moving(seen)):
            self._draw(seen)

    def _draw(self, seen: Told) -> None:
        if self._bar is None:
            self._bar = Bar(seen.phase)
        spent = max(1e-9, time.monotonic() - self._began)
        rate = seen.sent_bytes / spent
        figures = [*_amount(seen), f"{rate / 1e6:,.0f} MB/s"]
        if rate and 0 < seen.sent_bytes < seen.total_bytes:
            figures.insert(1, f"{duration((seen.total_bytes - seen.sent_bytes) / rate)} left")
        part = seen.sent_bytes / seen.total_bytes if seen.total_bytes else None
        self._bar.show(figures, done=part, final=not _moving(seen))

    def _line(self, seen: Told, *, terminal: bool) -> None:
        self._last = time.monotonic()
        amount = ": " + ", ".join(_amount(seen)) if seen.sent_bytes or seen.total_bytes else ""
        if terminal:
            typer.echo(f"{seen.phase}{amount}", err=True)
        else:
            print_line(f"{seen.phase}{amount}")

    def _end(self) -> None:
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
        self._end()


def _amount(seen: Told) -> list[str]:
    of = f" of {seen.total_bytes / 1e6:,.0f}" if seen.total_bytes else ""
    shards = [f"shards {seen.shards_done}/{seen.shards}"] if seen.shards else []
    return [f"{seen.sent_bytes / 1e6:,.0f}{of} MB", *shards]


def _moving(seen: Told) -> bool:
    """Whether bytes are under way, rather than all there."""
    if seen.total_bytes:
        return seen.sent_bytes < seen.total_bytes
    return seen.sent_bytes > 0 and seen.shards_done < seen.shards
