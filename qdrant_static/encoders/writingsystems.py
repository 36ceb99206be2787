"""Detects the writing systems of texts, and chooses the BM25 tokenizer for them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

#: Scripts without spaces between words, which the engine's tokenizer "multilingual" divides.
_DIVIDED = {
    "Chinese": "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff",
    "Japanese": "\u3040-\u30ff\u31f0-\u31ff\uff66-\uff9d",
    "Thai": "\u0e00-\u0e7f",
}
#: The engine's languages that are written in them.
_DIVIDED_LANGUAGES = ("chinese", "zh", "japanese", "ja")
#: Scripts without spaces between words, which no tokenizer of the engine divides.
_UNDIVIDED = {
    "Lao": "\u0e80-\u0eff",
    "Tibetan": "\u0f00-\u0fff",
    "Burmese": "\u1000-\u109f",
    "Khmer": "\u1780-\u17ff",
}
#: The letters of all scripts without spaces between words, as ranges of a regular expression.
UNSPACED = "".join((_DIVIDED | _UNDIVIDED).values())
#: Scripts with spaces, and the engine's languages that are written in them.
_SPACED = {
    "Arabic": ("\u0600-\u06ff\u0750-\u077f\u08a0-\u08ff\ufb50-\ufdff\ufe70-\ufefc", ("arabic",)),
    "Bengali": ("\u0980-\u09ff", ("bengali",)),
    "Cyrillic": ("\u0400-\u052f", ("russian", "kazakh", "tajik")),
    "Devanagari": ("\u0900-\u097f", ("nepali",)),
    "Greek": ("\u0370-\u03ff\u1f00-\u1fff", ("greek",)),
    "Hebrew": ("\u0590-\u05ff", ("hebrew",)),
    "Korean": ("\u1100-\u11ff\uac00-\ud7af", ()),
}
_RANGES = _DIVIDED | _UNDIVIDED | {name: given for name, (given, _) in _SPACED.items()}
_LETTERS = {name: re.compile(f"[{given}]") for name, given in _RANGES.items()}
_ANY_LETTER = re.compile(r"[^\W\d_]")
#: How many characters of a text are examined.
_EXAMINED = 500
#: A text is in a script if this part of its letters is.
_MAINLY = 0.2
#: The part of the texts that decides, or is reported.
_MANY = 0.05


def scripts_of(texts: Iterable[str]) -> Counter[str]:
    """Count texts by script; texts in other scripts are left out."""
    found: Counter[str] = Counter()
    for text in texts:
        part = text[:_EXAMINED]
        if part.isascii():
            continue
        letters = len(_ANY_LETTER.findall(part))
        for name, pattern in _LETTERS.items():
            if letters and len(pattern.findall(part)) >= _MAINLY * letters:
                found[name] += 1
    return found


def choose_tokenizer(texts: Sequence[str], language: str) -> tuple[str, list[str]]:
    """Choose the tokenizer of BM25, and explain the choice.

    Args:
        texts: A sample of the texts.
        language: The language of stop words and stemming.

    Returns:
        ``"multilingual"`` where texts have no spaces between words, or the language has none, else
        ``"word"``, which is ten times as fast; and sentences.
    """
    found, total = scripts_of(texts), max(1, len(texts))
    notes = []
    divided = {name: found[name] for name in _DIVIDED if found[name]}
    many = sum(divided.values()) >= _MANY * total
    named = language in _DIVIDED_LANGUAGES
    tokenizer = "multilingual" if many or named else "word"
    if named and not many:
        notes.append(
            f"BM25 uses the tokenizer 'multilingual', since {language} has no spaces between "
            "words; few of the sampled texts are in its letters"
        )
    elif many:
        notes.append(
            f"BM25 uses the tokenizer 'multilingual': {_shares(divided, total)} of the sampled "
            "texts, and these have no spaces between words"
        )
    elif divided:
        notes.append(
            f"BM25 uses the tokenizer 'word', which finds whole runs of letters only in the "
            f"{_shares(divided, total)} of the sampled texts; the tokenizer 'multilingual' divides "
            "them into words"
        )
    undivided = {name: found[name] for name in _UNDIVIDED if found[name] >= _MANY * total}
    if undivided:
        notes.append(
            f"no tokenizer divides {', '.join(undivided)} into words "
            f"({_shares(undivided, total)} of the sampled texts): BM25 finds whole runs of letters "
            "only; only vectors find the rest"
        )
    for name, (_, languages) in _SPACED.items():
        if found[name] >= _MANY * total and language not in languages:
            instead = f"; if they are {' or '.join(languages)}, name that" if languages else ""
            notes.append(
                f"BM25 has stop words and stemming of {language!r}, which do nothing for the "
                f"{_shares({name: found[name]}, total)} of the sampled texts{instead}"
            )
    return tokenizer, notes


def _shares(counts: dict[str, int], total: int) -> str:
    shares = {name: count / total for name, count in counts.items()}
    return ", ".join(
        f"{'below 1%' if share < 0.01 else f'{share:.0%}'} {name}" for name, share in shares.items()
    )
