"""An existing collection as a source: the same points come out, in the order of their ids."""

from __future__ import annotations

import numpy as np
import pytest
from qdrant_client import models

from qdrant_static import CollectionSpec, ingest
from qdrant_static.errors import ArgumentError, CollectionNotFoundError, ColumnNotFoundError
from qdrant_static.ids import point_id
from qdrant_static.reading.fromcollection import open_collection_source
from qdrant_static.reading.options import SourceOptions
from tests.fakes import DIMENSION, FakeEncoder, write_jsonl

ROWS = 2345


@pytest.fixture
def filled(client, tmp_path):
    """A collection of ours with string keys."""
    path = write_jsonl(
        tmp_path / "a.jsonl",
        [{"doi": f"10.1/{n}", "title": f"row {n}", "text": "cat", "n": n} for n in range(ROWS)],
    )
    spec = CollectionSpec.for_encoder(FakeEncoder(), sparse=None)
    ingest(client, "old", path, spec=spec, encoder=FakeEncoder(), key="doi")
    return client


def test_every_point_comes_once_with_its_id_payload_and_text(filled):
    source = open_collection_source(filled, "old")
    assert (source.total_rows, source.files) == (ROWS, ())
    items = list(source)
    keys = [key for item in items for key in item.keys]
    assert sorted(keys) == sorted(point_id(f"10.1/{n}") for n in range(ROWS))
    assert [point_id(key) for key in keys] == keys
    assert [p for item in items for p in item.positions] == list(range(ROWS))
    assert [item.start for item in items] == [0, *(item.stop for item in items[:-1])]
    rows = {row["doi"]: row for item in items for row in item.payloads}
    assert rows["10.1/7"] == {"doi": "10.1/7", "title": "row 7", "text": "cat", "n": 7}
    assert items[0].texts[0].as_py() == items[0].payloads[0]["title"] + " cat"
    assert source.selection.fields.key == "doi"


def test_settled_points_are_passed_over(filled):
    source = open_collection_source(filled, "old")
    whole = [key for item in source for key in item.keys]
    done = [(100, 300), (1000, 1001), (2000, ROWS)]
    rest = list(source.batches({"collection:old": done}))
    expected = [k for at, k in enumerate(whole) if not any(a <= at < b for a, b in done)]
    assert [key for item in rest for key in item.keys] == expected
    assert all(not (item.start < b and a < item.stop) for item in rest for a, b in done)
    assert list(source.batches({"collection:old": [(0, ROWS)]})) == []


def test_vectors_can_be_taken_along(filled):
    source = open_collection_source(filled, "old", options=SourceOptions(vectors="full"))
    assert source.selection.dimension == DIMENSION
    (first, *_) = source
    assert (first.vectors.shape, first.vectors.dtype) == ((len(first), DIMENSION), np.float32)
    (point,) = filled.retrieve("old", [first.keys[5]], with_vectors=True)
    assert first.vectors[5] == pytest.approx(np.array(point.vector["full"], np.float32))


def test_text_and_payload_may_be_chosen(filled):
    options = SourceOptions(template="{title}!", payload=("n",), rename={"title": "t"})
    (first, *_) = open_collection_source(filled, "old", options=options)
    row = first.payloads[0]
    assert set(row) == {"doi", "n", "t"}
    assert first.texts[0].as_py() == f"row {row['n']}!"


def test_points_without_text_are_rejects(client):
    client.create_collection("plain", models.VectorParams(size=2, distance=models.Distance.COSINE))
    client.upsert(
        "plain",
        [
            models.PointStruct(id=1, vector=[1, 0], payload={"body": "a", "x": 1}),
            models.PointStruct(id=2, vector=[0, 1], payload={"x": 2}),
            models.PointStruct(id=3, vector=[1, 1], payload=None),
        ],
    )
    with pytest.raises(ArgumentError, match="text"):
        open_collection_source(client, "plain")
    (batch,) = open_collection_source(
        client, "plain", options=SourceOptions(text=("body",), vectors="")
    )
    # Beside a vector a text may be missing.
    assert (batch.keys, batch.texts.to_pylist()) == ([1, 2, 3], ["a", "", ""])
    assert batch.vectors[0].tolist() == [1, 0]
    (batch,) = open_collection_source(client, "plain", options=SourceOptions(text=("body",)))
    assert (batch.keys, [one.position for one in batch.rejects]) == ([1], [1, 2])


def test_what_cannot_be_is_an_error(filled):
    with pytest.raises(CollectionNotFoundError):
        open_collection_source(filled, "none")
    with pytest.raises(ArgumentError, match="keep their ids"):
        open_collection_source(filled, "old", options=SourceOptions(key=("doi",)))
    with pytest.raises(ColumnNotFoundError, match="'abstract'"):
        open_collection_source(filled, "old", options=SourceOptions(text=("abstract",)))


def test_more_points_change_the_fingerprint(filled):
    source = open_collection_source(filled, "old")
    before = source.fingerprints()
    assert source.fingerprints() == before
    filled.delete("old", models.PointIdsList(points=[point_id("10.1/0")]))
    assert source.fingerprints() != before


def test_an_empty_collection_gives_nothing(client):
    client.create_collection("e", models.VectorParams(size=2, distance=models.Distance.COSINE))
    assert list(open_collection_source(client, "e")) == []
