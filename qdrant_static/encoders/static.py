"""StaticEncoder: a table of token vectors and a tokenizer, at memory speed.

A text's vector is the mean (or sum) of its tokens' vectors. What remains to be fast at is turning
text into token ids (``routes``) and adding up rows of the table (``pooling``).
"""

from __future__ import annotations

import copy
import json
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from qdrant_static import rules
from qdrant_static.encoders.base import EncoderInfo
from qdrant_static.encoders.chunklearn import SAMPLE
from qdrant_static.encoders.cores import core_count
from qdrant_static.encoders.modelparts import check_parts, check_tokenizer
from qdrant_static.encoders.routes import (
    PlainTokens,
    Route,
    RouteChoice,
    TokenRules,
    choose_route,
    unknown_id,
)
from qdrant_static.encoders.statistics import EncodingStatistics, observe
from qdrant_static.encoders.text import TextBlock, TextSource, read_texts, with_prompt
from qdrant_static.encoders.tokens import TokenRows
from qdrant_static.errors import ArgumentError
from qdrant_static.vectors import fingerprint

if TYPE_CHECKING:
    import numpy.typing as npt
    from tokenizers import Tokenizer

    from qdrant_static.encoders.text import Texts

    Vectors = npt.NDArray[np.float32]

_FEW_ROWS = 64
_SHORT_TEXT = 2048
_NO_NORMS = np.empty(0, np.float32)
_PLAIN_CHARACTERS = 1 << 20
"""So much text takes the plain route before Numba is loaded: at 3.5 MB/s it costs 0.3 s, about what
loading Numba and its cached kernels costs. Whatever is asked, at most twice the least is spent."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EncodedBatch:
    """Vectors of texts.

    Attributes:
        vectors: Width -> float32 (n, width); the full width is always among them.
        statistics: What was seen on the way, if asked for.
    """

    vectors: dict[int, Vectors]
    statistics: EncodingStatistics | None


class StaticEncoder:
    """A static embedding model.

    It can be copied and pickled: a process that gets one loads nothing again.

    Args:
        table: float32, float16, float64 or int8 (tokens, dim). float32 and int8 tables are read
            where they lie (a memory map, for instance); others are converted to float32 once.
        tokenizer: The tokenizer; it is copied, its truncation and padding are not used.
        name: What `load_encoder` takes to load it again; for messages and ``info``.
        revision: The commit of the hub's repository, where it is known.
        normalize: Divide vectors by their norm.
        max_length: Cut texts to so many tokens; None for no limit.
        max_characters: Cut texts to so many characters first; None for no limit.
        weights: Float (ids,), a factor for every token id.
        token_mapping: Integer (ids,), from token id to row of the table.
        keep_unknown: Pool the unknown token too (sentence-transformers) or leave it out
            (model2vec).
        pooling: "mean" or "sum".
        prompt: What is put before every text.

    Raises:
        InvalidModelError: The parts do not fit together.
        ArgumentError: ``pooling`` or ``max_length`` is none of the valid values.
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
    ) -> None:
        if pooling not in ("mean", "sum"):
            raise ArgumentError.of_choice(name="pooling", value=pooling, valid="'mean', 'sum'")
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
        self._dtype = table.dtype.name
        self._table, self._mapping, self._weights = check_parts(
            table, token_mapping, weights, n_ids, name
        )
        rules = TokenRules(
            unknown_id=unknown_id(tokenizer),
            drop_unknown=not keep_unknown,
            max_characters=max_characters,
            max_length=max_length,
        )
        self._name = name
        self._revision = revision
        self._normalize = normalize
        self._pooling = pooling
        self._prompt = prompt
        self._plain = PlainTokens(tokenizer, rules)
        self._choice: RouteChoice = choose_route(tokenizer)
        self._start()

    def __getstate__(self) -> dict[str, Any]:
        """Return all but what belongs to this process: kernels, buffers and a lock."""
        own = ("_route", "_loading", "_workspaces", "_plain_characters")
        return {name: value for name, value in self.__dict__.items() if name not in own}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        for part in (self._table, self._mapping, self._weights):
            part.flags.writeable = False
        self._start()

    def __deepcopy__(self, memo: dict[int, Any]) -> StaticEncoder:
        """Return a copy that shares the arrays: nobody can write to them."""
        return copy.copy(self)

    def _start(self) -> None:
        """Begin without kernels and buffers."""
        self._route: Route | None = None
        self._loading = threading.Lock()
        self._workspaces: list[Any] = []
        self._plain_characters = 0

    @cached_property
    def info(self) -> EncoderInfo:
        """What the encoder is, and how it works."""
        rules = self._plain.rules
        return EncoderInfo(
            name=self._name,
            dimension=self._table.shape[1],
            revision=self._revision,
            fingerprint=self._fingerprint(),
            route=self._choice.name,
            reason=self._choice.reason,
            normalized=self._normalize,
            max_length=rules.max_length,
            pooling=self._pooling,
            dtype=self._dtype,
        )

    @property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer, without truncation and padding; not to be changed."""
        return self._plain.tokenizer

    @property
    def max_characters(self) -> int | None:
        """Texts are cut to so many characters before anything else; None for no limit."""
        return self._plain.rules.max_characters

    @property
    def prompt(self) -> str:
        """What is put before every text."""
        return self._prompt

    def _fingerprint(self) -> str:
        """Digest what decides the vectors.

        The tokenizer counts by its vocabulary and by what it does to a sample of awkward texts,
        not by its definition: libraries write that differently from version to version, and a
        collection must outlive them.
        """
        tokens, rules = self._plain, self._plain.rules
        vocabulary = sorted(tokens.tokenizer.get_vocab(with_added_tokens=True).items())
        return fingerprint(
            "static",
            json.dumps([vocabulary, tokens.all_ids(list(SAMPLE))]),
            f"{rules.max_characters} {rules.max_length} {rules.drop_unknown} {rules.unknown_id} "
            f"{self._normalize} {self._pooling}",
            self._table,
            self._mapping,
            self._weights,
            *([f"prompt {self._prompt}"] if self._prompt else []),
        )

    def encode(self, texts: Texts, *, threads: int | None = None) -> Vectors:
        """Encode texts.

        Args:
            texts: A sequence of str, or a pyarrow array (see ``text.read_texts``). A null in an
                Arrow array is an empty text; a text without tokens gives zeros.
            threads: How many; None for as many as the process has cores. Never affects the result.

        Returns:
            float32 (n, dim).

        Raises:
            TextInputError: A text cannot be encoded; names its row.
        """
        if type(texts) is list and len(texts) == 1 and type(texts[0]) is str:
            vector = self._encode_one(self._prompt + texts[0])
            if vector is not None:
                return vector
        return self.encode_batch(texts, threads=threads).vectors[self._table.shape[1]]

    def encode_batch(
        self,
        texts: Texts,
        *,
        sizes: Sequence[int] = (),
        threads: int | None = None,
        statistics: bool = False,
    ) -> EncodedBatch:
        """Encode texts to several widths in one pass.

        Args:
            texts: As for ``encode``.
            sizes: Widths besides the full one: vectors cut to their first dimensions and normalized
                again (Matryoshka).
            threads: As for ``encode``.
            statistics: Also return what was seen on the way.

        Raises:
            TextInputError: A text cannot be encoded; names its row.
            ArgumentError: A size or the number of threads is not valid.
        """
        dim = self._table.shape[1]
        for size in sizes:
            if not 1 <= size <= dim:
                raise ArgumentError.of_choice(name="sizes", value=size, valid=f"1 to {dim}")
        rules.check_integer("threads", threads, optional=True)
        source = self._read(texts)
        vectors = {width: np.empty((len(source), width), np.float32) for width in (dim, *sizes)}
        if self._stays_plain(source):
            tokens = self._plain_tokens(source)
            norms = self._pool_plain(tokens, vectors)
            return EncodedBatch(
                vectors=vectors, statistics=observe(tokens, norms) if statistics else None
            )
        self._load()

        def work(span: tuple[int, int]) -> EncodingStatistics | None:
            return self._encode_block(source.block(*span), vectors, statistics)

        seen = _for_each(work, source, threads)
        total = sum((part for part in seen if part is not None), EncodingStatistics())
        return EncodedBatch(vectors=vectors, statistics=total if statistics else None)

    def tokenize(self, texts: Texts) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
        """Return the token ids that are pooled.

        Returns:
            int32 (tokens,), the ids of all rows; int64 (n + 1,), where each row begins and ends.
        """
        source = self._read(texts)
        self._load()
        counts, ids = [np.zeros(1, np.int64)], [np.zeros(0, np.int32)]
        for span in source.ranges():
            with _Borrowed(self) as workspace:
                found = self._scan(source.block(*span), workspace)
                counts.append(found.counts)
                at = np.arange(int(found.counts.sum())) + np.repeat(
                    found.starts - (np.cumsum(found.counts) - found.counts), found.counts
                )
                ids.append(found.ids[at])
        return np.concatenate(ids), np.cumsum(np.concatenate(counts))

    def _read(self, texts: Texts) -> TextSource:
        prompted = with_prompt(texts, self._prompt) if self._prompt else texts
        return read_texts(prompted, max_characters=self._plain.rules.max_characters)

    def compile_kernels(self, on_start: Callable[[str], None] | None = None) -> None:
        """Load and, where no cache has them, compile the kernels now.

        Args:
            on_start: Is told what is about to be done, for a progress display.
        """
        if on_start is not None:
            on_start(
                "loading the encoder's kernels (the first time on a machine they are compiled)"
            )
        self._load()
        self._encode_kernels(["a", "\u00e9"], statistics=True)

    def _encode_kernels(self, texts: list[str], *, statistics: bool) -> None:
        dim = self._table.shape[1]
        vectors = {width: np.empty((len(texts), width), np.float32) for width in (dim, 1)}
        self._encode_block(read_texts(texts).block(0, len(texts)), vectors, statistics)

    def _load(self) -> None:
        """Load Numba and make the route."""
        if self._route is None:
            with self._loading:
                if self._route is None:
                    self._route = self._choice.build(self._plain)

    def _stays_plain(self, source: TextSource) -> bool:
        """Whether so little was asked so far that loading Numba would cost more."""
        if self._route is not None or len(source) > _FEW_ROWS:
            return False
        ranges = list(source.ranges())
        if len(ranges) > 1:
            return False
        for span in ranges:
            block = source.block(*span)
            self._plain_characters += int((block.stops - block.starts).sum())
        return self._plain_characters <= _PLAIN_CHARACTERS

    def _plain_tokens(self, source: TextSource) -> TokenRows:
        texts: list[str] = []
        for span in source.ranges():
            block = source.block(*span)
            texts += [block.text(row) for row in range(len(block))]
        return self._plain.rows(texts)

    def _pool_plain(self, tokens: TokenRows, vectors: dict[int, Vectors]) -> Vectors:
        """Pool in NumPy; returns the norms, float32 (n,)."""
        dim = self._table.shape[1]
        norms = np.zeros(len(tokens.counts), np.float32)
        for row, (start, count) in enumerate(zip(tokens.starts, tokens.counts, strict=True)):
            vector, norm = self._pool_one(tokens.ids[start : start + count])
            norms[row] = norm
            for width, out in vectors.items():
                part = vector[:width]
                length = 1.0 if width == dim else float(np.sqrt(part @ part))
                out[row] = part / length if length > 0 else part
        return norms

    def _pool_one(self, ids: npt.NDArray[np.int32]) -> tuple[Vectors, float]:
        """Return one vector, float32 (dim,), and its norm before normalization."""
        rows = self._table[self._mapping[ids] if len(self._mapping) else ids]
        if len(self._weights):
            rows = rows * self._weights[ids, None]
        # The order and precision of the kernels.
        exact = np.float64 if self._table.dtype == np.int8 else np.float32
        vector = np.add.reduce(rows, axis=0, dtype=exact)
        if self._pooling == "mean" and len(ids):
            vector = vector / np.float32(len(ids))
        vector = vector.astype(np.float32, copy=False)
        norm = float(np.sqrt(vector @ vector))
        return (vector / np.float32(norm) if self._normalize and norm > 0 else vector), norm

    def _encode_one(self, text: str) -> Vectors | None:
        """Encode one text with no thread and no lock; None if the general way must do it.

        Before Numba is loaded the tokenizer answers (20 to 30 us for ten words), and one query
        after the other never loads it; afterwards the kernel does (10 us).
        """
        scan_one = getattr(self._route, "scan_one", None)
        try:
            if scan_one is None:
                if self._route is not None or len(text) > _SHORT_TEXT:
                    return None
                return self._pool_one(self._plain.ids(text)[0])[0][None]
            raw = text.encode()
        except (UnicodeEncodeError, TypeError):
            return None  # the general way says what is wrong
        if len(raw) > _SHORT_TEXT:
            return None
        with _Borrowed(self) as workspace:
            tokens = scan_one(raw, workspace)
            if tokens is None:
                return None
            out = np.empty((1, self._table.shape[1]), np.float32)
            self._pool(tokens, out, _NO_NORMS)
        return out

    def _scan(self, block: TextBlock, workspace: Any) -> TokenRows:
        route = cast("Route", self._route)  # _load came first
        try:
            return route.scan(block, workspace)
        except UnicodeDecodeError:
            for row in range(len(block)):
                block.text(row)
            raise

    def _encode_block(
        self, block: TextBlock, vectors: dict[int, Vectors], statistics: bool
    ) -> EncodingStatistics | None:
        from qdrant_static.encoders import pooling

        dim = self._table.shape[1]
        rows = slice(block.first_row, block.first_row + len(block))
        norms = np.empty(len(block) if statistics else 0, np.float32)
        with _Borrowed(self) as workspace:
            tokens = self._scan(block, workspace)
            full = vectors[dim][rows]
            self._pool(tokens, full, norms)
        for width, out in vectors.items():
            if width != dim:
                pooling.shorten(full, out[rows])
        return observe(tokens, norms) if statistics else None

    def _pool(self, tokens: TokenRows, out: Vectors, norms: Vectors) -> None:
        from qdrant_static.encoders import pooling

        pooling.pool(
            self._table,
            self._mapping,
            self._weights,
            tokens.ids,
            tokens.starts,
            tokens.counts,
            out,
            norms,
            self._pooling == "mean",
            self._normalize,
            pooling.INT8_RUN if self._table.dtype == np.int8 else pooling.WHOLE,
        )


class _Borrowed:
    """A workspace of an encoder for as long as a block takes. Lists pop and append atomically."""

    def __init__(self, encoder: StaticEncoder) -> None:
        self._encoder = encoder

    def __enter__(self) -> Any:
        try:
            self._workspace = self._encoder._workspaces.pop()
        except IndexError:
            route = self._encoder._route
            self._workspace = None if route is None else route.new_workspace()
        return self._workspace

    def __exit__(self, *_: object) -> None:
        self._encoder._workspaces.append(self._workspace)


def _for_each(
    work: Callable[[tuple[int, int]], EncodingStatistics | None],
    source: TextSource,
    threads: int | None,
) -> list[EncodingStatistics | None]:
    """Run blocks in threads; results come in the order of the blocks."""
    threads = core_count() if threads is None else threads
    spans = list(source.ranges(max(16, -(-len(source) // (4 * threads))) if threads > 1 else None))
    threads = min(threads, len(spans))
    if threads <= 1:
        return [work(span) for span in spans]
    with ThreadPoolExecutor(threads, thread_name_prefix="encode") as pool:
        return list(pool.map(work, spans))
