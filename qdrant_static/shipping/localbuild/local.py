"""Builds a collection in a local folder, by one process or by one for each shard."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from qdrant_static.edge import EdgeClient
from qdrant_static.encoders.threads import core_count
from qdrant_static.ingestion.run import IngestRun
from qdrant_static.shipping.localbuild.shardedrun import SharedRun
from qdrant_static.shipping.localbuild.shardparts import SharedMode

if TYPE_CHECKING:
    from qdrant_static.ingestion.ingestreport import IngestReport
    from qdrant_static.ingestion.runspec import RunSpec, Workspace

#: So many rows are stored in the time that another process needs to start.
_FEW_ROWS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildPlace:
    """Where a collection is built, and by how many processes.

    Attributes:
        folder: The folder of the `EdgeClient` with the whole collection.
        shards: Number of shards.
        workers: Most processes; None: as many as there are processors.
    """

    folder: Path
    shards: int
    workers: int | None


def build_locally(request: RunSpec, workspace: Workspace, place: BuildPlace) -> IngestReport:
    """Build the collection of a run, or continue to build it.

    When the report that it returns is not `interrupted`, then

    - ``place.folder`` has the complete collection with its indexes, and no process has it open;
    - the ledger has the run in state ``built`` and with ``building`` set, all its batches
      ``built``, and all its rows;
    - the run's manifest has this report, in which rows are ``built`` and not stored;
    - the points were counted and samples were read back.

    After an interrupted report, an error, or a crash, the same call continues.

    Args:
        request: What the run does.
        workspace: Its state folder, ledger and display.
        place: Where, and by how many processes.
    """
    with EdgeClient(place.folder) as local:
        workers = place.workers
        if workers is None:
            rows = request.source.total_rows
            few = rows is not None and rows < _FEW_ROWS
            workers = 1 if few else core_count()
        mode = SharedMode(
            client=local,
            request=request,
            workspace=workspace,
            shards=place.shards,
            folder=place.folder,
        )
        return SharedRun(mode=mode, run=IngestRun(mode=mode), workers=workers).execute()
