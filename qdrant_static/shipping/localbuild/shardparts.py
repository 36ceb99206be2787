"""The parts of a collection that is built by several processes: one shard each, in its own folder.

::

    <folder>/_state/<collection>/parts/0-of-3/     a directory with one collection: the shard
                                  .../_state/      its ledger, rejects and manifest
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qdrant_static.edge.directory import STATE_FOLDER
from qdrant_static.encoders.statistics import EncodingStatistics
from qdrant_static.ingestion.modes import BuildMode
from qdrant_static.ledger.ledger import Ledger
from qdrant_static.ledger.merge import JOINED
from qdrant_static.ledger.records import Encoded, Run, Totals, UnreadableFile
from qdrant_static.ledger.runidentity import differences

if TYPE_CHECKING:
    from qdrant_static.ingestion.progress import Progress

#: The counts of rows in a message.
_SUMMED = ("read", "stored", "rejected")


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardPart:
    """A collection of one shard, which becomes a shard of another collection.

    Attributes:
        root: The directory of its collection, which has no other.
        collection: Its name.
        shard: The shard that it becomes.
        of: Number of shards.
    """

    root: Path
    collection: str
    shard: int
    of: int

    @property
    def state(self) -> Path:
        """The folder with its ledger and rejects."""
        return self.root / STATE_FOLDER / self.collection

    @property
    def ledger(self) -> Path:
        """Its ledger's file."""
        return self.state / "ledger.sqlite"

    def encoded(self) -> Encoded:
        """Return what its last run has encoded."""
        with Ledger(self.ledger) as ledger:
            last = ledger.runs.last()
            return Encoded() if last is None else ledger.encoded.of_run(last.id)

    def manifest(self) -> dict[str, Any]:
        """Read the manifest of its last run."""
        with Ledger(self.ledger) as ledger:
            last = ledger.runs.last()
        path = self.state / f"manifest-{0 if last is None else last.id}.json"
        manifest: dict[str, Any] = json.loads(path.read_bytes())
        return manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """All parts of a collection.

    Attributes:
        folder: The directory of the whole collection.
        collection: Its name.
        shards: Number of shards.
    """

    folder: Path
    collection: str
    shards: int

    @property
    def home(self) -> Path:
        """The folder that holds the parts."""
        return self.folder / STATE_FOLDER / self.collection / "parts"

    @property
    def all(self) -> list[ShardPart]:
        """The parts, by shard."""
        return [
            ShardPart(
                root=self.home / f"{shard}-of-{self.shards}",
                collection=self.collection,
                shard=shard,
                of=self.shards,
            )
            for shard in range(self.shards)
        ]

    def keep_of_run(
        self, identity: Mapping[str, Any], files: Sequence[tuple[str, str]], *, is_new: bool
    ) -> dict[int, Totals]:
        """Remove parts that belong to another run, and return the sums of complete parts by shard.

        Args:
            identity: What must agree for a part to be continued.
            files: Path and fingerprint of the input's files.
            is_new: Whether the run has no earlier attempt: then all parts are removed.
        """
        roots = {part.root for part in self.all}
        for folder in self.home.iterdir() if self.home.exists() else ():
            if folder not in roots or is_new:
                shutil.rmtree(folder)
        done = {}
        for part in self.all:
            if not part.ledger.exists():
                shutil.rmtree(part.root, ignore_errors=True)
                continue
            with Ledger(part.ledger) as ledger:
                last = ledger.runs.last()
                same = last is None or not differences(
                    last.identity, identity, ledger.runs.files(last.id), files
                )
                if last is not None and last.state == "finished":
                    done[part.shard] = ledger.runs.totals(last.id)
            if not same or (last is not None and last.state == "abandoned"):
                done.pop(part.shard, None)
                shutil.rmtree(part.root)
        return done

    def remove(self) -> None:
        """Remove all parts. They are renamed first, so that a crash leaves no incomplete part."""
        away = self.home.with_name("removed")
        shutil.rmtree(away, ignore_errors=True)
        if self.home.exists():
            self.home.rename(away)
            shutil.rmtree(away, ignore_errors=True)


@dataclass(slots=True, kw_only=True)
class SharedMode(BuildMode):
    """Builds a collection of several shards in a folder, by several processes where possible.

    Attributes:
        folder: The directory of the client's collections.
    """

    folder: Path

    @property
    def parts(self) -> Parts:
        """The parts, one for each shard."""
        return Parts(folder=self.folder, collection=self.collection, shards=self.shards or 1)

    def is_joined(self, record: Run) -> bool:
        """Return whether the ledgers of all parts are joined to the run's."""
        return bool(self.workspace.ledger.notes.get(JOINED) == record.id)

    def losses(self, record: Run) -> list[str]:
        """Return what a run had built that is gone."""
        if self.is_joined(record) and not (
            self.parts.home.exists() or self.client.collection_exists(self.collection)
        ):
            return ["what was built is gone"]
        return BuildMode.losses(self, record)


class PartProgress:
    """Shows the progress of all parts together, from the messages of their processes.

    Args:
        display: Shows it.
        shards: Number of shards.
        done: The sums of parts that are complete already, by shard.

    Attributes:
        unreadable: The files that a process could not read.
    """

    def __init__(self, display: Progress, shards: int, done: Mapping[int, Totals]) -> None:
        self.unreadable: set[UnreadableFile] = set()
        self._display = display
        self._sums = dict(done)
        self._fractions: dict[int, float | None] = dict.fromkeys(range(shards), 0.0)
        self._fractions |= dict.fromkeys(done, 1.0)
        display.read_part = self._fraction
        whole = self.totals()
        if whole.read:
            display.resume(whole.read, whole.stored, whole.rejected)

    def totals(self) -> Totals:
        """Return the sum of all parts so far."""
        return sum(self._sums.values(), Totals())

    def receive(self, shard: int, message: Mapping[str, Any]) -> None:
        """Show a message of the process of a shard; see `shardchild.send`."""
        if "unreadable" in message:
            file = UnreadableFile(**message["unreadable"])
            if file not in self.unreadable:  # every process reads all files
                self._display.unreadable(file)
            self.unreadable.add(file)
        if "note" in message:
            self._display.note(f"shard {shard}: {message['note']}")
        if "status" in message:
            self._display.status(f"shard {shard}: {message['status']}")
        counts = message.get("resumed") or message.get("counts")
        if counts is None:
            return
        before = self._sums.get(shard, Totals()).read
        self._sums[shard] = Totals(**{name: counts[name] for name in _SUMMED})
        whole, rows = self.totals(), counts["read"] - before
        if "resumed" in message:
            self._display.resume(rows, whole.stored, whole.rejected)
            return
        self._fractions[shard] = message["fraction"]
        self._display.advance(rows, whole.stored, whole.rejected)

    def _fraction(self) -> float | None:
        """Return which fraction of the input was read, on average; None where one is unknown."""
        known = [one for one in self._fractions.values() if one is not None]
        return sum(known) / len(known) if known and len(known) == len(self._fractions) else None


def sum_up(
    ledgers: Sequence[Ledger],
) -> tuple[Totals, list[tuple[Path, int]], list[UnreadableFile]]:
    """Return the sum of the parts' last runs, their rejects files with sizes, and unreadable files.

    Args:
        ledgers: The open ledgers of the parts.
    """
    totals = Totals()
    rejects = []
    for ledger in ledgers:
        last = ledger.runs.last()
        if last is not None:
            totals += ledger.runs.totals(last.id)
            rejects.append((Path(last.rejects or ""), last.rejects_bytes))
    unreadable = {
        UnreadableFile(file=name, problem=problem)
        for ledger in ledgers
        for name, problem in ledger.query("SELECT path, message FROM broken")
    }
    return totals, rejects, sorted(unreadable, key=str)


def divide_seconds(wall_s: float, manifests: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Divide wall-clock time among the phases in the proportion of the processes' own times."""
    phases = ("load", "index", "verify")
    own = {phase: sum(one["seconds"].get(phase, 0.0) for one in manifests) for phase in phases}
    whole = sum(own.values())
    return {phase: wall_s * one / whole if whole else 0.0 for phase, one in own.items()}


def encoding_statistics(manifests: Sequence[Mapping[str, Any]]) -> EncodingStatistics | None:
    """Return the statistics of all parts' encoders together; None if one has none."""
    statistics = [one["encoding"] for one in manifests]
    if None in statistics:
        return None
    parsed = (
        EncodingStatistics(**{**one, "norm_histogram": tuple(one["norm_histogram"])})
        for one in statistics
    )
    return sum(parsed, EncodingStatistics())
