"""TableModel and its folders: the vectors of model2vec, and folders that are ours alone."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from qdrant_static import load_encoder
from qdrant_static.encoders.loading import from_model2vec, load_folder
from qdrant_static.encoders.modelcard import read_card
from qdrant_static.encoders.static import StaticEncoder
from qdrant_static.errors import ArgumentError
from qdrant_static.training.modelfolder import save_model
from qdrant_static.training.tablemodel import TableModel
from tests.fakes import FakeEncoder, build_static_model, shared_path

TEXTS = [
    "the cat in the sea", "whale whale ship moon", "nothing known: zzz qqq", "", "a",
    "red blue fast slow one two row number text title bread yeast lava ash",
]  # fmt: skip


def model_of(folder: Path, **options: object) -> TableModel:
    return TableModel.from_encoder(from_model2vec(build_static_model(folder, **options)))


@pytest.mark.parametrize("options", [{}, {"quantized": True}, {"kind": "wordpiece"}])
def test_the_vectors_are_those_of_the_parent(tmp_path: Path, options: dict) -> None:
    folder = build_static_model(tmp_path / "m", **options)
    model = TableModel.from_encoder(from_model2vec(folder))
    np.testing.assert_allclose(model.vectors(TEXTS), load_folder(folder).encode(TEXTS), atol=1e-6)
    assert model.parent == str(folder)
    assert model.parent_fingerprint == load_folder(folder).info.fingerprint


def test_counts_are_shares_in_order(tmp_path: Path) -> None:
    model = model_of(tmp_path / "m")
    counts = model.counts(TEXTS)
    assert counts.dtype == np.float32
    assert counts.shape == (len(TEXTS), model.rows)
    np.testing.assert_allclose(counts.sum(1), [1, 1, 0, 0, 1, 1], atol=1e-6)
    row = counts[[0]]
    assert row.indices.tolist() == sorted(row.indices.tolist())
    assert row.data.max() == pytest.approx(2 / 5)


@pytest.mark.parametrize("options", [{}, {"quantized": True}, {"max_length": 3}])
@pytest.mark.parametrize("dtype", ["float32", "float16", "int8"])
def test_a_saved_model_loads_everywhere(tmp_path: Path, options: dict, dtype: str) -> None:
    from model2vec import StaticModel

    model = model_of(tmp_path / "m", **options)
    folder = tmp_path / "made" / "new"
    fingerprint = save_model(model, folder, {"recipe": "none", "seed": 3}, dtype=dtype)
    loaded = load_encoder(str(folder))
    assert loaded.info.fingerprint == fingerprint
    assert loaded.info.dtype == dtype
    ours = loaded.encode(TEXTS)
    theirs = StaticModel.from_pretrained(folder, force_download=False).encode(TEXTS)
    close = {"float32": 1e-6, "float16": 1e-3, "int8": 2e-2}[dtype]
    np.testing.assert_allclose(ours, theirs, atol=1e-6 if dtype != "float16" else 1e-3)
    np.testing.assert_allclose(ours, model.vectors(TEXTS), atol=close)
    card = read_card(folder)
    assert card is not None
    assert (card["recipe"], card["seed"], card["fingerprint"]) == ("none", 3, fingerprint)
    assert card["parent_fingerprint"] == model.parent_fingerprint
    assert card["versions"]["numpy"] == np.__version__


def test_token_ids_with_gaps(tmp_path: Path) -> None:
    from model2vec import StaticModel
    from tokenizers import Tokenizer, models, pre_tokenizers

    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0, "cat": 2, "sea": 5}, unk_token="[UNK]"))  # noqa: S106
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    table = np.arange(24, dtype=np.float32).reshape(6, 4)
    model = TableModel(table=table, tokenizer=tokenizer, parent="p", parent_fingerprint="f")
    save_model(model, tmp_path / "new", {})
    texts = ["cat", "sea", "cat sea"]
    theirs = StaticModel.from_pretrained(tmp_path / "new", force_download=False).encode(texts)
    np.testing.assert_allclose(theirs, model.vectors(texts), atol=1e-6)
    np.testing.assert_allclose(load_folder(tmp_path / "new").encode(texts), theirs, atol=1e-6)


def test_only_folders_of_ours_are_replaced(tmp_path: Path) -> None:
    model = model_of(tmp_path / "m")
    before = (tmp_path / "m" / "model.safetensors").read_bytes()
    with pytest.raises(ArgumentError, match="did not write; name another folder"):
        save_model(model, tmp_path / "m", {})
    assert (tmp_path / "m" / "model.safetensors").read_bytes() == before
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ArgumentError, match="is not a folder"):
        save_model(model, tmp_path / "file", {})
    (tmp_path / "new").mkdir()  # an empty folder is taken
    first = save_model(model, tmp_path / "new", {"n": 1})
    second = save_model(model.with_table(model.table[:, :8]), tmp_path / "new", {"n": 2})
    assert first != second
    assert load_folder(tmp_path / "new").info.dimension == 8
    assert (read_card(tmp_path / "new") or {})["n"] == 2
    assert {path.name for path in tmp_path.iterdir()} == {"m", "file", "new"}


def test_a_card_that_is_no_plain_data_writes_nothing(tmp_path: Path) -> None:
    model = model_of(tmp_path / "m")
    with pytest.raises(ArgumentError, match="card: is not plain data"):
        save_model(model, tmp_path / "new", {"model": object()})
    with pytest.raises(ArgumentError, match="not finite"):
        save_model(model.with_table(model.table * np.float32(np.nan)), tmp_path / "new", {})
    assert {path.name for path in tmp_path.iterdir()} == {"m"}
    assert read_card(tmp_path / "new") is None
    (tmp_path / "m" / "card.json").write_text(json.dumps({"format": "another"}))
    with pytest.raises(ArgumentError, match="files that training did not write"):
        save_model(model, tmp_path / "m", {})


def test_models_that_cannot_be_trained(tmp_path: Path) -> None:
    model = model_of(tmp_path / "m")
    prompted = StaticEncoder(
        table=model.table, tokenizer=model.tokenizer, name="p", normalize=True, prompt="query: "
    )
    with pytest.raises(ArgumentError, match="puts 'query: ' before every text"):
        TableModel.from_encoder(prompted)
    with pytest.raises(ArgumentError, match="FakeEncoder is not a static model"):
        TableModel.from_encoder(FakeEncoder())  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="one row for each token id"):
        model.with_table(model.table[:-1])
    summed = StaticEncoder(
        table=model.table, tokenizer=model.tokenizer, name="p", normalize=True, pooling="sum"
    )
    np.testing.assert_allclose(
        TableModel.from_encoder(summed).vectors(TEXTS), summed.encode(TEXTS), atol=1e-6
    )


def test_wordllama_keeps_its_vectors(tmp_path: Path, wordllama: str) -> None:
    from model2vec import StaticModel

    encoder = load_encoder(wordllama)
    assert isinstance(encoder, StaticEncoder)
    model = TableModel.from_encoder(encoder)
    texts = [*TEXTS, "The quick brown fox, \u00e9t\u00e9 2026 \u4e2d\u6587"]
    np.testing.assert_allclose(model.vectors(texts), encoder.encode(texts), atol=1e-6)
    save_model(model, tmp_path / "w", {})
    theirs = StaticModel.from_pretrained(tmp_path / "w", force_download=False).encode(texts)
    np.testing.assert_allclose(load_folder(tmp_path / "w").encode(texts), theirs, atol=1e-6)


def test_potion_keeps_its_vectors(tmp_path: Path) -> None:
    encoder = load_folder(shared_path("models", "potion-base-2M"))
    model = TableModel.from_encoder(encoder)
    save_model(model, tmp_path / "p", {})
    np.testing.assert_allclose(
        load_folder(tmp_path / "p").encode(TEXTS), encoder.encode(TEXTS), atol=1e-6
    )
