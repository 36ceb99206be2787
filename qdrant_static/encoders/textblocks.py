"""Blocks of texts as UTF-8 buffers for the kernels, from a list of strings or an Arrow array.

A block is a byte buffer and, for every row, where its text starts and stops. These are two arrays,
not one array of offsets, because the stop of a row need not be the start of the next (nulls,
slices, rows that are read a second time).

Arrow arrays of type ``string`` and ``large_string`` are read in place. ``string_view`` and
``dictionary`` arrays are cast block by block, in Arrow, without a Python string per row.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from qdrant_static.errors import TextInputError

if TYPE_CHECKING:
    import pyarrow as pa

    Texts: TypeAlias = Sequence[str] | pa.Array | pa.ChunkedArray

Bytes: TypeAlias = npt.NDArray[np.uint8]
Positions: TypeAlias = npt.NDArray[np.int64]

BLOCK_ROWS = 1024
BLOCK_CHARACTERS = 1 << 21
"""A block ends at this many rows or, after the row that exceeds it, characters (bytes in Arrow).

2 MB of text gives at most 8 MB of token ids per thread, far below the memory limit; and the tens of
microseconds of Python per block do not matter.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class TextBlock:
    """Some consecutive rows as UTF-8.

    Attributes:
        data: uint8 (bytes,), read-only.
        starts: int64 (rows,), where the row's text starts in ``data``.
        stops: int64 (rows,), where it stops.
        first_row: The position of the first row in the caller's input, for error messages.
    """

    data: Bytes
    starts: Positions
    stops: Positions
    first_row: int

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.starts)

    def text(self, row: int) -> str:
        """Return the text of one row of this block.

        Raises:
            TextInputError: The bytes are not UTF-8 (an Arrow buffer that was not validated).
        """
        return decode(self.data[self.starts[row] : self.stops[row]].tobytes(), self.first_row + row)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TokenRows:
    """Token ids of a block: those of row i are ``ids[starts[i] : starts[i] + counts[i]]``.

    ``ids`` may belong to a workspace and is valid until its next use. Rows may be in any order in
    it: a row with an unknown chunk is scanned again after the others.

    Attributes:
        ids: int32.
        starts: int64 (rows,).
        counts: int64 (rows,).
        unknown: int64 (rows,), how many tokens were unknown, left out or not.
    """

    ids: npt.NDArray[np.int32]
    starts: Positions
    counts: Positions
    unknown: Positions


class TextSource(Protocol):
    """Rows of text that can be cut into blocks."""

    def __len__(self) -> int:
        """Return the number of rows."""

    def ranges(self, rows: int | None = None) -> Iterator[tuple[int, int]]:
        """Yield (first row, row after the last) of blocks of at most ``rows`` rows."""

    def block(self, start: int, stop: int) -> TextBlock:
        """Return one of the ranges as UTF-8."""


def decode(raw: bytes, row: int) -> str:
    """Decode one text; an error names the row."""
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        problem = f"its bytes are not valid UTF-8 ({error.reason} at byte {error.start})"
        raise TextInputError(row=row, problem=problem) from error


def read_texts(texts: Texts, *, max_characters: int | None = None) -> TextSource:
    """Wrap the caller's texts.

    Args:
        texts: A sequence of strings; a pyarrow ``Array`` or ``ChunkedArray`` of type ``string``,
            ``large_string``, ``string_view`` or ``dictionary`` of these; or an object that exports
            one through the Arrow C interface. A null is an empty text.
        max_characters: The kernels read no further in a row, so that longer Python strings need not
            be converted. Only a hint: rows may be longer.

    Raises:
        TextInputError: ``texts`` is a single string, has no length, or is no text.
    """
    if isinstance(texts, str | bytes):
        problem = f"a single {type(texts).__name__} was given; give a list: [text]"
        raise TextInputError(row=None, problem=problem)
    arrow: Any = sys.modules.get("pyarrow")
    if arrow is not None:
        if isinstance(texts, arrow.ChunkedArray):
            return _ArrowTexts(texts.chunks)
        if isinstance(texts, arrow.Array):
            return _ArrowTexts([texts])
    if hasattr(texts, "__arrow_c_stream__") or hasattr(texts, "__arrow_c_array__"):
        import pyarrow as pa

        if hasattr(texts, "__arrow_c_stream__"):
            return _ArrowTexts(pa.chunked_array(texts).chunks)
        return _ArrowTexts([pa.array(texts)])
    if not hasattr(texts, "__len__") or not hasattr(texts, "__getitem__"):
        problem = f"a {type(texts).__name__} was given; valid: a list of str, a pyarrow array"
        raise TextInputError(row=None, problem=problem)
    return _ListTexts(texts, max_characters)


def with_prompt(texts: Texts, prompt: str) -> Texts:
    """Put a prompt before every text, also before nulls; other values stay unchanged.

    Args:
        texts: As for `read_texts`.
        prompt: The prompt.
    """
    if isinstance(texts, str | bytes):
        return texts
    if any(hasattr(texts, f"__arrow_c_{kind}__") for kind in ("stream", "array")):
        import pyarrow as pa
        import pyarrow.compute as pc

        stream = hasattr(texts, "__arrow_c_stream__")
        arrow: Any = pa.chunked_array(texts) if stream else pa.array(texts)
        _check_type(arrow.type)
        whole: Texts = pc.binary_join_element_wise(
            pa.scalar(prompt, pa.large_string()),
            arrow.cast(pa.large_string()),
            pa.scalar("", pa.large_string()),
            null_handling="replace",
        )
        return whole
    if not hasattr(texts, "__len__"):
        return texts
    return [prompt + one if isinstance(one, str) else one for one in texts]


class _ListTexts:
    """A sequence of Python strings, encoded block by block."""

    def __init__(self, texts: Sequence[str], max_characters: int | None) -> None:
        self._texts = texts
        self._max_characters = max_characters

    def __len__(self) -> int:
        return len(self._texts)

    def ranges(self, rows: int | None = None) -> Iterator[tuple[int, int]]:
        most = min(rows or BLOCK_ROWS, BLOCK_ROWS)
        total = len(self._texts)
        start = 0
        while start < total:
            stop = min(start + most, total)
            try:
                lengths = np.fromiter(map(len, self._texts[start:stop]), np.int64, stop - start)
            except TypeError:
                raise self._wrong_row(start, stop) from None
            if self._max_characters is not None:
                np.minimum(lengths, self._max_characters, out=lengths)
            fit = int(np.searchsorted(np.cumsum(lengths), BLOCK_CHARACTERS)) + 1
            stop = min(start + fit, stop)
            yield start, stop
            start = stop

    def block(self, start: int, stop: int) -> TextBlock:
        part = self._texts[start:stop]
        most = self._max_characters
        try:
            if most is not None and max(map(len, part)) > most:
                part = [text[:most] for text in part]
            encoded = list(map(str.encode, part))
        except (TypeError, UnicodeEncodeError):
            raise self._wrong_row(start, stop) from None
        bounds = np.zeros(len(encoded) + 1, np.int64)
        np.cumsum(np.fromiter(map(len, encoded), np.int64, len(encoded)), out=bounds[1:])
        data = np.frombuffer(b"".join(encoded), np.uint8)
        return TextBlock(data=data, starts=bounds[:-1], stops=bounds[1:], first_row=start)

    def _wrong_row(self, start: int, stop: int) -> TextInputError:
        for row in range(start, stop):
            text: object = self._texts[row]
            if not isinstance(text, str):
                given = type(text).__name__
                return TextInputError(row=row, problem=f"it is a {given}, not a str")
            try:
                text.encode()
            except UnicodeEncodeError as error:
                problem = (
                    f"it has the lone surrogate {text[error.start]!a} at character {error.start}, "
                    "which UTF-8 cannot hold"
                )
                return TextInputError(row=row, problem=problem)
        return TextInputError(row=start, problem="it could not be read as UTF-8")


class _ArrowTexts:
    """The chunks of an Arrow array; a block never crosses from one chunk to the next."""

    def __init__(self, chunks: Sequence[Any]) -> None:
        for chunk in chunks:
            _check_type(chunk.type)
        self._chunks = [chunk for chunk in chunks if len(chunk)]
        self._firsts = np.cumsum([0] + [len(chunk) for chunk in self._chunks])

    def __len__(self) -> int:
        return int(self._firsts[-1])

    def ranges(self, rows: int | None = None) -> Iterator[tuple[int, int]]:
        most = min(rows or BLOCK_ROWS, BLOCK_ROWS)
        for first, chunk in zip(self._firsts, self._chunks, strict=False):
            start = 0
            while start < len(chunk):
                stop = min(start + most, len(chunk))
                offsets = _offsets(chunk)
                if offsets is not None:
                    enough = int(offsets[start]) + BLOCK_CHARACTERS
                    fit = int(np.searchsorted(offsets[start + 1 : stop + 1], enough)) + 1
                    stop = min(start + fit, stop)
                yield int(first) + start, int(first) + stop
                start = stop

    def block(self, start: int, stop: int) -> TextBlock:
        at = int(np.searchsorted(self._firsts, start, side="right")) - 1
        chunk = self._chunks[at].slice(start - int(self._firsts[at]), stop - start)
        offsets = _offsets(chunk)
        if offsets is None:
            import pyarrow as pa

            chunk = chunk.cast(pa.large_string())
            offsets = _offsets(chunk)
            assert offsets is not None  # noqa: S101 - large_string has offsets
        bounds = offsets.astype(np.int64)
        starts, stops = bounds[:-1], bounds[1:]
        if chunk.null_count:
            # The bytes under a null are undefined, not necessarily none.
            stops = np.where(chunk.is_valid().to_numpy(zero_copy_only=False), stops, starts)
        data = chunk.buffers()[2]
        raw = np.zeros(0, np.uint8) if data is None else np.frombuffer(data, np.uint8)
        raw.flags.writeable = False
        return TextBlock(data=raw, starts=starts, stops=stops, first_row=start)


def _check_type(type_: Any) -> None:
    import pyarrow as pa

    value = type_.value_type if pa.types.is_dictionary(type_) else type_
    if pa.types.is_null(value) or pa.types.is_string(value) or pa.types.is_large_string(value):
        return
    if pa.types.is_string_view(value):
        return
    valid = "string, large_string, string_view, dictionary of these"
    raise TextInputError(problem=f"an Arrow array of {type_} was given; valid: {valid}")


def _offsets(chunk: Any) -> npt.NDArray[Any] | None:
    """Return the offsets of a string or large_string array, (rows + 1,); None for others."""
    import pyarrow as pa

    if not (pa.types.is_string(chunk.type) or pa.types.is_large_string(chunk.type)):
        return None
    width: type[np.generic] = np.int32 if pa.types.is_string(chunk.type) else np.int64
    buffer = chunk.buffers()[1]
    if buffer is None or buffer.size == 0:
        return np.zeros(len(chunk) + 1, width)
    return np.frombuffer(buffer, width)[chunk.offset : chunk.offset + len(chunk) + 1]
