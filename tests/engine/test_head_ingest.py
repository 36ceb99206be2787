"""A collection of a head: ready vectors are shortened at ingest, queries at search."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from qdrant_static import CollectionSpec, SourceOptions, connect, ingest, retry_rejects, search
from qdrant_static.encoders.head import Head, save_head
from qdrant_static.encoders.headencoder import HeadEncoder
from qdrant_static.errors import ArgumentError
from qdrant_static.vectors import truncate
from tests.fakes import DIMENSION, FakeEncoder


@pytest.fixture
def client(tmp_path):
    with connect(tmp_path / "data") as opened:
        yield opened


TEXTS = ["the red cat", "a blue whale", "bread and yeast", "the tide of the sea"]


@pytest.fixture
def head(tmp_path):
    square = np.random.default_rng(0).standard_normal((DIMENSION, DIMENSION))
    matrix = np.linalg.qr(square)[0][:, :16].astype(np.float32)
    return save_head(Head(matrix=matrix, sizes=(16, 8)), tmp_path / "head.json")


@pytest.fixture
def rows(tmp_path):
    path = tmp_path / "rows.parquet"
    vectors = FakeEncoder().encode(TEXTS).tolist()
    pq.write_table(pa.table({"id": [1, 2, 3, 4], "text": TEXTS, "openai": vectors}), path)
    return path


def test_ready_vectors_are_shortened_and_found_by_shortened_queries(client, head, rows):
    encoder = HeadEncoder(head, FakeEncoder())
    spec = CollectionSpec.for_encoder(encoder, matryoshka=(8,), sparse=None)
    options = SourceOptions(vectors="openai")
    report = ingest(
        client, "c", rows, key="id", text="text",
        encoder=f"head:{head}", spec=spec, source_options=options,
    )  # fmt: skip
    assert report.stored == 4
    (point,) = client.retrieve("c", [2], with_vectors=True)
    short = encoder.encode([TEXTS[1]])
    assert np.allclose(point.vector["full"], short[0], atol=1e-6)
    assert np.allclose(point.vector["mrl_8"], truncate(short, 8)[0], atol=1e-6)
    assert search(client, "c", "bread and yeast", encoder=encoder, limit=1)[0].id == 3


def test_ready_vectors_of_another_dimension_name_both(client, tmp_path, head):
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({"id": 1, "text": "a", "openai": [1.0] * 16}) + "\n")
    with pytest.raises(ArgumentError, match="have 16 dimensions, not 32"):
        ingest(
            client, "c", path, key="id", text="text",
            encoder=f"head:{head}", source_options=SourceOptions(vectors="openai"),
        )  # fmt: skip


def test_a_rejected_row_is_retried_with_its_whole_vector(client, tmp_path, head):
    path = tmp_path / "rows.jsonl"
    good = {"id": 1, "text": "a", "openai": [1.0] * DIMENSION}
    path.write_text("".join(json.dumps(row) + "\n" for row in (good, {**good, "id": None})))
    report = ingest(
        client, "c", path, key="id", text="text",
        encoder=f"head:{head}", source_options=SourceOptions(vectors="openai"),
    )  # fmt: skip
    assert (report.stored, report.rejected) == (1, {"null_key": 1})
    found = json.loads(report.rejects_path.read_text())
    found["value"]["id"] = 2
    corrected = tmp_path / "corrected.jsonl"
    corrected.write_text(json.dumps(found) + "\n")
    again, _ = retry_rejects(client, "c", corrected)
    assert again.stored == 1
    one, two = client.retrieve("c", [1, 2], with_vectors=True)
    assert np.allclose(one.vector["full"], two.vector["full"])
