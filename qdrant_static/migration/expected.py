"""What the vectors of a new generation must be: blue's own, or what its encoder gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from qdrant_static.collection.vectorform import original_form, vector_of
from qdrant_static.ids import plain_id

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from qdrant_static.clients.connect import Client
    from qdrant_static.collection.spec import CollectionSpec
    from qdrant_static.ids import PointId


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """The vectors with which green's are compared.

    The same encoder gives the same vectors of the same text: they are blue's, however that text
    was made. Another encoder's are what it gives of the payload, if that holds the whole text.

    Attributes:
        blue: The spec of the collection that serves.
        green: That of the new one.
    """

    blue: CollectionSpec
    green: CollectionSpec

    @property
    def is_blue(self) -> bool:
        """Whether they are blue's."""
        blue, green = self.blue, self.green
        return (
            blue.encoder.fingerprint == green.encoder.fingerprint
            and blue.vectors[0].size == green.vectors[0].size
            and blue.fields.same_text(green.fields)
        )

    @property
    def exact(self) -> bool:
        """Whether they have all the bits that the encoder gave."""
        return not self.is_blue or self.blue.vectors[0].datatype in ("float32", "float16")

    def unknown(self) -> str | None:
        """Why they are not known, in words; None if they are."""
        fields = self.green.fields
        if self.is_blue:
            return None
        if fields.ready_vectors:
            return "they were given with the rows, and are not the encoder's"
        if fields.mixed:
            return "the texts were made by different templates"
        if fields.unstored:
            return f"the payload does not hold all of the text ({', '.join(fields.unstored)})"
        return None if fields.text else "the payload holds no text"

    def vectors(
        self, client: Client, collection: str, ids: Sequence[Any]
    ) -> dict[PointId, NDArray[np.float32]]:
        """The full vectors of points of blue, ``(1, size)`` each; none if they are not blue's.

        Args:
            client: Where blue is.
            collection: Blue's name.
            ids: The points.
        """
        if not self.is_blue:
            return {}
        full = self.blue.vectors[0]
        found = client.retrieve(collection, list(ids), with_payload=False, with_vectors=[full.name])
        return {
            plain_id(one.id): original_form(np.asarray([row], np.float32), full)
            for one in found
            if (row := vector_of(one, full.name)) is not None
        }

    def remark(self, *, differ: bool) -> str:
        """Return what to add to a sentence on how many differ."""
        if not self.is_blue:
            return ""
        if not differ:
            return "; compared with blue's"
        words = " from blue's, which the same encoder made"
        if not self.blue.fields.is_complete:
            words += (
                ". An earlier version did not keep how blue's text was made of "
                f"{', '.join(self.blue.fields.text)} (a template, columns that are not stored): "
                "abort, and build it from the files"
            )
        return words
