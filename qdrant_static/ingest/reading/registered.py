"""Sources that other distributions add, by entry point."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    import pyarrow as pa

#: ``name = "module:function"``: the name is an ending without its dot (``avro``) or a URI's scheme
#: (``mongodb``), the function takes a path or URI and returns a `pyarrow.RecordBatchReader`.
ENTRY_POINT_GROUP = "qdrant_static.sources"


def ending_of(path: str) -> str | None:
    """The registered name that a path ends in; None if there is none."""
    low = path.lower()
    return next((name for name in _names() if low.endswith(f".{name.lower()}")), None)


def scheme(name: str) -> str | None:
    """The registered name of a URI's scheme; None if there is none."""
    return next((one for one in _names() if one.lower() == name.lower()), None)


def open_reader(name: str, location: str) -> pa.RecordBatchReader:
    """Have a registered source open a path or a URI.

    Args:
        name: What `ending_of` or `scheme` gave.
        location: The path or URI.
    """
    (point, *_) = entry_points(group=ENTRY_POINT_GROUP, name=name)
    return cast("Callable[[str], pa.RecordBatchReader]", point.load())(location)


@cache
def _names() -> tuple[str, ...]:
    return tuple(sorted({point.name for point in entry_points(group=ENTRY_POINT_GROUP)}))
