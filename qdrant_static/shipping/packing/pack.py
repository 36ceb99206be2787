"""A built shard and a target's frame -> a shard snapshot, streamed: no copy on disk, no memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from qdrant_static.errors import StorageError
from qdrant_static.shipping.packing.segments import BuiltShard, files_in_words
from qdrant_static.shipping.packing.tarstream import END, Content, File, Member, Span, members_of

#: What a shard has beside its segments; without them a server cannot open it.
_NEEDED = ("replica_state.json", "shard_config.json")
#: What must not be in a shipment. By these clocks a cluster knows which operations a replica has
#: had. Shipped points came by no operation, so with the target's clocks the other replicas of the
#: shard would seem to lack nothing: each becomes active again, and stays empty. Without them the
#: cluster copies the shard as a whole.
_CLOCKS = ("newest_clocks.json", "oldest_clocks.json")


@dataclass(frozen=True, slots=True)
class Frame:
    """A target shard's own snapshot, taken while it was empty.

    Its files beside the segments (write-ahead log, replicas; the clocks do not) go into the
    shipment as they are, so that the shard goes on with the numbers that it had reached; and one
    of its empty segments does, as the place for new points, in the server's very own words.

    Attributes:
        archive: The snapshot.
        beside: The members that are no segments.
        empty: One segment without points; nothing if it has none.
    """

    archive: Path
    beside: tuple[Span, ...]
    empty: tuple[Span, ...]

    @classmethod
    def read(cls, archive: Path) -> Frame:
        """Look into a snapshot that was streamed by ``GET …/shards/{shard}/snapshot``.

        Raises:
            StorageError: If it is no such snapshot, or holds points.
        """
        beside: dict[str, Span] = {}
        segments: dict[str, list[Span]] = {}
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
                path=str(archive), problem=f"is no snapshot of a shard: it lacks {missing[0]}"
            )
        first = min(segments, default=None)
        return cls(
            archive, tuple(beside.values()), tuple(segments[first]) if first is not None else ()
        )


class Packed:
    """A shard snapshot to be sent.

    Args:
        shard: What was built; nobody may have it open while this is used.
        frame: The target's own.
        states: Its segments' states in the target's words, by name (`segments.same_settings`).

    Raises:
        StorageError: If a file cannot be read.
    """

    def __init__(
        self, shard: BuiltShard, frame: Frame, states: Mapping[str, Mapping[str, Any]]
    ) -> None:
        self.shard = shard
        filled = [segment for segment in shard.segments if not segment.empty]
        members: list[Member] = list(frame.beside)
        if not any(segment.appendable for segment in filled):
            members += frame.empty
        for segment in filled:
            inside = f"segments/{segment.name}/files"
            instead = files_in_words(segment, states[segment.name])
            members += [Content(f"{inside}/{name}", content) for name, content in instead.items()]
            for path in sorted(segment.folder.rglob("*")):
                name = path.relative_to(segment.folder).as_posix()
                if name not in instead and path.is_file():
                    members.append(File.at(path, f"{inside}/{name}"))
        self._members = tuple(members)

    @cached_property
    def size(self) -> int:
        """Bytes in all."""
        return sum(member.size for member in self._members) + len(END)

    def chunks(self) -> Iterator[bytes]:
        """The archive in pieces of about a megabyte, from its beginning at every call.

        Raises:
            StorageError: If a file vanished or changed since it was looked at: what was sent is
                no whole archive, and no server takes it.
        """
        for member in self._members:
            yield from member.chunks()
        yield END
