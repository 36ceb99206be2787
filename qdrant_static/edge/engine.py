"""The engine's failures, under names of ours."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from qdrant_static.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Iterator


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
