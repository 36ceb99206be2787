"""Cuts texts into sentences, and compares texts by their words.

Sentences are cut in a simple way: after ``.``, ``!`` or ``?`` before white space, after the marks
of Chinese and Japanese, and at line ends. An abbreviation followed by a space ends a sentence too;
such pieces are mostly too short, and left out.
"""

from __future__ import annotations

import re
import unicodedata

#: A shorter sentence says too little. A character of Chinese, Japanese or Korean counts as three.
MIN_CHARACTERS = 20
_WIDE_COUNTS = 3
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|(?<=[。！？｡])\s*|\s*[\n\r\u2028\u2029]\s*")  # noqa: RUF001
_WIDE = re.compile("[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff]")
_WORD = re.compile(r"\w+")


def sentences(text: str) -> list[str]:
    """Cut a text into sentences; pieces that are too short are left out.

    Returns:
        Sentences of at least `MIN_CHARACTERS` characters, in order.
    """
    return [piece for piece in pieces(text) if is_long(piece)]


def normalized(text: str) -> str:
    """Return the words of a text, without case, punctuation and differences of form (NFKC)."""
    return " ".join(_WORD.findall(unicodedata.normalize("NFKC", text).casefold()))


def pieces(text: str) -> list[str]:
    """Cut a text into sentences, however short."""
    return [piece.strip() for piece in _SENTENCE_END.split(text) if piece and piece.strip()]


def is_long(piece: str) -> bool:
    """Return whether a sentence is long enough to learn from."""
    if len(piece) >= MIN_CHARACTERS:
        return True
    wide = len(_WIDE.findall(piece))
    return len(piece) + (_WIDE_COUNTS - 1) * wide >= MIN_CHARACTERS
