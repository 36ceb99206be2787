"""Streams a built shard as a shard snapshot of the target, without a copy on disk or in memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from qdrant_static.errors import StorageError
from qdrant_static.shipping.packing.segments import BuiltShard, translated_files
from qdrant_static.shipping.packing.tarstream import (
    END,
    ArchivedMember,
    DiskFile,
    InlineFile,
    Member,
    members_of,
)

#: Files of a shard without which a server cannot open it.
_NEEDED = ("replica_state.json", "shard_config.json")
#: Files that must not be in a shipment. From these clocks a cluster knows which operations a
#: replica has received. Shipped points come by no operation, so with the target's clocks the other
#: replicas of the shard would seem complete: each would become active again, and stay empty.
#: Without the clocks the cluster copies the whole shard.
_CLOCKS = ("newest_clocks.json", "oldest_clocks.json")


@dataclass(frozen=True, slots=True)
class EmptySnapshot:
    """The snapshot of a target's shard, taken while it was empty.

    Its files beside the segments (write-ahead log and replicas, but not the clocks) go into the
    shipment unchanged, so that the shard continues with the operation numbers that it had reached;
    and so does one of its empty segments, as the place for new points, with the server's own
    settings.

    Attributes:
        archive: The snapshot file.
        beside: The members that are not part of a segment.
        empty: The members of one segment without points; empty if there is none.
    """

    archive: Path
    beside: tuple[ArchivedMember, ...]
    empty: tuple[ArchivedMember, ...]

    @classmethod
    def read(cls, archive: Path) -> EmptySnapshot:
        """Read a snapshot that was downloaded by ``GET …/shards/{shard}/snapshot``.

        Raises:
            StorageError: If it is not such a snapshot, or holds points.
        """
        beside: dict[str, ArchivedMember] = {}
        segments: dict[str, list[ArchivedMember]] = {}
        for name, span in members_of(archive):
            parts = name.strip("/").split("/")
            if name in _CLOCKS:
                continue
            if parts[0] != "segments":
                beside[name] = span
            elif len(parts) > 1:
                if "id_tracker" in parts[-1]:
                    raise StorageError(path=str(archive), problem="the target has points already")
                segments.setdefault(parts[1], []).append(span)
        if missing := [name for name in _NEEDED if name not in beside]:
            raise StorageError(
                path=str(archive), problem=f"is not a snapshot of a shard: it lacks {missing[0]}"
            )
        first = min(segments, default=None)
        return cls(
            archive, tuple(beside.values()), tuple(segments[first]) if first is not None else ()
        )


class ShardSnapshot:
    """A shard snapshot to be uploaded.

    Args:
        shard: The built shard; nobody may have it open while this is used.
        empty: The snapshot of the target's empty shard.
        states: The segments' states, from `segments.translated_states`.

    Raises:
        StorageError: If a file cannot be read.
    """

    def __init__(
        self, shard: BuiltShard, empty: EmptySnapshot, states: Mapping[str, Mapping[str, Any]]
    ) -> None:
        self.shard = shard
        filled = [segment for segment in shard.segments if not segment.empty]
        members: list[Member] = list(empty.beside)
        if not any(segment.appendable for segment in filled):
            members += empty.empty
        for segment in filled:
            inside = f"segments/{segment.name}/files"
            replaced = translated_files(segment, states[segment.name])
            members += [
                InlineFile(f"{inside}/{name}", content) for name, content in replaced.items()
            ]
            for path in sorted(segment.folder.rglob("*")):
                name = path.relative_to(segment.folder).as_posix()
                if name not in replaced and path.is_file():
                    members.append(DiskFile.at(path, f"{inside}/{name}"))
        self._members = tuple(members)

    @cached_property
    def size(self) -> int:
        """The size in bytes."""
        return sum(member.size for member in self._members) + len(END)

    def chunks(self) -> Iterator[bytes]:
        """Yield the archive in chunks of about a megabyte, from the beginning at every call.

        Raises:
            StorageError: If a file was removed or changed since its size was read: what was sent
                is an incomplete archive, which no server accepts.
        """
        for member in self._members:
            yield from member.chunks()
        yield END
