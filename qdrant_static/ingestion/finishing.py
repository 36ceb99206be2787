"""The steps after the load: delete vanished points, build the index, count, compare samples."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from qdrant_static.clients.retry import call_with_retries
from qdrant_static.clients.scroll import exact_count
from qdrant_static.collection.create import write_spec
from qdrant_static.errors import DeletionRefusedError, EngineError, VerificationError
from qdrant_static.ids import id_of_digest
from qdrant_static.ingestion.indexestimate import NOTE, expected_seconds, indexed_part
from qdrant_static.ingestion.options import DELETION_SHARE
from qdrant_static.ingestion.verify import check_samples
from qdrant_static.measuring.assess import assess, is_assessed
from qdrant_static.querying.filters import index_warnings
from qdrant_static.sinks.sink import build_index

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from qdrant_static.clients.connect import Client
    from qdrant_static.clients.indexing import IndexProgress
    from qdrant_static.collection.spec import CollectionSpec, Fields
    from qdrant_static.edge.indexbuild import BuildProgress
    from qdrant_static.encoders.base import Encoder
    from qdrant_static.ids import PointId
    from qdrant_static.ingestion.progress import Progress
    from qdrant_static.ingestion.writing import Sampled
    from qdrant_static.ledger.ledger import Ledger
    from qdrant_static.ledger.records import Totals
    from qdrant_static.sinks.encoding import BatchEncoder

#: From so many points on, an index is built by another process, which takes a second to start.
WATCHED_BUILD_ROWS = 20_000


class _IndexingStoppedError(BaseException):
    """Raised by a progress callback to stop the building of an index."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finish:
    """The steps of a run after its load.

    Attributes:
        client: An `EdgeClient` or a `QdrantClient`.
        collection: The collection.
        spec: Its spec.
        ledger: The ledger.
        run: The run's number.
        display: Shows the progress.
        stop: An event that ends the run.
        query_encoder: The encoder of queries, if the search is asymmetric and it was given.
    """

    client: Client
    collection: str
    spec: CollectionSpec
    ledger: Ledger
    run: int
    display: Progress
    stop: threading.Event | None
    query_encoder: Encoder | None = None

    def delete_missing(
        self, delete: Callable[[list[PointId]], None], *, force: bool
    ) -> DeletionRefusedError | None:
        """Delete the points whose keys are not in the input; return the error if that is refused.

        Args:
            delete: Deletes points.
            force: Delete them even if they are many.
        """
        vanished = self.ledger.rows.count_vanished(self.run)
        if not vanished:
            return None
        points = self.ledger.rows.count()
        if vanished > DELETION_SHARE * points and not force:
            return DeletionRefusedError(
                collection=self.collection,
                vanished=vanished,
                points=points,
                problem=f"more than {DELETION_SHARE:.0%} of all",
            )
        self.display.phase(f"deleting {vanished:,} points that are not in the input ...")
        for page in self.ledger.rows.pages(not_in_run=self.run):
            digests = [digest for digest, _, _ in page]
            delete([id_of_digest(one) for one in digests])
            self.ledger.rows.remove_deleted(self.run, digests)
        return None

    def note_left_over(self, totals: Totals, *, passages: bool) -> None:
        """Note that points stay of rows that are rejected now, or of passages that are gone."""
        if not (totals.rejected or passages):
            return
        if points := self.ledger.rows.count_vanished(self.run):
            have = "1 point has" if points == 1 else f"{points:,} points have"
            self.display.note(
                f"{have} no row or passage in this input that could be stored: what earlier runs "
                "stored stays, and is found. If this is the whole input, --sync --delete-missing "
                "deletes it"
            )

    def build_index(self, rows: int) -> bool:
        """Build the index; return False if it was interrupted.

        Where the progress is watched or the run may be stopped, the index of a large embedded
        collection is built by another process. Stopping kills that process, and the collection is
        as it was.
        """
        if self._must_stop():
            return False
        self.display.indexing(rows)
        points = self.ledger.rows.count()
        watched = points >= WATCHED_BUILD_ROWS and (
            self.display.is_watched or self.stop is not None
        )
        expected = expected_seconds(self.spec, points, self.ledger.notes.get(NOTE))
        started = time.monotonic()

        def show_local(seen: BuildProgress) -> None:
            if self._must_stop():
                raise _IndexingStoppedError
            size = f"{seen.disk_bytes / 1e6:,.0f} MB on disk"
            self.display.building(seen.elapsed_s, expected_s=expected, detail=size)

        def show_server(seen: IndexProgress) -> None:
            if self._must_stop():
                raise _IndexingStoppedError
            elapsed = time.monotonic() - started
            part = indexed_part(seen, points)
            self.display.building(
                elapsed,
                expected_s=elapsed / part if part else None,
                detail="the server indexes" if part is None else f"{part:.0%} of the points",
            )

        try:
            build_index(
                self.client,
                self.collection,
                progress=show_local if watched else None,
                waiting=show_server,
            )
        except _IndexingStoppedError:
            return False
        except EngineError:
            # The signal may have ended the process that builds as well.
            if not self._must_stop():
                raise
            return False
        if watched:
            seconds = time.monotonic() - started
            self.ledger.notes[NOTE] = {"points": points, "seconds": seconds}
        return True

    def measure_recall(self, spec: CollectionSpec, *, changed: bool) -> CollectionSpec:
        """Measure the recall of searches that compare codes, and note it.

        Args:
            spec: As its metadata has it now.
            changed: Whether this run changed the collection.

        Returns:
            The spec, with what was measured.
        """
        if is_assessed(spec) and not changed:
            return spec
        try:
            found = assess(
                self.client, self.collection, spec, by="ingest", encoder=self.query_encoder
            )
        except Exception as error:  # all is stored: a missing figure fails no job
            self.display.note(f"recall could not be measured: {error}")
            return spec
        if found is None:
            return spec
        for line in found.lines():
            self.display.note(line)
        return found.spec

    def check_indexes(self) -> None:
        """Warn of payload indexes that lack points, as by a misspelled name or another type."""
        if not self.spec.payload_indexes:
            return
        for warning in call_with_retries(
            self.client,
            self.collection,
            "reading the payload indexes",
            partial(index_warnings, self.client, self.collection),
        ):
            self.display.note(f"warning: {warning}")

    def _must_stop(self) -> bool:
        return self.stop is not None and self.stop.is_set()

    def count(
        self, totals: Totals, *, before: int, deleted: int, complete: bool
    ) -> tuple[int, int]:
        """Count exactly, and check it against the sum.

        Args:
            totals: The run's.
            before: Points before it.
            deleted: Points that it deleted.
            complete: Whether the ledger knew all points beforehand.

        Returns:
            Points now, and how many of them are new.

        Raises:
            VerificationError: If it does not agree.
        """
        after = exact_count(self.client, self.collection)
        if complete:
            expected = before + totals.new - deleted
            if after != expected:
                self._disagree(
                    f"{after} points after {before} before and {totals.stored} acknowledged "
                    f"({totals.new} new, {deleted} deleted)"
                )
            return after, totals.new
        if not before - deleted <= after <= before + totals.points - deleted:
            self._disagree(f"{after} points after {before} before and {totals.points} acknowledged")
        return after, after - before + deleted

    def with_fields(self, fields: Fields, totals: Totals) -> CollectionSpec:
        """Return the spec with how the job makes its texts, if all points are of this job.

        The spec may lack it: an earlier version did not record it, or earlier jobs stored less.

        Args:
            fields: Where the job's payloads hold key and text.
            totals: The run's.
        """
        stored = self.spec.fields
        known = stored.is_complete and stored.ready_vectors == fields.ready_vectors
        if not fields.all_columns or (known and fields.same_payload(stored)):
            return self.spec
        if (
            totals.reasons.get("refused")
            or self.ledger.rows.count_vanished(self.run)
            or self.ledger.rows.count_kept()
        ):
            return self.spec
        if exact_count(self.client, self.collection) != self.ledger.rows.count():
            return self.spec
        spec = self.spec.with_source(fields=fields, mean_length=None)
        write_spec(self.client, self.collection, spec)
        return spec

    def read_back(self, encoder: BatchEncoder, sampled: Iterable[Sampled]) -> int:
        """Compare stored samples with what encoding gives again; return how many were compared.

        Raises:
            VerificationError: If one differs; it names the first.
        """
        compared, wrong = check_samples(self.client, self.collection, self.spec, encoder, sampled)
        if wrong:
            self._disagree(
                f"of {compared} stored rows that were read back, {len(wrong)} are not as they were "
                f"sent, the first: point {wrong[0].id!r}, {wrong[0].problem}"
            )
        return compared

    def _disagree(self, problem: str) -> None:
        raise VerificationError(
            collection=self.collection, problem=f"{problem}; another writer, or a loss"
        )
