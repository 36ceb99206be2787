"""Samples texts from all over the input, where that is cheap.

Files are often sorted, by length, date or source, so that a sample of their beginning is biased. Of
Parquet, the first rows of many row groups are sampled; of uncompressed text files on this machine,
lines at many places. Anything else is sampled at its beginning.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pyarrow.parquet as pq

from qdrant_static.reading import parquet
from qdrant_static.reading.batch import Batch
from qdrant_static.reading.inputs import TEXT_FORMATS, Input
from qdrant_static.reading.sources import Source

#: So many places are sampled in all files together, with so many bytes each.
_PLACES = 32
_PLACE_BYTES = 2**16
_SMALL_BYTES = _PLACES * _PLACE_BYTES


def spread(source: object, rows: int) -> list[Batch]:
    """Return batches from all over a source; none where only its beginning can be sampled.

    Args:
        source: The source of a job.
        rows: About so many rows are wanted.
    """
    if not isinstance(source, Source) or not source.inputs:
        return []
    try:
        if all(_is_plain_text(one) for one in source.inputs):
            return list(_of_lines(source))
        if all(one.format == "parquet" and one.stream is None for one in source.inputs):
            return list(_of_row_groups(source, rows))
    except (OSError, pa.ArrowException):
        pass  # the load reports it
    return []


def _is_plain_text(file: Input) -> bool:
    plain = file.format in TEXT_FORMATS and file.compression is None
    return plain and file.filesystem is None and file.stream is None


def _of_row_groups(source: Source, rows: int) -> Iterator[Batch]:
    """Yield the first rows of row groups that are evenly spaced."""
    places: list[tuple[Input, int, int]] = []  # file, first row, rows of the group
    for file in source.inputs:
        with file.open_seekable() as opened, pq.ParquetFile(opened) as reader:
            start = 0
            for group in range(reader.metadata.num_row_groups):
                size = reader.metadata.row_group(group).num_rows
                places.append((file, start, size))
                start += size
    if len(places) < 2 or sum(size for _, _, size in places) <= rows:
        return
    step = max(1, len(places) // _PLACES)
    chosen = places[step // 2 :: step]
    each = max(1, rows // len(chosen))
    for file, start, size in chosen:
        wanted = start, start + min(each, size)
        others = ((0, wanted[0]), (wanted[1], 2**63))
        batches = (
            one
            for one in parquet.read(replace(file, position=None), source.selection, others)
            if isinstance(one, Batch)
        )
        yield from islice(batches, 1)


def _of_lines(source: Source) -> Iterator[Batch]:
    """Yield lines at evenly spaced places of the files, each after the line that has the place."""
    sizes = [(file, Path(file.path).stat().st_size) for file in source.inputs]
    total = sum(size for _, size in sizes)
    if total <= _SMALL_BYTES:
        return
    with TemporaryDirectory() as folder:
        for file, size in sizes:
            count = max(1, round(_PLACES * size / total))
            copy = Path(folder) / "sample"
            with Path(file.path).open("rb") as opened, copy.open("wb") as out:
                if file.format != "jsonl":
                    out.write(opened.readline())  # the header
                begin = opened.tell()
                for place in range(count):
                    opened.seek(begin + place * (size - begin) // count)
                    if place:
                        opened.readline(_PLACE_BYTES)
                    piece = opened.read(_PLACE_BYTES)
                    out.write(piece[: piece.rfind(b"\n") + 1])
            sampled = source.read(replace(file, path=str(copy), position=None))
            yield from (one for one in sampled if isinstance(one, Batch))
