"""The function `ingest`: opens the input, resolves what is asked for, and runs it."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Never

from qdrant_static import rules
from qdrant_static.clients.connect import check_client, is_remote
from qdrant_static.clients.retry import FIRST_CONTACT
from qdrant_static.clients.statefolder import StateFolder, state_folder
from qdrant_static.collection.spec import CollectionSpec
from qdrant_static.encoders.registry import AnyEncoder
from qdrant_static.encoders.threads import core_count
from qdrant_static.errors import ArgumentError
from qdrant_static.ingestion.ingestreport import IngestReport, ProgressCallback
from qdrant_static.ingestion.modes import DirectMode, FillMode, Mode
from qdrant_static.ingestion.options import OnDuplicate, RunOptions, unknown_argument
from qdrant_static.ingestion.progress import Progress
from qdrant_static.ingestion.resolving import resolve, with_types_of
from qdrant_static.ingestion.run import IngestRun
from qdrant_static.ingestion.runspec import Builder, RunSpec, Workspace
from qdrant_static.journal.jobwriter import open_job_writer, serving_collection
from qdrant_static.ledger.history import remove_old_files
from qdrant_static.ledger.ledger import Ledger
from qdrant_static.reading.options import Passages, SourceOptions
from qdrant_static.reading.passages import fit, token_offsets
from qdrant_static.reading.sources import AnySource, ArrowStream, PathLike, Source, open_data
from qdrant_static.sinks.encoding import late_encoder_of

if TYPE_CHECKING:
    from qdrant_static.clients.connect import Client
    from qdrant_static.encoders.base import Encoder, LateInteractionEncoder


def ingest(
    client: Client,
    collection: str,
    source: PathLike | Sequence[PathLike] | AnySource | ArrowStream | Iterable[Mapping[str, Any]],
    *,
    key: Sequence[str] | str | None = None,
    text: Sequence[str] | str | None = None,
    encoder: AnyEncoder | None = None,
    query_encoder: AnyEncoder | None = None,
    late_encoder: LateInteractionEncoder | str | None = None,
    spec: CollectionSpec | None = None,
    source_options: SourceOptions | None = None,
    run_options: RunOptions | None = None,
    passages: Passages | None = None,
    build: Builder | None = None,
    progress: bool | ProgressCallback | None = None,
    stop: threading.Event | None = None,
    **unknown: Never,
) -> IngestReport:
    """Read files, encode their texts and store them; account for every row.

    The collection is created if it is missing. If it exists, it must be what ``spec`` says.
    A row is written under an id made from its key, so that running the same job again is
    harmless. A job that was cut short, by a crash too, continues where it was when it is run
    again.

    Args:
        client: An `EdgeClient` or a `QdrantClient`.
        collection: The collection's name.
        source: Parquet, JSON Lines, CSV and Arrow files, compressed too, folders, globs, URIs and
            ``-`` for standard input; or rows in memory: a pyarrow table, a frame of pandas or
            polars (whatever has ``__arrow_c_stream__``), an iterable of dictionaries; or a source
            that is open already.
        key: The column of the key (integers or strings), or several: short for
            ``SourceOptions(key=…)``, which it overrides.
        text: The columns of the text, joined by one space: short for ``SourceOptions(text=…)``,
            which it overrides.
        encoder: The encoder, or its name; None loads the collection's, or the spec's.
        query_encoder: The encoder of queries, or its name, for asymmetric search: a fast model that
            was fitted to ``encoder``. It encodes nothing here, and becomes part of the spec.
        late_encoder: The encoder of the late-interaction vector, if the spec has one, or its name;
            None loads it.
        spec: What the collection is to be; None takes what exists, or the default for the encoder.
        source_options: How the input is read: its columns, template, format and limits. Ignored
            where ``source`` is open already.
        run_options: How the run works: what it compares, deletes, rejects and keeps.
        passages: How to cut long texts. A point is then a passage, with its row's key in its
            payload. No passage has more tokens than the encoders read.
        build: Builds the collection on this machine and ships it to the server, which then has
            nothing to index. It must not exist there, or be empty; ``sync`` then updates what an
            interrupted attempt has built.
        progress: True shows the progress on standard error. A function is called with an
            `IngestProgress` instead, in the thread that called `ingest`.
        stop: An event that ends the run after the current batch; what is stored stays.
        unknown: No other argument is taken. For a field of `SourceOptions` or `RunOptions` the
            error says where it goes.

    Returns:
        The account of the run; `IngestReport.unreadable` names what could not be read.

    Raises:
        SourceNotFoundError: If a path gives no file.
        ColumnNotFoundError: If a named column does not exist; it lists those that do.
        SpecMismatchError: If the collection exists and differs; nothing is changed.
        EncoderMismatchError: If the encoder is not the collection's.
        EncoderPairError: If the encoder of queries was not fitted to the encoder.
        JobRunningError: If another job of the collection is running.
        MigrationWritesError: If a migration of the collection is under way, and rows cannot go
            through its journal; it gives the reason.
        TooManyRejectsError: If there were more rejects than ``max_rejects``, or a limit and a file
            that cannot be read.
        DeletionRefusedError: If too much would be deleted; everything else is done.
        VerificationError: If the collection at the end is not what was acknowledged.
        CannotShipError: If what is to be built could not be shipped; it gives the reason.
        ShipmentRefusedError: If a shipment arrived and was not proved; nothing points at it.
    """
    if unknown:
        raise unknown_argument(next(iter(unknown)))
    check_client(client, "ingest(client, collection, source)")
    rules.check_instance("source_options", source_options, SourceOptions)
    rules.check_instance("run_options", run_options, RunOptions)
    rules.check_instance("passages", passages, Passages)
    if not (progress is None or isinstance(progress, bool) or callable(progress)):
        raise ArgumentError(
            field="progress", problem=f"{progress!r} is neither true, false nor a function"
        )
    if not isinstance(source, AnySource):
        source = open_data(source, key=key, text=text, options=source_options, stop=stop)
    return run_job(
        client, collection, source, spec=spec, encoder=encoder, query_encoder=query_encoder,
        late_encoder=late_encoder, options=run_options or RunOptions(), passages=passages,
        build=build, progress=progress, stop=stop,
    )  # fmt: skip


def run_job(
    client: Client,
    collection: str,
    source: AnySource,
    *,
    spec: CollectionSpec | None,
    encoder: AnyEncoder | None,
    options: RunOptions,
    query_encoder: AnyEncoder | None = None,
    late_encoder: LateInteractionEncoder | str | None = None,
    passages: Passages | None = None,
    build: Builder | None = None,
    fills: bool = False,
    progress: bool | ProgressCallback | None = None,
    stop: threading.Event | None = None,
) -> IngestReport:
    """Run an ingest of an open source; the arguments are those of `ingest`.

    ``fills`` is for a migration that fills a new generation: its writes need no journal.
    """
    if build is not None:
        _check_build(client, options)
    if isinstance(source, Source):
        source.end_on(stop)
    fields = source.selection.fields if passages is None else passages.fields
    name, collection = collection, _target(client, collection, build)
    resolved = resolve(
        client, collection, spec, encoder, source, fields,
        query_encoder=query_encoder, name=None if options.pinned else name,
    )  # fmt: skip
    spec, encoder, notes = resolved.spec, resolved.encoder, resolved.notes
    source = with_types_of(source, client, collection, spec)
    if passages is not None:
        if spec.late is not None:
            late_encoder = late_encoder_of(spec.late, late_encoder)
        passages, lines = _fit(passages, options.on_duplicate, encoder, late_encoder)
        notes += lines
    request = RunSpec(
        name=name,
        collection=collection,
        spec=spec,
        encoder=encoder,
        query_encoder=resolved.query_encoder,
        late_encoder=late_encoder,
        source=source,
        options=options,
        passages=passages,
        threads=options.threads
        or _threads(encoder, embedded=build is not None or not is_remote(client)),
        rejects=_rejects_path(options.rejects, source),
        stop=stop,
    )
    folder = state_folder(options.state, client, name)
    shards = None if build is None else build.shards_for(client, collection, spec)  # type: ignore[arg-type]
    with ExitStack() as stack:
        files = stack.enter_context(StateFolder(folder, name))
        ledger = stack.enter_context(Ledger(files.ledger))
        display = stack.enter_context(
            Progress(
                source.total_rows,
                progress=progress,
                done="stored" if build is None else "built",
                job=name if options.job is None else f"{options.job} {name}",
            )
        )
        position = getattr(source, "position", None)  # other sources need not have one
        display.read_part = None if position is None else position.fraction
        _show_notes(display, source, notes)
        workspace = Workspace(files=files, ledger=ledger, display=display)
        if build is not None:
            report = build.run(request, workspace, client, shards=shards)  # type: ignore[arg-type]
        else:
            mode = _mode(client, request, workspace, stack, fills=fills)
            report = IngestRun(mode=mode).execute()
        keep = options.keep_runs
        if not report.interrupted and (gone := remove_old_files(ledger, files.path, keep)):
            display.log(f"removed {len(gone)} files of old runs, such as {gone[0].name}")
        return display.ended(report)


def _mode(
    client: Client, request: RunSpec, workspace: Workspace, stack: ExitStack, *, fills: bool
) -> Mode:
    """Return the mode of a run that writes to the engine.

    It writes through the journal if its collection is part of a migration.
    """
    if fills:
        return FillMode(client=client, request=request, workspace=workspace)
    journaled = open_job_writer(client, request.name, request.collection, request.encoder)
    if journaled is not None:
        stack.callback(journaled.close)
        workspace.display.note(journaled.notice)
    return DirectMode(client=client, request=request, workspace=workspace, journaled=journaled)


def _fit(
    passages: Passages,
    on_duplicate: OnDuplicate,
    encoder: Encoder,
    late_encoder: LateInteractionEncoder | str | None,
) -> tuple[Passages, list[str]]:
    """Limit passages to what the encoders read; return them and notes for the user."""
    if on_duplicate == "last":
        raise ArgumentError(
            field="passages", problem="the last row of a key cannot replace passages of the first"
        )
    return fit(passages, token_offsets(encoder, late_encoder))


def _show_notes(display: Progress, source: AnySource, lines: Sequence[str]) -> None:
    """Show notes for the user before anything is read."""
    for one in source.left_out:
        display.status(f"column {one!r} is binary and is left out of the payload")
    for line in lines:
        display.note(line)


def _target(client: Client, name: str, build: Builder | None) -> str:
    """Return the collection that a name stands for, looked up once.

    An alias may be moved while a job runs, and the job's rows must all go to one place.
    """
    return name if build is not None else serving_collection(client, name, retry=FIRST_CONTACT)


def _threads(encoder: Encoder, *, embedded: bool) -> int:
    """Return one thread for each processor; an engine in this process needs one for itself.

    A transformer uses all processors for one batch of rows. It gets one batch at a time, so that
    a run that is killed loses no more than the encoding of two.
    """
    if getattr(encoder, "uses_all_cores", False):
        return 1
    return max(1, core_count() - 1) if embedded else core_count()


def _check_build(client: Client, options: RunOptions) -> None:
    """Refuse options that make no sense with a collection that is built here."""
    if not is_remote(client):
        raise ArgumentError(
            field="build",
            problem="an embedded collection is always built here: leave it out, or name a server",
        )
    if options.delete_missing:
        raise ArgumentError(
            field="delete_missing",
            problem="a collection that is built holds what is in the input and nothing else: "
            "leave it out",
        )
    if options.bulk:
        raise ArgumentError(
            field="bulk", problem="a server that is shipped an index builds none: leave it out"
        )


def _rejects_path(rejects: PathLike | None, source: AnySource) -> Path | None:
    """Return the rejects file that the caller named; it must not be a file of the input."""
    if rejects is None:
        return None
    path = Path(rejects).expanduser()
    if path.is_dir():
        raise ArgumentError(field="rejects", problem=f"{path} is a folder; name a file")
    if path.resolve() in {file.resolve() for file in source.files}:
        raise ArgumentError(field="rejects", problem=f"{path} is a file of the input")
    return path
