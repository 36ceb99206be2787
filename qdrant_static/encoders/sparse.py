"""Encodes texts to the BM25 vectors of the engine, many times faster.

Terms come from the engine itself (tokenizer, stop words, stemmer): it is called once for every
whitespace-delimited chunk, which a memo (``chunkmemo``) keeps. A kernel counts the terms of each
row and weighs them:

    weight = tf (k + 1) / (tf + k (1 - b + b length / avg_len))

where ``length`` is the row's number of terms after stop words and stemming (Robertson and Zaragoza,
2009, doi:10.1561/1500000019; the IDF is applied by the engine at search).

Ids and weights are those of ``qdrant_edge.Bm25.embed_document``, to the bit, except for two terms
of one text with the same 31-bit hash (2 texts of 100 terms in a million): the engine then keeps the
count of a random one, this module adds them.
"""

from __future__ import annotations

import math
import sys
import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from qdrant_static import rules
from qdrant_static.encoders.chunkmemo import ChunkMemo, ScanBuffers
from qdrant_static.encoders.chunkscan import NO_LETTERS, ChunkScanner, ChunkTokenRows
from qdrant_static.encoders.sparsevectors import SparseQuery, SparseRows
from qdrant_static.encoders.textblocks import read_texts
from qdrant_static.encoders.threads import core_count, map_blocks
from qdrant_static.errors import ArgumentError

if TYPE_CHECKING:
    import numpy.typing as npt

    from qdrant_static.encoders.textblocks import Texts, TextSource

RepeatedTerms = Literal["sqrt", "one", "count"]
_Work: TypeAlias = "Callable[[TextSource, tuple[int, int]], Any]"
_WEIGHT_OF_COUNT: dict[str, Callable[[int], float]] = {
    "sqrt": math.sqrt,
    "one": lambda count: 1.0,
    "count": float,
}

# Where texts may be cut into chunks. Both tokenizers cut there and process each word alone: "word"
# cuts at all but letters and digits, "whitespace" at white space (checked with every code point on
# either side). "multilingual" segments by context. "prefix" and "code" pass the same check, but
# their processing of a word is not documented.
_SEPARATORS = {
    "word": NO_LETTERS,
    "whitespace": b" \t\n\r",
}
TOKENIZERS = ("code", "multilingual", "prefix", "whitespace", "word")

DEFAULT_AVG_LEN = 256.0
"""The default of the engine."""

_FEW_ROWS = 64
"""Up to this number of rows the engine itself is used until Numba is loaded (0.3 s and more)."""

_ROWS_PER_THREAD = 256


@dataclass(slots=True, eq=False)
class _Scratch:
    """Buffers of one thread, kept between blocks: new memory takes longer than its use."""

    workspace: ScanBuffers = field(default_factory=ScanBuffers)
    slots: npt.NDArray[np.uint64] = field(default_factory=lambda: np.zeros(0, np.uint64))
    indices: npt.NDArray[np.uint32] = field(default_factory=lambda: np.empty(0, np.uint32))
    values: npt.NDArray[np.float32] = field(default_factory=lambda: np.empty(0, np.float32))

    def make_room(self, n_terms: int, n_slots: int) -> None:
        if len(self.indices) < n_terms:
            self.indices, self.values = np.empty(n_terms, np.uint32), np.empty(n_terms, np.float32)
        if len(self.slots) < n_slots:
            self.slots = np.zeros(n_slots, np.uint64)


class Bm25Encoder:
    """BM25 vectors of documents and queries, with the terms and weights of the engine.

    Args:
        avg_len: Mean number of terms of a document, after stop words and stemming; measure it with
            ``mean_length``. The mean number of words is a third too high and costs up to 6% of
            NDCG.
        language: Of stop words and stemmer, as the engine names it ("english", "de"); None for
            neither.
        k: Saturation of term frequency, at least 0.
        b: Weight of the length, 0 to 1.
        tokenizer: "word" (letters and digits), "whitespace", "prefix", "multilingual" or "code".
            The first two are fast; the others call the engine for every text.
        stopwords: Stop words instead of the language's own; None for those.
        lowercase: Whether case is ignored.
        ascii_folding: Whether accents are removed.
        min_token_len: Shorter terms are dropped; None for all.
        max_token_len: Longer terms are dropped; None for all.
        max_bytes: The most memory of the memo, in bytes.

    Raises:
        ArgumentError: A value is out of its range, or the engine does not know the language.
    """

    def __init__(
        self,
        *,
        avg_len: float = DEFAULT_AVG_LEN,
        language: str | None = "english",
        k: float = 1.2,
        b: float = 0.75,
        tokenizer: str = "word",
        stopwords: Collection[str] | None = None,
        lowercase: bool = True,
        ascii_folding: bool = False,
        min_token_len: int | None = None,
        max_token_len: int | None = None,
        max_bytes: int = 64 << 20,
    ) -> None:
        _check("avg_len", avg_len, 0 < avg_len < math.inf, "finite and above 0")
        _check("k", k, 0 <= k < math.inf, "finite and at least 0")
        _check("b", b, 0 <= b <= 1, "0 to 1")
        _check("tokenizer", tokenizer, tokenizer in TOKENIZERS, ", ".join(TOKENIZERS))
        _check("stopwords", stopwords, not isinstance(stopwords, str), "a collection of words")
        self._k, self._b, self._avg_len = float(k), float(b), float(avg_len)
        from qdrant_static.encoders.bm25engine import EngineBm25

        self._engine = EngineBm25(
            k=self._k,
            b=self._b,
            avg_len=self._avg_len,
            language=language,
            tokenizer=tokenizer,
            stopwords=stopwords,
            lowercase=lowercase,
            ascii_folding=ascii_folding,
            min_token_len=min_token_len,
            max_token_len=max_token_len,
        )
        self._fast = tokenizer in _SEPARATORS and sys.byteorder == "little"
        self._scanner = ChunkScanner(
            ChunkMemo(self._engine.terms, max_bytes=max_bytes),
            self._engine.terms,
            separators=_SEPARATORS.get(tokenizer, b" "),
        )
        self._local = threading.local()

    def encode_documents(self, texts: Texts, *, threads: int | None = None) -> SparseRows:
        """Encode documents.

        Args:
            texts: Strings, or an Arrow array of strings; a null is an empty text.
            threads: How many to use; None for one per available core.

        Raises:
            TextInputError: A row is no text, or the input is a single string.
        """
        source = read_texts(texts)
        parts = self._over_blocks(source, threads, self._weigh_block, self._weigh_plainly)
        sizes = [np.zeros(1, np.int64), *(sizes for _, _, sizes, _ in parts)]
        return SparseRows(
            indices=np.concatenate([np.empty(0, np.uint32), *(part[0] for part in parts)]),
            values=np.concatenate([np.empty(0, np.float32), *(part[1] for part in parts)]),
            pointers=np.cumsum(np.concatenate(sizes)),
            n_terms=sum(part[3] for part in parts),
        )

    def encode_query(self, text: str, *, repeated_terms: RepeatedTerms = "sqrt") -> SparseQuery:
        """Encode a query.

        Args:
            text: The query.
            repeated_terms: Weight of a term that is repeated: the square root of its count, 1
                (as in the engine), or its count. On long queries the square root improves NDCG by
                up to 18% (CISI .329 to .387), and makes no difference on short ones.
        """
        valid = ", ".join(_WEIGHT_OF_COUNT)
        _check("repeated_terms", repeated_terms, repeated_terms in _WEIGHT_OF_COUNT, valid)
        _check("text", text, isinstance(text, str), "a string")
        weight = _WEIGHT_OF_COUNT[repeated_terms]
        # Some tokenizers treat queries unlike documents: the ids are those of the query.
        ids = sorted(self._engine.query_terms(text))
        counts = {} if repeated_terms == "one" else self._engine.counts(text)
        return SparseQuery(
            indices=np.array(ids, np.uint32),
            values=np.array([weight(counts.get(i, 1)) for i in ids], np.float32),
        )

    def mean_length(self, texts: Texts, *, threads: int | None = None) -> float:
        """Return the mean number of terms after stop words and stemming, for ``avg_len``.

        Args:
            texts: Strings, or an Arrow array of strings; a sample of a few thousand is enough.
            threads: How many to use; None for one per available core.

        Returns:
            The mean; 0.0 without texts.
        """
        lengths = self.lengths(texts, threads=threads)
        return float(lengths.mean()) if len(lengths) else 0.0

    def lengths(self, texts: Texts, *, threads: int | None = None) -> npt.NDArray[np.int64]:
        """Return the number of terms of each text, after stop words and stemming.

        Args:
            texts: Strings, or an Arrow array of strings; a null is an empty text.
            threads: How many to use; None for one per available core.

        Returns:
            int64 (n,).
        """
        source = read_texts(texts)
        parts = self._over_blocks(source, threads, self._count_block, self._count_plainly)
        return np.concatenate([np.zeros(0, np.int64), *parts])

    def _over_blocks(
        self, source: TextSource, threads: int | None, by_memo: _Work, plainly: _Work
    ) -> list[Any]:
        rules.check_integer("threads", threads, optional=True)
        loaded = "qdrant_static.encoders.sparsekernels" in sys.modules
        few = len(source) <= _FEW_ROWS and not loaded
        work = by_memo if self._fast and not few else plainly
        ranges = list(source.ranges())
        workers = min(threads or core_count(), -(-len(source) // _ROWS_PER_THREAD))
        if workers > 1:
            # Smaller blocks: the threads then end at nearly the same time.
            ranges = [part for span in ranges for part in _parts(*span)]
        return map_blocks(partial(work, source), ranges, workers)

    def _scan(self, source: TextSource, rows: tuple[int, int]) -> ChunkTokenRows:
        block = source.block(*rows)
        return self._scanner.scan(block.data, block.starts, block.stops, self._scratch().workspace)

    def _scratch(self) -> _Scratch:
        if not hasattr(self._local, "scratch"):
            self._local.scratch = _Scratch()
        scratch: _Scratch = self._local.scratch
        return scratch

    def _weigh_block(self, source: TextSource, rows: tuple[int, int]) -> tuple[Any, Any, Any, int]:
        from qdrant_static.encoders import sparsekernels as kernels

        terms = self._scan(source, rows)
        n_terms, longest = int(terms.counts.sum()), int(terms.counts.max(initial=0))
        scratch = self._scratch()
        scratch.make_room(n_terms + 1, kernels.ROOM * longest + 64)
        sizes = np.empty(len(terms.counts), np.int64)
        end = kernels.weigh(
            terms.ids.view(np.uint32),
            terms.starts,
            terms.counts,
            self._k,
            self._b,
            self._avg_len,
            scratch.slots,
            scratch.indices,
            scratch.values,
            sizes,
        )
        return scratch.indices[:end].copy(), scratch.values[:end].copy(), sizes, n_terms

    def _weigh_plainly(
        self, source: TextSource, rows: tuple[int, int]
    ) -> tuple[Any, Any, Any, int]:
        block = source.block(*rows)
        texts = [block.text(row) for row in range(len(block))]
        vectors = [self._engine.document(text) for text in texts]
        sizes = np.array([len(vector.indices) for vector in vectors], np.int64)
        total = int(sizes.sum())
        return (
            np.fromiter((i for vector in vectors for i in vector.indices), np.uint32, total),
            np.fromiter((v for vector in vectors for v in vector.values), np.float32, total),
            sizes,
            sum(sum(self._engine.counts(text).values()) for text in texts),
        )

    def _count_block(self, source: TextSource, rows: tuple[int, int]) -> npt.NDArray[np.int64]:
        return self._scan(source, rows).counts.copy()  # the workspace is reused

    def _count_plainly(self, source: TextSource, rows: tuple[int, int]) -> npt.NDArray[np.int64]:
        block = source.block(*rows)
        texts = (block.text(row) for row in range(len(block)))
        return np.array([sum(self._engine.counts(text).values()) for text in texts], np.int64)


def _check(name: str, value: object, valid: bool, choices: str) -> None:
    if not valid:
        raise ArgumentError.of_choice(name, value, choices)


def _parts(start: int, stop: int) -> list[tuple[int, int]]:
    bounds = [*range(start, stop, _ROWS_PER_THREAD), stop]
    return list(pairwise(bounds))
