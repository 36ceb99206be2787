"""Globs: of URIs, and as regular expressions for the names that other filesystems list."""

from __future__ import annotations

import glob
import os
import re
from functools import cache
from urllib.parse import unquote_to_bytes

_ESCAPED = re.compile(r"(?:%[0-9A-Fa-f]{2})+")
_PIECES = re.compile(r"(\*\*/|\*\*|\*|\?|\[[^]]+\])")
_LITERAL = {"[*]": r"\*", "[?]": r"\?", "[[]": r"\["}


def as_pattern(path: str) -> str:
    """A URI's path as a glob: what is escaped in it stands for itself."""

    def unescape(found: re.Match[str]) -> str:
        return glob.escape(os.fsdecode(unquote_to_bytes(found[0])))

    return _ESCAPED.sub(unescape, path)


@cache
def as_expression(pattern: str) -> re.Pattern[str]:
    """A glob as a regular expression, as a shell matches it.

    ``*`` stays within a folder, ``**`` does not; neither matches a name that starts with a dot.
    """
    written, before = "", "/"
    for piece in filter(None, _PIECES.split(pattern)):
        begins, before = before.endswith("/"), piece
        seen = "(?!\\.)" if begins else ""
        known = {
            "**/": r"(?:(?!\.)[^/]+/)*",
            "**": r"(?:(?!\.)[^/]+/)*(?!\.)[^/]*",
            "*": f"{seen}[^/]*",
            "?": f"{seen}[^/]",
            **_LITERAL,
        }.get(piece)
        if known is None and piece.startswith("[") and piece.endswith("]"):
            known = "[^" + piece[2:] if piece[1] == "!" else piece
        written += re.escape(piece) if known is None else known
    return re.compile(written)
