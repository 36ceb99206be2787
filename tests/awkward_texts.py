"""Texts that tokenizers disagree about."""

# ruff: noqa: E501 - escapes make the texts long

from __future__ import annotations

import random
import sys

ZWJ = "\u200d"
AWKWARD = [
    "",
    " ",
    " \t\n\r ",
    "\x00",
    "a\x00b the\x00",
    "\x0b\x0c\x1c\x1f\x7f\x85\xa0",
    "cell\x0bcell\x0ccell\x1ccell\x7fcell",
    "The cells, running; un-able (hello) world!",
    "[SEP]",
    "the[SEP]cell [CLS] [cls] [Sep] [UNK]unk [MASK",
    "a [SE\x00P] b [S\u0301EP] [\u200bSEP]",
    "<sep> <SEP> <mix> <MIX> <m\u0301ix> #tag  #tag#tag x-x-x -x- -x-1 (-x-) #tagged",
    "caf\u00e9 cafe\u0301 CAFE\u0301 \u0301cell cell \u0301 \u0301\u0301",
    "<\u0338 =\u0338 -\u0301cell .\u0301",
    "na\u00efve \u212b \u0130stanbul STRASSE stra\u00dfe \u03a3\u03c3\u03c2 \u01c5 \ufb03",
    "\u4f60\u597d\u4e16\u754c the\u4e16cell \u30cf\u30ed\u30fc \uc548\ub155 \u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35\u0e0a\u0e32\u0e27\u0e42\u0e25\u0e01",
    "\u0645\u0631\u062d\u0628\u0627 \u0628\u0627\u0644\u0639\u0627\u0644\u0645 \u05e9\u05dc\u05d5\u05dd \u0939\u093f\u0928\u094d\u0926\u0940",
    f"\U0001f468{ZWJ}\U0001f469{ZWJ}\U0001f467 the\U0001f600cell \u2764\ufe0f \U0001f1e9\U0001f1ea \U0001f44d\U0001f3fd",
    "a\u00a0b\u2003c\u3000d\u200be\u2028f\u2029g\ufeffh",
    "\u302e\U0001d165 a\u302e\U0001d165 a\U0001d165\u302e \u1b44\u302e",
    "\ufffd the\ufffdcell \ue000 \U000f0000 \U0010ffff \ufdd0",
    "x" * 5,
    "x" * 6,
    "x" * 16,
    "x" * 17,
    "x" * 63 + " " + "x" * 64 + " " + "x" * 65,
    "x" * 100,
    "x" * 101,
    "\u00e9" * 100 + " " + "\u00e9" * 101,
    "supercalifragilistic " * 40,
    "." * 700,
    "the " * 511 + "cells running",
    "the " * 510 + "cells running [SEP]",
    "\u4f60" * 600,
    "!" * 511 + "\u00e9 the",
    "!" * 511 + "caf\u00e9",
    "q " * 300 + "the " * 400,
    "tab\tnew\nline\r\nend  ",
    " lead and trail ",
    "unk unked unk-unk",
    "1234567890 12345678 123456789 1e10 x1x 2024s",
    "a" * 8 + " " + "b" * 8 + "c",
    ("word" * 20 + "-") * 30,
    "_under_score a_b @user #1 $5 ^ ` ~ | \\ {} <>",
]


def every_block(step: int = 1) -> list[str]:
    """Texts with characters from every Unicode block: 16 of every 256, alone and inside words."""
    texts = []
    for base in range(0, sys.maxunicode + 1, 256 * step):
        points = [c for c in range(base, base + 256, 17) if not 0xD800 <= c < 0xE000]
        characters = [chr(c) for c in points]
        texts.append(" ".join(characters))
        texts.append("".join(f"cell{c}the {c}" for c in characters))
    return texts


def bmp_letters() -> list[str]:
    """Return every character below U+3000, each between letters, in texts of 64."""
    points = [chr(c) for c in range(0x3000)]
    return [" ".join(f"a{c}b" for c in points[i : i + 64]) for i in range(0, len(points), 64)]


def mixtures(count: int, seed: int) -> list[str]:
    """Return random texts glued from awkward pieces."""
    rng = random.Random(seed)  # noqa: S311  # no secret
    pieces = [piece for text in AWKWARD for piece in (text[:40].split(" ") or [""])]
    glue = [" ", "", "", "\t", "\n", "-", "\u0301", "\x00", "\u00a0", "[", "]"]
    return [
        "".join(rng.choice(pieces) + rng.choice(glue) for _ in range(rng.randrange(1, 30)))
        for _ in range(count)
    ]
