"""BM25's mean length: sampled, counted by the load, corrected before the index."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from qdrant_static import CollectionSpec, RunOptions, ingest
from qdrant_static.clients.scroll import pages
from qdrant_static.collection import updates
from qdrant_static.collection.bm25 import bm25_encoder
from qdrant_static.collection.create import read_spec
from qdrant_static.collection.spec import BM25, SparseSpec
from qdrant_static.ingestion import textstats
from qdrant_static.ledger.ledger import Ledger
from qdrant_static.ledger.runs import SAMPLED
from qdrant_static.migration.addvector import add_vector
from qdrant_static.reading import jsonl
from qdrant_static.reading import textsample as spreading
from qdrant_static.reading.options import SourceOptions
from tests.fakes import write_jsonl

ROWS = 60


def text(number: int) -> str:
    """Short texts first: what a sample of the beginning gives is wrong."""
    words = 2 if number < 20 else 12
    return " ".join(f"word{(number + n) % 17}" for n in range(words))


@pytest.fixture
def path(tmp_path, monkeypatch):
    monkeypatch.setattr(textstats, "SAMPLE_ROWS", 20)
    monkeypatch.setattr(jsonl, "MAX_ROWS", 10)
    rows = [{"id": number, "text": text(number)} for number in range(ROWS)]
    return write_jsonl(tmp_path / "a.jsonl", rows)


def true_mean() -> float:
    return sum(len(text(number).split()) for number in range(ROWS)) / ROWS


def assert_weights(client, collection: str, mean: float) -> None:
    spec = read_spec(client, collection)
    assert spec.sparse.mean_length == pytest.approx(mean)
    encoder = bm25_encoder(spec.sparse)
    points, _ = client.scroll(collection, limit=1000, with_payload=True, with_vectors=[BM25])
    assert len(points) == ROWS
    for point in points:
        wanted = encoder.encode_documents([point.payload["text"]]).row(0)
        found = point.vector[BM25]
        assert list(found.indices) == wanted.indices.tolist()
        np.testing.assert_allclose(found.values, wanted.values, atol=1e-6)


def test_a_sample_that_was_off_is_corrected_and_told(client, encoder, path):
    report = ingest(client, "c", path, encoder=encoder)
    told = "BM25's mean length is 2.0 terms by a sample, 8.7 by all texts (-77%)"
    assert any(note.startswith(told) for note in report.notes)
    assert_weights(client, "c", true_mean())
    again = ingest(client, "c", path, encoder=encoder, run_options=RunOptions(sync=True))
    assert (again.unchanged, again.notes) == (ROWS, ())


def test_a_mean_length_that_was_named_is_kept(client, encoder, path):
    spec = CollectionSpec.for_encoder(encoder, sparse=SparseSpec(mean_length=3.0))
    report = ingest(client, "c", path, encoder=encoder, spec=spec)
    assert report.notes == ()
    assert_weights(client, "c", 3.0)


def test_a_sample_that_is_little_off_is_told_and_kept(client, encoder, path, monkeypatch):
    monkeypatch.setattr(textstats, "CORRECTED", 0.9)
    report = ingest(client, "c", path, encoder=encoder)
    assert any(note.endswith("-77%, too little to matter") for note in report.notes)
    assert_weights(client, "c", 2.0)


@pytest.mark.parametrize("sync", [False, True])
def test_what_dies_in_the_correction_is_corrected_by_the_next_attempt(
    client, encoder, path, monkeypatch, sync
):
    monkeypatch.setattr(textstats, "pages", partial(pages, limit=10))
    real, calls = type(client).update_vectors, []

    def dies(self, collection, points, **options):
        calls.append(len(points))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(self, collection, points, **options)

    with monkeypatch.context() as patch:
        patch.setattr(type(client), "update_vectors", dies)
        with pytest.raises(KeyboardInterrupt):
            ingest(client, "c", path, encoder=encoder)
    assert read_spec(client, "c").sparse.mean_length == 2.0
    if sync:  # another job, of other rows
        path = write_jsonl(
            path.with_name("b.jsonl"), [{"id": n, "text": text(n)} for n in range(ROWS)]
        )
    report = ingest(client, "c", path, encoder=encoder, run_options=RunOptions(sync=sync))
    assert report.attempts == (1 if sync else 2)
    assert_weights(client, "c", true_mean())
    with Ledger(report.ledger) as ledger:
        assert SAMPLED not in ledger.notes


def test_a_vector_that_is_added_later_has_the_mean_length_of_all(
    client, encoder, path, monkeypatch
):
    spec = CollectionSpec.for_encoder(encoder, sparse=None)
    ingest(client, "c", path, encoder=encoder, spec=spec)
    monkeypatch.setattr(updates, "_SAMPLE", 20)
    monkeypatch.setattr(updates, "pages", partial(pages, limit=10))
    add_vector(client, "c", "bm25")
    assert_weights(client, "c", true_mean())


def test_a_sample_comes_from_all_over_the_input(client, encoder, tmp_path, monkeypatch):
    monkeypatch.setattr(spreading, "_PLACE_BYTES", 2_000)
    monkeypatch.setattr(spreading, "_SMALL_BYTES", 10_000)
    monkeypatch.setattr(textstats, "SAMPLE_ROWS", 100)
    rows = [{"id": n, "text": "word " * (2 if n < 1000 else 12)} for n in range(4000)]
    path = write_jsonl(tmp_path / "b.jsonl", rows)
    report = ingest(client, "c", path, encoder=encoder)
    assert not any("its weights are computed again" in note for note in report.notes)
    assert read_spec(client, "c").sparse.mean_length == pytest.approx(9.5, rel=0.05)


def test_ready_vectors_of_zeros_are_not_laid_to_the_encoder(client, encoder, tmp_path):
    size = encoder.info.dimension
    given = [{"id": n, "text": "a", "v": [float(n)] * size} for n in range(2)]
    path = write_jsonl(tmp_path / "a.jsonl", given)
    options = SourceOptions(vectors="v")
    report = ingest(client, "c", path, encoder=encoder, source_options=options)
    (note,) = report.notes
    assert note.startswith("ready vectors that are all zeros, and near to no query: 1; only BM25")


def test_texts_without_a_known_token_are_counted(client, tmp_path, model_folder):
    texts = ["zebra quagga", "the cat", "okapi"]
    path = write_jsonl(
        tmp_path / "a.jsonl", [{"id": n, "text": one} for n, one in enumerate(texts)]
    )
    report = ingest(client, "c", path, encoder=model_folder)
    assert report.zero_vectors == 2
    assert report.to_dict()["zero_vectors"] == 2
    told = "2 texts have no token that the encoder knows: their vectors are zeros; only BM25"
    assert told in str(report)
    assert ingest(client, "c", path, run_options=RunOptions(sync=True)).zero_vectors == 0
