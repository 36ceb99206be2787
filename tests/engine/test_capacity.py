"""What the plan says a collection takes, against what Edge really takes."""

from __future__ import annotations

import sys

import pytest

from benchmarks import capacity as measuring
from qdrant_static.collection.capacity import Corpus
from qdrant_static.collection.spec import CollectionSpec
from qdrant_static.collection.vectorspec import SparseSpec, VectorSpec
from qdrant_static.encoders.base import EncoderInfo

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="only Linux tells what pages a process holds"
)

DISK, MEMORY = 0.15, 0.20


def spec(*vectors: VectorSpec, **more) -> CollectionSpec:
    info = EncoderInfo(name="x", dimension=vectors[0].size, fingerprint="x")
    return CollectionSpec(encoder=info, vectors=vectors, **more)


def full(size: int, **more) -> VectorSpec:
    return VectorSpec(name="full", size=size, **more)


def check(folder, wanted: CollectionSpec, corpus: Corpus) -> None:
    found = measuring.measure(folder, wanted, corpus)
    assert abs(found.disk_error) <= DISK, found
    assert abs(found.ram_error) <= MEMORY, found


LAYOUTS = {
    "float32, graph": (
        spec(full(256)),
        Corpus(rows=12_000, payload_bytes=300, uuids=False),
    ),
    "one bit, originals on disk": (
        spec(full(1024, quantization="binary", placement="disk")),
        Corpus(rows=6_000, payload_bytes=300, uuids=False),
    ),
    "cascade, half floats": (
        spec(
            full(512, datatype="float16", hnsw=None),
            VectorSpec(name="mrl_128", size=128, quantization="turbo4"),
        ),
        Corpus(rows=12_000, payload_bytes=300, uuids=False),
    ),
    "int8, BM25, payload index": (
        spec(
            full(512, quantization="int8"),
            sparse=SparseSpec(),
            payload_indexes={"number": "integer"},
        ),
        Corpus(rows=8_000, payload_bytes=800, terms=40, uuids=False),
    ),
    "too few rows for an index": (
        spec(full(256, quantization="binary"), sparse=SparseSpec()),
        Corpus(rows=1_000, payload_bytes=500, uuids=False),
    ),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_the_plan_is_what_edge_takes(name, tmp_path):
    wanted, corpus = LAYOUTS[name]
    check(tmp_path, wanted, corpus)


@pytest.mark.full
@pytest.mark.parametrize(
    "more",
    [{}, {"quantization": "binary"}, {"quantization": "turbo4", "placement": "disk"}],
    ids=["float32", "one bit", "turbo4, originals on disk"],
)
def test_the_plan_for_a_hundred_thousand_of_1024_dimensions_is_what_edge_takes(more, tmp_path):
    corpus = Corpus(rows=100_000, payload_bytes=520, uuids=False)
    check(tmp_path, spec(full(1024, **more)), corpus)
