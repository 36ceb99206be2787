"""A collection that is built in a local folder: by one process, or by one for each shard."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from qdrant_static.edge import EdgeClient
from qdrant_static.encoders.threads import core_count
from qdrant_static.ingestion.run import IngestRun
from qdrant_static.shipping.localbuild.shardedrun import SharedMode, SharedRun

if TYPE_CHECKING:
    from qdrant_static.ingestion.ingestreport import IngestReport
    from qdrant_static.ingestion.runspec import RunSpec, Workspace

#: So many rows are stored before another process has started.
_FEW_ROWS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildPlace:
    """Where a collection is built, and by how many.

    Attributes:
        folder: Of the `EdgeClient` that is to hold the whole collection.
        shards: Its shards.
        workers: Processes that build at most; None: as many as there are processors.
    """

    folder: Path
    shards: int
    workers: int | None


def build_locally(request: RunSpec, workspace: Workspace, place: BuildPlace) -> IngestReport:
    """Build what a job stores, or go on building it.

    When it returns a report that is not `interrupted`, then

    - ``place.folder`` holds the collection, complete, with its indexes, and nobody has it open;
    - the job's ledger has the run in state ``built`` and with ``building`` set, all its batches
      ``built``, and all its rows;
    - the run's manifest is there, with this report, in which rows are ``built`` and not stored;
    - it was counted and samples were read back.

    After a report that is, or an error, or the death of the process, the same call goes on.

    Args:
        request: What the run does.
        workspace: Its state folder, ledger and display.
        place: Where, and by how many.
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
