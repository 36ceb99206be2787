"""fastembed's models as encoders of ours: its interface faked, and one small real model."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from fastembed import LateInteractionTextEmbedding, TextEmbedding
from fastembed.rerank.cross_encoder import TextCrossEncoder

from qdrant_static import load_encoder
from qdrant_static.encoders import fastembed as wrapped
from qdrant_static.encoders.base import (
    CrossEncoder,
    Encoder,
    LateInteractionEncoder,
    QueryEncoder,
)
from qdrant_static.encoders.fastembed import (
    FastembedCrossEncoder,
    FastembedEncoder,
    FastembedLateInteraction,
)
from qdrant_static.errors import (
    ArgumentError,
    EncoderNotFoundError,
    EncoderUnavailableError,
    InvalidModelError,
    TextInputError,
)
from tests.fakes import DIMENSION
from tests.onnxmodels import write_model

TEXTS = ["one two", "", "three"]


class FakeDense:
    """What is used of ``TextEmbedding``."""

    def __init__(self, scale: float = 1.0, *, bad: Any = None) -> None:
        self.scale, self.bad, self.batches = scale, bad, []

    def embed(self, documents: Iterable[str], batch_size: int = 256) -> Iterator[Any]:
        self.batches.append(batch_size)
        for text in documents:
            if text == "bad":
                yield from () if self.bad is None else (self.bad,)
                continue
            row = np.array([len(text) + 1.0, 1.0, 0.0], np.float64)
            yield self.scale * row / np.linalg.norm(row)


class FakeAsymmetric(FakeDense):
    """A dense model that encodes queries differently."""

    def query_embed(self, query: Iterable[str], batch_size: int = 256) -> Iterator[Any]:
        self.batches.append(-batch_size)
        yield from (np.array([0.0, 0.0, len(text)]) for text in query)


class FakeLate:
    """What is used of ``LateInteractionTextEmbedding``."""

    def embed(self, documents: Iterable[str], batch_size: int = 256) -> Iterator[Any]:
        for text in documents:
            yield np.tile([0.6, 0.8], (1 + len(text.split()), 1))

    def query_embed(self, query: Iterable[str], batch_size: int = 256) -> Iterator[Any]:
        for _ in query:
            yield np.tile([0.0, 1.0], (32, 1))


class FakeCross:
    """What is used of ``TextCrossEncoder``."""

    def rerank(self, query: str, documents: Iterable[str], batch_size: int = 64) -> Iterator[float]:
        for text in documents:
            yield float("nan") if text == "bad" else float(len({*query.split()} & {*text.split()}))


@pytest.mark.parametrize(
    ("fake", "real", "methods"),
    [
        (FakeDense, TextEmbedding, ["embed"]),
        (FakeAsymmetric, TextEmbedding, ["query_embed"]),
        (FakeLate, LateInteractionTextEmbedding, ["embed", "query_embed"]),
        (FakeCross, TextCrossEncoder, ["rerank"]),
    ],
)
def test_the_fakes_take_what_fastembed_takes(fake, real, methods):
    for method in methods:
        ours = list(inspect.signature(getattr(fake, method)).parameters)
        theirs = list(inspect.signature(getattr(real, method)).parameters)
        assert [one for one in theirs if one in ours] == [one for one in ours if one in theirs]
        assert ours[:2] == theirs[:2]
        assert "batch_size" in theirs or "kwargs" in theirs


def test_a_dense_model_is_an_encoder():
    model = FakeDense()
    encoder = FastembedEncoder(model, name="fastembed:some/model", batch_size=7)
    assert isinstance(encoder, Encoder)
    assert (encoder.info.name, encoder.info.dimension) == ("fastembed:some/model", 3)
    assert encoder.info.normalized
    rows = encoder.encode(TEXTS)
    assert rows.dtype == np.float32
    assert np.allclose(rows[:, 0] / rows[:, 1], [8, 1, 6])
    assert model.batches[-1] == 7
    assert np.array_equal(encoder.encode(pa.array(["one two", None, "three"])), rows)
    assert encoder.encode([]).shape == (0, 3)
    assert not FastembedEncoder(FakeDense(2.0), name="m").info.normalized


def test_a_dense_model_encodes_queries_by_its_own_method_and_is_the_same_encoder():
    model = FakeAsymmetric()
    encoder = FastembedEncoder(model, name="m", batch_size=7)
    assert isinstance(encoder, QueryEncoder)
    rows = encoder.encode_queries(["one", "two words"])
    assert (rows.dtype, rows.tolist()) == (np.float32, [[0, 0, 3], [0, 0, 9]])
    assert model.batches[-1] == -7
    assert encoder.encode_queries([]).shape == (0, 3)
    plain = FastembedEncoder(FakeDense(), name="m")
    np.testing.assert_array_equal(plain.encode_queries(TEXTS), plain.encode(TEXTS))
    assert plain.info == encoder.info


@pytest.mark.parametrize(("dynamic", "size"), [(True, 1), (False, 32)])
def test_a_dense_model_with_dynamic_quantization_takes_one_text_at_a_time(tmp_path, dynamic, size):
    write_model(tmp_path / "q.onnx", dynamic=dynamic)
    model = FakeDense()
    described = SimpleNamespace(model_file="q.onnx", additional_files=[])
    model.model = SimpleNamespace(_model_dir=tmp_path, model_description=described)  # type: ignore[attr-defined]
    FastembedEncoder(model, name="m").encode(TEXTS)
    assert model.batches[-1] == size


def test_a_late_interaction_model_gives_a_matrix_per_text():
    encoder = FastembedLateInteraction(FakeLate(), name="late")
    assert isinstance(encoder, LateInteractionEncoder)
    assert (encoder.info.name, encoder.info.dimension) == ("fastembed:late", 2)
    assert encoder.info.normalized
    documents = encoder.encode(TEXTS)
    assert [one.shape for one in documents] == [(3, 2), (1, 2), (2, 2)]
    assert {one.dtype for one in documents} == {np.dtype(np.float32)}
    assert [one.shape for one in encoder.encode_queries(TEXTS[:2])] == [(32, 2)] * 2
    assert encoder.encode([]) == encoder.encode_queries([]) == []


def test_a_cross_encoder_scores_texts():
    encoder = FastembedCrossEncoder(FakeCross(), name="cross")
    assert isinstance(encoder, CrossEncoder)
    assert encoder.info.name == "fastembed:cross"
    scores = encoder.scores("one three", TEXTS)
    assert scores.dtype == np.float32
    assert scores.tolist() == [1, 0, 1]
    assert encoder.scores("one", []).shape == (0,)
    for query, texts in ((3, TEXTS), ("one", "two"), ("one", ["a", None])):
        with pytest.raises(TextInputError):
            encoder.scores(query, texts)  # type: ignore[arg-type]
    with pytest.raises(InvalidModelError, match="not finite"):
        encoder.scores("one", ["bad"])


@pytest.mark.parametrize(
    ("bad", "problem"),
    [
        (None, "1 results for 2 texts"),
        (np.array([1.0, np.nan, 0.0]), "not finite"),
        (np.ones((2, 3)), r"shape \(2, 3\)"),
        (np.ones(0), r"shape \(0,\)"),
    ],
)
def test_a_result_that_is_no_vector_is_an_error(bad, problem):
    encoder = FastembedEncoder(FakeDense(bad=bad), name="m")
    with pytest.raises(InvalidModelError, match=problem):
        encoder.encode(["a", "bad"])


@pytest.mark.parametrize("kind", [FastembedEncoder, FastembedLateInteraction])
def test_a_batch_of_nothing_is_refused(kind):
    with pytest.raises(ArgumentError, match="batch_size"):
        kind(FakeLate(), name="m", batch_size=0)


def test_a_model_of_the_wrong_kind_is_refused():
    with pytest.raises(InvalidModelError, match="shape"):
        FastembedEncoder(FakeLate(), name="m")
    with pytest.raises(InvalidModelError, match="shape"):
        FastembedLateInteraction(FakeDense(), name="m")


@pytest.mark.parametrize(
    "load", [wrapped.load_dense, wrapped.load_late_interaction, wrapped.load_cross_encoder]
)
def test_an_unknown_name_is_an_error_that_lists_the_known(load):
    with pytest.raises(EncoderNotFoundError, match=r"fastembed's .* has no such model") as caught:
        load("fastembed:nobody/nothing")
    assert caught.value.name == "fastembed:nobody/nothing"
    assert caught.value.known
    assert all(name.startswith("fastembed:") for name in caught.value.known)


@pytest.mark.parametrize(
    ("load", "kind", "name"),
    [
        (load_encoder, "TextEmbedding", "fastembed:BAAI/bge-small-en-v1.5"),
        (wrapped.load_late_interaction, "LateInteractionTextEmbedding", "colbert-ir/colbertv2.0"),
        (wrapped.load_cross_encoder, "TextCrossEncoder", "Xenova/ms-marco-MiniLM-L-6-v2"),
    ],
)
def test_a_download_that_fails_is_an_error_of_ours(load, kind, name, monkeypatch):
    real = {
        "TextEmbedding": TextEmbedding,
        "LateInteractionTextEmbedding": LateInteractionTextEmbedding,
        "TextCrossEncoder": TextCrossEncoder,
    }[kind]

    def fail(self: Any, *_: Any, **__: Any) -> None:
        raise ValueError("Could not load the model from any source.\nsecond line")

    monkeypatch.setattr(real, "__init__", fail)
    with pytest.raises(EncoderUnavailableError, match="from any source") as caught:
        load(name)
    assert caught.value.name == "fastembed:" + name.removeprefix("fastembed:")
    assert "second line" not in caught.value.message
    assert isinstance(caught.value.__cause__, ValueError)


def test_a_real_model_of_fastembeds_loads_from_a_folder(model_folder: Path):
    if "minishlab/potion-base-8M" not in {
        m["model"] for m in TextEmbedding.list_supported_models()
    }:
        pytest.skip("this version of fastembed has no static model to test with")
    name = "minishlab/potion-base-8M"
    encoder = wrapped.load_dense(name, specific_model_path=str(model_folder))
    assert encoder.info.dimension == DIMENSION
    rows = encoder.encode(["the cat", "a fish in the sea"])
    ours = load_encoder(model_folder).encode(["the cat", "a fish in the sea"])
    assert np.allclose(rows, ours, atol=1e-6)
    again = wrapped.load_dense(name, specific_model_path=str(model_folder))
    assert again.info == encoder.info
    by_name = FastembedEncoder(FakeDense(), name=name)
    assert by_name.info.fingerprint != encoder.info.fingerprint  # the files count
