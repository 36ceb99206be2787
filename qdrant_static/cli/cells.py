"""Measures and cuts text in terminal cells, and removes what must not reach a terminal."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator

_JOINER = "\N{ZERO WIDTH JOINER}"
_NON_JOINER = "\N{ZERO WIDTH NON-JOINER}"
_AS_EMOJI = "\N{VARIATION SELECTOR-16}"
#: Invisible, and of no use here: soft hyphen, zero-width space, word joiner, byte order mark.
_DROPPED = dict.fromkeys(map(ord, "\xad\u200b\u2060\ufeff"))
#: More combining marks than any language puts on one letter; they would cover other lines.
_MOST_MARKS = 12


def plain(text: str) -> str:
    """Return text as one line, with replacement characters in the place of control characters.

    White space becomes single spaces. Joiners, marks and the tags of flags are kept, as they belong
    to the characters before them; marks of text direction are removed, as they can hide text.
    """
    line = " ".join(text.translate(_DROPPED).split())
    if line.isascii() and line.isprintable():
        return line
    return "".join(
        character if _is_harmless(character) else "\N{REPLACEMENT CHARACTER}" for character in line
    )


def _is_harmless(character: str) -> bool:
    return character.isprintable() or character in (_JOINER, _NON_JOINER) or _is_tag(character)


def _is_tag(character: str) -> bool:
    return "\U000e0020" <= character <= "\U000e007f"


def clusters(text: str) -> Iterator[str]:
    """Split text into grapheme clusters: a letter with its marks, an emoji of several characters.

    A mark without a letter before it gets a dotted circle.
    """
    held = ""
    for character in text:
        if held and _continues(held, character):
            if len(held) < _MOST_MARKS:
                held += character
            continue
        if held:
            yield held
        held = f"\N{DOTTED CIRCLE}{character}" if _is_mark(character) else character
    if held:
        yield held


def _continues(held: str, character: str) -> bool:
    if character.isascii():
        return False
    if _is_flag_letter(character):
        return len(held) == 1 and _is_flag_letter(held)
    return (
        held[-1] == _JOINER
        or character in (_JOINER, _NON_JOINER)
        or _is_mark(character)
        or _is_tag(character)
        or "\U0001f3fb" <= character <= "\U0001f3ff"  # skin tones
        or "\u1160" <= character <= "\u11ff"  # vowels and finals of Korean syllables
    )


def _is_mark(character: str) -> bool:
    return unicodedata.category(character)[0] == "M"


def _is_flag_letter(character: str) -> bool:
    return "\U0001f1e6" <= character <= "\U0001f1ff"


def cluster_width(cluster: str) -> int:
    """Return the cells that a grapheme cluster takes: 1 or 2, and those of its spacing marks."""
    first = cluster[0]
    if cluster.isascii():
        return len(cluster)
    wide = unicodedata.east_asian_width(first) in ("W", "F")
    if wide or _AS_EMOJI in cluster or _is_flag_letter(first):
        return 2
    spacing = sum(unicodedata.category(mark) == "Mc" for mark in cluster[1:])
    return 1 + spacing


def width(text: str) -> int:
    """Return the cells that a text takes."""
    return len(text) if text.isascii() else sum(map(cluster_width, clusters(text)))


def clip(text: str, room: int) -> str:
    """Cut text to one line of at most ``room`` cells; an ellipsis shows that there is more."""
    # A text may have megabytes: the beginning is enough, also if most of it is white space.
    line = plain(text.lstrip()[: 8 * room + 64])
    if width(line) <= room:
        return "".join(clusters(line)) if not line.isascii() else line
    kept, used = [], 0
    for cluster in clusters(line):
        used += cluster_width(cluster)
        if used > room - 1:
            break
        kept.append(cluster)
    return "".join(kept) + "…"


def padded(text: str, room: int) -> str:
    """Fill a text with spaces to ``room`` cells."""
    return text + " " * (room - width(text))
