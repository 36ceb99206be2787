"""Shows and logs the progress of a job: rows, rows per second, time left, the phase."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Literal, Self

from qdrant_static.bars import Bar, duration, print_line
from qdrant_static.ingestion.ingestreport import IngestProgress, IngestReport, ProgressCallback

if TYPE_CHECKING:
    from types import TracebackType

    from qdrant_static.ledger.records import UnreadableFile


_LOGGER = logging.getLogger("qdrant_static.ingestion")
#: How often a log gets a line, in seconds: at first soon, then ever less often.
FIRST_INTERVAL_S = 0.5
LINE_INTERVAL_S = 10.0


class Progress:
    """On standard error: a bar on a terminal, a line now and then in a log, or silence.

    Notes and status lines go to ``logging.getLogger("qdrant_static.ingestion")`` as well,
    whatever is shown.

    Args:
        total: Rows to come, where they are known.
        progress: Whether it is shown; a function is called with an `IngestProgress` instead.
        done: What has become of rows that are done: ``stored``, or ``built``.
        job: Whose lines these are, in a log: a job file, a collection.

    Attributes:
        notes: Notes for the report.
        run: The run's number in the ledger, once it is known; log lines have it.
        read_part: Gives which part of the input was read, where its rows are not known; None where
            that is not known either.
    """

    def __init__(
        self,
        total: int | None,
        *,
        progress: bool | ProgressCallback | None,
        done: str = "stored",
        job: str = "",
    ) -> None:
        self.notes: list[str] = []
        self.run: int | None = None
        self.read_part: Callable[[], float | None] | None = None
        self._job = job
        self._callback = None if isinstance(progress, bool) else progress
        self._shown = progress is True
        self._on_terminal = self._shown and sys.stderr.isatty()
        self._done = done
        self._total = total
        self._bar: Bar | None = None
        self._second: int | None = None
        self._rows = self._earlier = 0
        self._stored = self._rejected = 0
        self._from: float | None = None
        self._waiting = False
        self._shipped = ""
        self._interval = FIRST_INTERVAL_S
        self._started = self._last_line = time.monotonic()

    @property
    def is_watched(self) -> bool:
        """Whether the progress is shown or passed to a function."""
        return self._shown or self._callback is not None

    @property
    def earlier(self) -> int:
        """Rows that earlier attempts have settled."""
        return self._earlier

    # --- rows --------------------------------------------------------------------------------

    def resume(self, rows: int, stored: int, rejected: int) -> None:
        """Add rows that earlier attempts have settled; rates do not count them."""
        self._earlier += rows
        self._rows += rows
        self._stored, self._rejected = stored, rejected

    def advance(self, rows: int, stored: int, rejected: int) -> None:
        """Count rows that are settled."""
        if not self.is_watched:
            return
        if self._from is None:
            self._from = self._part() if self._earlier else 0.0
        self._rows += rows
        self._stored, self._rejected = stored, rejected
        self._call("load", self._part())
        if not self._shown:
            return
        self._waiting = True
        if self._on_terminal:
            self._draw()
        elif time.monotonic() - self._last_line >= self._interval:
            self._interval = min(LINE_INTERVAL_S, 2 * self._interval)
            self._line()

    def _call(self, phase: Literal["load", "index", "ship"], fraction: float | None) -> None:
        """Pass the progress to the function, if there is one."""
        if self._callback is not None:
            self._callback(
                IngestProgress(
                    phase=phase,
                    rows=self._rows,
                    total_rows=self._total,
                    stored=self._stored,
                    rejected=self._rejected,
                    fraction=fraction,
                    elapsed_s=time.monotonic() - self._started,
                )
            )

    def _part(self) -> float | None:
        """Return the settled part of the rows; None if that is not known."""
        if self._total:
            return self._rows / self._total
        return None if self.read_part is None else self.read_part()

    def _rate(self) -> float:
        """Return the rows of this attempt per second."""
        return (self._rows - self._earlier) / max(1e-9, time.monotonic() - self._started)

    def _left(self, part: float | None) -> str | None:
        """Return the remaining time at the present rate."""
        if part is None or self._from is None or not self._from < part < 1:
            return None
        seconds = (time.monotonic() - self._started) * (1 - part) / (part - self._from)
        return f"{duration(seconds)} left"

    def _draw(self, *, final: bool = False) -> None:
        part = self._part()
        if part is not None:
            # What was read ahead is not settled yet.
            part = 1.0 if final and part > 0.999 else min(part, 0.999)
        of = "" if self._total is None else f" of {self._total:,}"
        figures = [f"{self._rows:,}{of} rows", f"{self._rate():,.0f}/s"]
        left = self._left(part)
        figures += [] if left is None or final else [left]
        figures += [f"{self._rejected:,} rejected"] if self._rejected else []
        self._shown_bar("load").show(figures, done=part, final=final)

    def _line(self) -> None:
        self._last_line, self._waiting = time.monotonic(), False
        part = self._part()
        of = "" if self._total is None else f" of {self._total:,}"
        share = "" if part is None else f" ({min(part, 1):.0%})"
        left = self._left(part)
        self._print(
            f"load: {self._rows:,}{of} rows{share}, {self._rate():,.0f} rows/s, "
            + ("" if left is None else f"{left}, ")
            + f"{self._done}={self._stored:,} rejected={self._rejected:,}"
        )

    def _end_load(self) -> None:
        if self._waiting:
            self._waiting = False
            if self._on_terminal:
                self._draw(final=True)
            else:
                self._line()
        self._end_bar()

    # --- what comes after the rows -----------------------------------------------------------

    def phase(self, announcement: str) -> None:
        """End the bar and announce what comes."""
        self._end_load()
        self.status(announcement)

    def indexing(self, rows: int) -> None:
        """End the bar and announce that an index is built."""
        self.phase(f"index: building it for {rows:,} new rows ...")

    def building(self, elapsed_s: float, *, expected_s: float | None, detail: str) -> None:
        """Show how long an index is being built, and how long that may take.

        Args:
            elapsed_s: Seconds so far.
            expected_s: Seconds that it may take in all; None if that is not known.
            detail: What else is known.
        """
        if expected_s is not None and elapsed_s > expected_s:
            expected_s = None  # it was wrong
        self._call("index", elapsed_s / expected_s if expected_s else None)
        if not self._shown:
            return
        if self._on_terminal:
            spent, part = duration(elapsed_s), None
            if expected_s is not None:
                spent, part = f"{spent} of about {duration(expected_s)}", elapsed_s / expected_s
            self._shown_bar("index").show([spent, detail], done=part)
        elif self._second is None or elapsed_s >= self._second + LINE_INTERVAL_S:
            self._second = int(elapsed_s)
            of = "" if expected_s is None else f" of about {expected_s:,.0f}"
            self._print(f"index: {self._second}{of} s, {detail}")

    def shipping(self, phase: str, *, sent: int, total: int) -> None:
        """Show how far a shipment is: every phase once, and bytes now and then.

        Args:
            phase: Such as ``"sending"``.
            sent: Bytes that were sent.
            total: Bytes to send; 0 where that is not known yet.
        """
        new = phase != self._shipped
        if not self._shipped:
            self._end_load()
        self._shipped = phase
        self._call("ship", min(1.0, sent / total) if phase == "sending" and total else None)
        if not self._shown:
            return
        far = f"{sent / 1e6:,.0f} of {total / 1e6:,.0f} MB" if phase == "sending" else ""
        if self._on_terminal:
            if new:
                self._end_bar()
            part = sent / total if far and total else None
            self._shown_bar(f"ship: {phase}").show([far], done=part, final=new)
        elif new or time.monotonic() - self._last_line >= LINE_INTERVAL_S:
            self._last_line = time.monotonic()
            self._print(f"ship: {phase} {far}".rstrip())

    # --- notes and log lines -----------------------------------------------------------------

    def note(self, line: str) -> None:
        """Show a note to the user now, and keep it for the report."""
        self.notes.append(line)
        self.status(line)

    def status(self, line: str) -> None:
        """Show what is going on; the report does not repeat it."""
        self.log(line)
        if self._bar is not None:
            self._bar.write(line)
        elif self._on_terminal:
            print(line, file=sys.stderr, flush=True)  # noqa: T201

    def log(self, line: str) -> None:
        """Log a line that a terminal does not show, such as when a run began."""
        _LOGGER.info("%s%s", self._place, line)
        if self._shown and not self._on_terminal:
            self._print(line)

    def ended(self, report: IngestReport) -> IngestReport:
        """Log the sum of a run, and return its report with all notes."""
        self._end_load()  # where no row was stored, nothing has ended it yet
        how = "interrupted" if report.interrupted else "finished"
        self.log(f"{how} after {time.monotonic() - self._started:,.1f} s: {report.sum}")
        return replace(report, notes=tuple(dict.fromkeys([*report.notes, *self.notes])))

    @property
    def _place(self) -> str:
        run = "" if self.run is None else f"run {self.run}"
        place = " ".join(part for part in (self._job, run) if part)
        return f"{place}: " if place else ""

    def _print(self, line: str) -> None:
        """Print a line of a log: when, whose, what."""
        print_line(f"{self._place}{line}")

    def _shown_bar(self, what: str) -> Bar:
        if self._bar is None:
            self._bar = Bar(what)
        return self._bar

    def unreadable(self, part: UnreadableFile) -> None:
        """Show that a part of the input cannot be read."""
        self.status(f"cannot be read: {part}")  # the report has it by itself

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
        self._end_load()
        if error is not None:
            outcome = "interrupted" if kind is KeyboardInterrupt else f"failed: {error}"
            self.log(f"{outcome}, after {time.monotonic() - self._started:,.1f} s")
