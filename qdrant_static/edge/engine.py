"""Errors of the engine's binding as our types, and protection of the engine in forked children."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from qdrant_static.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Iterator
import ctypes
import os
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol
from weakref import WeakSet


@contextmanager
def engine_errors(operation: str) -> Iterator[None]:
    """Raise `EngineError` for the bare exceptions of the engine's binding.

    A panic of the engine (on damaged files) is no `Exception`; it is recognized by its name.
    """
    try:
        yield
    except BaseException as error:
        kind = type(error)
        if (
            kind not in (Exception, ValueError, TypeError, OverflowError)
            and kind.__name__ != "PanicException"
        ):
            raise
        raise EngineError(operation=operation, problem=str(error)) from error


# A fork copies the engine's memory, but not its threads, and shares its files: any call would wait
# forever, or write into the parent's files. So a child never calls the engine again, and closes its
# copies of the engine's locks. (Our own lock files: `qdrant_static.files`.)

#: The file descriptors of this process, on Linux and on macOS.
_DESCRIPTORS = "/dev/fd"


class _Owner(Protocol):
    """An object that holds the engine."""

    def leave(self) -> None:
        """Drop the engine in a forked child."""


_owners: WeakSet[Any] = WeakSet()


def leave_in_children(owner: _Owner) -> None:
    """Call ``owner.leave()`` in every child that is forked from now on."""
    _owners.add(owner)


def abandon(thing: Any) -> None:
    """Keep an object of the engine from being freed, which would write into its files."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))


def unlock_folder(folder: Path) -> None:
    """Close a forked child's copies of the lock on a folder.

    The engine locks the folder of its write-ahead log by a file descriptor that it does not expose.
    The descriptor is redirected to the null device, since the engine's memory still refers to it.
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
    for owner in list(_owners):
        owner.leave()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
