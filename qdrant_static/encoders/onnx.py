"""Transformers exported to ONNX, from a folder, behind the `Encoder` protocol.

A folder holds ``model.onnx`` and ``tokenizer.json``, and says in ``encoder.toml`` how its vectors
are made:

    pooling = "cls"          # or "mean"
    normalize = true
    query_prefix = "Represent this sentence for searching relevant passages: "
    passage_prefix = ""
    max_length = 512

Without this file, those of sentence-transformers are read. A folder that must not be changed is
described by a TOML file elsewhere, which names it: ``folder = "path"``.

Models with dynamic quantization (most int8 exports) scale their activations by the largest number
of the whole batch, so that a text's vector depends on the texts beside it: bge-small int8 gives the
same text vectors with a cosine of 0.988 to 0.998. They run one text at a time, so that a text has
one vector, and a collection can be verified; this costs nothing, since nothing is padded. Models
without an attention mask run so too. All others run in batches of texts of similar length.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from qdrant_static import rules
from qdrant_static.encoders.base import EncoderInfo
from qdrant_static.encoders.modelfiles import check_tokenizer, read_tokenizer
from qdrant_static.encoders.onnxmodel import OnnxModel, is_quantized_by_batch, model_files
from qdrant_static.encoders.onnxsettings import OnnxSettings, read_settings
from qdrant_static.encoders.textblocks import read_texts
from qdrant_static.encoders.threads import core_count, map_blocks
from qdrant_static.encoders.tokenbatches import token_batches
from qdrant_static.errors import ArgumentError, InvalidModelError
from qdrant_static.vectors import fingerprint, normalize

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from tokenizers import Tokenizer

    from qdrant_static.encoders.textblocks import Texts

#: Token positions in one run of the model, padding included. A run costs as much as about 27
#: positions more (bge-small in float32: 11.7 ms beside 0.43 ms a position), so that larger batches
#: save at most 5%, and have more padding.
TOKEN_BUDGET = 512


def load_onnx(
    name: str, *, threads: int | None = None, token_budget: int = TOKEN_BUDGET
) -> OnnxEncoder:
    """Load a bi-encoder from its folder; ``load_encoder("onnx:FOLDER")`` does so too.

    Args:
        name: The folder, or a TOML file that names it, with or without the prefix ``onnx:``.
        threads: Batches that run in parallel; None takes one per core.
        token_budget: Token positions of a batch, padding included.

    Raises:
        EncoderNotFoundError: If there is no such folder or file.
        InvalidModelError: If a file is missing or cannot be read, or nothing says how vectors are
            pooled.
        ArgumentError: If a setting is missing, unknown or out of range; it names the file.
    """
    name, folder, settings = read_settings(name)
    return OnnxEncoder(folder, settings, name=name, threads=threads, token_budget=token_budget)


class OnnxEncoder:
    """A transformer in ONNX Runtime that gives one vector per text.

    1. Texts are tokenized with their prefix, and cut to ``max_length`` tokens.
    2. They are sorted by length and divided into batches of a bounded number of token positions.
    3. Batches run in parallel, each in one thread.
    4. Token vectors are pooled and normalized, and put back in the order of the texts.

    Args:
        folder: It holds the model's file and ``tokenizer.json``.
        settings: How vectors are made.
        name: What `load_encoder` takes to load it again.
        threads: Batches that run in parallel, over all callers; None takes one per core.
        token_budget: Token positions of a batch, padding included.

    Raises:
        InvalidModelError: If a file is missing or cannot be read, or the model has other inputs or
            outputs than a bi-encoder.
        ArgumentError: If ``max_length`` leaves no room for text, or another argument is wrong.
    """

    def __init__(
        self,
        folder: Path,
        settings: OnnxSettings,
        *,
        name: str,
        threads: int | None = None,
        token_budget: int = TOKEN_BUDGET,
    ) -> None:
        rules.check_integer("threads", threads, optional=True)
        rules.check_integer("token_budget", token_budget)
        self._arguments = (folder, settings, name, threads, token_budget)
        self._settings = settings
        self._threads = threads or core_count()
        self._running = threading.BoundedSemaphore(self._threads)
        path = folder / settings.model
        self._model = OnnxModel(path, name)
        alone = self._model.sees_padding or is_quantized_by_batch(path)
        self._budget = 0 if alone else token_budget
        self._tokenizer, self._pad, room = _tokenizer(folder / "tokenizer.json", settings, name)
        self._dimension: int | None = None
        self._info = EncoderInfo(
            name=name,
            dimension=self._probe(),
            fingerprint=_fingerprint(folder, settings, name),
            normalized=settings.normalize,
            max_length=room,
        )
        self._dimension = self._info.dimension

    def __reduce__(self) -> tuple[Callable[[], OnnxEncoder], tuple[()]]:
        """Load the model again where it is unpickled."""
        folder, settings, name, threads, budget = self._arguments
        again = partial(
            OnnxEncoder, folder, settings, name=name, threads=threads, token_budget=budget
        )
        return again, ()

    @property
    def info(self) -> EncoderInfo:
        """Name, dimension and fingerprint; ``max_length`` is without special tokens."""
        return self._info

    @property
    def uses_all_cores(self) -> bool:
        """Whether one call of `encode` keeps all cores busy."""
        return self._threads > 1

    @property
    def settings(self) -> OnnxSettings:
        """How vectors are made."""
        return self._settings

    @property
    def tokenizer(self) -> Tokenizer:
        """The model's tokenizer, which truncates; do not change it."""
        return self._tokenizer

    @property
    def prompt(self) -> str:
        """The text that `encode` puts before every text: the passage prefix."""
        return self._settings.passage_prefix

    def encode(self, texts: Texts) -> NDArray[np.float32]:
        """Encode documents.

        Args:
            texts: n strings, or an Arrow array of strings; a null is an empty text.

        Returns:
            float32 ``(n, dimension)``.

        Raises:
            TextInputError: If a row is no text.
            InvalidModelError: If the model fails, or gives a number that is not finite.
        """
        return self._encode(texts, self._settings.passage_prefix)

    def encode_queries(self, texts: Texts) -> NDArray[np.float32]:
        """Encode queries: as `encode`, with the query prefix.

        Returns:
            float32 ``(n, dimension)``.
        """
        return self._encode(texts, self._settings.query_prefix)

    def _encode(self, texts: Texts, prefix: str) -> NDArray[np.float32]:
        source = read_texts(texts)
        vectors = np.zeros((len(source), self._info.dimension), np.float32)
        for start, stop in source.ranges():
            block = source.block(start, stop)
            prefixed = [prefix + block.text(row) for row in range(len(block))]
            vectors[start:stop] = self.encode_ids(
                [one.ids for one in self._tokenizer.encode_batch_fast(prefixed)], first=start
            )
        return vectors

    def encode_ids(
        self, ids: list[list[int]], *, token_budget: int | None = None, first: int = 0
    ) -> NDArray[np.float32]:
        """Encode texts that are tokenized already, special tokens included.

        Args:
            ids: n lists of token ids; an empty one gives zeros.
            token_budget: Token positions of a batch; None as for texts, which some models run one
                at a time. With it, a text's vector may depend a little on the texts beside it.
            first: The number of the first text, for errors.

        Returns:
            float32 ``(n, dimension)``.

        Raises:
            InvalidModelError: If the model fails, or gives a number that is not finite.
        """
        vectors = np.zeros((len(ids), self._info.dimension), np.float32)
        lengths = np.fromiter(map(len, ids), np.intp, len(ids))
        some = np.flatnonzero(lengths)  # without a token: zeros; there is nothing to attend to
        budget = self._budget if token_budget is None else token_budget
        batches = [some[rows] for rows in token_batches(lengths[some], budget)]
        run = partial(self._run, ids)
        found = map_blocks(run, batches, min(self._threads, len(batches)))
        for rows, part in zip(batches, found, strict=True):
            vectors[rows] = part
        finite = np.isfinite(vectors).all(axis=1)
        if not finite.all():
            problem = "it gave a number that is not finite for text "
            raise InvalidModelError(
                model=self._info.name, problem=problem + str(first + int(np.argmin(finite)))
            )
        return vectors

    def _run(self, ids: list[list[int]], rows: NDArray[np.intp]) -> NDArray[np.float32]:
        """Run the model on some rows of token ids; pool and normalize: float32 (m, dimension)."""
        length = max(len(ids[row]) for row in rows)
        tokens = np.full((len(rows), length), self._pad, np.int64)
        mask = np.zeros_like(tokens)
        for at, row in enumerate(rows):
            tokens[at, : len(ids[row])] = ids[row]
            mask[at, : len(ids[row])] = 1
        with self._running:
            output = self._model.run(tokens, mask)
        if output.ndim == 3:
            output = _pooled(output, mask, self._settings.pooling)
        return normalize(output) if self._settings.normalize else output

    def _probe(self) -> int:
        """Return the dimension of the vectors, by running the model once."""
        ids = self._tokenizer.encode("probe").ids or [self._pad]
        return int(self._run([ids], np.zeros(1, np.intp)).shape[1])


def _pooled(
    output: NDArray[np.float32], mask: NDArray[np.int64], pooling: str
) -> NDArray[np.float32]:
    """Pool token vectors: float32 (n, length, dim) -> (n, dim)."""
    if pooling == "cls":
        return output[:, 0]
    weights = mask[:, :, None].astype(np.float32)
    means: NDArray[np.float32] = (output * weights).sum(axis=1) / weights.sum(axis=1)
    return means


def _tokenizer(path: Path, settings: OnnxSettings, name: str) -> tuple[Tokenizer, int, int]:
    """Return the tokenizer, the id of padding, and how many tokens it keeps of a text."""
    tokenizer = read_tokenizer(path, name)
    check_tokenizer(tokenizer, name)
    padding = tokenizer.padding
    tokenizer.no_padding()
    room = settings.max_length - tokenizer.num_special_tokens_to_add(False)
    if room < 1:
        raise ArgumentError(
            field=f"{name}: max_length",
            problem=f"{settings.max_length} leaves no room for text beside the special tokens",
        )
    tokenizer.enable_truncation(settings.max_length)
    return tokenizer, 0 if padding is None else int(padding["pad_id"]), room


def _fingerprint(folder: Path, settings: OnnxSettings, name: str) -> str:
    """Digest what determines the vectors: the files, and the settings without their paths."""
    files = [*model_files(folder / settings.model), folder / "tokenizer.json"]
    if missing := [path for path in files if not path.is_file()]:
        raise InvalidModelError(model=name, problem=f"there is no {missing[0]}")
    values: dict[str, Any] = {
        key: getattr(settings, key)
        for key in ("pooling", "normalize", "query_prefix", "passage_prefix", "max_length")
    }
    contents = [np.memmap(path, np.uint8, "r") for path in files]
    return fingerprint("onnx", json.dumps(values), *contents)
