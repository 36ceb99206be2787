"""The layout of the directory on disk, and the locks of its collections.

::

    <root>/                      made by the first create_collection
      aliases.json               other names of collections
      aliases.lock               lock file of aliases.json
      articles/                  one folder per collection
        collection.json          its description: written last, removed first
        lock                     lock file of the client that has it open; names its process
        shards/0/                the engine's files; 1/, 2/, … of a collection to be shipped
        assembling               exists while it is assembled from others (`assemble`)
        unfinished               exists while the collection is created or deleted

A folder without ``collection.json`` is no collection. If it has the mark ``unfinished``, a crash
has left it, and the next creation or deletion removes it; without the mark it may belong to
somebody else, and is not touched.
"""

from __future__ import annotations

import json
import re
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qdrant_static.errors import CollectionLockedError, CollectionNameError, StorageError
from qdrant_static.files import LockFile, LockHeldError, replace_file, sync_folder

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Version of ``collection.json``.
FORMAT = 1
#: In a collection's metadata: when it was created, ISO 8601.
CREATED_KEY = "qdrant_static_created"
#: Folder beside the collections in which jobs keep their files; no collection has its name.
STATE_FOLDER = "_state"
ALIASES_FILE = "aliases.json"
ALIASES_LOCK = "aliases.lock"

_FORBIDDEN = frozenset('/\\<>:"|?*')
_MAX_NAME_BYTES = 255
#: Our own files, and names that Windows reserves for devices, with any ending.
_RESERVED = frozenset({ALIASES_FILE, ALIASES_LOCK})
_DEVICES = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)
#: Bytes that every write must leave free: the engine grows its files in steps of 32 MiB.
_RESERVE_BYTES = 64 * 2**20
#: How much one request may grow the files of one shard, beyond its own size.
GROWTH_BYTES = 32 * 2**20


def check_name(name: str) -> str:
    """Return the name of a collection or alias if it can name a folder on any system.

    Raises:
        CollectionNameError: If it is empty, too long, leaves the directory or is reserved.
    """
    problem = None
    if not isinstance(name, str) or not name:
        problem = "it is empty or not a string"
    elif name.startswith("."):
        problem = "it starts with a dot"
    elif name.startswith(STATE_FOLDER):
        problem = f"names that start with {STATE_FOLDER!r} are reserved"
    elif name.endswith((".", " ")):
        problem = "it ends with a dot or a space"
    elif name.lower() in _RESERVED or _DEVICES.fullmatch(name):
        problem = "it is reserved"
    elif bad := [char for char in name if char in _FORBIDDEN or ord(char) < 32 or char == "\x7f"]:
        problem = f"it contains {bad[0]!r}"
    else:
        try:
            if len(name.encode()) > _MAX_NAME_BYTES:
                problem = f"it has more than {_MAX_NAME_BYTES} bytes"
        except UnicodeEncodeError:
            problem = "it is not valid Unicode"
    if problem is not None:
        raise CollectionNameError(name=name, problem=problem)
    return name


class CollectionFolder:
    """The folder of one collection.

    Args:
        root: The directory of all collections.
        name: The collection's name.
    """

    def __init__(self, root: Path, name: str) -> None:
        self.path = root / check_name(name)
        self.name = name
        self.description = self.path / "collection.json"
        self.shards = self.path / "shards"
        self.mark = self.path / "unfinished"
        self.assembling = self.path / "assembling"

    def shard(self, number: int) -> Path:
        """Return the folder of one shard, which is the engine's."""
        return self.shards / str(number)

    def exists(self) -> bool:
        """Return whether this is the folder of a complete collection."""
        return self.description.is_file()

    def read(self) -> dict[str, Any]:
        """Return the content of ``collection.json``.

        Raises:
            StorageError: If it is damaged, or was written by a later version of this package.
        """
        try:
            content = json.loads(self.description.read_bytes())
            version = content["format"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StorageError(
                path=str(self.description), problem=f"cannot be read ({error})"
            ) from error
        if version != FORMAT:
            raise StorageError(
                path=str(self.description),
                problem=f"has format {version}, this version reads {FORMAT}: upgrade qdrant-static",
            )
        return dict(content)

    def write(self, content: dict[str, Any]) -> None:
        """Replace ``collection.json`` atomically."""
        raw = json.dumps({"format": FORMAT, **content}, indent=2, ensure_ascii=False).encode()
        replace_file(self.description, raw)

    def begin(self, what: str) -> None:
        """Mark the folder as being created or deleted, in case of a crash."""
        replace_file(self.mark, what.encode())

    def finish(self) -> None:
        """Remove the marks."""
        self.mark.unlink(missing_ok=True)
        self.assembling.unlink(missing_ok=True)
        sync_folder(self.path)

    def clear(self) -> None:
        """Remove everything but the lock file and the mark, the description first."""
        if self.description.exists():
            self.description.unlink()
            sync_folder(self.path)
        shutil.rmtree(self.shards, ignore_errors=True)
        self.assembling.unlink(missing_ok=True)


class FolderLock:
    """The lock file of a collection, held until it is released or the process ends.

    The engine locks only its write-ahead log; without this lock a second process could open the
    other files and write into them.

    Args:
        folder: The collection's folder; it must exist.

    Raises:
        CollectionLockedError: If this process or another one holds it.
        StorageError: If the folder cannot be written to.
    """

    def __init__(self, folder: CollectionFolder) -> None:
        self._lock = LockFile(folder.path / "lock")
        try:
            self._lock.acquire()
        except LockHeldError as error:
            owner = error.owner
            raise CollectionLockedError(
                collection=folder.name,
                where=str(folder.path.parent),
                owner="another client of this process" if owner.is_this_process else str(owner),
            ) from error
        except FileNotFoundError:  # the collection is being deleted
            raise
        except OSError as error:
            raise _not_writable(self._lock.path, error) from error

    def release(self) -> None:
        """Let others open the collection."""
        self._lock.release()

    def remove(self) -> None:
        """Delete the lock file and release the lock: the collection is gone."""
        self._lock.remove()


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Hold a lock file for a block; wait until it is free.

    Raises:
        StorageError: If the folder cannot be written to.
    """
    lock = LockFile(path)
    try:
        lock.acquire(timeout_s=None)
    except OSError as error:
        raise _not_writable(path, error) from error
    try:
        yield
    finally:
        lock.release()


def _not_writable(path: Path, error: OSError) -> StorageError:
    return StorageError(
        path=str(path),
        problem=f"cannot be written ({error.strerror}). An embedded collection is locked even to "
        "read it: copy the folder to a place that can be written",
    )


def unfinished(root: Path) -> list[str]:
    """Return the folders in which a crash interrupted a creation or a deletion."""
    return [
        mark.parent.name
        for mark in root.glob("*/unfinished")
        if not (mark.parent / "collection.json").exists()
    ]


def collection_names(root: Path) -> list[str]:
    """Return the names of the collections in a directory, sorted; none if it is missing."""
    if not root.is_dir():
        return []
    return sorted(entry.parent.name for entry in root.glob("*/collection.json"))


def require_room(folder: Path, needed: int) -> None:
    """Raise an error if the disk is nearly full.

    The engine writes through memory maps of sparse files. If the disk is full, the system kills the
    process (SIGBUS) instead of reporting an error, so the space is checked before.

    Raises:
        StorageError: If less than ``needed`` bytes and a reserve are free.
    """
    free = shutil.disk_usage(folder).free
    if free < needed + _RESERVE_BYTES:
        raise StorageError(
            path=str(folder),
            problem=f"the disk is full: {free / 1e6:,.0f} MB free, "
            f"{(needed + _RESERVE_BYTES) / 1e6:,.0f} MB needed. Nothing of this request was "
            "written; what was acknowledged before is stored. Free space and repeat",
        )


def bytes_on_disk(folder: Path) -> int:
    """Return the size of a folder on disk, in bytes.

    The engine's files are sparse, so allocated blocks count, not the lengths of files.
    """
    stats = [file.stat() for file in folder.rglob("*") if file.is_file()]
    return sum(
        stat.st_blocks * 512 if hasattr(stat, "st_blocks") else stat.st_size for stat in stats
    )
