"""Retries the rows of a rejects file, which may have been corrected by hand."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qdrant_static import rules
from qdrant_static.clients.connect import check_client
from qdrant_static.clients.statefolder import StateFolder, state_folder
from qdrant_static.collection.create import read_spec
from qdrant_static.encoders.headencoder import ready_dimension
from qdrant_static.encoders.registry import as_encoder
from qdrant_static.errors import ArgumentError
from qdrant_static.ingestion.options import RunOptions
from qdrant_static.ingestion.pipeline import run_job
from qdrant_static.ingestion.rejectrows import CopiedRows, copy_rows
from qdrant_static.ledger.ledger import Ledger
from qdrant_static.reading.inputs import Input
from qdrant_static.reading.options import SourceOptions
from qdrant_static.reading.selection import read_row_options, select
from qdrant_static.reading.sources import Source

if TYPE_CHECKING:
    from qdrant_static.clients.connect import Client
    from qdrant_static.collection.spec import CollectionSpec
    from qdrant_static.encoders.base import LateInteractionEncoder
    from qdrant_static.encoders.registry import AnyEncoder
    from qdrant_static.ingestion.ingestreport import IngestReport, ProgressCallback
    from qdrant_static.reading.options import Passages
    from qdrant_static.reading.sources import PathLike

_LOG = logging.getLogger("qdrant_static")


def retry_rejects(
    client: Client,
    collection: str,
    rejects: PathLike,
    *,
    keep: bool = False,
    key: Sequence[str] | str | None = None,
    text: Sequence[str] | str | None = None,
    encoder: AnyEncoder | None = None,
    late_encoder: LateInteractionEncoder | str | None = None,
    source_options: SourceOptions | None = None,
    run_options: RunOptions | None = None,
    passages: Passages | None = None,
    progress: bool | ProgressCallback | None = None,
    stop: threading.Event | None = None,
    notify: Callable[[str], None] | None = None,
) -> tuple[IngestReport, Mapping[str, int]]:
    """Store the rows of a rejects file, as far as they can be stored now.

    The rows are the file's ``value`` fields, which may have been corrected by hand. They are read
    as the job read them that rejected them: its options are beside each row. They are copied to a
    file in the state's folder, which is then ingested like any other: what is rejected again is
    in a rejects file of its own.

    Args:
        client: As for `ingest`.
        collection: The collection.
        rejects: A rejects file.
        keep: Keep what is stored here when a later ``sync`` with ``delete_missing`` reads an
            input that does not have it. Else it deletes it, unless the input was corrected too.
        key: As for `ingest`; None takes the column of the job.
        text: As for `ingest`; None takes the columns of the job.
        encoder: As for `ingest`.
        late_encoder: As for `ingest`.
        source_options: How the rows are read; None reads them as the job did, and, where an
            earlier version wrote the file, as the collection was filled.
        run_options: As for `ingest`; rows are always written, as with ``again``.
        passages: How to cut long texts; None cuts them as the job did.
        progress: As for `ingest`.
        stop: As for `ingest`.
        notify: Called with each note for the user; None logs them.

    Returns:
        The account of the rows that were tried, and how many were left alone, by reason:
        ``duplicate_key`` (the row that has their key is in the collection), ``not_whole`` (too
        large to be written whole into the file), ``not_csv`` (a line of CSV that is still none).

    Raises:
        SourceNotFoundError: If there is no such file, or it is not a rejects file.
        ArgumentError: If its rows were read with different options, or come from a collection.
    """
    check_client(client, "retry_rejects(client, collection, rejects)")
    notify = notify or _LOG.warning
    run_options = replace(run_options or RunOptions(), again=True)
    path = Path(rules.location("rejects", rejects)).expanduser()
    folder = state_folder(run_options.state, client, collection)
    spec = read_spec(client, collection)
    copied = copy_rows(path, folder / f"retry-{path.stem}.jsonl", notify)
    chosen, cut = _as_read(path, copied.options, spec)
    chosen = source_options or chosen
    if text is not None:
        chosen = replace(chosen, template=None)
    chosen = chosen.with_columns(key=key, text=text)
    dimension = None
    if chosen.vectors is not None:
        encoder = as_encoder(spec.encoder.name if encoder is None else encoder)
        dimension = ready_dimension(encoder)
    report = run_job(
        client,
        collection,
        _source(copied, chosen, dimension),
        spec=None,
        encoder=encoder,
        late_encoder=late_encoder,
        options=run_options,
        passages=passages or cut,
        progress=progress,
        stop=stop,
    )
    if keep:
        with StateFolder(folder, collection) as files, Ledger(files.ledger) as ledger:
            ledger.rows.keep(report.run)
    elif report.stored:
        notify(
            "what was stored here is deleted by the next ingest with --sync --delete-missing whose "
            "input does not have it: correct the input too, or repeat this with --keep"
        )
    return report, copied.left


def _as_read(
    path: Path, found: list[tuple[int, Mapping[str, Any] | None]], spec: CollectionSpec
) -> tuple[SourceOptions, Passages | None]:
    """Return how the rows were read: from the file, or else as the collection was filled.

    Raises:
        ArgumentError: If not all were read in the same way.
    """
    if len(found) > 1:
        (first, _), (other, _) = found[:2]
        raise ArgumentError(
            field="rejects",
            problem=f"the rows of {path}, lines {first} and {other}, were read with different "
            "options: retry them in files of their own",
        )
    options = found[0][1] if found else None
    if options is not None:
        return read_row_options(options)
    fields = spec.fields
    template = fields.template
    key = (fields.key,) if isinstance(fields.key, str) else fields.key or ()
    return (
        SourceOptions(
            key=key,
            text=() if template is not None else fields.all_columns,
            template=None if template is None else str(template),
        ),
        None,
    )


def _source(copied: CopiedRows, options: SourceOptions, dimension: int | None) -> Source:
    """Open the rows as a source, in which columns of the job may be missing.

    Args:
        copied: The rows.
        options: How they are read.
        dimension: That of ready vectors; None where there are none.
    """
    selection = select((), "the rejects", options)
    selection = replace(selection, flat=frozenset(copied.flat), dimension=dimension)
    name = str(copied.target)
    return Source(
        inputs=(Input(name=name, path=name, format="jsonl"),),
        selection=selection,
        unreadable=(),
        left_out=(),
        total_rows=copied.rows,
        options=options,
    )
