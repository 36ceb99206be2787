"""Builds a Qdrant filter from any form, checked against the fields of the collection."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from pydantic import ValidationError
from qdrant_client import models

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

#: So much of a value is shown in an error, in characters.
_SHOWN = 60
#: The types that a literal may have where nothing is known of the field.
_ANY: tuple[Kind, ...] = ("string", "integer", "float", "bool", "datetime")


def build_filter(
    client: Client, collection: str, given: FilterLike, *, fields: StoredFields | None = None
) -> models.Filter | None:
    """Read a filter: docs/filters.md has the language.

    Fields are looked up in the collection: their types decide what a value means, and a field
    that no point has is an error. A `models.Filter` is taken as it is.

    Args:
        client: An `EdgeClient` or a `QdrantClient`.
        collection: The collection's name.
        given: Such as ``"year>=2000 and lang=en,de"``, ``{"must": [...]}``, or a list.
        fields: What is known of the fields already.

    Returns:
        The filter; None if none is given.

    Raises:
        CollectionNotFoundError: If there is no such collection.
        FilterError: If it cannot be read, or a value does not fit the field's values.
        FieldNotFoundError: If no point has a field of that name.
    """
    if given is None or isinstance(given, models.Filter):
        return given
    known = StoredFields(client, collection) if fields is None else fields
    if isinstance(given, list | tuple):
        parts = [build_filter(client, collection, one, fields=known) for one in given]
        return _together([one for one in parts if one is not None])
    if isinstance(given, Mapping) or (isinstance(given, str) and given.lstrip().startswith("{")):
        return _from_json(given, known)
    if not isinstance(given, str):
        kind = type(given).__name__
        raise FilterError(
            filter=repr(given), problem=f"{kind} is not a filter: give a string or a dict"
        )
    must: list[Any] = []
    must_not: list[Any] = []
    for comparison in parse(given):
        alternatives = _alternatives(given, comparison, known)
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
    given: FilterLike,
    query_filter: models.Filter | None,
    fields: StoredFields | None = None,
) -> models.Filter | None:
    """The filter of a search, which has two arguments for it: ours, and the client's.

    Raises:
        ArgumentError: If both are given.
    """
    if query_filter is None:
        return build_filter(client, collection, given, fields=fields)
    if given is not None:
        raise ArgumentError(field="query_filter", problem="is another name for `filter`: give one")
    return query_filter


def _together(parts: list[models.Filter]) -> models.Filter | None:
    if len(parts) <= 1:
        return parts[0] if parts else None
    return models.Filter(must=cast("list[models.Condition]", parts))


# --- the language --------------------------------------------------------------------------------


def _alternatives(text: str, asked: Comparison, fields: StoredFields) -> list[models.Condition]:
    """Return conditions of which any must hold; for ``!=``, none may."""
    field = fields.find(asked.field)
    kinds = _kinds(field, asked, fields)
    found: list[models.Condition] = []
    if any(value.null for value in asked.values):
        found.append(models.IsEmptyCondition(is_empty=models.PayloadField(key=field.key)))
    fitting: dict[Kind, list[Value]] = {}
    for value in asked.values:
        if value.null:
            continue
        reasons = []
        for kind in _readings(kinds, value, known=bool(field.kinds), indexed=bool(field.index)):
            try:
                conditions(field.key, kind, asked.operator, [value])
            except UnfitError as error:
                reasons.append(str(error))
            else:
                fitting.setdefault(kind, []).append(value)
                if kind == "float":
                    break  # a whole number of this field is one too
        if not any(value in group for group in fitting.values()):
            problem = _unfit(asked, field, value, kinds, reasons)
            raise FilterError(filter=text, problem=problem, character=value.at + 1)
    for kind, group in fitting.items():
        found += conditions(field.key, kind, asked.operator, group)
    return found


def _kinds(field: StoredField, asked: Comparison, fields: StoredFields) -> frozenset[str]:
    """Return the types of a field's values for this comparison."""
    if field.index == "keyword" and asked.operator not in ("=", "!="):
        # The index has no order, but dates that are stored as texts are compared without one.
        stored = fields.stored(parse_key(field.key) or ())
        return stored if stored == {"datetime"} else field.kinds
    return field.kinds


def _readings(kinds: frozenset[str], value: Value, *, known: bool, indexed: bool) -> Sequence[Kind]:
    """Return the types that a value is tried as, in order."""
    if not known:
        return ("string",) if value.quoted else _ANY
    if not indexed and kinds & {"integer", "float"}:
        # A sample that has whole numbers alone does not say that all are.
        numbers: set[str] = {"float", "integer"} if "float" in kinds else {number_kind(value)}
        kinds = kinds - {"integer", "float"} | numbers
    return [kind for kind in FORMS if kind in kinds]


def _unfit(
    asked: Comparison,
    field: StoredField,
    value: Value,
    kinds: frozenset[str],
    reasons: Sequence[str],
) -> str:
    """Explain why a value does not fit its field."""
    if not kinds - {"geo", "object"}:
        what = "places" if kinds == {"geo"} else "objects"
        return f"{asked.field!r} holds {what}, which Qdrant's own JSON alone can compare"
    known = [kind for kind in FORMS if kind in kinds]
    held = " and ".join(_PLURAL[kind] for kind in known)
    how = f"is indexed as {field.index}" if field.index else f"holds {held}"
    shown = repr(value.text if len(value.text) <= _SHOWN else f"{value.text[:_SHOWN]}…")
    special = next((reason for reason in reasons if reason), None)
    if special is None:
        wanted = " or ".join(FORMS[kind] for kind in known)
        return f"{asked.field!r} {how}, and {shown} is not {wanted}"
    if special == NO_ORDER:
        return f"{asked.field!r} {how}: {special}"
    return f"{shown} {special}"


_PLURAL: dict[Kind, str] = {
    "string": "texts", "integer": "integers", "float": "numbers", "bool": "true or false",
    "datetime": "dates", "uuid": "UUIDs",
}  # fmt: skip


# --- Qdrant's own JSON ---------------------------------------------------------------------------


def _from_json(given: str | Mapping[str, Any], fields: StoredFields) -> models.Filter:
    shown = given if isinstance(given, str) else repr(dict(given))
    try:
        data = json.loads(given) if isinstance(given, str) else given
        found = models.Filter.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        problem = f"is not a Qdrant filter: {where}: {first['msg']}"
        raise FilterError(filter=shown, problem=problem) from error
    except (ValueError, RecursionError) as error:
        raise FilterError(filter=shown, problem=f"is not valid JSON: {error}") from error
    for condition in _conditions_in(found):
        low, high, numbers = _numbers(condition)
        for number in numbers:
            if not low <= number <= high:
                problem = f"{number} is not within {low} to {high}, as far as the engine counts"
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
    return found


def _conditions_in(one: Any) -> Iterator[Any]:
    """All conditions; those within a nested one are left out, whose keys start elsewhere."""
    if isinstance(one, models.Filter):
        least = one.min_should.conditions if one.min_should is not None else None
        for group in (one.must, one.should, one.must_not, least):
            for inner in group if isinstance(group, list) else [group]:
                yield from _conditions_in(inner)
    elif one is not None:
        yield one


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
    return low, high, [one for one in values if isinstance(one, int)]
