"""Tokenizers made in memory: the parity tests need no downloaded model."""

# ruff: noqa: E501 - escapes make the texts long

from __future__ import annotations

import string
from collections.abc import Sequence
from typing import Any

from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
WORDS = """the of and in to for with cell cells protein brain vitamin effect study bone density un able run
ning hello world caf\u00e9 na\u00efve \u4e16 \u754c \u4f60 \u597d \u0645\u0631\u062d\u0628\u0627 \u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35
supercalifragilistic x1 2024 don t s re""".split()
PIECES = (
    "##s",
    "##ing",
    "##ed",
    "##able",
    "##ly",
    "##er",
    "##tion",
    "##ab",
    "##abc",
    "##\u00e9",
    "##1",
    "##23",
)


def wordpiece(
    *,
    lowercase: bool = True,
    strip_accents: bool | None = None,
    clean_text: bool = True,
    handle_chinese_chars: bool = True,
    letters: bool = True,
    longest: int = 100,
    prefix: str = "##",
    added: Sequence[AddedToken] = (),
    normalizer: Any = None,
    pre_tokenizer: Any = None,
    unknown: str = "[UNK]",
) -> Tokenizer:
    """Build a WordPiece tokenizer; without single letters many words are unknown."""
    tokens = [*SPECIAL, *WORDS, *(p.replace("##", prefix) for p in PIECES)]
    tokens += list("!\"',-.:;()[]#%")
    if letters:
        tokens += list(string.ascii_lowercase + string.digits)
        tokens += [prefix + c for c in string.ascii_lowercase + string.digits]
    if not lowercase:
        tokens += ["The", "HELLO", "A", prefix + "B"]
    if unknown not in tokens:
        tokens.append(unknown)
    vocab = {token: i for i, token in enumerate(dict.fromkeys(tokens))}
    tokenizer = Tokenizer(
        models.WordPiece(
            vocab,
            unk_token=unknown,
            max_input_chars_per_word=longest,
            continuing_subword_prefix=prefix,
        )
    )
    tokenizer.normalizer = normalizer or normalizers.BertNormalizer(
        lowercase=lowercase,
        strip_accents=strip_accents,
        clean_text=clean_text,
        handle_chinese_chars=handle_chinese_chars,
    )
    tokenizer.pre_tokenizer = pre_tokenizer or pre_tokenizers.BertPreTokenizer()
    tokenizer.add_special_tokens(list(SPECIAL))
    if added:
        tokenizer.add_tokens(list(added))
    return tokenizer


VARIANTS: dict[str, dict[str, Any]] = {
    "bert": {},
    "cased": {"lowercase": False},
    "cased, accents stripped": {"lowercase": False, "strip_accents": True},
    "accents kept": {"strip_accents": False},
    "text not cleaned": {"clean_text": False},
    "no chinese": {"handle_chinese_chars": False},
    "many unknown": {"letters": False},
    "short words": {"longest": 5},
    "other prefix": {"prefix": "@@"},
    "empty prefix": {"prefix": ""},
    "unknown is a word": {"unknown": "unk", "letters": False},
    "added": {
        "added": [
            AddedToken("<sep>", normalized=False),
            AddedToken("<Mix>", normalized=True),
            AddedToken("#tag", lstrip=True, rstrip=True),
            AddedToken("-x-", single_word=True),
        ]
    },
    "sequence": {"normalizer": normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])},
    "nfd": {"normalizer": normalizers.Sequence([normalizers.NFD(), normalizers.StripAccents()])},
    "split": {
        "pre_tokenizer": pre_tokenizers.Sequence(
            [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation()]
        )
    },
}
