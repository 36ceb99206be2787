"""Settings of ONNX models from the files of sentence-transformers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from qdrant_static import load_encoder
from qdrant_static.encoders.onnxsettings import OnnxSettings, read_settings
from qdrant_static.errors import InvalidModelError
from tests.onnxmodels import write_folder

LIBRARY = "sentence_transformers.models."
FILES: dict[str, Any] = {
    "1_Pooling/config.json": {
        "word_embedding_dimension": 24,
        "pooling_mode_cls_token": True,
        "pooling_mode_mean_tokens": False,
    },
    "modules.json": [
        {"type": f"{LIBRARY}Transformer", "path": ""},
        {"type": f"{LIBRARY}Pooling", "path": "1_Pooling"},
        {"type": f"{LIBRARY}Normalize", "path": "2_Normalize"},
    ],
    "config_sentence_transformers.json": {
        "prompts": {"query": "query : ", "document": "passage : "},
        "default_prompt_name": None,
    },
    "sentence_bert_config.json": {"max_seq_length": 256, "do_lower_case": False},
}


def write(folder: Path, **changed: Any) -> Path:
    """Write the files, some changed by their stem; None leaves one out."""
    for name, content in FILES.items():
        path = folder / name
        key = "pooling" if "Pooling" in name else path.stem
        content = changed.get(key, content)
        path.parent.mkdir(parents=True, exist_ok=True)
        if content is not None:
            path.write_text(content if isinstance(content, str) else json.dumps(content))
    return folder


def read(folder: Path) -> OnnxSettings:
    return read_settings(f"onnx:{folder}")[2]


def test_the_librarys_files_say_it_all(tmp_path):
    assert read(write(tmp_path)) == OnnxSettings(
        pooling="cls", normalize=True, query_prefix="query : ", passage_prefix="passage : ",
        max_length=256,
    )  # fmt: skip


def test_most_of_them_may_be_missing(tmp_path):
    folder = write(
        tmp_path, modules=None, config_sentence_transformers=None, sentence_bert_config=None
    )
    assert read(folder) == OnnxSettings(pooling="cls", normalize=False)


def test_our_own_file_takes_their_place(tmp_path):
    folder = write(tmp_path, modules="{")
    (folder / "encoder.toml").write_text('pooling = "mean"\n')
    assert read(folder) == OnnxSettings(pooling="mean")


def test_a_model_exported_by_the_library_is_in_a_folder_of_its_own(tmp_path):
    folder = write(write_folder(tmp_path, None))
    (folder / "onnx").mkdir()
    (folder / "model.onnx").rename(folder / "onnx" / "model.onnx")
    assert read(folder).model == "onnx/model.onnx"
    assert load_encoder(f"onnx:{folder}").encode(["the cat"]).shape == (1, 24)


@pytest.mark.parametrize(
    ("config", "prefixes"),
    [
        ({}, ("", "")),
        ({"prompts": None}, ("", "")),
        ({"prompts": {"query": "q", "passage": "p"}}, ("q", "p")),
        ({"prompts": {"query": "", "document": ""}, "default_prompt_name": "query"}, ("", "")),
        ({"prompts": {"all": "a"}, "default_prompt_name": "all"}, ("a", "a")),
        ({"prompts": {"all": "a", "query": "q"}, "default_prompt_name": "all"}, ("q", "a")),
        ({"prompts": {"other": "o"}}, ("", "")),
    ],
)
def test_prompts_are_those_of_encode_query_and_encode_document(tmp_path, config, prefixes):
    found = read(write(tmp_path, config_sentence_transformers=config))
    assert (found.query_prefix, found.passage_prefix) == prefixes


@pytest.mark.parametrize(
    ("config", "pooling"),
    [
        ({"pooling_mode_mean_tokens": True}, "mean"),
        ({"pooling_mode": "cls"}, "cls"),
        ({"pooling_mode": "mean", "include_prompt": True}, "mean"),
    ],
)
def test_pooling_in_its_several_forms(tmp_path, config, pooling):
    assert read(write(tmp_path, pooling=config)).pooling == pooling


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"pooling": {"pooling_mode_max_tokens": True}}, r"the pooling is \['pooling_mode_max_to"),
        (
            {"pooling": {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": True}},
            "pooling",
        ),
        ({"pooling": {}}, r"the pooling is None; valid: cls, mean"),
        ({"pooling": {"pooling_mode": "lasttoken"}}, "the pooling is 'lasttoken'"),
        ({"pooling": {"pooling_mode": "cls", "include_prompt": False}}, "left out of the pooling"),
        ({"pooling": []}, "it is not an object"),
        ({"pooling": "{"}, "config.json: "),
        ({"modules": {}}, "not a list of modules"),
        ({"modules": [{"type": f"{LIBRARY}Dense"}]}, r"has the modules \['Dense'\]; known: Transf"),
        ({"config_sentence_transformers": {"prompts": {"query": 1}}}, "prompts are not strings"),
        ({"sentence_bert_config": {"do_lower_case": True}}, "do_lower_case is set"),
        ({"sentence_bert_config": {"max_seq_length": "long"}}, "max_seq_length is 'long'"),
    ],
)
def test_what_would_change_vectors_and_is_not_supported_is_refused(tmp_path, changed, problem):
    with pytest.raises(InvalidModelError, match=problem):
        read(write(tmp_path, **changed))
