"""Converts a filter in any form to a Qdrant filter, checked against the collection's fields."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from pydantic import ValidationError
from qdrant_client import models

from qdrant_static.clients.connect import check_client
from qdrant_static.collection.fieldpaths import parse_key
from qdrant_static.errors import ArgumentError, FilterError
from qdrant_static.querying.filters.language import Comparison, Value, parse
from qdrant_static.querying.filters.literals import (
    FORMS,
    LARGEST,
    NO_ORDER,
    SMALLEST,
    Kind,
    UnfitError,
    conditions,
    number_kind,
)
from qdrant_static.querying.filters.stored import StoredField, StoredFields

if TYPE_CHECKING:
    from qdrant_static.clients.connect import Client

#: Text in the filter language or as Qdrant's JSON, Qdrant's JSON as a dictionary, the client's
#: own filter, or several of these, all of which must hold.
FilterLike: TypeAlias = "str | Mapping[str, Any] | models.Filter | Sequence[FilterLike] | None"

#: Maximum length of a value in an error, in characters.
_SHOWN = 60
#: The types that a value may have if the field's type is unknown.
_ANY: tuple[Kind, ...] = ("string", "integer", "float", "bool", "datetime")


def build_filter(
    client: Client, collection: str, condition: FilterLike, *, fields: StoredFields | None = None
) -> models.Filter | None:
    """Convert a filter to Qdrant's form; docs/filters.md describes the language.

    Fields are looked up in the collection: their types decide how a value is read, and a field
    that no point has is an error. A `models.Filter` is returned unchanged.

    Args:
        client: An `EdgeClient` or a `QdrantClient`.
        collection: The collection's name.
        condition: Such as ``"year>=2000 and lang=en,de"``, ``{"must": [...]}``, or a list.
        fields: The fields that were looked up already.

    Returns:
        The filter; None if none is given.

    Raises:
        CollectionNotFoundError: If there is no such collection.
        FilterError: If it cannot be read, or a value does not fit the field's values.
        FieldNotFoundError: If no point has a field of that name.
    """
    if condition is None or isinstance(condition, models.Filter):
        return condition
    check_client(client, "build_filter(client, collection, condition)")
    known = StoredFields(client, collection) if fields is None else fields
    if isinstance(condition, list | tuple):
        parts = [build_filter(client, collection, item, fields=known) for item in condition]
        return _together([item for item in parts if item is not None])
    if isinstance(condition, Mapping) or (
        isinstance(condition, str) and condition.lstrip().startswith("{")
    ):
        return _from_json(condition, known)
    if not isinstance(condition, str):
        kind = type(condition).__name__
        raise FilterError(
            filter=repr(condition), problem=f"{kind} is not a filter: give a string or a dict"
        )
    must: list[Any] = []
    must_not: list[Any] = []
    for comparison in parse(condition):
        alternatives = _alternatives(condition, comparison, known)
        if comparison.operator == "!=":
            must_not += alternatives
        elif len(alternatives) == 1:
            must += alternatives
        else:
            must.append(models.Filter(should=alternatives))
    return models.Filter(must=must or None, must_not=must_not or None)


def one_filter(
    client: Client,
    collection: str,
    condition: FilterLike,
    query_filter: models.Filter | None,
    fields: StoredFields | None = None,
) -> models.Filter | None:
    """Return the filter of a search from its two arguments: `filter` and the client's own form.

    Raises:
        ArgumentError: If both are given.
    """
    if query_filter is None:
        return build_filter(client, collection, condition, fields=fields)
    if condition is not None:
        raise ArgumentError(
            field="query_filter", problem="means the same as `filter`: give one of them"
        )
    return query_filter


def _together(parts: list[models.Filter]) -> models.Filter | None:
    if len(parts) <= 1:
        return parts[0] if parts else None
    return models.Filter(must=cast("list[models.Condition]", parts))


# --- the language --------------------------------------------------------------------------------


def _alternatives(
    text: str, comparison: Comparison, fields: StoredFields
) -> list[models.Condition]:
    """Return conditions of which any must hold; for ``!=``, none may."""
    field = fields.find(comparison.field)
    kinds = _kinds(field, comparison, fields)
    alternatives: list[models.Condition] = []
    if any(value.null for value in comparison.values):
        alternatives.append(models.IsEmptyCondition(is_empty=models.PayloadField(key=field.key)))
    fitting: dict[Kind, list[Value]] = {}
    for value in comparison.values:
        if value.null:
            continue
        reasons = []
        for kind in _readings(kinds, value, known=bool(field.kinds), indexed=bool(field.index)):
            try:
                conditions(field.key, kind, comparison.operator, [value])
            except UnfitError as error:
                reasons.append(str(error))
            else:
                fitting.setdefault(kind, []).append(value)
                if kind == "float":
                    break  # whole numbers are covered by the range of floats
        if not any(value in group for group in fitting.values()):
            problem = _unfit(comparison, field, value, kinds, reasons)
            raise FilterError(filter=text, problem=problem, character=value.at + 1)
    for kind, group in fitting.items():
        alternatives += conditions(field.key, kind, comparison.operator, group)
    return alternatives


def _kinds(field: StoredField, comparison: Comparison, fields: StoredFields) -> frozenset[str]:
    """Return the types of a field's values for this comparison."""
    if field.index == "keyword" and comparison.operator not in ("=", "!="):
        # The index has no order, but dates that are stored as texts are compared without one.
        stored = fields.stored(parse_key(field.key) or ())
        return stored if stored == {"datetime"} else field.kinds
    return field.kinds


def _readings(kinds: frozenset[str], value: Value, *, known: bool, indexed: bool) -> Sequence[Kind]:
    """Return the types by which a value is tried to be read, in order."""
    if not known:
        return ("string",) if value.quoted else _ANY
    if not indexed and kinds & {"integer", "float"}:
        # A sample of whole numbers only does not show that all values are whole.
        numbers: set[str] = {"float", "integer"} if "float" in kinds else {number_kind(value)}
        kinds = kinds - {"integer", "float"} | numbers
    return [kind for kind in FORMS if kind in kinds]


def _unfit(
    comparison: Comparison,
    field: StoredField,
    value: Value,
    kinds: frozenset[str],
    reasons: Sequence[str],
) -> str:
    """Explain why a value does not fit its field."""
    if not kinds - {"geo", "object"}:
        held_values = "places" if kinds == {"geo"} else "objects"
        return f"{comparison.field!r} holds {held_values}, which only Qdrant's own JSON can compare"
    known = [kind for kind in FORMS if kind in kinds]
    held = " and ".join(_PLURAL[kind] for kind in known)
    how = f"is indexed as {field.index}" if field.index else f"holds {held}"
    shown = repr(value.text if len(value.text) <= _SHOWN else f"{value.text[:_SHOWN]}…")
    special = next((reason for reason in reasons if reason), None)
    if special is None:
        wanted = " or ".join(FORMS[kind] for kind in known)
        return f"{comparison.field!r} {how}, and {shown} is not {wanted}"
    if special == NO_ORDER:
        return f"{comparison.field!r} {how}: {special}"
    return f"{shown} {special}"


_PLURAL: dict[Kind, str] = {
    "string": "texts", "integer": "integers", "float": "numbers", "bool": "true or false",
    "datetime": "dates", "uuid": "UUIDs",
}  # fmt: skip


# --- Qdrant's own JSON ---------------------------------------------------------------------------


def _from_json(text: str | Mapping[str, Any], fields: StoredFields) -> models.Filter:
    shown = text if isinstance(text, str) else repr(dict(text))
    try:
        data = json.loads(text) if isinstance(text, str) else text
        parsed = models.Filter.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        problem = f"is not a Qdrant filter: {where}: {first['msg']}"
        raise FilterError(filter=shown, problem=problem) from error
    except (ValueError, RecursionError) as error:
        raise FilterError(filter=shown, problem=f"is not valid JSON: {error}") from error
    for condition in _conditions_in(parsed):
        low, high, numbers = _numbers(condition)
        for number in numbers:
            if not low <= number <= high:
                problem = f"{number} is not within {low} to {high}, the engine's limits"
                raise FilterError(filter=shown, problem=problem)
        if not isinstance(condition, models.FieldCondition):
            continue
        if parse_key(condition.key) is None:
            problem = (
                f"{condition.key!r} is not a valid Qdrant key: write it as '\"{condition.key}\"'"
            )
            raise FilterError(filter=shown, problem=problem)
        if condition.is_empty is None and condition.is_null is None:
            fields.find(condition.key)
    return parsed


def _conditions_in(node: Any) -> Iterator[Any]:
    """Yield all conditions, except those within a nested one, whose keys are relative."""
    if isinstance(node, models.Filter):
        least = node.min_should.conditions if node.min_should is not None else None
        for group in (node.must, node.should, node.must_not, least):
            for inner in group if isinstance(group, list) else [group]:
                yield from _conditions_in(inner)
    elif node is not None:
        yield node


def _numbers(condition: Any) -> tuple[int, int, list[int]]:
    """Return the integers that a condition matches, and their smallest and largest values."""
    low, high, values = SMALLEST, LARGEST, []
    match = getattr(condition, "match", None)
    if isinstance(condition, models.HasIdCondition):
        low, high, values = 0, 2**64 - 1, list(condition.has_id)
    elif isinstance(match, models.MatchValue):
        values = [match.value]
    elif isinstance(match, models.MatchAny):
        values = list(match.any)
    elif isinstance(match, models.MatchExcept):
        values = list(match.except_)
    return low, high, [value for value in values if isinstance(value, int)]
