"""Replaces ``models.Document``, ``Image`` and ``InferenceObject`` in requests by their vectors.

qdrant-client computes the vectors with fastembed before it sends a request, and leaves the model
``qdrant/bm25`` to the server. `EdgeClient` uses the client's own ``Embedder``, which loads and
keeps the models, and for BM25 the engine, as a server does. The client's own code that searches a
request for these objects is not used, because it copies every point.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from pydantic import BaseModel
from qdrant_client import models
from qdrant_client.embed.embedder import Embedder
from qdrant_client.fastembed_common import FastEmbedMisc

from qdrant_static.edge.bm25 import BM25, Bm25, bm25_config
from qdrant_static.edge.convert.updates import batch_points
from qdrant_static.edge.enginepoints import Row
from qdrant_static.encoders.registry import known_encoders
from qdrant_static.errors import (
    ArgumentError,
    EncoderNotFoundError,
    EncoderUnavailableError,
    QdrantStaticError,
)

_Object = models.Document | models.Image | models.InferenceObject
_OBJECTS = (models.Document, models.Image, models.InferenceObject)
#: Fields of requests that hold no vectors; they need not be searched.
_WITHOUT_VECTORS = frozenset({"filter", "update_filter", "params", "payload", "payloads"})
_NUMBERS = {int, float}
_PLAIN = frozenset({np.ndarray, str, int, float, bool, type(None), models.SparseVector})
#: How many texts fastembed's own models encode at once; ours encode all at once.
_BATCH = 32
#: How many configurations of BM25 are kept; each has a memo.
_MAX_BM25 = 4


class Inference:
    """Computes the vectors of texts and images; the caller's objects are not changed.

    Threads may share one; models are loaded at their first use, and kept.
    """

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._embedder: Embedder | None = None
        self._bm25: dict[str, Bm25] = {}

    def points(self, points: Any) -> Any:
        """Return points (``PointStruct``, ``PointVectors``, a ``Batch``) with vectors only.

        All texts of the same model and options are encoded together.

        Raises:
            EncoderNotFoundError: If a model is unknown.
            EncoderUnavailableError: If a model could not be loaded.
            ArgumentError: If its options are wrong.
        """
        if isinstance(points, models.Batch):
            vectors = self._embedded(points.vectors, is_query=False)
            if vectors is points.vectors:
                return points
            columns = points.model_copy(update={"vectors": vectors})
            return list(batch_points(columns))
        given = points if isinstance(points, list) else list(points)
        before = [getattr(point, "vector", None) for point in given]
        after = self._embedded(before, is_query=False)
        if after is before:
            return given
        return [
            point if new is old else Row(point.id, new, getattr(point, "payload", None))
            for point, old, new in zip(given, before, after, strict=True)
        ]

    def operations(self, operations: Iterable[models.UpdateOperation]) -> list[Any]:
        """Return update operations with vectors only; errors as `points`."""
        return [self._embedded(operation, is_query=False) for operation in operations]

    def query(self, query: Any) -> Any:
        """Return a query, a prefetch or a request, or a list of these, with vectors only.

        Errors as `points`.
        """
        return self._embedded(query, is_query=True)

    def _embedded(self, value: Any, *, is_query: bool) -> Any:
        found: list[_Object] = []

        def collect(one: _Object) -> _Object:
            found.append(one)
            return one

        _walk(value, collect)
        if not found:
            return value
        vectors = self._vectors(found, is_query=is_query)
        return _walk(value, lambda _: next(vectors))

    def _vectors(self, objects: Sequence[_Object], *, is_query: bool) -> Iterator[Any]:
        groups: dict[tuple[str, str], list[int]] = {}
        for number, one in enumerate(objects):
            groups.setdefault((one.model, repr(one.options)), []).append(number)
        vectors: list[Any] = [None] * len(objects)
        for numbers in groups.values():
            alike = [objects[number] for number in numbers]
            for number, vector in zip(numbers, self._group(alike, is_query=is_query), strict=True):
                vectors[number] = vector
        return iter(vectors)

    def _group(self, objects: list[_Object], *, is_query: bool) -> list[Any]:
        """Return the vectors of objects with the same model and options."""
        model, options = objects[0].model, objects[0].options or {}
        contents = [_content(one) for one in objects]
        with self._guard:  # two threads at once would make the client's embedder load a model twice
            if model.lower() == BM25:
                return self._sparse(contents, options, is_query=is_query)
            return self._by_fastembed(model, contents, options, is_query=is_query)

    def _by_fastembed(
        self, model: str, contents: list[Any], options: Any, *, is_query: bool
    ) -> list[Any]:
        self._embedder = self._embedder or Embedder()
        images = FastEmbedMisc.is_supported_image_model(model)
        if not images and not any(
            known(model)
            for known in (
                FastEmbedMisc.is_supported_text_model,
                FastEmbedMisc.is_supported_sparse_model,
                FastEmbedMisc.is_supported_late_interaction_text_model,
                FastEmbedMisc.is_supported_late_interaction_multimodal_model,
            )
        ):
            raise EncoderNotFoundError(
                name=model,
                problem="fastembed knows no such model; static ones are known after "
                "qdrant_static.install()",
                known=(BM25, *known_encoders()),
            )
        try:
            return list(
                self._embedder.embed(
                    model,
                    texts=None if images else contents,
                    images=contents if images else None,
                    options=dict(options),
                    is_query=is_query,
                    batch_size=_BATCH,
                )
            )
        except QdrantStaticError:
            raise
        except TypeError as error:  # the model's class has no such option
            raise ArgumentError(
                field=f"options of the model {model!r}", problem=str(error)
            ) from error
        except (
            Exception
        ) as error:  # fastembed, its runtime and the hub's client have their own errors
            problem = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise EncoderUnavailableError(name=model, problem=problem) from error

    def _sparse(self, texts: list[Any], options: Any, *, is_query: bool) -> list[Any]:
        config = bm25_config(options)
        key = repr(config)
        if key not in self._bm25:
            if len(self._bm25) >= _MAX_BM25:
                self._bm25.clear()
            self._bm25[key] = Bm25(config)
        encoder = self._bm25[key]
        return encoder.queries(texts) if is_query else encoder.documents(texts)


def _walk(value: Any, see: Callable[[_Object], Any]) -> Any:
    """Return the value with every object replaced by the result of ``see``, in order.

    A value that holds no object is returned itself, not a copy. Most values are vectors, so they
    are checked first.
    """
    kind = type(value)
    if kind in _PLAIN:
        return value
    if kind is list or kind is tuple:
        if not value or type(value[0]) is float or set(map(type, value)) <= _NUMBERS:
            return value
        items = [_walk(one, see) for one in value]
        return (
            items if any(new is not old for new, old in zip(items, value, strict=True)) else value
        )
    if kind is not dict and isinstance(value, _OBJECTS):
        return see(value)
    if kind is dict or isinstance(value, Mapping):
        entries = {name: _walk(one, see) for name, one in value.items()}
        return entries if any(entries[name] is not one for name, one in value.items()) else value
    if isinstance(value, BaseModel):
        changed = {
            name: new
            for name, one in value.__dict__.items()
            if name not in _WITHOUT_VECTORS and (new := _walk(one, see)) is not one
        }
        return value.model_copy(update=changed) if changed else value
    return value


def _content(one: _Object) -> Any:
    if isinstance(one, models.Document):
        return one.text
    return one.image if isinstance(one, models.Image) else one.object


class ModelLists:
    """The methods of `QdrantClient` that list models, with the same results."""

    @classmethod
    def list_text_models(cls) -> dict[str, tuple[int, models.Distance]]:
        """Return dense text models with their dimensions and distances."""
        return FastEmbedMisc.list_text_models()

    @classmethod
    def list_image_models(cls) -> dict[str, tuple[int, models.Distance]]:
        """Return image models with their dimensions and distances."""
        return FastEmbedMisc.list_image_models()

    @classmethod
    def list_late_interaction_text_models(cls) -> dict[str, tuple[int, models.Distance]]:
        """Return late-interaction text models with their dimensions and distances."""
        return FastEmbedMisc.list_late_interaction_text_models()

    @classmethod
    def list_late_interaction_multimodal_models(cls) -> dict[str, tuple[int, models.Distance]]:
        """Return late-interaction models of texts and images, with dimensions and distances."""
        return FastEmbedMisc.list_late_interaction_multimodal_models()

    @classmethod
    def list_sparse_models(cls) -> dict[str, dict[str, Any]]:
        """Return sparse text models with their descriptions."""
        return FastEmbedMisc.list_sparse_models()

    def get_embedding_size(self, model_name: str) -> int:
        """Return the length of a model's vectors.

        Raises:
            EncoderNotFoundError: If no model of that name has vectors of one length.
        """
        for listed in (
            self.list_text_models,
            self.list_image_models,
            self.list_late_interaction_text_models,
            self.list_late_interaction_multimodal_models,
        ):
            for name, (size, _) in listed().items():
                if name == model_name:
                    return size
        raise EncoderNotFoundError(
            name=model_name,
            problem="fastembed knows no dense model of that name",
            known=known_encoders(),
        )
