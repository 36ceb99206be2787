"""Which tokenizers may be applied chunk by chunk; and that those give the tokens of whole texts."""

# ruff: noqa: E501, S106 - a list of patterns; an unknown token is no password

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    models,
    normalizers,
    pre_tokenizers,
    trainers,
)

from qdrant_static.encoders.chunkmemo import ScanBuffers
from qdrant_static.encoders.chunkrules import prove
from qdrant_static.encoders.chunktokenizer import SAMPLE, chunk_scanner, decide
from tests.unit.test_chunkmemo import scan

WORDS = (
    "the cell cells membrane of and in is protein proteins binding naïve café İstanbul 你好 世界 日本語 "
    "don't it's IL-2 1,234 x² aaa aaaa ab abab ba ahahah 😀 ❤️ हिन्दी ไทย العربية"
).split()
CORPUS = [" ".join(WORDS[i:] + WORDS[:i]) for i in range(len(WORDS))] * 3


def trained(
    model: str, normalizer: Any = None, cutter: Any = None, special: tuple[str, ...] = ("[UNK]",)
) -> Tokenizer:
    if model == "Unigram":
        tokenizer = Tokenizer(models.Unigram())
        trainer: Any = trainers.UnigramTrainer(
            vocab_size=150, special_tokens=list(special), unk_token="[UNK]", show_progress=False
        )
    elif model == "BPE":
        tokenizer = Tokenizer(models.BPE(unk_token="[UNK]", fuse_unk=True))
        trainer = trainers.BpeTrainer(
            vocab_size=400, special_tokens=list(special), show_progress=False
        )
    else:
        tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
        trainer = trainers.WordPieceTrainer(
            vocab_size=300, special_tokens=list(special), show_progress=False
        )
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    if cutter is not None:
        tokenizer.pre_tokenizer = cutter
    tokenizer.train_from_iterator(CORPUS, trainer)
    return tokenizer


def load_wordllama() -> Tokenizer:
    spec = importlib.util.find_spec("wordllama")
    if spec is None or spec.origin is None:
        pytest.skip("wordllama is not installed", allow_module_level=True)
    return Tokenizer.from_file(
        str(Path(spec.origin).parent / "tokenizers" / "l2_supercat_tokenizer_config.json")
    )


def changed(tokenizer: Tokenizer, change: Callable[[dict[str, Any]], None]) -> Tokenizer:
    definition = json.loads(tokenizer.to_str())
    change(definition)
    return Tokenizer.from_str(json.dumps(definition))


def collapsing() -> Any:
    return normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")])


INDEPENDENT: dict[str, Callable[[], Tokenizer]] = {
    "wordllama": load_wordllama,
    "unigram, metaspace": lambda: trained("Unigram", cutter=pre_tokenizers.Metaspace()),
    "unigram, metaspace first": lambda: trained(
        "Unigram", cutter=pre_tokenizers.Metaspace(prepend_scheme="first")
    ),
    "unigram, metaspace never": lambda: trained(
        "Unigram", cutter=pre_tokenizers.Metaspace(prepend_scheme="never")
    ),
    "unigram, nfkc, collapsing, metaspace": lambda: trained(
        "Unigram", collapsing(), pre_tokenizers.Metaspace()
    ),
    "unigram, strip, collapsing": lambda: trained(
        "Unigram",
        normalizers.Sequence(
            [
                normalizers.Nmt(),
                normalizers.NFKC(),
                normalizers.Strip(),
                normalizers.Replace(Regex(" {2,}"), "▁"),
            ]
        ),
        pre_tokenizers.Metaspace(),
    ),
    "unigram, whitespace, metaspace": lambda: trained(
        "Unigram",
        normalizers.NFKC(),
        pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()]),
    ),
    "unigram, whitespace, metaspace first": lambda: trained(
        "Unigram",
        None,
        pre_tokenizers.Sequence(
            [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(prepend_scheme="first")]
        ),
    ),
    "wordpiece, bert": lambda: trained(
        "WordPiece", normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    ),
    "wordpiece, bert cased": lambda: trained(
        "WordPiece",
        normalizers.BertNormalizer(lowercase=False, clean_text=False),
        pre_tokenizers.BertPreTokenizer(),
    ),
    "bpe, byte level": lambda: trained(
        "BPE", None, pre_tokenizers.ByteLevel(add_prefix_space=False)
    ),
    "bpe, byte level with prefix, nfc": lambda: trained(
        "BPE", normalizers.NFC(), pre_tokenizers.ByteLevel()
    ),
    "bpe, whitespace, digits": lambda: trained(
        "BPE",
        normalizers.Lowercase(),
        pre_tokenizers.Sequence([pre_tokenizers.Whitespace(), pre_tokenizers.Digits()]),
    ),
    "bpe, metaspace": lambda: trained("BPE", None, pre_tokenizers.Metaspace()),
    "bpe, llama 3": lambda: trained(
        "BPE",
        None,
        pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(
                    Regex(
                        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
                        r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
                    ),
                    "isolated",
                ),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
            ]
        ),
    ),
}
BUILT: dict[str, Tokenizer] = {}


def built(name: str) -> Tokenizer:
    if name not in BUILT:
        BUILT[name] = INDEPENDENT[name]()
    return BUILT[name]


PIECES = st.sampled_from(
    [
        *WORDS,
        *"ab é ß ̈ ́ ▁ ' . , ... \xa0 \u3000 \x85 \u2028 \u200b \u200d ️ \u0600 ¨ ﷺ \xad [UNK] <s> </s> Σ ΑΣ".split(
            " "
        ),
        " ",
        "  ",
        "   ",
        "\t",
        "\n",
        "\r\n",
        "\n\n",
        " \n ",
        "\x0b",
        "\x0c",
        "\x1c",
        "\x00",
        "\xa0",
        "\u3000",
        "¨",
        "aaaaaaa",
    ]
)
TEXTS = st.lists(PIECES, max_size=25).map("".join) | st.text(
    st.characters(codec="utf-8"), max_size=60
)


@pytest.mark.parametrize("name", INDEPENDENT)
def test_chunks_give_the_tokens_of_whole_texts(name: str) -> None:
    tokenizer = built(name)
    rule = decide(tokenizer)
    assert rule.independent, rule.reason
    scanner = chunk_scanner(tokenizer, rule)

    @settings(max_examples=120, deadline=None, database=None)
    @given(st.lists(TEXTS, min_size=1, max_size=6))
    def agree(texts: list[str]) -> None:
        expected = [e.ids for e in tokenizer.encode_batch_fast(texts, add_special_tokens=False)]
        assert scan(scanner, texts) == expected

    agree()
    texts = [
        *SAMPLE,
        *CORPUS,
        *(f"{a} {b}  {c}\n{a}" for a, b, c in zip(WORDS, WORDS[1:], WORDS[2:], strict=False)),
    ]
    for _ in range(2):
        assert scan(scanner, texts) == [
            e.ids for e in tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        ]


def test_ordinary_text_does_not_fall_back() -> None:
    text = "the cell membrane of it's IL-2, (aaa)."
    for name in INDEPENDENT:
        tokenizer = built(name)
        scanner = chunk_scanner(tokenizer, decide(tokenizer))
        data = np.frombuffer(text.encode(), np.uint8)
        rows = scanner.scan(data, np.array([0]), np.array([len(data)]), ScanBuffers())
        assert not len(rows.plain), name


def refusals() -> dict[str, tuple[Tokenizer, str]]:
    def with_merge(definition: dict[str, Any]) -> None:
        model = definition["model"]
        model["merges"].append(["s", "▁"])
        model["vocab"]["s▁"] = len(model["vocab"])

    def setting(**values: Any) -> Callable[[dict[str, Any]], None]:
        return lambda definition: definition["model"].update(values)

    spaced = trained("BPE", None, pre_tokenizers.Metaspace())
    spaced.add_special_tokens([AddedToken("two words")])
    truncating = trained("BPE", None, pre_tokenizers.Metaspace())
    truncating.enable_truncation(10)
    return {
        "a merge across": (changed(load_wordllama(), with_merge), "joins a word"),
        "ignore_merges": (changed(load_wordllama(), setting(ignore_merges=True)), "ignore_merges"),
        "dropout": (changed(load_wordllama(), setting(dropout=0.1)), "random"),
        "unigram on the whole text": (
            trained("Unigram", cutter=pre_tokenizers.Metaspace(split=False)),
            "ties",
        ),
        "no pre-tokenizer": (trained("BPE"), "spaces"),
        "wordpiece on the whole text": (trained("WordPiece"), "whole text"),
        "spaces removed": (
            trained("BPE", normalizers.Replace(" ", ""), pre_tokenizers.Whitespace()),
            "across",
        ),
        "a regex": (
            trained("BPE", normalizers.Replace(Regex("a b"), "c"), pre_tokenizers.Whitespace()),
            "across",
        ),
        "an unknown cutter": (
            trained("BPE", None, pre_tokenizers.CharDelimiterSplit("-")),
            "not known",
        ),
        "an unknown pattern": (
            trained("BPE", None, pre_tokenizers.Split(Regex(r"\w+ \w+"), "isolated")),
            "not known",
        ),
        "an added token with a space": (spaced, "blank"),
        "truncation": (truncating, "truncation"),
    }


def test_what_cannot_be_proven_is_refused() -> None:
    for name, (tokenizer, reason) in refusals().items():
        rule = decide(tokenizer)
        assert not rule.independent, name
        assert reason in rule.reason, (name, rule.reason)


def test_the_self_check_refuses_what_a_wrong_proof_would_let_pass(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import qdrant_static.encoders.chunktokenizer as module

    tokenizer = trained("Unigram", cutter=pre_tokenizers.Metaspace(prepend_scheme="first"))
    honest = prove(tokenizer, json.loads(tokenizer.to_str()))

    def wrong(tokenizer: Tokenizer, definition: dict[str, Any]) -> module.ChunkRule:
        return replace(honest, keep_separators=False)

    monkeypatch.setattr(module, "prove", wrong)
    rule = decide(tokenizer)
    assert not rule.independent
    assert "self-check" in rule.reason


def test_added_tokens_in_the_text_are_matched_as_in_the_whole() -> None:
    tokenizer = trained(
        "WordPiece", normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    )
    tokenizer.add_special_tokens([AddedToken("[SEP]", lstrip=True, rstrip=True)])
    tokenizer.add_tokens(
        [
            AddedToken("membrane", normalized=True, single_word=True),
            AddedToken("ÄB", normalized=True),
        ]
    )
    rule = decide(tokenizer)
    assert rule.independent, rule.reason
    scanner = chunk_scanner(tokenizer, rule)
    texts = [
        "a [SEP] b",
        "a[SEP]b",
        "[sep]",
        "the MEMBRANE of",
        "membranes",
        "äb ab ÄB",
        "[UNK] [unk]",
        "plain",
    ]
    assert scan(scanner, texts) == [
        e.ids for e in tokenizer.encode_batch_fast(texts, add_special_tokens=False)
    ]
