"""StaticEncoder against model2vec's own encode, to 1e-6."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from model2vec import StaticModel

from qdrant_static import load_encoder
from tests.fakes import VOCABULARY, build_static_model

TEXTS = [
    "",
    " ",
    "cat",
    "The Cat of the SEA",
    "zebra quagga",
    "zebra cat quagga",
    "the the the the moon",
    "moon " * 3000,
    "zebra " * 600 + "moon",
    "m" * 5000 + " cat",
    "catfish runs reader unfish dogs",
    "cat,dog;fish.moon-tide",
    "Ünïcödé cat 日本 \N{GRINNING FACE} \u200b dog\x00 fish",
    "[UNK] [PAD] cat",
    "\n\tcat\r\n dog",
]
MODELS = {
    "plain": {},
    "not normalized": {"normalize": False},
    "short": {"max_length": 4},
    "unlimited": {"max_length": None},
    "wordpiece": {"kind": "wordpiece"},
    "wordpiece short": {"kind": "wordpiece", "max_length": 3, "normalize": False},
    "vocabulary quantized": {"quantized": True},
    "all of it": {"quantized": True, "kind": "wordpiece", "max_length": 5, "normalize": False},
}


@pytest.fixture(scope="module", params=MODELS)
def pair(request, tmp_path_factory):
    """The same folder, loaded by model2vec and by us."""
    folder = build_static_model(tmp_path_factory.mktemp("model") / "m", **MODELS[request.param])
    return StaticModel.from_pretrained(folder), load_encoder(folder)


def agree(theirs: StaticModel, ours, texts: list[str]) -> None:
    expected = theirs.encode(texts, use_multiprocessing=False)
    rows = ours.encode(texts)
    assert rows.dtype == np.float32
    assert rows.shape == expected.shape
    assert np.abs(rows - expected).max(initial=0) <= 1e-6


def test_awkward_texts_agree(pair):
    agree(*pair, TEXTS)


def test_each_text_alone_agrees(pair):
    for text in TEXTS:
        agree(*pair, [text])


@given(
    st.lists(
        st.one_of(
            st.text(st.characters(exclude_categories=["Cs"]), max_size=50),
            st.lists(st.sampled_from([*VOCABULARY, "zebra", "dogs", "Unfish"])).map(" ".join),
        ),
        min_size=1,
        max_size=5,
    )
)
def test_any_texts_agree(pair, texts):
    agree(*pair, texts)


def test_a_half_precision_table_agrees_to_its_own_precision(tmp_path):
    folder = build_static_model(tmp_path / "m")
    theirs = StaticModel.from_pretrained(folder, quantize_to="float16")
    theirs.save_pretrained(tmp_path / "half")
    ours = load_encoder(tmp_path / "half").encode(TEXTS)
    exact = load_encoder(folder).encode(TEXTS)
    assert np.abs(ours - exact).max() < 2e-3


def test_potion_agrees_with_model2vec_and_with_the_golden_vectors(shared):
    folder = shared / "models" / "potion-base-2M"
    if not folder.is_dir():
        pytest.skip(f"no shared data: {folder} is missing (tests/README.md)")
    ours = load_encoder(folder)
    cases = json.loads((folder / "golden_vectors.json").read_text())["cases"]
    texts = [case["text"] for case in cases]
    agree(StaticModel.from_pretrained(folder), ours, texts)
    golden = np.array([case["embedding"] for case in cases], np.float32)
    rows = ours.encode(texts)
    # The golden ones come from the original weights, the folder's are rounded to 8 bits.
    similar = np.einsum("ij,ij->i", rows, golden)
    assert np.array_equal(rows.any(axis=1), golden.any(axis=1))
    assert similar[golden.any(axis=1)].min() > 0.99


def test_wordllama_is_the_mean_of_its_tables_rows(wordllama):
    """Against the two files of the package, by the definition."""
    from importlib.util import find_spec
    from pathlib import Path

    from safetensors.numpy import load_file
    from tokenizers import Tokenizer

    package = Path(find_spec(wordllama).submodule_search_locations[0])
    (table,) = load_file(package / "weights" / "l2_supercat_256.safetensors").values()
    tokenizer = Tokenizer.from_file(
        str(package / "tokenizers" / "l2_supercat_tokenizer_config.json")
    )
    tokenizer.no_truncation()
    tokenizer.no_padding()
    texts = ["what raises the sea", "Moon and sun " * 700, "naïve café 日本"]
    rows = load_encoder(wordllama).encode(texts)
    for row, text in zip(rows, texts, strict=True):
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        mean = table[ids].astype(np.float64).mean(axis=0)
        # Thousands of rows of float32 are added here, of float64 there.
        assert np.abs(row - mean / np.linalg.norm(mean)).max() < 5e-6
