"""Which run of the ledger a job carries out: a new one, or the last one, if it was cut short."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from qdrant_static.clients.scroll import exact_count
from qdrant_static.clients.statefolder import State
from qdrant_static.collection.spec import CollectionSpec
from qdrant_static.errors import ArgumentError
from qdrant_static.ingestion.manifest import versions
from qdrant_static.ingestion.options import OnDuplicate, RejectLimit
from qdrant_static.ingestion.progress import Progress
from qdrant_static.ledger.ledger import Ledger, now
from qdrant_static.ledger.records import Run
from qdrant_static.ledger.runidentity import differences, identity
from qdrant_static.reading.options import Passages
from qdrant_static.reading.sources import AnySource

if TYPE_CHECKING:
    from qdrant_static.clients.connect import Client
    from qdrant_static.encoders.base import Encoder, LateInteractionEncoder
    from qdrant_static.journal.jobwriter import JobWriter
    from qdrant_static.reading.inputs import Fingerprint


def _marked(mark: Fingerprint) -> str:
    """A fingerprint as the ledger has it; what can be read only once is never the same again."""
    if mark.size < 0:
        return f"read {now()}, {uuid4().hex}"
    return f"{mark.size} bytes, {mark.modified_ns}, {mark.digest}"


def _passages_data(passages: Passages) -> dict[str, Any]:
    """Passages as the ledger has them; without what earlier versions did not have."""
    data = asdict(passages)
    if passages.characters is None:
        del data["characters"]
    return data


@dataclass(slots=True, kw_only=True)
class ContinuableRun:
    """What a job is recognized by; the fields are those of `ingest`.

    Attributes:
        again: Whether an input is written again that the last run wrote already.
        shards: Shards of a local collection, which is built to be shipped; None: nothing is.
        always_made: Whether a new collection is made although no row of the input can be stored.
        asked: The name that the job was given, where that is an alias of the collection.
        journaled: The journal to write through, while a migration is under way.
        fills: Whether a migration fills a generation by it; what is written then needs no journal.
        whole: Whether the collection is whole at the end, so that its indexes and its recall are
            worth a look; not of the parts that several processes build.
        other: The mark of another ledger's job that has written to the collection since this
            ledger's last run; None if there is none.
    """

    client: Client
    collection: str
    spec: CollectionSpec
    encoder: Encoder
    source: AnySource
    files: State
    ledger: Ledger
    display: Progress
    threads: int
    stop: threading.Event | None
    sync: bool
    delete_missing: bool
    force: bool
    on_duplicate: OnDuplicate
    limit: RejectLimit | None
    bulk: bool
    passages: Passages | None
    late_encoder: LateInteractionEncoder | str | None = None
    shards: int | None = None
    always_made: bool = False
    again: bool = False
    asked: str = ""
    journaled: JobWriter | None = None
    fills: bool = False
    whole: bool = True
    other: str | None = None

    @property
    def building(self) -> bool:
        """Whether the client is a local one, and what it stores is to be shipped."""
        return self.shards is not None

    def built(self) -> Run | None:
        """The last run, if it has built all of what this one is to build, and it is there."""
        last = self.ledger.runs.last()
        if last is None or last.state != "built":
            return None
        return None if self._changes(last, self._identity(), self._files()) else last

    def is_same(self, run: Run) -> bool:
        """Whether a run has stored what this one is to store."""
        files = self.ledger.runs.files(run.id)
        return not differences(run.identity, self._identity(), files, self._files())

    def _identity(self) -> dict[str, str]:
        return identity(self.spec, self.encoder.info.fingerprint, self._options())

    def _files(self) -> list[tuple[str, str]]:
        return [(name, _marked(mark)) for name, mark in self.source.fingerprints().items()]

    def _changes(
        self, last: Run, who: Mapping[str, str], files: Sequence[tuple[str, str]]
    ) -> list[str]:
        """What keeps an unfinished run from being continued, in words."""
        changes = differences(last.identity, who, self.ledger.runs.files(last.id), files)
        if self.other is not None:
            changes.append(f"a job with another ledger has written to {self.collection!r} since")
        return changes + self._losses(last)

    def _begin(self, own_rejects: Path | None) -> tuple[Run, bool]:
        """The run to carry out: the last one if it was cut short and is the same, or a new one."""
        who, files = self._identity(), self._files()
        last = self.ledger.runs.last()
        if last is not None and last.state not in ("finished", "abandoned"):
            changes = self._changes(last, who, files)
            if not changes:
                self.ledger.resume(last.id)
                self.display.say(f"going on with run {last.id}, which did not end")
                return self._run(last.id), True
            self.display.say(
                f"run {last.id} did not end, and is not continued: {'; '.join(changes)}. "
                "Everything is read from the beginning"
            )
        if self.building and not self._may_compare(last, who):
            self.client.delete_collection(self.collection)  # it must hold nothing else
        number = self.ledger.begin(
            identity=who,
            files=files,
            rejects=str(own_rejects or self.files.new_rejects()),
            versions=versions(),
            building=self.building,
        )
        return self._run(number), False

    def _may_compare(self, last: Run | None, who: Mapping[str, str]) -> bool:
        """Whether what an earlier attempt has built can be brought up to date by comparing."""
        if not self.sync or last is None or not self.client.collection_exists(self.collection):
            return False
        same = all(last.identity.get(name) == who[name] for name in ("encoder", "spec"))
        params = self.client.get_collection(self.collection).config.params
        return (
            last.building
            and last.state != "abandoned"  # what it had built was not as it should be
            and same
            and (params.shard_number or 1) == self.shards
            and self.count() == self.ledger.rows.count_built()
        )

    @property
    def _deletes(self) -> bool:
        """Whether what is not in the input goes: of what is built, always."""
        return self.delete_missing or (self.building and self.sync)

    def _losses(self, run: Run) -> list[str]:
        """What a run had stored that is no longer there."""
        if run.points_before is None:
            return []
        there = self.count() if self.client.collection_exists(self.collection) else 0
        totals = self.ledger.runs.totals(run.id)
        least = run.points_before - run.deleted + (totals.new if run.complete else 0)
        if there < least:
            what = "what was built" if self.building else "the collection"
            return [f"{what} has {there:,} points, and had {least:,}"]
        if self.building and self.ledger.rows.count_built() < least:
            return ["the ledger's rows were made anew"]
        return []

    def _options(self) -> dict[str, Any]:
        """How the input is read and what is done about it, as the ledger compares it."""
        return {
            "selection": asdict(self.source.selection),
            "passages": None if self.passages is None else _passages_data(self.passages),
            "sync": self.sync,
            "on_duplicate": self.on_duplicate,
            # Only if given: runs that earlier versions have left can be continued.
            **self._cells(),
            # Only then: runs that earlier versions have left can be continued.
            **({"shards": self.shards} if self.building else {}),
        }

    def _cells(self) -> dict[str, Any]:
        """Options for formats that do not describe themselves."""
        options = getattr(self.source, "options", None)
        names = ("format", "delimiter", "types")
        return {name: value for name in names if (value := getattr(options, name, None))}

    def _run(self, number: int) -> Run:
        last = self.ledger.runs.last()
        if last is None or last.id != number:
            raise ArgumentError(field="state", problem=f"run {number} has gone from the ledger")
        return last

    def count(self) -> int:
        """Points of the collection, exactly."""
        return exact_count(self.client, self.collection)
