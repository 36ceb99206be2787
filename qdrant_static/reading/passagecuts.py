"""Finds where to cut a text, so that no passage has more tokens than an encoder is to read.

A passage alone has other tokens than its part of the whole text: a word that is cut has other
tokens, a tokenizer may add a marker to every text, and a prompt may come before it. So texts are
first cut by the tokens of the whole text, and passages that have too many tokens are cut again, a
little earlier.
"""

from __future__ import annotations

import unicodedata
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any

from qdrant_static.encoders.readinglimit import ReadingLimit
from qdrant_static.errors import ArgumentError

#: Texts -> the tokens of each, as pairs of character offsets: the first, and after the last.
TokenOffsets = Callable[[Sequence[str]], Sequence[Sequence[tuple[int, int]]]]
#: Characters that belong to an emoji before them: a zero-width joiner, and skin tones.
_JOINER = "\u200d"
_SKIN = range(0x1F3FB, 0x1F400)
#: So often texts are cut as a whole, the second time with fewer tokens; a text with more than this
#: share of excess tokens is cut passage by passage instead.
_TRIES = 2
_FEW = 0.05


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EncoderTokens:
    """Finds the tokens of texts as encoders count them; a `TokenOffsets`.

    Attributes:
        first: The encoder whose tokens count.
        others: Other encoders that must be able to read a passage to its end.
    """

    first: ReadingLimit
    others: tuple[ReadingLimit, ...] = ()

    def __call__(self, texts: Sequence[str]) -> list[list[tuple[int, int]]]:
        """Return where the tokens of texts begin and end."""
        return self.first.offsets(texts)

    def excess(self, texts: Sequence[str], tokens: int) -> list[int]:
        """Return by how many tokens each text exceeds the limit of an encoder; 0 if it fits."""
        found = [max(0, count - tokens) for count in self.first.count(texts)]
        for limit in (self.first, *self.others):
            if limit.tokens is not None and (limit is not self.first or limit.prompt):
                counts = limit.count(texts, prompted=True)
                found = [
                    max(one, count - limit.tokens) for one, count in zip(found, counts, strict=True)
                ]
        return found


def token_offsets(encoder: Any, *others: Any) -> EncoderTokens:
    """Return what finds the tokens of texts, by an encoder's tokenizer.

    Args:
        encoder: An encoder with a ``tokenizer`` (of the library ``tokenizers``), or such a
            tokenizer itself. Tokens that it truncates count too.
        others: Other encoders that must be able to read a passage to its end; those without a
            tokenizer are ignored.

    Raises:
        ArgumentError: If the first has none.
    """
    first = ReadingLimit.of(encoder)
    if first is None:
        raise ArgumentError(
            field="passages", problem=f"{encoder!r} has no tokenizer by whose tokens to cut"
        )
    limits = (ReadingLimit.of(one) for one in others)
    return EncoderTokens(first=first, others=tuple(one for one in limits if one is not None))


@dataclass(frozen=True, slots=True)
class Bounds:
    """The size of passages.

    Attributes:
        tokens: The most tokens.
        overlap: Tokens at the end of a passage that the next one repeats.
        characters: The most characters; None: any number.
    """

    tokens: int
    overlap: int = 0
    characters: int | None = None


def cut_roughly(text: str, tokens: Sequence[tuple[int, int]], bounds: Bounds) -> list[str]:
    """Cut a text by the tokens of the whole text."""
    return _Text(text, tokens).cut(bounds)


def cut_all(texts: Sequence[str], offsets: TokenOffsets, bounds: Bounds) -> list[list[str]]:
    """Cut texts into passages; without overlap, joining them gives the text again.

    Args:
        texts: n texts.
        offsets: Finds the tokens of texts, and counts those of a passage alone.
        bounds: The size of passages; a single character with more tokens is a passage of its own.
    """
    found = list(offsets(texts))
    cut: list[list[str]] = [[] for _ in texts]
    less = dict.fromkeys(range(len(texts)), 0)
    hard: set[int] = set()
    # A marker in every text makes nearly all passages too long by one token: cutting all of them
    # again is cheaper than cutting each passage.
    for _ in range(_TRIES):
        for row, tokens in less.items():
            smaller = replace(bounds, tokens=bounds.tokens - tokens)
            cut[row] = cut_roughly(texts[row], found[row], smaller)
        excess = iter(_excess([one for row in less for one in cut[row]], offsets, bounds.tokens))
        wide = {row for row in less for one in cut[row] if _is_wide(one, bounds.characters)}
        left = {row: max([next(excess) for _ in cut[row]]) for row in less}
        hard |= wide | {row for row, most in left.items() if most > _FEW * bounds.tokens}
        less = {row: most for row, most in left.items() if most and row not in hard}
    for row in (*less, *hard):
        cut[row] = _cut_again(texts[row], offsets, bounds)
    return cut


class _Text:
    """A text and the places where its tokens begin.

    Attributes:
        starts: Offsets where it may be cut, rising: its beginning, and the beginnings of tokens;
            several tokens of one character begin at the same offset.
        before: For each of them, and the text's end, how many tokens begin before it.
    """

    def __init__(self, text: str, tokens: Sequence[tuple[int, int]]) -> None:
        self.text = text
        self.starts = sorted({0, *(start for start, stop in tokens if stop > start)})
        counts = Counter(bisect_right(self.starts, start) - 1 for start, _ in tokens)
        self.before = [0, *accumulate(counts[index] for index in range(len(self.starts)))]

    def cut(self, bounds: Bounds) -> list[str]:
        """Cut by the tokens of the whole text."""
        pieces: list[str] = []
        begin, first = 0, 0
        while (end := self.end(first, begin, bounds.tokens, bounds)) < len(self.starts):
            pieces.append(self.text[begin : self.starts[end]])
            first = self.next_first(first, end, bounds.overlap)
            begin = self.starts[first]
        pieces.append(self.text[begin:])
        return pieces

    def end(self, first: int, begin: int, tokens: int, bounds: Bounds) -> int:
        """Return the token before which a passage ends that begins with token ``first``."""
        last = len(self.starts)
        end = bisect_right(self.before, self.before[first] + tokens) - 1
        if bounds.characters is not None and len(self.text) - begin > bounds.characters:
            wide = bisect_right(self.starts, begin + bounds.characters) - 1
            end, last = min(end, wide), last + 1
        if end >= last:
            return last
        return self._good_place(first, max(first + 1, end))

    def _good_place(self, first: int, token: int) -> int:
        """Return the last token, up to ``token``, that begins a word or a character.

        A word must begin in the second half of the passage. If there is none, it is ``token``.
        """
        if token >= len(self.starts):
            return token
        for candidate in range(token, max(first + (token - first) // 2, first), -1):
            if self.text[self.starts[candidate] - 1].isspace():
                return candidate
        for candidate in range(token, first, -1):
            if not _joins(self.text, self.starts[candidate]):
                return candidate
        return token

    def next_first(self, first: int, end: int, overlap: int) -> int:
        """Return the token that the next passage begins with, so that it adds something new."""
        if not overlap:
            return end
        place = bisect_left(self.before, self.before[end] - overlap)
        return min(max(first + 1, place), end)

    def split_first(self, first: int, place: int) -> None:
        """Allow a cut within a token."""
        self.starts.insert(first + 1, place)
        self.before.insert(first + 1, self.before[first + 1])


def _cut_again(text: str, offsets: TokenOffsets, bounds: Bounds) -> list[str]:
    """Cut one text passage by passage, counting the tokens of each alone."""
    pieces: list[str] = []
    found = _Text(text, offsets([text])[0])
    begin, first = 0, 0
    while True:
        end = found.end(first, begin, bounds.tokens, bounds)
        tokens = bounds.tokens
        while True:
            stop = found.starts[end] if end < len(found.starts) else len(found.text)
            piece = found.text[begin:stop]
            excess = _excess([piece], offsets, bounds.tokens)[0]
            if not excess and not _is_wide(piece, bounds.characters):
                break
            if end <= first + 1:
                piece = _prefix(piece, offsets, bounds)
                if len(piece) < stop - begin:
                    found.split_first(first, begin + len(piece))
                break
            tokens = min(tokens, found.before[end] - found.before[first]) - max(1, excess)
            end = min(end - 1, found.end(first, begin, max(1, tokens), bounds))
            end = max(first + 1, end)
        pieces.append(piece)
        if end >= len(found.starts):
            break
        first = found.next_first(first, end, bounds.overlap)
        begin = found.starts[first]
    return pieces


def _prefix(text: str, offsets: TokenOffsets, bounds: Bounds) -> str:
    """Return a beginning of a text that fits, at least one character, where no token begins."""
    length = min(len(text), bounds.characters or len(text))
    while length > 1:
        whole = length
        while length > 1 and length < len(text) and _joins(text, length):
            length -= 1  # prefer a cut between two visible characters
        if length == 1:
            length = whole
        if not _excess([text[:length]], offsets, bounds.tokens)[0]:
            break
        length //= 2
    return text[:length]


def _excess(texts: Sequence[str], offsets: TokenOffsets, tokens: int) -> list[int]:
    if isinstance(offsets, EncoderTokens):
        return offsets.excess(texts, tokens)
    return [max(0, len(found) - tokens) for found in offsets(texts)]


def _is_wide(text: str, characters: int | None) -> bool:
    return characters is not None and len(text) > characters


def _joins(text: str, place: int) -> bool:
    """Return whether a character belongs to the one before, such as an accent or a skin tone."""
    character = text[place]
    return (
        unicodedata.category(character)[0] == "M"
        or ord(character) in _SKIN
        or _JOINER in (character, text[place - 1])
    )
