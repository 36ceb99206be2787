"""Converts formulas, which compute a score from scores, payload values and conditions."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import qdrant_edge as edge
from qdrant_client import models

from qdrant_static.edge.convert.bounds import check_number
from qdrant_static.edge.convert.filters import condition, geo_point
from qdrant_static.edge.convert.modeltables import Table, convert_model, reason, unchanged
from qdrant_static.errors import ArgumentError

#: The name of the score of a prefetch in formulas.
_SCORE = re.compile(r"\$score(\[|$)")


def formula(value: models.FormulaQuery) -> edge.Formula:
    """Convert a formula over the scores of the prefetches and the payload.

    Raises:
        NotSupportedByEdgeError: If the engine lacks an expression.
        ArgumentError: If a name, a date or a default is not valid, or a number is out of bounds.
    """
    defaults = dict(value.defaults or {})
    for name, default in defaults.items():
        if _SCORE.match(name) and (
            isinstance(default, bool) or not isinstance(default, int | float)
        ):
            raise ArgumentError(
                field=f"FormulaQuery.defaults.{name}", problem=f"must be a number, not {default!r}"
            )
    try:
        return edge.Formula(expression(value.formula), defaults)
    except (TypeError, ValueError, OverflowError) as error:
        raise ArgumentError(field="FormulaQuery", problem=reason(error)) from error


def expression(value: Any) -> Any:
    """Convert an expression: a number, a variable, a condition, or an operation."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        check_number("Expression", value)
        return edge.Expression.Constant(float(value))
    if isinstance(value, str):
        return edge.Expression.Variable(value)
    table = _EXPRESSIONS.get(type(value))
    if table is None:
        return edge.Expression.Condition(condition(value))
    return convert_model(value, table)


def _all(values: list[Any]) -> list[Any]:
    return [expression(value) for value in values]


def _wrapped(field: str, inner: Table) -> Table:
    """Return the table of a model whose only field holds the model with the arguments."""

    def unwrapped(**arguments: Any) -> Any:
        return arguments[field]

    return Table(make=unwrapped, fields={field: lambda value: convert_model(value, inner)})


def _decay(kind: Any) -> Table:
    def make(**arguments: Any) -> Any:
        return edge.Expression.Decay(kind, **arguments)

    return Table(
        make=make,
        fields={
            "x": expression,
            "target": expression,
            "scale": unchanged,
            "midpoint": unchanged,
        },
        required={"target": None, "midpoint": None, "scale": None},
    )


def _of_one(make: Callable[..., Any], field: str, name: str = "expr") -> Table:
    return Table(make=make, fields={field: expression}, names={field: name})


def _of_many(make: Callable[..., Any], field: str) -> Table:
    return Table(make=make, fields={field: _all}, names={field: "exprs"})


_DIVISION = Table(
    make=edge.Expression.Div,
    fields={"left": expression, "right": expression, "by_zero_default": unchanged},
    required={"by_zero_default": None},
)
_POWER = Table(make=edge.Expression.Pow, fields={"base": expression, "exponent": expression})
_GEO_DISTANCE = Table(
    make=edge.Expression.GeoDistance, fields={"origin": geo_point, "to": unchanged}
)
_EXPRESSIONS: Mapping[type, Table] = {
    models.MultExpression: _of_many(edge.Expression.Mult, "mult"),
    models.SumExpression: _of_many(edge.Expression.Sum, "sum"),
    models.MaxExpression: _of_many(edge.Expression.Max, "max"),
    models.MinExpression: _of_many(edge.Expression.Min, "min"),
    models.NegExpression: _of_one(edge.Expression.Neg, "neg"),
    models.AbsExpression: _of_one(edge.Expression.Abs, "abs"),
    models.SqrtExpression: _of_one(edge.Expression.Sqrt, "sqrt"),
    models.ExpExpression: _of_one(edge.Expression.Exp, "exp"),
    models.Log10Expression: _of_one(edge.Expression.Log10, "log10"),
    models.LnExpression: _of_one(edge.Expression.Ln, "ln"),
    models.AcoshExpression: _of_one(edge.Expression.Acosh, "acosh"),
    models.DivExpression: _wrapped("div", _DIVISION),
    models.PowExpression: _wrapped("pow", _POWER),
    models.GeoDistance: _wrapped("geo_distance", _GEO_DISTANCE),
    models.LinDecayExpression: _wrapped("lin_decay", _decay(edge.DecayKind.Lin)),
    models.ExpDecayExpression: _wrapped("exp_decay", _decay(edge.DecayKind.Exp)),
    models.GaussDecayExpression: _wrapped("gauss_decay", _decay(edge.DecayKind.Gauss)),
    models.DatetimeExpression: Table(
        make=edge.Expression.Datetime,
        fields={"datetime": unchanged},
        names={"datetime": "date_time"},
    ),
    models.DatetimeKeyExpression: Table(
        make=edge.Expression.DatetimeKey,
        fields={"datetime_key": unchanged},
        names={"datetime_key": "path"},
    ),
}
