"""What a forked child must not have of its parent: locks on files, and the engine.

A fork copies every descriptor, and a lock on a file (``flock``) is held until the last copy is
closed: a child that lives on would keep what its parent has let go. It also copies the engine's
memory, but not its threads, and shares the files beneath: any call would wait for ever, or write
into what the parent writes. So a child closes its copies at once, and touches the engine no more.
Programs that a process starts (``subprocess``) get neither.
"""

from __future__ import annotations

import ctypes
import os
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Protocol
from weakref import WeakSet

#: Where a process finds its own descriptors, on Linux and on macOS.
_DESCRIPTORS = "/dev/fd"


class _Owner(Protocol):
    """Something that holds the engine."""

    def leave(self) -> None:
        """Let go of it, in a child."""


_files: WeakSet[IO[str]] = WeakSet()
_owners: WeakSet[Any] = WeakSet()


def close_in_children(file: IO[str]) -> None:
    """Have a file that holds a lock closed in every child that is forked from here on."""
    _files.add(file)


def leave_in_children(owner: _Owner) -> None:
    """Have ``owner.leave()`` called in every child that is forked from here on."""
    _owners.add(owner)


def abandon(thing: Any) -> None:
    """Keep an object of the engine from ever being freed: that would write into its files."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))


def unlock_folder(folder: Path) -> None:
    """Release this process's copies of a lock on a folder.

    The engine locks the folder of its write-ahead log by a descriptor that it does not expose.
    The number stays in use, for the null device, since the engine's memory still refers to it.
    """
    with suppress(OSError):
        wanted = folder.stat()
        nothing = os.open(os.devnull, os.O_RDWR)
        try:
            for name in os.listdir(_DESCRIPTORS):
                with suppress(OSError):
                    number = int(name)
                    if os.path.samestat(os.fstat(number), wanted):
                        os.dup2(nothing, number, inheritable=False)
        finally:
            os.close(nothing)


def _in_child() -> None:
    for file in list(_files):
        with suppress(OSError):
            file.close()
    for owner in list(_owners):
        owner.leave()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
