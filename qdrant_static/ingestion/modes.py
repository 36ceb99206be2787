"""Modes of a run: it writes to a collection in use, fills one for a migration, or builds one.

`IngestRun` has the same steps in every mode. A mode answers what differs: who else may write to the
collection, what is deleted, what is lost if a run is continued, and what stored rows are called.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar
from uuid import uuid4

from qdrant_static.clients.retry import call_with_retries
from qdrant_static.clients.scroll import exact_count
from qdrant_static.collection.create import read_spec
from qdrant_static.collection.migrationcheck import metadata_of, refusal
from qdrant_static.ingestion.runspec import RunSpec, Workspace
from qdrant_static.journal import directwriters
from qdrant_static.journal.jobwriter import find_migration
from qdrant_static.ledger.runidentity import encoding_key

if TYPE_CHECKING:
    from qdrant_static.clients.connect import Client
    from qdrant_static.collection.spec import CollectionSpec
    from qdrant_static.ids import PointId
    from qdrant_static.journal.jobwriter import JobWriter
    from qdrant_static.ledger.records import Run, RunState

#: Notes of the ledger: the collection that its rows are of, and what decided their vectors.
_COLLECTION, _ENCODING = "collection", "encoding"
#: The ledger's own name, and the mark of another ledger's job whose rows it has read.
_NAME, _SEEN = "name", "seen"


@dataclass(slots=True, kw_only=True)
class Mode:
    """What all modes have in common.

    Attributes:
        client: Where the collection is written.
        request: What the run does.
        workspace: What it works with.
        shards: Shards that the collection is created with; None takes those of its spec.
        other: The mark of another ledger's job that has written to the collection since this
            ledger's last run; None if there is none.
        journaled: The journal to write through, while a migration is under way.
    """

    client: Client
    request: RunSpec
    workspace: Workspace
    shards: int | None = None
    other: str | None = None
    journaled: JobWriter | None = None

    #: Whether rows lie in a local folder at the end, from which they are shipped.
    builds: ClassVar[bool] = False
    #: What messages call the place where rows are.
    place: ClassVar[str] = "the collection"
    #: The ledger's state of a run that has ended.
    ended: ClassVar[RunState] = "finished"
    #: Whether a new collection is created although no row of the input can be stored.
    creates_empty: ClassVar[bool] = False
    #: Whether the collection is complete at the end, so that indexes and recall can be checked.
    is_whole: ClassVar[bool] = True

    @property
    def collection(self) -> str:
        """The collection."""
        return self.request.collection

    def count(self) -> int:
        """Return the exact number of points."""
        return exact_count(self.client, self.collection)

    def identity(self) -> dict[str, Any]:
        """Return what a run is recognized by besides its `RunSpec`."""
        return {}

    def look_for_others(self) -> None:
        """Find out whether a job with another ledger has written since this one's last run."""

    def before_writing(self) -> None:
        """Prepare the first write of the run; called before each."""

    def after_writing(self) -> None:
        """Note that the run writes nothing more."""

    def clear(self, last: Run | None) -> None:
        """Remove what a new run must not find."""

    @property
    def deletes(self) -> bool:
        """Whether points whose rows are not in the input are deleted."""
        return self.request.options.delete_missing

    @property
    def forces_deletion(self) -> bool:
        """Whether any number of points may be deleted."""
        return self.request.options.force

    def delete(self, points: list[PointId]) -> None:
        """Delete points."""
        self.before_writing()
        if self.journaled is not None:
            self.journaled.delete(points)
            return
        call_with_retries(
            self.client,
            self.collection,
            "deleting points",
            lambda: self.client.delete(self.collection, list(points), wait=True),
        )

    def losses(self, record: Run) -> list[str]:
        """Return what a run had stored that is gone: it cannot be continued then."""
        if record.points_before is None:
            return []
        count = self.count() if self.client.collection_exists(self.collection) else 0
        totals = self.workspace.ledger.runs.totals(record.id)
        least = record.points_before - record.deleted + (totals.new if record.complete else 0)
        if count < least:
            return [f"{self.place} has {count:,} points, and had {least:,}"]
        if self.builds and self.workspace.ledger.rows.count_built() < least:
            return ["the ledger's rows were made anew"]
        return []

    def known_spec(self, spec: CollectionSpec) -> CollectionSpec:
        """Complete a spec by what an earlier attempt has measured and nobody else knows."""
        return spec

    def is_other_collection(self, record: Run, spec: CollectionSpec) -> bool:
        """Return whether the ledger's rows are of another collection than the job writes to now.

        Those of a run that filled a generation are too: the journal has changed it since. So are
        those of a collection that was given another vector: it was filled where it is.
        """
        notes = self.workspace.ledger.notes
        known = notes.get(_COLLECTION)
        if known is not None:
            key = notes.get(_ENCODING)
            return not (known == self.collection and key in (None, encoding_key(spec).hex()))
        # An earlier version left no note; another encoder is the sign of a cut-over.
        before = [one for one in self.workspace.ledger.runs.all() if one.id < record.id]
        return bool(before) and before[-1].identity.get("encoder") != record.identity.get("encoder")

    def note_collection(self, spec: CollectionSpec, *, complete: bool) -> None:
        """Note in the ledger which collection its rows are of.

        Args:
            spec: The collection's.
            complete: Whether the ledger knows all points.
        """
        notes = self.workspace.ledger.notes
        notes[_COLLECTION] = self.collection
        notes[_ENCODING] = encoding_key(spec).hex()
        if self.other is not None and complete:
            notes[_SEEN] = self.other

    def counts(self, *, stored: int, payload_updated: int, unchanged: int) -> Mapping[str, int]:
        """Return rows by what became of them, as the report has them."""
        return {"stored": stored, "payload_updated": payload_updated, "unchanged": unchanged}


@dataclass(slots=True, kw_only=True)
class DirectMode(Mode):
    """Writes to a collection that other jobs and a migration may write to as well.

    Attributes:
        mark: The mark that the run has left in the collection; None before its first write.
    """

    mark: str | None = None

    @property
    def _name(self) -> str:
        """The ledger's own name, which it keeps wherever its folder is moved."""
        notes = self.workspace.ledger.notes
        if _NAME not in notes:
            notes[_NAME] = uuid4().hex
        return str(notes[_NAME])

    def look_for_others(self) -> None:
        """Find out whether a job with another ledger has written since this one's last run."""
        other = directwriters.other_ledger(metadata_of(self.client, self.collection), self._name)
        self.other = None if other == self.workspace.ledger.notes.get(_SEEN) else other

    def before_writing(self) -> None:
        """Leave a mark that migrations see; refuse to write if a migration has just begun."""
        if self.mark is not None:
            return
        self.look_for_others()
        ledger = self.workspace.ledger
        if self.other is not None:
            ledger.notes[_COLLECTION] = ""  # what this one knows of other rows may be old
        if self.journaled is not None:
            self.mark = self._name
            directwriters.sign(self.client, self.collection, self._name)
            return
        last = ledger.runs.last()
        self.mark = directwriters.enter(
            self.client,
            self.collection,
            self.workspace.files.path,
            last.id if last else 0,
            self._name,
        )
        if (state := find_migration(self.client, self.request.name)) is not None:
            raise refusal(state, self.collection, "it began just now. Run the job again")

    def after_writing(self) -> None:
        """Remove the mark; the next run reads all points if others have written too."""
        if self.mark is None or self.journaled is not None:
            return
        if not directwriters.leave(
            self.client, self.collection, self.workspace.files.path, self.mark
        ):
            self.workspace.ledger.notes[_COLLECTION] = ""


@dataclass(slots=True, kw_only=True)
class FillMode(Mode):
    """Fills a new generation for a migration, to which nobody else writes."""

    def is_other_collection(self, record: Run, spec: CollectionSpec) -> bool:
        """Return whether the rows are of another collection; see `Mode.is_other_collection`."""
        known = _COLLECTION in self.workspace.ledger.notes
        return not known and Mode.is_other_collection(self, record, spec)

    def note_collection(self, spec: CollectionSpec, *, complete: bool) -> None:
        """Note no collection: the journal changes the rows of a generation afterwards."""
        notes = self.workspace.ledger.notes
        notes[_COLLECTION] = ""
        notes[_ENCODING] = encoding_key(spec).hex()


@dataclass(slots=True, kw_only=True)
class PartMode(FillMode):
    """Builds one shard of a collection, of which other processes build the other shards."""

    creates_empty: ClassVar[bool] = True
    is_whole: ClassVar[bool] = False


@dataclass(slots=True, kw_only=True)
class BuildMode(Mode):
    """Builds a collection in a local folder, from which it is shipped to a server."""

    builds: ClassVar[bool] = True
    place: ClassVar[str] = "what was built"
    ended: ClassVar[RunState] = "built"

    def identity(self) -> dict[str, Any]:
        """Return the number of shards."""
        return {"shards": self.shards}

    @property
    def deletes(self) -> bool:
        """A built collection holds what is in the input and nothing else."""
        return self.request.options.sync

    @property
    def forces_deletion(self) -> bool:
        """Nobody uses the collection yet."""
        return True

    def clear(self, last: Run | None) -> None:
        """Delete what was built, unless it can be brought up to date by comparing rows."""
        if not self._can_compare(last):
            self.client.delete_collection(self.collection)

    def _can_compare(self, last: Run | None) -> bool:
        sync = self.request.options.sync
        if not sync or last is None or not self.client.collection_exists(self.collection):
            return False
        identity = self.request.identity(**self.identity())
        params = self.client.get_collection(self.collection).config.params
        return (
            last.building
            and last.state != "abandoned"  # what it had built was not as it should be
            and all(last.identity.get(name) == identity[name] for name in ("encoder", "spec"))
            and (params.shard_number or 1) == self.shards
            and self.count() == self.workspace.ledger.rows.count_built()
        )

    def known_spec(self, spec: CollectionSpec) -> CollectionSpec:
        """Return the spec with the BM25 settings that an earlier attempt has built with."""
        sparse = spec.sparse
        if sparse is None or sparse.mean_length is not None:
            return spec
        if self.client.collection_exists(self.collection):
            built = read_spec(self.client, self.collection).sparse
            if built is not None and built.mean_length is not None:
                return replace(spec, sparse=built)
        return spec

    def counts(self, *, stored: int, payload_updated: int, unchanged: int) -> Mapping[str, int]:
        """Return all rows as built: none is in the server's collection yet."""
        return {"built": stored + payload_updated + unchanged}
