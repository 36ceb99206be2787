"""The main path: read -> encode -> write -> verify, overlapping, in bounded memory."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from qdrant_static.collection.build import (
    bm25_encoder,
    check_encoder,
    check_spec,
    create_collection,
    read_spec,
    write_spec,
)
from qdrant_static.collection.spec import CollectionSpec
from qdrant_static.edge.directory import STATE_FOLDER
from qdrant_static.encoders.cores import core_count
from qdrant_static.encoders.registry import load_encoder
from qdrant_static.encoders.static import StaticEncoder
from qdrant_static.errors import EngineError, SpecError, VerificationError
from qdrant_static.ids import id_digest, point_id, text_key
from qdrant_static.ingest.batch import Batch
from qdrant_static.ingest.progress import Progress
from qdrant_static.ingest.readahead import read_ahead
from qdrant_static.ingest.rejects import Reject, RejectsFile
from qdrant_static.ingest.report import IngestReport
from qdrant_static.ingest.sink import EncodedBatch, build_index, store
from qdrant_static.ingest.sources import PathLike, Source, open_source
from qdrant_static.vectors import truncate

if TYPE_CHECKING:
    from qdrant_static.connect import Client
    from qdrant_static.encoders.base import Encoder
    from qdrant_static.encoders.sparse import Bm25Encoder
    from qdrant_static.ids import PointId

#: Texts on which the mean length in BM25 terms is measured, where the spec does not give it.
_SAMPLE_ROWS = 4000
#: So long the first batch may take before the display says why, in seconds.
_PATIENCE_S = 2.0
#: From so many new rows on, a display watches the index being built by another process, which
#: takes a second to start.
WATCHED_BUILD_ROWS = 20_000


def ingest(
    paths: PathLike | Sequence[PathLike],
    client: Client,
    collection: str,
    *,
    spec: CollectionSpec | None = None,
    encoder: Encoder | None = None,
    key: str | None = None,
    text: Sequence[str] | str | None = None,
    payload: Sequence[str] | None = None,
    rejects: PathLike | None = None,
    threads: int | None = None,
    progress: bool = False,
    stop: threading.Event | None = None,
) -> IngestReport:
    """Read files, encode their texts and store them; account for every row.

    The collection is created if it is missing. If it is there it must be what ``spec`` says.
    A row is written under an id made from its key, so that running the same job again is
    harmless.

    Args:
        paths: Parquet and JSON Lines files (``.parquet .pq .jsonl .ndjson``, the latter two also
            with ``.gz``), folders and globs.
        client: An `EdgeClient` or a `QdrantClient`.
        collection: The collection's name.
        spec: What the collection is to be; None takes what is there, or the default for the
            encoder.
        encoder: Who encodes; None loads the collection's, or the spec's.
        key: The column of the key (integers or strings); None takes ``id`` or ``_id`` if there
            is one, else a digest of the text.
        text: The columns of the text, joined by one space; None takes ``title`` and ``text`` as
            far as they are there.
        payload: The columns that are stored beside the vectors; None takes all. The key always
            is; binary columns never are.
        rejects: The file for the rows that are not stored; by default a new one beside the
            embedded data, or in ``./qdrant-static-state`` for a server.
        threads: Encoding threads; None takes as many as there are processors.
        progress: Show a progress display on standard error.
        stop: Set it to end the run after the batch in hand; what is stored stays.

    Returns:
        The account of the run.

    Raises:
        SourceNotFoundError: If a path gives no file.
        ColumnNotFoundError: If a named column is not there; it lists those that are.
        SpecMismatchError: If the collection is there and differs; nothing is changed.
        EncoderMismatchError: If the encoder is not the collection's.
        VerificationError: If the exact count at the end is not what was acknowledged.
    """
    if threads is not None and threads < 1:
        raise SpecError(field="threads", problem=f"{threads} is below 1")
    source = open_source(paths, key=key, text=text, payload=payload)
    spec, encoder = _resolve(client, collection, spec, encoder, source)
    path = _rejects_path(rejects, client, collection, source)
    with RejectsFile(path) as rejected, Progress(source.total_rows, shown=progress) as display:
        for one in source.left_out:
            display.say(f"column {one!r} is binary and is left out of the payload")
        run = _Run(client, collection, spec, encoder, rejected, display, stop)
        run.load(source, threads or core_count())
        run.finish()
        return run.report(source)


def default_rejects_path(client: Client, collection: str) -> Path:
    """A new file beside the embedded data, or in the working directory for a server."""
    home = getattr(client, "path", None)
    folder = Path("qdrant-static-state") if home is None else Path(home) / STATE_FOLDER
    moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    return folder / collection / f"rejects-{moment}.jsonl"


def _rejects_path(
    rejects: PathLike | None, client: Client, collection: str, source: Source
) -> Path:
    """Where rejects go; never over a file of the input."""
    if rejects is None:
        return default_rejects_path(client, collection)
    path = Path(rejects).expanduser()
    if path.is_dir():
        raise SpecError(field="rejects", problem=f"{path} is a folder; name a file")
    if path.resolve() in {file.resolve() for file in source.files}:
        raise SpecError(field="rejects", problem=f"{path} is a file of the input")
    return path


def _resolve(
    client: Client,
    collection: str,
    spec: CollectionSpec | None,
    encoder: Encoder | None,
    source: Source,
) -> tuple[CollectionSpec, Encoder]:
    """Agree on spec and encoder with what is there; nothing is written yet."""
    there = read_spec(client, collection) if client.collection_exists(collection) else None
    known = there or spec
    if encoder is None:
        if known is None:
            raise SpecError(
                field="encoder", problem=f"collection {collection!r} is new: name an encoder"
            )
        encoder = load_encoder(known.encoder.name)
    wanted = spec or there or CollectionSpec.for_encoder(encoder)
    wanted = wanted.with_source(fields=source.selection.fields, mean_length=None)
    check_encoder(collection, wanted.encoder, encoder.info)
    if there is None:
        return wanted, encoder
    check_spec(collection, there, wanted)
    if not there.fields.text:
        there = there.with_source(fields=source.selection.fields, mean_length=None)
    return there, encoder


@dataclass(slots=True)
class _Work:
    """A batch under way: its ids, and the vectors that a thread is making."""

    batch: Batch
    ids: list[PointId]
    vectors: Future[EncodedBatch]


class _Run:
    """One run: its counters, its display, its collection."""

    def __init__(
        self,
        client: Client,
        collection: str,
        spec: CollectionSpec,
        encoder: Encoder,
        rejected: RejectsFile,
        display: Progress,
        stop: threading.Event | None,
    ) -> None:
        self._stop = stop
        self._client = client
        self._collection = collection
        self._spec = spec
        self._encoder = encoder
        self._rejected = rejected
        self._display = display
        self._seen: set[bytes] = set()
        self._read = 0
        self._stored = 0
        self._before = 0
        self._after = 0
        self._seconds: dict[str, float] = {}
        self._interrupted = False
        self._notice = threading.Timer(
            _PATIENCE_S,
            display.say,
            ["compiling the encoder's kernels, which happens once per installation ..."],
        )
        self._notice.daemon = True

    # --- load --------------------------------------------------------------------------------

    def load(self, source: Source, threads: int) -> None:
        """Read in one thread, encode in several, write in this one."""
        started = time.perf_counter()
        with closing(read_ahead(iter(source), depth=threads + 1)) as items:
            sample, items_again = self._sample(items)
            self._prepare(sample)
            self._notice.start()
            terms = self._bm25()
            with ThreadPoolExecutor(threads, thread_name_prefix="encode") as pool:
                under_way: deque[_Work] = deque()
                try:
                    for item in items_again:
                        if self._asked_to_stop():
                            self._interrupted = True
                            break
                        if isinstance(item, Reject):
                            self._rejected.add(item)
                            continue
                        under_way.append(self._submit(pool, item, terms))
                        if len(under_way) > threads:
                            self._write(under_way.popleft())
                    while under_way and not self._interrupted:
                        self._interrupted = self._asked_to_stop()
                        self._write(under_way.popleft())
                finally:
                    self._notice.cancel()
                    for work in under_way:
                        work.vectors.cancel()
        self._seconds["load"] = time.perf_counter() - started

    def _sample(
        self, items: Iterator[Batch | Reject]
    ) -> tuple[list[pa.LargeStringArray], Iterator[Batch | Reject]]:
        """The first texts, and the same items from the beginning."""
        if self._spec.sparse is None or self._spec.sparse.mean_length is not None:
            return [], items
        ahead: list[Batch | Reject] = []
        texts: list[pa.LargeStringArray] = []
        for item in items:
            ahead.append(item)
            if isinstance(item, Batch):
                texts.append(item.texts)
            if sum(map(len, texts)) >= _SAMPLE_ROWS:
                break
        return texts, chain(ahead, items)

    def _prepare(self, sample: list[pa.LargeStringArray]) -> None:
        """Complete the spec by what the sample says, and have the collection carry it."""
        sparse = self._spec.sparse
        if sparse is not None and sparse.mean_length is None and sample:
            measured = bm25_encoder(sparse).mean_length(pa.chunked_array(sample))
            mean_length = max(1.0, measured)
            self._spec = self._spec.with_source(fields=self._spec.fields, mean_length=mean_length)
        if not self._client.collection_exists(self._collection):
            create_collection(self._client, self._collection, self._spec)
        elif read_spec(self._client, self._collection) != self._spec:
            write_spec(self._client, self._collection, self._spec)
        self._before = self._count()

    def _bm25(self) -> Bm25Encoder | None:
        sparse = self._spec.sparse
        return None if sparse is None else bm25_encoder(sparse)

    def _submit(self, pool: ThreadPoolExecutor, batch: Batch, terms: Bm25Encoder | None) -> _Work:
        """Drop keys that came before, and have the rest encoded."""
        keys = (
            [text_key(text) for text in batch.texts.to_pylist()]
            if batch.keys is None
            else batch.keys
        )
        ids = [point_id(key) for key in keys]
        new = []
        for row, one in enumerate(ids):
            digest = id_digest(one)
            if digest in self._seen:
                message = f"the key {keys[row]!r} came before in this run"
                batch.rejects.append(batch.reject(row, "duplicate_key", message))
            else:
                self._seen.add(digest)
                new.append(row)
        batch = batch.take(new)
        return _Work(
            batch=batch,
            ids=[ids[row] for row in new],
            vectors=pool.submit(self._encode, batch.texts, terms),
        )

    def _encode(self, texts: pa.LargeStringArray, terms: Bm25Encoder | None) -> EncodedBatch:
        """In a thread of the pool: texts -> all vectors of the collection."""
        sizes = [vector.size for vector in self._spec.vectors]
        if isinstance(self._encoder, StaticEncoder):
            by_size = self._encoder.encode_batch(texts, sizes=sizes[1:], threads=1).vectors
        else:
            full = self._encoder.encode(texts.to_pylist())
            by_size = {size: truncate(full, size) for size in sizes[1:]} | {sizes[0]: full}
        return EncodedBatch(
            dense={vector.name: by_size[vector.size] for vector in self._spec.vectors},
            sparse=None if terms is None else terms.encode_documents(texts, threads=1),
        )

    def _write(self, work: _Work) -> None:
        batch = work.batch
        rows = batch.rows  # before refused records are set apart as well
        vectors = work.vectors.result()
        self._notice.cancel()
        refused = store(self._client, self._collection, work.ids, vectors, batch.payloads)
        for row, problem in refused.items():
            batch.rejects.append(batch.reject(row, "refused", problem))
        for reject in batch.rejects:
            self._rejected.add(reject)
        self._read += rows
        self._stored += len(batch) - len(refused)
        self._display.advance(rows, self._stored, sum(self._rejected.rows.values()))

    # --- finish ------------------------------------------------------------------------------

    def finish(self) -> None:
        """Build the index, count exactly."""
        if self._stored and not self._interrupted:
            started = time.perf_counter()
            self._display.phase(f"index: building it for {self._stored:,} new rows ...")
            self._build_index()
            self._seconds["index"] = time.perf_counter() - started
        self._after = self._count()
        if not max(self._before, self._stored) <= self._after <= self._before + self._stored:
            raise VerificationError(
                collection=self._collection,
                problem=f"{self._after} points after {self._before} before and {self._stored} "
                "acknowledged; another writer, or a loss",
            )

    def _build_index(self) -> None:
        """Build where the display can go on meanwhile, if that is worth a process."""
        watched = self._display.shown and self._stored >= WATCHED_BUILD_ROWS
        progress = self._display.building if watched else None
        try:
            build_index(self._client, self._collection, progress=progress)
        except EngineError:
            # Ctrl-C reaches the process that builds as well.
            if not self._asked_to_stop():
                raise
            self._interrupted = True

    def report(self, source: Source) -> IngestReport:
        """The account."""
        return IngestReport(
            collection=self._collection,
            encoder=self._encoder.info.name,
            fields=self._spec.fields,
            files=len(source.files),
            unreadable_files=self._rejected.files,
            read=self._read,
            stored=self._stored,
            rejected=dict(sorted(self._rejected.rows.items())),
            rejects_path=self._rejected.path if self._rejected else None,
            left_out=source.left_out,
            points_before=self._before,
            points_after=self._after,
            seconds=dict(self._seconds),
            interrupted=self._interrupted,
        )

    def _asked_to_stop(self) -> bool:
        return self._stop is not None and self._stop.is_set()

    def _count(self) -> int:
        return int(self._client.count(self._collection, exact=True).count)
