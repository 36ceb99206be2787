"""What an encoder is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderInfo:
    """Who an encoder is, as a collection's metadata keeps it.

    Attributes:
        name: What `load_encoder` takes to load it again: a hub name, a path, ``"wordllama"``.
        dimension: Length of its vectors.
        fingerprint: Digest of all that decides its vectors; two encoders with the same
            fingerprint give the same vectors, whatever their names.
        revision: The commit of the hub's repository, where it is known.
    """

    name: str
    dimension: int
    fingerprint: str
    revision: str | None = None


@runtime_checkable
class Encoder(Protocol):
    """Text -> one vector per text.

    An encoder may be used by several threads at once.
    """

    @property
    def info(self) -> EncoderInfo:
        """Name, dimension and fingerprint."""
        ...

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Encode texts.

        Args:
            texts: n strings.

        Returns:
            float32 ``(n, dimension)``; a text without a known token is a row of zeros.
        """
        ...
