"""Defines `BuildHere`: builds the collection of an ingest on this machine and ships it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from qdrant_static.shipping.options import BuildOptions

if TYPE_CHECKING:
    from qdrant_client import QdrantClient

    from qdrant_static.collection.spec import CollectionSpec
    from qdrant_static.ingestion.ingestreport import IngestReport
    from qdrant_static.ingestion.runspec import RunSpec, Workspace


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildHere(BuildOptions):
    """Builds a server's collection on this machine, and ships it with its indexes.

    Its fields are those of `BuildOptions`.
    """

    def shards_for(self, server: QdrantClient, collection: str, spec: CollectionSpec) -> int:
        """Return the number of shards that the built collection gets.

        Raises:
            ArgumentError: If what is asked for differs from what the server has.
        """
        from qdrant_static.shipping.localbuild.targetcheck import shards_of

        return shards_of(server, collection, spec, self)

    def run(
        self, request: RunSpec, workspace: Workspace, server: QdrantClient, *, shards: int
    ) -> IngestReport:
        """Build the collection of a run on this machine, ship it, and return the report."""
        from qdrant_static.shipping.localbuild.buildrun import BuildHereRun

        return BuildHereRun(
            request=request, workspace=workspace, server=server, build=self, shards=shards
        ).execute()
