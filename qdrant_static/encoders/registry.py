"""Loads encoders by name; imports only what a name needs."""

from __future__ import annotations

import os
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, cast

from qdrant_static.encoders.base import Encoder
from qdrant_static.errors import ArgumentError, EncoderNotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

#: An encoder, or the argument of `load_encoder`.
AnyEncoder: TypeAlias = Encoder | str | os.PathLike[str]

#: Entry points by which distributions add encoders: ``name = "module:function"``; the function
#: has no parameters and returns an `Encoder`.
ENTRY_POINT_GROUP = "qdrant_static.encoders"

_FASTEMBED = "fastembed:"
_HEAD = "head:"
_ONNX = "onnx:"
_BUILT_IN = {"wordllama": "qdrant_static.encoders.loading:load_wordllama"}


def known_encoders() -> tuple[str, ...]:
    """Return the names that `load_encoder` knows besides paths and hub names, sorted."""
    found = {point.name for point in entry_points(group=ENTRY_POINT_GROUP)}
    return tuple(sorted(found | set(_BUILT_IN)))


def load_encoder(name_or_path: str | os.PathLike[str]) -> Encoder:
    """Load an encoder.

    Args:
        name_or_path: ``"wordllama"`` (256 dimensions, offline, needs the extra ``offline``), the
            path of a folder in model2vec's or sentence-transformers' format, a name on the hub
            (``"owner/model"``), a name that an installed distribution registers,
            ``"fastembed:NAME"``, a dense model of fastembed, ``"onnx:FOLDER"``, a transformer
            exported to ONNX (or ``"onnx:FILE.toml"``, with its settings), ``"head:FILE.json"``,
            a head that `train compress` wrote, which shortens the vectors of the encoder that it
            names, or ``"NAME@3"``, a version in the models folder; ``"NAME@current"`` loads the
            version in use, and ``info.name`` says which one that is.

    Returns:
        The encoder, ready to use from several threads.

    Raises:
        EncoderNotFoundError: If nothing of that name is known.
        EncoderUnavailableError: If a hub is unreachable or does not have it.
        MissingExtraError: If it needs a package that is not installed.
        InvalidModelError: If a model's files cannot be read, or do not fit together.
        ArgumentError: If a setting in a model's TOML file is wrong.
    """
    name = os.path.expanduser(os.fspath(name_or_path))
    if not name:
        raise EncoderNotFoundError(name=name, problem="the name is empty", known=known_encoders())
    if name in _BUILT_IN:
        return _load(_BUILT_IN[name])
    for point in entry_points(group=ENTRY_POINT_GROUP, name=name):
        return cast("Callable[[], Encoder]", point.load())()
    if name.startswith(_FASTEMBED):
        from qdrant_static.encoders.fastembed import load_dense

        return load_dense(name)
    if name.startswith(_HEAD):
        from qdrant_static.encoders.headencoder import load_head_encoder

        return load_head_encoder(name, load_encoder)
    if name.startswith(_ONNX):
        from qdrant_static.encoders.onnx import load_onnx

        return load_onnx(name)
    return _load_static(name)


def as_encoder(given: AnyEncoder, *, load: Callable[[str], Encoder] = load_encoder) -> Encoder:
    """Return an encoder, or load it if a name is given.

    Args:
        given: An encoder, or the argument of `load_encoder`.
        load: Loads an encoder by name.

    Raises:
        ArgumentError: If it is neither.
        EncoderNotFoundError: If there is no encoder of the name; and the other errors of
            `load_encoder`.
    """
    if isinstance(given, str | os.PathLike):
        return load(os.fspath(given))
    if not isinstance(given, Encoder):
        raise ArgumentError(
            field="encoder",
            problem=f"an object of type {type(given).__name__} is not an encoder: give an "
            "encoder, or the name of one for load_encoder",
        )
    return given


def by_fingerprint(given: AnyEncoder | Iterable[AnyEncoder]) -> dict[str, Encoder]:
    """Return encoders by fingerprint; load those that are given by name.

    Args:
        given: Several encoders or names, or one.
    """
    single = isinstance(given, str | os.PathLike | Encoder)
    several = [given] if single else given
    loaded = [as_encoder(one) for one in cast("Iterable[AnyEncoder]", several)]
    return {one.info.fingerprint: one for one in loaded}


def _load_static(name: str) -> Encoder:
    """Load a static model: a version in the models folder, a folder, or a model of the hub."""
    from qdrant_static.encoders import loading, modelversions

    if modelversions.is_reference(name):
        found = modelversions.find_model(name)
        return loading.load_folder(found.folder, name=found.reference)
    if Path(name).is_dir():
        return loading.load_folder(name)
    if Path(name).exists():
        raise EncoderNotFoundError(
            name=name, problem="it is a file; a model is a folder", known=known_encoders()
        )
    if _looks_like_hub_name(name):
        return loading.load_hub(name)
    raise EncoderNotFoundError(
        name=name,
        problem="there is no such folder and no such name",
        known=(*known_encoders(), *modelversions.references()),
    )


def _load(target: str) -> Encoder:
    module, function = target.split(":")
    return cast("Encoder", getattr(import_module(module), function)())


def _looks_like_hub_name(name: str) -> bool:
    """Return whether a name is like ``owner/model``, and not the start of a path."""
    owner, slash, model = name.partition("/")
    return bool(slash and owner and model) and "/" not in model and owner[0] not in ".~"
