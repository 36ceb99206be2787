"""Applies a head after an encoder, and to vectors that come ready."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from qdrant_static.encoders.base import Encoder, EncoderInfo
from qdrant_static.encoders.head import Head, head_file, load_head
from qdrant_static.encoders.queries import encode_queries
from qdrant_static.errors import ArgumentError, EncoderUnavailableError, InvalidModelError

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Prefix of heads in `load_encoder` and in the metadata of collections.
PREFIX = "head:"


class HeadEncoder:
    """An encoder whose vectors a head shortens.

    Args:
        head: The head, or the path of its JSON file.
        encoder: The encoder of the vectors that the head takes; None where all vectors come ready:
            such an encoder shortens them, and cannot encode text.
        name: The name in ``info``; by default ``head:`` and the path of the JSON file.

    Raises:
        InvalidModelError: If the head was made for another encoder.
        ArgumentError: If the head is not given as a file, and there is no name.
    """

    def __init__(
        self,
        head: Head | str | os.PathLike[str],
        encoder: Encoder | None = None,
        *,
        name: str | None = None,
    ) -> None:
        if not isinstance(head, Head):
            name = PREFIX + str(head_file(head)) if name is None else name
            head = load_head(head)
        if name is None:
            raise ArgumentError(field="name", problem="a head that is not a file needs a name")
        if encoder is not None:
            _check(head, encoder.info, name)
        self._encoder = encoder
        self._name = name
        self.head = head
        self._info = EncoderInfo(
            name=name, dimension=head.outputs, fingerprint=head.fingerprint, normalized=True
        )

    @property
    def info(self) -> EncoderInfo:
        """Name, dimension of the shortened vectors, and the fingerprint of head and encoder."""
        return self._info

    @property
    def uses_all_cores(self) -> bool:
        """Whether one call of `encode` keeps all cores busy."""
        return bool(getattr(self._encoder, "uses_all_cores", False))

    @property
    def ready_dimension(self) -> int:
        """Dimension of the ready vectors that it takes."""
        return self.head.inputs

    def from_ready(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Shorten ready vectors.

        Args:
            vectors: float32 ``(n, ready_dimension)``.

        Returns:
            float32 ``(n, dimension)``.
        """
        return self.head.apply(vectors)

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Encode texts as documents, and shorten their vectors.

        Raises:
            EncoderUnavailableError: If it has no encoder.
        """
        return self.head.apply(self._inner().encode(texts))

    def encode_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Encode texts as queries, and shorten their vectors.

        Raises:
            EncoderUnavailableError: If it has no encoder.
        """
        return self.head.apply(encode_queries(self._inner(), texts))

    def _inner(self) -> Encoder:
        if self._encoder is None:
            raise EncoderUnavailableError(
                name=self._name,
                problem="the head does not name the encoder of its vectors, so that texts cannot "
                "be encoded: give HeadEncoder(head, encoder), or export the head with an encoder",
            )
        return self._encoder


def load_head_encoder(name: str, load: Callable[[str], Encoder]) -> HeadEncoder:
    """Load a head, and the encoder that it names.

    Args:
        name: ``head:`` and the path of its JSON file.
        load: Loads an encoder by name.
    """
    path = name.removeprefix(PREFIX)
    head = load_head(path)
    return HeadEncoder(path, None if head.encoder is None else load(head.encoder))


def ready_dimension(encoder: Encoder) -> int:
    """Return the dimension that ready vectors must have where this encoder is the collection's."""
    return int(getattr(encoder, "ready_dimension", encoder.info.dimension))


def from_ready(encoder: Encoder, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return what is stored of ready vectors: a head shortens them, others leave them as they are.

    Args:
        encoder: The collection's encoder.
        vectors: float32 ``(n, ready_dimension(encoder))``.
    """
    return encoder.from_ready(vectors) if isinstance(encoder, HeadEncoder) else vectors


def _check(head: Head, info: EncoderInfo, name: str) -> None:
    if head.encoder_fingerprint not in (None, info.fingerprint):
        raise InvalidModelError(
            model=name,
            problem=f"it is for the vectors of {head.encoder!r} ({head.encoder_fingerprint}), and "
            f"not for those of {info.name!r} ({info.fingerprint})",
        )
    if info.dimension != head.inputs:
        raise InvalidModelError(
            model=name,
            problem=f"it takes {head.inputs} dimensions; {info.name!r} makes {info.dimension}",
        )
