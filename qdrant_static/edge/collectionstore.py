"""The collections of one directory: opened once, shared by threads, closed together."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qdrant_static.edge import convert, newcollection
from qdrant_static.edge.aliasfile import Aliases, apply
from qdrant_static.edge.description import Description
from qdrant_static.edge.directory import CollectionFolder, FolderLock, check_name, collection_names
from qdrant_static.edge.engine import engine_errors, leave_in_children
from qdrant_static.edge.opencollection import OpenCollection, create_shards
from qdrant_static.edge.pendingchanges import load_collection
from qdrant_static.edge.snapshotimport import Incoming
from qdrant_static.errors import (
    ArgumentError,
    ClientClosedError,
    ClientForkedError,
    CollectionLockedError,
    CollectionNotFoundError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


class Collections:
    """The collections of one directory; each is opened at its first use and stays open.

    One lock serializes the threads of a client. It costs nothing: the engine holds the GIL during
    every call.

    All methods but `close` raise `ClientForkedError` in a forked child, and `ClientClosedError`
    after `close`.

    Args:
        root: The directory; it need not exist.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.aliases = Aliases(root)
        self._open: dict[str, OpenCollection] = {}
        self._borrowers: dict[str, str] = {}  # of collections that are closed here meanwhile
        self._guard = threading.RLock()
        self._process = os.getpid()
        self._closed = False
        leave_in_children(self)

    def leave(self) -> None:
        """Drop the parent's collections in a forked child."""
        self._guard = threading.RLock()  # another thread of the parent may hold the copied one
        opened, self._open = self._open, {}
        for one in opened.values():
            one.leave()

    def names(self) -> list[str]:
        """Return the names of the collections in the directory, sorted."""
        self.require_usable()
        return collection_names(self.root)

    def exists(self, name: str) -> bool:
        """Return whether there is a collection (not an alias) of that name."""
        self.require_usable()
        return CollectionFolder(self.root, name).exists()

    def resolved(self, name: str) -> str:
        """Return the name of a collection, or of the one that an alias points at.

        Raises:
            CollectionNotFoundError: If it is neither.
        """
        if name in self._open or name in self._borrowers or self.exists(name):
            return name
        target = self.aliases.all().get(name)
        if target is None or not self.exists(target):
            raise self._not_found(name)
        return target

    @contextmanager
    def use(self, name: str) -> Iterator[OpenCollection]:
        """Give one thread the open collection of a name or an alias for one call."""
        with self._held():
            yield self.open(name)

    def open(self, name: str) -> OpenCollection:
        """Return the open collection of a name or an alias; open it if it is not.

        Raises:
            CollectionNotFoundError: If there is none of that name.
            CollectionLockedError: If another process or client has it open.
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
            self._require_not_borrowed(name)
            lock = FolderLock(folder)
            try:
                if not folder.exists():  # deleted in the meantime
                    raise self._not_found(name)
                self._open[name] = opened = load_collection(folder, lock)
            except BaseException:
                lock.release()
                raise
            return opened

    def create(self, name: str, description: Description) -> None:
        """Make an empty collection.

        Raises:
            CollectionExistsError: If it exists.
            AliasExistsError: If an alias has that name.
            ArgumentError, NotSupportedByEdgeError: If its vectors or settings cannot work.
            StorageError: If its folder holds something that is not ours.
        """
        check_name(name)
        if not description.vectors and not description.sparse_vectors:
            raise ArgumentError(
                field="vectors_config",
                problem="a collection needs a vector: the engine needs at least one",
            )
        convert.check_vectors(description.vectors, description.sparse_vectors)
        description.edge_config()  # an error of it comes before anything is written
        with self._held():
            folder, lock = newcollection.reserve(self.root, self.aliases, name, "creating")
            try:
                with engine_errors(f"creating collection {name!r} in {self.root}"):
                    shards = create_shards(folder, description)
                newcollection.publish(self.aliases, folder, description)
            except BaseException:
                newcollection.abandon(folder, lock)
                raise
            self._open[name] = OpenCollection(
                folder=folder, lock=lock, shards=shards, description=description
            )

    @contextmanager
    def receiving(self, name: str) -> Iterator[Incoming]:
        """Receive a collection as snapshots; remove what came unless `Incoming.finish` is called.

        Raises:
            CollectionExistsError: If it exists.
            AliasExistsError: If an alias has that name.
            StorageError: If its folder holds something that is not ours.
        """
        with self._held():
            folder, lock = newcollection.reserve(self.root, self.aliases, name, "receiving")
        incoming = None
        try:
            incoming = Incoming(folder)
            yield incoming
            with self._guard:
                shard, description = incoming.shard, incoming.description
                if shard is None or description is None:
                    newcollection.abandon(folder, lock)
                    return
                newcollection.publish(self.aliases, folder, description)
                self._open[name] = OpenCollection(
                    folder=folder, lock=lock, shards=(shard,), description=description
                )
        except BaseException:
            if incoming is not None:
                incoming.close()
            newcollection.abandon(folder, lock)
            raise

    def delete(self, name: str) -> bool:
        """Delete a collection and its aliases.

        Returns:
            Whether there was a collection of that name; an alias is none.
        """
        with self._held():
            newcollection.clear_unfinished(self.root)
            folder = CollectionFolder(self.root, name)
            if not folder.exists():
                return False
            self._require_not_borrowed(name)
            opened = self._open.pop(name, None)
            if opened:
                opened.close_shards()
            newcollection.delete(folder, opened.lock if opened else FolderLock(folder))
            newcollection.forget_aliases(self.aliases, name)
            return True

    def change_aliases(self, actions: Sequence[Any]) -> None:
        """Apply alias actions, all or none."""
        with self._held(), self.aliases.changing() as table:
            apply(table, actions, exists=self.exists, missing=self._not_found)

    def live_aliases(self) -> dict[str, str]:
        """Return the collections by alias."""
        self.require_usable()
        table = self.aliases.all()
        return {alias: target for alias, target in table.items() if self.exists(target)}

    @contextmanager
    def closed_meanwhile(self, name: str) -> Iterator[str]:
        """Close a collection for the duration of the block, so that another process can open it.

        Yields:
            Its name, where ``name`` is an alias.
        """
        with self._held():
            opened = self.open(name)
            name = opened.folder.name
            del self._open[name]
            opened.close()
            self._borrowers[name] = "a process that builds its index"
        try:
            yield name
        finally:
            with self._guard:
                del self._borrowers[name]

    @contextmanager
    def shard_folders(self, name: str) -> Iterator[tuple[Path, ...]]:
        """Close a collection's engine and keep its lock, so that its files do not change."""
        with self._held():
            opened = self.open(name)
            folder = opened.folder
            del self._open[folder.name]
            try:
                opened.close_engine()
            except BaseException:
                opened.lock.release()
                raise
            self._borrowers[folder.name] = "a reader of its files in this process"
        try:
            yield tuple(map(folder.shard, range(len(opened.shards))))
        finally:
            with self._guard:
                del self._borrowers[folder.name]
                opened.lock.release()

    def each_open(self, do: Callable[[OpenCollection], None]) -> None:
        """Call a function with every open collection."""
        with self._held():
            for one in self._open.values():
                do(one)

    def close(self) -> None:
        """Close all collections for good; does nothing in a forked child."""
        if self._process != os.getpid():
            return
        with self._guard:
            self._closed = True
            self._close_open()

    def release(self) -> None:
        """Close all collections; each is opened again at its next use."""
        with self._held():
            self._close_open()

    def require_usable(self) -> None:
        """Raise an error if the client was closed, or belongs to a parent process.

        Raises:
            ClientClosedError: If it was closed.
            ClientForkedError: If another process made it.
        """
        if self._process != os.getpid():
            raise ClientForkedError(where=str(self.root), opener=self._process)
        if self._closed:
            raise ClientClosedError(where=str(self.root))

    def _close_open(self) -> None:
        while self._open:
            self._open.popitem()[1].close()

    @contextmanager
    def _held(self) -> Iterator[None]:
        """Hold the lock of the client, which must be usable."""
        self.require_usable()
        with self._guard:
            self.require_usable()
            yield

    def _require_not_borrowed(self, name: str) -> None:
        owner = self._borrowers.get(name)
        if owner is not None:
            raise CollectionLockedError(collection=name, where=str(self.root), owner=owner)

    def _not_found(self, name: str) -> CollectionNotFoundError:
        names = tuple(self.names())
        # Without any collection the path may have been meant from another working directory.
        where = self.root if names else self.root.absolute()
        return CollectionNotFoundError(collection=name, where=str(where), collections=names)
