"""Sources that other distributions register, by entry point."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, cast

from qdrant_static.errors import QdrantStaticError
from qdrant_static.reading.streams import DamagedError, problem_of
from qdrant_static.redaction import without_secrets

if TYPE_CHECKING:
    import pyarrow as pa

#: ``name = "module:function"``: the name is an ending without its dot (``avro``) or a URI's scheme
#: (``mongodb``), the function takes a path or URI and returns a `pyarrow.RecordBatchReader`.
ENTRY_POINT_GROUP = "qdrant_static.sources"


def ending_of(path: str) -> str | None:
    """Return the registered name that a path ends in; None if there is none."""
    lower = path.lower()
    return next((name for name in _names() if lower.endswith(f".{name.lower()}")), None)


def scheme_of(name: str) -> str | None:
    """Return the registered name of a URI's scheme; None if there is none."""
    return next((one for one in _names() if one.lower() == name.lower()), None)


@contextmanager
def opened(name: str, location: str) -> Iterator[tuple[pa.Schema, Iterator[pa.RecordBatch]]]:
    """Open a path or a URI with a registered source; yield its columns and its tables.

    Args:
        name: The name that `ending_of` or `scheme_of` returned.
        location: The path or URI.

    Raises:
        DamagedError: If the source fails, whatever it raises, now or at a later table.
    """
    with _failures_as_damage(name, location):
        (point, *_) = entry_points(group=ENTRY_POINT_GROUP, name=name)
        reader = cast("Callable[[str], pa.RecordBatchReader]", point.load())(location)
    with reader:
        yield reader.schema, _tables(reader, name, location)


def _tables(reader: pa.RecordBatchReader, name: str, location: str) -> Iterator[pa.RecordBatch]:
    tables = iter(reader)
    while True:
        with _failures_as_damage(name, location):
            table = next(tables, None)
        if table is None:
            return
        yield table


@contextmanager
def _failures_as_damage(name: str, location: str) -> Iterator[None]:
    try:
        yield
    except QdrantStaticError:
        raise
    except Exception as error:  # another distribution's code may raise anything
        problem = without_secrets(location, problem_of(error))
        raise DamagedError(
            f"the source {name!r} fails: {type(error).__name__}: {problem}"
        ) from error


@cache
def _names() -> tuple[str, ...]:
    return tuple(sorted({point.name for point in entry_points(group=ENTRY_POINT_GROUP)}))
