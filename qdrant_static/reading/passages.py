"""Splits long texts into passages of a bounded number of tokens, each with its row's key."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

import pyarrow as pa

from qdrant_static.errors import ArgumentError
from qdrant_static.ids import Key, text_key
from qdrant_static.reading.batch import MAX_BYTES, MAX_ROWS, Batch
from qdrant_static.reading.options import Passages
from qdrant_static.reading.passagecuts import (
    Bounds,
    EncoderTokens,
    TokenOffsets,
    cut_all,
    cut_roughly,
    token_offsets,
)

__all__ = ["Passages", "TokenOffsets", "cut", "fit", "split", "token_offsets"]


def cut(text: str, tokens: Sequence[tuple[int, int]], passages: Passages) -> list[str]:
    """Cut a text into passages; without overlap, joining them gives the text again.

    A passage goes from the beginning of a token to the beginning of another, white space included.
    It ends between words if there is such a place in its second half, because a part of a word has
    other tokens than the word.

    Args:
        text: The text.
        tokens: Its tokens. A passage alone may have more tokens, which only `split` checks.
        passages: How to cut.
    """
    return cut_roughly(text, tokens, bounds_of(passages))


def fit(passages: Passages, tokens: EncoderTokens) -> tuple[Passages, list[str]]:
    """Shorten passages so that encoders read them to their end; also return notes about it.

    Args:
        passages: The passages that are wanted.
        tokens: The encoders.

    Raises:
        ArgumentError: If the overlap is as long as what an encoder reads.
    """
    notes = []
    first = tokens.first
    most, wanted = first.own_tokens, passages.tokens
    if most is not None and most < wanted:
        if passages.overlap >= most:
            raise ArgumentError(
                field="passages.overlap",
                problem=f"{passages.overlap} of the {most} tokens that {first.name!r} reads of a "
                "text leave nothing new: lower it",
            )
        notes.append(
            f"passages have {most:,} tokens, not {wanted:,}: {first.name!r} reads no more of a text"
        )
        passages = replace(passages, tokens=most)
    notes += [
        f"passages are cut to {one.tokens:,} tokens of {one.name!r} as well"
        for one in tokens.others
        if one.tokens is not None and one.tokens < passages.tokens
    ]
    widths = [
        max(1, one.characters - len(one.prompt))
        for one in (first, *tokens.others)
        if one.characters is not None
    ]
    if widths:
        width = min([*widths, passages.characters or min(widths)])
        passages = replace(passages, characters=width)
    return passages, notes


def split(
    batch: Batch, passages: Passages, offsets: TokenOffsets, text_fields: Sequence[str]
) -> Iterator[Batch]:
    """Split the rows of a batch into passages, and yield batches of those.

    Their ranges tile the batch's. A passage has the position of its row and the key (row's key,
    number).

    Args:
        batch: The rows.
        passages: How to cut.
        offsets: Finds the tokens of texts.
        text_fields: Payload fields of the rows' text, which the passage's text replaces.

    Raises:
        ArgumentError: If a payload has a field of the passages' names, or there are ready vectors.
    """
    if batch.vectors is not None:
        raise ArgumentError(field="passages", problem="ready vectors are of whole texts")
    texts = batch.texts.to_pylist()
    pieces = cut_all(texts, offsets, bounds_of(passages))
    for first, last in _spans(pieces):
        yield _part(batch, texts, pieces, passages, text_fields, (first, last))


def bounds_of(passages: Passages) -> Bounds:
    """Return the bounds of a passage."""
    return Bounds(passages.tokens, passages.overlap, passages.characters)


def _spans(pieces: Sequence[Sequence[str]]) -> Iterator[tuple[int, int]]:
    """Yield ranges of rows whose passages fit in a batch; at least one row each."""
    first, count, size = 0, 0, 0
    for row, own in enumerate(pieces):
        length = sum(map(len, own))
        if count and (count + len(own) > MAX_ROWS or size + length > MAX_BYTES):
            yield first, row
            first, count, size = row, 0, 0
        count, size = count + len(own), size + length
    yield first, len(pieces)


def _part(
    batch: Batch,
    texts: Sequence[str],
    pieces: Sequence[Sequence[str]],
    passages: Passages,
    text_fields: Sequence[str],
    span: tuple[int, int],
) -> Batch:
    """Return a batch of the passages of some rows, and the rejects between them."""
    first, last = span
    start = batch.start if first == 0 else batch.positions[first]
    stop = batch.stop if last == len(pieces) else batch.positions[last]
    of_rows: list[int] = []
    positions: list[int] = []
    numbers: list[int] = []
    keys: list[Key] = []
    payloads: list[dict[str, Any]] = []
    for row in range(first, last):
        key = text_key(texts[row]) if batch.keys is None else batch.keys[row]
        parts = key if isinstance(key, tuple) else (key,)
        kept = _without_text(batch.payloads[row], passages, text_fields)
        parent = [_json(part) for part in parts] if isinstance(key, tuple) else _json(key)
        for number, piece in enumerate(pieces[row]):
            of_rows.append(row)
            positions.append(batch.positions[row])
            numbers.append(number)
            keys.append((*parts, number))
            own = {passages.parent: parent, passages.number: number, passages.text: piece}
            payloads.append(kept | own)
    rejects = sorted(batch.rejects, key=lambda one: one.position or 0)
    places = [one.position or 0 for one in rejects]
    inside = slice(bisect_left(places, start), bisect_left(places, stop))
    return replace(
        batch,
        positions=positions,
        keys=keys,
        texts=pa.array([piece for own in pieces[first:last] for piece in own], pa.large_string()),
        payloads=payloads,
        rejects=rejects[inside],
        start=start,
        stop=stop,
        passages=numbers,
        whole=None if batch.whole is None else batch.whole.take(of_rows),
    )


def _without_text(
    payload: dict[str, Any], passages: Passages, text_fields: Sequence[str]
) -> dict[str, Any]:
    kept = {name: value for name, value in payload.items() if name not in text_fields}
    for name in (passages.parent, passages.number, passages.text):
        if name in kept:
            raise ArgumentError(
                field="passages",
                problem=f"the rows have a field {name!r} of their own; rename or exclude it",
            )
    return kept


def _json(part: Any) -> Any:
    return str(part) if isinstance(part, UUID) else part
