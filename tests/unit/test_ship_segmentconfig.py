"""Segments' settings in a target's words: equal in meaning, or a difference with its path."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from qdrant_static.shipping.packing.segmentconfig import translated_state

GRAPH = {"m": 16, "ef_construct": 100, "full_scan_threshold": 10000, "max_indexing_threads": 0}


def state(*, sparse: dict | None = None, payload: str = "mmap", ids: str | None = None, **vector):
    """What Edge writes: a vector ``v`` with a graph."""
    graph = vector.pop("graph", {"memory": "pinned"})
    index = {"type": "hnsw", "options": {**GRAPH, **graph}}
    built: dict[str, Any] = {
        "size": 32, "distance": "Cosine", "storage_type": "InRamMmap", "index": index,
        "quantization_config": None, **vector,
    }  # fmt: skip
    config: dict[str, Any] = {
        "vector_data": {"v": built},
        "payload_storage_type": {"type": payload},
    }
    if sparse is not None:
        config["sparse_vector_data"] = {"s": {"storage_type": "mmap", **sparse}}
    if ids is not None:
        config["id_tracker_memory"] = ids
    return {"initial_version": 3, "version": 7, "config": config}


def target(*, hnsw: dict | None = None, sparse: dict | None = None, whole=None, **vector):
    """What a server of version 1.18 says of a collection."""
    params: dict[str, Any] = {
        "vectors": {"v": {"size": 32, "distance": "Cosine", **vector}},
        "shard_number": 1, "replication_factor": 1, "write_consistency_factor": 1,
        "on_disk_payload": True,
    }  # fmt: skip
    if sparse is not None:
        params["sparse_vectors"] = {"s": sparse}
    return {
        "params": params,
        "hnsw_config": {**GRAPH, "on_disk": False, **(hnsw or {})},
        "quantization_config": whole,
    }


def words(wanted: dict, built: dict) -> dict:
    """The vector in the target's words; there must be no difference."""
    before = copy.deepcopy((wanted, built))
    new, differences = translated_state(wanted, built)
    assert differences == ()
    assert (wanted, built) == before, "nobody's own is written to"
    assert (new["initial_version"], new["version"]) == (3, 7)
    again, none = translated_state(wanted, new)
    assert (again, none) == (new, ()), "the target's words stay as they are"
    return new["config"]


def differences(wanted: dict, built: dict) -> tuple[str, ...]:
    return translated_state(wanted, built)[1]


@pytest.mark.parametrize(
    ("graph", "own", "written"),
    [
        ({"memory": "pinned"}, None, {"on_disk": False}),
        ({"memory": "cached"}, None, {"on_disk": False}),
        ({}, None, {"on_disk": False}),
        ({"memory": "cold"}, {"on_disk": True}, {"on_disk": True}),
        ({"on_disk": True}, {"on_disk": True}, {"on_disk": True}),
        ({"m": 0}, {"m": 0}, {"m": 0, "on_disk": False}),
        ({"payload_m": 8}, {"payload_m": 8}, {"payload_m": 8, "on_disk": False}),
        ({"memory": "pinned"}, {"memory": "pinned"}, {"memory": "pinned"}),
        ({"inline_storage": False}, None, {"on_disk": False}),
        ({"max_indexing_threads": 4}, None, {"on_disk": False}),
    ],
)
def test_a_graph_is_said_in_the_targets_words(graph, own, written):
    config = words(target(hnsw_config=own), state(graph=graph))
    assert config["vector_data"]["v"]["index"] == {"type": "hnsw", "options": {**GRAPH, **written}}


@pytest.mark.parametrize(
    ("built", "own", "told"),
    [
        ({"m": 8}, None, "vectors.v.hnsw.m: built 8, target 16"),
        ({}, {"m": 0}, "vectors.v.hnsw.m: built 16, target 0"),
        ({}, {"ef_construct": 64}, "vectors.v.hnsw.ef_construct: built 100, target 64"),
        ({"payload_m": 8}, None, "vectors.v.hnsw.payload_m: built 8, target none"),
        ({"full_scan_threshold": 5}, None,
         "vectors.v.hnsw.full_scan_threshold: built 5, target 10000"),
        ({"memory": "cold"}, None, "vectors.v.hnsw.placement: built disk, target ram"),
        ({"memory": "pinned"}, {"on_disk": True},
         "vectors.v.hnsw.placement: built ram, target disk"),
        ({"inline_storage": True}, None, "vectors.v.hnsw.inline_storage: built true, target false"),
        ({"wings": 2}, None, "vectors.v.hnsw.wings: built 2, target none"),
    ],
)  # fmt: skip
def test_another_graph_is_a_difference(built, own, told):
    assert differences(target(hnsw_config=own), state(graph=built)) == (told,)


@pytest.mark.parametrize(
    ("built", "wanted"),
    [
        (
            {"binary": {"memory": "pinned", "encoding": "one_bit", "query_encoding": "binary"}},
            {"binary": {"always_ram": True, "query_encoding": "binary"}},
        ),
        ({"binary": {"memory": "cached"}}, {"binary": {"always_ram": True, "encoding": "one_bit"}}),
        ({"scalar": {"type": "int8", "quantile": 0.99, "memory": "pinned"}},
         {"scalar": {"type": "int8", "quantile": 0.99, "always_ram": True}}),
        ({"scalar": {"type": "int8", "memory": "cold"}},
         {"scalar": {"type": "int8", "always_ram": False}}),
        ({"product": {"compression": "x8", "memory": "pinned"}},
         {"product": {"compression": "x8"}}),
        ({"turbo": {"memory": "pinned"}}, {"turbo": {"bits": "bits4", "always_ram": True}}),
        ({"turbo": {"bits": "bits1_5", "memory": "pinned"}},
         {"turbo": {"bits": "bits1_5", "memory": "pinned"}}),
    ],
)  # fmt: skip
def test_codes_are_said_in_the_targets_words(built, wanted):
    vector = words(target(quantization_config=wanted), state(quantization_config=built))
    assert vector["vector_data"]["v"]["quantization_config"] == wanted
    inherited = words(target(whole=wanted), state(quantization_config=built))
    assert inherited["vector_data"]["v"]["quantization_config"] == wanted


@pytest.mark.parametrize(
    ("built", "wanted", "told"),
    [
        ({"binary": {}}, {"scalar": {"type": "int8"}}, "quantization: built binary, target scalar"),
        ({"binary": {}}, None, "quantization: built binary, target none"),
        (None, {"product": {"compression": "x4"}}, "quantization: built none, target product"),
        ({"binary": {"encoding": "two_bits"}}, {"binary": {}},
         "quantization.encoding: built two_bits, target one_bit"),
        ({"scalar": {"type": "int8"}}, {"scalar": {"type": "int8", "quantile": 0.9}},
         "quantization.quantile: built none, target 0.9"),
        ({"product": {"compression": "x4"}}, {"product": {"compression": "x8"}},
         "quantization.compression: built x4, target x8"),
        ({"turbo": {"bits": "bits2"}}, {"turbo": {}},
         "quantization.bits: built bits2, target bits4"),
        ({"binary": {"memory": "pinned"}}, {"binary": {"always_ram": False}},
         "quantization.placement: built ram, target disk"),
    ],
)  # fmt: skip
def test_other_codes_are_a_difference(built, wanted, told):
    found = differences(target(quantization_config=wanted), state(quantization_config=built))
    assert found == (f"vectors.v.{told}",)


def test_where_codes_lie_follows_the_vectors_if_nobody_says():
    codes = {"scalar": {"type": "int8"}}
    on_disk = target(on_disk=True, quantization_config=codes)
    cold = {"scalar": {"type": "int8", "memory": "cold"}}
    words(on_disk, state(storage_type="Mmap", quantization_config=cold))
    pinned = {"scalar": {"type": "int8", "memory": "pinned"}}
    assert differences(on_disk, state(storage_type="Mmap", quantization_config=pinned)) == (
        "vectors.v.quantization.placement: built ram, target disk",
    )


@pytest.mark.parametrize(
    ("built", "wanted", "told"),
    [
        ({"size": 16}, {}, "vectors.v.size: built 16, target 32"),
        ({"distance": "Dot"}, {}, "vectors.v.distance: built Dot, target Cosine"),
        ({"datatype": "float16"}, {}, "vectors.v.datatype: built float16, target float32"),
        ({}, {"datatype": "uint8"}, "vectors.v.datatype: built float32, target uint8"),
        ({"multivector_config": {"comparator": "max_sim"}}, {},
         'vectors.v.multivector_config: built {"comparator": "max_sim"}, target none'),
        ({}, {"on_disk": True}, "vectors.v.placement: built ram, target disk"),
        ({"storage_type": "Mmap"}, {}, "vectors.v.placement: built disk, target ram"),
        ({"storage_type": "GraphInline"}, {},
         "vectors.v.storage: built GraphInline, which is unknown"),
        ({"wings": 2}, {}, "vectors.v.wings: built 2, which is unknown"),
    ],
)  # fmt: skip
def test_another_vector_is_a_difference(built, wanted, told):
    assert differences(target(**wanted), state(**built)) == (told,)


@pytest.mark.parametrize(
    ("built", "wanted"),
    [
        ({"datatype": "float32"}, {}),
        ({"datatype": "float16"}, {"datatype": "float16"}),
        ({"storage_type": "Mmap"}, {"on_disk": True}),
        ({"storage_type": "Empty"}, {"on_disk": True}),
        ({"storage_type": "InRamMmap"}, {"memory": "cached"}),
        ({"storage_type": "Mmap"}, {"memory": "cold"}),
        ({"multivector_config": {"comparator": "max_sim"}},
         {"multivector_config": {"comparator": "max_sim"}}),
    ],
)  # fmt: skip
def test_the_same_vector_is_left_as_it_is(built, wanted):
    before = state(**built)["config"]["vector_data"]["v"]
    after = words(target(**wanted), state(**built))["vector_data"]["v"]
    assert {**after, "index": None} == {**before, "index": None}


def test_names_are_compared_on_both_sides():
    other = state()
    other["config"]["vector_data"]["w"] = other["config"]["vector_data"].pop("v")
    assert differences(target(sparse={}), other) == (
        "vectors.v: built missing, target present",
        "vectors.w: built present, target missing",
        "sparse_vectors.s: built missing, target present",
    )


def test_one_vector_without_a_name():
    built = state()
    built["config"]["vector_data"][""] = built["config"]["vector_data"].pop("v")
    wanted = target()
    wanted["params"]["vectors"] = {"size": 32, "distance": "Cosine"}
    assert differences(wanted, built) == ()
    wanted["params"]["vectors"] = {"size": 31, "distance": "Cosine"}
    assert differences(wanted, built) == ("vectors.size: built 32, target 31",)


PLAIN = {"type": "plain", "options": {}}


@pytest.mark.parametrize(
    ("codes", "wanted", "found"),
    [
        (None, {"scalar": {"type": "int8"}}, ()),
        (None, {"product": {"compression": "x4"}}, ()),
        ({"binary": {"memory": "pinned"}}, {"binary": {"always_ram": True}}, ()),
        (None, {"binary": {}}, ("vectors.v.quantization: built none, target binary",)),
        ({"turbo": {}}, None, ("vectors.v.quantization: built turbo, target none",)),
    ],
)
def test_a_segment_without_a_graph_has_the_codes_that_grow(codes, wanted, found):
    plain = {"index": PLAIN, "storage_type": "InRamChunkedMmap", "quantization_config": codes}
    built = state()
    built["config"]["vector_data"]["v"] |= plain
    new, told = translated_state(target(hnsw={"m": 5}, quantization_config=wanted), built)
    assert told == found
    assert new["config"]["vector_data"]["v"]["index"] == PLAIN


def index(**fields: Any) -> dict:
    return {"full_scan_threshold": None, "index_type": "ImmutableRam", **fields}


@pytest.mark.parametrize(
    ("built", "wanted", "written"),
    [
        (index(), {}, index()),
        (index(memory="pinned"), {}, index()),
        (index(memory="cached", index_type="Mmap"), {"index": {"on_disk": False}}, index()),
        (index(memory="cold", index_type="Mmap"), {"index": {"on_disk": True}},
         index(index_type="Mmap")),
        (index(index_type="Mmap"), {"index": {"on_disk": True}}, index(index_type="Mmap")),
        (index(index_type="MutableRam", memory="cold"), {}, index(index_type="MutableRam")),
        (index(index_type="Mmap", memory="cached"), {"index": {"memory": "cached"}},
         index(index_type="Mmap", memory="cached")),
        (index(datatype="float16", full_scan_threshold=7),
         {"index": {"datatype": "float16", "full_scan_threshold": 7}},
         index(datatype="float16", full_scan_threshold=7)),
        (index(datatype="float32"), {}, index()),
    ],
)  # fmt: skip
def test_a_sparse_index_is_said_in_the_targets_words(built, wanted, written):
    new = words(
        target(sparse={"modifier": "idf", **wanted}),
        state(sparse={"index": built, "modifier": "idf"}),
    )
    assert new["sparse_vector_data"]["s"] == {
        "storage_type": "mmap", "modifier": "idf", "index": written,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("built", "wanted", "told"),
    [
        ({"index": index(), "modifier": "idf"}, {}, "modifier: built idf, target none"),
        ({"index": index(datatype="uint8")}, {}, "index.datatype: built uint8, target float32"),
        ({"index": index(full_scan_threshold=9)}, {},
         "index.full_scan_threshold: built 9, target 5000"),
        ({"index": index()}, {"index": {"on_disk": True}},
         "index.placement: built ram, target disk"),
        ({"index": index(wings=1)}, {}, "index.wings: built 1, which is unknown"),
    ],
)  # fmt: skip
def test_another_sparse_index_is_a_difference(built, wanted, told):
    assert differences(target(sparse=wanted), state(sparse=built)) == (f"sparse_vectors.s.{told}",)


def test_where_payloads_lie_is_the_targets_choice():
    wanted = target()
    assert words(wanted, state(payload="in_ram_mmap"))["payload_storage_type"] == {"type": "mmap"}
    wanted["params"]["on_disk_payload"] = False
    assert words(wanted, state())["payload_storage_type"] == {"type": "in_ram_mmap"}
    assert differences(wanted, state(payload="tape")) == (
        'payload: built as {"type": "tape"}, which is unknown',
    )


def test_ids_lie_in_other_files_if_they_are_not_pinned():
    assert "id_tracker_memory" not in words(target(), state(ids="pinned"))
    assert differences(target(), state(ids="cold")) == (
        "id_tracker.memory: built cold, target pinned",
    )
    wanted = target()
    wanted["params"]["id_tracker"] = {"memory": "cold"}
    assert words(wanted, state(ids="cold"))["id_tracker_memory"] == "cold"


def test_a_setting_that_nobody_knows_is_a_difference():
    built = state()
    built["config"]["wings"] = 2
    assert differences(target(), built) == ("wings: built 2, which is unknown",)
