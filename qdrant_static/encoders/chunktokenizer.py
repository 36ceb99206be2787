"""Asks a tokenizer for the token ids of chunks, with the context that a `ChunkRule` prescribes.

Where separators belong to chunks, the scan distinguishes three kinds:

* 0, after a single or first space, which is not part of the chunk's text: the tokenizer gets
  ``"a" + " " + chunk``;
* 1, at the start of a text, separators included: it gets the chunk alone;
* 2, after another separator, which is included: it gets ``"a" + chunk``.

The tokens of the context word "a" are removed from the result. Where separators are dropped, all
chunks are of kind 0, and the tokenizer gets them alone.
"""

from __future__ import annotations

import json
import re
import unicodedata
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from qdrant_static.encoders.chunkmemo import ChunkMemo, LearnedChunks, flatten
from qdrant_static.encoders.chunkrules import SPACE_SYMBOL, ChunkRule, prove
from qdrant_static.encoders.chunkscan import ChunkScanner

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tokenizers import Tokenizer

CONTEXT = "a"

# ruff: noqa: E501 - escapes are longer than what they stand for
SAMPLE = (
    "The cell membrane of E. coli (0.5 \u00b5m) doesn't bind IL-2; see https://example.org/a?b=1#c.",
    " leading,  two   three    four spaces and trailing  ",
    "tabs\there\t\tand\nlines\n\n\tindented \n mixed\r\nends\n",
    "na\u00efve caf\u00e9 co\u00f6perate \u00c5ngstr\u00f6m \u0130stanbul stra\u00dfe e\u0301tude \ufb01ne \u2167 \u00bd \u00a8 x\u00b2",
    "\u4f60\u597d\uff0c\u4e16\u754c \u65e5\u672c\u8a9e\u306e\u30c6\u30ad\u30b9\u30c8 \ud55c\uad6d\uc5b4 \u0627\u0644\u0639\u0631\u0628\u064a\u0629 \u0939\u093f\u0928\u094d\u0926\u0940 \u0e44\u0e17\u0e22",
    "emoji \U0001f600 \U0001f468\u200d\U0001f469\u200d\U0001f467 \u2764\ufe0f \U0001f1e9\U0001f1ea end\u00a0of \u2003 wide\u3000 blanks\u200b",
    "x",
    " ",
    "   ",
    "\n",
    "",
    "a \u0301b aaa aaaaaa ahahahah \u2581low \u2581 line\u2581 _ - -- 'tis rock'n'roll I'm they'll 1,234,567.89 100% C++",
)
"""Short, so that models load fast; difficult, so that dependent chunks show."""

_GROUP = 64
_ORDINARY = re.compile(r"[!-~]+")
_EXTENDS = re.compile("[\u200c\u200d\uff9e\uff9f\U0001f3fb-\U0001f3ff]")
# The letters among the characters that Unicode joins to the next character, even a space
# (Grapheme_Cluster_Break=Prepend); the others are format characters.
_JOINS = re.compile(
    "[\u0d4e\U000111c2\U000111c3\U0001193f\U00011941\U00011a3a\U00011a84-\U00011a89\U00011d46\U00011f02]"
)


class ChunkLearner:
    """Tokenizes chunks by the tokenizer.

    Args:
        tokenizer: The tokenizer.
        rule: ``decide(tokenizer)``.
    """

    def __init__(self, tokenizer: Tokenizer, rule: ChunkRule) -> None:
        """Read the rule and the tokenizer's vocabulary."""
        self._tokenizer = tokenizer
        self._rule = rule
        self._normalizer = tokenizer.normalizer
        self._forbidden = re.compile("|".join(map(re.escape, rule.forbidden)) or "(?!)")
        self._prefix = self.plain([CONTEXT])[0] if rule.keep_separators else []
        self._begins = np.zeros(tokenizer.get_vocab_size(with_added_tokens=True), np.bool_)
        if rule.marker:
            for token, index in tokenizer.get_vocab(with_added_tokens=False).items():
                if token.startswith(rule.marker) and index < len(self._begins):
                    self._begins[index] = True

    def plain(self, texts: list[str]) -> list[list[int]]:
        """Tokenize whole texts."""
        encoded = self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        return [encoding.ids for encoding in encoded]

    def by_kind(self, kind: int, chunks: list[str]) -> list[list[int] | None]:
        """Return the ids of chunks of one kind; None for those that cannot be tokenized alone."""
        context, prefix = "", list[int]()
        if self._rule.keep_separators and kind != 1:
            context, prefix = CONTEXT + " " * (kind == 0), self._prefix
        result: list[list[int] | None] = [None] * len(chunks)
        alone = [i for i, chunk in enumerate(chunks) if self._stands_alone(chunk)]
        for i, ids in zip(alone, self.plain([context + chunks[i] for i in alone]), strict=True):
            if ids[: len(prefix)] == prefix:
                result[i] = ids[len(prefix) :]
        return result

    def after_space(self, chunks: list[str]) -> Sequence[Sequence[int] | None] | LearnedChunks:
        """Return the ids of chunks of kind 0, many at a time.

        A call of the tokenizer takes as long as five words. Ordinary chunks are therefore joined to
        one text, and their tokens separated by the marker with which the first of each begins.
        """
        if not self._rule.marker or not self._prefix:
            return self.by_kind(0, chunks)
        ordinary = [
            _ORDINARY.fullmatch(chunk) is not None and not self._forbidden.search(chunk)
            for chunk in chunks
        ]
        if self._rule.forbidden_normalized or not any(ordinary):
            return self.by_kind(0, chunks)
        together = [chunk for chunk, easy in zip(chunks, ordinary, strict=True) if easy]
        learned = self._together(together)
        if learned is None:
            return self.by_kind(0, chunks)
        if len(together) == len(chunks):
            return learned
        rest = self.by_kind(
            0, [chunk for chunk, easy in zip(chunks, ordinary, strict=True) if not easy]
        )
        return _merged(np.array(ordinary), learned, flatten(rest))

    def _together(self, chunks: list[str]) -> LearnedChunks | None:
        groups = [chunks[i : i + _GROUP] for i in range(0, len(chunks), _GROUP)]
        rows = self.plain([f"{CONTEXT} {' '.join(group)}" for group in groups])
        n = len(self._prefix)
        if any(row[:n] != self._prefix for row in rows):
            return None
        ids = np.fromiter(chain.from_iterable(row[n:] for row in rows), np.int32)
        begins = self._begins[ids]
        ends = np.cumsum([len(row) - n for row in rows])
        # An ordinary chunk contains no marker: if there are as many as chunks, each has one.
        marks = np.concatenate(([0], np.cumsum(begins)))[ends]
        if not np.array_equal(np.diff(marks, prepend=0), [len(group) for group in groups]):
            return None
        starts = np.flatnonzero(begins)
        if starts[0] != 0 or not begins[np.concatenate(([0], ends[:-1]))].all():
            return None
        return LearnedChunks(ids=ids, counts=np.diff(starts, append=len(ids)))

    def _stands_alone(self, chunk: str) -> bool:
        rule = self._rule
        if self._forbidden.search(chunk):
            return False
        if rule.forbidden_normalized:
            form = self._normalizer.normalize_str(chunk)
            if any(content in form for content in rule.forbidden_normalized):
                return False
        word = chunk.lstrip(rule.separators)
        if not word:
            return True
        if rule.check_ends and not "!" <= word[-1] <= "~" and self._ends_in_blank(word):
            return False
        return not (rule.check_graphemes and _joins_a_space(word))

    def _ends_in_blank(self, word: str) -> bool:
        if word[-1].isspace():
            return True
        if self._normalizer is None:
            return False
        form = self._normalizer.normalize_str(f"{CONTEXT} {word}{CONTEXT}")
        return bool(form[-1:] != CONTEXT or form[-2:-1].isspace() or form[-2:-1] == SPACE_SYMBOL)


def _joins_a_space(word: str) -> bool:
    first, last = word[0], word[-1]
    return (
        unicodedata.category(first)[0] == "M"
        or unicodedata.category(first) in ("Cf", "Cc", "Cn")
        or _EXTENDS.match(first) is not None
        or unicodedata.category(last) in ("Cf", "Cc", "Cn")
        or _JOINS.match(last) is not None
    )


def _merged(chosen: np.ndarray, first: LearnedChunks, second: LearnedChunks) -> LearnedChunks:
    """Merge two sets of chunks in order; ``chosen``, bool (n,), marks the first set."""
    counts = np.empty(len(chosen), np.int64)
    counts[chosen], counts[~chosen] = first.counts, second.counts
    of_first = np.repeat(chosen, np.maximum(counts, 0))
    ids = np.empty(len(of_first), np.int32)
    ids[of_first], ids[~of_first] = first.ids, second.ids
    return LearnedChunks(ids=ids, counts=counts)


def split(text: str, rule: ChunkRule) -> Iterator[tuple[int, str]]:
    """Cut a text into (kind, chunk) as the scan does; for checks, not fast."""
    blank = f"[{re.escape(rule.separators)}]"
    word = f"[^{re.escape(rule.separators)}]"
    if not rule.keep_separators:
        yield from ((0, found) for found in re.findall(f"{word}+", text))
        return
    for place, found in enumerate(re.findall(f"{blank}+{word}*|{word}+", text)):
        if place == 0:
            yield 1, found
        elif found[0] == " ":
            yield 0, found[1:]
        else:
            yield 2, found


def tokens_by_chunk(text: str, learner: ChunkLearner, rule: ChunkRule) -> list[int] | None:
    """Return the ids of a text from its chunks; None if one cannot be tokenized alone."""
    ids: list[int] = []
    for kind, chunk in split(text, rule):
        found = learner.by_kind(kind, [chunk])[0]
        if found is None:
            return None
        ids += found
    return ids


def agrees_on_sample(tokenizer: Tokenizer, rule: ChunkRule) -> bool:
    """Return whether chunks give the tokens of whole texts on the built-in sample.

    Each line is checked whole, and without the chunks that cannot be tokenized alone.
    """
    learner = ChunkLearner(tokenizer, rule)
    texts = list(SAMPLE)
    for line in SAMPLE:
        alone = [
            chunk for _, chunk in split(line, rule) if learner.by_kind(0, [chunk])[0] is not None
        ]
        texts += [" ".join(alone), "  ".join(alone), "\n".join(alone)]
    for text, whole in zip(texts, learner.plain(texts), strict=True):
        by_chunk = tokens_by_chunk(text, learner, rule)
        if by_chunk is not None and by_chunk != whole:
            return False
    chunks = [chunk for text in texts for kind, chunk in split(text, rule) if kind == 0]
    learned = learner.after_space(chunks)
    if not isinstance(learned, LearnedChunks):
        learned = flatten(learned)
    singly = flatten(learner.by_kind(0, chunks))
    return np.array_equal(learned.ids, singly.ids) and np.array_equal(learned.counts, singly.counts)


def decide(tokenizer: Tokenizer, definition: dict[str, Any] | None = None) -> ChunkRule:
    """Decide whether chunks are independent, by proof and by a check on a sample.

    Args:
        tokenizer: The tokenizer.
        definition: Its JSON, if the caller has parsed it already.
    """
    rule = prove(tokenizer, definition or json.loads(tokenizer.to_str()))
    if rule.independent and not agrees_on_sample(tokenizer, rule):
        return ChunkRule(
            independent=False,
            reason="the self-check on a sample found other tokens than the whole text has",
        )
    return rule


def chunk_scanner(
    tokenizer: Tokenizer,
    rule: ChunkRule,
    *,
    drop: int | None = None,
    limit: int | None = None,
    max_bytes: int = 64 << 20,
) -> ChunkScanner:
    """Make the scanner of texts for a tokenizer whose chunks are independent.

    Args:
        tokenizer: The tokenizer.
        rule: ``decide(tokenizer)``, independent.
        drop: The id that is left out (the unknown token), or None.
        limit: At most this many ids per text, after leaving out; None for all.
        max_bytes: The most memory that the memo may take, in bytes.
    """
    learner = ChunkLearner(tokenizer, rule)
    memo = ChunkMemo(
        (
            learner.after_space,
            lambda chunks: learner.by_kind(1, chunks),
            lambda chunks: learner.by_kind(2, chunks),
        ),
        max_bytes=max_bytes,
    )
    return ChunkScanner(
        memo,
        learner.plain,
        separators=rule.separators.encode(),
        keep_separators=rule.keep_separators,
        drop=drop,
        limit=limit,
    )
