"""CollectionSpec: its rules, and its way into a collection's metadata and back."""

from __future__ import annotations

import copy
import json
import pickle
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qdrant_static.collection.quantization import SHORT_NAMES, Binary, Turbo
from qdrant_static.collection.spec import (
    VERSION,
    CollectionSpec,
    Fields,
    Hnsw,
    SparseSpec,
    VectorSpec,
    matryoshka_name,
)
from qdrant_static.collection.specfile import spec_from_toml, spec_to_toml
from qdrant_static.encoders.base import EncoderInfo
from qdrant_static.errors import ArgumentError
from tests.fakes import FakeEncoder


def spec_of(**options) -> CollectionSpec:
    return CollectionSpec.for_encoder(FakeEncoder(), **options)


def test_the_default_is_the_preset_of_the_size_with_bm25():
    spec = spec_of()
    assert spec.vectors == (VectorSpec(name="full", size=32, quantization=Turbo(bits=4)),)
    assert spec.sparse == SparseSpec(language="english", mean_length=None)
    assert spec.encoder == FakeEncoder().info
    assert (dict(spec.payload_indexes), spec.fields, spec.plan) == ({}, Fields(), None)


def test_matryoshka_sizes_become_named_vectors_of_which_one_has_the_graph():
    spec = spec_of(matryoshka=(16, 8), quantization={"mrl_8": None, "full": "binary"})
    assert [(v.name, v.size, v.quantization) for v in spec.vectors] == [
        ("full", 32, Binary()), ("mrl_16", 16, Turbo(bits=4)), ("mrl_8", 8, None),
    ]  # fmt: skip
    assert [v.hnsw for v in spec.vectors] == [Hnsw(), None, None]
    assert matryoshka_name(16) == "mrl_16"


@pytest.mark.parametrize(
    ("options", "field", "told"),
    [
        ({"matryoshka": (32,)}, "matryoshka", "32"),
        ({"matryoshka": (64,)}, "matryoshka", "64"),
        ({"matryoshka": (8, 16)}, "matryoshka", "fall"),
        ({"matryoshka": (16, 16)}, "matryoshka", "fall"),
        ({"matryoshka": (0,)}, "matryoshka", "0 is not an integer of at least 1"),
        ({"matryoshka": (-4,)}, "matryoshka", "-4 is not an integer of at least 1"),
        ({"matryoshka": ("16",)}, "matryoshka", "16"),
        ({"matryoshka": (16.5,)}, "matryoshka", "16.5"),
        ({"quantization": "scalar"}, "vectors.full.quantization", "'scalar' is unknown"),
        ({"quantization": {"mrl_8": "binary"}}, "quantization.mrl_8", "no vector"),
        (
            {"quantization": {"kind": "binary", "bits": 3}},
            "vectors.full.quantization.bits",
            "1, 1.5, 2",
        ),
        (
            {"quantization": {"kind": "binary", "bit": 1}},
            "vectors.full.quantization.bit",
            "unknown",
        ),
        ({"quantization": {"kind": "ternary"}}, "vectors.full.quantization.kind", "'ternary'"),
        ({"graph": "mrl_16"}, "graph", "there are full"),
        ({"placement": "tape"}, "vectors.full.placement", "cached"),
        ({"sparse": "splade"}, "sparse", "'splade' is unknown"),
        ({"sparse": True}, "sparse", "True is unknown"),
        ({"payload_indexes": {"year": "number"}}, "payload_indexes.year", "integer"),
        ({"plan": "hybird"}, "plan", "hybird"),
        ({"plan": "bm25", "sparse": None}, "plan", "BM25"),
    ],
)
def test_a_spec_that_cannot_work_is_an_error_that_names_the_field(options, field, told):
    with pytest.raises(ArgumentError) as caught:
        spec_of(**options)
    assert caught.value.field.startswith(field)
    assert told in caught.value.message


@pytest.mark.parametrize("length", [0, -1.0, float("nan")])
def test_a_mean_length_is_a_positive_number(length):
    with pytest.raises(ArgumentError, match=r"sparse\.mean_length"):
        SparseSpec(mean_length=length)


@pytest.mark.parametrize(
    "vectors",
    [(), (VectorSpec(name="mrl_16", size=16),), (VectorSpec(name="full", size=31),)],
)
def test_the_first_vector_is_the_whole_output_of_the_encoder(vectors):
    with pytest.raises(ArgumentError, match="full"):
        CollectionSpec(encoder=FakeEncoder().info, vectors=vectors)


def test_an_unknown_vector_is_an_error_that_lists_those_there():
    spec = spec_of(matryoshka=(16,))
    assert spec.vector("mrl_16").size == 16
    with pytest.raises(
        ArgumentError, match="'mrl_8' is not in the collection; it has full, mrl_16"
    ):
        spec.vector("mrl_8")


def test_a_spec_cannot_be_changed_in_place():
    given = {"year": "integer"}
    spec = spec_of(payload_indexes=given)
    given["other"] = "keyword"
    assert dict(spec.payload_indexes) == {"year": "integer"}
    with pytest.raises(AttributeError):
        spec.plan = "exact"


specs = st.builds(
    CollectionSpec.for_encoder,
    st.just(FakeEncoder()),
    matryoshka=st.sets(st.integers(1, 31), max_size=4).map(lambda s: tuple(sorted(s)[::-1])),
    quantization=st.sampled_from(["auto", None, *SHORT_NAMES]),
    sparse=st.one_of(
        st.just("bm25"),
        st.builds(SparseSpec, mean_length=st.none() | st.floats(0.5, 1e3, allow_nan=False)),
    ),
    payload_indexes=st.dictionaries(st.text(max_size=5), st.sampled_from(["keyword", "integer"])),
    plan=st.sampled_from([None, "exact", "hybrid", {"kind": "dense", "oversampling": 8}]),
)


@given(specs)
def test_a_spec_comes_back_from_json_as_it_was(spec):
    again = CollectionSpec.from_dict(json.loads(json.dumps(spec.to_dict())))
    assert again == spec
    assert again.to_dict() == spec.to_dict()


@given(specs)
def test_a_spec_comes_back_from_toml_as_it_was(spec):
    assert spec_from_toml(spec_to_toml(spec)) == spec


def test_a_short_toml_has_the_arguments_of_for_encoder():
    text = 'matryoshka = [16]\nquantization = "binary1.5"\n[sparse]\nlanguage = "german"\n'
    assert spec_from_toml(text, encoder=FakeEncoder()) == spec_of(
        matryoshka=(16,), quantization="binary1.5", sparse=SparseSpec(language="german")
    )


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("matryoshka = [16", "not valid TOML"),
        ("matroska = [16]", "matroska: is unknown; known: matryoshka"),
        ("matryoshka = [16]", "names no encoder"),
        ("[sparse]\nwords = 1", "spec.sparse.words: is unknown"),
    ],
)
def test_a_toml_that_cannot_work_names_the_place(text, told):
    with pytest.raises(ArgumentError, match=re.escape(told)):
        spec_from_toml(text)


def test_an_unknown_name_in_a_table_is_named_with_its_path():
    for text, told in (("[sparse]\nwords = 1", "sparse.words"), ("[server]\nx = 1", "server.x")):
        with pytest.raises(ArgumentError, match=re.escape(told)):
            spec_from_toml(text, encoder=FakeEncoder())


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"datatype": "uint8"}, "vectors.full.scale"),
        ({"datatype": "uint8", "scale": 100.0}, "vectors.full.distance"),
        ({"datatype": "uint8", "scale": float("nan"), "distance": "euclid"}, "vectors.full.scale"),
        ({"scale": 2.0}, "vectors.full.scale"),
        ({"datatype": "int4"}, "vectors.full.datatype"),
        ({"distance": "hamming"}, "vectors.full.distance"),
        ({"codes": "tape"}, "vectors.full.codes"),
        ({"size": 70_000}, "vectors.full.size"),
        ({"size": True}, "vectors.full.size"),
    ],
)
def test_a_vector_that_cannot_work_is_an_error_that_names_the_field(options, field):
    with pytest.raises(ArgumentError) as caught:
        VectorSpec(**{"name": "full", "size": 32, **options})
    assert caught.value.field == field


def test_what_an_ingest_found_out_comes_back_too():
    fields = Fields(key="doi", text=("title", "abstract"))
    spec = spec_of().with_source(fields=fields, mean_length=12.5)
    again = CollectionSpec.from_dict(json.loads(json.dumps(spec.to_dict())))
    assert (again.fields, again.sparse.mean_length) == (fields, 12.5)


def test_a_measured_mean_length_is_not_measured_again():
    spec = spec_of(sparse=SparseSpec(mean_length=3.0)).with_source(fields=Fields(), mean_length=9.0)
    assert spec.sparse.mean_length == 3.0
    assert spec_of(sparse=None).with_source(fields=Fields(), mean_length=9.0).sparse is None


def test_a_spec_of_another_version_is_an_error_that_says_so():
    for version in (VERSION + 1, None, "1"):
        with pytest.raises(ArgumentError, match="version"):
            CollectionSpec.from_dict({**spec_of().to_dict(), "version": version})


@pytest.mark.parametrize(
    "damage",
    [
        {"encoder": None}, {"encoder": {"name": "x"}}, {"encoder": "x"}, {"vectors": None},
        {"vectors": []}, {"vectors": ["full"]}, {"vectors": [{"name": "full", "size": "32"}]},
        {"sparse": {"words": 1}}, {"sparse": 3}, {"fields": None}, {"fields": {}},
        {"fields": {"key": None, "text": 5}}, {"payload_indexes": None}, {"payload_indexes": []},
        {"plan": 3},
    ],
)  # fmt: skip
def test_a_damaged_spec_is_a_spec_error_whatever_the_damage(damage):
    with pytest.raises(ArgumentError):
        CollectionSpec.from_dict({**spec_of().to_dict(), **damage})


@pytest.mark.parametrize("part", ["encoder", "vectors", "sparse", "payload_indexes", "fields"])
def test_a_spec_with_a_part_missing_is_a_spec_error(part):
    data = spec_of().to_dict()
    del data[part]
    with pytest.raises(ArgumentError, match=part):
        CollectionSpec.from_dict(data)


@pytest.mark.parametrize("data", [None, [], "spec"])
def test_what_is_no_mapping_is_a_spec_error(data):
    with pytest.raises(ArgumentError):
        CollectionSpec.from_dict(data)


@pytest.mark.parametrize("again", [copy.deepcopy, lambda s: pickle.loads(pickle.dumps(s))])  # noqa: S301
def test_a_spec_travels_to_another_process(again):
    spec = spec_of(payload_indexes={"year": "integer"}, matryoshka=(16,))
    assert again(spec) == spec


def test_the_fake_encoder_of_these_tests_is_an_encoder():
    from qdrant_static import Encoder

    assert isinstance(FakeEncoder(), Encoder)
    assert FakeEncoder().info == EncoderInfo(
        name="fake", dimension=32, fingerprint="fake-plain-32", revision=None
    )
