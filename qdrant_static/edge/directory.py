"""What lies where on disk, and who may open it.

::

    <root>/                      made by the first create_collection
      aliases.json               other names of collections
      aliases.lock               held while aliases.json is changed
      articles/                  one folder per collection
        collection.json          what it is: written last, removed first
        lock                     held by the one opener, with its name in it
        shards/0/                the engine's own files; 1/, 2/, … of a collection to be shipped
        assembling               there while it is put together of others (`assemble`)
        unfinished               there while the collection is made or deleted

A folder without ``collection.json`` is no collection. With the mark ``unfinished`` it is what a
crash left, and the next creation or deletion clears it away; without the mark nobody knows whose
files these are, and they are left alone.
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
#: Folder beside the collections in which jobs keep their files; never a collection.
STATE_FOLDER = "_state"
ALIASES_FILE = "aliases.json"
ALIASES_LOCK = "aliases.lock"

_FORBIDDEN = frozenset('/\\<>:"|?*')
_MAX_NAME_BYTES = 255
#: Files of ours, and names that Windows keeps for devices whatever their ending.
_RESERVED = frozenset({ALIASES_FILE, ALIASES_LOCK})
_DEVICES = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)
#: Free bytes that no write may touch: the engine grows its files in pieces of 32 MiB.
_RESERVE_BYTES = 64 * 2**20
#: What one request may make the files of one shard grow by, beyond what it brings.
GROWTH_BYTES = 32 * 2**20


def check_name(name: str) -> str:
    """Return a collection's or an alias's name if it can be a folder's, on any system.

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
        """The engine's own folder of one shard."""
        return self.shards / str(number)

    def exists(self) -> bool:
        """Whether a finished collection is here."""
        return self.description.is_file()

    def read(self) -> dict[str, Any]:
        """The description of the collection.

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
        """Replace the description in one step that a crash cannot split."""
        raw = json.dumps({"format": FORMAT, **content}, indent=2, ensure_ascii=False).encode()
        replace_file(self.description, raw)

    def begin(self, what: str) -> None:
        """Mark the folder as being made or deleted, for whoever finds it after a crash."""
        replace_file(self.mark, what.encode())

    def finish(self) -> None:
        """Remove the marks."""
        self.mark.unlink(missing_ok=True)
        self.assembling.unlink(missing_ok=True)
        sync_folder(self.path)

    def clear(self) -> None:
        """Remove everything but the lock and the mark: the description first."""
        if self.description.exists():
            self.description.unlink()
            sync_folder(self.path)
        shutil.rmtree(self.shards, ignore_errors=True)
        self.assembling.unlink(missing_ok=True)


class FolderLock:
    """The right to open a collection, held until it is released or the process dies.

    The engine's own lock lies on its write-ahead log; without this one a second opener would write
    into the live files.

    Args:
        folder: The collection's folder; it must exist.

    Raises:
        CollectionLockedError: If it is held already, by this process or another.
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
    """Hold a lock file for a block, waiting until it is free.

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
        problem=f"cannot be written ({error.strerror}). An embedded collection is locked by "
        "whoever opens it, to read it too: copy the folder to a place that can be written",
    )


def unfinished(root: Path) -> list[str]:
    """The folders that a crash left behind in the middle of a creation or a deletion."""
    return [
        mark.parent.name
        for mark in root.glob("*/unfinished")
        if not (mark.parent / "collection.json").exists()
    ]


def collection_names(root: Path) -> list[str]:
    """The names of the finished collections in a directory, sorted; none if it is missing."""
    if not root.is_dir():
        return []
    return sorted(entry.parent.name for entry in root.glob("*/collection.json"))


def require_room(folder: Path, needed: int) -> None:
    """Refuse to write where the disk is nearly full.

    The engine writes through memory maps of sparse files. Where the disk cannot back a page, the
    system kills the process (SIGBUS) in place of an error, so look before.

    Raises:
        StorageError: If less than ``needed`` bytes and a reserve are free.
    """
    free = shutil.disk_usage(folder).free
    if free < needed + _RESERVE_BYTES:
        raise StorageError(
            path=str(folder),
            problem=f"the disk is full: {free / 1e6:,.0f} MB free, "
            f"{(needed + _RESERVE_BYTES) / 1e6:,.0f} MB needed. Nothing of this request was "
            "written; what was acknowledged before is there. Make room and repeat",
        )


def bytes_on_disk(folder: Path) -> int:
    """What a folder takes; the engine's files are sparse, so blocks count, not lengths."""
    stats = [file.stat() for file in folder.rglob("*") if file.is_file()]
    return sum(
        stat.st_blocks * 512 if hasattr(stat, "st_blocks") else stat.st_size for stat in stats
    )
