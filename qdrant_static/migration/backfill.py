"""Fills green with the ingest pipeline: from files or from blue's texts, at a limited rate."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from qdrant_static.collection.generations import read_metadata
from qdrant_static.collection.spec import CollectionSpec
from qdrant_static.errors import ArgumentError
from qdrant_static.ingestion.pipeline import run_job
from qdrant_static.ingestion.resolving import with_types_of
from qdrant_static.reading.batch import SettledRanges
from qdrant_static.reading.fromcollection import open_collection_source
from qdrant_static.reading.inputs import Fingerprint
from qdrant_static.reading.options import SourceOptions
from qdrant_static.reading.sources import AnySource, PathLike, open_source
from qdrant_static.shipping.targets.target import MARK

if TYPE_CHECKING:
    from qdrant_static.clients.connect import Client
    from qdrant_static.encoders.base import Encoder, EncoderInfo
    from qdrant_static.ingestion.ingestreport import IngestReport, ProgressCallback
    from qdrant_static.ingestion.options import RunOptions
    from qdrant_static.reading.batch import Batch
    from qdrant_static.reading.rejects import Reject
    from qdrant_static.shipping.localbuild.buildhere import BuildHere

#: How often the process that fills green renews its heartbeat, in seconds.
HEARTBEAT_S = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where green's rows come from.

    Attributes:
        paths: Files; None for the texts of the collection that the alias points at.
        options: How files are read; the default is how blue was filled.
    """

    paths: tuple[str, ...] | None = None
    options: SourceOptions | None = None

    @classmethod
    def of(
        cls, paths: PathLike | Sequence[PathLike] | None, options: SourceOptions | None = None
    ) -> Origin:
        """Make one of files, or of None for the collection itself."""
        if paths is None:
            if options is not None and options.key:
                raise ArgumentError(field="key", problem="points keep their ids; leave the key out")
            return cls(options=options)
        several = [paths] if isinstance(paths, str) or hasattr(paths, "__fspath__") else paths
        return cls(paths=tuple(map(str, several)), options=options)

    def to_dict(self) -> dict[str, Any]:
        """Return it as the migration's state holds it."""
        options = None if self.options is None else _plain(asdict(self.options))
        if self.paths is None:
            return {"kind": "collection", "options": options}
        return {"kind": "files", "paths": list(self.paths), "options": options}

    def open(
        self, client: Client, blue: str, spec: CollectionSpec, encoder: EncoderInfo
    ) -> AnySource:
        """Open the source.

        Args:
            client: An `EdgeClient` or a `QdrantClient`.
            blue: The collection that serves.
            spec: Blue's spec, which says how it was filled where the options do not.
            encoder: Green's encoder. Where it is blue's, vectors that blue got with its rows are
                copied, as no encoder could make them again.
        """
        options = self.options or SourceOptions()
        fields = spec.fields
        if self.paths is None:
            same = encoder.fingerprint == spec.encoder.fingerprint
            if same and fields.ready_vectors and options.vectors is None:
                options = replace(options, vectors=spec.vectors[0].name)
            return open_collection_source(client, blue, options=options)
        key = None if options.key else _in_files(fields.key, options)
        if not options.text and options.template is None:
            if fields.template is not None:
                options = replace(options, template=str(fields.template))
            elif fields.all_columns:
                options = options.with_columns(text=fields.all_columns)
            if fields.unstored and options.payload is None and not options.exclude:
                options = replace(options, exclude=fields.unstored)
        source = open_source(self.paths, key=key, options=options)
        return with_types_of(source, client, blue, spec)


@dataclass(frozen=True, slots=True, kw_only=True)
class Throttled:
    """A source with a limited rate.

    Attributes:
        source: The source.
        rate: Rows per second; None for no limit.
        moving: Whether its rows change while it is read. Rows then move between batches, so the
            batches of an earlier run cannot be skipped.
        sleep: Called with the seconds to wait.
    """

    source: AnySource
    rate: float | None
    moving: bool
    sleep: Callable[[float], None] = time.sleep

    @property
    def selection(self) -> Any:
        """The columns that are read."""
        return self.source.selection

    @property
    def left_out(self) -> tuple[str, ...]:
        """Columns that a payload cannot hold."""
        return self.source.left_out

    @property
    def total_rows(self) -> int | None:
        """The number of rows, where it is known beforehand."""
        return self.source.total_rows

    @property
    def files(self) -> Any:
        """The files, by name."""
        return self.source.files

    def batches(self, settled: SettledRanges | None = None) -> Iterator[Batch | Reject]:
        """Yield all batches that are not settled, no faster than the rate."""
        started, rows = time.monotonic(), 0
        for one in self.source.batches(None if self.moving else settled):
            if self.rate is not None:
                early = rows / self.rate - (time.monotonic() - started)
                if early > 0:
                    self.sleep(early)
                rows += getattr(one, "rows", 0)
            yield one

    def fingerprints(self) -> Mapping[str, Any]:
        """Return fingerprints by file name; of a moving source, new ones at every call."""
        prints = self.source.fingerprints()
        if not self.moving:
            return prints
        return {name: Fingerprint(size=-1, modified_ns=0, digest=uuid4().hex) for name in prints}


def backfill(
    source: AnySource,
    client: Client,
    green: str,
    *,
    spec: CollectionSpec,
    encoder: Encoder,
    query_encoder: Encoder | None,
    moving: bool,
    rate: float | None,
    progress: bool | ProgressCallback | None,
    stop: threading.Event | None,
    build: BuildHere | None = None,
    options: RunOptions,
) -> IngestReport:
    """Fill green; repeated after an interruption, rows that are stored already are not encoded.

    Args:
        source: The rows.
        client: An `EdgeClient` or a `QdrantClient`.
        green: The collection, which exists.
        spec: Its spec.
        encoder: Its encoder.
        query_encoder: Its encoder of queries, if it is loaded already.
        moving: Whether the source is a collection in use.
        rate: The maximum number of rows per second.
        progress: As for `ingest`.
        stop: Set it to stop after the current batch.
        build: Build it on this machine and ship it; None has the server index it.
        options: How the run works; this function decides what it compares and deletes.
    """
    if rate is not None and not rate > 0:
        raise ArgumentError(field="max_rate", problem=f"{rate!r} is not above 0")
    # Points that were deleted from blue since an earlier run are deleted from green. Where green is
    # built here, the journal deletes them: nothing is deleted before a collection is shipped.
    gone = moving and build is None
    return run_job(
        client,
        green,
        Throttled(source=source, rate=rate, moving=moving),  # type: ignore[arg-type]
        spec=spec,
        encoder=encoder,
        query_encoder=query_encoder,
        options=replace(
            options, sync=True, delete_missing=gone, force=gone, again=True, bulk=build is None
        ),
        build=build,
        fills=True,
        progress=progress,
        stop=stop,
    )


def _in_files(
    key: str | tuple[str, ...] | None, options: SourceOptions
) -> str | tuple[str, ...] | None:
    """Return the names that the key's payload fields have in the files."""
    names = {new: name for name, new in options.rename.items()}
    if isinstance(key, tuple):
        return tuple(names.get(one, one) for one in key)
    return None if key is None else names.get(key, key)


def is_shipped(client: Client, green: str) -> bool:
    """Return whether green came as a shipment that passed its proofs."""
    mark = read_metadata(client, green).get(MARK) or {}
    return mark.get("state") == "live"


@contextmanager
def heartbeat(beat: Callable[[], object] | None) -> Iterator[None]:
    """Call a function every `HEARTBEAT_S` in a thread, while the block runs."""
    if beat is None:
        yield
        return
    ended = threading.Event()

    def run() -> None:
        while not ended.wait(HEARTBEAT_S):
            beat()

    thread = threading.Thread(target=run, name="migrate-heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def layout_like(
    blue: CollectionSpec, encoder: Encoder, query_encoder: Encoder | None = None
) -> CollectionSpec:
    """Return blue's layout for another encoder: sizes that fit, BM25, payload indexes, settings.

    Quantization and graphs follow the presets of the new sizes; so does the default plan, because
    a plan that was tuned for one encoder says little about another.

    Args:
        blue: The spec of the collection that serves.
        encoder: The new encoder.
        query_encoder: The new encoder of queries; None: blue's, if that has the same encoder.
    """
    info, queries = encoder.info, None if query_encoder is None else query_encoder.info
    full = blue.vectors[0].size
    if info.fingerprint == blue.encoder.fingerprint and info.dimension == full:
        if queries is None or queries.fingerprint == blue.query_encoder.fingerprint:
            return blue
        plan = blue.plan if blue.evidence is None else None  # evidence is of other queries
        return replace(blue, queries=queries, plan=plan, evidence=None, measured=None)
    sizes = tuple(one.size for one in blue.vectors[1:] if one.size < info.dimension)
    made = CollectionSpec.for_encoder(
        encoder,
        matryoshka=sizes,
        sparse=blue.sparse,
        late=blue.late,
        payload_indexes=blue.payload_indexes,
        server=blue.server,
        queries=queries,
    )
    return made.with_source(
        fields=blue.fields,
        mean_length=None if blue.sparse is None else blue.sparse.mean_length,
    )


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _plain(one) for name, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, list | tuple) else value
