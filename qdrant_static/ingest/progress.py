"""What a person sees while a job runs: rows, rows per second and the phase."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from types import TracebackType

    from qdrant_static.edge.build import BuildProgress


class Progress:
    """A tqdm bar on standard error, or silence.

    Args:
        total: Rows to come, where they are known.
        shown: Whether anything is shown.
    """

    def __init__(self, total: int | None, *, shown: bool) -> None:
        self._bar: Any = None
        self._second: int | None = None
        if shown:
            from tqdm import tqdm

            self._bar = tqdm(
                total=total, unit=" rows", unit_scale=True, desc="load", dynamic_ncols=True
            )

    @property
    def shown(self) -> bool:
        """Whether anything is shown."""
        return self._bar is not None

    def advance(self, rows: int, stored: int, rejected: int) -> None:
        """Count rows that are settled."""
        if self._bar is not None:
            self._bar.set_postfix(stored=stored, rejected=rejected, refresh=False)
            self._bar.update(rows)

    def phase(self, announcement: str) -> None:
        """End the bar and announce what comes."""
        if self._bar is not None:
            self._bar.close()
            print(announcement, file=sys.stderr, flush=True)  # noqa: T201

    def building(self, seen: BuildProgress) -> None:
        """Show, once a second, how long an index is being built and how large the files are."""
        if self._bar is not None and int(seen.elapsed_s) != self._second:
            self._second = int(seen.elapsed_s)
            line = f"\rindex: {self._second} s, {seen.disk_bytes / 1e6:,.0f} MB on disk "
            print(line, end="", file=sys.stderr, flush=True)  # noqa: T201

    def say(self, line: str) -> None:
        """Print a line above the bar."""
        if self._bar is not None:
            self._bar.write(line, file=sys.stderr)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._second is not None:
            print(file=sys.stderr)  # noqa: T201
        if self._bar is not None:
            self._bar.close()
