"""The bytes of vectors and codes, against the files that the engine writes."""

from __future__ import annotations

import numpy as np
import pytest
from qdrant_client import models

from qdrant_static import EdgeClient
from qdrant_static.collection.params import vector_params
from qdrant_static.collection.quantization import SHORT_NAMES
from qdrant_static.collection.vectorspec import VectorSpec

ROWS = 300


def file_sizes(folder, vector: VectorSpec) -> dict[str, int]:
    """Sizes of the files of an indexed collection with `ROWS` vectors, by name."""
    matrix = np.random.default_rng(0).standard_normal((ROWS, vector.size), dtype=np.float32)
    with EdgeClient(folder, index_after_load=False) as client:
        client.create_collection(
            "c",
            {"": vector_params(vector, tiers=True)},
            optimizers_config=models.OptimizersConfigDiff(indexing_threshold=1),
        )
        client.upload_collection("c", vectors={"": matrix}, ids=range(ROWS))
        client.optimize("c")
        client.flush("c")
        return {file.name: file.stat().st_size for file in folder.rglob("*") if file.is_file()}


@pytest.mark.parametrize("size", [64, 100])
@pytest.mark.parametrize("name", ["binary", "binary1.5", "int8", "turbo1", "turbo4", "turbo8"])
def test_a_code_takes_as_many_bytes_as_it_says(tmp_path, name, size):
    """A one-bit code of 64 dimensions is 16 bytes: codes are filled to words of 128 bits."""
    vector = VectorSpec(name="", size=size, quantization=SHORT_NAMES[name], hnsw=None)
    sizes = file_sizes(tmp_path, vector)
    assert sizes["quantized.data"] == ROWS * vector.code_bytes


@pytest.mark.parametrize("datatype", ["float32", "float16", "turbo4", "turbo16"])
def test_an_original_takes_as_many_bytes_as_it_says(tmp_path, datatype):
    vector = VectorSpec(name="", size=100, datatype=datatype, hnsw=None)
    sizes = file_sizes(tmp_path, vector)
    header = 4 if datatype.startswith("float") else 0
    name = "matrix.dat" if datatype.startswith("float") else "tq_vectors.dat"
    assert sizes[name] == ROWS * vector.bytes + header
