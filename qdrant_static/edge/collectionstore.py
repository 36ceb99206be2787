"""Collections on disk: created, opened once, lent, deleted."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qdrant_static.edge import convert
from qdrant_static.edge.aliasfile import Aliases, apply
from qdrant_static.edge.description import Description
from qdrant_static.edge.directory import CollectionFolder, FolderLock, collection_names, unfinished
from qdrant_static.edge.engine import engine_errors
from qdrant_static.edge.forks import leave_in_children
from qdrant_static.edge.opencollection import (
    OpenCollection,
    carry_out_vector,
    create_shards,
    load_shards,
)
from qdrant_static.edge.snapshotimport import Incoming
from qdrant_static.edge.vectorrepair import level
from qdrant_static.errors import (
    AliasExistsError,
    ArgumentError,
    ClientClosedError,
    ClientForkedError,
    CollectionExistsError,
    CollectionLockedError,
    CollectionNotFoundError,
    StorageError,
)
from qdrant_static.files import make_private

if TYPE_CHECKING:
    from collections.abc import Iterator


class Collections:
    """The collections of one directory; each is opened at its first use and stays open.

    One lock holds the threads of a client apart. It costs nothing: the engine keeps the
    interpreter to itself during every call.

    It belongs to the process that made it, and ends with `close`: every method but that one is a
    `ClientForkedError` in a forked child, and a `ClientClosedError` after it.

    Args:
        root: The directory; it need not exist.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.aliases = Aliases(root)
        self._open: dict[str, OpenCollection] = {}
        self._lent: dict[str, str] = {}  # to whom
        self._guard = threading.RLock()
        self._process = os.getpid()
        self._closed = False
        leave_in_children(self)

    def leave(self) -> None:
        """In a forked child: let go of the parent's collections."""
        self._guard = threading.RLock()  # another thread of the parent may hold the copied one
        opened, self._open = self._open, {}
        for one in opened.values():
            one.leave()

    def names(self) -> list[str]:
        """The collections in the directory, sorted."""
        self.require_usable()
        return collection_names(self.root)

    def exists(self, name: str) -> bool:
        """Whether there is a collection (not an alias) of that name."""
        self.require_usable()
        return CollectionFolder(self.root, name).exists()

    def resolved(self, name: str) -> str:
        """The collection that a name stands for: its own, or an alias's.

        Raises:
            CollectionNotFoundError: If it is neither.
        """
        if name in self._open or name in self._lent or self.exists(name):
            return name
        target = self.aliases.all().get(name)
        if target is None or not self.exists(target):
            raise self._missing(name)
        return target

    @contextmanager
    def use(self, name: str) -> Iterator[OpenCollection]:
        """The open collection of a name or an alias, for one call of one thread."""
        with self._held():
            yield self.open(name)

    def open(self, name: str) -> OpenCollection:
        """The open collection of a name or an alias, opened now if it was not.

        Raises:
            CollectionNotFoundError: If there is none of that name.
            CollectionLockedError: If somebody else has it open.
            StorageError: If its description is damaged.
            EngineError: If its files are damaged.
        """
        with self._held():
            opened = self._open.get(name)
            if opened is not None:
                return opened
            name = self.resolved(name)
            if name in self._open:
                return self._open[name]
            folder = CollectionFolder(self.root, name)
            self._require_not_lent(name)
            lock = FolderLock(folder)
            try:
                if not folder.exists():  # deleted since we looked
                    raise self._missing(name)
                self._open[name] = opened = _load(folder, lock)
            except BaseException:
                lock.release()
                raise
            return opened

    def create(self, name: str, description: Description) -> None:
        """Make an empty collection.

        Raises:
            CollectionExistsError: If it is there.
            AliasExistsError: If an alias has that name.
            ArgumentError: If it has no vector, or one that a server refuses.
            NotSupportedByEdgeError: If a setting cannot be expressed.
            StorageError: If its folder holds something that is not ours.
        """
        folder = CollectionFolder(self.root, name)
        if not description.vectors and not description.sparse_vectors:
            raise ArgumentError(
                field="vectors_config",
                problem="a collection needs a vector: the engine wants at least one",
            )
        convert.check_vectors(description.vectors, description.sparse_vectors)
        description.edge_config()  # refuses what cannot be expressed, before anything is written
        with self._held():
            self._require_free(folder)
            self._forget_aliases(name)  # of a deletion that a crash cut short
            self.clear_unfinished()
            make_private(folder.path)
            lock = FolderLock(folder)
            try:
                self._require_free(folder)  # made by another process since we looked
                folder.begin("creating")
                folder.clear()
                with engine_errors(f"creating collection {name!r} in {self.root}"):
                    shards = create_shards(folder, description)
                self._publish(folder, description)
            except BaseException:
                self._abandon(folder, lock)
                raise
            self._open[name] = OpenCollection(
                folder=folder, lock=lock, shards=shards, description=description
            )

    @contextmanager
    def receiving(self, name: str) -> Iterator[Incoming]:
        """Take a collection in, as snapshots; nothing is left of it unless it is finished.

        Raises:
            CollectionExistsError: If it is there.
            AliasExistsError: If an alias has that name.
            StorageError: If its folder holds something that is not ours.
        """
        folder = CollectionFolder(self.root, name)
        with self._held():
            self._require_free(folder)
            self._forget_aliases(name)  # of a deletion that a crash cut short
            self.clear_unfinished()
            make_private(folder.path)
            lock = FolderLock(folder)
        incoming = None
        try:
            self._require_free(folder)  # made by another process since we looked
            folder.begin("receiving")
            folder.clear()
            incoming = Incoming(folder)
            yield incoming
            with self._guard:
                shard, description = incoming.shard, incoming.description
                if shard is None or description is None:
                    self._abandon(folder, lock)
                    return
                self._publish(folder, description)
                self._open[name] = OpenCollection(
                    folder=folder, lock=lock, shards=(shard,), description=description
                )
        except BaseException:
            if incoming is not None:
                incoming.close()
            self._abandon(folder, lock)
            raise

    def delete(self, name: str) -> bool:
        """Delete a collection and its aliases; whether there was one. An alias is none."""
        with self._held():
            self.clear_unfinished()
            folder = CollectionFolder(self.root, name)
            if not folder.exists():
                return False
            self._require_not_lent(name)
            opened = self._open.pop(name, None)
            if opened:
                opened.close_shards()
            lock = opened.lock if opened else FolderLock(folder)
            folder.begin("deleting")
            _remove(folder, lock)
            self._forget_aliases(name)
            return True

    def change_aliases(self, actions: Sequence[Any]) -> None:
        """Carry out alias actions, all or none."""
        with self._held(), self.aliases.changing() as table:
            apply(table, actions, exists=self.exists, missing=self._missing)

    def live_aliases(self) -> dict[str, str]:
        """Collections by alias."""
        self.require_usable()
        return {
            alias: target for alias, target in self.aliases.all().items() if self.exists(target)
        }

    @contextmanager
    def lent(self, name: str) -> Iterator[str]:
        """Close a collection for as long as another process has it."""
        with self._held():
            opened = self.open(name)
            name = opened.folder.name
            del self._open[name]
            opened.close()
            self._lent[name] = "a process that builds its index"
        try:
            yield name
        finally:
            with self._guard:
                del self._lent[name]

    @contextmanager
    def at_rest(self, name: str) -> Iterator[tuple[Path, ...]]:
        """Close a collection's engine and keep the right to it: its files do not change."""
        with self._held():
            opened = self.open(name)
            folder = opened.folder
            del self._open[folder.name]
            try:
                opened.rest()
            except BaseException:
                opened.lock.release()
                raise
            self._lent[folder.name] = "a reader of its files in this process"
        try:
            yield tuple(map(folder.shard, range(len(opened.shards))))
        finally:
            with self._guard:
                del self._lent[folder.name]
                opened.lock.release()

    def each_open(self, do: Callable[[OpenCollection], None]) -> None:
        """Do something with every collection that is open."""
        with self._held():
            for opened in self._open.values():
                do(opened)

    def close(self) -> None:
        """Close all collections, for good; in a forked child they are the parent's."""
        if self._process != os.getpid():
            return
        with self._guard:
            self._closed = True
            self._close_open()

    def release(self) -> None:
        """Close all collections; each is opened again at its next use."""
        with self._held():
            self._close_open()

    def _close_open(self) -> None:
        while self._open:
            self._open.popitem()[1].close()

    @contextmanager
    def _held(self) -> Iterator[None]:
        """Hold the other threads off, if there is something to work on."""
        self.require_usable()
        with self._guard:
            self.require_usable()
            yield

    def require_usable(self) -> None:
        """Refuse a client that is closed, or a parent process's.

        Raises:
            ClientClosedError: If it is closed.
            ClientForkedError: If another process made it.
        """
        if self._process != os.getpid():
            raise ClientForkedError(where=str(self.root), opener=self._process)
        if self._closed:
            raise ClientClosedError(where=str(self.root))

    def clear_unfinished(self) -> None:
        """Remove what crashes left in the middle of creations and deletions."""
        for name in unfinished(self.root):
            folder = CollectionFolder(self.root, name)
            with suppress(CollectionLockedError):  # not a crash: somebody is at it
                lock = FolderLock(folder)
                if folder.exists():
                    lock.release()
                else:
                    _remove(folder, lock)

    def _publish(self, folder: CollectionFolder, description: Description) -> None:
        """Make a folder a collection, in one step."""
        with self.aliases.changing() as table:
            target = table.get(folder.name)  # made by another process since we looked
            if target is not None:
                raise AliasExistsError(alias=folder.name, collection=target)
            folder.write(description.to_json())
        folder.finish()

    def _abandon(self, folder: CollectionFolder, lock: FolderLock) -> None:
        if folder.mark.exists() and not folder.exists():
            _remove(folder, lock)
        else:
            lock.release()

    def _require_free(self, folder: CollectionFolder) -> None:
        if folder.exists():
            raise CollectionExistsError(collection=folder.name, where=str(self.root))
        target = self.live_aliases().get(folder.name)
        if target is not None:
            raise AliasExistsError(alias=folder.name, collection=target)
        if folder.assembling.exists():
            raise StorageError(
                path=str(folder.path),
                problem="is being put together of other collections, or a crash cut that short: "
                "repeat it, or remove the folder, which may hold the only copy of what was moved",
            )
        if not folder.mark.exists() and folder.shards.exists():
            raise StorageError(
                path=str(folder.path),
                problem="holds a collection's files, but no collection.json: it was removed by "
                "hand. Put it back, or remove the folder",
            )

    def _require_not_lent(self, name: str) -> None:
        owner = self._lent.get(name)
        if owner is not None:
            raise CollectionLockedError(collection=name, where=str(self.root), owner=owner)

    def _forget_aliases(self, name: str) -> None:
        if name in self.aliases.all().values():
            with self.aliases.changing() as table:
                for alias in [alias for alias, target in table.items() if target == name]:
                    del table[alias]

    def _missing(self, name: str) -> CollectionNotFoundError:
        names = tuple(self.names())
        # None at all: the path may have been meant from another working directory.
        where = self.root if names else self.root.absolute()
        return CollectionNotFoundError(collection=name, where=str(where), collections=names)


def _load(folder: CollectionFolder, lock: FolderLock) -> OpenCollection:
    """Open a finished collection, and carry out a change that a crash cut short."""
    if folder.mark.exists() or folder.assembling.exists():
        # its creation ended, or its deletion had not begun
        folder.finish()
    content = folder.read()
    try:
        description = Description.from_json(content)
    except (ValueError, KeyError, TypeError) as error:
        raise StorageError(
            path=str(folder.description), problem=f"does not describe a collection ({error})"
        ) from error
    pending = description.pending
    if pending is not None and pending.startswith("vector "):
        for number in range(description.shard_number):
            level(folder.shard(number), pending.removeprefix("vector "))
    with engine_errors(f"opening collection {folder.name!r} in {folder.path.parent}"):
        shards = load_shards(folder, description, change=pending == "settings")
    opened = OpenCollection(folder=folder, lock=lock, shards=shards, description=description)
    if pending is not None:
        if pending.startswith("vector "):
            carry_out_vector(opened, pending.removeprefix("vector "))
        opened.describe_as(description.changed(pending=None))
    return opened


def _remove(folder: CollectionFolder, lock: FolderLock) -> None:
    folder.clear()
    folder.mark.unlink(missing_ok=True)
    lock.remove()
    # Somebody else's file in it, or a creation that has just begun, keeps the folder.
    with suppress(OSError):
        folder.path.rmdir()
