"""The collections that changes go to, each with its encoder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from qdrant_static.clients.retry import call_with_retries
from qdrant_static.collection.create import check_encoder
from qdrant_static.collection.spec import METADATA_KEY, CollectionSpec
from qdrant_static.encoders.registry import AnyEncoder, by_fingerprint, load_encoder
from qdrant_static.errors import NotAPlannedCollectionError
from qdrant_static.journal.generation import Generation

if TYPE_CHECKING:
    from qdrant_static.clients.connect import Client
    from qdrant_static.clients.retry import RetryPolicy


class Generations:
    """The collections that changes go to; each is described anew when its description changes.

    Args:
        client: Where they are.
        encoders: Encoders that are loaded already; others are loaded by the name in the spec.
    """

    def __init__(self, client: Client, encoders: Sequence[AnyEncoder] = ()) -> None:
        self._client = client
        self._encoders = by_fingerprint(encoders)
        self._known: dict[str, tuple[Mapping[str, Any], Generation]] = {}

    def metadata(self, name: str, retry: RetryPolicy | None = None) -> Mapping[str, Any]:
        """What a collection carries.

        Raises:
            CollectionNotFoundError: If there is none of that name.
        """
        client = self._client
        info = call_with_retries(
            client,
            name,
            "reading the collection's description",
            lambda: client.get_collection(name),
            retry=retry,
        )
        return dict(info.config.metadata or {})

    def of(
        self,
        name: str,
        metadata: Mapping[str, Any] | None = None,
        retry: RetryPolicy | None = None,
    ) -> Generation:
        """A collection as it is now.

        Args:
            name: The collection.
            metadata: What it carries, if that was just read.
            retry: How long to try where the server does not answer.

        Raises:
            CollectionNotFoundError: If there is none of that name.
            NotAPlannedCollectionError: If it does not say what its encoder is.
            EncoderMismatchError: If the model of that name is not what made its vectors.
        """
        described = (self.metadata(name, retry) if metadata is None else metadata).get(METADATA_KEY)
        if described is None:
            raise NotAPlannedCollectionError(collection=name)
        before = self._known.get(name)
        if before is not None and before[0] == described:
            return before[1]
        spec = CollectionSpec.from_dict(described)
        encoder = self._encoders.get(spec.encoder.fingerprint)
        if encoder is None:
            encoder = load_encoder(spec.encoder.name)
            check_encoder(name, spec.encoder, encoder.info)
            self._encoders[spec.encoder.fingerprint] = encoder
        made = Generation(self._client, name, spec, encoder)
        self._known[name] = (described, made)
        return made
