"""Makes, receives and deletes the folders of collections, so that a crash leaves nothing half done.

A folder gets the mark ``unfinished`` first and ``collection.json`` last. Without the second it is
no collection, and with the mark the next creation or deletion removes it.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Literal

from qdrant_static.edge.directory import CollectionFolder, FolderLock, unfinished
from qdrant_static.errors import (
    AliasExistsError,
    CollectionExistsError,
    CollectionLockedError,
    StorageError,
)
from qdrant_static.files import make_private

if TYPE_CHECKING:
    from pathlib import Path

    from qdrant_static.edge.aliasfile import Aliases
    from qdrant_static.edge.description import Description


def reserve(
    root: Path, aliases: Aliases, name: str, purpose: Literal["creating", "receiving"]
) -> tuple[CollectionFolder, FolderLock]:
    """Make an empty, locked folder with the mark ``unfinished`` for a new collection.

    Raises:
        CollectionExistsError: If the collection exists.
        AliasExistsError: If an alias has the name.
        StorageError: If the folder holds files that are not marked as ours.
    """
    folder = CollectionFolder(root, name)
    _require_free(folder, aliases)
    forget_aliases(aliases, name)  # of a deletion that a crash interrupted
    clear_unfinished(root)
    make_private(folder.path)
    lock = FolderLock(folder)
    try:
        _require_free(folder, aliases)  # made by another process in the meantime
        folder.begin(purpose)
        folder.clear()
    except BaseException:
        abandon(folder, lock)
        raise
    return folder, lock


def publish(aliases: Aliases, folder: CollectionFolder, description: Description) -> None:
    """Make a reserved folder a collection, in one step.

    Raises:
        AliasExistsError: If an alias has got the name in the meantime.
    """
    with aliases.changing() as table:
        target = table.get(folder.name)  # made by another process in the meantime
        if target is not None:
            raise AliasExistsError(alias=folder.name, collection=target)
        folder.write(description.to_json())
    folder.finish()


def abandon(folder: CollectionFolder, lock: FolderLock) -> None:
    """Remove a reserved folder that did not become a collection, and release its lock."""
    if folder.mark.exists() and not folder.exists():
        _remove(folder, lock)
    else:
        lock.release()


def delete(folder: CollectionFolder, lock: FolderLock) -> None:
    """Delete the files of a collection; a crash meanwhile is completed by the next deletion."""
    folder.begin("deleting")
    _remove(folder, lock)


def forget_aliases(aliases: Aliases, name: str) -> None:
    """Delete the aliases of a collection that no longer exists."""
    if name in aliases.all().values():
        with aliases.changing() as table:
            for alias in [alias for alias, target in table.items() if target == name]:
                del table[alias]


def clear_unfinished(root: Path) -> None:
    """Remove what crashes left in the middle of creations and deletions."""
    for name in unfinished(root):
        folder = CollectionFolder(root, name)
        with suppress(CollectionLockedError):  # no crash: another process is making it
            lock = FolderLock(folder)
            if folder.exists():
                lock.release()
            else:
                _remove(folder, lock)


def _require_free(folder: CollectionFolder, aliases: Aliases) -> None:
    root = folder.path.parent
    if folder.exists():
        raise CollectionExistsError(collection=folder.name, where=str(root))
    target = aliases.all().get(folder.name)
    if target is not None and CollectionFolder(root, target).exists():
        raise AliasExistsError(alias=folder.name, collection=target)
    if folder.assembling.exists():
        raise StorageError(
            path=str(folder.path),
            problem="is being assembled from other collections, or a crash interrupted that: "
            "repeat it, or remove the folder, which may hold the only copy of what was moved",
        )
    if not folder.mark.exists() and folder.shards.exists():
        raise StorageError(
            path=str(folder.path),
            problem="holds a collection's files, but no collection.json: it was removed by "
            "hand. Put it back, or remove the folder",
        )


def _remove(folder: CollectionFolder, lock: FolderLock) -> None:
    folder.clear()
    folder.mark.unlink(missing_ok=True)
    lock.remove()
    # A file of somebody else, or a creation that has just begun, keeps the folder.
    with suppress(OSError):
        folder.path.rmdir()
