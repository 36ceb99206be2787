"""The engine's models as specs: what `params` wrote, `reading` reads back."""

from __future__ import annotations

import pytest
from qdrant_client import models

from qdrant_static.collection.fromparams import quantization, vector_spec
from qdrant_static.collection.params import vector_params
from qdrant_static.collection.quantization import SHORT_NAMES, Binary, Product, Scalar, Turbo
from qdrant_static.collection.vectorspec import Hnsw, VectorSpec

KINDS = [
    *SHORT_NAMES.values(), None, Binary(bits=1.5, query_bits=4), Binary(query_bits=1),
    Scalar(quantile=None), Scalar(quantile=0.95),
]  # fmt: skip


def info(vectors, **values) -> models.CollectionInfo:
    return models.CollectionInfo.model_construct(
        payload_schema={},
        config=models.CollectionConfig.model_construct(
            params=models.CollectionParams(vectors=vectors),
            hnsw_config=models.HnswConfig(m=16, ef_construct=100, full_scan_threshold=10_000),
            quantization_config=values.get("quantization"),
            metadata=None,
        ),
    )


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("datatype", ["float32", "float16", "turbo8"])
def test_a_vector_is_read_as_it_was_written(kind, datatype):
    for hnsw in (None, Hnsw(m=8, ef_construct=64, placement="disk"), Hnsw()):
        for place in ("ram", "cached", "disk"):
            vector = VectorSpec(
                name="v", size=8, distance="dot", datatype=datatype, placement=place,
                hnsw=hnsw, quantization=kind, codes="ram" if kind is None else place,
            )  # fmt: skip
            given = info({"v": vector_params(vector, tiers=True)})
            assert vector_spec("v", given) == vector


def test_without_tiers_on_disk_is_all_that_is_known():
    vector = VectorSpec(name="v", size=8, placement="disk", quantization=Binary(), codes="disk")
    assert vector_spec("v", info({"v": vector_params(vector, tiers=False)})) == vector


def test_what_a_vector_does_not_say_it_inherits():
    codes = models.ProductQuantization(
        product=models.ProductQuantizationConfig(compression=models.CompressionRatio.X8)
    )
    plain = models.VectorParams(size=4, distance=models.Distance.COSINE)
    read = vector_spec("", info(plain, quantization=codes))
    assert read.quantization == Product(compression=8)
    assert (read.hnsw, read.placement, read.codes) == (Hnsw(), "cached", "cached")


def test_the_engines_defaults_of_codes_are_known():
    binary = models.BinaryQuantization(binary=models.BinaryQuantizationConfig())
    assert quantization(binary) == Binary(bits=1, query_bits=1)
    turbo = models.TurboQuantization(turbo=models.TurboQuantQuantizationConfig())
    assert quantization(turbo) == Turbo(bits=4)
    # gRPC carries a quantile in 32 bits.
    scalar = models.ScalarQuantizationConfig(type="int8", quantile=0.9900000095367432)
    assert quantization(models.ScalarQuantization(scalar=scalar)) == Scalar(quantile=0.99)
