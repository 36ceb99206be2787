"""Reads the segments of a built shard from disk."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

from qdrant_static.errors import StorageError
from qdrant_static.shipping.packing.segmentconfig import translated_state

#: Versions of the segments' format that were tested with a server.
KNOWN_VERSIONS = frozenset({"0.6.0"})


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltSegment:
    """A segment of a closed shard.

    Attributes:
        name: The name of its folder, a UUID.
        folder: Its folder.
        state: The content of its ``segment.json``.
        version: The version of its format.
    """

    name: str
    folder: Path
    state: Mapping[str, Any]
    version: str

    @property
    def newest(self) -> int:
        """The highest number of the operations that changed it; -1 for none."""
        version = self.state.get("version")
        return -1 if version is None else int(version)

    @property
    def appendable(self) -> bool:
        """Whether new points may be added to it."""
        return _appendable(self.state["config"])

    @property
    def empty(self) -> bool:
        """Whether it never had a point: only then its files of ids are empty."""
        return self.appendable and not any(
            file.stat().st_size for file in self.folder.glob("*id_tracker*")
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltShard:
    """A closed shard.

    Attributes:
        number: Its number in the collection, from 0.
        folder: Its folder.
        segments: Its segments, by name.
        newest: The highest number of an operation in it; -1 for none. A server ignores an
            operation on a point whose number is not above the point's.
    """

    number: int
    folder: Path
    segments: tuple[BuiltSegment, ...]
    newest: int

    @classmethod
    def read(cls, number: int, folder: Path) -> BuiltShard:
        """Read a shard's folder; nobody may have the shard open.

        Raises:
            StorageError: If it has no segments, or one of them cannot be read.
        """
        root = folder / "segments"
        if not root.is_dir():
            raise StorageError(path=str(root), problem="is not the folder of a shard")
        segments = tuple(
            _read(path)
            for path in sorted(root.iterdir())
            # As the engine does: a segment without a version was not finished.
            if path.is_dir()
            and not path.name.startswith(".")
            and path.suffix != ".deleted"
            and (path / "version.info").is_file()
        )
        newest = max((segment.newest for segment in segments), default=-1)
        return cls(number=number, folder=folder, segments=segments, newest=newest)


def read_shards(folders: Iterable[Path]) -> tuple[BuiltShard, ...]:
    """Read a collection's shards; raises as `BuiltShard.read` does."""
    return tuple(BuiltShard.read(number, folder) for number, folder in enumerate(folders))


def fingerprint(shards: Iterable[BuiltShard]) -> str:
    """Return the identifier of a build; another build, or a change of this one, has another.

    Returns:
        32 hexadecimal digits.
    """
    digest = blake2b(digest_size=16)
    for shard in shards:
        for segment in shard.segments:
            digest.update(f"{shard.number} {segment.name} {segment.newest}\n".encode())
    return digest.hexdigest()


def unknown_versions(shards: Iterable[BuiltShard]) -> tuple[str, ...]:
    """Return the versions of segments that were not tested with any server."""
    found = {segment.version for shard in shards for segment in shard.segments}
    return tuple(sorted(found - KNOWN_VERSIONS))


def translated_states(
    target: Mapping[str, Any], shards: Sequence[BuiltShard]
) -> tuple[dict[str, dict[str, Any]], tuple[str, ...]]:
    """Translate the states of all segments to a server's configuration.

    Args:
        target: As for `translated_state`.
        shards: The built shards.

    Returns:
        The states by segment name, and all differences, each once.
    """
    states: dict[str, dict[str, Any]] = {}
    differences: dict[str, None] = {}
    for shard in shards:
        for segment in shard.segments:
            state, found = translated_state(target, segment.state)
            states[segment.name] = state
            differences |= dict.fromkeys(found)
    return states, tuple(differences)


def translated_files(segment: BuiltSegment, state: Mapping[str, Any]) -> dict[str, bytes]:
    """Return the files of a segment that hold its settings, with the translated settings.

    Args:
        segment: The segment.
        state: Its state, from `translated_state`.

    Returns:
        The contents by path in the segment's folder.
    """
    files = {"segment.json": _json(state)}
    for name, vector in state["config"]["vector_data"].items():
        path = f"{_folder('vector_storage', name)}/quantized.config.json"
        content = _content(segment.folder / path)
        if content is not None and vector.get("quantization_config") is not None:
            content["quantization_config"] = vector["quantization_config"]
            files[path] = _json(content)
    for name, vector in state["config"].get("sparse_vector_data", {}).items():
        path = f"{_folder('vector_index', name)}/sparse_index_config.json"
        if _content(segment.folder / path) is not None:
            files[path] = _json(vector["index"])
    return files


def _read(path: Path) -> BuiltSegment:
    try:
        state = json.loads((path / "segment.json").read_bytes())
        version = (path / "version.info").read_text().strip()
        state["config"]["vector_data"]  # a KeyError if it is not a segment's state
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StorageError(path=str(path), problem=f"is not a segment ({error})") from error
    return BuiltSegment(name=path.name, folder=path, state=state, version=version)


def _content(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    try:
        return dict(json.loads(path.read_bytes()))
    except (OSError, ValueError) as error:
        raise StorageError(path=str(path), problem=f"cannot be read ({error})") from error


def _json(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, separators=(",", ":"), ensure_ascii=False).encode()


def _folder(prefix: str, name: str) -> str:
    return f"{prefix}-{name}" if name else prefix


def _appendable(config: Mapping[str, Any]) -> bool:
    return all(
        one["index"]["type"] == "plain" and "Chunked" in one["storage_type"]
        for one in config["vector_data"].values()
    ) and all(
        one["index"]["index_type"] == "MutableRam"
        for one in config.get("sparse_vector_data", {}).values()
    )
