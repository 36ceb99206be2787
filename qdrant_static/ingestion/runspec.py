"""Defines `RunSpec` (what a run does), `Workspace` (what it works with) and `Builder`."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from uuid import uuid4

from qdrant_static.clients.statefolder import StateFolder
from qdrant_static.collection.spec import CollectionSpec, Fields
from qdrant_static.ingestion.options import RunOptions
from qdrant_static.ingestion.progress import Progress
from qdrant_static.ledger.ledger import Ledger, now
from qdrant_static.ledger.runidentity import identity
from qdrant_static.reading.options import Passages
from qdrant_static.reading.sources import AnySource

if TYPE_CHECKING:
    from qdrant_client import QdrantClient

    from qdrant_static.encoders.base import Encoder, LateInteractionEncoder
    from qdrant_static.ingestion.ingestreport import IngestReport
    from qdrant_static.reading.inputs import Fingerprint


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSpec:
    """What a run does: the arguments of `ingest`, resolved against what exists.

    Attributes:
        name: The name that the job was given, which may be an alias of the collection.
        collection: The collection.
        spec: Its spec, as far as it is known before the texts are read.
        encoder: The encoder of the documents.
        query_encoder: The encoder of the queries, if it was given; None loads it by name where
            recall is measured.
        late_encoder: The encoder of the late-interaction vector, or its name; None loads it.
        source: The input.
        options: How the run works.
        passages: How rows are cut into passages; None: they are not.
        threads: Encoding threads.
        rejects: The rejects file that the caller named; None: a new one in the state folder.
        stop: An event that ends the run.
    """

    name: str
    collection: str
    spec: CollectionSpec
    encoder: Encoder
    source: AnySource
    options: RunOptions
    threads: int
    query_encoder: Encoder | None = None
    late_encoder: LateInteractionEncoder | str | None = None
    passages: Passages | None = None
    rejects: Path | None = None
    stop: threading.Event | None = None

    @property
    def must_stop(self) -> bool:
        """Whether the run is asked to end."""
        return self.stop is not None and self.stop.is_set()

    @property
    def fields(self) -> Fields:
        """Where the payloads hold key and text, and how the text is made."""
        return self.source.selection.fields if self.passages is None else self.passages.fields

    def identity(self, **more: Any) -> dict[str, str]:
        """Return the digests by which the ledger recognizes the run; ``more`` are options too."""
        return identity(self.spec, self.encoder.info.fingerprint, self.recorded_options(**more))

    def files(self) -> list[tuple[str, str]]:
        """Return the files of the input, each with a fingerprint."""
        return [(name, _fingerprint(one)) for name, one in self.source.fingerprints().items()]

    def recorded_options(self, **more: Any) -> dict[str, Any]:
        """Return how the input is read and compared, as ledger and manifest record it."""
        source_options = getattr(self.source, "options", None)
        # Formats that do not describe themselves. Only what is set is recorded, so that runs that
        # earlier versions have left can be continued.
        cells = {name: getattr(source_options, name, None) for name in _CELL_OPTIONS}
        return {
            "selection": asdict(self.source.selection),
            "passages": None if self.passages is None else _passages_data(self.passages),
            "sync": self.options.sync,
            "on_duplicate": self.options.on_duplicate,
            **{name: value for name, value in cells.items() if value},
            **more,
        }

    def __str__(self) -> str:
        files, rows = len(self.source.files), self.source.total_rows
        return (
            f"{files:,} file{'s' if files != 1 else ''}"
            + ("" if rows is None else f", {rows:,} rows")
            + f", encoder {self.encoder.info.name}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspace:
    """What a run works with.

    Attributes:
        files: The state folder, which the run holds.
        ledger: The ledger.
        display: Shows and logs the progress.
    """

    files: StateFolder
    ledger: Ledger
    display: Progress


class Builder(Protocol):
    """Builds the collection of a run outside the server, and brings it there.

    `qdrant_static.BuildHere` is one. Ingestion knows this interface only, so that it does not
    depend on shipping.
    """

    def shards_for(self, server: QdrantClient, collection: str, spec: CollectionSpec) -> int:
        """Return the number of shards that the built collection gets."""

    def run(
        self, request: RunSpec, workspace: Workspace, server: QdrantClient, *, shards: int
    ) -> IngestReport:
        """Build the collection, ship it, and return the account of the run."""


#: Fields of `SourceOptions` that say how cells are read.
_CELL_OPTIONS = ("format", "delimiter", "types")


def _fingerprint(one: Fingerprint) -> str:
    """Return a fingerprint as the ledger has it; input that is read only once has a new one."""
    if one.size < 0:
        return f"read {now()}, {uuid4().hex}"
    return f"{one.size} bytes, {one.modified_ns}, {one.digest}"


def _passages_data(passages: Passages) -> Mapping[str, Any]:
    """Return passages as the ledger has them, without what earlier versions did not have."""
    data = asdict(passages)
    if passages.characters is None:
        del data["characters"]
    return data
