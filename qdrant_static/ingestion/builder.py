"""Defines what a job needs of an object that builds its collection elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from qdrant_client import QdrantClient

    from qdrant_static.collection.spec import CollectionSpec
    from qdrant_static.ingestion.ingestreport import IngestReport
    from qdrant_static.ingestion.run import IngestRun


class Builder(Protocol):
    """Builds the collection of a job outside the server and brings it there.

    `qdrant_static.BuildHere` is one. Ingestion knows this interface only, so that it does not
    depend on shipping.
    """

    def shards_for(self, server: QdrantClient, collection: str, spec: CollectionSpec) -> int:
        """Return the number of shards that the built collection gets."""

    def run(self, job: IngestRun, server: QdrantClient, own_rejects: Path | None) -> IngestReport:
        """Build the collection, ship it, and return the account of the run."""
