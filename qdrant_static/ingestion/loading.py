"""Read in one thread, encode in several, decide and write in this one; memory stays bounded."""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from qdrant_static.encoders.static import StaticEncoder
from qdrant_static.errors import JobStoppedError
from qdrant_static.ingestion.deciding import Decided, Prepared, decide, prepare
from qdrant_static.ingestion.runspec import RunSpec, Workspace
from qdrant_static.ingestion.textstats import Item
from qdrant_static.ingestion.writing import Writer
from qdrant_static.ledger.records import UnreadableFile
from qdrant_static.ledger.runidentity import encoding_key
from qdrant_static.reading.rejects import Reject, RejectsFile
from qdrant_static.sinks.encoding import BatchEncoder
from qdrant_static.sinks.sink import EncodedBatch

if TYPE_CHECKING:
    from qdrant_static.encoders.base import Encoder
    from qdrant_static.ledger.records import Totals

T = TypeVar("T")
#: How long the first batch may take before the display shows the reason, in seconds.
_PATIENCE_S = 2.0
#: Columns of the sum that are counted for OpenTelemetry.
_COUNTED = ("read", "stored", "payload_updated", "unchanged", "superseded", "rejected")


class RowCounters:
    """``qdrant_static.rows.<what>``, each with the collection; nothing without OpenTelemetry.

    Args:
        collection: The collection.
        before: What was counted by earlier attempts.
    """

    def __init__(self, collection: str, before: Totals) -> None:
        self._attributes = {"collection": collection}
        self._counted = before
        self._counters: dict[str, Any] = {}
        try:
            from opentelemetry import metrics
        except ImportError:
            return
        meter = metrics.get_meter("qdrant_static")
        self._counters = {
            name: meter.create_counter(f"qdrant_static.rows.{name}", unit="{row}")
            for name in _COUNTED
        }

    def count(self, totals: Totals) -> None:
        """Count what was added since the last call."""
        for name, counter in self._counters.items():
            more = getattr(totals, name) - getattr(self._counted, name)
            if more > 0:
                counter.add(more, self._attributes)
        self._counted = totals


@dataclass(slots=True)
class _Work:
    """A batch under way: what becomes of its rows, and the vectors that a thread is making."""

    decided: Decided
    vectors: Future[EncodedBatch] | None


@dataclass(slots=True, kw_only=True)
class Load:
    """One pass over the input.

    Attributes:
        request: What the run does.
        workspace: Its ledger, where batches are settled, and its display.
        run: The run's number.
        files: The run's files, in order.
        encoder: Makes vectors.
        writer: Stores and settles.
        rejected: The rejects file.
        counters: Counts rows for a monitor.
        prepare: Called once, before the first batch that has a record: it must create the
            collection, and find out what it holds.
        numbers: The files' numbers, filled in as they come.
        unreadable: The files that cannot be read, filled in likewise.
        noted: Columns whose note was shown, likewise.
        ended: Whether the whole input was loaded.
        exists: Whether the collection exists.
    """

    request: RunSpec
    workspace: Workspace
    run: int
    files: list[str]
    encoder: BatchEncoder
    writer: Writer
    rejected: RejectsFile
    counters: RowCounters
    prepare: Callable[[], None]
    numbers: dict[str, int] = field(default_factory=dict)
    unreadable: list[UnreadableFile] = field(default_factory=list)
    noted: set[str] = field(default_factory=set)
    ended: bool = False
    exists: bool = False

    def execute(self, items: Iterator[Item]) -> None:
        """Load all items; end early if the run is stopped, or if there are too many rejects."""
        display, threads = self.workspace.display, self.request.threads
        prepared = _prepared(items, encoding_key(self.writer.spec))
        notice = threading.Timer(
            _PATIENCE_S,
            display.status,
            [_why_slow(self.request.encoder)],
        )
        notice.daemon = True
        with (
            closing(read_ahead(prepared, depth=threads + 1)) as ahead,
            ThreadPoolExecutor(threads, thread_name_prefix="encode") as pool,
        ):
            under_way: deque[_Work] = deque()
            try:
                for item in ahead:
                    if self._must_end():
                        return
                    if isinstance(item, Reject):
                        self._note_broken(item)
                        continue
                    if not self.exists and len(item.batch):
                        self.prepare()
                        self.exists = True
                        notice.start()
                    item.file = self._number(item.batch.file)
                    under_way.append(self._decide(pool, item))
                    if len(under_way) > threads:
                        self._write(under_way.popleft(), notice)
                while under_way:
                    if self._must_end():
                        return
                    self._write(under_way.popleft(), notice)
                self.writer.flush()
                self.ended = True
            except JobStoppedError:  # while a pipe was waited for
                return
            finally:
                getattr(self.request.source, "cancel", _do_nothing)()
                notice.cancel()
                _cancel(under_way)

    def _number(self, file: str) -> int:
        """The number of a file in the run; files come one after the other."""
        if not self.numbers:
            self.numbers.update((name, number) for number, name in enumerate(self.files))
        if file not in self.numbers:
            self.numbers[file] = self.workspace.ledger.runs.add_file(self.run, file)
            self.files.append(file)
        return self.numbers[file]

    def _decide(self, pool: ThreadPoolExecutor, prepared: Prepared) -> _Work:
        for column, note in prepared.batch.notes.items():
            if column not in self.noted:
                self.noted.add(column)
                self.workspace.display.note(note)
        decided = decide(
            self.workspace.ledger,
            self.run,
            prepared,
            on_duplicate=self.request.options.on_duplicate,
            sync=self.request.options.sync,
            files=self.files,
        )
        batch, rows = prepared.batch, prepared.rows
        losers = len(decided.superseded) + len(decided.duplicates)
        if losers:
            rows = rows.take(sorted((*decided.write, *decided.payload, *decided.unchanged)))
        self.workspace.ledger.sent(self.run, prepared.file, batch.start, batch.stop, rows)
        if not decided.write:
            return _Work(decided, None)
        chosen = batch.take(decided.write)
        return _Work(decided, pool.submit(self.encoder.encode, chosen.texts, chosen.vectors))

    def _write(self, work: _Work, notice: threading.Timer) -> None:
        vectors = None if work.vectors is None else work.vectors.result()
        notice.cancel()
        self.writer.write(work.decided, vectors)
        totals = self.writer.totals
        self.counters.count(totals)
        self.workspace.display.advance(
            work.decided.prepared.batch.rows, totals.stored, totals.rejected
        )

    def _note_broken(self, reject: Reject) -> None:
        part = UnreadableFile(file=reject.file, problem=reject.message)
        self.unreadable.append(part)
        if not self.workspace.ledger.runs.add_unreadable(self.run, part.file, part.problem):
            self.workspace.display.unreadable(part)
            self.rejected.add(reject)
            self.workspace.ledger.runs.update(self.run, rejects_bytes=self.rejected.bytes)

    def _must_end(self) -> bool:
        if self.request.must_stop:
            return True
        limit = self.request.options.reject_limit
        return limit is not None and limit.is_exceeded(
            self.writer.totals, at_end=False, unreadable=len(self.unreadable)
        )


def _why_slow(encoder: Encoder) -> str:
    """Return why the first batch takes long, for the display."""
    if isinstance(encoder, StaticEncoder):
        return "compiling the encoder's kernels, which happens once per installation ..."
    return f"encoding the first rows by {encoder.info.name} ..."


def _do_nothing() -> None:
    """Sources that never wait have nothing to cancel."""


def _cancel(under_way: Iterable[_Work]) -> None:
    for work in under_way:
        if work.vectors is not None:
            work.vectors.cancel()


def _prepared(items: Iterable[Item], key: bytes) -> Iterator[Prepared | Reject]:
    for item in items:
        yield item if isinstance(item, Reject) else prepare(item, key)


class _Raised:
    """What the thread's iterator raised, on its way to the consumer."""

    def __init__(self, error: BaseException) -> None:
        self.error = error


class _End:
    """The thread's iterator is exhausted."""


def read_ahead(items: Iterator[T], *, depth: int) -> Generator[T, None, None]:
    """Iterate in a thread, at most ``depth`` items ahead.

    What the iterator raises is raised here, with its own traceback. Closing this generator ends
    the thread after the item that it is at.

    Args:
        items: The iterator; it is advanced in the thread only.
        depth: Items that may wait.
    """
    waiting: queue.Queue[T | _Raised | _End] = queue.Queue(maxsize=depth)
    closed = threading.Event()
    thread = threading.Thread(
        target=_fill, args=(waiting, items, closed), name="read-ahead", daemon=True
    )
    thread.start()
    try:
        while not isinstance(item := waiting.get(), _End):
            if isinstance(item, _Raised):
                raise item.error
            yield item
    finally:
        closed.set()
        thread.join()


def _fill(
    waiting: queue.Queue[T | _Raised | _End], items: Iterator[T], closed: threading.Event
) -> None:
    """The thread: one item after the other, until the end, an error, or the consumer's leave."""
    try:
        for item in items:
            if not _put(waiting, item, closed):
                return
        _put(waiting, _End(), closed)
    except BaseException as error:  # raised again in the consumer
        _put(waiting, _Raised(error), closed)


def _put(
    waiting: queue.Queue[T | _Raised | _End], item: T | _Raised | _End, closed: threading.Event
) -> bool:
    """Wait for room; False if the consumer has left meanwhile."""
    while not closed.is_set():
        try:
            waiting.put(item, timeout=0.1)
        except queue.Full:
            continue
        return True
    return False
