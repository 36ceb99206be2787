"""What lies where on disk, and who may open it.

::

    <root>/                      made by the first create_collection
      articles/                  one folder per collection
        collection.json          what it is: written last, removed first
        lock                     held by the one opener, with its process id
        shards/0/                the engine's own files

A folder without ``collection.json`` is a creation or a deletion that did not finish. It is no
collection, and the next creation of that name clears it away.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import portalocker

from qdrant_static.errors import CollectionLockedError, CollectionNameError, StorageError

#: Version of ``collection.json``.
FORMAT = 1
#: Folder beside the collections in which jobs keep their files; never a collection.
STATE_FOLDER = "_state"

_FORBIDDEN = frozenset('/\\<>:"|?*')
_MAX_NAME_BYTES = 255
#: Free bytes that no write may touch: the engine grows its files in pieces of 32 MiB.
_RESERVE_BYTES = 64 * 2**20


def check_name(name: str) -> str:
    """Return a collection's name if it can be a folder's.

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
        self.shard = self.path / "shards" / "0"

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

    def clear(self) -> None:
        """Remove everything but the lock: the description first, so that no half remains."""
        if self.description.exists():
            self.description.unlink()
            sync_folder(self.path)
        shutil.rmtree(self.path / "shards", ignore_errors=True)


class FolderLock:
    """The right to open a collection, held until it is released or the process dies.

    The engine's own lock lies on its write-ahead log; without one a second opener would write
    into the live files. The operating system releases this one with the process.

    Args:
        folder: The collection's folder; it must exist.

    Raises:
        CollectionLockedError: If it is held already, by this process or another.
    """

    def __init__(self, folder: CollectionFolder) -> None:
        path = folder.path / "lock"
        while True:
            self._file = open(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+")
            try:
                portalocker.lock(self._file, portalocker.LOCK_EX | portalocker.LOCK_NB)
            except portalocker.exceptions.LockException as error:
                owner = self._file.read().strip()
                self._file.close()
                raise CollectionLockedError(
                    collection=folder.name, where=str(folder.path.parent), owner=_told(owner)
                ) from error
            if path.exists() and os.path.samestat(os.fstat(self._file.fileno()), path.stat()):
                break
            self._file.close()  # a deletion removed this file between opening and locking it
        self._file.truncate(0)
        self._file.write(str(os.getpid()))
        self._file.flush()
        self._path = path

    def release(self) -> None:
        """Let others open the collection."""
        if not self._file.closed:
            self._file.seek(0)
            self._file.truncate(0)
            portalocker.unlock(self._file)
            self._file.close()

    def remove(self) -> None:
        """Remove the lock's own file and release it: the collection is gone."""
        try:
            self._path.unlink(missing_ok=True)
        except PermissionError:  # Windows keeps open files; an empty lock does no harm
            pass
        self.release()


def _told(owner: str) -> str:
    if owner == str(os.getpid()):
        return "another client of this process"
    return f"process {owner or 'unknown'}"


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


def replace_file(path: Path, content: bytes) -> None:
    """Write a file so that a reader, or a crash, sees the old content or the new one, whole."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Make renames and removals in a folder durable, where the system can."""
    if os.name == "nt":  # directories cannot be opened there; the file system journals them
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
