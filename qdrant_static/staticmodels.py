"""Defines `StaticModels`, our encoders with the interface of fastembed's models."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from fastembed.common.model_description import DenseModelDescription, ModelSource
from fastembed.text.text_embedding_base import TextEmbeddingBase

from qdrant_static.encoders import queries
from qdrant_static.encoders.registry import load_encoder
from qdrant_static.encoders.static import StaticEncoder
from qdrant_static.errors import ArgumentError
from qdrant_static.vectors import truncate

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from qdrant_static.encoders.base import Encoder

#: Options of fastembed that do not apply to a static model, and what to do instead.
_REFUSED = MappingProxyType(
    {
        "cache_dir": "the files are in the hub's cache: set HF_HOME",
        "local_files_only": "set HF_HUB_OFFLINE=1",
        "providers": "a static model needs no runtime: leave it out",
        "cuda": "a static model is computed by the processor: leave it out",
        "device_ids": "a static model is computed by the processor: leave it out",
    }
)
#: Arguments of `embed` that do not apply either, and are ignored.
_IGNORED = ("batch_size", "parallel")
_OPTIONS = ("dimensions", "threads", "lazy_load", "specific_model_path")
#: How many texts are encoded at once; their vectors are in memory.
_BLOCK = 8192


class Installed:
    """The registered names with their dimensions, and the loaded encoders.

    fastembed ignores the case of names.
    """

    def __init__(self) -> None:
        self.guard = threading.RLock()
        self.names: dict[str, tuple[str, int]] = {}
        self._encoders: dict[str, Encoder] = {}

    def encoder(self, name: str) -> Encoder:
        """Return the encoder of a name; all models of the same name share it."""
        with self.guard:
            if name not in self._encoders:
                self._encoders[name] = load_encoder(name)
            return self._encoders[name]

    def add(self, dimensions: Mapping[str, int]) -> None:
        """Register names, all or none."""
        names = dict(self.names)
        for name, dimension in dimensions.items():
            before, _ = names.setdefault(name.lower(), (name, dimension))
            if before != name:
                raise ArgumentError(
                    field="names",
                    problem=f"{name!r} and {before!r} differ in case only, which fastembed ignores",
                )
        self.names = names

    def clear(self) -> None:
        """Forget all names and encoders."""
        self.names = {}
        self._encoders.clear()


INSTALLED = Installed()


class StaticModels(TextEmbeddingBase):
    """One of our encoders with the interface of fastembed's models; created by fastembed.

    Args:
        model_name: A name that is installed.
        cache_dir: Not supported, like all of `_REFUSED`.
        threads: How many threads to use; None for one per available core.
        dimensions: How many dimensions to keep, renormalized; None for all.
        lazy_load: Whether the model is loaded at its first use.
        specific_model_path: A folder to load instead of the named model.
        options: Other options of fastembed.

    Raises:
        ArgumentError: If an option is unknown or not supported, or ``dimensions`` is out of
            range.
    """

    def __init__(
        self,
        model_name: str,
        cache_dir: str | None = None,
        threads: int | None = None,
        *,
        dimensions: int | None = None,
        lazy_load: bool = False,
        specific_model_path: str | None = None,
        **options: Any,
    ) -> None:
        _require_no_others(model_name, {"cache_dir": cache_dir, **options})
        super().__init__(model_name, cache_dir, threads)
        if threads is not None and (type(threads) is not int or threads < 1):
            raise _wrong(model_name, "threads", f"{threads!r} is not at least 1")
        registered = INSTALLED.names.get(model_name.lower())
        self._name = registered[0] if registered else model_name
        self._path = specific_model_path
        self._dimensions = dimensions
        self._loaded: Encoder | None = None
        if dimensions is not None and (type(dimensions) is not int or dimensions < 1):
            raise _wrong(model_name, "dimensions", f"{dimensions!r} is no positive integer")
        if not lazy_load or dimensions is not None:
            self._check(self._encoder)

    @classmethod
    def _list_supported_models(cls) -> list[DenseModelDescription]:
        return [_described(name, dimension) for name, dimension in INSTALLED.names.values()]

    @classmethod
    def get_embedding_size(cls, model_name: str) -> int:
        """Return the dimensions of a model, before truncation.

        Raises:
            ArgumentError: If the name is not installed.
        """
        registered = INSTALLED.names.get(model_name.lower())
        if registered is None:
            names = ", ".join(sorted(name for name, _ in INSTALLED.names.values()))
            raise ArgumentError.of_choice("model_name", model_name, names or "none is installed")
        return registered[1]

    @property
    def embedding_size(self) -> int:
        """Length of the vectors of this model."""
        return self._dimensions or self._encoder.info.dimension

    @property
    def _encoder(self) -> Encoder:
        if self._loaded is None:
            path = self._path
            self._loaded = INSTALLED.encoder(self._name) if path is None else load_encoder(path)
        return self._loaded

    def _check(self, encoder: Encoder) -> None:
        most = encoder.info.dimension
        if self._dimensions is not None and self._dimensions > most:
            raise _wrong(
                self.model_name, "dimensions", f"{self._dimensions} is not within 1 to {most}"
            )

    def embed(
        self,
        documents: str | Iterable[str],
        batch_size: int = 256,
        parallel: int | None = None,
        **kwargs: Any,
    ) -> Iterator[NDArray[np.float32]]:
        """Encode texts.

        Args:
            documents: n texts, or one.
            batch_size: Ignored: blocks of thousands are faster, and need no padding.
            parallel: Ignored: an encoder uses threads.
            kwargs: None.

        Yields:
            n times float32 ``(dimensions,)``.

        Raises:
            TextInputError: If something is no text.
        """
        yield from self._blocks("embed()", documents, kwargs, is_query=False)

    def query_embed(
        self, query: str | Iterable[str], **kwargs: Any
    ) -> Iterator[NDArray[np.float32]]:
        """Encode queries; an encoder with prefixes puts that of queries before them.

        Args:
            query: n queries, or one.
            kwargs: ``batch_size`` and ``parallel``, as `embed`.

        Yields:
            n times float32 ``(dimensions,)``.

        Raises:
            TextInputError: If something is no text.
        """
        others = {key: value for key, value in kwargs.items() if key not in _IGNORED}
        yield from self._blocks("query_embed()", query, others, is_query=True)

    def _blocks(
        self, method: str, given: str | Iterable[str], others: dict[str, Any], *, is_query: bool
    ) -> Iterator[NDArray[np.float32]]:
        if others:
            valid = ", ".join(("documents", *_IGNORED))
            raise ArgumentError.of_choice(method, sorted(others), valid)
        texts = iter([given] if isinstance(given, str) else given)
        while block := list(itertools.islice(texts, _BLOCK)):
            yield from self._rows(block, is_query=is_query)

    def token_count(self, texts: str | Iterable[str], **kwargs: Any) -> int:
        """Return the number of pooled tokens of texts.

        Raises:
            ArgumentError: If the encoder is not static.
        """
        encoder = self._encoder
        if not isinstance(encoder, StaticEncoder):
            raise _wrong(self.model_name, "token_count()", "the encoder has no tokenizer")
        ids, _ = encoder.tokenize([texts] if isinstance(texts, str) else list(texts))
        return len(ids)

    def _rows(self, texts: Sequence[str], *, is_query: bool) -> NDArray[np.float32]:
        encoder = self._encoder
        if isinstance(encoder, StaticEncoder):
            matrix = encoder.encode(texts, threads=self.threads)
        elif is_query:
            matrix = queries.encode_queries(encoder, texts)
        else:
            matrix = encoder.encode(texts)
        if self._dimensions is None or self._dimensions == matrix.shape[1]:
            return matrix
        return truncate(matrix, self._dimensions)


def _described(name: str, dimension: int) -> DenseModelDescription:
    folder = Path(name).expanduser()
    hub = "/" in name and not folder.is_absolute() and not folder.is_dir()
    return DenseModelDescription(
        model=name,
        dim=dimension,
        description="Static text embeddings, encoded by qdrant-static",
        license="",
        size_in_GB=0.0,  # fastembed's own value for an unknown size
        sources=ModelSource(hf=name if hub else None, url=None if hub else f"local:{name}"),
        model_file="model.safetensors",
    )


def _require_no_others(model: str, options: dict[str, Any]) -> None:
    for name, value in options.items():
        if name not in _REFUSED:
            valid = ", ".join(_OPTIONS)
            raise _wrong(model, name, f"there is no such option; valid: {valid}")
        # fastembed passes its own defaults: None, False, and "auto" for the device.
        if value not in (None, False) and getattr(value, "value", value) not in ("auto", "cpu"):
            raise _wrong(model, name, f"{value!r} is not supported: {_REFUSED[name]}")


def _wrong(model: str, option: str, problem: str) -> ArgumentError:
    return ArgumentError(field=f"{option} of the model {model!r}", problem=problem)
