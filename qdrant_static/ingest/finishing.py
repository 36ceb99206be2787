"""After the load: delete what has vanished, build the index, count, read samples back."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from qdrant_static.collection.build import write_spec
from qdrant_static.errors import DeletionRefusedError, EngineError, VerificationError
from qdrant_static.filters import index_warnings
from qdrant_static.ingest.limits import DELETION_SHARE
from qdrant_static.ingest.server.calls import exact_count, patiently
from qdrant_static.ingest.sink import build_index
from qdrant_static.ingest.verify import check_samples, point_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from qdrant_static.collection.spec import CollectionSpec, Fields
    from qdrant_static.connect import Client
    from qdrant_static.ingest.accounting.accounts import Totals
    from qdrant_static.ingest.accounting.ledger import Ledger
    from qdrant_static.ingest.encoding import BatchEncoder
    from qdrant_static.ingest.progress import Progress
    from qdrant_static.ingest.writing import Sampled

#: From so many new rows on, a display watches the index being built by another process, which
#: takes a second to start.
WATCHED_BUILD_ROWS = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Finish:
    """The end of a run.

    Attributes:
        client: Where the collection is.
        collection: The collection.
        spec: Its spec.
        ledger: The ledger.
        run: The run.
        display: What a person sees.
        stop: Set by whoever wants it to end.
    """

    client: Client
    collection: str
    spec: CollectionSpec
    ledger: Ledger
    run: int
    display: Progress
    stop: threading.Event | None

    def delete_missing(self, *, force: bool) -> DeletionRefusedError | None:
        """Delete the points whose keys did not come; give the error if that is refused."""
        vanished = self.ledger.vanished(self.run)
        if not vanished:
            return None
        points = self.ledger.points()
        broken = self.ledger.broken_files(self.run)
        problem = None
        if broken:
            problem = f"{broken} files of the input could not be read to their end"
        elif vanished > DELETION_SHARE * points:
            problem = f"more than {DELETION_SHARE:.0%} of all"
        if problem is not None and not force:
            return DeletionRefusedError(
                collection=self.collection, vanished=vanished, points=points, problem=problem
            )
        self.display.phase(f"deleting {vanished:,} points that are not in the input ...")
        for page in self.ledger.each(not_in_run=self.run):
            digests = [digest for digest, _, _ in page]
            patiently(
                self.client,
                self.collection,
                "deleting points",
                partial(
                    self.client.delete,
                    self.collection,
                    [point_of(one) for one in digests],
                    wait=True,
                ),
            )
            self.ledger.forget(self.run, digests)
        return None

    def build_index(self, rows: int) -> bool:
        """Build the index; False if it was interrupted."""
        self.display.phase(f"index: building it for {rows:,} new rows ...")
        # Where the display can go on meanwhile, if that is worth a process.
        watched = self.display.shown and rows >= WATCHED_BUILD_ROWS
        progress = self.display.building if watched else None
        try:
            build_index(self.client, self.collection, progress=progress)
        except EngineError:
            # Ctrl-C reaches the process that builds as well.
            if self.stop is None or not self.stop.is_set():
                raise
            return False
        return True

    def check_indexes(self) -> None:
        """Say which payload indexes hold no point: a name misspelt, or values of another type."""
        if not self.spec.payload_indexes:
            return
        for warning in patiently(
            self.client,
            self.collection,
            "reading the payload indexes",
            partial(index_warnings, self.client, self.collection),
        ):
            self.display.say(f"warning: {warning}")

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

    def with_fields(self, given: Fields, totals: Totals) -> CollectionSpec:
        """The spec, which says how the job made its texts if all points are of this job.

        An earlier version did not say it, or earlier jobs stored less of the text.

        Args:
            given: Where the job's payloads hold key and text.
            totals: The run's.
        """
        there = self.spec.fields
        known = there.told and there.ready_vectors == given.ready_vectors
        if not given.all_columns or (known and given.same_payload(there)):
            return self.spec
        if totals.reasons.get("refused") or self.ledger.vanished(self.run):
            return self.spec
        if exact_count(self.client, self.collection) != self.ledger.points():
            return self.spec
        spec = self.spec.with_source(fields=given, mean_length=None)
        write_spec(self.client, self.collection, spec)
        return spec

    def read_back(self, encoder: BatchEncoder, sampled: Iterable[Sampled]) -> int:
        """Compare samples with what encoding gives again; how many were.

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
