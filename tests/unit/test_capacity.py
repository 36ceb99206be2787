"""What a collection takes: rules, sums, and which layout is taken."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from qdrant_static.cli import app, quantities
from qdrant_static.cli import capacity as command
from qdrant_static.collection import capacityfigures, layoutcandidates, specfile
from qdrant_static.collection.capacity import (
    Corpus,
    Footprint,
    Part,
    footprint,
    graph_bytes,
    payload_disk_bytes,
)
from qdrant_static.collection.cluster import Machine, cluster
from qdrant_static.collection.layouts import capacity
from qdrant_static.collection.quantization import SHORT_NAMES
from qdrant_static.collection.serverspec import ServerSpec
from qdrant_static.collection.spec import CollectionSpec
from qdrant_static.collection.vectorspec import Hnsw, LateSpec, SparseSpec, VectorSpec, stored_bytes
from qdrant_static.encoders.base import EncoderInfo
from qdrant_static.errors import ArgumentError

GB = 1000**3


def info(size: int = 1024) -> EncoderInfo:
    return EncoderInfo(name="x", dimension=size, fingerprint="x")


def spec(size: int = 1024, **more) -> CollectionSpec:
    vector = VectorSpec(
        name="full", size=size, **{k: more.pop(k) for k in list(more) if k in VectorSpec.__slots__}
    )
    return CollectionSpec(encoder=info(size), vectors=(vector,), **more)


def graphs(taken: Footprint) -> list[Part]:
    return [part for part in taken.parts if part.name.endswith(": graph")]


# --- bytes of one row --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("codes", "of_100", "of_256"),
    [
        ("binary", 16, 32), ("binary1.5", 32, 48), ("binary2", 32, 64), ("int8", 116, 260),
        ("product4", 100, 256), ("product16", 25, 64), ("product64", 7, 16), ("turbo1", 21, 40),
        ("turbo1.5", 27, 56), ("turbo2", 33, 72), ("turbo4", 58, 136), ("turbo8", 104, 260),
    ],
)  # fmt: skip
def test_codes_are_as_long_as_the_engine_writes_them(codes, of_100, of_256):
    """Lengths of quantized.data; tests/engine/test_capacity.py reads them off an engine."""
    assert SHORT_NAMES[codes].bytes(100) == of_100
    assert SHORT_NAMES[codes].bytes(256) == of_256


@pytest.mark.parametrize(
    ("datatype", "of_100", "of_256"),
    [
        ("float32", 400, 1024), ("float16", 200, 512), ("uint8", 100, 256), ("turbo4", 54, 132),
        ("turbo8", 104, 260), ("turbo16", 204, 516),
    ],
)  # fmt: skip
def test_vectors_are_as_long_as_the_engine_writes_them(datatype, of_100, of_256):
    assert stored_bytes(100, datatype) == of_100
    assert stored_bytes(256, datatype) == of_256


@pytest.mark.parametrize(
    ("m", "bits", "measured"), [(16, 13, 34.6), (16, 15, 41.2), (8, 15, 30.6), (32, 15, 49.0)]
)
def test_links_are_within_a_fifth_of_those_of_real_text(m, bits, measured):
    """WordLlama-256 on 5,000 and 20,000 sentences of abstracts."""
    assert graph_bytes(Hnsw(m=m), bits) == pytest.approx(measured, rel=0.2)


@pytest.mark.parametrize(
    ("json_bytes", "disk"),
    [(63, 128), (133, 252), (333, 384), (834, 760), (2035, 1608), (10_043, 6620)],
)
def test_payloads_are_within_a_quarter_of_those_of_real_text(json_bytes, disk):
    assert payload_disk_bytes(json_bytes) == pytest.approx(disk, rel=0.25)


def test_no_payload_takes_nothing():
    assert payload_disk_bytes(0) == 0


# --- a whole collection ------------------------------------------------------------------------


def test_the_parts_are_the_sum():
    taken = footprint(spec(sparse=SparseSpec()), Corpus(rows=1_000_000))
    assert taken.disk == pytest.approx(sum(part.disk for part in taken.parts), abs=1)
    assert taken.ram == pytest.approx(sum(part.ram for part in taken.parts), abs=1)


@pytest.mark.parametrize("rows", [1_000, 100_000, 10_000_000, 10_000_000_000])
def test_more_rows_take_more(rows):
    for embedded in (False, True):
        less, more = (
            footprint(spec(), Corpus(rows=rows // share), embedded=embedded) for share in (10, 1)
        )
        assert more.disk > less.disk
        assert more.ram >= less.ram


def test_what_lies_on_disk_is_read_there_and_not_held():
    held = footprint(spec(quantization="binary"), Corpus(rows=10**6))
    cold = footprint(spec(quantization="binary", placement="disk"), Corpus(rows=10**6))
    assert held.ram - cold.ram == cold.cache - held.cache == 10**6 * 4096
    assert held.disk == cold.disk


def test_a_vector_that_only_rescores_has_no_links():
    taken = footprint(spec(hnsw=None), Corpus(rows=10**6))
    assert sum(part.disk for part in graphs(taken)) < 5 * 10**6


def test_every_payload_index_and_the_late_vector_count():
    plain = footprint(spec(), Corpus(rows=10**6))
    for kind in ("bool", "datetime", "float", "geo", "integer", "keyword", "text", "uuid"):
        assert footprint(spec(payload_indexes={"f": kind}), Corpus(rows=10**6)).ram > plain.ram
    late = spec(late=LateSpec(encoder="e", size=128))
    taken = footprint(late, Corpus(rows=10**6, tokens=100))
    assert taken.disk - plain.disk == pytest.approx(10**6 * 100 * 256, rel=0.01)


def test_a_payload_in_ram_is_held_by_a_server():
    server = ServerSpec(on_disk_payload=False)
    assert (
        footprint(spec(server=server), Corpus(rows=10**6)).ram
        > footprint(spec(), Corpus(rows=10**6)).ram
    )


def test_few_rows_have_no_graph():
    assert not graphs(footprint(spec(256), Corpus(rows=1000)))
    assert graphs(footprint(spec(256), Corpus(rows=20_000)))


@pytest.mark.parametrize(
    ("field", "value"),
    [("rows", 0), ("rows", 10**10 + 1), ("payload_bytes", -1), ("text_bytes", float("nan"))],
)
def test_an_impossible_corpus_names_its_field(field, value):
    with pytest.raises(ArgumentError) as caught:
        Corpus(**{"rows": 10, field: value})
    assert caught.value.field == field


# --- machines and shards -----------------------------------------------------------------------


def taken(rows: int, ram: int, disk: int = 0):
    return SimpleNamespace(rows=rows, ram=ram, disk=disk)


def test_what_fits_one_machine_and_is_small_is_one_shard():
    found = cluster(taken(10_000, GB), machine=Machine())
    assert (found.machines, found.shards) == (1, 1)


def test_memory_above_three_quarters_of_a_machine_needs_another():
    assert cluster(taken(10**7, 48 * GB), machine=Machine(memory=64 * GB)).machines == 1
    assert cluster(taken(10**7, 49 * GB), machine=Machine(memory=64 * GB)).machines == 2


def test_disk_has_room_to_rewrite_all():
    machine = Machine(memory=64 * GB, disk=100 * GB)
    assert cluster(taken(10**7, GB, 50 * GB), machine=machine).machines == 1
    assert cluster(taken(10**7, GB, 51 * GB), machine=machine).machines == 2


def test_replicas_are_on_machines_of_their_own():
    found = cluster(taken(10**7, GB), machine=Machine(), replicas=3)
    assert found.machines == 3
    assert found.ram == GB


@pytest.mark.parametrize("rows", [10**6, 10**8, 3 * 10**9, 10**10])
def test_shards_are_a_multiple_of_the_machines_and_no_shard_is_too_large(rows):
    found = cluster(taken(rows, rows * 500), machine=Machine(), replicas=2)
    assert found.shards % found.machines == 0
    assert rows / found.shards <= capacityfigures.MAX_ROWS_PER_SHARD


@pytest.mark.parametrize("wrong", [{"memory": 0}, {"disk": 0}])
def test_an_impossible_machine_is_refused(wrong):
    with pytest.raises(ArgumentError, match=f"machine_{next(iter(wrong))}"):
        Machine(**wrong)


def test_no_replica_is_refused():
    with pytest.raises(ArgumentError, match="replicas"):
        cluster(taken(10, 10), machine=Machine(), replicas=0)


# --- evidence ----------------------------------------------------------------------------------


@pytest.mark.parametrize("codes", capacityfigures.CODES)
@pytest.mark.parametrize("size", [32, 64, 200, 384, 768, 1024, 3072])
def test_a_higher_target_needs_no_fewer_candidates(codes, size):
    found = [layoutcandidates.expected(size, codes, target) for target in (0.5, 0.9, 0.99)]
    assert [one.candidates for one in found] == sorted(one.candidates for one in found)
    assert all(0 < one.recall <= 1 for one in found)


def test_measured_figures_are_given_as_they_are():
    assert layoutcandidates.expected(256, "turbo4", 0.99).recall == 0.997
    assert layoutcandidates.expected(256, "turbo4", 0.99).candidates == 20
    assert layoutcandidates.expected_cascade(128, 256, "none", 0.95).candidates == 100


def test_between_two_sizes_recall_lies_between_theirs():
    low, found, high = (
        layoutcandidates.expected(size, "binary", 2).recall for size in (256, 512, 1024)
    )
    assert low < found < high


# --- the choice --------------------------------------------------------------------------------


def test_where_memory_is_plenty_originals_stay_in_it():
    chosen = capacity(info(), Corpus(rows=100_000)).chosen
    assert chosen.disk_reads == 0
    assert chosen.expected.recall >= 0.95


def test_where_memory_is_short_originals_go_to_disk():
    made = capacity(info(), Corpus(rows=10**7), memory=8 * GB)
    assert made.chosen.spec.vectors[0].placement == "disk"
    assert made.chosen.taken.ram <= 8 * GB
    assert any("would not fit the memory" in reason for reason in made.reasons)


def test_where_memory_is_shorter_still_the_postings_go_too():
    made = capacity(info(), Corpus(rows=10**7), memory=4 * GB, sparse=SparseSpec())
    assert made.chosen.spec.sparse.placement == "disk"


def test_where_nothing_fits_it_says_what_is_least():
    made = capacity(info(), Corpus(rows=10**7), memory=GB)
    assert made.chosen is None
    assert "nothing fits 1.00 GB" in made.reasons[0]


def test_where_nothing_that_fits_finds_enough_it_says_what_would():
    made = capacity(info(64), Corpus(rows=10**7), memory=int(1.9 * GB), target_recall=0.99)
    assert made.chosen is None
    assert "nothing that fits is expected to reach 0.99" in made.reasons[0]
    assert "reaches it with" in made.reasons[1]


def test_an_embedded_collection_is_on_one_machine():
    made = capacity(info(), Corpus(rows=10**9), embedded=True)
    assert made.chosen is None
    assert all(layout.spec.server == ServerSpec() for layout in made.layouts)


@pytest.mark.parametrize("rows", [1_000, 10**5, 10**7, 10**9, 10**10])
@pytest.mark.parametrize("size", [64, 256, 384, 768, 1024, 3072])
def test_the_choice_is_the_best_of_those_that_will_do(rows, size):
    made = capacity(info(size), Corpus(rows=rows), matryoshka=(size // 2,))
    assert made.chosen is made.layouts[0]
    able = [one for one in made.layouts if one.reaches(0.95)]
    assert made.chosen.cluster.machines == min(one.cluster.machines for one in able)
    assert made.reasons


@pytest.mark.parametrize(
    ("wrong", "field"),
    [({"target_recall": 0}, "target_recall"), ({"memory": 0}, "memory"),
     ({"replicas": 0}, "replicas"), ({"matryoshka": (2048,)}, "matryoshka")],
)  # fmt: skip
def test_an_impossible_plan_names_its_field(wrong, field):
    with pytest.raises(ArgumentError) as caught:
        capacity(info(), Corpus(rows=1000), **wrong)
    assert caught.value.field == field


@pytest.mark.parametrize("sparse", [None, SparseSpec()])
def test_the_short_form_of_every_layout_is_the_layout(sparse):
    made = capacity(
        info(), Corpus(rows=10**8), matryoshka=(256,), sparse=sparse, payload_indexes={"a": "float"}
    )
    for layout in made.layouts:
        read = specfile.spec_from_toml(
            specfile.spec_to_toml(layout.spec, short=True), encoder=info()
        )
        assert replace(read, plan=None) == layout.spec, layout.name


# --- the command's numbers ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [("1000", 1000), ("250_000", 250_000), ("1,500", 1500), ("10M", 10**7), ("1.5B", 1_500_000_000),
     ("3k", 3000), (" 2 G ", 2 * 10**9)],
)  # fmt: skip
def test_counts_are_read_as_people_write_them(text, value):
    assert quantities.count(text, "--rows") == value


@pytest.mark.parametrize(
    ("text", "value"),
    [("500", 500), ("500B", 500), ("4GB", 4 * GB), ("1.5 TB", 1500 * GB), ("64GiB", 64 * 2**30),
     ("2mb", 2 * 10**6), ("8G", 8 * GB), ("512M", 512 * 10**6)],
)  # fmt: skip
def test_sizes_are_read_as_people_write_them(text, value):
    assert quantities.size(text, "--memory") == value


@pytest.mark.parametrize("text", ["", "ten", "10X", "-5", "1.5", "1e6", "10 M M", "1,0"])
def test_what_is_no_count_is_refused_by_the_options_name(text):
    with pytest.raises(ArgumentError) as caught:
        quantities.count(text, "--rows")
    assert caught.value.field == "--rows"
    assert repr(text) in caught.value.problem


@pytest.mark.parametrize(
    ("value", "told"),
    [(0, "0 B"), (999, "999 B"), (4_100_000_000, "4.10 GB"), (53_830_000_000, "53.8 GB"),
     (999_900_000_000, "1.00 TB"), (107_000_000_000, "107 GB")],
)  # fmt: skip
def test_sizes_are_told_in_three_digits(value, told):
    assert quantities.size_text(value) == told


@pytest.mark.parametrize(
    ("value", "told"), [(10**7, "10M"), (1_500_000_000, "1.5B"), (1234, "1,234"), (999, "999")]
)
def test_counts_are_told_as_they_are_read(value, told):
    assert quantities.count_text(value) == told


@pytest.mark.parametrize("rows", [1_000, 10**10])
@pytest.mark.parametrize("embedded", [True, False])
def test_the_table_fits_120_columns(rows, embedded):
    made = capacity(
        info(), Corpus(rows=rows), matryoshka=(256, 128), sparse=SparseSpec(), embedded=embedded,
        replicas=1 if embedded else 3, memory=10 * GB,
    )  # fmt: skip
    shown = command.table(made, embedded=embedded)
    assert max(map(len, shown.splitlines())) <= 120


# --- the command -------------------------------------------------------------------------------


def invoke(*arguments: str):
    return CliRunner().invoke(app, ["capacity", *arguments])


def test_the_command_tells_the_choice_and_why():
    done = invoke("--rows", "10M", "--dimension", "1024", "--memory", "8GB")
    assert done.exit_code == 0
    assert "\ntake full" in done.stdout
    assert done.stdout.splitlines()[1] == "8.00 GB of RAM a copy, machines of 64.0 GB"
    assert 'placement = "disk"' in done.stdout


def test_the_command_prints_the_same_as_json():
    done = invoke("--rows", "10M", "--dimension", "1024", "--json")
    found = json.loads(done.stdout)
    assert found["chosen"] == found["layouts"][0]["name"]
    first = found["layouts"][0]
    assert first["ram"] == pytest.approx(sum(part["ram"] for part in first["parts"]), abs=1)
    assert first["cluster"]["machines"] >= 1


def test_the_command_exits_with_4_where_nothing_will_do():
    done = invoke("--rows", "10M", "--dimension", "1024", "--memory", "1GB")
    assert done.exit_code == 4
    assert "no layout will do" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--rows", "many", "--dimension", "8"], "--rows: 'many'"),
        (["--rows", "10"], "give either an encoder or --dimension"),
        (["--rows", "10", "--dimension", "8", "--memory", "4XB"], "--memory: '4XB'"),
        (
            ["--rows", "10", "--dimension", "8", "--memory", "8"],
            "--memory: '8' is 8 B, too little: 8GB?",
        ),
        (["--rows", "10", "--dimension", "8", "--machine-memory", "64"], "little: 64GB?"),
        (["--rows", "10", "--dimension", "8", "--machine-disk", "1KB"], "'1KB' is 1.00 KB, too"),
        (["--rows", "10", "--dimension", "8", "--sparse", "x"], "--sparse: 'x'"),
        (["--rows", "10", "--dimension", "8", "--index", "a"], "--index: 'a'"),
        (["--rows", "10", "--dimension", "8", "--index", "a:b"], "payload_indexes.a"),
        (["--rows", "10", "--dimension", "8", "--matryoshka", "x"], "--matryoshka: 'x'"),
        (["--rows", "20B", "--dimension", "8"], "rows: 20000000000"),
    ],
)
def test_the_command_refuses_what_it_cannot_read(arguments, told):
    done = invoke(*arguments)
    assert done.exit_code == 2
    assert told in done.stderr
