"""What a person and a log see while a job runs: rows, rows per second and the phase."""

from __future__ import annotations

import logging
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from types import TracebackType

    from qdrant_static.edge.build import BuildProgress
    from qdrant_static.ingest.report import IngestReport


_LOGGER = logging.getLogger("qdrant_static.ingest")
#: How often a log gets a line, in seconds: at first soon, then ever less often.
FIRST_INTERVAL_S = 0.5
LINE_INTERVAL_S = 10.0


class Progress:
    """On standard error: a tqdm bar on a terminal, a line now and then in a log, or silence.

    What is said goes to ``logging.getLogger("qdrant_static.ingest")`` as well, whatever is shown.

    Args:
        total: Rows to come, where they are known.
        shown: Whether anything is shown.
        done: What has become of rows that are done: ``stored``, or ``built``.
        job: Whose lines these are, in a log: a job file, a collection.

    Attributes:
        notes: What was said that belongs into the report.
        run: The run's number in the ledger, once it is known; log lines have it.
    """

    def __init__(
        self, total: int | None, *, shown: bool, done: str = "stored", job: str = ""
    ) -> None:
        self.notes: list[str] = []
        self.run: int | None = None
        self._job = job
        self._shown = shown
        self._done = done
        self._total = total
        self._bar: Any = None
        self._second: int | None = None
        self._rows = 0
        self._told = ""
        self._shipped = ""
        self._interval = FIRST_INTERVAL_S
        self._started = self._last_line = time.monotonic()
        if shown and sys.stderr.isatty():
            from tqdm import tqdm

            self._bar = tqdm(
                total=total, unit=" rows", unit_scale=True, desc="load", dynamic_ncols=True
            )

    @property
    def shown(self) -> bool:
        """Whether anything is shown."""
        return self._shown

    def advance(self, rows: int, stored: int, rejected: int) -> None:
        """Count rows that are settled."""
        self._rows += rows
        if self._bar is not None:
            self._bar.set_postfix({self._done: stored, "rejected": rejected}, refresh=False)
            self._bar.update(rows)
        elif self._shown:
            self._told = f"{self._done}={stored:,} rejected={rejected:,}"
            if time.monotonic() - self._last_line >= self._interval:
                self._interval = min(LINE_INTERVAL_S, 2 * self._interval)
                self._line()

    def phase(self, announcement: str) -> None:
        """End the bar and announce what comes."""
        self._end_load()
        self.status(announcement)

    def building(self, seen: BuildProgress) -> None:
        """Show how long an index is being built and how large the files are."""
        interval = 1 if self._bar is not None else LINE_INTERVAL_S
        due = self._second is None or seen.elapsed_s >= self._second + interval
        if self._shown and due:
            self._second = int(seen.elapsed_s)
            line = f"index: {self._second} s, {seen.disk_bytes / 1e6:,.0f} MB on disk"
            if self._bar is None:
                self._print(line)
            else:
                _print(f"\r{line}", end=" ")

    def shipping(self, phase: str, *, sent: int, total: int) -> None:
        """Show how far a shipment is: every phase once, and bytes now and then.

        Args:
            phase: Such as ``"sending"``.
            sent: Bytes that were sent.
            total: Bytes to send; 0 where that is not known yet.
        """
        on_terminal = self._bar is not None
        interval = FIRST_INTERVAL_S if on_terminal else LINE_INTERVAL_S
        new = phase != self._shipped
        if not self._shipped:
            self._end_load()
        if self._shown and (new or time.monotonic() - self._last_line >= interval):
            if new and on_terminal and self._shipped:
                _print("")
            self._shipped, self._last_line = phase, time.monotonic()
            far = f" {sent / 1e6:,.0f} of {total / 1e6:,.0f} MB" if phase == "sending" else ""
            if on_terminal:
                _print(f"\rship: {phase}{far}", end=" ")
            else:
                self._print(f"ship: {phase}{far}")

    def say(self, line: str) -> None:
        """Tell what a person should know, now and in the report."""
        self.notes.append(line)
        self.status(line)

    def status(self, line: str) -> None:
        """Tell what is going on; the report does not repeat it."""
        if self._bar is not None:
            _LOGGER.info("%s%s", self._place, line)
            self._bar.write(line, file=sys.stderr)
        else:
            self.log(line)

    def log(self, line: str) -> None:
        """Tell a log, and not a terminal: when a run began and ended."""
        _LOGGER.info("%s%s", self._place, line)
        if self._shown and self._bar is None:
            self._print(line)

    def ended(self, report: IngestReport) -> IngestReport:
        """Tell a log the sum of a run, and give its report with all that was said."""
        how = "interrupted" if report.interrupted else "finished"
        self.log(f"{how} after {time.monotonic() - self._started:,.1f} s: {report.sum}")
        return replace(report, notes=tuple(self.notes))

    @property
    def _place(self) -> str:
        run = "" if self.run is None else f"run {self.run}"
        place = " ".join(part for part in (self._job, run) if part)
        return f"{place}: " if place else ""

    def _print(self, line: str) -> None:
        """Print a line of a log: when, whose, what."""
        _print(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} {self._place}{line}")

    def _line(self) -> None:
        self._last_line = time.monotonic()
        of = "" if self._total is None else f" of {self._total:,}"
        rate = self._rows / max(1e-9, self._last_line - self._started)
        self._print(f"load: {self._rows:,}{of} rows, {rate:,.0f} rows/s, {self._told}")

    def _end_load(self) -> None:
        if self._bar is not None:
            self._bar.close()
        elif self._told:
            self._line()
            self._told = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if (self._second is not None or self._shipped) and self._bar is not None:
            _print("")
        self._end_load()
        if error is not None:
            told = "interrupted" if kind is KeyboardInterrupt else f"failed: {error}"
            self.log(f"{told}, after {time.monotonic() - self._started:,.1f} s")


def _print(line: str, **options: Any) -> None:
    print(line, file=sys.stderr, flush=True, **options)  # noqa: T201
