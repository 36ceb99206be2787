"""Adds, chooses and removes versions of models in the models folder.

A number is never given twice, so that a collection whose metadata names ``articles@3`` can rely on
it. A version is written beside, then renamed to its number: a reader never finds half a model.
``modelversions`` says what the folder looks like.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from qdrant_static import rules
from qdrant_static.clock import now
from qdrant_static.encoders.modelversions import (
    CURRENT,
    MODEL_NAME,
    RECORD,
    ModelVersion,
    find_model,
    models_folder,
    read_number,
    read_version,
    version_numbers,
)
from qdrant_static.errors import (
    ArgumentError,
    EncoderNotFoundError,
    InvalidModelError,
    ModelInUseError,
    ModelLockedError,
)
from qdrant_static.files import LockFile, LockHeldError, replace_file, sync_folder

_LATEST, _LOCK = "latest", "lock"
#: How long to wait for another process that adds or removes a version, in seconds.
_WAIT_S = 60.0


def register_model(
    folder: str | os.PathLike[str],
    name: str,
    *,
    use: bool = False,
    models: str | os.PathLike[str] | None = None,
) -> ModelVersion:
    """Add the next version of a model: a copy of a folder that `load_encoder` loads.

    The first version of a name becomes the one in use; later ones when `use_model` says so.

    Args:
        folder: A static model in model2vec's or sentence-transformers' format.
        name: The model's name: letters, digits, ``.``, ``_`` and ``-``.
        use: Make it the version in use.
        models: The models folder; None for the default one.

    Raises:
        ArgumentError: If the name is not valid.
        EncoderNotFoundError: If the folder holds no static model.
        InvalidModelError: If its files do not fit together.
        ModelLockedError: If another process changes the versions of this model for long.
    """
    from qdrant_static.encoders.loading import load_folder

    _check_name(name)
    origin = Path(rules.location("folder", folder)).expanduser().absolute()
    if not origin.is_dir():
        raise EncoderNotFoundError(name=str(folder), problem="there is no such folder")
    info = load_folder(origin).info
    home = models_folder(models) / name
    home.mkdir(parents=True, exist_ok=True)
    with _locked(home, name, "adding a version"):
        for leftover in home.glob(".*.tmp"):  # of a process that was stopped: we hold the lock
            shutil.rmtree(leftover, ignore_errors=True)
        number = max([read_number(home / _LATEST), *version_numbers(home)]) + 1
        _write_number(home / _LATEST, number)
        staged = home / f".{number}.{os.getpid()}.tmp"
        try:
            shutil.copytree(origin, staged, ignore=shutil.ignore_patterns(".*", RECORD))
            copied = load_folder(staged).info
            if copied.fingerprint != info.fingerprint:
                raise InvalidModelError(
                    model=str(origin), problem="it was changed while it was copied; add it again"
                )
            record = {
                "fingerprint": info.fingerprint,
                "dimension": info.dimension,
                "added": now(),
                "origin": str(origin),
            }
            replace_file(staged / RECORD, json.dumps(record, indent=2).encode() + b"\n")
            staged.rename(home / str(number))
        finally:
            shutil.rmtree(staged, ignore_errors=True)
        sync_folder(home)
        if use or read_number(home / CURRENT) not in version_numbers(home):
            _write_number(home / CURRENT, number)
        return read_version(home, number)


def use_model(reference: str, *, models: str | os.PathLike[str] | None = None) -> ModelVersion:
    """Make a version the one in use, which ``name@current`` loads.

    Collections keep the version that they were made with.

    Raises:
        EncoderNotFoundError: If there is no such version.
        ModelLockedError: If another process changes the versions of this model for long.
    """
    found = find_model(reference, models=models)
    home = found.folder.parent
    with _locked(home, found.name, "choosing the version in use"):
        find_model(found.reference, models=models)  # not removed in the meantime
        _write_number(home / CURRENT, found.version)
        return read_version(home, found.version)


def remove_model(
    reference: str, *, force: bool = False, models: str | os.PathLike[str] | None = None
) -> ModelVersion:
    """Delete a version; its number is not given again.

    Args:
        reference: ``"articles@3"``.
        force: Delete it even if it is the version in use.
        models: The models folder; None for the default one.

    Raises:
        EncoderNotFoundError: If there is no such version.
        ModelInUseError: If it is the version in use.
        ModelLockedError: If another process changes the versions of this model for long.
    """
    found = find_model(reference, models=models)
    home = found.folder.parent
    with _locked(home, found.name, "removing a version"):
        found = find_model(found.reference, models=models)
        if found.current and not force:
            raise ModelInUseError(
                model=found.reference,
                problem="it is the version in use: choose another one with `use`, or give "
                "force=True",
            )
        _write_number(home / _LATEST, max(read_number(home / _LATEST), found.version))
        gone = home / f".{found.version}.{os.getpid()}.tmp"
        found.folder.rename(gone)
        if found.current:
            (home / CURRENT).unlink(missing_ok=True)
        sync_folder(home)
        shutil.rmtree(gone, ignore_errors=True)
    return found


def _write_number(path: Path, number: int) -> None:
    replace_file(path, f"{number}\n".encode())


@contextmanager
def _locked(home: Path, name: str, purpose: str) -> Iterator[None]:
    lock = LockFile(home / _LOCK)
    try:
        lock.acquire(purpose, timeout_s=_WAIT_S)
    except LockHeldError as error:
        raise ModelLockedError(model=name, owner=str(error.owner)) from error
    try:
        yield
    finally:
        lock.release()


def _check_name(name: str) -> None:
    if not isinstance(name, str) or not MODEL_NAME.fullmatch(name):
        raise ArgumentError(
            field="name",
            problem=f"{name!r} cannot name a model: allowed are 1 to 100 letters, digits, '.', "
            "'_' and '-', the first a letter or digit",
        )
