"""Paths, folders and globs -> files -> batches of records."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import pyarrow as pa

from qdrant_static.errors import SourceNotFoundError
from qdrant_static.ingest import jsonl, parquet
from qdrant_static.ingest.batch import Batch
from qdrant_static.ingest.rejects import Reject
from qdrant_static.ingest.selection import Selection, select

PathLike: TypeAlias = "str | os.PathLike[str]"
Format = Literal["parquet", "jsonl"]

_ENDINGS: dict[str, Format] = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".jsonl.gz": "jsonl",
    ".ndjson.gz": "jsonl",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Input files whose columns are chosen and checked.

    Attributes:
        files: The files that can be opened, in order.
        selection: The columns.
        unreadable: The files that cannot.
        left_out: Binary columns, which no payload can hold.
        total_rows: Rows in all files, where every file says it beforehand.
    """

    files: tuple[Path, ...]
    selection: Selection
    unreadable: tuple[Reject, ...]
    left_out: tuple[str, ...]
    total_rows: int | None

    def __iter__(self) -> Iterator[Batch | Reject]:
        """All batches, file by file; a file's break comes as a reject."""
        return self.batches()

    def fingerprints(self):
        return {str(f): (f.stat().st_size, f.stat().st_mtime_ns) for f in self.files}

    def batches(self, settled=None):
        for item in self._batches():
            if (
                isinstance(item, Batch)
                and settled
                and any(a <= item.start and item.stop <= b for a, b in settled.get(item.file, ()))
            ):
                continue
            yield item

    def _batches(self):
        yield from self.unreadable
        for file in self.files:
            read = parquet.read if _format(file) == "parquet" else jsonl.read
            yield from read(file, self.selection)


def open_source(
    paths: PathLike | Sequence[PathLike],
    *,
    key: str | None = None,
    text: Sequence[str] | str | None = None,
    payload: Sequence[str] | None = None,
) -> Source:
    """Find the files and choose the columns; no row is read yet.

    Args:
        paths: Files, folders (with all that is below) and globs.
        key: See `qdrant_static.ingest.selection.select`.
        text: Likewise.
        payload: Likewise.

    Raises:
        SourceNotFoundError: If a path, folder or glob gives no file.
        ColumnNotFoundError: If a column is not there.
        ColumnTypeError: If a Parquet column's type cannot serve.
        SpecError: If no column for the text is found.
    """
    found = find_files(paths)
    schemas: dict[Path, pa.Schema] = {}
    unreadable = []
    for file in found:
        try:
            if _format(file) == "parquet":
                schemas[file] = parquet.schema(file)
            else:
                file.open("rb").close()
        except (OSError, pa.ArrowException) as error:
            unreadable.append(_unreadable(file, error))
    broken = {one.file for one in unreadable}
    files = tuple(file for file in found if str(file) not in broken)
    selection = _select(files, schemas, key, text, payload)
    for file, schema in schemas.items():
        parquet.check(file, schema, selection)
    return Source(
        files=files,
        selection=selection,
        unreadable=tuple(unreadable),
        left_out=tuple(
            dict.fromkeys(
                name for schema in schemas.values() for name in parquet.left_out(schema, selection)
            )
        ),
        total_rows=(
            sum(parquet.row_count(file) for file in files) if len(schemas) == len(files) else None
        ),
    )


def find_files(paths: PathLike | Sequence[PathLike]) -> list[Path]:
    """The input files of paths, folders and globs, each once, in order.

    Raises:
        SourceNotFoundError: If one of them gives none.
    """
    given = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    found: dict[Path, None] = {}
    for one in given:
        found.update(dict.fromkeys(_files_of(os.path.expanduser(os.fspath(one)))))
    if not found:
        raise SourceNotFoundError(path="", problem="no path given")
    return list(found)


def _files_of(name: str) -> list[Path]:
    path = Path(name)
    if path.is_dir():
        files = [file for file in sorted(path.rglob("*")) if _is_data(file, path)]
        if not files:
            raise SourceNotFoundError(
                path=name, problem=f"the folder holds no file that ends in {_known()}"
            )
        return files
    if path.exists():
        if _format(path) is None:
            raise SourceNotFoundError(path=name, problem=f"the file does not end in {_known()}")
        return [path]
    if not glob.has_magic(name):
        raise SourceNotFoundError(path=name, problem="there is no such file or folder")
    matches = [Path(match) for match in sorted(glob.glob(name, recursive=True))]
    files = [file for file in matches if file.is_file() and _format(file) is not None]
    if not files:
        problem = f"none of its {len(matches)} matches ends in {_known()}"
        raise SourceNotFoundError(path=name, problem=problem if matches else "nothing matches")
    return files


def _is_data(file: Path, folder: Path) -> bool:
    """A data file of a folder; names that start with a dot or ``_`` are other programs' notes."""
    names = file.relative_to(folder).parts
    return _format(file) is not None and file.is_file() and not any(n[0] in "._" for n in names)


def _format(file: Path) -> Format | None:
    name = file.name.lower()
    return next((kind for ending, kind in _ENDINGS.items() if name.endswith(ending)), None)


def _known() -> str:
    return ", ".join(_ENDINGS)


def _select(
    files: Sequence[Path],
    schemas: dict[Path, pa.Schema],
    key: str | None,
    text: Sequence[str] | str | None,
    payload: Sequence[str] | None,
) -> Selection:
    """Choose by the first file that has columns."""
    for file in files:
        columns = tuple(schemas[file].names) if file in schemas else jsonl.columns(file)
        if columns:
            return select(columns, str(file), key=key, text=text, payload=payload)
    return select((), "the input", key=key, text=text, payload=payload)


def _unreadable(file: Path, error: Exception) -> Reject:
    unit: Literal["row", "line"] = "row" if _format(file) == "parquet" else "line"
    return Reject(reason="unreadable_file", message=str(error), file=str(file), unit=unit)
