"""The late-interaction vector is filled behind the points, and its model is checked first."""

from __future__ import annotations

import numpy as np
import pytest

from qdrant_static import CollectionSpec, ingest, search
from qdrant_static.collection.spec import LateSpec
from qdrant_static.encoders.base import EncoderInfo
from qdrant_static.errors import ArgumentError, EncoderMismatchError, EncoderNotFoundError
from tests.fakes import write_jsonl

TEXTS = ("red fish in the sea", "a slow ship", "moon and tide", "bread of yeast")


class WordRows:
    """One row a word: a unit vector of the word's own direction."""

    def __init__(self, name: str = "fastembed:words", size: int = 16) -> None:
        self.info = EncoderInfo(name=name, dimension=size, fingerprint=name)

    def encode(self, texts) -> list[np.ndarray]:
        return [np.stack([self._row(word) for word in text.split()]) for text in texts]

    encode_queries = encode

    def _row(self, word: str) -> np.ndarray:
        row = np.random.default_rng(list(word.encode())).standard_normal(self.info.dimension)
        return np.asarray(row / np.linalg.norm(row), np.float32)


@pytest.fixture
def path(tmp_path):
    return write_jsonl(
        tmp_path / "a.jsonl", [{"id": n, "text": text} for n, text in enumerate(TEXTS)]
    )


@pytest.fixture
def spec(encoder) -> CollectionSpec:
    late = LateSpec(encoder="words", size=16, datatype="float32")
    return CollectionSpec.for_encoder(encoder, late=late)


def test_every_point_gets_its_rows(client, encoder, path, spec):
    report = ingest(client, "c", path, spec=spec, encoder=encoder, late_encoder=WordRows())
    assert (report.read, report.stored) == (4, 4)
    for point in client.retrieve("c", [0, 1, 2, 3], with_vectors=["late"]):
        wanted = WordRows().encode([TEXTS[point.id]])[0]
        np.testing.assert_allclose(point.vector["late"], wanted, atol=1e-6)
    (hit,) = search(
        client, "c", "slow ship", encoder=encoder, late_encoder=WordRows(), plan="late", limit=1
    )
    assert hit.key == 1
    assert hit.score == pytest.approx(2.0, abs=1e-5)  # both words are there as they are


@pytest.mark.parametrize(
    ("late", "error"),
    [
        (WordRows("fastembed:others"), EncoderMismatchError),
        (WordRows(size=8), ArgumentError),
        (None, EncoderNotFoundError),
    ],
)
def test_a_model_that_does_not_fit_is_found_before_anything_is_made(
    client, encoder, path, spec, late, error
):
    with pytest.raises(error):
        ingest(client, "c", path, spec=spec, encoder=encoder, late_encoder=late)
    assert not client.collection_exists("c")
