"""Reads the models folder: versions of static models by name, such as ``articles@3``.

The folder can be read, copied and cleaned by hand::

    <models>/
      articles/
        1/                the files of the model, and version.json: fingerprint, time, origin
        2/
        current           the version in use: its number
        latest            the greatest number that was ever given
        lock              locked while the model's versions change

``modelregistry`` adds and removes versions.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qdrant_static import rules
from qdrant_static.encoders.modelcard import read_card
from qdrant_static.errors import EncoderNotFoundError, InvalidModelError

#: The variable of the environment that names the models folder.
VARIABLE = "QDRANT_STATIC_MODELS"
#: The models folder where the variable is not set, below the user's home.
DEFAULT_FOLDER = ".local/share/qdrant-static/models"
#: What stands for the version in use, and the file that holds its number.
CURRENT = "current"
#: What a version's folder says of itself, besides the model's own files.
RECORD = "version.json"
#: What a model may be called.
MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_REFERENCE = re.compile(rf"(?P<name>{MODEL_NAME.pattern})@(?P<version>[^/\\@]*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelVersion:
    """A version of a model.

    Attributes:
        name: The model's name.
        version: Its number.
        folder: The folder of its files.
        current: Whether it is the version in use.
        fingerprint: Of its vectors; empty if the folder was not made by `register_model`.
        dimension: Length of its vectors; 0 if the folder was not made by `register_model`.
        added: When it was added, ISO 8601; empty if the folder was not made by `register_model`.
        origin: The folder that it was copied from.
        card: What its ``card.json`` says: parent, recipe, corpus, figures; empty without one.
        disk_bytes: The size of its files.
    """

    name: str
    version: int
    folder: Path
    current: bool
    fingerprint: str
    dimension: int
    added: str
    origin: str
    card: Mapping[str, Any]
    disk_bytes: int

    @property
    def reference(self) -> str:
        """What `load_encoder` takes: ``articles@3``."""
        return f"{self.name}@{self.version}"

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-like data."""
        return {
            "reference": self.reference,
            "folder": str(self.folder),
            "current": self.current,
            "fingerprint": self.fingerprint,
            "dimension": self.dimension,
            "added": self.added,
            "origin": self.origin,
            "disk_bytes": self.disk_bytes,
            "card": dict(self.card),
        }


def models_folder(models: str | os.PathLike[str] | None = None) -> Path:
    """Return the given models folder, or the one of the environment.

    Args:
        models: The folder; None for that of the variable QDRANT_STATIC_MODELS, or else
            ``~/.local/share/qdrant-static/models``.

    Raises:
        ArgumentError: If the path is empty.
    """
    if models is not None:
        return Path(rules.location("models", models)).expanduser().absolute()
    named = os.environ.get(VARIABLE)
    if named:
        return Path(named).expanduser().absolute()
    return Path.home() / DEFAULT_FOLDER


def is_reference(name: str) -> bool:
    """Return whether a name has the form ``model@version``; a hub name has a slash."""
    return _REFERENCE.fullmatch(name) is not None


def list_models(
    name: str | None = None, *, models: str | os.PathLike[str] | None = None
) -> tuple[ModelVersion, ...]:
    """Return all versions, by name and number.

    Args:
        name: Of this model only; None for all.
        models: The models folder; None for the default one.
    """
    root = models_folder(models)
    names = sorted(one.name for one in root.iterdir()) if root.is_dir() else []
    return tuple(
        read_version(root / one, number)
        for one in names
        if MODEL_NAME.fullmatch(one) and name in (None, one)
        for number in version_numbers(root / one)
    )


def find_model(reference: str, *, models: str | os.PathLike[str] | None = None) -> ModelVersion:
    """Return a version by its reference.

    Args:
        reference: ``"articles@3"``, or ``"articles@current"`` for the version in use; a name alone
            means that, too.
        models: The models folder; None for the default one.

    Raises:
        EncoderNotFoundError: If there is no such version; it lists those that there are.
    """
    root = models_folder(models)
    match = _REFERENCE.fullmatch(reference if "@" in reference else f"{reference}@{CURRENT}")
    if match is None:
        raise _not_found(reference, "it is not of the form name@version", root)
    home, version = root / match["name"], match["version"]
    numbers = version_numbers(home)
    if not numbers:
        raise _not_found(reference, f"{root} has no model {match['name']!r}", root)
    if version == CURRENT:
        number = read_number(home / CURRENT)
        if number not in numbers:
            raise _not_found(
                reference, f"no version of {match['name']!r} is in use: choose one with `use`", root
            )
        return read_version(home, number)
    if not version.isdecimal() or int(version) not in numbers:
        raise _not_found(
            reference,
            f"{root} has the versions {', '.join(map(str, numbers))} of {match['name']!r}",
            root,
        )
    return read_version(home, int(version))


def references(models: str | os.PathLike[str] | None = None) -> tuple[str, ...]:
    """Return the references of all versions, without reading their files."""
    root = models_folder(models)
    if not root.is_dir():
        return ()
    names = sorted(one.name for one in root.iterdir() if MODEL_NAME.fullmatch(one.name))
    return tuple(f"{name}@{number}" for name in names for number in version_numbers(root / name))


def read_version(home: Path, number: int) -> ModelVersion:
    """Return a version of the model whose versions are in the folder."""
    folder = home / str(number)
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        record = {}
    try:
        card = read_card(folder) or {}
    except InvalidModelError:  # a list is shown whatever a card says; loading raises it
        card = {}
    return ModelVersion(
        name=home.name,
        version=number,
        folder=folder,
        current=read_number(home / CURRENT) == number,
        fingerprint=str(record.get("fingerprint", "")),
        dimension=int(record.get("dimension", 0)),
        added=str(record.get("added", "")),
        origin=str(record.get("origin", "")),
        card=card,
        disk_bytes=sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()),
    )


def version_numbers(home: Path) -> list[int]:
    """Return the numbers of a model's versions, ascending; none if there is no such model."""
    if not home.is_dir():
        return []
    return sorted(
        int(one.name)
        for one in home.iterdir()
        if re.fullmatch("[1-9][0-9]*", one.name) and one.is_dir()
    )


def read_number(path: Path) -> int:
    """Return the number in a file; 0 if there is none."""
    try:
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return 0
    return int(text) if text.isdecimal() else 0


def _not_found(reference: str, problem: str, root: Path) -> EncoderNotFoundError:
    if Path(reference).is_dir():
        problem += f" (for the folder of that name, write ./{reference})"
    return EncoderNotFoundError(name=reference, problem=problem, known=references(root))
