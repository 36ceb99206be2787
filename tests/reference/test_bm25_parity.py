"""BM25 against the engine's own ``embed_document``: the same ids, the same weights to the bit."""

# ruff: noqa: RUF001, S311 - the characters are meant; nothing here is secret

from __future__ import annotations

import json
import random
import unicodedata
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qdrant_static.encoders.sparse import Bm25Encoder
from tests.fakes import shared_path as shared

edge: Any = pytest.importorskip("qdrant_edge")

LANGUAGES = ["english", "german", "french", "russian", "arabic", "turkish", "spanish", "greek"]
MANY = ["filler"] * 100
"""Enough rows for the fast route."""

AWKWARD = [
    "",
    " ",
    "\n",
    "\0",
    "a\0b \0",
    "the the the",
    "don't o'clock rock'n'roll 'tis l'homme aujourd'hui",
    "IL-2 IL-2-IL-2 TGF-β1 foo_bar __init__ a.b.c e.g. 1,234.5 3.14e-10 C++ C# @user #tag",
    "ΑΣ ΑΣ. ΑΣΑ ΣΑΣ\u0301 Σ \u0345Σ",
    "İstanbul ISTANBUL ıstanbul ﬁne Straße STRASSE naïve nai\u0308ve",
    "你好，世界 日本語のテキスト 한국어 العربية हिन्दी ไทย ខ្មែរ",
    "😀 👨\u200d👩\u200d👧 ❤\ufe0f 🇩🇪 e\u0301 \u0301x",
    "a\u00a0b\u3000c\u2028d\u0085e\x0bf\x0cg\x1ch",
    "\u200bzero\u200bwidth\ufeff soft\u00adhyphen",
    "running runs ran runner cats cat cat's cats' universities university",
    "x" * 1024,
    "x" * 1025,
    "y" * 5000 + " cell",
    "z-" * 3000,
    "word " * 3000,
    "①② ½ ² Ⅷ ǅ ŉ ﷺ",
    "".join(map(chr, range(1, 0x250))),
    " ".join(map(chr, range(0x21, 0x250))),
]


def differences(encoder: Bm25Encoder, reference: Any, texts: Sequence[str]) -> list[str]:
    rows = encoder.encode_documents([*texts, *MANY])
    wrong = []
    for i, text in enumerate(texts):
        vector, ours = reference.embed_document(text), rows.row(i)
        if ours.indices.tolist() != list(vector.indices):
            wrong.append(f"terms of {text[:80]!a}")
        elif not np.array_equal(ours.values, np.array(vector.values, np.float32)):
            wrong.append(f"weights of {text[:80]!a}")
    return wrong


def pair(**changes: Any) -> tuple[Bm25Encoder, Any]:
    """Our encoder and the engine's, configured alike."""
    given = {"avg_len": 119.3, "language": "english", **changes}
    theirs = dict(given)
    if "tokenizer" in theirs:
        theirs["tokenizer"] = getattr(edge.TokenizerType, theirs["tokenizer"].capitalize())
    if theirs["language"] is None:
        theirs |= {"stopwords": edge.StopwordsSet(custom=set()), "stemmer": edge.DisabledStemmer()}
    if "stopwords" in given:
        theirs["stopwords"] = edge.StopwordsSet(custom=set(given["stopwords"]))
    return Bm25Encoder(**given), edge.Bm25(edge.Bm25Config(**theirs))


SETTINGS: dict[str, dict[str, Any]] = {
    "default": {},
    "other parameters": {"k": 0.9, "b": 0.4, "avg_len": 33.3},
    "no saturation": {"k": 0.0},
    "whitespace": {"tokenizer": "whitespace"},
    "prefix": {"tokenizer": "prefix"},
    "multilingual": {"tokenizer": "multilingual"},
    "code": {"tokenizer": "code"},
    "neutral": {"language": None},
    "case kept": {"lowercase": False},
    "folded": {"ascii_folding": True},
    "lengths": {"min_token_len": 2, "max_token_len": 6},
    "own stop words": {"stopwords": ["cell", "word", "ΑΣ", "it's"]},
    "no stop words": {"stopwords": []},
    **{language: {"language": language} for language in LANGUAGES[1:]},
}


@pytest.mark.parametrize("name", SETTINGS)
def test_awkward_text(name: str) -> None:
    encoder, reference = pair(**SETTINGS[name])
    for _ in range(2):
        assert differences(encoder, reference, AWKWARD) == []


@pytest.mark.parametrize("name", ["default", "whitespace", "folded", "case kept"])
def test_every_code_point_beside_a_separator(name: str) -> None:
    encoder, reference = pair(**SETTINGS[name])
    points = [
        chr(p) for p in range(0x110000) if unicodedata.category(chr(p)) not in ("Cs", "Co", "Cn")
    ]
    texts = [
        " ".join(f"k{c} {c}m-{c}.{c}" for c in points[i : i + 50])
        for i in range(0, len(points), 50)
    ]
    assert differences(encoder, reference, texts) == []


@pytest.mark.parametrize("name", ["default", "whitespace", "german", "turkish"])
def test_generated_text(name: str) -> None:
    encoder, reference = pair(**SETTINGS[name])
    pieces = st.sampled_from([*AWKWARD[:15], *" \t\n\r'-._/", "  ", "ς", "Σ", "cell", "Cells'"])
    texts = st.lists(pieces | st.text(st.characters(codec="utf-8"), max_size=30), max_size=12).map(
        "".join
    )

    @settings(max_examples=100, deadline=None, database=None)
    @given(st.lists(texts, min_size=1, max_size=5))
    def agree(texts: list[str]) -> None:
        assert differences(encoder, reference, texts) == []

    agree()


def test_ten_megabytes_in_one_text() -> None:
    encoder, reference = pair()
    words = [f"word{i}" for i in range(2000)]
    long = " ".join(random.Random(1).choices(words, k=1_200_000))
    assert len(long) > 9_000_000
    assert differences(encoder, reference, [long, "x" * 10_000_000, "cell"]) == []


def scifact() -> list[str]:
    path = shared("data/scifact/corpus.jsonl")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return [f"{line['title']} {line['text']}" for line in lines]


@pytest.mark.parametrize("name", ["default", "whitespace", "german"])
def test_scifact(name: str) -> None:
    texts = scifact()
    encoder, reference = pair(**SETTINGS[name])
    for _ in range(2):
        assert differences(encoder, reference, texts) == []


def test_query_terms_are_the_engines() -> None:
    for name in SETTINGS:
        encoder, reference = pair(**SETTINGS[name])
        for text in AWKWARD[:16]:
            ours = encoder.encode_query(text, repeated_terms="one")
            assert ours.indices.tolist() == sorted(reference.embed_query(text).indices)
            assert set(ours.values.tolist()) <= {1.0}
