"""Read in one thread, encode in several, decide and write in this one; memory stays bounded."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from itertools import chain

from qdrant_static.errors import JobStoppedError
from qdrant_static.ingestion.deciding import Decided, Prepared, decide, prepare
from qdrant_static.ingestion.options import OnDuplicate, RejectLimit
from qdrant_static.ingestion.progress import Progress
from qdrant_static.ingestion.readahead import read_ahead
from qdrant_static.ingestion.telemetry import RowCounters
from qdrant_static.ingestion.writing import Writer
from qdrant_static.ledger.ledger import Ledger
from qdrant_static.ledger.records import UnreadableFile
from qdrant_static.reading.batch import Batch
from qdrant_static.reading.options import Passages
from qdrant_static.reading.passages import TokenOffsets, split
from qdrant_static.reading.rejects import Reject, RejectsFile
from qdrant_static.sinks.encoding import SAMPLE_ROWS, BatchEncoder
from qdrant_static.sinks.sink import EncodedBatch

#: So long the first batch may take before the display says why, in seconds.
_PATIENCE_S = 2.0

Item = Batch | Reject


@dataclass(slots=True)
class _Work:
    """A batch under way: what becomes of its rows, and the vectors that a thread is making."""

    decided: Decided
    vectors: Future[EncodedBatch] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """One pass over the input.

    Attributes:
        ledger: Where batches are settled.
        run: The run.
        files: The run's files, in order.
        encoder: Makes vectors.
        writer: Stores and settles.
        rejected: Where broken files are noted.
        display: What a person sees.
        counters: What a monitor sees.
        key: What decides vectors besides the text; see `runidentity.encoding_key`.
        sync: Whether what is unchanged is left alone.
        on_duplicate: Which row of a key is stored.
        prepare: Called once, before the first batch that has a record: the collection must be
            there, and what it holds be known.
        cancel: Stops reading ahead from a pipe.
        limit: When to stop because of rejects.
        threads: Of the encoder.
        stop: Set by whoever wants it to end.
        numbers: The files' numbers, filled in as they come.
        unreadable: The files that cannot be read, filled in likewise.
        noted: Columns whose note was shown, likewise.
    """

    ledger: Ledger
    run: int
    files: list[str]
    encoder: BatchEncoder
    writer: Writer
    rejected: RejectsFile
    display: Progress
    counters: RowCounters
    key: bytes
    sync: bool
    on_duplicate: OnDuplicate
    prepare: Callable[[], None]
    cancel: Callable[[], None]
    limit: RejectLimit | None
    threads: int
    stop: threading.Event | None
    numbers: dict[str, int] = field(default_factory=dict)
    unreadable: list[UnreadableFile] = field(default_factory=list)
    noted: set[str] = field(default_factory=set)

    def carry_out(self, items: Iterator[Item]) -> bool:
        """Load all items; whether it ran to the end.

        It ends early if it is stopped, or if there are too many rejects.
        """
        prepared = _prepared(items, self.key)
        notice = threading.Timer(
            _PATIENCE_S,
            self.display.status,
            ["compiling the encoder's kernels, which happens once per installation ..."],
        )
        notice.daemon = True
        with (
            closing(read_ahead(prepared, depth=self.threads + 1)) as ahead,
            ThreadPoolExecutor(self.threads, thread_name_prefix="encode") as pool,
        ):
            under_way: deque[_Work] = deque()
            prepared_for = False
            try:
                for item in ahead:
                    if self._must_end():
                        return False
                    if isinstance(item, Reject):
                        self._note_broken(item)
                        continue
                    if not prepared_for and len(item.batch):
                        self.prepare()
                        prepared_for = True
                        notice.start()
                    item.file = self._number(item.batch.file)
                    under_way.append(self._decide(pool, item))
                    if len(under_way) > self.threads:
                        self._write(under_way.popleft(), notice)
                while under_way:
                    if self._must_end():
                        return False
                    self._write(under_way.popleft(), notice)
                self.writer.flush()
            except JobStoppedError:  # while a pipe was waited for
                return False
            finally:
                self.cancel()
                notice.cancel()
                _cancel(under_way)
        return True

    def _number(self, file: str) -> int:
        """The number of a file in the run; files come one after the other."""
        if not self.numbers:
            self.numbers.update((name, number) for number, name in enumerate(self.files))
        if file not in self.numbers:
            self.numbers[file] = self.ledger.runs.add_file(self.run, file)
            self.files.append(file)
        return self.numbers[file]

    def _decide(self, pool: ThreadPoolExecutor, prepared: Prepared) -> _Work:
        for column, note in prepared.batch.notes.items():
            if column not in self.noted:
                self.noted.add(column)
                self.display.say(note)
        decided = decide(
            self.ledger,
            self.run,
            prepared,
            on_duplicate=self.on_duplicate,
            sync=self.sync,
            files=self.files,
        )
        batch, rows = prepared.batch, prepared.rows
        losers = len(decided.superseded) + len(decided.duplicates)
        if losers:
            rows = rows.take(sorted((*decided.write, *decided.payload, *decided.unchanged)))
        self.ledger.sent(self.run, prepared.file, batch.start, batch.stop, rows)
        if not decided.write:
            return _Work(decided, None)
        chosen = batch.take(decided.write)
        return _Work(decided, pool.submit(self.encoder.encode, chosen.texts, chosen.vectors))

    def _write(self, work: _Work, notice: threading.Timer) -> None:
        vectors = None if work.vectors is None else work.vectors.result()
        notice.cancel()
        self.writer.write(work.decided, vectors)
        totals = self.writer.totals
        self.counters.tell(totals)
        self.display.advance(work.decided.prepared.batch.rows, totals.stored, totals.rejected)

    def _note_broken(self, reject: Reject) -> None:
        part = UnreadableFile(file=reject.file, problem=reject.message)
        self.unreadable.append(part)
        if not self.ledger.runs.add_unreadable(self.run, part.file, part.problem):
            self.display.unreadable(part)
            self.rejected.add(reject)
            self.ledger.runs.update(self.run, rejects_bytes=self.rejected.bytes)

    def _must_end(self) -> bool:
        if self.stop is not None and self.stop.is_set():
            return True
        return self.limit is not None and self.limit.is_exceeded(
            self.writer.totals, at_end=False, unreadable=len(self.unreadable)
        )


def _cancel(under_way: Iterable[_Work]) -> None:
    for work in under_way:
        if work.vectors is not None:
            work.vectors.cancel()


def sample(items: Iterator[Item]) -> tuple[list[str], bool, Iterator[Item]]:
    """The first texts, whether these are all, and the same items from the beginning."""
    ahead: list[Item] = []
    texts: list[str] = []
    for item in items:
        ahead.append(item)
        if isinstance(item, Batch):
            texts += item.texts.to_pylist()
        if len(texts) >= SAMPLE_ROWS:
            return texts, False, chain(ahead, items)
    return texts, True, iter(ahead)


def in_passages(
    items: Iterable[Item], passages: Passages, offsets: TokenOffsets, fields: Sequence[str]
) -> Iterator[Item]:
    """Items whose batches are cut into passages.

    Args:
        items: Batches of rows.
        passages: How to cut.
        offsets: The encoder's tokens.
        fields: Payload fields of the rows' text.
    """
    for item in items:
        if isinstance(item, Reject):
            yield item
        else:
            yield from split(item, passages, offsets, fields)


def _prepared(items: Iterable[Item], key: bytes) -> Iterator[Prepared | Reject]:
    for item in items:
        yield item if isinstance(item, Reject) else prepare(item, key)
