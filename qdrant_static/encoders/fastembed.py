"""Dense, late-interaction and cross-encoder models of fastembed.

They are neural networks on ONNX Runtime, about a thousand times slower than a static model: for
comparison, for reranking the best hits, and for collections that were made with one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from qdrant_static import rules
from qdrant_static.encoders.base import CrossEncoderInfo, EncoderInfo
from qdrant_static.encoders.onnxmodel import is_quantized_by_batch
from qdrant_static.encoders.textblocks import read_texts
from qdrant_static.errors import (
    ArgumentError,
    EncoderNotFoundError,
    EncoderUnavailableError,
    InvalidModelError,
)
from qdrant_static.vectors import fingerprint

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from qdrant_static.encoders.textblocks import Texts

#: Prefix of fastembed's models in `load_encoder` and in the metadata of collections.
PREFIX = "fastembed:"
#: Texts per batch; they are padded to the longest of them. Dense models with dynamic quantization
#: take one text at a time: in a batch, a text's vector depends on the texts beside it (onnx.py).
BATCH_SIZE = 32
_PROBE = "probe"


def load_dense(name: str, **options: Any) -> FastembedEncoder:
    """Load a dense text model; ``load_encoder("fastembed:NAME")`` does so too.

    Args:
        name: fastembed's name of the model, with or without the prefix ``fastembed:``.
        options: Options of fastembed: ``cache_dir``, ``threads``, ``local_files_only``,
            ``specific_model_path``, ...

    Raises:
        EncoderNotFoundError: If fastembed knows no such model.
        EncoderUnavailableError: If its files are not on this machine and cannot be fetched.
        ArgumentError: If an option is unknown.
    """
    from fastembed import TextEmbedding

    return FastembedEncoder(_load(TextEmbedding, name, options), name=name)


def load_late_interaction(name: str, **options: Any) -> FastembedLateInteraction:
    """Load a late-interaction text model, such as ``colbert-ir/colbertv2.0``; as `load_dense`."""
    from fastembed import LateInteractionTextEmbedding

    return FastembedLateInteraction(_load(LateInteractionTextEmbedding, name, options), name=name)


def load_cross_encoder(name: str, **options: Any) -> FastembedCrossEncoder:
    """Load a cross-encoder, such as ``Xenova/ms-marco-MiniLM-L-6-v2``; as `load_dense`."""
    from fastembed.rerank.cross_encoder import TextCrossEncoder

    return FastembedCrossEncoder(_load(TextCrossEncoder, name, options), name=name)


class FastembedEncoder:
    """A dense text model of fastembed's, as an `Encoder`.

    Args:
        model: A ``fastembed.TextEmbedding``, or an object with its ``embed``.
        name: fastembed's name of the model.
        batch_size: Texts per batch; None for 1 if the model is quantized dynamically, else 32.

    Raises:
        InvalidModelError: If it does not give one vector of finite numbers per text.
        ArgumentError: If ``batch_size`` is not positive.
    """

    def __init__(self, model: Any, *, name: str, batch_size: int | None = None) -> None:
        self._model = model
        if batch_size is None:
            batch_size = 1 if any(map(is_quantized_by_batch, _onnx_files(model))) else BATCH_SIZE
        self._batch_size = _positive(batch_size)
        name = name.removeprefix(PREFIX)
        probe = _rows(name, model.embed([_PROBE], batch_size=1), 1, ndim=1)[0]
        self._info = EncoderInfo(
            name=PREFIX + name,
            dimension=len(probe),
            fingerprint=_digest(model, name),
            normalized=abs(float(np.linalg.norm(probe)) - 1) < 1e-3,
        )

    @property
    def info(self) -> EncoderInfo:
        """Name, dimension and fingerprint."""
        return self._info

    @property
    def uses_all_cores(self) -> bool:
        """Whether one call of `encode` keeps all cores busy; ONNX Runtime does, by default."""
        return True

    @property
    def tokenizer(self) -> Any:
        """The model's tokenizer, which truncates; None if fastembed does not show it."""
        return _tokenizer(self._model)

    def encode(self, texts: Texts) -> NDArray[np.float32]:
        """Encode texts as documents.

        Args:
            texts: n strings, or an Arrow array of strings; a null is an empty text.

        Returns:
            float32 ``(n, dimension)``.

        Raises:
            TextInputError: If a row is no text.
            InvalidModelError: If the model does not give one vector per text.
        """
        return self._vectors(self._model.embed, texts)

    def encode_queries(self, texts: Texts) -> NDArray[np.float32]:
        """Encode texts as queries; of the dense models only jina-embeddings-v3 makes a difference.

        fastembed puts no prefix before the texts of any dense model: where a model was trained with
        prefixes (e5, nomic, bge), put them before the texts, or load its files by ``onnx:``.

        Returns:
            float32 ``(n, dimension)``; errors as `encode`.
        """
        # An object with no more than `embed` will do.
        return self._vectors(getattr(self._model, "query_embed", self._model.embed), texts)

    def _vectors(self, embed: Callable[..., Any], texts: Texts) -> NDArray[np.float32]:
        found = list(_strings(texts))
        vectors = embed(found, batch_size=self._batch_size) if found else ()
        rows = _rows(self._info.name, vectors, len(found), ndim=1)
        return np.stack(rows) if rows else np.empty((0, self._info.dimension), np.float32)


class FastembedLateInteraction:
    """A late-interaction text model of fastembed's, as a `LateInteractionEncoder`.

    Args:
        model: A ``fastembed.LateInteractionTextEmbedding``, or an object with its ``embed`` and
            ``query_embed``.
        name: fastembed's name of the model.
        batch_size: Texts per batch.

    Raises:
        InvalidModelError: If it does not give one matrix of finite numbers per text.
        ArgumentError: If ``batch_size`` is not positive.
    """

    def __init__(self, model: Any, *, name: str, batch_size: int = BATCH_SIZE) -> None:
        self._model = model
        self._batch_size = _positive(batch_size)
        name = name.removeprefix(PREFIX)
        probe = _rows(name, model.embed([_PROBE], batch_size=1), 1, ndim=2)[0]
        self._info = EncoderInfo(
            name=PREFIX + name,
            dimension=probe.shape[1],
            fingerprint=_digest(model, name),
            normalized=bool(np.allclose(np.linalg.norm(probe, axis=1), 1, atol=1e-3)),
        )

    @property
    def info(self) -> EncoderInfo:
        """Name, dimension of a token's vector, and fingerprint."""
        return self._info

    @property
    def tokenizer(self) -> Any:
        """The documents' tokenizer, which truncates; None if fastembed does not show it."""
        return _tokenizer(self._model)

    def encode(self, texts: Texts) -> list[NDArray[np.float32]]:
        """Encode documents: n times float32 ``(tokens, dimension)``; errors as the dense one's."""
        return self._matrices(self._model.embed, texts)

    def encode_queries(self, texts: Texts) -> list[NDArray[np.float32]]:
        """Encode queries: n times float32 ``(tokens, dimension)``; errors as the dense one's."""
        return self._matrices(self._model.query_embed, texts)

    def _matrices(
        self, embed: Callable[..., Iterable[Any]], texts: Texts
    ) -> list[NDArray[np.float32]]:
        found = list(_strings(texts))
        matrices = embed(found, batch_size=self._batch_size) if found else ()
        return _rows(self._info.name, matrices, len(found), ndim=2)


class FastembedCrossEncoder:
    """A cross-encoder of fastembed's, as a `CrossEncoder`.

    Args:
        model: A ``fastembed.rerank.cross_encoder.TextCrossEncoder``, or with its
            ``rerank``.
        name: fastembed's name of the model.
        batch_size: Texts per batch.

    Raises:
        ArgumentError: If ``batch_size`` is not positive.
    """

    def __init__(self, model: Any, *, name: str, batch_size: int = BATCH_SIZE) -> None:
        self._model = model
        self._batch_size = _positive(batch_size)
        name = name.removeprefix(PREFIX)
        self._info = CrossEncoderInfo(name=PREFIX + name, fingerprint=_digest(model, name))

    @property
    def info(self) -> CrossEncoderInfo:
        """Name and fingerprint."""
        return self._info

    def scores(self, query: str, texts: Texts) -> NDArray[np.float32]:
        """Score texts for a query.

        Args:
            query: The query.
            texts: n strings, or an Arrow array of strings; a null is an empty text.

        Returns:
            float32 ``(n,)``, higher is better; comparable within a query only.

        Raises:
            TextInputError: If a row, or the query, is no text.
            InvalidModelError: If the model does not give one number per text.
        """
        (query,) = _strings([query])
        found = list(_strings(texts))
        if not found:
            return np.empty(0, np.float32)
        given = self._model.rerank(query, found, batch_size=self._batch_size)
        rows = _rows(self._info.name, given, len(found), ndim=0)
        return np.array(rows, np.float32)


def _load(kind: Any, name: str, options: dict[str, Any]) -> Any:
    name = name.removeprefix(PREFIX)
    known = [model["model"] for model in kind.list_supported_models()]
    if name.lower() not in map(str.lower, known):
        raise EncoderNotFoundError(
            name=PREFIX + name,
            problem=f"fastembed's {kind.__name__} has no such model",
            known=tuple(PREFIX + one for one in sorted(known)),
        )
    try:
        return kind(name, **options)
    except TypeError as error:
        raise ArgumentError(field=f"options of {PREFIX}{name}", problem=str(error)) from error
    except Exception as error:  # of the hub's client, its transport or the runtime
        problem = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise EncoderUnavailableError(name=PREFIX + name, problem=problem) from error


def _strings(texts: Texts) -> Iterable[str]:
    source = read_texts(texts)
    for start, stop in source.ranges():
        block = source.block(start, stop)
        for row in range(len(block)):
            yield block.text(row)


def _rows(name: str, vectors: Iterable[Any], count: int, *, ndim: int) -> list[NDArray[np.float32]]:
    """Return the results of a model as arrays; check their number, shape and values."""
    rows = [np.asarray(vector, np.float32) for vector in vectors]
    if len(rows) != count:
        raise InvalidModelError(
            model=name, problem=f"it gave {len(rows)} results for {count} texts"
        )
    for row in rows:
        if row.ndim != ndim or not row.size:
            raise InvalidModelError(model=name, problem=f"it gave a result of shape {row.shape}")
        if not np.isfinite(row).all():
            raise InvalidModelError(model=name, problem="it gave a number that is not finite")
    return rows


def _tokenizer(model: Any) -> Any:
    return getattr(getattr(model, "model", model), "tokenizer", None)


def _digest(model: Any, name: str) -> str:
    """Return the digest of the model's files if fastembed shows them, otherwise of its name."""
    files = [np.memmap(path, np.uint8, "r") for path in _files(model) if path.stat().st_size]
    return fingerprint("fastembed", name.lower(), *files)


def _files(model: Any) -> list[Path]:
    """Return the model's files that determine its vectors; none if fastembed does not show them."""
    inner = getattr(model, "model", model)
    folder = getattr(inner, "_model_dir", None)
    described = getattr(inner, "model_description", None)
    if folder is None or described is None:
        return []
    names = [described.model_file, *described.additional_files, "tokenizer.json"]
    return [path for path in (Path(folder) / one for one in names) if path.is_file()]


def _onnx_files(model: Any) -> list[Path]:
    return [path for path in _files(model) if path.suffix == ".onnx" and path.stat().st_size]


def _positive(batch_size: int) -> int:
    rules.check_integer("batch_size", batch_size)
    return batch_size
