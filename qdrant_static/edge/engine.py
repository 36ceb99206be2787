"""Seams to the engine's binding: its exceptions get types, and forked children let go of it."""

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
    """The engine raises bare exceptions with a text; give them a type and say what was done.

    A panic of the engine (files that it finds damaged) is no `Exception`: it comes by its name.
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


#: Where a process finds its own descriptors, on Linux and on macOS.
_DESCRIPTORS = "/dev/fd"


class _Owner(Protocol):
    """Something that holds the engine."""

    def leave(self) -> None:
        """Let go of it, in a child."""


_owners: WeakSet[Any] = WeakSet()


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
    for owner in list(_owners):
        owner.leave()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
