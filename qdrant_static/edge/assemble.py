"""Assembles a collection of several shards from collections of one shard.

Nothing is copied: the shards' folders are moved. A part ceases to be a collection before its shard
is moved, and the whole becomes one when it has all shards. In between, the file ``assembling``
records the parts and the description of the whole. Nothing else touches a folder with this file,
because it may hold the only copy of what was moved; repeating the same call continues where a crash
interrupted it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from qdrant_static.edge.aliasfile import Aliases
from qdrant_static.edge.description import Description
from qdrant_static.edge.directory import CREATED_KEY, CollectionFolder, FolderLock, collection_names
from qdrant_static.errors import (
    AliasExistsError,
    ArgumentError,
    CollectionExistsError,
    CollectionNotFoundError,
    StorageError,
)
from qdrant_static.files import make_private, replace_file, sync_folder

#: The only setting in which the whole differs from its parts.
_OWN = "shard_number"


def assemble(root: Path, name: str, parts: Sequence[tuple[Path, str]]) -> None:
    """Make a collection from the shards of other collections, which cease to exist.

    Every part must hold the points of its shard and no others (`qdrant_static.routing.shard_of`),
    which is not checked. Repeating an interrupted call completes it.

    Args:
        root: The directory of the new collection.
        name: Its name.
        parts: The directory and the name of each shard's collection, in the order of the shards.
            None may be open; all must be on the new one's file system.

    Raises:
        CollectionExistsError: If the collection exists, perhaps from an earlier call.
        AliasExistsError: If an alias has the name.
        CollectionNotFoundError: If a part does not exist.
        CollectionLockedError: If one of them is open.
        ArgumentError: If the parts differ in their settings, or one has several shards.
        StorageError: If the folder holds something else, or is on another file system.
    """
    target = CollectionFolder(root, name)
    sources = [CollectionFolder(folder, part) for folder, part in parts]
    if not sources:
        raise ArgumentError(field="parts", problem="there are none")
    make_private(target.path)
    with ExitStack() as held:
        lock = FolderLock(target)
        held.callback(lock.release)
        locks = {}
        for number, source in enumerate(sources):
            if source.path.is_dir():  # else it was moved and removed by an earlier call
                locks[number] = FolderLock(source)
                held.callback(locks[number].release)
        if not target.assembling.exists():
            try:
                _begin(target, sources)
            except Exception:
                _leave_untouched(target, lock)
                raise
        content = _content(target, sources)
        if not target.exists():
            make_private(target.shards)
            for number, source in enumerate(sources):
                _move(source, target, number)
                if number in locks:
                    _clear(source, locks[number])
            target.write(content)
        target.finish()


def begun(root: Path, name: str) -> bool:
    """Return whether an `assemble` of that name was interrupted and must be repeated."""
    target = CollectionFolder(root, name)
    return target.assembling.exists() and not target.exists()


def _begin(target: CollectionFolder, sources: Sequence[CollectionFolder]) -> None:
    """Check everything before anything changes, and record the parts and the description."""
    if target.exists():
        raise CollectionExistsError(collection=target.name, where=str(target.path.parent))
    aliased = Aliases(target.path.parent).all().get(target.name)
    if aliased is not None:
        raise AliasExistsError(alias=target.name, collection=aliased)
    if target.mark.exists():  # a crash interrupted a creation or a deletion
        target.clear()
        target.finish()
    if target.shards.exists():
        raise StorageError(
            path=str(target.path), problem="holds a collection's files already: remove the folder"
        )
    for source in sources:
        if not source.exists():
            root = source.path.parent
            raise CollectionNotFoundError(
                collection=source.name, where=str(root), collections=tuple(collection_names(root))
            )
    first = sources[0].read()
    for source in sources:
        _check_part(source, target, sources[0].name, first)
    record = {
        "parts": [str(source.path.resolve()) for source in sources],
        "description": {**first, _OWN: len(sources)},
    }
    replace_file(target.assembling, json.dumps(record, indent=2, ensure_ascii=False).encode())


def _compared(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return what all parts must have in common; the time of creation is not part of it."""
    metadata = content.get("metadata") or {}
    common = {name: value for name, value in metadata.items() if name != CREATED_KEY}
    return {name: value for name, value in content.items() if name != _OWN} | {"metadata": common}


def _check_part(
    source: CollectionFolder, target: CollectionFolder, name: str, first: Mapping[str, Any]
) -> None:
    content = source.read()
    if content.get(_OWN, 1) != 1:
        raise ArgumentError(
            field=f"part {source.name!r}", problem=f"it has {content[_OWN]} shards, not one"
        )
    if content.get("pending") is not None:
        raise StorageError(
            path=str(source.description),
            problem="a change was interrupted: open the collection once, which completes it",
        )
    mine, theirs = _compared(first), _compared(content)
    differing = sorted(key for key in {*mine, *theirs} if mine.get(key) != theirs.get(key))
    if differing:
        raise ArgumentError(
            field=f"part {source.name!r}",
            problem=f"its {', '.join(differing)} differ from those of {name!r}",
        )
    if source.path.stat().st_dev != target.path.stat().st_dev:
        raise StorageError(
            path=str(source.path),
            problem=f"is on another file system than {target.path}: build them on one",
        )


def _content(target: CollectionFolder, sources: Sequence[CollectionFolder]) -> dict[str, Any]:
    """Return the description of the collection from the record."""
    try:
        record = json.loads(target.assembling.read_bytes())
        parts, content = record["parts"], dict(record["description"])
        Description.from_json(content)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StorageError(
            path=str(target.assembling), problem=f"cannot be read ({error})"
        ) from error
    if parts != [str(source.path.resolve()) for source in sources]:
        raise StorageError(
            path=str(target.assembling),
            problem=f"is of other parts ({', '.join(parts)}): repeat the call with these",
        )
    return content


def _move(source: CollectionFolder, target: CollectionFolder, number: int) -> None:
    """Move one shard; the part is no collection from the first step on."""
    if target.shard(number).exists():
        if source.shard(0).exists():
            raise StorageError(
                path=str(source.path),
                problem=f"was built again, but its shard is in {target.shard(number)} already: "
                "remove one of the two",
            )
        return
    if not source.shard(0).is_dir():
        raise StorageError(
            path=str(source.shard(0)), problem=f"the shard {number} of {target.path} is missing"
        )
    source.finish()  # with the mark, but no description, it would be removed
    source.description.unlink(missing_ok=True)
    sync_folder(source.path)
    source.shard(0).rename(target.shard(number))
    sync_folder(target.shards)
    sync_folder(source.shards)


def _clear(source: CollectionFolder, lock: FolderLock) -> None:
    """Remove what is left of a part after its shard was moved."""
    source.clear()
    lock.remove()
    with suppress(OSError):  # a file of somebody else keeps the folder
        source.path.rmdir()


def _leave_untouched(target: CollectionFolder, lock: FolderLock) -> None:
    """Remove the folder of the new collection after an error, if it is empty."""
    if target.exists() or target.mark.exists() or target.shards.exists():
        return
    lock.remove()
    with suppress(OSError):
        target.path.rmdir()
