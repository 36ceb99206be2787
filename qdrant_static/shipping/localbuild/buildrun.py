"""Build a server's collection here, ship it, and settle it when the server has proved it."""

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
from qdrant_static.collection.capacity import Corpus, footprint
from qdrant_static.collection.create import read_spec
from qdrant_static.edge import EdgeClient
from qdrant_static.errors import (
    ArgumentError,
    QdrantStaticError,
    ShipmentRefusedError,
    StorageError,
    VerificationError,
)
from qdrant_static.files import make_private
from qdrant_static.ingestion.finishing import Finish
from qdrant_static.ingestion.ingestreport import IngestReport
from qdrant_static.ingestion.manifest import rewrite_manifest
from qdrant_static.shipping.localbuild.local import BuildPlace, build_locally
from qdrant_static.shipping.localbuild.targetcheck import check_free

if TYPE_CHECKING:
    from qdrant_client import QdrantClient

    from qdrant_static.ingestion.run import IngestRun
    from qdrant_static.shipping.options import BuildOptions
    from qdrant_static.shipping.progress import ShipProgress

#: The ledger's note of the folder in which the job builds, and of the run that did.
NOTE = "build"


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildHereRun:
    """One command: build, ship, settle; what an attempt before it has done is not done again.

    Attributes:
        job: What is stored; its client is set here.
        server: Where the collection is to be.
        build: How.
    """

    job: IngestRun
    server: QdrantClient
    build: BuildOptions

    def carry_out(self, own_rejects: Path | None) -> IngestReport:
        """Build and ship; or ship alone, where all is built; or tell again what was finished.

        Raises:
            CannotShipError: If the server cannot take the collection; nothing was sent.
            ShipmentRefusedError: If a proof failed. What was built stays, so that the same command
                ships it again.
        """
        job = self.job
        restore_indexing(self.server, job.collection, job.ledger.notes)
        place = self._place()
        done = self._finished(place.folder)
        if done is not None:
            return done
        built = self._built(place.folder)
        if built is None:
            check_free(self.server, job.collection, self.build)
            self._claim(place.folder)
            self._check_room(place.folder)
            built = build_locally(job, place, own_rejects)
        else:
            job.display.status(f"run {built.run} is built: it is shipped now")
        if built.interrupted or (job.stop is not None and job.stop.is_set()):
            return replace(built, interrupted=True)
        if not self._has_built(place.folder):
            return built  # no row of the input could be stored
        try:
            return self._ship(place.folder, built)
        except QdrantStaticError as error:
            error.report = built
            raise

    # --- what is there -----------------------------------------------------------------------

    def _place(self) -> BuildPlace:
        return BuildPlace(
            folder=self.build.folder_in(self.job.files.path),
            shards=self.job.shards or 1,
            workers=self.build.workers,
        )

    def _claim(self, folder: Path) -> None:
        """Note the folder before anything is in it; what is in it without a note is not ours."""
        notes, collection = self.job.ledger.notes, self.job.collection
        if self._is_ours(folder):
            return
        if (before := notes.get(NOTE)) is not None:
            self.job.display.say(f"what an earlier attempt has built stays in {before['folder']}")
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

    def _is_ours(self, folder: Path) -> bool:
        note = self.job.ledger.notes.get(NOTE)
        return note is not None and note["folder"] == str(folder.resolve())

    def _finished(self, folder: Path) -> IngestReport | None:
        """What an attempt has finished that died before it could tell; its folder goes now."""
        job = self.job
        last = job.ledger.runs.last()
        if last is None or last.state != "finished" or not self._is_ours(folder):
            return None
        if job.ledger.notes[NOTE].get("run") != last.id:
            return None
        report = self._account(last.id)
        same = job.is_same(last)
        self._clean_up(folder)
        if report is None or not same or not self.server.collection_exists(job.collection):
            return None
        return report if exact_count(self.server, job.collection) == report.points_after else None

    def _built(self, folder: Path) -> IngestReport | None:
        """What an earlier attempt has built and not shipped."""
        last = self.job.ledger.runs.last()
        if last is None or last.state != "built" or not self._is_ours(folder):
            return None
        with EdgeClient(folder) as local:
            self.job.client = local
            run = self.job.built()
        report = None if run is None else self._account(run.id)
        # Its manifest may tell of the shipment already.
        return None if report is None else replace(report, built=report.built + report.stored)

    def _has_built(self, folder: Path) -> bool:
        with EdgeClient(folder) as local:
            return local.collection_exists(self.job.collection)

    def _account(self, run: int) -> IngestReport | None:
        try:
            return IngestReport.from_dict(json.loads(self.job.files.manifest(run).read_bytes()))
        except (OSError, ValueError):  # then it is counted once more, which is quick
            return None

    def _check_room(self, folder: Path) -> None:
        """Refuse what cannot fit, before hours are spent: the vectors alone are more."""
        rows = self.job.source.total_rows
        if not rows:
            return
        corpus = Corpus(rows=rows, payload_bytes=0, text_bytes=0)
        least = footprint(self.job.spec, corpus, embedded=True).disk
        make_private(folder)
        there = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        free = shutil.disk_usage(folder).free
        if free + there < least:
            raise StorageError(
                path=str(folder),
                problem=f"{rows:,} rows need {least / 1e9:,.1f} GB there at least, and "
                f"{free / 1e9:,.1f} GB are free: make room, or build in another folder",
            )

    # --- ship --------------------------------------------------------------------------------

    def _ship(self, folder: Path, built: IngestReport) -> IngestReport:
        from qdrant_static.shipping.push import ship

        job, build = self.job, self.build
        started = time.perf_counter()
        with EdgeClient(folder) as local:
            try:
                shipment = ship(
                    local,
                    job.collection,
                    self.server,
                    alias=build.alias,
                    replicas=build.replicas or job.spec.server.replicas,
                    peers=build.peers,
                    max_mb_s=build.max_mb_s,
                    untested=build.untested,
                    discard_unfinished=build.discard_unfinished,
                    progress=_Told(job),
                ).to_dict()
            except _StoppedError:
                return replace(built, interrupted=True)
            except ShipmentRefusedError as error:
                earlier = self._earlier(local)
                if earlier is None:
                    raise
                job.display.say(f"it was proved before, and others have written since: {error}")
                shipment = earlier | {"points": built.points_after}
        if shipment["points"] != built.points_after:
            raise VerificationError(
                collection=job.collection,
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
        # In this order: a run that is finished has its account, and a folder that is left is known.
        rewrite_manifest(job.files.manifest(report.run), report)
        job.ledger.notes[NOTE] = {**job.ledger.notes[NOTE], "run": report.run}
        job.ledger.shipped(report.run, points=report.points_after)
        self._clean_up(folder)
        return report

    def _measure(self) -> None:
        """Several shards cannot be searched here: what they find is measured on the server."""
        if (self.job.shards or 1) == 1:
            return
        finish = Finish(
            client=self.server,
            collection=self.job.collection,
            spec=read_spec(self.server, self.job.collection),
            ledger=self.job.ledger,
            run=0,
            display=self.job.display,
            stop=self.job.stop,
        )
        finish.measure_recall(finish.spec, changed=True)

    def _earlier(self, local: EdgeClient) -> dict[str, Any] | None:
        """This very shipment, if an attempt that died had it proved, and the alias pointed at it.

        The collection is in use since, so that what was proved of it then need not hold now.
        """
        from qdrant_static.shipping.packing.segments import fingerprint, read_shards
        from qdrant_static.shipping.targets.target import LIVE, MARK

        collection, alias = self.job.collection, self.build.alias
        with local.shard_folders(collection) as folders:
            mine = fingerprint(read_shards(folders))
        if not self.server.collection_exists(collection):
            return None
        metadata = self.server.get_collection(collection).config.metadata or {}
        mark = metadata.get(MARK) or {}
        pointed = alias is None or aliases_of(self.server).get(alias) == collection
        if (mark.get("state"), mark.get("id")) != (LIVE, mine) or not pointed:
            return None
        return {"id": mine, "collection": collection, "target": collection, "alias": alias}

    def _clean_up(self, folder: Path) -> None:
        """The server has it: the built folder goes, unless it is to stay."""
        if not self.build.keep:
            self.job.display.status(f"the server has it: removing {folder}")
            with EdgeClient(folder) as local:
                local.delete_collection(self.job.collection)
            if self.build.folder is None:
                shutil.rmtree(folder)
        self.job.ledger.notes.pop(NOTE, None)


class _StoppedError(BaseException):
    """Ends a shipment whose job is to end; the same command finishes it."""


@dataclass(frozen=True, slots=True)
class _Told:
    """Shows how far a shipment is, and ends it if the job is to end."""

    job: IngestRun

    def __call__(self, seen: ShipProgress) -> None:
        stop = self.job.stop
        if stop is not None and stop.is_set() and seen.phase in ("preparing", "sending"):
            raise _StoppedError
        self.job.display.shipping(seen.phase, sent=seen.sent_bytes, total=seen.total_bytes)
