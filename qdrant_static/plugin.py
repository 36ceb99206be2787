"""Registers our encoders for the inference of qdrant-client with ``models.Document``.

qdrant-client computes the vectors of a ``models.Document`` with fastembed. fastembed goes through a
list of classes, ``TextEmbedding.EMBEDDINGS_REGISTRY``: the first class that knows the name of the
model makes it. `install` inserts our class at the beginning of that list.

This depends on internals of fastembed that are unchanged from 0.7 to 0.9: the list itself; the
class method ``_list_supported_models`` of its classes; the arguments of their constructors;
``embed``, ``query_embed``, ``passage_embed``. There is no public function to register a class
(``add_custom_model`` accepts ONNX models only). If the list is missing, `install` raises an error.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from importlib.metadata import version
from types import MappingProxyType
from typing import Any, cast

from fastembed import TextEmbedding

from qdrant_static.errors import ArgumentError, IncompatiblePackageError
from qdrant_static.staticmodels import INSTALLED, StaticModels

#: Static models and their dimensions, which fastembed needs before a model is loaded.
KNOWN_MODELS = MappingProxyType(
    {
        "wordllama": 256,
        "minishlab/potion-base-2M": 64,
        "minishlab/potion-base-4M": 128,
        "minishlab/potion-base-8M": 256,
        "minishlab/potion-base-32M": 512,
        "minishlab/potion-retrieval-32M": 512,
        "minishlab/potion-multilingual-128M": 256,
        "sentence-transformers/static-retrieval-mrl-en-v1": 1024,
        "sentence-transformers/static-similarity-mrl-multilingual-v1": 1024,
    }
)


def install(*, names: Iterable[str | os.PathLike[str]] = ()) -> tuple[str, ...]:
    """Register our encoders for the inference of qdrant-client.

    Afterwards ``models.Document(text=..., model=NAME)`` works with every client of this process: a
    `QdrantClient` of a server (the text is encoded in this process), ``QdrantClient(":memory:")``
    and `EdgeClient`. Options: ``{"dimensions": 64}`` takes the first 64 dimensions, renormalized;
    ``{"threads": 1}`` limits the threads. Another call adds names.

    The models are unknown to processes that a client starts (``upload_points(parallel=2)``): leave
    ``parallel`` at 1, since an encoder uses threads.

    Args:
        names: Names to register besides `KNOWN_MODELS`: any that `load_encoder` accepts, in
            particular paths of model folders. They are loaded now to get their dimensions. A folder
            is registered by the given path and by its absolute path.

    Returns:
        All registered names, sorted.

    Raises:
        EncoderNotFoundError: If there is no encoder of a name.
        EncoderUnavailableError: If it could not be fetched.
        ArgumentError: If ``names`` is a single string, or two differ in case only.
        IncompatiblePackageError: If fastembed has no such list of classes.
    """
    if isinstance(names, str | os.PathLike):
        raise ArgumentError(field="names", problem=f"give a list of names: [{os.fspath(names)!r}]")
    registry = _registry()
    with INSTALLED.guard:
        given = [os.fspath(name) for name in names]
        loaded = [
            (name, INSTALLED.encoder(name).info) for name in given
        ]  # all, or none is registered
        INSTALLED.add(
            {
                **KNOWN_MODELS,
                **{info.name: info.dimension for _, info in loaded},
                **{name: info.dimension for name, info in loaded},
            }
        )
        if StaticModels not in registry:
            registry.insert(0, StaticModels)
        return tuple(sorted(name for name, _ in INSTALLED.names.values()))


def uninstall() -> None:
    """Undo `install`; no error if nothing is installed.

    A client that has used a model keeps it; a new client does not know it.
    """
    registry = _registry()
    with INSTALLED.guard:
        if StaticModels in registry:
            registry.remove(StaticModels)
        INSTALLED.clear()
    # The client caches supported names. Without this it would still consider ours supported, and
    # then fail with the message of fastembed instead of its own.
    remembered = sys.modules.get("qdrant_client.fastembed_common")
    misc = getattr(remembered, "FastEmbedMisc", None)
    if isinstance(getattr(misc, "_TEXT_MODELS", None), set):
        cast("Any", misc)._TEXT_MODELS = set()


def _registry() -> list[Any]:
    registry = getattr(TextEmbedding, "EMBEDDINGS_REGISTRY", None)
    if not isinstance(registry, list):
        raise IncompatiblePackageError(
            package="fastembed",
            version=version("fastembed"),
            problem="it has no list TextEmbedding.EMBEDDINGS_REGISTRY, in which models are "
            "registered (0.7 to 0.9 have it)",
        )
    return registry
