"""Reads ``card.json``, in which a trained model's folder says how the model was made.

The card is a JSON object. Two keys matter to an encoder. The model was fitted to the vectors of
the encoder with the fingerprint ``card["teacher"]["fingerprint"]``, so that the vectors of both can
be compared; ``card["documents"]["fingerprint"]`` is that of the model's own head for the teacher's
vectors, which are closer still. A model whose space was changed afterwards has neither.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qdrant_static.encoders.modelfiles import read_json
from qdrant_static.errors import InvalidModelError

if TYPE_CHECKING:
    import os

#: The name of the file in a model's folder.
CARD = "card.json"


def read_card(folder: str | os.PathLike[str]) -> dict[str, Any] | None:
    """Read the card of a model.

    Args:
        folder: The model's folder.

    Returns:
        The card; None if the folder has none.

    Raises:
        InvalidModelError: If it is not a JSON object.
    """
    path = Path(folder) / CARD
    if not path.exists():
        return None
    card = read_json(path, str(folder))
    if not isinstance(card, dict):
        raise InvalidModelError(model=str(folder), problem=f"{CARD} is not a JSON object")
    return card


def fitted_to(folder: str | os.PathLike[str]) -> tuple[str, ...]:
    """Return the fingerprints of the encoders that a model was fitted to.

    Args:
        folder: The model's folder.

    Raises:
        InvalidModelError: If the card is not a JSON object, or a fingerprint in it is not a text.
    """
    card = read_card(folder) or {}
    found = []
    for key in ("documents", "teacher"):
        if card.get(key) is None:
            continue
        about = card[key]
        fingerprint = about.get("fingerprint") if isinstance(about, Mapping) else None
        if not isinstance(fingerprint, str) or not fingerprint:
            raise InvalidModelError(
                model=str(folder), problem=f"{CARD}: {key}.fingerprint is not a fingerprint"
            )
        found.append(fingerprint)
    return tuple(dict.fromkeys(found))
