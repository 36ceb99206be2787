"""StaticEncoder against the libraries that define what is right: tokenizers, model2vec."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from qdrant_static.encoders.loading import (
    from_model2vec,
    load_wordllama,
)
from qdrant_static.encoders.sentencetransformers import from_sentence_transformers
from qdrant_static.encoders.static import StaticEncoder
from qdrant_static.errors import TextInputError
from tests.awkward_texts import AWKWARD, bmp_letters, every_block, mixtures
from tests.fakes import shared_path as shared
from tests.small_tokenizers import VARIANTS, wordpiece

model2vec = pytest.importorskip("model2vec")


def tokenizer_ids(
    tokenizer: Tokenizer, texts: list[str], drop: int | None, length: int | None
) -> list[list[int]]:
    """Return the ids by the tokenizer itself."""
    encoded = tokenizer.encode_batch(texts, add_special_tokens=False)
    return [[i for i in e.ids[:length] if i != drop] for e in encoded]


def our_ids(encoder: StaticEncoder, texts: Any) -> list[list[int]]:
    ids, pointers = encoder.tokenize(texts)
    return [ids[a:b].tolist() for a, b in pairwise(pointers)]


def assert_same_ids(
    encoder: StaticEncoder, tokenizer: Tokenizer, texts: list[str], **rules: Any
) -> None:
    for text, ours, theirs in zip(
        texts, our_ids(encoder, texts), tokenizer_ids(tokenizer, texts, **rules), strict=True
    ):
        assert ours == theirs, ascii(text[:200])


def table_for(tokenizer: Tokenizer, dim: int = 16) -> Any:
    rng = np.random.default_rng(7)
    return rng.standard_normal((tokenizer.get_vocab_size(), dim), dtype=np.float32)


def encoder_of(tokenizer: Tokenizer, **keywords: Any) -> StaticEncoder:
    keywords.setdefault("table", table_for(tokenizer))
    return StaticEncoder(tokenizer=tokenizer, name="test", normalize=True, **keywords)


@pytest.fixture(scope="module")
def small() -> tuple[StaticEncoder, Tokenizer]:
    tokenizer = wordpiece(added=VARIANTS["added"]["added"])
    return encoder_of(tokenizer, max_length=40), tokenizer


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("keep_unknown", [False, True])
def test_ids_equal_the_tokenizer_s(variant: str, keep_unknown: bool) -> None:
    tokenizer = wordpiece(**VARIANTS[variant])
    unknown = tokenizer.token_to_id(VARIANTS[variant].get("unknown", "[UNK]"))
    texts = AWKWARD + mixtures(400, seed=1)
    for length in (None, 512, 3):
        encoder = encoder_of(tokenizer, max_length=length, keep_unknown=keep_unknown)
        assert encoder.info.route == "wordpiece", encoder.info.reason
        assert_same_ids(
            encoder, tokenizer, texts, drop=None if keep_unknown else unknown, length=length
        )


@pytest.mark.parametrize("variant", ["bert", "cased", "text not cleaned", "sequence"])
def test_characters_of_every_unicode_block(variant: str) -> None:
    tokenizer = wordpiece(**VARIANTS[variant])
    encoder = encoder_of(tokenizer)
    assert_same_ids(encoder, tokenizer, every_block(4) + bmp_letters(), drop=1, length=None)


@pytest.mark.parametrize("length", [0, 1, 2, 3, 5, 8])
def test_every_length_limit(length: int) -> None:
    tokenizer = wordpiece(letters=False)
    texts = AWKWARD + mixtures(300, seed=2)
    assert_same_ids(
        encoder_of(tokenizer, max_length=length), tokenizer, texts, drop=1, length=length
    )


@pytest.mark.parametrize("characters", [0, 1, 7, 63, 64, 65, 130])
def test_every_character_limit(characters: int) -> None:
    tokenizer = wordpiece()
    texts = AWKWARD + mixtures(300, seed=3)
    encoder = encoder_of(tokenizer, max_characters=characters)
    ours = our_ids(encoder, texts)
    assert ours == tokenizer_ids(tokenizer, [text[:characters] for text in texts], 1, None)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), max_size=5))
def test_any_text(small: tuple[StaticEncoder, Tokenizer], texts: list[str]) -> None:
    assert_same_ids(*small, texts, drop=1, length=40)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.text("abeTHEcl [](SEP)#<x>-. \u00e9\u0301\x00\t\u4e16", max_size=200))
def test_any_text_of_few_characters(small: tuple[StaticEncoder, Tokenizer], text: str) -> None:
    assert_same_ids(*small, [text], drop=1, length=40)


@pytest.mark.parametrize(
    ("tokenizer", "why"),
    [
        (wordpiece(pre_tokenizer=pre_tokenizers.Whitespace()), "split"),
        (wordpiece(pre_tokenizer=pre_tokenizers.WhitespaceSplit()), "pre-tokenizer"),
        (wordpiece(normalizer=normalizers.Replace("a", "b c")), "Replace"),
        (wordpiece(added=["two words"]), "whitespace"),
        (wordpiece(added=["word"]), "begin with punctuation"),
        (Tokenizer(models.WordLevel({"a": 0, "[UNK]": 1}, "[UNK]")), "WordLevel"),
    ],
    ids=["Whitespace", "WhitespaceSplit", "Replace", "spaced", "letters", "WordLevel"],
)
def test_what_is_not_covered_takes_another_route(tokenizer: Tokenizer, why: str) -> None:
    encoder = encoder_of(tokenizer, max_length=30)
    assert encoder.info.route != "wordpiece"
    assert why in encoder.info.reason
    assert_same_ids(encoder, tokenizer, AWKWARD + mixtures(100, seed=4), drop=1, length=30)


def test_ten_megabytes_in_one_text() -> None:
    tokenizer = wordpiece()
    encoder = encoder_of(tokenizer, keep_unknown=True)
    base = "the cells running un-able x1 (hello) world "
    text = base * (10_000_000 // len(base))
    expected = tokenizer.encode(base, add_special_tokens=False).ids * (10_000_000 // len(base))
    assert our_ids(encoder, [text, "the"]) == [
        expected,
        tokenizer.encode("the", add_special_tokens=False).ids,
    ]
    mean = encoder._table.table[expected].mean(axis=0)  # float32, one row after the other
    assert np.abs(encoder.encode([text])[0] - mean / np.linalg.norm(mean)).max() < 1e-6


def test_ten_megabytes_without_a_space() -> None:
    tokenizer = wordpiece()
    encoder = encoder_of(tokenizer, keep_unknown=True)
    text = "cell-" * 2_000_000
    cell, dash = tokenizer.encode("cell-", add_special_tokens=False).ids
    assert our_ids(encoder, [text]) == [[cell, dash] * 2_000_000]
    assert our_ids(encoder_of(tokenizer, max_length=9, max_characters=40), [text]) == [
        [cell, dash] * 4 + [cell]
    ]
    assert our_ids(encoder, ["x" * 10_000_000]) == [[1]]


def test_a_long_chunk_that_only_the_tokenizer_knows() -> None:
    tokenizer = wordpiece()
    texts = ["\u4e16\u754c the" * 3000, "\u00e9" * 5000, "the " + "cell-\u00e9" * 4000]
    assert_same_ids(encoder_of(tokenizer), tokenizer, texts, drop=1, length=None)
    assert_same_ids(encoder_of(tokenizer, max_length=77), tokenizer, texts, drop=1, length=77)


@pytest.mark.parametrize("dtype", ["float32", "float16", "float64", "int8"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("normalize", [False, True])
def test_vectors_equal_model2vec_s(dtype: str, weighted: bool, normalize: bool) -> None:
    tokenizer = wordpiece(letters=False)
    n = tokenizer.get_vocab_size()
    rng = np.random.default_rng(3)
    table = table_for(tokenizer, 48)
    table = (
        np.clip(table * 40, -127, 127).astype(np.int8) if dtype == "int8" else table.astype(dtype)
    )
    parts: dict[str, Any] = {}
    if weighted:
        parts = {
            "token_mapping": rng.integers(0, 50, n),
            "weights": rng.random(n).astype(np.float32),
        }
        table = table[:50]
    theirs = model2vec.StaticModel(table, tokenizer, normalize=normalize, **parts)
    ours = StaticEncoder(
        table=table,
        tokenizer=tokenizer,
        name="test",
        normalize=normalize,
        max_length=512,
        max_characters=512 * theirs.median_token_length,
        **parts,
    )
    texts = AWKWARD + mixtures(200, seed=5)
    assert our_ids(ours, texts) == theirs.tokenize(
        [t[: 512 * theirs.median_token_length] for t in texts]
    )
    expected = theirs.encode(texts).astype(np.float64)
    scale = max(1.0, float(np.abs(expected).max()))
    # float16: model2vec rounds its results to float16; float64: it adds in float64.
    allowed = {"float16": 1e-3, "float64": 2e-5}.get(dtype, 1e-6)
    one_by_one = np.concatenate([ours.encode([text]) for text in texts])
    for vectors in (ours.encode(texts), ours.encode(texts, threads=3), one_by_one):
        assert np.abs(vectors - expected).max() <= allowed * scale


def test_golden_vectors() -> None:
    folder = shared("models", "potion-base-2M")
    encoder = from_model2vec(folder)
    assert encoder.info.route == "wordpiece"
    cases = json.loads((folder / "golden_vectors.json").read_text())["cases"]
    texts = [case["text"] for case in cases]
    assert our_ids(encoder, texts) == [case["token_ids"] for case in cases]
    expected = np.array([case["embedding"] for case in cases])
    theirs = model2vec.StaticModel.from_pretrained(folder).encode(texts)
    assert np.abs(encoder.encode(texts) - theirs).max() < 1e-6
    assert np.abs(encoder.encode(texts) - expected).max() < max(
        1e-6, 2 * np.abs(theirs - expected).max()
    )


@pytest.mark.parametrize("collection", ["scifact", "cisi", "cranfield", "medline"])
def test_real_text(collection: str) -> None:
    folder = shared("models", "potion-base-2M")
    lines = shared("data", collection, "corpus.jsonl").read_text().splitlines()[:1200]
    texts = [f"{row.get('title', '')} {row['text']}" for row in map(json.loads, lines)]
    theirs = model2vec.StaticModel.from_pretrained(folder)
    ours = from_model2vec(folder)
    assert our_ids(ours, texts) == theirs.tokenize(
        [t[: 512 * theirs.median_token_length] for t in texts]
    )
    assert np.abs(ours.encode(texts) - theirs.encode(texts)).max() < 1e-6


def test_unicode_with_a_real_vocabulary() -> None:
    tokenizer = Tokenizer.from_file(str(shared("models", "potion-base-2M", "tokenizer.json")))
    encoder = encoder_of(
        tokenizer, table=np.ones((tokenizer.get_vocab_size(), 1), np.float32), keep_unknown=True
    )
    texts = AWKWARD + mixtures(500, seed=6) + every_block(8)
    assert_same_ids(encoder, tokenizer, texts, drop=None, length=None)


def test_wordllama(wordllama: str) -> None:
    encoder = load_wordllama()
    tokenizer = encoder._tokens.plain.tokenizer
    assert encoder.info.route == "chunk-memo", encoder.info.reason
    texts = [t for t in AWKWARD if len(t) < 2000] + mixtures(100, seed=8)
    assert_same_ids(encoder, tokenizer, texts, drop=None, length=None)


def test_sentence_transformers_definition(tmp_path: Any) -> None:
    """[UNK] is pooled, nothing is cut, no normalization without a Normalize module."""
    from safetensors.numpy import save_file

    tokenizer = wordpiece(letters=False)
    table = table_for(tokenizer)
    part = tmp_path / "0_StaticEmbedding"
    part.mkdir()
    save_file({"embedding.weight": table}, part / "model.safetensors")
    tokenizer.save(str(part / "tokenizer.json"))
    static = {
        "idx": 0,
        "name": "0",
        "path": "0_StaticEmbedding",
        "type": "sentence_transformers.models.StaticEmbedding",
    }
    unit = {
        "idx": 1,
        "name": "1",
        "path": "1_Normalize",
        "type": "sentence_transformers.models.Normalize",
    }
    texts = AWKWARD
    expected = np.zeros((len(texts), table.shape[1]))
    for row, ids in enumerate(tokenizer_ids(tokenizer, texts, None, None)):
        if ids:
            expected[row] = table[ids].mean(axis=0)  # float32, one row after the other
    for modules in ([static], [static, unit]):
        (tmp_path / "modules.json").write_text(json.dumps(modules))
        encoder = from_sentence_transformers(tmp_path)
        assert np.abs(encoder.encode(texts) - expected).max() < 1e-6 * np.abs(expected).max()
        expected /= np.maximum(np.linalg.norm(expected, axis=1, keepdims=True), 1e-12)


@pytest.mark.parametrize(
    "texts", [["fine", "bad \ud800"], ["fine", "bad \udfff" * 2000], ["ok"] * 99 + ["\ud83d"]]
)
def test_lone_surrogates_are_refused(
    small: tuple[StaticEncoder, Tokenizer], texts: list[str]
) -> None:
    with pytest.raises(TextInputError, match=f"row {len(texts) - 1}.*surrogate"):
        small[0].encode(texts)
    with pytest.raises(TextInputError, match=r"row 0.*surrogate"):
        small[0].encode(texts[-1:])


def test_fingerprints_outlive_versions() -> None:
    """A collection names its encoder by this digest; a change of it orphans every collection."""
    encoder = from_model2vec(shared("models", "potion-base-2M"))
    assert encoder.info.fingerprint == "b4a16fa96672e962ac67150883246c5a"
