"""StaticEncoder: a table of token vectors and a tokenizer.

A text's vector is the mean (or sum) of the vectors of its tokens, so that encoding has two parts:
text to ids (``lazytokenizer``, ``tokenroutes``), and adding up rows (``tokentable``, ``pooling``).
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from qdrant_static import rules
from qdrant_static.encoders.base import EncoderInfo
from qdrant_static.encoders.chunktokenizer import SAMPLE
from qdrant_static.encoders.lazytokenizer import LazyTokenizer
from qdrant_static.encoders.modelfiles import check_tokenizer
from qdrant_static.encoders.statistics import EncodedTexts, EncodingStatistics, observe
from qdrant_static.encoders.textblocks import TextBlock, TextSource, read_texts, with_prompt
from qdrant_static.encoders.threads import core_count, map_blocks
from qdrant_static.encoders.tokenroutes import TokenRules, unknown_id
from qdrant_static.encoders.tokentable import TokenTable
from qdrant_static.errors import ArgumentError
from qdrant_static.vectors import fingerprint

if TYPE_CHECKING:
    import numpy.typing as npt
    from tokenizers import Tokenizer

    from qdrant_static.encoders.textblocks import Texts

    Vectors = npt.NDArray[np.float32]


class StaticEncoder:
    """A static embedding model.

    It can be copied and pickled; a process that receives one need not load its files.

    Args:
        table: float32, float16, float64 or int8 (tokens, dim); see `TokenTable`.
        tokenizer: The tokenizer; it is copied, without truncation and padding.
        name: The name that `load_encoder` loads it by again; for messages and ``info``.
        revision: The commit of the hub's repository, if known.
        normalize: Divide vectors by their norm.
        max_length: Cut texts to this number of tokens; None for no limit.
        max_characters: Cut texts to this number of characters first; None for no limit.
        weights: Float (ids,), a factor for every token id.
        token_mapping: Integer (ids,), from token id to row of the table.
        keep_unknown: Pool the unknown token too (sentence-transformers) or leave it out
            (model2vec).
        pooling: "mean" or "sum".
        prompt: The text that is put before every text.
        fitted_to: Fingerprints of the encoders that it was fitted to.

    Raises:
        InvalidModelError: The parts do not fit together.
        ArgumentError: ``pooling``, ``max_length`` or ``max_characters`` is not valid.
    """

    def __init__(
        self,
        *,
        table: npt.NDArray[Any],
        tokenizer: Tokenizer,
        name: str,
        revision: str | None = None,
        normalize: bool,
        max_length: int | None = None,
        max_characters: int | None = None,
        weights: npt.NDArray[Any] | None = None,
        token_mapping: npt.NDArray[Any] | None = None,
        keep_unknown: bool = False,
        pooling: str = "mean",
        prompt: str = "",
        fitted_to: tuple[str, ...] = (),
    ) -> None:
        for argument, value in (("max_length", max_length), ("max_characters", max_characters)):
            if value is not None and value < 0:
                raise ArgumentError.of_choice(
                    name=argument, value=value, valid="0 or more, or None"
                )
        tokenizer = type(tokenizer).from_str(tokenizer.to_str())
        tokenizer.no_truncation()
        tokenizer.no_padding()
        check_tokenizer(tokenizer, name)
        n_ids = max(tokenizer.get_vocab(with_added_tokens=True).values(), default=-1) + 1
        self._table = TokenTable(
            table, token_mapping, weights,
            pooling=pooling, normalize=normalize, n_ids=n_ids, name=name,
        )  # fmt: skip
        self._tokens = LazyTokenizer(
            tokenizer,
            TokenRules(
                unknown_id=unknown_id(tokenizer),
                drop_unknown=not keep_unknown,
                max_characters=max_characters,
                max_length=max_length,
            ),
        )
        self._name, self._revision, self._prompt = name, revision, prompt
        self._fitted_to = fitted_to

    def __deepcopy__(self, memo: dict[int, Any]) -> StaticEncoder:
        """Return a copy that shares the arrays, which are read-only."""
        return copy.copy(self)

    @cached_property
    def info(self) -> EncoderInfo:
        """Name, dimension, fingerprint, and how the encoder works."""
        table, choice = self._table, self._tokens.choice
        return EncoderInfo(
            name=self._name,
            dimension=table.dimension,
            revision=self._revision,
            fingerprint=self._fingerprint(),
            route=choice.name,
            reason=choice.reason,
            normalized=table.normalize,
            max_length=self._tokens.plain.rules.max_length,
            pooling=table.pooling,
            dtype=table.dtype,
            fitted_to=self._fitted_to,
        )

    @property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer, without truncation and padding; do not change it."""
        return self._tokens.plain.tokenizer

    @property
    def token_table(self) -> TokenTable:
        """The table of token vectors."""
        return self._table

    @property
    def max_characters(self) -> int | None:
        """Texts are cut to this number of characters first; None for no limit."""
        return self._tokens.plain.rules.max_characters

    @property
    def prompt(self) -> str:
        """The text that is put before every text."""
        return self._prompt

    def _fingerprint(self) -> str:
        """Digest what decides the vectors.

        Of the tokenizer these are its vocabulary and the token ids of a sample of difficult texts,
        not its definition: libraries serialize that differently from version to version, and the
        fingerprint of a collection must stay valid.
        """
        table, plain, rules = self._table, self._tokens.plain, self._tokens.plain.rules
        vocabulary = sorted(plain.tokenizer.get_vocab(with_added_tokens=True).items())
        return fingerprint(
            "static",
            json.dumps([vocabulary, plain.all_ids(list(SAMPLE))]),
            f"{rules.max_characters} {rules.max_length} {rules.drop_unknown} {rules.unknown_id} "
            f"{table.normalize} {table.pooling}",
            table.table,
            table.mapping,
            table.weights,
            *([f"prompt {self._prompt}"] if self._prompt else []),
        )

    def encode(self, texts: Texts, *, threads: int | None = None) -> Vectors:
        """Encode texts.

        Args:
            texts: A sequence of str, or a pyarrow array (see ``textblocks.read_texts``). A null in
                an Arrow array is an empty text; a text without tokens gives zeros.
            threads: How many to use; None for one per available core. The result does not depend
                on it.

        Returns:
            float32 (n, dim).

        Raises:
            TextInputError: A text cannot be encoded; names its row.
        """
        if type(texts) is list and len(texts) == 1 and type(texts[0]) is str:
            vector = self._encode_one(self._prompt + texts[0])
            if vector is not None:
                return vector
        return self.encode_batch(texts, threads=threads).vectors[self._table.dimension]

    def encode_batch(
        self,
        texts: Texts,
        *,
        sizes: Sequence[int] = (),
        threads: int | None = None,
        statistics: bool = False,
    ) -> EncodedTexts:
        """Encode texts to several widths in one pass.

        Args:
            texts: As for ``encode``.
            sizes: Widths besides the full one: vectors cut to their first dimensions and normalized
                again (Matryoshka).
            threads: As for ``encode``.
            statistics: Also return statistics of the texts.

        Raises:
            TextInputError: A text cannot be encoded; names its row.
            ArgumentError: A size or the number of threads is not valid.
        """
        dim = self._table.dimension
        for size in sizes:
            if not 1 <= size <= dim:
                raise ArgumentError.of_choice(name="sizes", value=size, valid=f"1 to {dim}")
        rules.check_integer("threads", threads, optional=True)
        source = self._read(texts)
        vectors = {width: np.empty((len(source), width), np.float32) for width in (dim, *sizes)}
        tokens = self._tokens.few_rows(source)
        if tokens is not None:
            norms = self._table.pool_few(tokens, vectors)
            return EncodedTexts(
                vectors=vectors, statistics=observe(tokens, norms) if statistics else None
            )
        self._tokens.load()

        def work(span: tuple[int, int]) -> EncodingStatistics | None:
            return self._encode_block(source.block(*span), vectors, statistics)

        threads = core_count() if threads is None else threads
        rows = max(16, -(-len(source) // (4 * threads))) if threads > 1 else None
        spans = list(source.ranges(rows))
        seen = map_blocks(work, spans, min(threads, len(spans)))
        total = sum((part for part in seen if part is not None), EncodingStatistics())
        return EncodedTexts(vectors=vectors, statistics=total if statistics else None)

    def tokenize(self, texts: Texts) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
        """Return the token ids that are pooled.

        Returns:
            int32 (tokens,), the ids of all rows; int64 (n + 1,), where each row begins and ends.
        """
        return self._tokens.all_ids(self._read(texts))

    def _read(self, texts: Texts) -> TextSource:
        prompted = with_prompt(texts, self._prompt) if self._prompt else texts
        return read_texts(prompted, max_characters=self.max_characters)

    def compile_kernels(self, on_start: Callable[[str], None] | None = None) -> None:
        """Load and, where no cache has them, compile the kernels now.

        Args:
            on_start: Called with a line for a progress display before the work begins.
        """
        if on_start is not None:
            on_start("loading the encoder's kernels (compiled at the first use on a machine)")
        self._tokens.load()
        texts = ["a", "\u00e9"]
        dim = self._table.dimension
        vectors = {width: np.empty((len(texts), width), np.float32) for width in (dim, 1)}
        self._encode_block(read_texts(texts).block(0, len(texts)), vectors, statistics=True)

    def _encode_one(self, text: str) -> Vectors | None:
        """Encode one text without a thread or a lock; None if `encode_batch` must do it.

        Before Numba is loaded the tokenizer answers, and a series of queries never loads it;
        afterwards the kernel does.
        """
        try:
            ids = self._tokens.one_plain(text)
            if ids is not None:
                return self._table.pool_one(ids)[0][None]
            with self._tokens.borrowed() as workspace:
                tokens = self._tokens.one_scan(text, workspace)
                if tokens is None:
                    return None
                out = np.empty((1, self._table.dimension), np.float32)
                self._table.pool(tokens, out)
        except (UnicodeEncodeError, TypeError):
            return None  # `encode_batch` raises an error that names the row
        return out

    def _encode_block(
        self, block: TextBlock, vectors: dict[int, Vectors], statistics: bool
    ) -> EncodingStatistics | None:
        from qdrant_static.encoders import pooling

        dim = self._table.dimension
        rows = slice(block.first_row, block.first_row + len(block))
        norms = np.empty(len(block) if statistics else 0, np.float32)
        with self._tokens.borrowed() as workspace:
            tokens = self._tokens.scan(block, workspace)
            full = vectors[dim][rows]
            self._table.pool(tokens, full, norms)
            seen = observe(tokens, norms) if statistics else None
        for width, out in vectors.items():
            if width != dim:
                pooling.shorten(full, out[rows])
        return seen
