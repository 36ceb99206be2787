"""Converts values in a filter to Qdrant's conditions, by the type of the field."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal

from qdrant_client import models

from qdrant_static.querying.filters.language import Operator, Value

Kind = Literal["string", "integer", "float", "bool", "datetime", "uuid"]
#: A description of each type, for errors.
FORMS: dict[Kind, str] = {
    "string": "a text", "float": "a number", "integer": "an integer", "bool": "true or false",
    "datetime": "a date (2024-05-31, 2024-05, 2024) or a time (2024-05-31T12:00:00Z)",
    "uuid": "a UUID",
}  # fmt: skip
#: The range of integers that the engine matches.
SMALLEST, LARGEST = -(2**63), 2**63 - 1
#: Ranges are compared as float64, which does not distinguish all integers from here on.
_EXACT = 2**53

_INTEGER = re.compile(r"[+-]?\d+(\.0*)?", re.ASCII)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
_PERIOD = re.compile(r"(\d{4})(?:-(\d\d)(?:-(\d\d))?)?", re.ASCII)
_TIME = re.compile(
    r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?\s?(Z|[+-]\d\d(:?\d\d)?)?",
    re.ASCII | re.IGNORECASE,
)
_UUID = re.compile(r"(urn:uuid:)?\{?[0-9a-f]{8}(-?[0-9a-f]{4}){3}-?[0-9a-f]{12}\}?", re.I)


#: The error where a type without an order is compared by < or >.
NO_ORDER = "only = and != compare that"


class UnfitError(Exception):
    """A value does not fit a type; the message gives the reason, unless that is obvious."""


def conditions(
    key: str, kind: Kind, operator: Operator, values: Sequence[Value]
) -> list[models.Condition]:
    """Return conditions of which any must hold; for ``!=`` those of ``=``, to be negated.

    Args:
        key: Qdrant's key of the field.
        kind: The type of its values.
        operator: The operator.
        values: The values to compare with, without null.

    Raises:
        UnfitError: If a value is not of that type, or the type has no order.
    """
    equal = operator in ("=", "!=")
    if kind in ("string", "uuid", "bool", "integer") and equal:
        matched = [_MATCHED[kind](value) for value in values]
        if len(matched) == 1 or kind == "bool":
            return [
                models.FieldCondition(key=key, match=models.MatchValue(value=one))
                for one in matched
            ]
        return [models.FieldCondition(key=key, match=models.MatchAny(any=matched))]
    if kind in ("string", "uuid", "bool"):
        raise UnfitError(NO_ORDER)
    if kind == "datetime":
        return [_in_time(key, operator, value) for value in values]
    return [_in_range(key, kind, operator, value) for value in values]


def number_kind(value: Value) -> Kind:
    """Return ``"integer"`` for a number without a fraction or exponent, else ``"float"``."""
    return (
        "float"
        if _NUMBER.fullmatch(value.text) and not _INTEGER.fullmatch(value.text)
        else ("integer")
    )


def looks_like_time(text: str) -> bool:
    """Return whether the engine compares a stored text as a date or a time."""
    return (len(text) >= len("2024-01-01")) and _instants(text) is not None


def _text(value: Value) -> str:
    return value.text


def _uuid(value: Value) -> str:
    if not _UUID.fullmatch(value.text):
        raise UnfitError
    return value.text


def _truth(value: Value) -> bool:
    if value.text.lower() not in ("true", "false"):
        raise UnfitError
    return value.text.lower() == "true"


def _whole(value: Value) -> int:
    if not _INTEGER.fullmatch(value.text):
        raise UnfitError
    digits = value.text.partition(".")[0]
    # Python refuses to read thousands of digits.
    if len(digits) > 40 or not SMALLEST <= int(digits) <= LARGEST:
        raise UnfitError("is beyond the integers that the engine matches, -2^63 to 2^63-1")
    return int(digits)


_MATCHED: dict[str, Any] = {"string": _text, "uuid": _uuid, "bool": _truth, "integer": _whole}


def _in_range(key: str, kind: Kind, operator: Operator, value: Value) -> models.FieldCondition:
    if not _NUMBER.fullmatch(value.text):
        raise UnfitError
    number = float(value.text)
    if not math.isfinite(number):
        raise UnfitError("is too large for a number")
    if kind == "integer" and abs(number) >= _EXACT:
        raise UnfitError(
            "cannot be compared exactly: the engine compares integers above 2^53 as floats, which "
            "have gaps there; Qdrant's own JSON compares it nearly"
        )
    sides = {
        "=": {"gte": number, "lte": number}, "!=": {"gte": number, "lte": number},
        ">=": {"gte": number}, "<=": {"lte": number}, ">": {"gt": number}, "<": {"lt": number},
    }  # fmt: skip
    return models.FieldCondition(key=key, range=models.Range(**sides[operator]))


def _in_time(key: str, operator: Operator, value: Value) -> models.FieldCondition:
    """Return the condition on a date (the whole day, month or year) or on an instant."""
    instants = _instants(value.text)
    if instants is None:
        raise UnfitError
    start, after = instants
    if start == after:
        within = {"gte": start, "lte": start}
        sides = {"<=": {"lte": start}, ">": {"gt": start}}
    else:
        # No date is after the last one that Python can represent.
        within = {"gte": start} if after is None else {"gte": start, "lt": after}
        last = datetime.max.replace(tzinfo=UTC)
        sides = {
            "<=": {"lte": last} if after is None else {"lt": after},
            ">": {"gt": last} if after is None else {"gte": after},
        }
    sides |= {"=": within, "!=": within, ">=": {"gte": start}, "<": {"lt": start}}
    return models.FieldCondition(key=key, range=models.DatetimeRange(**sides[operator]))


def _instants(text: str) -> tuple[datetime, datetime | None] | None:
    """Return the first instant of a date and the first after it; for a time, itself twice."""
    try:
        if period := _PERIOD.fullmatch(text):
            year, month, day = (None if part is None else int(part) for part in period.groups())
            first = date(year or 0, month or 1, day or 1)
            after: datetime | None = None
            if day is not None:
                next_day = None if first == date.max else first + timedelta(days=1)
                after = None if next_day is None else _midnight(next_day)
            elif (first.year, first.month if month else 12) != (9999, 12):
                years, months = (0, 1) if month else (1, 0)
                carried, month_after = divmod(first.month - 1 + months, 12)
                after = _midnight(date(first.year + years + carried, month_after + 1, 1))
            return _midnight(first), after
        if _TIME.fullmatch(text):
            instant = datetime.fromisoformat(text.replace(" ", "T", 1).replace(" ", "").upper())
            instant = instant if instant.tzinfo else instant.replace(tzinfo=UTC)
            return (instant := instant.astimezone(UTC)), instant
    except (ValueError, OverflowError):  # such as the 31st of February
        return None
    return None


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
