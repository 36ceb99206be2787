"""Parses the text of a filter to comparisons, without using the collection.

::

    filter     = comparison { "and" comparison }
    comparison = field operator value { "," value }
               | field "is" [ "not" ] "null"
    operator   = "=" | "==" | "!=" | "<>" | ">=" | "<=" | ">" | "<"
    field      = name | quoted
    value      = words | quoted          words end at a comma, at "and", or at the end

Quotes are ``"``, ``'`` or a backquote; inside, the quote itself is written twice.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from qdrant_static.errors import FilterError

Operator = Literal["=", "!=", ">=", "<=", ">", "<"]

_SPACE = re.compile(r"\s*")
_QUOTES = "\"'`"
_FIELD = re.compile(r"[^\s=<>!,()\"'`]+")
_OPERATOR = re.compile(r"[=<>!]+")
_OPERATORS: dict[str, Operator] = {
    "=": "=", "==": "=", "!=": "!=", "<>": "!=", ">=": ">=", "<=": "<=", ">": ">", "<": "<",
}  # fmt: skip
_WORD = re.compile(r"[A-Za-z]+")
_AND = re.compile(r"and(?=\s|[\"'`(]|$)", re.IGNORECASE)
#: The end of an unquoted value.
_END = re.compile(r",|(?<!\S)and(?=\s|$)", re.IGNORECASE)
#: What a value may contain only in quotes: an operator, since an "and" may be missing before it,
#: and "or".
_SUSPECT = re.compile(r"[=<>]|(?<!\S)or(?!\S)", re.IGNORECASE)
_KNOWN = "= != >= <= > <, 'is null' or 'is not null'"
_NO_OR = "there is no 'or': any of several values is field=a,b; all else is Qdrant's own JSON"
_HINTS = {
    "in": "any of several values is written field=a,b",
    "not": "write field!=value, or 'field is not null'",
    "between": "write field>=low and field<=high",
    "like": "only whole values are compared; Qdrant's own JSON can match text",
    "contains": "field=value is true of a list that contains the value",
    "or": _NO_OR,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """A value in the text of a filter.

    Attributes:
        text: The value without quotes.
        quoted: Whether it had quotes: ``"null"`` is a text, ``null`` is no value.
        at: Its position in the filter, from 0.
    """

    text: str
    quoted: bool
    at: int

    @property
    def null(self) -> bool:
        """Whether it is ``null``, which means no value."""
        return not self.quoted and self.text.lower() == "null"


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A comparison of a field with values.

    Attributes:
        field: The field's name, without quotes.
        at: Its position in the filter, from 0.
        operator: The operator.
        values: The values: any of them for ``=``, none of them for ``!=``, else a single one.
    """

    field: str
    at: int
    operator: Operator
    values: tuple[Value, ...]


def parse(text: str) -> tuple[Comparison, ...]:
    """Parse a filter to its comparisons, all of which must hold.

    Raises:
        FilterError: If the syntax is wrong; it names the position.
    """
    return tuple(_Parser(text).comparisons())


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def comparisons(self) -> list[Comparison]:
        if not self._text.strip():
            raise FilterError(filter=self._text, problem="it is empty")
        parsed = [self._comparison()]
        while self._rest():
            if _AND.match(self._text, self._at) is None:
                raise self._error(f"expected 'and' before {self._shown()}")
            self._at += len("and")
            parsed.append(self._comparison())
        return parsed

    def _comparison(self) -> Comparison:
        if not self._rest():
            raise self._error("a comparison is missing at the end")
        at = self._at
        field = self._field()
        self._rest()
        signs = _OPERATOR.match(self._text, self._at)
        if signs is None:
            return self._null(field, at)
        operator = _OPERATORS.get(signs[0])
        if operator is None:
            raise self._error(f"{signs[0]!r} is not an operator; known: {_KNOWN}")
        self._at = signs.end()
        values = [self._value(operator)]
        while self._rest() and self._text[self._at] == ",":
            self._at += 1
            values.append(self._value(","))
        if len(values) > 1 and operator not in ("=", "!="):
            raise self._error(f"{operator!r} compares with one value", values[1].at)
        for value in values:
            if value.null and operator not in ("=", "!="):
                raise self._error(
                    f"null has no order: {operator!r} compares with a value", value.at
                )
        return Comparison(field=field, at=at, operator=operator, values=tuple(values))

    def _field(self) -> str:
        if self._text[self._at] in _QUOTES:
            name = self._quoted()
            if not name:
                raise self._error("a field has a name")
            return name
        match = _FIELD.match(self._text, self._at)
        if match is None:
            problem = "there are no parentheses; conditions are joined by 'and'"
            parenthesis = self._text[self._at] in "()"
            raise self._error(
                problem if parenthesis else f"expected a field before {self._shown()}"
            )
        self._at = match.end()
        return match[0]

    def _null(self, field: str, at: int) -> Comparison:
        """Parse ``is null`` or ``is not null``, where an operator is missing."""
        start = self._at
        words: list[str] = []
        while self._rest() and (word := _WORD.match(self._text, self._at)) and len(words) < 3:
            words.append(word[0].lower())
            self._at = word.end()
            if words[-1] == "null":
                break
        if words in (["is", "null"], ["is", "not", "null"]):
            null = Value(text="null", quoted=False, at=start)
            operator: Operator = "=" if len(words) == 2 else "!="
            return Comparison(field=field, at=at, operator=operator, values=(null,))
        self._at = start
        first = words[0] if words else ""
        problem = f"after the field {field!r} comes one of {_KNOWN}"
        if first in _HINTS:
            problem += f"; {_HINTS[first]}"
        elif first not in ("is", "and"):
            problem += ". A name or a value with spaces, or with 'and' in it, is put in quotes"
        raise self._error(problem, start if self._rest() else at)

    def _value(self, after: str) -> Value:
        at = self._at + len(_SPACE.match(self._text, self._at)[0])  # type: ignore[index]
        self._at = at
        if at < len(self._text) and self._text[at] in _QUOTES:
            text = self._quoted()
            if self._rest() and not (
                self._text[self._at] == "," or _AND.match(self._text, self._at)
            ):
                raise self._error(f"expected ',', 'and' or the end before {self._shown()}")
            return Value(text=text, quoted=True, at=at)
        if at < len(self._text) and self._text[at] == "(":
            raise self._error("there are no parentheses; any of several values is field=a,b")
        end = _END.search(self._text, at)
        stop = len(self._text) if end is None else end.start()
        text = self._text[at:stop].rstrip()
        if not text:
            raise self._error(f"a value is missing after {after!r}; the empty text is ''")
        suspect = _SUSPECT.search(text)
        if suspect is not None and suspect[0].lower() == "or":
            raise self._error(
                f"{_NO_OR}. A text with 'or' in it is put in quotes", at + suspect.start()
            )
        if suspect is not None:
            problem = (
                f"a value with {suspect[0]!r} in it is put in quotes (or is an 'and' missing?)"
            )
            raise self._error(problem, at + suspect.start())
        self._at = stop
        return Value(text=text, quoted=False, at=at)

    def _quoted(self) -> str:
        """Return the text between quotes; inside, the quote itself is written twice."""
        start, quote = self._at, self._text[self._at]
        parts = []
        at = start + 1
        while (end := self._text.find(quote, at)) >= 0:
            parts.append(self._text[at:end])
            if self._text[end + 1 : end + 2] != quote:
                self._at = end + 1
                return quote.join(parts)
            at = end + 2
        raise self._error(f"the quote {quote} is not closed", start)

    def _rest(self) -> bool:
        """Skip spaces, and return whether anything is left."""
        self._at = _SPACE.match(self._text, self._at).end()  # type: ignore[union-attr]
        return self._at < len(self._text)

    def _shown(self) -> str:
        return repr(self._text[self._at : self._at + 20])

    def _error(self, problem: str, at: int | None = None) -> FilterError:
        place = 1 + (self._at if at is None else at)
        return FilterError(filter=self._text, problem=problem, character=place)
