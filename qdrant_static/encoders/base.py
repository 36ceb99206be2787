"""Protocols of encoders, and the description of an encoder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderInfo:
    """Identity of an encoder, and how it works.

    Two infos are equal if their identities are equal.

    Attributes:
        name: What `load_encoder` takes to load it again: a hub name, a path, ``"wordllama"``.
        dimension: Length of its vectors.
        fingerprint: Digest of everything that determines its vectors; two encoders with the same
            fingerprint give the same vectors, whatever their names.
        revision: The commit of the hub's repository, if known.
        route: How text becomes token ids: ``"wordpiece"``, ``"chunk-memo"`` or ``"plain"``; empty
            for an encoder that is not static.
        reason: Why no faster route is used; empty for the fastest.
        normalized: Whether its vectors have length 1.
        max_length: Texts are cut to this number of tokens; None for no limit.
        pooling: ``"mean"`` or ``"sum"``; empty for an encoder that is not static.
        dtype: Type of its token table; empty for an encoder that is not static.
        fitted_to: Fingerprints of the encoders to whose vectors this one was fitted, so that the
            vectors of both can be compared (`CollectionSpec.queries`).
    """

    name: str
    dimension: int
    fingerprint: str
    revision: str | None = None
    route: str = field(default="", compare=False)
    reason: str = field(default="", compare=False)
    normalized: bool = field(default=True, compare=False)
    max_length: int | None = field(default=None, compare=False)
    pooling: str = field(default="", compare=False)
    dtype: str = field(default="", compare=False)
    fitted_to: tuple[str, ...] = field(default=(), compare=False)

    def identity(self) -> dict[str, Any]:
        """Return what a collection's metadata keeps: the fields that count for equality.

        Also what the encoder was fitted to, if anything.
        """
        return {
            "name": self.name,
            "dimension": self.dimension,
            "fingerprint": self.fingerprint,
            "revision": self.revision,
            **({"fitted_to": list(self.fitted_to)} if self.fitted_to else {}),
        }


@runtime_checkable
class Encoder(Protocol):
    """Encodes texts to one vector per text.

    An encoder may be used by several threads at once. One that encodes queries differently has
    ``encode_queries(texts)`` as well, see `QueryEncoder`.
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


@runtime_checkable
class QueryEncoder(Encoder, Protocol):
    """An encoder that encodes queries differently from documents, for example with a prefix.

    The method is optional: `encode_queries` of ``encoders.queries`` takes ``encode`` for an encoder
    without it.
    """

    def encode_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Encode queries.

        Args:
            texts: n strings.

        Returns:
            float32 ``(n, dimension)``, to be compared with the vectors of ``encode``.
        """
        ...


@runtime_checkable
class LateInteractionEncoder(Protocol):
    """Encodes texts to one vector per token, for a multi-vector compared by MaxSim.

    Queries and documents are encoded differently. It may be used by several threads at once.
    """

    @property
    def info(self) -> EncoderInfo:
        """Name, dimension of a token's vector, and fingerprint."""
        ...

    def encode(self, texts: Sequence[str]) -> list[NDArray[np.float32]]:
        """Encode documents.

        Args:
            texts: n strings.

        Returns:
            n times float32 ``(tokens, dimension)``.
        """
        ...

    def encode_queries(self, texts: Sequence[str]) -> list[NDArray[np.float32]]:
        """Encode queries.

        Args:
            texts: n strings.

        Returns:
            n times float32 ``(tokens, dimension)``.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossEncoderInfo:
    """Identity of a cross-encoder.

    Attributes:
        name: The name that loads it again.
        fingerprint: Digest of everything that determines its scores.
    """

    name: str
    fingerprint: str


@runtime_checkable
class CrossEncoder(Protocol):
    """Scores how well texts fit a query, by reading both together."""

    @property
    def info(self) -> CrossEncoderInfo:
        """Name and fingerprint."""
        ...

    def scores(self, query: str, texts: Sequence[str]) -> NDArray[np.float32]:
        """Score texts for a query.

        Args:
            query: The query.
            texts: n strings.

        Returns:
            float32 ``(n,)``, higher is better; without a fixed range, comparable within a query.
        """
        ...
