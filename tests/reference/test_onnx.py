"""OnnxEncoder against ONNX Runtime and the tokenizer alone, on bge-small in int8."""

from __future__ import annotations

import numpy as np
import pytest

from qdrant_static import load_encoder
from tests.fakes import shared_path

PREFIX = "Represent this sentence for searching relevant passages: "
TEXTS = [
    "", " ", "tide", "The tide is the rise and fall of the sea.", "Ünïcödé 日本 \N{GRINNING FACE}",
    "the moon and the sea " * 20, "word " * 700,
]  # fmt: skip


@pytest.fixture(scope="module")
def name(tmp_path_factory) -> str:
    folder = shared_path("models", "bge-small-en-v1.5-q")
    file = tmp_path_factory.mktemp("settings") / "bge.toml"
    file.write_text(f"folder = '{folder}'\npooling = 'cls'\nquery_prefix = '{PREFIX}'\n")
    return f"onnx:{file}"


def alone(text: str) -> np.ndarray:
    """The vector of one text, float32 (384,)."""
    from onnxruntime import InferenceSession
    from tokenizers import Tokenizer

    folder = shared_path("models", "bge-small-en-v1.5-q")
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(512)
    ids = np.array([tokenizer.encode(text).ids], np.int64)
    session = InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    types = np.zeros_like(ids)
    given = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": types}
    row = session.run(None, given)[0][0, 0]
    return row / np.linalg.norm(row)


def test_vectors_are_those_of_the_runtime_for_each_text_alone(name):
    encoder = load_encoder(name)
    assert (encoder.info.dimension, encoder.info.max_length) == (384, 510)
    expected = np.array([alone(text) for text in TEXTS])
    np.testing.assert_allclose(encoder.encode(TEXTS), expected, atol=1e-5)
    np.testing.assert_allclose(encoder.encode(TEXTS[::-1]), expected[::-1], atol=1e-5)


def test_queries_have_their_prefix_and_find_their_passage(name):
    encoder = load_encoder(name)
    queries = ["what causes tides", "how does bread rise"]
    found = encoder.encode_queries(queries)
    np.testing.assert_allclose(found[0], alone(PREFIX + queries[0]), atol=1e-5)
    passages = ["Yeast makes the dough swell.", "The moon pulls the sea up.", "A red ship."]
    assert (found @ encoder.encode(passages).T).argmax(axis=1).tolist() == [1, 0]
