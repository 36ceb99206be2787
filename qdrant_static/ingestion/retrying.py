"""A rejects file, read again: what was wrong may have been mended."""

from __future__ import annotations

import json
import logging
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qdrant_static import rules
from qdrant_static.clients.statefolder import StateFolder, state_folder
from qdrant_static.collection.create import read_spec
from qdrant_static.errors import ArgumentError, SourceNotFoundError, StorageError
from qdrant_static.ingestion.options import RunOptions
from qdrant_static.ingestion.pipeline import run_job
from qdrant_static.ledger.ledger import Ledger
from qdrant_static.reading.batchbuilder import RejectedError
from qdrant_static.reading.csvfile import read_again
from qdrant_static.reading.inputs import Input
from qdrant_static.reading.options import SourceOptions
from qdrant_static.reading.selection import read_row_options, select
from qdrant_static.reading.sources import Source

if TYPE_CHECKING:
    from qdrant_static.clients.connect import Client
    from qdrant_static.collection.spec import CollectionSpec
    from qdrant_static.encoders.base import LateInteractionEncoder
    from qdrant_static.encoders.registry import AnyEncoder
    from qdrant_static.ingestion.ingestreport import IngestReport
    from qdrant_static.ingestion.progress import ProgressCallback
    from qdrant_static.reading.options import Passages
    from qdrant_static.reading.sources import PathLike

#: Reasons that no repetition mends: another row has the key; a file is no row.
LEFT_ALONE = frozenset({"duplicate_key", "unreadable_file"})
#: In their place, for rows that the rejects file does not hold whole.
CUT = "not_whole"
#: And for lines of CSV that are still none.
NOT_CSV = "not_csv"
#: How bytes that are not UTF-8 are shown in a cell.
_BYTES_SHOWN = re.compile(r"\\x[89a-f][0-9a-f]")
#: Earlier versions wrote so many characters of a line that was no record.
_EARLIER_CUT = 2000
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
    progress: bool | ProgressCallback = False,
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
    notify = notify or _LOG.warning
    run_options = replace(run_options or RunOptions(), again=True)
    path = Path(rules.location("rejects", rejects)).expanduser()
    folder = state_folder(run_options.state, client, collection)
    spec = read_spec(client, collection)
    copied = _copy(path, folder / f"retry-{path.stem}.jsonl", notify)
    chosen, cut = _as_read(path, copied.options, spec)
    chosen = source_options or chosen
    if text is not None:
        chosen = replace(chosen, template=None)
    chosen = chosen.with_columns(key=key, text=text)
    report = run_job(
        client,
        collection,
        _source(copied, chosen, spec),
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


@dataclass(slots=True, kw_only=True)
class _Copied:
    """The rows of a rejects file, one a line, in a file of their own.

    Attributes:
        target: That file.
        rows: How many there are.
        left: Those that were left out, by reason.
        flat: Names of columns that have a dot in them, which are no paths.
        options: How they were read, each way once, with the first line that says so; None where
            the file does not say it.
    """

    target: Path
    rows: int = 0
    left: dict[str, int] = field(default_factory=dict)
    flat: set[str] = field(default_factory=set)
    options: list[tuple[int, Mapping[str, Any] | None]] = field(default_factory=list)


def _copy(path: Path, target: Path, notify: Callable[[str], None]) -> _Copied:
    """Write the rows of a rejects file, one a line."""
    copied = _Copied(target=target)
    left: Counter[str] = Counter()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with path.open("rb") as lines, target.open("wb") as rows:
            for number, line in enumerate(lines, 1):
                reject = _read(path, number, line)
                if reject["reason"] in LEFT_ALONE:
                    left[reject["reason"]] += 1
                elif not _is_whole(reject):
                    left[CUT] += 1
                    notify(_not_whole(path, number, reject))
                elif (problem := _read_cells(reject)) is not None:
                    left[NOT_CSV] += 1
                    notify(f"not retried: {path}, line {number}: {problem}")
                else:
                    _note_options(copied, number, reject.get("options"))
                    row, names = _row(reject)
                    rows.write(row + b"\n")
                    copied.rows += 1
                    copied.flat.update(name for name in names if "." in name)
    except FileNotFoundError as error:
        raise SourceNotFoundError(path=str(path), problem="there is no such file") from error
    except OSError as error:
        raise StorageError(path=str(target), problem=str(error.strerror)) from error
    copied.left = dict(sorted(left.items()))
    return copied


def _read(path: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        reject = json.loads(line)
        if {"reason", "value"} <= reject.keys():
            found = dict(reject)
        else:
            raise ValueError("no reject")
    except (ValueError, AttributeError):
        raise SourceNotFoundError(
            path=str(path), problem=f"line {number} is not a reject: it has no reason and value"
        ) from None
    if str(found.get("file", "")).startswith("collection:"):
        raise ArgumentError(
            field="rejects",
            problem=f"{path}, line {number}: the row is a point of {found['file']!r}; correct it "
            "there, and repeat the job",
        )
    return found


def _is_whole(reject: Mapping[str, Any]) -> bool:
    """Whether the whole row is there. Earlier versions cut rows without a word."""
    value = reject["value"]
    if value is None or reject.get("cut"):
        return False
    if "options" in reject:
        return True
    return reject["reason"] != "too_long" and not (
        isinstance(value, str) and len(value) >= _EARLIER_CUT
    )


def _not_whole(path: Path, number: int, reject: Mapping[str, Any]) -> str:
    unit = "line" if "line" in reject else "row"
    return (
        f"not retried: {path}, line {number} does not hold the whole row ({reject.get('file')}, "
        f"{unit} {reject.get(unit)}). Correct it where it came from, or write the whole row here "
        'and remove "cut"'
    )


def _note_options(copied: _Copied, number: int, options: Mapping[str, Any] | None) -> None:
    if all(options != known for _, known in copied.options):
        copied.options.append((number, options))


def _read_cells(reject: dict[str, Any]) -> str | None:
    """Make a line of CSV, or its cells, the record that it is now; what is wrong if it is none."""
    value, divided = reject["value"], reject.get("csv")
    if divided is None or not isinstance(value, str | list):
        return None
    instead = "Correct the value, or write the row as a JSON object"
    cells = [value] if isinstance(value, str) else value
    if reject["reason"] == "not_unicode" and any(_BYTES_SHOWN.search(str(one)) for one in cells):
        return f"it still has bytes that are no text, as \\xff. {instead}"
    try:
        reject["value"] = read_again(value, divided)
    except RejectedError as problem:
        return f"{problem.message} ({', '.join(divided['columns'])}). {instead}"
    return None


def _row(reject: Mapping[str, Any]) -> tuple[bytes, Iterable[str]]:
    """A row as it was, and the names of its columns.

    Of a line that was no record the rejects file has the text, which may be a record now. It stays
    as it is, so that the reader judges it; what its file's folders say is added.
    """
    value, partition = reject["value"], reject.get("partition") or {}
    if isinstance(value, dict):
        value = {**partition, **value}
        return json.dumps(value).encode(), value
    if not isinstance(value, str):
        return json.dumps(value).encode(), ()
    text = value.replace("\n", " ").strip()
    try:
        record = json.loads(text)
    except ValueError:
        record = None
    if not isinstance(record, dict):
        return text.encode("utf-8", "replace"), ()
    missing = {name: one for name, one in partition.items() if name not in record}
    if missing and record:
        text = f"{json.dumps(missing)[:-1]}, {text[1:]}"
    return text.encode("utf-8", "replace"), (*missing, *record)


def _as_read(
    path: Path, found: list[tuple[int, Mapping[str, Any] | None]], spec: CollectionSpec
) -> tuple[SourceOptions, Passages | None]:
    """How the rows were read: as the file says, or as the collection was filled.

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


def _source(copied: _Copied, options: SourceOptions, spec: CollectionSpec) -> Source:
    """The rows as a source. That no row has some column of the job's is no error here."""
    selection = select((), "the rejects", options)
    selection = replace(selection, flat=frozenset(copied.flat))
    if options.vectors is not None:
        selection = replace(selection, dimension=spec.vectors[0].size)
    name = str(copied.target)
    return Source(
        inputs=(Input(name=name, path=name, format="jsonl"),),
        selection=selection,
        unreadable=(),
        left_out=(),
        total_rows=copied.rows,
        options=options,
    )
