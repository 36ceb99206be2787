"""A rejects file, read again: what was wrong may have been mended."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qdrant_static.collection.build import read_spec
from qdrant_static.errors import SourceNotFoundError, StorageError
from qdrant_static.ingest.accounting.state import default_state
from qdrant_static.ingest.pipeline import ingest

if TYPE_CHECKING:
    from qdrant_static.connect import Client
    from qdrant_static.ingest.reading.sources import PathLike
    from qdrant_static.ingest.report import IngestReport

#: Reasons that no repetition mends: another row has the key; a file is no row.
LEFT_ALONE = frozenset({"duplicate_key", "unreadable_file"})


def retry_rejects(
    rejects: PathLike, client: Client, collection: str, **options: Any
) -> tuple[IngestReport, Mapping[str, int]]:
    """Store the rows of a rejects file, as far as they can be stored now.

    The rows are the file's ``value`` fields, which may have been corrected by hand. They are
    copied to a file in the state's folder, which is then ingested like any other: what is
    rejected again is in a rejects file of its own.

    Args:
        rejects: A rejects file.
        client: As for `ingest`.
        collection: The collection.
        options: As for `ingest`; ``key`` and ``text`` are by default as the collection was filled.

    Returns:
        The account of the rows that were tried, and how many were left alone, by reason: the row
        that has their key is in the collection.

    Raises:
        SourceNotFoundError: If there is no such file, or it is no rejects file.
    """
    path = Path(rejects).expanduser()
    state = options.get("state")
    folder = default_state(client, collection) if state is None else Path(state).expanduser()
    fields = read_spec(client, collection).fields
    options = {"key": fields.key, "text": fields.text or None, **options}
    target = folder / f"retry-{path.stem}.jsonl"
    left = _copy(path, target)
    return ingest(target, client, collection, **{"again": True, **options}), left


def _copy(path: Path, target: Path) -> dict[str, int]:
    """Write the rows of a rejects file, one a line."""
    left: Counter[str] = Counter()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with path.open("rb") as lines, target.open("wb") as rows:
            for number, line in enumerate(lines, 1):
                reject = _read(path, number, line)
                if reject["reason"] in LEFT_ALONE:
                    left[reject["reason"]] += 1
                else:
                    rows.write(_row(reject["value"]) + b"\n")
    except FileNotFoundError as error:
        raise SourceNotFoundError(path=str(path), problem="there is no such file") from error
    except OSError as error:
        raise StorageError(path=str(target), problem=str(error.strerror)) from error
    return dict(sorted(left.items()))


def _read(path: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        reject = json.loads(line)
        if {"reason", "value"} <= reject.keys():
            return dict(reject)
    except (ValueError, AttributeError):
        pass
    raise SourceNotFoundError(
        path=str(path), problem=f"line {number} is no reject: it has no reason and value"
    )


def _row(value: Any) -> bytes:
    """A row as it was; of a line that was no JSON the rejects file has the text."""
    if isinstance(value, str):
        return value.replace("\n", " ").encode("utf-8", "replace")
    return json.dumps(value).encode()
