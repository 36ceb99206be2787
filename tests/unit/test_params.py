"""What a spec becomes in the client's own models."""

from __future__ import annotations

from dataclasses import replace

import pytest
from qdrant_client import models

from qdrant_static.collection.params import (
    late_params,
    quantization_config,
    server_arguments,
    sparse_params,
    vector_params,
)
from qdrant_static.collection.presets import GRAPH_SIZE, PRESETS, graph_vector, preset
from qdrant_static.collection.quantization import (
    BINARY_BITS,
    COMPRESSIONS,
    QUERY_BITS,
    SHORT_NAMES,
    TURBO_BITS,
    Binary,
    Product,
    Scalar,
    Turbo,
    describe,
    parse,
    to_dict,
)
from qdrant_static.collection.serverspec import ServerSpec
from qdrant_static.collection.spec import CollectionSpec
from qdrant_static.collection.vectorspec import Hnsw, LateSpec, SparseSpec, VectorSpec, uint8_scale
from qdrant_static.errors import ArgumentError
from tests.fakes import FakeEncoder


def test_a_placement_is_a_tier_where_the_engine_knows_tiers():
    vector = VectorSpec(name="full", size=8, placement="disk", hnsw=Hnsw(placement="cached"))
    new, old = (vector_params(vector, tiers=tiers) for tiers in (True, False))
    assert (new.memory, new.on_disk) == (models.Memory.COLD, None)
    assert (old.memory, old.on_disk) == (None, True)
    assert new.hnsw_config == models.HnswConfigDiff(
        m=16, ef_construct=100, memory=models.Memory.CACHED
    )
    assert old.hnsw_config == models.HnswConfigDiff(m=16, ef_construct=100, on_disk=False)


def test_codes_lie_where_the_spec_says():
    new = quantization_config(Binary(), "ram", tiers=True).binary
    old = quantization_config(Binary(), "ram", tiers=False).binary
    assert (new.memory, new.always_ram) == (models.Memory.PINNED, None)
    assert (old.memory, old.always_ram) == (None, True)
    assert quantization_config(Binary(), "disk", tiers=False).binary.always_ram is False


def test_no_graph_is_a_graph_without_links():
    params = vector_params(VectorSpec(name="full", size=8, hnsw=None), tiers=True)
    assert params.hnsw_config == models.HnswConfigDiff(m=0)


def test_float32_is_left_to_the_engine_and_any_other_type_is_said():
    vector = VectorSpec(name="full", size=8)
    assert vector_params(vector, tiers=True).datatype is None
    for datatype in ("float16", "turbo4", "turbo8", "turbo16"):
        params = vector_params(replace(vector, datatype=datatype), tiers=True)
        assert params.datatype == models.Datatype(datatype)


@pytest.mark.parametrize(
    "quantization",
    [
        *(Binary(bits=bits, query_bits=query) for bits in BINARY_BITS for query in QUERY_BITS),
        *(Turbo(bits=bits) for bits in TURBO_BITS),
        *(Product(compression=factor) for factor in COMPRESSIONS),
        Scalar(),
        Scalar(quantile=None),
    ],
    ids=str,
)
def test_every_quantization_has_a_form_of_its_own_in_the_client(quantization):
    made = quantization_config(quantization, "ram", tiers=True)
    (inner,) = made.model_dump(exclude_none=True, mode="json").values()
    bits = str(getattr(quantization, "bits", "")).replace(".", "_")
    shown = {
        Binary: (
            "encoding",
            {"1": "one_bit", "1_5": "one_and_half_bits", "2": "two_bits"}.get(bits),
        ),
        Turbo: ("bits", f"bits{bits}"),
        Product: ("compression", f"x{getattr(quantization, 'compression', 0)}"),
        Scalar: ("type", "int8"),
    }[type(quantization)]
    assert inner[shown[0]] == shown[1]
    assert parse(to_dict(quantization)) == quantization


def test_short_names_and_what_is_told_agree():
    for name, quantization in SHORT_NAMES.items():
        assert parse(name) == quantization
        assert describe(quantization) == name
    assert describe(None) == "no quantization"
    assert describe(Binary(query_bits=1)) == "binary bits=1, query_bits=1"


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: Binary(bits=3), "quantization.bits"),
        (lambda: Binary(bits=True), "quantization.bits"),
        (lambda: Binary(query_bits=2), "quantization.query_bits"),
        (lambda: Turbo(bits=3), "quantization.bits"),
        (lambda: Product(compression=5), "quantization.compression"),
        (lambda: Scalar(quantile=0.2), "quantization.quantile"),
        (lambda: Scalar(quantile="all"), "quantization.quantile"),
        (lambda: Hnsw(m=1), "hnsw.m"),
        (lambda: Hnsw(ef_construct=2), "hnsw.ef_construct"),
        (lambda: Hnsw(placement="tape"), "hnsw.placement"),
        (lambda: LateSpec(encoder="x", size=0), "late.size"),
        (lambda: LateSpec(encoder="x", size=8, datatype="uint8"), "late.datatype"),
        (lambda: SparseSpec(stop_words="the"), "sparse.stop_words"),
        (lambda: SparseSpec(stop_words=(1,)), "sparse.stop_words"),
        (lambda: ServerSpec(shards=0), "server.shards"),
        (lambda: ServerSpec(replicas=2, write_consistency=3), "server.write_consistency"),
    ],
)
def test_what_cannot_work_is_an_error_that_names_the_field(make, field):
    with pytest.raises(ArgumentError) as caught:
        make()
    assert caught.value.field == field


def test_the_late_vector_is_compared_by_max_sim_and_has_no_graph():
    params = late_params(LateSpec(encoder="x", size=8), tiers=True)
    assert params.multivector_config.comparator == models.MultiVectorComparator.MAX_SIM
    assert params.hnsw_config.m == 0
    assert params.datatype == models.Datatype.FLOAT16


def test_the_engine_applies_the_idf():
    assert sparse_params(SparseSpec(), tiers=True) == models.SparseVectorParams(
        modifier=models.Modifier.IDF
    )
    placed = sparse_params(SparseSpec(placement="disk"), tiers=False)
    assert placed.index.on_disk is True


def test_a_server_is_told_only_what_the_spec_says():
    spec = CollectionSpec.for_encoder(FakeEncoder())
    assert server_arguments(spec) == {}
    spec = replace(spec, server=ServerSpec(shards=4, replicas=2, on_disk_payload=True))
    assert server_arguments(spec) == {
        "shard_number": 4, "replication_factor": 2, "on_disk_payload": True,
    }  # fmt: skip


def test_every_size_has_a_preset_with_a_source():
    assert [preset(size).up_to for size in (1, 256, 383, 384, 1023, 1024, 4096)] == [
        383, 383, 383, 1023, 1023, 65_536, 65_536,
    ]  # fmt: skip
    assert all(one.source and one.oversampling > 1 for one in PRESETS)


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [((1024,), 1024), ((1024, 256), 256), ((1024, 512, 64), 512), ((256, 64), 256), ((64,), 64)],
)
def test_the_graph_is_on_the_smallest_size_that_carries_it(sizes, expected):
    assert GRAPH_SIZE == 256
    assert graph_vector(sizes) == expected


def test_a_scale_for_uint8_fills_its_range():
    assert uint8_scale(256) == pytest.approx(127 * 16 / 5)
