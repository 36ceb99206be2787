"""What a person may have meant by a name that is not known."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def suggestion(given: object, known: Iterable[object]) -> str:
    """Words that name the known value that is most like a given one; empty if none is close."""
    names = [str(one) for one in known]
    close = difflib.get_close_matches(str(given), names, n=1, cutoff=0.7)
    if not close:
        close = [one for one in names if one.casefold() == str(given).casefold()]
    return f"; did you mean {close[0]!r}?" if close else ""
