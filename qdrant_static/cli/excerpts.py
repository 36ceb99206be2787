"""Finds the passage of a text that matches a query, and marks the query's words in it.

1. The query's terms are those of the collection's BM25: without stop words, stemmed. In scripts
   without spaces, pairs of characters are compared instead of words.
2. Of all windows of the text that fit the lines, the one with most different terms is shown; of
   several, the one with most words, then the first. It begins some words before its first term.
3. The lines are filled by cells, and broken at spaces if there are any.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from qdrant_static.cli.cells import cluster_width, clusters, plain, width
from qdrant_static.encoders.writingsystems import UNSPACED

if TYPE_CHECKING:
    from qdrant_static.encoders.sparse import Bm25Encoder

_WORD = re.compile(r"\w+")
_SPACE, _GAP = re.compile(r"\s"), re.compile(r"\W")
#: Runs of scripts that put no spaces between words.
_UNSPACED = re.compile(f"[{UNSPACED}]+")
_MARK = "\x1b[1m", "\x1b[0m"


class Match(NamedTuple):
    """A place of a text that is one of a query's terms."""

    start: int
    stop: int
    term: int | str


class Terms:
    """Finds the terms of a query in texts.

    Args:
        question: The query.
        encoder: The collection's BM25 encoder, whose terms are compared.
    """

    def __init__(self, question: str, encoder: Bm25Encoder) -> None:
        self._encoder = encoder
        self._ids = frozenset(encoder.encode_query(question).indices.tolist())
        self._pairs = {
            run[0][at : at + 2]
            for run in _UNSPACED.finditer(question)
            for at in range(max(1, len(run[0]) - 1))
        }
        self._term = lru_cache(maxsize=100_000)(self._find_term)

    def _find_term(self, word: str) -> int | None:
        found = self._ids.intersection(self._encoder.encode_query(word).indices.tolist())
        return min(found, default=None)

    def matches(self, text: str) -> Iterator[Match]:
        """Yield the places of a text that match, in order."""
        for found in _WORD.finditer(text):
            word, start = found[0], found.start()
            runs = [] if word.isascii() else list(_UNSPACED.finditer(word))
            if not runs:
                if (term := self._term(word.lower())) is not None:
                    yield Match(start, found.end(), term)
                continue
            for run in runs:
                yield from self._unspaced(run[0], start + run.start())

    def _unspaced(self, run: str, start: int) -> Iterator[Match]:
        for pair in self._pairs:
            at = run.find(pair)
            while at >= 0:
                yield Match(start + at, start + at + len(pair), pair)
                at = run.find(pair, at + 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Excerpt:
    """Lines of a text.

    Attributes:
        lines: The lines, without control characters, each within the given width.
        words: The words of the text that are marked.
    """

    lines: tuple[str, ...]
    words: tuple[str, ...]


def excerpt(text: str, terms: Terms, *, columns: int, lines: int, marked: bool) -> Excerpt:
    """Return the lines of a text that match a query best.

    Args:
        text: The text, of any length.
        terms: The query's terms.
        columns: Width of a line, in cells.
        lines: The largest number of lines.
        marked: Whether the terms are made bold, for a terminal.
    """
    room = columns * lines
    start = _best_start(text, sorted(terms.matches(text)), room)
    shown = plain(text[start : start + 4 * room])
    found = sorted(terms.matches(shown))
    bold = {at for match in found for at in range(match.start, match.stop)}
    more = start + 4 * room < len(text)
    return Excerpt(
        lines=tuple(
            _filled(shown, bold, columns, lines, before=start > 0, more=more, marked=marked)
        ),
        words=tuple(dict.fromkeys(shown[match.start : match.stop] for match in found)),
    )


def _best_start(text: str, matches: list[Match], room: int) -> int:
    """Return where the window begins that has most different terms."""
    # Wide characters take two cells each; their share is estimated from the beginning.
    beginning = text[:1000]
    span = room * len(beginning) // max(1, width(beginning)) if beginning else room
    span = max(10, span - 4)
    inside: Counter[int | str] = Counter()
    best, chosen, first = (0, 0), 0, 0
    for last, match in enumerate(matches):
        inside[match.term] += 1
        while match.stop - matches[first].start > span and first < last:
            inside[matches[first].term] -= 1
            inside += Counter()  # removes counts of zero
            first += 1
        value = (len(inside), inside.total())
        if value > best:
            best, chosen, end = value, matches[first].start, match.stop
    if best == (0, 0) or end <= span:
        return 0
    # Begin some words before the first term, as far as the last one still fits.
    before = min((span - (end - chosen)) // 2, span // 4)
    start = max(0, chosen - before)
    if start:
        gap = _SPACE.search(text, start, chosen) or _GAP.search(text, start, chosen)
        start = start if gap is None else gap.end()
    return start


def _filled(
    text: str, bold: set[int], columns: int, lines: int, *, before: bool, more: bool, marked: bool
) -> Iterator[str]:
    """Break a line into several, by cells; ellipses show that the text continues."""
    cells: list[tuple[str, int, bool]] = [("… ", 2, False)] if before else []
    at = 0
    for cluster in clusters(text):
        cells.append((cluster, cluster_width(cluster), at in bold))
        at += len(cluster)
    for number in range(lines):
        if not cells:
            return
        last = number == lines - 1
        fits = _count_that_fit(cells, columns)
        if fits < len(cells):
            if last:
                fits = _count_that_fit(cells, columns - 1)
            elif cells[fits][0] != " ":
                spaces = [n for n in range(fits) if cells[n][0] == " "]
                fits = spaces[-1] if spaces and spaces[-1] > fits // 2 else fits
        line, cells = cells[:fits], cells[fits:]
        while cells and cells[0][0] == " ":
            cells.pop(0)
        cut = last and (bool(cells) or more)
        yield _joined(line, marked=marked).rstrip() + ("…" if cut else "")


def _count_that_fit(cells: list[tuple[str, int, bool]], columns: int) -> int:
    used = 0
    for number, (_, cell_width, _) in enumerate(cells):
        used += cell_width
        if used > columns:
            return max(1, number)
    return len(cells)


def _joined(cells: list[tuple[str, int, bool]], *, marked: bool) -> str:
    if not marked:
        return "".join(cluster for cluster, _, _ in cells)
    pieces, on = [], False
    for cluster, _, bold in cells:
        if bold != on:
            pieces.append(_MARK[0] if bold else _MARK[1])
            on = bold
        pieces.append(cluster)
    return "".join(pieces) + (_MARK[1] if on else "")
