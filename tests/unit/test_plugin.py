"""install(): static models in fastembed's list of classes, and out of it again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fastembed import TextEmbedding
from qdrant_client.fastembed_common import FastEmbedMisc

from qdrant_static import install, load_encoder, plugin, staticmodels, uninstall
from qdrant_static.errors import (
    ArgumentError,
    EncoderNotFoundError,
    IncompatiblePackageError,
    TextInputError,
)
from qdrant_static.vectors import truncate
from tests.fakes import DIMENSION, FakeEncoder, build_static_model
from tests.onnxmodels import write_folder

TEXTS = ["the cat", "fish in the sea", "", "the moon and the tide"]


@pytest.fixture(autouse=True)
def _clean() -> Iterator[None]:
    yield
    uninstall()


@pytest.fixture
def name(model_folder: Path) -> str:
    install(names=[model_folder])
    return str(model_folder)


def test_the_list_is_afterwards_what_it_was(model_folder):
    registry = TextEmbedding.EMBEDDINGS_REGISTRY
    before = list(registry)
    install(names=[model_folder])
    install()
    assert registry[0] is plugin.StaticModels
    assert registry[1:] == before
    assert FastEmbedMisc.is_supported_text_model(str(model_folder))
    uninstall()
    assert TextEmbedding.EMBEDDINGS_REGISTRY is registry
    assert registry == before
    assert not FastEmbedMisc.is_supported_text_model(str(model_folder))
    assert not FastEmbedMisc.is_supported_text_model("wordllama")
    uninstall()
    assert registry == before


def test_a_second_call_adds_names_and_keeps_those_that_are_there(name, tmp_path):
    other = build_static_model(tmp_path / "other", dimension=8)
    names = install(names=[other])
    assert {name, str(other), "wordllama"} <= set(names)
    assert list(names) == sorted(names)
    assert set(names) == {model for model, _ in staticmodels.INSTALLED.names.values()}
    assert len(names) == len(plugin.KNOWN_MODELS) + 2


def test_a_folder_is_known_by_a_relative_path_too(model_folder, monkeypatch):
    monkeypatch.chdir(model_folder.parent)
    assert {"./small", str(model_folder.resolve())} <= set(install(names=["./small"]))
    (row,) = TextEmbedding("./small").embed("the cat")
    assert np.array_equal(row, load_encoder(model_folder).encode(["the cat"])[0])


def test_a_name_that_nobody_has_is_an_error_and_nothing_is_installed(model_folder):
    before = list(TextEmbedding.EMBEDDINGS_REGISTRY)
    with pytest.raises(EncoderNotFoundError, match="nowhere"):
        install(names=[model_folder, "nowhere"])
    assert before == TextEmbedding.EMBEDDINGS_REGISTRY
    assert not FastEmbedMisc.is_supported_text_model(str(model_folder))


def test_names_are_a_list(model_folder):
    for one in (model_folder, str(model_folder)):
        with pytest.raises(ArgumentError, match=r"names: give a list of names: \['.*small'\]"):
            install(names=one)


def test_two_names_that_differ_in_case_only_are_refused(tmp_path):
    folders = [build_static_model(tmp_path / one / "m") for one in ("a", "A")]
    with pytest.raises(ArgumentError, match="differ in case only"):
        install(names=folders)
    assert not FastEmbedMisc.is_supported_text_model(str(folders[0]))


@pytest.mark.parametrize("there", [None, ()])
def test_another_fastembed_is_an_error_of_ours(monkeypatch, there):
    monkeypatch.setattr(TextEmbedding, "EMBEDDINGS_REGISTRY", there)
    with pytest.raises(IncompatiblePackageError, match="EMBEDDINGS_REGISTRY"):
        install()
    monkeypatch.undo()


def test_fastembed_lists_and_describes_the_models(name):
    sizes = {one["model"]: one["dim"] for one in TextEmbedding.list_supported_models()}
    assert sizes[name] == DIMENSION
    assert sizes["wordllama"] == 256
    if hasattr(TextEmbedding, "get_embedding_size"):  # not in fastembed 0.7.0
        assert TextEmbedding.get_embedding_size(name.upper()) == DIMENSION
    described = plugin.StaticModels._list_supported_models()
    assert {one.model: one.sources.hf for one in described} == {
        name: None,
        **{known: known if "/" in known else None for known in plugin.KNOWN_MODELS},
    }
    assert plugin.StaticModels.get_embedding_size(name) == DIMENSION
    with pytest.raises(ArgumentError, match=r"valid: .*wordllama"):
        plugin.StaticModels.get_embedding_size("other")


def test_the_known_dimension_of_the_offline_model_is_right(wordllama):
    assert plugin.KNOWN_MODELS[wordllama] == load_encoder(wordllama).info.dimension


def test_a_model_is_ours_also_where_fastembed_has_one_of_that_name(model_folder):
    install()
    model = TextEmbedding("minishlab/potion-base-8M", specific_model_path=str(model_folder))
    assert type(model.model) is plugin.StaticModels
    assert np.array_equal(
        np.stack(list(model.embed(TEXTS))), load_encoder(model_folder).encode(TEXTS)
    )


def test_the_rows_are_the_encoders(name):
    model = TextEmbedding(name)
    expected = load_encoder(name).encode(TEXTS)
    for rows in (
        model.embed(TEXTS),
        model.embed(iter(TEXTS), batch_size=2),
        model.query_embed(TEXTS, batch_size=3),
        model.passage_embed(TEXTS),
    ):
        assert np.array_equal(np.stack(list(rows)), expected)
    assert np.array_equal(next(iter(model.query_embed(TEXTS[1]))), expected[1])
    assert model.model.embedding_size == DIMENSION


def test_long_input_is_encoded_block_by_block(name, monkeypatch):
    monkeypatch.setattr(staticmodels, "_BLOCK", 2)
    rows = np.stack(list(TextEmbedding(name).embed(TEXTS)))
    assert np.array_equal(rows, load_encoder(name).encode(TEXTS))


@pytest.mark.parametrize("size", [1, 8, DIMENSION])
def test_a_size_is_a_prefix_renormalized(name, size):
    model = TextEmbedding(name, dimensions=size)
    rows = np.stack(list(model.embed(TEXTS)))
    assert rows.shape == (len(TEXTS), size)
    assert np.allclose(rows, truncate(load_encoder(name).encode(TEXTS), size), atol=1e-7)
    assert model.model.embedding_size == size


@pytest.mark.parametrize("size", [0, -1, DIMENSION + 1, "8", 8.0, True])
@pytest.mark.parametrize("lazy", [False, True])
def test_a_size_that_the_model_has_not_is_refused(name, size, lazy):
    with pytest.raises(ArgumentError, match=r"^dimensions of the model"):
        TextEmbedding(name, dimensions=size, lazy_load=lazy)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dimension": 8}, "^dimension of the model .* valid: dimensions, threads"),
        ({"providers": ["CUDAExecutionProvider"]}, "^providers .* is not supported"),
        ({"cuda": True}, "^cuda "),
        ({"device_ids": [0]}, "^device_ids "),
        ({"cache_dir": "elsewhere"}, "^cache_dir .* set HF_HOME"),
        ({"local_files_only": True}, "^local_files_only .* set HF_HUB_OFFLINE"),
        ({"threads": 0}, "^threads "),
    ],
)
def test_unsupported_options_are_refused(name, options, message):
    with pytest.raises(ArgumentError, match=message):
        TextEmbedding(name, **options)
    with pytest.raises(ArgumentError, match="embed"):
        list(TextEmbedding(name).model.embed(["a"], normalise=True))


def test_options_as_fastembed_itself_says_them_are_taken(name):
    for options in ({"cuda": False}, {"threads": 2}, {"providers": None, "device_ids": None}):
        assert len(list(TextEmbedding(name, **options).embed(TEXTS))) == len(TEXTS)


def test_a_lazy_model_is_loaded_at_its_first_use(name, monkeypatch):
    loaded: list[str] = []

    def load(path):
        loaded.append(path)
        return load_encoder(path)

    uninstall()
    monkeypatch.setattr(staticmodels, "load_encoder", load)
    plugin.install()
    staticmodels.INSTALLED.add({name: DIMENSION})
    model = TextEmbedding(name, lazy_load=True)
    assert loaded == []
    assert len(list(model.embed("the cat"))) == 1
    TextEmbedding(name, dimensions=8)
    assert loaded == [name]  # shared by all models of the name


def test_tokens_are_counted(name):
    assert TextEmbedding(name).model.token_count(TEXTS) == 10  # without the unknown "and"
    assert TextEmbedding(name).model.token_count("the cat") == 2


def test_what_is_no_text_is_an_error_of_ours(name):
    with pytest.raises(TextInputError, match="row 1"):
        list(TextEmbedding(name).embed(["a", 7]))


def test_any_encoder_can_be_installed(monkeypatch):
    monkeypatch.setattr(staticmodels, "load_encoder", lambda name: FakeEncoder(name))
    assert "mine" in install(names=["mine"])
    rows = np.stack(list(TextEmbedding("mine", dimensions=8, threads=1).embed(TEXTS)))
    assert np.allclose(rows, truncate(FakeEncoder().encode(TEXTS), 8))
    with pytest.raises(ArgumentError, match="token_count"):
        TextEmbedding("mine").model.token_count("a")


def test_queries_get_the_prefix_of_queries(tmp_path):
    settings = 'pooling = "mean"\nquery_prefix = "query : "\n'
    name = f"onnx:{write_folder(tmp_path / 'm', settings)}"
    encoder = load_encoder(name)
    assert name in install(names=[name])
    model = TextEmbedding(name)
    given = ["the cat", "moon"]
    queries = encoder.encode_queries(given)
    np.testing.assert_array_equal(list(model.embed(given)), encoder.encode(given))
    np.testing.assert_array_equal(list(model.query_embed(given, batch_size=2)), queries)
    np.testing.assert_array_equal(list(model.query_embed("moon")), queries[1:])
    short = list(TextEmbedding(name, dimensions=8).query_embed(given))
    np.testing.assert_allclose(short, truncate(queries, 8), atol=1e-6)
    with pytest.raises(ArgumentError, match=r"query_embed\(\).*'other'"):
        list(model.query_embed(given, other=1))


def test_a_static_models_queries_are_its_texts(name):
    model = TextEmbedding(name)
    np.testing.assert_array_equal(list(model.query_embed(TEXTS)), list(model.embed(TEXTS)))
