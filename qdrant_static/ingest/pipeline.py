"""The main path: read -> decide -> encode -> write -> settle -> verify."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from qdrant_static.collection.build import (
    bm25_encoder,
    check_encoder,
    check_spec,
    create_collection,
    read_spec,
    write_spec,
)
from qdrant_static.collection.spec import CollectionSpec, Fields
from qdrant_static.encoders.cores import core_count
from qdrant_static.encoders.registry import load_encoder
from qdrant_static.errors import (
    QdrantStaticError,
    SpecError,
    TooManyRejectsError,
    VerificationError,
)
from qdrant_static.ingest.bulk import deferred_indexing, restore_indexing
from qdrant_static.ingest.deciding import ON_DUPLICATE, OnDuplicate
from qdrant_static.ingest.encoding import BatchEncoder, mean_length
from qdrant_static.ingest.finishing import Finish
from qdrant_static.ingest.hashes import encoding_key
from qdrant_static.ingest.identity import differences, identity
from qdrant_static.ingest.ledger import Ledger, Run, now
from qdrant_static.ingest.limits import RejectLimit
from qdrant_static.ingest.loading import Load, in_passages, sample
from qdrant_static.ingest.manifest import versions, write_manifest
from qdrant_static.ingest.options import SourceOptions
from qdrant_static.ingest.passages import Passages, token_offsets
from qdrant_static.ingest.progress import Progress
from qdrant_static.ingest.rebuild import rebuild
from qdrant_static.ingest.rejects import RejectsFile
from qdrant_static.ingest.report import IngestReport
from qdrant_static.ingest.servercalls import FIRST_CONTACT, exact_count, patiently
from qdrant_static.ingest.sources import AnySource, PathLike, open_source
from qdrant_static.ingest.state import State, default_state
from qdrant_static.ingest.telemetry import RowCounters
from qdrant_static.ingest.writing import Writer

if TYPE_CHECKING:
    from qdrant_static.connect import Client
    from qdrant_static.encoders.base import Encoder
    from qdrant_static.ingest.inputs import Fingerprint


def ingest(
    paths: PathLike | Sequence[PathLike] | AnySource,
    client: Client,
    collection: str,
    *,
    spec: CollectionSpec | None = None,
    encoder: Encoder | None = None,
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
    on_duplicate: OnDuplicate = "reject",
    max_rejects: int | str | None = None,
    bulk: bool = False,
    options: SourceOptions | None = None,
    passages: Passages | None = None,
) -> IngestReport:
    """Read files, encode their texts and store them; account for every row.

    The collection is created if it is missing. If it is there it must be what ``spec`` says.
    A row is written under an id made from its key, so that running the same job again is
    harmless. A job that was cut short, by a crash too, goes on where it was when it is run again.

    Args:
        paths: Parquet, JSON Lines, CSV and Arrow files, compressed too, folders, globs, URIs and
            ``-`` for standard input; or a source that is open already.
        client: An `EdgeClient` or a `QdrantClient`.
        collection: The collection's name.
        spec: What the collection is to be; None takes what is there, or the default for the
            encoder.
        encoder: Who encodes; None loads the collection's, or the spec's.
        key: The column of the key (integers or strings), or several; None takes ``id`` or
            ``_id`` if there is one, else a digest of the text.
        text: The columns of the text, joined by one space; None takes ``title`` and ``text`` as
            far as they are there.
        payload: The columns that are stored beside the vectors; None takes all. The key always
            is; binary columns never are.
        rejects: The file for the rows that are not stored; by default a new one in ``state``.
        threads: Encoding threads; None takes as many as there are processors.
        progress: Show a progress display on standard error.
        stop: Set it to end the run after the batch in hand; what is stored stays.
        state: The folder for ledger, rejects and manifest; by default beside the embedded data,
            or in ``./qdrant-static-state`` for a server.
        sync: Store only what has changed since the last run: an unchanged row costs no encoding
            and no write, and one of which only the payload has changed no encoding.
        delete_missing: With ``sync``: delete the points whose rows are not in the input, which
            must then be the whole of the collection. Refused if they are more than a fifth of all.
        force: Delete them all the same.
        on_duplicate: Which row of a key is stored if it comes twice in the input: ``"reject"``
            and ``"first"`` the first one, ``"last"`` the last one; with ``"reject"`` the others
            are rejects, else they count as superseded.
        max_rejects: Stop if more rows than that are rejected: a number, or a share (``"1%"``).
        bulk: Have a server index after the load, not during it.
        passages: Cut long texts; a point is then a passage, with its row's key in its payload.
        options: How the input is read: templates, renamed columns, ready vectors, CSV, limits.

    Returns:
        The account of the run.

    Raises:
        SourceNotFoundError: If a path gives no file.
        ColumnNotFoundError: If a named column is not there; it lists those that are.
        SpecMismatchError: If the collection is there and differs; nothing is changed.
        EncoderMismatchError: If the encoder is not the collection's.
        JobRunningError: If another job of the collection is running.
        TooManyRejectsError: If there were more rejects than ``max_rejects``.
        DeletionRefusedError: If too much would be deleted; everything else is done.
        VerificationError: If what is there at the end is not what was acknowledged.
    """
    if threads is not None and threads < 1:
        raise SpecError(field="threads", problem=f"{threads} is below 1")
    if on_duplicate not in ON_DUPLICATE:
        raise SpecError.of_choice("on_duplicate", on_duplicate, ", ".join(ON_DUPLICATE))
    if delete_missing and not sync:
        raise SpecError(field="delete_missing", problem="it needs sync")
    limit = RejectLimit.parse(max_rejects)
    source = (
        paths
        if isinstance(paths, AnySource)
        else open_source(paths, key=key, text=text, payload=payload, options=options)
    )
    if passages is not None and on_duplicate == "last":
        raise SpecError(
            field="passages", problem="the last row of a key cannot replace passages of the first"
        )
    fields = source.selection.fields if passages is None else passages.fields
    spec, encoder = _resolve(client, collection, spec, encoder, source, fields)
    own_rejects = _rejects_path(rejects, source)
    folder = default_state(client, collection) if state is None else Path(state).expanduser()
    with ExitStack() as stack:
        files = stack.enter_context(State(folder, collection))
        ledger = stack.enter_context(Ledger(files.ledger))
        display = stack.enter_context(Progress(source.total_rows, shown=progress))
        for one in source.left_out:
            display.say(f"column {one!r} is binary and is left out of the payload")
        job = _Job(
            client=client,
            collection=collection,
            spec=spec,
            encoder=encoder,
            source=source,
            files=files,
            ledger=ledger,
            display=display,
            threads=threads or core_count(),
            stop=stop,
            sync=sync,
            delete_missing=delete_missing,
            force=force,
            on_duplicate=on_duplicate,
            limit=limit,
            bulk=bulk,
            passages=passages,
        )
        return job.carry_out(own_rejects)


def _rejects_path(rejects: PathLike | None, source: AnySource) -> Path | None:
    """Where rejects go, if that is said; never over a file of the input."""
    if rejects is None:
        return None
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
    source: AnySource,
    fields: Fields,
) -> tuple[CollectionSpec, Encoder]:
    """Agree on spec and encoder with what is there; nothing is written yet."""
    exists = patiently(
        client,
        collection,
        "looking for the collection",
        lambda: client.collection_exists(collection),
        retry=FIRST_CONTACT,
    )
    there = read_spec(client, collection) if exists else None
    known = there or spec
    if encoder is None:
        if known is None:
            raise SpecError(
                field="encoder", problem=f"collection {collection!r} is new: name an encoder"
            )
        encoder = load_encoder(known.encoder.name)
    wanted = spec or there or CollectionSpec.for_encoder(encoder)
    wanted = wanted.with_source(fields=fields, mean_length=None)
    check_encoder(collection, wanted.encoder, encoder.info)
    given, full = source.selection.dimension, wanted.vectors[0].size
    if given not in (None, full):
        raise SpecError(
            field="vectors",
            problem=f"those in {source.selection.vectors!r} have {given} dimensions, not {full}",
        )
    if there is None:
        if wanted.sparse is not None:
            bm25_encoder(wanted.sparse)  # says if the language is unknown, before anything is made
        return wanted, encoder
    check_spec(collection, there, wanted)
    if not there.fields.text:
        there = there.with_source(fields=fields, mean_length=None)
    return there, encoder


def _marked(mark: Fingerprint) -> str:
    """A fingerprint as the ledger has it; what can be read once only is never the same again."""
    if mark.size < 0:
        return f"read {now()}, {uuid4().hex}"
    return f"{mark.size} bytes, {mark.modified_ns}, {mark.digest}"


@dataclass(slots=True, kw_only=True)
class _Job:
    """One job: a run of the ledger, or the next attempt of one."""

    client: Client
    collection: str
    spec: CollectionSpec
    encoder: Encoder
    source: AnySource
    files: State
    ledger: Ledger
    display: Progress
    threads: int
    stop: threading.Event | None
    sync: bool
    delete_missing: bool
    force: bool
    on_duplicate: OnDuplicate
    limit: RejectLimit | None
    bulk: bool
    passages: Passages | None

    def carry_out(self, own_rejects: Path | None) -> IngestReport:
        """Load, finish, and write down what was done."""
        restore_indexing(self.client, self.collection, self.ledger.notes)
        run, again = self._begin(own_rejects)
        try:
            with RejectsFile(
                Path(run.rejects or self.files.new_rejects()),
                kept_bytes=run.rejects_bytes if again else 0,
            ) as rejected:
                return self._carry_out(run, rejected)
        except BaseException as error:
            state = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
            if isinstance(error, VerificationError):
                state = "abandoned"  # going on would end in the same disagreement
            with suppress(QdrantStaticError):  # the ledger may be what has failed
                self.ledger.note(run.id, state=state)
            raise

    def _carry_out(self, run: Run, rejected: RejectsFile) -> IngestReport:
        started = time.perf_counter()
        seconds: dict[str, float] = {}
        writer, encoder, ended = self._load(run, rejected)
        seconds["load"] = time.perf_counter() - started
        totals = self.ledger.totals(run.id)
        if self.limit is not None and self.limit.is_exceeded(totals, at_end=ended):
            raise TooManyRejectsError(
                rejected=totals.rejected,
                read=totals.read,
                limit=self.limit.told,
                rejects=str(rejected.path),
            )
        finish = Finish(
            client=self.client,
            collection=self.collection,
            spec=self.spec,
            ledger=self.ledger,
            run=run.id,
            display=self.display,
            stop=self.stop,
        )
        refused = finish.delete_missing(force=self.force) if ended and self.delete_missing else None
        if ended and (totals.points or self._run(run.id).deleted):
            started = time.perf_counter()
            ended = finish.build_index(totals.points)
            seconds["index"] = time.perf_counter() - started
        started = time.perf_counter()
        run = self._run(run.id)
        before, deleted = run.points_before or 0, run.deleted
        if ended:
            after, new = finish.count(totals, before=before, deleted=deleted, complete=run.complete)
        else:
            after = self._count()
            new = after - before + deleted
        sampled = finish.read_back(encoder, writer.sampled.values())
        seconds["verify"] = time.perf_counter() - started
        manifest = self.files.manifest(run.id) if ended else None
        report = IngestReport(
            collection=self.collection,
            encoder=self.encoder.info.name,
            fields=self.spec.fields,
            files=len(self.source.files),
            unreadable_files=self.ledger.broken_files(run.id),
            read=totals.read,
            stored=totals.stored,
            rejected=dict(totals.reasons),
            rejects_path=rejected.path if rejected else None,
            left_out=self.source.left_out,
            points_before=before,
            points_after=after,
            seconds=seconds,
            interrupted=not ended,
            payload_updated=totals.payload_updated,
            unchanged=totals.unchanged,
            superseded=totals.superseded,
            points_written=totals.points,
            new=new,
            deleted=deleted,
            exact=run.complete and ended,
            run=run.id,
            attempts=run.attempts,
            sampled=sampled,
            ledger=self.ledger.path,
            manifest=manifest,
        )
        if manifest is not None:
            write_manifest(
                manifest,
                report,
                spec=self.spec,
                files=self.ledger.files(run.id),
                statistics=encoder.statistics,
                details={"started": run.started, "finished": now(), "options": self._options()},
            )
        self.ledger.note(
            run.id,
            state="finished" if ended else "interrupted",
            finished=now(),
            points_after=after,
        )
        if refused is not None:
            raise refused
        return report

    # --- begin -------------------------------------------------------------------------------

    def _begin(self, own_rejects: Path | None) -> tuple[Run, bool]:
        """The run to carry out: the last one if it was cut short and is the same, or a new one."""
        who = identity(self.spec, self.encoder.info.fingerprint, self._options())
        files = [(name, _marked(mark)) for name, mark in self.source.fingerprints().items()]
        last = self.ledger.last()
        if last is not None and last.state not in ("finished", "abandoned"):
            changes = differences(last.identity, who, self.ledger.files(last.id), files)
            changes += self._losses(last)
            if not changes:
                self.ledger.resume(last.id)
                self.display.say(f"going on with run {last.id}, which did not end")
                return self._run(last.id), True
            self.display.say(
                f"run {last.id} did not end, and is not continued: {'; '.join(changes)}. "
                "Everything is read from the beginning"
            )
        number = self.ledger.begin(
            identity=who,
            files=files,
            rejects=str(own_rejects or self.files.new_rejects()),
            versions=versions(),
        )
        return self._run(number), False

    def _losses(self, run: Run) -> list[str]:
        """What a run had stored that is no longer there."""
        if run.points_before is None:
            return []
        there = self._count() if self.client.collection_exists(self.collection) else 0
        totals = self.ledger.totals(run.id)
        least = run.points_before - run.deleted + (totals.new if run.complete else 0)
        if there < least:
            return [f"the collection has {there:,} points, and had {least:,}"]
        return []

    def _options(self) -> dict[str, Any]:
        """How the input is read and what is done about it, as the ledger compares it."""
        return {
            "selection": asdict(self.source.selection),
            "passages": None if self.passages is None else asdict(self.passages),
            "sync": self.sync,
            "on_duplicate": self.on_duplicate,
        }

    # --- load --------------------------------------------------------------------------------

    def _load(self, run: Run, rejected: RejectsFile) -> tuple[Writer, BatchEncoder, bool]:
        names = [name for name, _ in self.ledger.files(run.id)]
        settled = {names[file]: spans for file, spans in self.ledger.settled(run.id).items()}
        items = self.source.batches(settled)
        if self.passages is not None:
            items = in_passages(
                items,
                self.passages,
                token_offsets(self.encoder),
                self.source.selection.fields.text,
            )
        if self.spec.sparse is not None and self.spec.sparse.mean_length is None:
            texts, items = sample(items)
            if texts:
                length = mean_length(texts, self.spec.sparse)
                self.spec = self.spec.with_source(fields=self.spec.fields, mean_length=length)
        self._prepare(run)
        encoder = BatchEncoder(self.spec, self.encoder)
        writer = Writer(
            self.client,
            self.collection,
            self.spec,
            self.ledger,
            run.id,
            rejected,
            encoder,
            self.on_duplicate,
        )
        writer.totals = self.ledger.totals(run.id)
        if writer.totals.read:
            self.display.advance(writer.totals.read, writer.totals.stored, writer.totals.rejected)
        load = Load(
            ledger=self.ledger,
            run=run.id,
            files=names,
            encoder=encoder,
            writer=writer,
            rejected=rejected,
            display=self.display,
            counters=RowCounters(self.collection, writer.totals),
            key=encoding_key(self.spec),
            sync=self.sync,
            on_duplicate=self.on_duplicate,
            limit=self.limit,
            threads=self.threads,
            stop=self.stop,
        )
        with ExitStack() as stack:
            if self.bulk:
                stack.enter_context(
                    deferred_indexing(self.client, self.collection, self.ledger.notes)
                )
            stack.enter_context(writer)
            return writer, encoder, load.carry_out(items)

    def _prepare(self, run: Run) -> None:
        """Have the collection there as it is to be, and know what it holds."""
        if not self.client.collection_exists(self.collection):
            self.ledger.clear_rows()  # of a collection that was deleted since
            create_collection(self.client, self.collection, self.spec)
        elif read_spec(self.client, self.collection) != self.spec:
            write_spec(self.client, self.collection, self.spec)
        if run.points_before is None:
            before = self._count()
            complete = before == self.ledger.points()
            if self.sync and not complete:
                self.display.say(
                    f"the ledger does not know the {before:,} points of the collection: reading "
                    "them"
                )
                before = rebuild(self.client, self.collection, self.ledger, self.spec)
                complete = True
            self.ledger.note(run.id, points_before=before, complete=complete)

    def _run(self, number: int) -> Run:
        last = self.ledger.last()
        if last is None or last.id != number:
            raise SpecError(field="state", problem=f"run {number} has gone from the ledger")
        return last

    def _count(self) -> int:
        return exact_count(self.client, self.collection)
