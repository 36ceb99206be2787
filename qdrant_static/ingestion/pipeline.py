"""The main path: read -> decide -> encode -> write -> settle -> verify."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qdrant_static import rules
from qdrant_static.clients.connect import is_remote
from qdrant_static.clients.retry import FIRST_CONTACT, call_with_retries
from qdrant_static.clients.statefolder import State, state_folder
from qdrant_static.collection.create import (
    bm25_encoder,
    check_encoder,
    check_spec,
    read_spec,
)
from qdrant_static.collection.spec import CollectionSpec, Fields
from qdrant_static.encoders.cores import core_count
from qdrant_static.encoders.registry import AnyEncoder, as_encoder, load_encoder
from qdrant_static.errors import (
    ArgumentError,
)
from qdrant_static.ingestion.deciding import ON_DUPLICATE, OnDuplicate
from qdrant_static.ingestion.ingestreport import IngestReport
from qdrant_static.ingestion.partitiontypes import with_types_of
from qdrant_static.ingestion.progress import Progress
from qdrant_static.ingestion.rejectlimits import RejectLimit
from qdrant_static.ingestion.replaced import asked_before, replaced_note
from qdrant_static.ingestion.run import IngestRun
from qdrant_static.journal.jobwrites import join, serving
from qdrant_static.ledger.history import check_keep_runs, remove_old_files
from qdrant_static.ledger.ledger import Ledger
from qdrant_static.reading.inmemory import ArrowStream, open_data
from qdrant_static.reading.options import SourceOptions
from qdrant_static.reading.passages import Passages, fit, token_offsets
from qdrant_static.reading.sources import AnySource, PathLike, Source
from qdrant_static.sinks.latevectors import late_encoder_of

if TYPE_CHECKING:
    from qdrant_static.clients.connect import Client
    from qdrant_static.encoders.base import Encoder, LateInteractionEncoder
    from qdrant_static.ingestion.builder import Builder


def ingest(
    paths: PathLike | Sequence[PathLike] | AnySource | ArrowStream | Iterable[Mapping[str, Any]],
    client: Client,
    collection: str,
    *,
    spec: CollectionSpec | None = None,
    encoder: AnyEncoder | None = None,
    key: Sequence[str] | str | None = None,
    text: Sequence[str] | str | None = None,
    payload: Sequence[str] | None = None,
    rejects: PathLike | None = None,
    threads: int | None = None,
    progress: bool = False,
    stop: threading.Event | None = None,
    state: PathLike | None = None,
    sync: bool = False,
    delete_missing: bool = False,
    force: bool = False,
    again: bool = False,
    on_duplicate: OnDuplicate = "reject",
    max_rejects: int | str | None = None,
    bulk: bool = False,
    options: SourceOptions | None = None,
    passages: Passages | None = None,
    late_encoder: LateInteractionEncoder | str | None = None,
    build: Builder | None = None,
    job: str | None = None,
    keep_runs: int | None = None,
    pinned: bool = False,
    _fills: bool = False,
) -> IngestReport:
    """Read files, encode their texts and store them; account for every row.

    The collection is created if it is missing. If it is there it must be what ``spec`` says.
    A row is written under an id made from its key, so that running the same job again is
    harmless. A job that was cut short, by a crash too, goes on where it was when it is run again.

    Args:
        paths: Parquet, JSON Lines, CSV and Arrow files, compressed too, folders, globs, URIs and
            ``-`` for standard input; or rows in memory: a pyarrow table, a frame of pandas or
            polars (whatever has ``__arrow_c_stream__``), an iterable of dictionaries; or a source
            that is open already.
        client: An `EdgeClient` or a `QdrantClient`.
        collection: The collection's name.
        spec: What the collection is to be; None takes what is there, or the default for the
            encoder.
        encoder: Who encodes, or its name; None loads the collection's, or the spec's.
        key: The column of the key (integers or strings), or several; None takes ``id`` or
            ``_id`` if there is one, else a digest of the text.
        text: The columns of the text, joined by one space; None takes ``title`` and ``text`` as
            far as they are there.
        payload: The columns that are stored beside the vectors; None takes all. The key always
            is; columns of bytes never are.
        rejects: The file for the rows that are not stored; by default a new one in ``state``.
        threads: Encoding threads; None takes as many as there are processors, one of which is
            left to the engine where it is in the process.
        progress: Show a progress display on standard error.
        stop: Set it to end the run after the batch in hand; what is stored stays.
        state: The folder for ledger, rejects and manifest; by default beside the embedded data,
            or in ``./qdrant-static-state`` for a server.
        sync: Store only what has changed since the last run: an unchanged row costs no encoding
            and no write, and one of which only the payload has changed no encoding.
        delete_missing: With ``sync``: delete the points whose rows are not in the input, which
            must then be the whole of the collection. Refused if they are more than a fifth of all;
            nothing is deleted if a part of the input cannot be read.
        force: Delete them all the same.
        again: Write an input again that the last run wrote already. Without it nothing is done
            where files, options, encoder and the number of points are as they were then.
        on_duplicate: Which row of a key is stored if it comes twice in the input: ``"reject"``
            and ``"first"`` the first one, ``"last"`` the last one; with ``"reject"`` the others
            are rejects, else they count as superseded.
        max_rejects: Stop if more rows than that are rejected: a number, or a share (``"1%"``). A
            file that cannot be read exceeds any limit.
        bulk: Have a server index after the load, not during it.
        passages: Cut long texts; a point is then a passage, with its row's key in its payload. No
            passage has more tokens than the encoders read.
        late_encoder: Who fills the late-interaction vector, if the spec has one, or its name; None
            loads it.
        options: How the input is read: templates, renamed columns, ready vectors, CSV, limits.
        build: Build the collection in this machine and ship it to the server, which then has
            nothing to index. It must not be there, or be empty; ``sync`` then brings up to date
            what an interrupted attempt has built.
        job: A name that log lines begin with, such as the job file's.
        keep_runs: Keep the rejects files and manifests of so many last runs, and remove those of
            earlier ones; None: the number that was given last, else 20.
        pinned: Refuse a collection that is not what ``spec`` and ``encoder`` say, also where a
            migration has put it in the place of one that was.

    Returns:
        The account of the run; `IngestReport.unreadable` names what could not be read.

    Raises:
        SourceNotFoundError: If a path gives no file.
        ColumnNotFoundError: If a named column is not there; it lists those that are.
        SpecMismatchError: If the collection is there and differs; nothing is changed.
        EncoderMismatchError: If the encoder is not the collection's.
        JobRunningError: If another job of the collection is running.
        MigrationWritesError: If a migration of the collection is under way, and rows cannot go
            through its journal; it says why.
        TooManyRejectsError: If there were more rejects than ``max_rejects``, or a limit and a file
            that cannot be read.
        DeletionRefusedError: If too much would be deleted; everything else is done.
        VerificationError: If what is there at the end is not what was acknowledged.
        CannotShipError: If what is to be built could not be shipped; it says why.
        ShipmentRefusedError: If a shipment arrived and was not proved; nothing points at it.
    """
    rules.check_integer("threads", threads, optional=True)
    if on_duplicate not in ON_DUPLICATE:
        raise ArgumentError.of_choice("on_duplicate", on_duplicate, ", ".join(ON_DUPLICATE))
    if delete_missing and not sync:
        raise ArgumentError(field="delete_missing", problem="it needs sync=True")
    if build is not None:
        _check_build(client, delete_missing=delete_missing, bulk=bulk)
    check_keep_runs(keep_runs)
    limit = RejectLimit.parse(max_rejects)
    source = (
        paths
        if isinstance(paths, AnySource)
        else open_data(paths, key=key, text=text, payload=payload, options=options, stop=stop)
    )
    if isinstance(source, Source):
        source.end_on(stop)
    fields = source.selection.fields if passages is None else passages.fields
    asked, collection = collection, _target(client, collection, build)
    spec, encoder, notes = _resolve(
        client, collection, spec, encoder, source, fields, asked=None if pinned else asked
    )
    source = with_types_of(source, client, collection, spec)
    if passages is not None:
        if spec.late is not None:
            late_encoder = late_encoder_of(spec.late, late_encoder)
        passages, lines = _fit(passages, on_duplicate, encoder, late_encoder)
        notes += lines
    own_rejects = _rejects_path(rejects, source)
    folder = state_folder(state, client, asked)
    shards = None if build is None else build.shards_for(client, collection, spec)  # type: ignore[arg-type]
    with ExitStack() as stack:
        files = stack.enter_context(State(folder, asked))
        ledger = stack.enter_context(Ledger(files.ledger))
        done = "stored" if build is None else "built"
        name = asked if job is None else f"{job} {asked}"
        display = stack.enter_context(
            Progress(source.total_rows, shown=progress, done=done, job=name)
        )
        position = getattr(source, "position", None)  # other sources need not have one
        display.read_part = None if position is None else position.fraction
        _show_notes(display, source, notes)
        run = IngestRun(
            client=client,
            collection=collection,
            spec=spec,
            encoder=encoder,
            source=source,
            files=files,
            ledger=ledger,
            display=display,
            threads=threads or _threads(embedded=build is not None or not is_remote(client)),
            stop=stop,
            sync=sync,
            delete_missing=delete_missing,
            force=force,
            again=again,
            on_duplicate=on_duplicate,
            limit=limit,
            bulk=bulk,
            passages=passages,
            late_encoder=late_encoder,
            shards=shards,
            asked=asked,
            fills=_fills,
        )
        _join_migration(run, stack)
        if build is None:
            report = run.carry_out(own_rejects)
        else:
            report = build.run(run, client, own_rejects)  # type: ignore[arg-type]
        if not report.interrupted and (gone := remove_old_files(ledger, files.path, keep_runs)):
            display.log(f"removed {len(gone)} files of old runs, such as {gone[0].name}")
        return display.ended(report)


def _fit(
    passages: Passages,
    on_duplicate: OnDuplicate,
    encoder: Encoder,
    late_encoder: LateInteractionEncoder | str | None,
) -> tuple[Passages, list[str]]:
    """Passages that the encoders read to their end, and what a person should know of it."""
    if on_duplicate == "last":
        raise ArgumentError(
            field="passages", problem="the last row of a key cannot replace passages of the first"
        )
    return fit(passages, token_offsets(encoder, late_encoder))


def _show_notes(display: Progress, source: AnySource, lines: Sequence[str]) -> None:
    """Show what the user should know before anything is read."""
    for one in source.left_out:
        display.status(f"column {one!r} is binary and is left out of the payload")
    for line in lines:
        display.say(line)


def _target(client: Client, name: str, build: Builder | None) -> str:
    """The collection of a name, looked up once.

    An alias may be moved while a job runs, and the job's rows must all go to one place.
    """
    return name if build is not None else serving(client, name, retry=FIRST_CONTACT)


def _join_migration(run: IngestRun, stack: ExitStack) -> None:
    """Have a run write through the journal, if its collection is part of a migration."""
    if run.building or run.fills:
        return
    run.journaled = join(run.client, run.asked, run.collection, run.encoder)
    if run.journaled is not None:
        stack.callback(run.journaled.close)
        run.display.say(run.journaled.notice)


def _threads(*, embedded: bool) -> int:
    """One per processor; the engine in the process needs one for itself, and is the bottleneck."""
    return max(1, core_count() - 1) if embedded else core_count()


def _check_build(client: Client, *, delete_missing: bool, bulk: bool) -> None:
    """Refuse what makes no sense with a collection that is built here."""
    if not is_remote(client):
        raise ArgumentError(
            field="build",
            problem="an embedded collection is always built here: leave it out, or name a server",
        )
    if delete_missing:
        raise ArgumentError(
            field="delete_missing",
            problem="a collection that is built holds what is in the input and nothing else: "
            "leave it out",
        )
    if bulk:
        raise ArgumentError(
            field="bulk", problem="a server that is shipped an index builds none: leave it out"
        )


def _rejects_path(rejects: PathLike | None, source: AnySource) -> Path | None:
    """Where rejects go, if that is said; never over a file of the input."""
    if rejects is None:
        return None
    path = Path(rules.location("rejects", rejects)).expanduser()
    if path.is_dir():
        raise ArgumentError(field="rejects", problem=f"{path} is a folder; name a file")
    if path.resolve() in {file.resolve() for file in source.files}:
        raise ArgumentError(field="rejects", problem=f"{path} is a file of the input")
    return path


def _resolve(
    client: Client,
    collection: str,
    spec: CollectionSpec | None,
    encoder: AnyEncoder | None,
    source: AnySource,
    fields: Fields,
    *,
    asked: str | None,
) -> tuple[CollectionSpec, Encoder, list[str]]:
    """Settle spec and encoder, as far as there is a collection by that, and notes for the user.

    Nothing is written yet.

    ``asked`` is the name that the job gives, if it goes on with what a migration made of that.
    """
    exists = call_with_retries(
        client,
        collection,
        "looking for the collection",
        lambda: client.collection_exists(collection),
        retry=FIRST_CONTACT,
    )
    there = read_spec(client, collection) if exists else None
    notes: list[str] = []
    if there is not None and asked is not None:
        if asked_before(client, collection, there, spec=spec, encoder=encoder) is not None:
            spec, encoder = None, None
            notes.append(replaced_note(there, collection, asked))
    known = there or spec
    encoder = None if encoder is None else as_encoder(encoder)
    if encoder is None:
        if known is None:
            raise ArgumentError(
                field="encoder", problem=f"collection {collection!r} is new: name an encoder"
            )
        encoder = load_encoder(known.encoder.name)
    wanted = spec or there or CollectionSpec.for_encoder(encoder)
    wanted = wanted.with_source(fields=fields, mean_length=None)
    check_encoder(collection, wanted.encoder, encoder.info)
    given, full = source.selection.dimension, wanted.vectors[0].size
    if given not in (None, full):
        raise ArgumentError(
            field="vectors",
            problem=f"those in {source.selection.vectors!r} have {given} dimensions, not {full}",
        )
    if there is None:
        if wanted.sparse is not None:
            bm25_encoder(wanted.sparse)  # says if the language is unknown, before anything is made
        return wanted, encoder, notes
    check_spec(collection, there, wanted)
    held = there.fields
    held = held.with_points_of(fields) if held.all_columns or held.ready_vectors else fields
    return there.with_source(fields=held, mean_length=None), encoder, notes
