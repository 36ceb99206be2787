"""Heads: two files that shorten the vectors of any encoder, and ready ones."""

from __future__ import annotations

import json

import numpy as np
import pytest

from qdrant_static import load_encoder
from qdrant_static.encoders.base import Encoder
from qdrant_static.encoders.head import Head, load_head, save_head
from qdrant_static.encoders.headencoder import HeadEncoder
from qdrant_static.errors import (
    ArgumentError,
    EncoderNotFoundError,
    EncoderUnavailableError,
    InvalidModelError,
)
from qdrant_static.vectors import normalize, truncate
from tests.fakes import DIMENSION, FakeEncoder, build_static_model


def rotation(inputs: int = DIMENSION, outputs: int = 8) -> np.ndarray:
    square = np.random.default_rng(0).standard_normal((inputs, inputs))
    return np.linalg.qr(square)[0][:, :outputs].astype(np.float32)


def test_a_head_is_read_as_it_was_written(tmp_path):
    head = Head(matrix=rotation(), sizes=(8, 4), encoder="mine", card={"seed": 1})
    path = save_head(head, tmp_path / "a.json")
    found = load_head(path)
    assert np.array_equal(found.matrix, head.matrix)
    assert (found.sizes, found.encoder, found.card) == ((8, 4), "mine", {"seed": 1})
    assert found.fingerprint == head.fingerprint
    assert (tmp_path / "a.safetensors").is_file()


def test_the_first_columns_make_the_smaller_sizes():
    head = Head(matrix=rotation(), sizes=(8, 4))
    vectors = np.random.default_rng(1).standard_normal((5, DIMENSION)).astype(np.float32)
    short = head.apply(vectors)
    assert np.allclose(np.linalg.norm(short, axis=1), 1, atol=1e-6)
    assert np.allclose(truncate(short, 4), normalize(vectors @ head.matrix[:, :4]), atol=1e-6)
    assert not head.apply(np.zeros((1, DIMENSION), np.float32)).any()


def test_a_mean_is_subtracted_from_unit_vectors_and_kept_in_the_file(tmp_path):
    mean = np.linspace(-0.1, 0.1, DIMENSION).astype(np.float32)
    head = load_head(save_head(Head(matrix=rotation(), sizes=(8,), mean=mean), tmp_path / "a.json"))
    vectors = np.random.default_rng(1).standard_normal((5, DIMENSION)).astype(np.float32)
    expected = normalize((normalize(vectors) - mean) @ head.matrix)
    assert np.allclose(head.apply(3 * vectors), expected, atol=1e-6)
    assert not head.apply(np.zeros((1, DIMENSION), np.float32)).any()
    with pytest.raises(ArgumentError, match="mean"):
        Head(matrix=rotation(), sizes=(8,), mean=mean[:3])


def test_the_fingerprint_depends_on_the_matrix_the_mean_and_the_encoder():
    matrix = rotation()
    prints = {
        Head(matrix=matrix, sizes=(8,)).fingerprint,
        Head(matrix=-matrix, sizes=(8,)).fingerprint,
        Head(matrix=matrix, sizes=(8,), encoder_fingerprint="x").fingerprint,
        Head(matrix=matrix, sizes=(8,), mean=matrix[:, 0]).fingerprint,
    }
    assert len(prints) == 4


@pytest.mark.parametrize("sizes", [(), (4, 8), (8, 8), (9, 4), (4,), (8, 0)])
def test_sizes_must_fall_from_the_number_of_columns(sizes):
    with pytest.raises(ArgumentError, match="sizes"):
        Head(matrix=rotation(), sizes=sizes)


def test_a_matrix_must_be_finite():
    broken = rotation()
    broken[0, 0] = np.nan
    with pytest.raises(ArgumentError, match="matrix"):
        Head(matrix=broken, sizes=(8,))


def test_vectors_of_another_dimension_are_refused():
    with pytest.raises(ArgumentError, match=r"takes \(n, 32\)"):
        Head(matrix=rotation(), sizes=(8,)).apply(np.ones((2, 5), np.float32))


def test_a_head_loads_with_the_encoder_that_it_names(tmp_path):
    model = build_static_model(tmp_path / "model")
    inner = load_encoder(model)
    head = Head(
        matrix=rotation(), sizes=(8, 4),
        encoder=str(model), encoder_fingerprint=inner.info.fingerprint,
    )  # fmt: skip
    path = save_head(head, tmp_path / "a.json")
    encoder = load_encoder(f"head:{path}")
    assert isinstance(encoder, Encoder)
    assert encoder.info.dimension == 8
    assert encoder.info.name == f"head:{path}"
    assert encoder.info.fingerprint == head.fingerprint
    assert np.array_equal(encoder.encode(["cat sea"]), head.apply(inner.encode(["cat sea"])))


def test_queries_are_encoded_as_queries(tmp_path):
    class TwoSided(FakeEncoder):
        def encode_queries(self, texts):
            return self.encode([f"query {text}" for text in texts])

    inner = TwoSided()
    encoder = HeadEncoder(Head(matrix=rotation(), sizes=(8,)), inner, name="mine")
    expected = encoder.head.apply(inner.encode(["query cat"]))
    assert np.array_equal(encoder.encode_queries(["cat"]), expected)
    one_sided = HeadEncoder(encoder.head, FakeEncoder(), name="mine")
    assert np.array_equal(one_sided.encode_queries(["cat"]), one_sided.encode(["cat"]))


def test_another_encoder_than_the_heads_is_refused():
    head = Head(matrix=rotation(), sizes=(8,), encoder="fake", encoder_fingerprint="other")
    with pytest.raises(InvalidModelError, match="other"):
        HeadEncoder(head, FakeEncoder(), name="mine")
    with pytest.raises(InvalidModelError, match="takes 32 dimensions; 'fake' makes 16"):
        HeadEncoder(Head(matrix=rotation(), sizes=(8,)), FakeEncoder(dimension=16), name="mine")


def test_a_head_without_an_encoder_shortens_ready_vectors_and_encodes_no_text(tmp_path):
    path = save_head(Head(matrix=rotation(), sizes=(8,)), tmp_path / "a.json")
    encoder = load_encoder(f"head:{path}")
    assert encoder.from_ready(np.ones((2, DIMENSION), np.float32)).shape == (2, 8)
    with pytest.raises(EncoderUnavailableError, match="does not name the encoder"):
        encoder.encode(["cat"])
    with pytest.raises(ArgumentError, match="needs a name"):
        HeadEncoder(encoder.head)


def test_what_is_no_head_is_named(tmp_path):
    with pytest.raises(EncoderNotFoundError, match="no file"):
        load_encoder(f"head:{tmp_path / 'a.json'}")
    other = tmp_path / "other.json"
    other.write_text("{}")
    with pytest.raises(InvalidModelError, match="not the JSON file of a head"):
        load_head(other)
    with pytest.raises(ArgumentError, match="is not a head"):
        save_head(Head(matrix=rotation(), sizes=(8,)), other)
    with pytest.raises(ArgumentError, match=r"does not end in \.json"):
        save_head(Head(matrix=rotation(), sizes=(8,)), tmp_path / "a")


def test_files_that_do_not_fit_together_are_named(tmp_path):
    first = save_head(Head(matrix=rotation(), sizes=(8,)), tmp_path / "a.json")
    save_head(Head(matrix=-rotation(), sizes=(8,)), tmp_path / "b.json")
    (tmp_path / "b.safetensors").replace(tmp_path / "a.safetensors")
    with pytest.raises(InvalidModelError, match="not the matrix"):
        load_head(first)
    (tmp_path / "a.safetensors").unlink()
    with pytest.raises(InvalidModelError, match=r"a\.safetensors"):
        load_head(first)
    content = json.loads(first.read_text())
    first.write_text(json.dumps({**content, "version": 99}))
    with pytest.raises(InvalidModelError, match="99"):
        load_head(first)
