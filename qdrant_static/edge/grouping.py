"""The best points of the best groups, by a server's own procedure.

The engine knows no groups, nor does a server's: it asks for the best points up to five times,
without the groups that are full and the points it has, and then up to five times for more points of
the best groups. What it finds, and misses where a group has very many points, is the same here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias
from uuid import UUID

from qdrant_client import models

from qdrant_static.edge import convert
from qdrant_static.errors import ArgumentError

GroupId: TypeAlias = "int | str"
PointId: TypeAlias = "int | str | UUID"
#: What answers a filter and a limit with points, their payload cut to the wanted path.
Ask = Callable[[models.Filter | None], list[models.ScoredPoint]]

_REQUESTS_FOR_GROUPS = 5
_REQUESTS_FOR_FILLING = 5

_STEP = re.compile(r'\.?(?:"(?P<quoted>[^"\\]*)"|(?P<plain>[\w-]+))|\[(?P<index>\d*)\]')


class Path:
    """A path into a payload, as ``group_by`` gives it: ``a``, ``a.b``, ``a[].b``, ``"a.b"[0]``.

    Args:
        text: The path.

    Raises:
        ArgumentError: If it is no path.
    """

    def __init__(self, text: str) -> None:
        self.steps: list[str | int | None] = []
        position = 0
        while position < len(text):
            step = _STEP.match(text, position)
            if step is None or (text[position] == ".") != (
                bool(self.steps) and step["index"] is None
            ):
                raise ArgumentError(
                    field="group_by", problem=f"{text!r} is not a valid path in a payload"
                )
            key = step["plain"] if step["quoted"] is None else step["quoted"]
            self.steps.append(key if step["index"] is None else int(step["index"] or -1))
            position = step.end()
        if not self.steps or isinstance(self.steps[0], int):
            raise ArgumentError(
                field="group_by", problem=f"{text!r} is not a valid path in a payload"
            )
        #: The path that selects the payload that is needed.
        self.selector = text.removesuffix("[]")

    def values(self, payload: Mapping[str, Any] | None) -> Iterator[Any]:
        """What lies at the path; the values of a list one by one."""
        for value in _walk(payload or {}, self.steps):
            if isinstance(value, list):
                yield from value
            else:
                yield value


def _walk(value: Any, steps: Sequence[str | int | None]) -> Iterator[Any]:
    if not steps:
        yield value
        return
    step, rest = steps[0], steps[1:]
    if isinstance(step, str):
        if isinstance(value, Mapping) and step in value:
            yield from _walk(value[step], rest)
    elif isinstance(value, list):
        for one in value if step == -1 else value[step : step + 1]:  # type: ignore[operator]
            yield from _walk(one, rest)


class Groups:
    """Points gathered by the values at a path.

    Args:
        path: Where the value is.
        limit: How many groups are wanted.
        size: How many points of each.
        largest_first: Whether a larger score is better; None if the order means nothing.
    """

    def __init__(self, path: Path, limit: int, size: int, largest_first: bool | None) -> None:
        self._path = path
        self.limit = limit
        self._size = size
        self._largest_first = largest_first
        self._groups: dict[GroupId, dict[PointId, models.ScoredPoint]] = {}
        self.ids: set[PointId] = set()

    def add(self, points: Iterable[models.ScoredPoint]) -> None:
        """Take points in; one with a value that is neither text nor a whole number is left out."""
        for point in points:
            keys = list(self._path.values(point.payload))
            if not all(type(key) in (int, str) for key in keys):  # a bool is no whole number
                continue
            for key in keys:
                self._groups.setdefault(key, {}).setdefault(point.id, point)
                self.ids.add(point.id)

    def full(self) -> list[GroupId]:
        """The groups that have enough points."""
        return [key for key, hits in self._groups.items() if len(hits) >= self._size]

    def best(self) -> list[GroupId]:
        """The wanted number of groups, the one with the best point first."""
        return self._sorted(self._groups, lambda key: self._order(self._groups[key]))[: self.limit]

    def result(self) -> list[tuple[GroupId, list[models.ScoredPoint]]]:
        """The best groups and their best points."""
        return [
            (key, self._sorted(self._groups[key].values(), _score)[: self._size])
            for key in self.best()
        ]

    def _order(self, hits: Mapping[PointId, models.ScoredPoint]) -> Any:
        scores = map(_score, hits.values())
        return max(scores) if self._largest_first else min(scores)

    def _sorted(self, values: Iterable[Any], key: Callable[[Any], Any]) -> list[Any]:
        if self._largest_first is None:
            return list(values)
        return sorted(values, key=key, reverse=self._largest_first)


def gather(groups: Groups, ask: Ask, condition: models.Filter | None, *, by: str) -> None:
    """Ask until the best groups are full, or a server would give up.

    Args:
        groups: What takes the points in.
        ask: What answers a filter with points.
        condition: The request's own filter.
        by: The path that is grouped by.
    """
    has_value = models.IsEmptyCondition(is_empty=models.PayloadField(key=by))
    phases: tuple[tuple[int, Callable[[], list[models.Condition]]], ...] = (
        (_REQUESTS_FOR_GROUPS, lambda: _matching(by, groups.full(), models.MatchExcept, "except_")),
        (_REQUESTS_FOR_FILLING, lambda: _matching(by, _unfilled(groups), models.MatchAny, "any")),
    )
    for requests, wanted in phases:
        for _ in range(requests):
            seen = models.HasIdCondition.model_construct(has_id=list(groups.ids))
            points = ask(
                convert.narrowed(
                    condition,
                    must=wanted(),
                    must_not=[has_value, seen] if groups.ids else [has_value],
                )
            )
            if not points:
                break
            groups.add(points)
            if not _unfilled(groups) and len(groups.best()) == groups.limit:
                return


def _unfilled(groups: Groups) -> list[GroupId]:
    full = set(groups.full())
    return [key for key in groups.best() if key not in full]


def _matching(
    key: str, values: Sequence[GroupId], kind: type[Any], field: str
) -> list[models.Condition]:
    """Conditions on the values, one for the whole numbers and one for the texts."""
    return [
        models.FieldCondition.model_construct(
            key=key, match=kind.model_construct(**{field: of_kind})
        )
        for of_kind in (
            [value for value in values if isinstance(value, int) and -(2**63) <= value < 2**63],
            [value for value in values if isinstance(value, str)],
        )
        if of_kind
    ]


def _score(point: models.ScoredPoint) -> Any:
    return point.score if point.order_value is None else point.order_value
