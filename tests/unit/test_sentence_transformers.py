"""Folders of static models: every file that decides vectors is read, or the model is refused."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from safetensors.numpy import save_file

from qdrant_static import load_encoder
from qdrant_static.encoders.static import StaticEncoder
from qdrant_static.errors import InvalidModelError
from tests.fakes import build_static_model
from tests.small_tokenizers import wordpiece

TEXTS = ["the cell", "", "vitamin study of the brain", "caf\u00e9 \u4e16\u754c zzz"]
STATIC = {"path": "0_StaticEmbedding", "type": "sentence_transformers.models.StaticEmbedding"}
UNIT = {"path": "1_Normalize", "type": "sentence_transformers.models.Normalize"}


def table(rows: int | None = None) -> np.ndarray:
    size = wordpiece().get_vocab_size() if rows is None else rows
    return np.random.default_rng(3).standard_normal((size, 8), dtype=np.float32)


@pytest.fixture
def save(tmp_path):
    """Write a folder; what is not said is as the library writes it."""

    def write(
        modules: Any = (STATIC,), tensors: Any = None, config: Any = None, **files: Any
    ) -> StaticEncoder:
        part = tmp_path / "0_StaticEmbedding"
        part.mkdir()
        save_file(tensors or {"embedding.weight": table()}, part / "model.safetensors")
        wordpiece().save(str(part / "tokenizer.json"))
        (tmp_path / "modules.json").write_text(json.dumps(modules))
        if config is not None:
            (tmp_path / "config_sentence_transformers.json").write_text(json.dumps(config))
        for path, content in files.items():
            file = tmp_path / path
            file.parent.mkdir(exist_ok=True)
            file.write_text(json.dumps(content))
        return load_encoder(tmp_path)

    return write


def plain(**keywords: Any) -> StaticEncoder:
    given = {"table": table(), "tokenizer": wordpiece(), "name": "plain", "normalize": False}
    return StaticEncoder(**given | {"keep_unknown": True} | keywords)


def same(found: np.ndarray, expected: np.ndarray) -> bool:
    """Equal but for the last bit, in which NumPy and the kernels may differ."""
    return found.shape == expected.shape and bool(np.abs(found - expected).max() < 1e-6)


def test_the_default_prompt_goes_before_every_text(save):
    prompts = {"query": "the study: ", "other": "cell "}
    encoder = save(config={"prompts": prompts, "default_prompt_name": "query"})
    expected = plain().encode([f"the study: {text}" for text in TEXTS])
    assert same(encoder.encode(TEXTS), expected)
    for kind in (pa.string(), pa.large_string(), pa.string_view()):
        column = pa.array([TEXTS[0], None, *TEXTS[2:]], kind)
        assert same(encoder.encode(column), expected)
        assert same(encoder.encode(pa.chunked_array([column[:1], column[1:]])), expected)
    assert same(encoder.encode(pa.array(TEXTS).dictionary_encode()), expected)
    assert same(encoder.encode_batch(TEXTS * 40).vectors[8][-4:], expected)
    for text, vector in zip(TEXTS, expected, strict=True):
        assert same(encoder.encode([text])[0], vector)
    assert len(encoder.tokenize(["cell"])[0]) == len(plain().tokenize(["the study: cell"])[0])
    assert encoder.info.fingerprint != plain().info.fingerprint


@pytest.mark.parametrize(
    "config",
    [
        None,
        {"prompts": {"query": "", "document": ""}, "default_prompt_name": None},
        {"prompts": {"query": ""}, "default_prompt_name": "query"},
        {"model_type": "SentenceTransformer", "similarity_fn_name": "dot"},
    ],
)
def test_without_a_prompt_the_encoder_is_what_it_was(save, config, caplog):
    encoder = save(config=config)
    assert np.array_equal(encoder.encode(TEXTS), plain().encode(TEXTS))
    assert encoder.info.fingerprint == plain().info.fingerprint
    assert not caplog.records


def test_prompts_that_encode_does_not_use_are_told(save, caplog):
    encoder = save(config={"prompts": {"query": "query: ", "passage": "text: "}})
    assert np.array_equal(encoder.encode(TEXTS), plain().encode(TEXTS))
    assert "has prompts for 'query' and 'passage'" in caplog.text


def test_rows_by_mapping_and_weights_are_what_model2vec_means(save):
    size = wordpiece().get_vocab_size()
    mapping = np.random.default_rng(1).integers(0, 9, size)
    weights = np.linspace(0.1, 2, size).astype(np.float32)
    encoder = save(
        modules=[STATIC, UNIT],
        tensors={"embeddings": table(9), "mapping": mapping, "weights": weights},
        **{"1_Normalize/config.json": {"module_input_name": "sentence_embedding"}},
    )
    folded = table(9)[mapping] * weights[:, None]
    expected = plain(table=folded, normalize=True).encode(TEXTS)
    assert np.abs(encoder.encode(TEXTS) - expected).max() < 1e-6


def tensors(**more: Any) -> dict[str, Any]:
    return {"tensors": {"embedding.weight": table(), **more}}


@pytest.mark.parametrize(
    ("folder", "problem"),
    [
        (tensors(weights=np.ones(5, np.float32)), "'weights' beside 'embedding.weight'"),
        (tensors(**{"linear.weight": np.ones(5, np.float32)}), "'linear.weight' beside"),
        ({"tensors": {"other": table()}}, r"tensors \['other'\]; valid"),
        ({"modules": [STATIC, {"path": "1", "type": "sentence_transformers.models.Dense"}]},
         "modules are .*Dense.*; valid: StaticEmbedding and Normalize"),
        ({"modules": [UNIT, STATIC]}, "in this order"),
        ({"modules": [{**STATIC, "type": "mine.StaticEmbedding"}]}, "mine.StaticEmbedding"),
        ({"modules": {"0": STATIC}}, "is not a list of modules"),
        ({"modules": [{"path": "0_StaticEmbedding"}]}, "is not a list of modules"),
        ({"modules": [STATIC, UNIT],
          "1_Normalize/config.json": {"module_input_name": "token_embeddings"}},
         "1_Normalize/config.json: module_input_name is 'token_embeddings'"),
        ({"0_StaticEmbedding/config.json": {"mode": "sum"}}, "mode is 'sum'"),
        ({"config": {"prompts": {"a": "b"}, "default_prompt_name": "query"}},
         r"default_prompt_name is 'query', and there are the prompts \['a'\]"),
        ({"config": {"model_type": "SparseEncoder"}}, "it is a SparseEncoder"),
    ],
)  # fmt: skip
def test_what_would_be_left_out_is_refused_by_name(save, folder, problem):
    with pytest.raises(InvalidModelError, match=problem):
        save(**folder)


def test_a_model2vec_folder_that_says_more_than_model2vec_reads_is_refused(tmp_path):
    folder = build_static_model(tmp_path / "m")
    config = folder / "config_sentence_transformers.json"
    config.write_text('{"prompts": {"q": "query: "}, "default_prompt_name": "q"}')
    with pytest.raises(InvalidModelError, match="puts 'query: ' before every text"):
        load_encoder(folder)
    config.write_text('{"prompts": {"q": ""}, "default_prompt_name": "q"}')
    assert load_encoder(folder).encode(["cat"]).any()
    modules = json.loads((folder / "modules.json").read_text())
    dense = {"path": "2_Dense", "type": "sentence_transformers.models.Dense"}
    (folder / "modules.json").write_text(json.dumps([*modules, dense]))
    with pytest.raises(InvalidModelError, match="Dense"):
        load_encoder(folder)


def test_files_that_are_broken_off_or_say_nonsense_are_named(tmp_path):
    folder = build_static_model(tmp_path / "m")
    weights = folder / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-100])
    with pytest.raises(InvalidModelError, match=r"model.safetensors.*tensor .* cannot be read"):
        load_encoder(folder)
    weights.write_bytes(whole)
    (folder / "config.json").write_text('{"max_length": "512"}')
    with pytest.raises(InvalidModelError, match="max_length is '512', neither"):
        load_encoder(folder)
