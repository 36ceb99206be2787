"""Long texts -> passages of a bounded number of tokens, each with its parent's key."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

import pyarrow as pa

from qdrant_static.collection.spec import Fields
from qdrant_static.errors import SpecError
from qdrant_static.ids import Key, text_key
from qdrant_static.ingest.reading.batch import MAX_BYTES, MAX_ROWS, Batch

#: Texts -> the tokens of each, as pairs of places in it: first character, and after the last.
TokenOffsets = Callable[[Sequence[str]], Sequence[Sequence[tuple[int, int]]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Passages:
    """How texts are cut.

    Attributes:
        tokens: The most that a passage has.
        overlap: Tokens at the end of a passage with which the next begins again.
        parent: The payload field of the row's key.
        number: The payload field of the passage's number in its row, from 0.
        text: The payload field of the passage's text, in place of the row's text columns.
    """

    tokens: int = 256
    overlap: int = 0
    parent: str = "parent"
    number: str = "passage"
    text: str = "text"

    def __post_init__(self) -> None:
        if self.tokens < 1:
            raise SpecError(field="passages.tokens", problem=f"{self.tokens} is below 1")
        if not 0 <= self.overlap < self.tokens:
            raise SpecError(
                field="passages.overlap",
                problem=f"{self.overlap} is not from 0 to {self.tokens - 1}, below passages.tokens",
            )
        if len({self.parent, self.number, self.text}) < 3:
            raise SpecError(field="passages", problem="its three fields need three names")

    @property
    def fields(self) -> Fields:
        """Where the payload of a passage holds its key and its text."""
        return Fields(key=(self.parent, self.number), text=(self.text,))


def token_offsets(encoder: Any) -> TokenOffsets:
    """How an encoder's tokenizer cuts texts.

    Args:
        encoder: An encoder with a ``tokenizer`` (of the library ``tokenizers``), or such a
            tokenizer itself.

    Raises:
        SpecError: If it has none.
    """
    tokenizer = getattr(encoder, "tokenizer", encoder)
    if not hasattr(tokenizer, "encode_batch"):
        raise SpecError(
            field="passages", problem=f"{encoder!r} has no tokenizer by whose tokens to cut"
        )

    def offsets(texts: Sequence[str]) -> list[list[tuple[int, int]]]:
        encoded = tokenizer.encode_batch(list(texts), add_special_tokens=False)
        return [one.offsets for one in encoded]

    return offsets


def cut(text: str, tokens: Sequence[tuple[int, int]], passages: Passages) -> list[str]:
    """The passages of a text: without overlap they are the text when they are joined again.

    A passage begins with a token and goes on to where the next begins, white space included. It
    ends between words, if there is such a place in its second half, because a piece of a word has
    other tokens than the word.

    Args:
        text: The text.
        tokens: Its tokens.
        passages: How to cut.
    """
    # Tokens of one character (bytes of it) begin at the same place.
    starts = sorted({start for start, stop in tokens if stop > start})
    if len(starts) <= passages.tokens:
        return [text]
    pieces: list[str] = []
    begin, first = 0, 0
    while first + passages.tokens < len(starts):
        end = _word_start(text, starts, first + passages.tokens, first + passages.tokens // 2)
        pieces.append(text[begin : starts[end]])
        # The overlap must leave something new, or the text would never end.
        first = max(first + 1, end - passages.overlap)
        begin = starts[first]
    pieces.append(text[begin:])
    return pieces


def _word_start(text: str, starts: Sequence[int], token: int, least: int) -> int:
    """The last token up to one that has white space before it; that one, if none has."""
    for candidate in range(token, max(least, 0), -1):
        if text[starts[candidate] - 1].isspace():
            return candidate
    return token


def split(
    batch: Batch, passages: Passages, offsets: TokenOffsets, text_fields: Sequence[str]
) -> Iterator[Batch]:
    """Batches of passages, in place of one of rows.

    Their ranges tile the batch's. A passage has the position of its row and the key (parent's
    key, number).

    Args:
        batch: Rows.
        passages: How to cut.
        offsets: The tokens.
        text_fields: Payload fields of the rows' text, which the passage's takes the place of.

    Raises:
        SpecError: If a payload has a field of the passages' names, or there are ready vectors.
    """
    if batch.vectors is not None:
        raise SpecError(field="passages", problem="ready vectors are of whole texts")
    texts = batch.texts.to_pylist()
    pieces = [
        cut(text, tokens, passages) for text, tokens in zip(texts, offsets(texts), strict=True)
    ]
    for first, last in _spans(pieces):
        yield _part(batch, texts, pieces, passages, text_fields, (first, last))


def _spans(pieces: Sequence[Sequence[str]]) -> Iterator[tuple[int, int]]:
    """Rows whose passages together keep the bounds of a batch; at least one, if it has none."""
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
    """The passages of some rows, and the rejects between them."""
    first, last = span
    start = batch.start if first == 0 else batch.positions[first]
    stop = batch.stop if last == len(pieces) else batch.positions[last]
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
    )


def _without_text(
    payload: dict[str, Any], passages: Passages, text_fields: Sequence[str]
) -> dict[str, Any]:
    kept = {name: value for name, value in payload.items() if name not in text_fields}
    for name in (passages.parent, passages.number, passages.text):
        if name in kept:
            raise SpecError(
                field="passages",
                problem=f"the rows have a field {name!r} of their own; rename or exclude it",
            )
    return kept


def _json(part: Any) -> Any:
    return str(part) if isinstance(part, UUID) else part
