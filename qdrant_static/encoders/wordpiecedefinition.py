"""Decides from a tokenizer's definition whether the WordPiece kernel can replace it.

Why the ids of the kernel are those of the tokenizer:

1. *Chunks between ASCII whitespace are independent.* Every admitted normalizer works character by
   character, except canonical ordering and composition, which never reach across a space, tab or
   line end (they are starters and compose with nothing). Every admitted pre-tokenizer splits there.
   No form of an added token holds whitespace, and ``lstrip``, ``rstrip`` and ``single_word`` look
   only at whitespace and at neighbors inside the chunk.
2. *In a chunk of plain ASCII* the normalizer at most lowers case. The tokenizer itself classifies
   every byte as word, punctuation or whitespace, and the kernel is used only if letters and digits
   form words and every punctuation mark is a word of its own. A word is then cut greedily by the
   vocabulary, as the model's definition says.
3. *Every other chunk* (any other byte, or where an added token may begin) is tokenized by the
   tokenizer itself, and kept in a memo by its bytes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_NORMALIZERS = {"BertNormalizer", "Lowercase", "NFC", "NFD", "NFKC", "NFKD", "StripAccents"}
_LONGEST_WORD = 1000


class NotCoveredError(Exception):
    """A tokenizer that the kernel does not cover; the encoder then uses another route."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class WordPieceDefinition:
    """The properties of a tokenizer that the kernel needs.

    Attributes:
        vocabulary: Piece -> id, the model's own.
        unknown_id: The id of the unknown token.
        prefix: The prefix of a piece that continues a word.
        longest_word: The most characters of a word; longer words are unknown.
        fold_case: Whether the normalizer lowers case.
        spaces: The ASCII bytes that separate chunks.
        marks: The ASCII bytes that are words of their own.
        added: Forms of added tokens that plain ASCII text can hold; each begins with a mark.
    """

    vocabulary: Mapping[str, int]
    unknown_id: int
    prefix: str
    longest_word: int
    fold_case: bool
    spaces: bytes
    marks: bytes
    added: tuple[bytes, ...]


def read_definition(
    tokenizer: Tokenizer, definition: dict[str, Any] | None = None
) -> WordPieceDefinition:
    """Read what the kernel needs from a tokenizer's definition.

    Args:
        tokenizer: The tokenizer; it is called with single characters.
        definition: ``json.loads(tokenizer.to_str())`` if the caller has it.

    Raises:
        NotCoveredError: Something in the definition is not provably what the kernel does.
    """
    definition = json.loads(tokenizer.to_str()) if definition is None else definition
    model = definition["model"]
    if model.get("type") != "WordPiece":
        raise NotCoveredError(f"its model is {model.get('type')}")
    longest = model["max_input_chars_per_word"]
    if not 1 <= longest <= _LONGEST_WORD:
        raise NotCoveredError(f"max_input_chars_per_word is {longest}")
    unknown = model["vocab"].get(model["unk_token"])
    if unknown is None or unknown != tokenizer.token_to_id(model["unk_token"]):
        raise NotCoveredError(f"the vocabulary has no single entry {model['unk_token']!r}")
    for name in _steps(definition["normalizer"], "normalizers"):
        if name not in _NORMALIZERS:
            raise NotCoveredError(f"its normalizer has {name}")
    steps = _steps(definition["pre_tokenizer"], "pretokenizers")
    if steps not in (["BertPreTokenizer"], ["WhitespaceSplit", "Punctuation"], ["Whitespace"]):
        raise NotCoveredError(f"its pre-tokenizer is {steps or None}")
    fold_case, spaces, marks = _ask_about_bytes(tokenizer)
    return WordPieceDefinition(
        vocabulary=model["vocab"],
        unknown_id=unknown,
        prefix=model["continuing_subword_prefix"],
        longest_word=longest,
        fold_case=fold_case,
        spaces=spaces,
        marks=marks,
        added=_added_forms(tokenizer, definition["added_tokens"], marks),
    )


def _steps(part: dict[str, Any] | None, inner: str) -> list[str]:
    """Return the types in a normalizer or pre-tokenizer, sequences unfolded."""
    if part is None:
        return []
    if part["type"] != "Sequence":
        return [part["type"]]
    return [name for step in part[inner] for name in _steps(step, inner)]


def _ask_about_bytes(tokenizer: Tokenizer) -> tuple[bool, bytes, bytes]:
    """Ask the tokenizer what every ASCII character is: (lowers case, spaces, marks)."""
    normalizer: Any = tokenizer.normalizer
    pre_tokenizer: Any = tokenizer.pre_tokenizer

    def words(text: str) -> list[str]:
        normal = normalizer.normalize_str(text) if normalizer is not None else text
        return [word for word, _ in pre_tokenizer.pre_tokenize_str(normal)]

    fold_case = words("A") == ["a"]
    spaces, marks = [], []
    for byte in range(128):
        c = chr(byte)
        found = words(f"x{c}y")
        if c.isalnum():
            same = c.lower() if fold_case else c
            if found != [f"x{same}y"] or words(f"{c}{c}") != [f"{same}{same}"]:
                raise NotCoveredError(f"it takes {c!r} for no letter or digit")
        elif found == ["x", "y"]:
            spaces.append(byte)
        elif found == ["x", c, "y"] and words(f"{c}{c}x") == [c, c, "x"]:
            marks.append(byte)
        elif c.isprintable():
            raise NotCoveredError(f"it does not split at every {c!r}")
    if not {9, 10, 13, 32} <= set(spaces):
        raise NotCoveredError("it does not split at all whitespace")
    return fold_case, bytes(spaces), bytes(marks)


def _added_forms(
    tokenizer: Tokenizer, added: Sequence[dict[str, Any]], marks: bytes
) -> tuple[bytes, ...]:
    """Return the forms in which added tokens can stand in plain ASCII text.

    A token is matched in the raw or in the normalized text; both forms are used for all, and the
    kernel ignores the case of letters. False matches are harmless, because they go to the
    tokenizer.
    """
    normalizer: Any = tokenizer.normalizer
    forms = set()
    for token in added:
        content = token["content"]
        for form in {
            content,
            normalizer.normalize_str(content) if normalizer is not None else content,
        }:
            if not form or any(c.isspace() for c in form):
                raise NotCoveredError(f"the added token {content!r} is empty or holds whitespace")
            if form.isascii():
                if ord(form[0]) not in marks:
                    problem = f"the added token {content!r} does not begin with punctuation"
                    raise NotCoveredError(problem)
                forms.add(form.encode())
    return tuple(sorted(forms))
