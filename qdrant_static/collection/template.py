"""A text made of several columns: ``"{title}. {abstract}"``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from string import Formatter
from typing import Self

from qdrant_static.errors import ArgumentError


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """Columns between fixed pieces.

    Attributes:
        pieces: n + 1 fixed pieces: before, between and after the columns.
        columns: n columns, in the order of the text; one may come twice.
    """

    pieces: tuple[str, ...]
    columns: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self.pieces) != len(self.columns) + 1:
            raise ArgumentError(
                field="pieces",
                problem=f"{len(self.pieces)} do not stand around {len(self.columns)} columns",
            )

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a template; ``{{`` and ``}}`` stand for braces.

        Raises:
            ArgumentError: If it names no column, or cannot be read.
        """
        pieces, columns = [""], []
        try:
            for fixed, column, form, conversion in Formatter().parse(text):
                pieces[-1] += fixed
                if column is None:
                    continue
                if form or conversion:
                    raise ValueError(f"{column!r} has a format; only {{column}} is known")
                if not column:
                    raise ValueError("{} names no column")
                columns.append(column)
                pieces.append("")
        except ValueError as error:
            raise ArgumentError(field="template", problem=f"{text!r}: {error}") from error
        if not columns:
            raise ArgumentError(
                field="template", problem=f"{text!r} names no column; write it as {{title}}"
            )
        return cls(pieces=tuple(pieces), columns=tuple(columns))

    def fill(self, parts: Sequence[str]) -> str:
        """The text of n parts; one that is missing is given as an empty string."""
        woven = [self.pieces[0]]
        for part, piece in zip(parts, self.pieces[1:], strict=True):
            woven += (part, piece)
        return "".join(woven)

    def __str__(self) -> str:
        fixed = [piece.replace("{", "{{").replace("}", "}}") for piece in self.pieces]
        return self._woven(fixed)

    def _woven(self, fixed: Sequence[str]) -> str:
        names = (f"{{{name}}}" for name in self.columns)
        return fixed[0] + "".join(n + f for n, f in zip(names, fixed[1:], strict=True))
