"""Which parts of a table or a record are stored, by the steps that lead to each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from qdrant_static.reading.selection import Selection

#: Names on the way to a value: of a column or field, then of fields inside it.
Steps = tuple[str, ...]
#: Parts whose fate is remembered; records may have names without end.
_REMEMBERED = 10_000


class Choice:
    """What a selection makes of one table, or of records that have the same names.

    A name with dots is a name before it is a path, so what it means depends on the columns that are
    there: ``user.name`` may be a column beside ``user``, or a field inside it.

    Args:
        selection: The columns of the job.
        steps: The steps that a name stands for.
    """

    def __init__(self, selection: Selection, steps: Callable[[str], Steps]) -> None:
        self.steps = steps
        self._keys = [steps(name) for name in selection.keys]
        self._unwanted = [steps(name) for name in selection.unwanted]
        self._wanted = [steps(name) for name in selection.wanted]
        self._takes_all = selection.payload is None
        # A column keeps its place under its new name; a field inside one moves out of it.
        self._moved = [path for name in selection.rename if len(path := steps(name)) > 1]
        self._known: dict[Steps, str] = {}

    def of(self, path: Steps) -> Literal["whole", "part", "none"]:
        """Whether a value is stored ``whole``, in ``part`` (some of its fields) or not."""
        found: Any = self._known.get(path)
        if found is None:
            found = self._decide(path)
            if len(self._known) < _REMEMBERED:
                self._known[path] = found
        return found  # type: ignore[no-any-return]

    def of_renamed(self, path: Steps) -> Literal["whole", "part"]:
        """Whether a value that is renamed keeps all its fields."""
        return "part" if self._has_cuts(path) else "whole"

    def _has_cuts(self, path: Steps) -> bool:
        return _has_below(path, self._unwanted) or _has_below(path, self._moved)

    def _decide(self, path: Steps) -> str:
        if path in self._moved:
            return "none"
        if not _is_within(path, self._keys):
            if _is_within(path, self._unwanted):
                # Excluded, but the key may lie inside.
                return "part" if _has_below(path, self._keys) else "none"
            if not self._takes_all and not _is_within(path, self._wanted):
                return "part" if _has_below(path, self._wanted) else "none"
        return "part" if self._has_cuts(path) else "whole"


def steps_in(record: Mapping[str, Any], name: str) -> Steps:
    """The steps to a field of a record, also into the objects of a list."""
    head, dot, _ = name.rpartition(".")
    while dot and name not in record:
        for inner in _objects(record.get(head)):
            return (head, *steps_in(inner, name[len(head) + 1 :]))
        head, dot, _ = head.rpartition(".")
    return (name,)


def _objects(value: Any) -> Sequence[Mapping[str, Any]]:
    """A value if it is an object, the objects of a list; else none."""
    some = value if isinstance(value, list) else [value]
    return [one for one in some if isinstance(one, Mapping)]


def _is_within(path: Steps, wholes: Sequence[Steps]) -> bool:
    return any(path[: len(one)] == one for one in wholes)


def _has_below(path: Steps, others: Sequence[Steps]) -> bool:
    return any(len(one) > len(path) and one[: len(path)] == path for one in others)
