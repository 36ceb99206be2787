"""Builds a server's collection on this machine, ships it, and records it once it is proved."""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qdrant_static.clients.aliases import aliases_of
from qdrant_static.clients.indexing import restore_indexing
from qdrant_static.clients.scroll import exact_count
from qdrant_static.collection.create import read_spec
from qdrant_static.edge import EdgeClient
from qdrant_static.errors import (
    ArgumentError,
    QdrantStaticError,
    ShipmentRefusedError,
    VerificationError,
)
from qdrant_static.ingestion.continuing import find_built, is_same
from qdrant_static.ingestion.finishing import Finish
from qdrant_static.ingestion.ingestreport import IngestReport
from qdrant_static.ingestion.manifest import rewrite_manifest
from qdrant_static.ingestion.modes import BuildMode
from qdrant_static.shipping.localbuild.local import BuildPlace, build_locally
from qdrant_static.shipping.localbuild.targetcheck import check_free, check_room

if TYPE_CHECKING:
    from qdrant_client import QdrantClient

    from qdrant_static.ingestion.progress import Progress
    from qdrant_static.ingestion.runspec import RunSpec, Workspace
    from qdrant_static.shipping.options import BuildOptions
    from qdrant_static.shipping.progress import ShipProgress

#: The ledger's note of the folder in which the job builds, and of the run that has shipped it.
NOTE = "build"


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildHereRun:
    """Builds and ships the collection of a run; skips what an earlier attempt has completed.

    Attributes:
        request: What the run does.
        workspace: The state folder, ledger and display of the request.
        server: The server that gets the collection.
        build: How it is built and shipped.
        shards: Shards of the collection.
    """

    request: RunSpec
    workspace: Workspace
    server: QdrantClient
    build: BuildOptions
    shards: int

    def execute(self) -> IngestReport:
        """Build and ship; or only ship what is built; or return the report of what is finished.

        Raises:
            CannotShipError: If the server cannot take the collection; nothing was sent.
            ShipmentRefusedError: If a proof failed. The built collection stays; the same command
                ships it again.
        """
        request, workspace = self.request, self.workspace
        restore_indexing(self.server, request.collection, self.workspace.ledger.notes)
        place = self._place()
        done = self._finished(place.folder)
        if done is not None:
            return done
        built = self._built(place.folder)
        if built is None:
            check_free(self.server, request.collection, self.build)
            self._claim(place.folder)
            check_room(place.folder, request)
            built = build_locally(request, workspace, place)
        else:
            self.workspace.display.status(f"run {built.run} is built: it is shipped now")
        if built.interrupted or request.must_stop:
            return replace(built, interrupted=True)
        if not self._has_built(place.folder):
            return built  # no row of the input could be stored
        try:
            return self._ship(place.folder, built)
        except QdrantStaticError as error:
            error.report = built
            raise

    # --- what earlier attempts have done -----------------------------------------------------

    def _place(self) -> BuildPlace:
        return BuildPlace(
            folder=self.build.folder_in(self.workspace.files.path),
            shards=self.shards,
            workers=self.build.workers,
        )

    def _claim(self, folder: Path) -> None:
        """Note the folder before it is used; refuse a collection that this job did not build."""
        notes, collection = self.workspace.ledger.notes, self.request.collection
        if self._is_noted(folder):
            return
        if (before := notes.get(NOTE)) is not None:
            self.workspace.display.note(
                f"what an earlier attempt has built stays in {before['folder']}"
            )
        if folder.exists():
            with EdgeClient(folder) as local:
                if local.collection_exists(collection):
                    raise ArgumentError(
                        field="build.folder",
                        problem=f"{folder} has a collection {collection!r}, which this job did "
                        "not build: ship that (qdrant-static ship), remove it, or take another "
                        "folder",
                    )
        notes[NOTE] = {"folder": str(folder.resolve())}

    def _is_noted(self, folder: Path) -> bool:
        note = self.workspace.ledger.notes.get(NOTE)
        return note is not None and note["folder"] == str(folder.resolve())

    def _finished(self, folder: Path) -> IngestReport | None:
        """Return the report of an attempt that died after it had finished; remove its folder."""
        request, ledger = self.request, self.workspace.ledger
        last = self.workspace.ledger.runs.last()
        if last is None or last.state != "finished" or not self._is_noted(folder):
            return None
        if self.workspace.ledger.notes[NOTE].get("run") != last.id:
            return None
        report = self._report_of(last.id)
        same = is_same(request, ledger, last, shards=self.shards)
        self._clean_up(folder)
        if report is None or not same or not self.server.collection_exists(request.collection):
            return None
        return (
            report if exact_count(self.server, request.collection) == report.points_after else None
        )

    def _built(self, folder: Path) -> IngestReport | None:
        """Return the report of an earlier attempt that has built and not shipped."""
        last = self.workspace.ledger.runs.last()
        if last is None or last.state != "built" or not self._is_noted(folder):
            return None
        with EdgeClient(folder) as local:
            mode = BuildMode(
                client=local,
                request=self.request,
                workspace=self.workspace,
                shards=self.shards,
            )
            run = find_built(mode)
        report = None if run is None else self._report_of(run.id)
        # Its manifest may count the rows as stored already.
        return None if report is None else replace(report, built=report.built + report.stored)

    def _has_built(self, folder: Path) -> bool:
        with EdgeClient(folder) as local:
            return local.collection_exists(self.request.collection)

    def _report_of(self, run: int) -> IngestReport | None:
        try:
            return IngestReport.from_dict(
                json.loads(self.workspace.files.manifest(run).read_bytes())
            )
        except (OSError, ValueError):  # then they are counted again, which is quick
            return None

    # --- ship --------------------------------------------------------------------------------

    def _ship(self, folder: Path, built: IngestReport) -> IngestReport:
        from qdrant_static.shipping.push import ship

        request, build = self.request, self.build
        started = time.perf_counter()
        with EdgeClient(folder) as local:
            try:
                shipment = ship(
                    local,
                    request.collection,
                    self.server,
                    alias=build.alias,
                    replicas=build.replicas or request.spec.server.replicas,
                    peers=build.peers,
                    max_mb_s=build.max_mb_s,
                    untested=build.untested,
                    discard_unfinished=build.discard_unfinished,
                    progress=_ShipProgress(request=request, display=self.workspace.display),
                ).to_dict()
            except _ShipmentStoppedError:
                return replace(built, interrupted=True)
            except ShipmentRefusedError as error:
                earlier = self._earlier(local)
                if earlier is None:
                    raise
                self.workspace.display.note(
                    f"it was proved before, and others have written since: {error}"
                )
                shipment = earlier | {"points": built.points_after}
        if shipment["points"] != built.points_after:
            raise VerificationError(
                collection=request.collection,
                problem=f"{shipment['points']:,} points were shipped, and {built.points_after:,} "
                "were built; another writer, or a loss",
            )
        self._measure()
        report = replace(
            built,
            stored=built.built,
            built=0,
            points_before=0,
            new=built.points_after,
            points_written=built.points_after,
            deleted=0,
            seconds={**built.seconds, "ship": time.perf_counter() - started},
            shipment=shipment,
        )
        # In this order, a finished run always has its manifest, and a leftover folder its note.
        rewrite_manifest(self.workspace.files.manifest(report.run), report)
        self.workspace.ledger.notes[NOTE] = {**self.workspace.ledger.notes[NOTE], "run": report.run}
        self.workspace.ledger.shipped(report.run, points=report.points_after)
        self._clean_up(folder)
        return report

    def _measure(self) -> None:
        """Measure recall on the server: several shards cannot be searched in a local folder."""
        if self.shards == 1:
            return
        finish = Finish(
            client=self.server,
            collection=self.request.collection,
            spec=read_spec(self.server, self.request.collection),
            ledger=self.workspace.ledger,
            run=0,
            display=self.workspace.display,
            stop=self.request.stop,
            query_encoder=self.request.query_encoder,
        )
        finish.measure_recall(finish.spec, changed=True)

    def _earlier(self, local: EdgeClient) -> dict[str, Any] | None:
        """Return this shipment if an attempt that died had proved it and pointed the alias at it.

        The collection has been in use since, so that its proofs need not hold any more.
        """
        from qdrant_static.shipping.packing.segments import fingerprint, read_shards
        from qdrant_static.shipping.targets.target import LIVE, MARK

        collection, alias = self.request.collection, self.build.alias
        with local.shard_folders(collection) as folders:
            own = fingerprint(read_shards(folders))
        if not self.server.collection_exists(collection):
            return None
        metadata = self.server.get_collection(collection).config.metadata or {}
        mark = metadata.get(MARK) or {}
        pointed = alias is None or aliases_of(self.server).get(alias) == collection
        if (mark.get("state"), mark.get("id")) != (LIVE, own) or not pointed:
            return None
        return {"id": own, "collection": collection, "target": collection, "alias": alias}

    def _clean_up(self, folder: Path) -> None:
        """Remove the built folder, unless it is to stay: the server has the collection."""
        if not self.build.keep:
            self.workspace.display.status(f"the server has it: removing {folder}")
            with EdgeClient(folder) as local:
                local.delete_collection(self.request.collection)
            if self.build.folder is None:
                shutil.rmtree(folder)
        self.workspace.ledger.notes.pop(NOTE, None)


class _ShipmentStoppedError(BaseException):
    """Ends a shipment whose job is stopped; the same command continues it."""


@dataclass(frozen=True, slots=True)
class _ShipProgress:
    """Shows the progress of a shipment, and ends it if the job is stopped."""

    request: RunSpec
    display: Progress

    def __call__(self, progress: ShipProgress) -> None:
        if self.request.must_stop and progress.phase in ("preparing", "sending"):
            raise _ShipmentStoppedError
        self.display.shipping(progress.phase, sent=progress.sent_bytes, total=progress.total_bytes)
