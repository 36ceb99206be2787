"""What two specs differ in: one case for every attribute, with what it takes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from qdrant_static.collection import create
from qdrant_static.collection.quantization import Binary, Scalar
from qdrant_static.collection.serverspec import ServerSpec
from qdrant_static.collection.spec import CollectionSpec, Fields
from qdrant_static.collection.specdiff import Difference, compare
from qdrant_static.collection.vectorspec import Hnsw, LateSpec, SparseSpec, uint8_scale
from qdrant_static.errors import ArgumentError
from tests.fakes import FakeEncoder

LATE = LateSpec(encoder="colbert", size=8)
SPEC = CollectionSpec.for_encoder(
    FakeEncoder(),
    matryoshka=(8,),
    sparse=SparseSpec(mean_length=7.5),
    late=LATE,
    payload_indexes={"n": "integer"},
    server=ServerSpec(shards=2, replicas=2, write_consistency=1, on_disk_payload=True),
)
SPEC = SPEC.with_source(fields=Fields(key="id", text=("text",)), mean_length=None)
UINT8 = {"datatype": "uint8", "distance": "euclid", "scale": uint8_scale(32), "quantization": None}


def vector(name: str = "full", /, **values) -> CollectionSpec:
    vectors = tuple(replace(one, **values) if one.name == name else one for one in SPEC.vectors)
    return replace(SPEC, vectors=vectors)


def sparse(**values) -> CollectionSpec:
    return replace(SPEC, sparse=replace(SPEC.sparse, **values))


def late(**values) -> CollectionSpec:
    return replace(SPEC, late=replace(LATE, **values))


def server(**values) -> CollectionSpec:
    return replace(SPEC, server=replace(SPEC.server, **values))


OTHER = FakeEncoder("theirs", salt="x")
NAMED = replace(SPEC, vectors=SPEC.vectors[:1])
WIDER = replace(
    SPEC,
    encoder=replace(SPEC.encoder, dimension=64, fingerprint="fake-64"),
    vectors=(replace(SPEC.vectors[0], size=64), *SPEC.vectors[1:]),
)

CASES = [
    (replace(SPEC, encoder=OTHER.info), "encoder", "migration",
     "encoder: is fake (fake-plain-32), wanted theirs (fake-x-32)"),
    (WIDER, "encoder vectors.full.size", "migration", "vector full: size is 32, wanted 64"),
    (vector(distance="dot"), "vectors.full.distance", "migration",
     "vector full: distance is cosine, wanted dot"),
    (vector(datatype="float16"), "vectors.full.datatype", "migration",
     "vector full: datatype is float32, wanted float16"),
    (vector(**UINT8),
     "vectors.full.distance vectors.full.datatype vectors.full.scale vectors.full.quantization",
     "migration + in place", "vector full: scale is none, wanted 143."),
    (vector(placement="disk"), "vectors.full.placement", "in place",
     "vector full: placement is cached, wanted disk"),
    (vector(hnsw=None), "vectors.full.hnsw", "in place",
     "vector full: graph is m=16 ef_construct=100 ram, wanted none"),
    (vector("mrl_8", hnsw=Hnsw(m=8)), "vectors.mrl_8.hnsw", "in place",
     "vector mrl_8: graph is none, wanted m=8 ef_construct=100 ram"),
    (vector(hnsw=Hnsw(ef_construct=64)), "vectors.full.hnsw", "in place", "wanted m=16 ef_cons"),
    (vector(hnsw=Hnsw(placement="disk")), "vectors.full.hnsw", "in place", "100 disk"),
    (vector(quantization=None), "vectors.full.quantization", "in place",
     "vector full: quantization is turbo4, wanted none"),
    (vector(quantization=Binary(bits=2, query_bits=4)), "vectors.full.quantization", "in place",
     "wanted binary bits=2, query_bits=4"),
    (vector(quantization=Scalar(quantile=0.95)), "vectors.full.quantization", "in place",
     "wanted scalar quantile=0.95"),
    (vector(codes="disk"), "vectors.full.codes", "in place",
     "vector full: codes is ram, wanted disk"),
    (replace(SPEC, sparse=None, plan="dense"), "sparse", "migration",
     "bm25: is english, stop words the language's own, ram, wanted absent"),
    (sparse(language="german"), "sparse.language", "migration",
     "bm25: language is english, wanted german"),
    (sparse(stop_words=("the",)), "sparse.stop_words", "migration",
     "bm25: stop words is the language's own, wanted 1 words"),
    (sparse(mean_length=9.0), "sparse.mean_length", "migration",
     "bm25: mean length is 7.5, wanted 9.0"),
    (sparse(placement="disk"), "sparse.placement", "in place",
     "bm25: placement is ram, wanted disk"),
    (replace(SPEC, late=None), "late", "migration", "late: is 8-d float16 of colbert, wanted"),
    (late(encoder="other"), "late.encoder", "migration", "late: encoder is colbert, wanted other"),
    (late(size=16), "late.size", "migration", "late: size is 8, wanted 16"),
    (late(datatype="float32"), "late.datatype", "migration", "late: datatype is float16"),
    (late(placement="ram"), "late.placement", "in place", "late: placement is disk, wanted ram"),
    (replace(SPEC, payload_indexes={"n": "float"}), "payload_indexes.n", "in place",
     "payload index n: is integer, wanted float"),
    (replace(SPEC, payload_indexes={}), "payload_indexes.n", "in place",
     "payload index n: is integer, wanted absent"),
    (replace(SPEC, payload_indexes={"n": "integer", "a.b": "keyword"}), "payload_indexes.a.b",
     "in place", "payload index a.b: is absent, wanted keyword"),
    (server(shards=3), "server.shards", "migration", "server: shards is 2, wanted 3"),
    (server(replicas=1), "server.replicas", "in place", "server: replicas is 2, wanted 1"),
    (server(write_consistency=2), "server.write_consistency", "in place",
     "server: write consistency is 1, wanted 2"),
    (server(on_disk_payload=False), "server.on_disk_payload", "in place",
     "server: on disk payload is True, wanted False"),
    (replace(SPEC, fields=Fields(key="id", text=("title", "text"))), "fields", "migration",
     "filled from: is key=id text=text, wanted key=id text=title,text"),
    (NAMED, "vectors.mrl_8", "migration",
     "vector mrl_8: is 8-d float32, turbo4, no graph, cached, wanted absent"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("wanted", "fields", "remedy", "told"), CASES, ids=lambda one: str(one)[:40]
)
def test_each_attribute_is_compared(wanted, fields, remedy, told):
    found = compare(SPEC, wanted)
    assert [one.field for one in found] == fields.split()
    assert " + ".join(dict.fromkeys(one.remedy for one in found)) == remedy
    assert told in "\n".join(map(str, found))
    assert all(one.reason for one in found)


@pytest.mark.parametrize(
    ("there", "field", "reason"),
    [
        (NAMED, "vectors.mrl_8", "filled from the stored points, as prefixes of 'full'"),
        (replace(SPEC, sparse=None), "sparse", "filled from the stored points"),
        (replace(SPEC, late=None), "late", "empty until the records are ingested again"),
    ],
)
def test_what_is_missing_is_a_new_vector_and_says_what_fills_it(there, field, reason):
    (found,) = compare(there, SPEC)
    assert (found.field, found.remedy, found.is_) == (field, "new vector", "absent")
    assert reason in found.reason


def test_what_the_wanted_spec_leaves_open_is_no_difference():
    open_ = replace(
        SPEC,
        sparse=SparseSpec(),
        server=ServerSpec(),
        fields=Fields(),
        plan="bm25",
        encoder=replace(SPEC.encoder, name="moved"),
    )
    assert compare(SPEC, SPEC) == compare(SPEC, open_) == ()


def test_a_server_that_knows_no_tiers_takes_ram_and_cache_for_one():
    ram = replace(
        vector(placement="ram", codes="cached", hnsw=Hnsw(placement="cached")),
        late=replace(LATE, placement="cached"),
    )
    cached = vector(placement="cached")
    cached = replace(cached, late=replace(LATE, placement="ram"))
    assert compare(ram, cached, tiers=False) == ()
    assert len(compare(ram, cached, tiers=True)) == 4
    assert [one.field for one in compare(ram, vector(placement="disk"), tiers=False)] == [
        "vectors.full.placement", "late.placement",
    ]  # fmt: skip


def test_a_difference_of_a_vector_with_a_dot_in_its_name_is_told_whole():
    one = Difference(
        field="vectors.my.size.vec", is_="a", wanted="b", remedy="migration", reason="c"
    )
    assert str(one) == "vector my.size.vec: is a, wanted b"
    assert str(replace(one, field="vectors..hnsw")) == "vector without a name: graph is a, wanted b"


@pytest.mark.parametrize(
    ("values", "version", "told"),
    [
        ({"quantization": "turbo4"}, (1, 17, 9), "quantization: turbo4 needs Qdrant 1.18.0; this"),
        ({"quantization": "turbo8"}, (1, 18, 3), "quantization: turbo8 needs Qdrant 1.19.0; this"),
        ({"datatype": "turbo4"}, (1, 18, 3), "datatype: turbo4 needs Qdrant 1.19.0; this"),
        ({"datatype": "turbo16"}, (1, 18, 3), "datatype: turbo16 needs Qdrant 1.19.0; this"),
        ({"quantization": "turbo4"}, (1, 18, 0), None),
        ({"quantization": "binary2"}, (1, 16, 0), None),
        ({"quantization": "turbo8", "datatype": "turbo8"}, (1, 19, 0), None),
        ({"quantization": "turbo8"}, None, None),
    ],
)
def test_what_a_server_is_too_old_for_is_refused(monkeypatch, values, version, told):
    monkeypatch.setattr(create, "server_version", lambda _: version)
    spec = replace(SPEC, vectors=(replace(SPEC.vectors[0], **{"quantization": None, **values}),))
    if told is None:
        create.check_version(None, spec)
        return
    with pytest.raises(ArgumentError, match="^vectors.full." + told):
        create.check_version(None, spec)
