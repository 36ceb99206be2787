"""Every quantization x datatype x size that the engine accepts: created, filled, searched.

Recall is against brute force over the original float32 vectors, so a datatype's own loss is in
it. The bounds are what a layout must reach with its preset's oversampling; they are below what
was seen by a margin for another seed.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import pytest
from qdrant_client import models

from qdrant_static import EdgeClient
from qdrant_static.collection.fromparams import vector_spec
from qdrant_static.collection.params import vector_params
from qdrant_static.collection.presets import preset
from qdrant_static.collection.quantization import (
    BINARY_BITS,
    COMPRESSIONS,
    QUERY_BITS,
    TURBO_BITS,
    Binary,
    Product,
    Quantization,
    Scalar,
    Turbo,
)
from qdrant_static.collection.vectorform import stored_form
from qdrant_static.collection.vectorspec import DATATYPES, VectorSpec, uint8_scale
from qdrant_static.errors import ArgumentError

COUNT, QUERIES, LIMIT = 500, 15, 10
SIZES = (64, 256, 1024)
GROUPS: dict[str, list[Quantization]] = {
    "binary": [Binary(bits=bits, query_bits=query) for bits in BINARY_BITS for query in QUERY_BITS],
    "scalar and turbo": [Scalar(), *(Turbo(bits=bits) for bits in TURBO_BITS)],
    "product": [Product(compression=factor) for factor in COMPRESSIONS],
}
#: recall@10 that the codes leave, rescored, with the oversampling of the size's preset; the
#: first entry that matches holds.
BOUNDS: list[tuple[type, float, tuple[int, ...], float]] = [
    (Binary, 1.5, (64,), 0.84),
    (Turbo, 1, (64,), 0.86),
    (Binary, 2, (64, 256, 1024), 0.92),
    (Turbo, 2, (64, 256, 1024), 0.92),
]
#: recall@10 that a datatype leaves, whatever the codes.
STORED: dict[str, float] = {"float32": 1.0, "float16": 0.99, "uint8": 0.9, "turbo4": 0.92,
                            "turbo8": 0.98, "turbo16": 0.99}  # fmt: skip
#: What the engine takes, but what finds hits by chance until the index is built: we refuse it.
REFUSED = [
    ("uint8", Binary(bits=bits, query_bits=query)) for bits in BINARY_BITS for query in QUERY_BITS
] + [("uint8", Turbo(bits=1)), ("uint8", Turbo(bits=1.5))]


def slow(size: int, datatype: str, group: str) -> bool:
    """What only the long form tries: most of it, of which the short form has one size's cut."""
    if group == "product":
        return size > 64 or datatype != "float32"
    return size > 64 and datatype != "float32"


GRID = [
    pytest.param(
        size, datatype, group, marks=[pytest.mark.full] if slow(size, datatype, group) else []
    )
    for size in SIZES
    for datatype in DATATYPES
    for group in GROUPS
    if (datatype, group) != ("uint8", "binary")  # refused as a whole
]


@lru_cache
def rows(size: int) -> tuple[np.ndarray, np.ndarray, list[set[int]]]:
    """Points, queries and the queries' exact neighbors: clusters in 32 dimensions of the space."""
    random = np.random.default_rng(size)
    latent = random.standard_normal((25, 32))[random.integers(0, 25, COUNT + QUERIES)]
    latent = latent + 0.6 * random.standard_normal(latent.shape)
    matrix = latent @ random.standard_normal((32, size)) + 0.5 * random.standard_normal(
        (len(latent), size)
    )
    matrix = (matrix / np.linalg.norm(matrix, axis=1, keepdims=True)).astype(np.float32)
    points, queries = matrix[:COUNT], matrix[COUNT:]
    order = np.argsort(-(queries @ points.T), axis=1)[:, :LIMIT]
    return points, queries, [set(one.tolist()) for one in order]


def layout(name: str, size: int, datatype: Any, codes: Quantization | None) -> VectorSpec:
    uint8 = {"distance": "euclid", "scale": uint8_scale(size)} if datatype == "uint8" else {}
    return VectorSpec(
        name=name, size=size, datatype=datatype, quantization=codes, hnsw=None, **uint8
    )


def bound(size: int, datatype: str, codes: Quantization) -> float:
    promised = preset(size)
    if codes == promised.quantization:
        left = promised.promised_recall
    else:
        value = getattr(codes, "bits", getattr(codes, "compression", 0))
        left = next(
            (
                share
                for kind, limit, sizes, share in BOUNDS
                if isinstance(codes, kind) and size in sizes and value <= limit
            ),
            0.95,
        )
    return left - (1 - STORED[datatype])


def recalls(path, size, layouts, *, rescore=True) -> dict[str, float]:
    points, queries, truth = rows(size)
    with EdgeClient(path, index_after_load=False) as client:
        client.create_collection(
            "grid",
            {one.name: vector_params(one, tiers=True) for one in layouts},
            # Scalar and product codes come with an index alone: from one kilobyte on.
            optimizers_config=models.OptimizersConfigDiff(indexing_threshold=1),
        )
        info = client.get_collection("grid")
        for one in layouts:
            assert vector_spec(one.name, info, scale=one.scale) == one
        stored = stored_form(points, layouts[0])
        client.upload_collection(
            "grid", vectors={one.name: stored for one in layouts}, ids=range(COUNT)
        )
        client.optimize("grid")
        asked = models.SearchParams(
            quantization=models.QuantizationSearchParams(
                rescore=rescore, oversampling=preset(size).oversampling if rescore else None
            )
        )
        found = {}
        for one in layouts:
            hits = 0
            for query, near in zip(stored_form(queries, layouts[0]).tolist(), truth, strict=True):
                answer = client.query_points(
                    "grid", query=query, using=one.name, limit=LIMIT, search_params=asked
                )
                hits += len({point.id for point in answer.points} & near)
            found[one.name] = hits / (LIMIT * QUERIES)
    return found


@pytest.mark.parametrize(("size", "datatype", "group"), GRID)
def test_recall_is_what_the_layout_promises(tmp_path, size, datatype, group):
    codes = {
        str(number): one
        for number, one in enumerate(GROUPS[group])
        if (datatype, one) not in REFUSED
    }
    layouts = [layout(name, size, datatype, one) for name, one in codes.items()]
    found = recalls(tmp_path, size, layouts)
    short = {
        str(codes[name]): (recall, bound(size, datatype, codes[name]))
        for name, recall in found.items()
        if recall < bound(size, datatype, codes[name])
    }
    assert short == {}


@pytest.mark.parametrize("datatype", DATATYPES)
def test_a_datatype_alone_keeps_its_recall(tmp_path, datatype):
    found = recalls(tmp_path, 64, [layout("v", 64, datatype, None)])
    assert found["v"] >= STORED[datatype]


@pytest.mark.parametrize(("datatype", "codes"), REFUSED, ids=str)
def test_what_would_find_by_chance_is_refused(datatype, codes):
    with pytest.raises(ArgumentError, match="hits would be random"):
        layout("v", 64, datatype, codes)


def test_codes_are_really_what_is_searched(tmp_path):
    codes = [Binary(query_bits=1), Product(compression=64), Turbo(bits=1)]
    found = recalls(
        tmp_path, 64, [layout(str(n), 64, "float32", one) for n, one in enumerate(codes)],
        rescore=False,
    )  # fmt: skip
    assert max(found.values()) < 0.9
