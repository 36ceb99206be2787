"""What a person may have meant by a name that is not known, or by a header of one cell."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence


def question(names: Sequence[str]) -> str:
    """Ask whether one of some names is meant; empty if there are none."""
    return f"did you mean {' or '.join(map(repr, names))}? " if names else ""


def suggestion(given: object, known: Iterable[object]) -> str:
    """Words that name the known value that is most like a given one; empty if none is close."""
    names = [str(one) for one in known]
    close = difflib.get_close_matches(str(given), names, n=1, cutoff=0.7)
    if not close:
        close = [one for one in names if one.casefold() == str(given).casefold()]
    return f"; did you mean {close[0]!r}?" if close else ""


def other_delimiter(columns: Sequence[str]) -> str:
    """Words about a CSV file whose header is one cell with other separators in it; else empty."""
    header = columns[0] if len(columns) == 1 else ""
    found = next((one for one in (";", "\t", "|") if one in header), None)
    if found is None:
        return ""
    return f". That is one column: if its cells are separated by {found!r}, name the delimiter"
