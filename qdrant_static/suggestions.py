"""Hints for error messages: known names close to an unknown one, and a wrong CSV delimiter."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence


def question(names: Sequence[str]) -> str:
    """Return a question whether one of the names is meant; empty without names."""
    return f"did you mean {' or '.join(map(repr, names))}? " if names else ""


def suggestion(given: object, known: Iterable[object]) -> str:
    """Return a hint that names the known value closest to ``given``; empty if none is close."""
    names = [str(one) for one in known]
    close = difflib.get_close_matches(str(given), names, n=1, cutoff=0.7)
    if not close:
        close = [one for one in names if one.casefold() == str(given).casefold()]
    return f"; did you mean {close[0]!r}?" if close else ""


def other_delimiter(columns: Sequence[str]) -> str:
    """Return a hint if the only column looks like a CSV header with another delimiter; else ""."""
    header = columns[0] if len(columns) == 1 else ""
    found = next((one for one in (";", "\t", "|") if one in header), None)
    if found is None:
        return ""
    return f". That is one column: if its cells are separated by {found!r}, name the delimiter"
