"""A stand-in for shipping: it copies the points of a built collection."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from qdrant_client import models

from qdrant_static import EdgeClient
from qdrant_static.collection.create import create_collection, read_spec
from qdrant_static.shipping.packing.segments import fingerprint, read_shards
from qdrant_static.shipping.targets.target import LIVE, MARK


@dataclass(frozen=True)
class Seen:
    """The progress of a shipment."""

    phase: str
    sent_bytes: int
    total_bytes: int
    shards_done: int = 0
    shards: int = 1


@dataclass(frozen=True)
class Brought:
    """What was brought."""

    collection: str
    points: int

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


class Carrier:
    """Takes `qdrant_static.shipping.push.ship`'s place.

    Attributes:
        calls: The arguments of every call.
        dies: Called at every phase with its name; it may raise, or end the process.
        lives: Whether it leaves the mark of what was proved.
        error: Raised in place of the end, once the points are there.
    """

    def __init__(self, engine: Callable[[], Any]) -> None:
        self._engine = engine
        self.calls: list[dict[str, Any]] = []
        self.dies: Callable[[str], object] = lambda phase: None
        self.lives = False
        self.error: BaseException | None = None

    def __call__(
        self, local: EdgeClient, collection: str, server: object, *, progress: Any, **options: Any
    ) -> Brought:
        self.calls.append(options)
        progress(Seen("preparing", 0, 0))
        self.dies("preparing")
        points = local.count(collection).count
        with self._engine() as engine:
            if not engine.collection_exists(collection):
                create_collection(engine, collection, read_spec(local, collection))
            self.dies("prepared")
            offset = None
            while True:
                records, offset = local.scroll(
                    collection, limit=100, offset=offset, with_payload=True, with_vectors=True
                )
                engine.upsert(
                    collection,
                    [
                        models.PointStruct(id=one.id, vector=one.vector, payload=one.payload)
                        for one in records
                    ],
                )
                progress(Seen("sending", len(records), points))
                self.dies("sending")
                if offset is None:
                    break
        progress(Seen("proving", points, points))
        self.dies("proving")
        if self.lives:
            with local.shard_folders(collection) as folders:
                mark = {"state": LIVE, "id": fingerprint(read_shards(folders))}
            with self._engine() as engine:
                engine.update_collection(collection, metadata={MARK: mark})
        self.dies("live")
        if self.error is not None:
            raise self.error
        return Brought(collection, points)
