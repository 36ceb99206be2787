"""Text from outside (job files, specs, plans): whatever it says, only our errors come out."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any
from unittest import mock

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qdrant_static import plaindata
from qdrant_static.collection import params
from qdrant_static.collection.passes import check_plan
from qdrant_static.collection.plan import SearchPlan
from qdrant_static.collection.spec import CollectionSpec
from qdrant_static.collection.specfile import SHORT, from_data
from qdrant_static.errors import ArgumentError, QdrantStaticError
from qdrant_static.jobs import Job
from qdrant_static.querying.explain import explain
from qdrant_static.reading.options import SourceOptions
from qdrant_static.suggestions import suggestion
from tests.fakes import FakeEncoder

JOB = {
    "collection": "articles",
    "paths": ["a.parquet"],
    "db": "data",
    "encoder": "wordllama",
    "connect": {"api_key": "key", "timeout_s": 5},
    "spec": {
        "matryoshka": [16],
        "quantization": {"full": "binary", "mrl_16": {"kind": "turbo", "bits": 4}},
        "graph": ["full"],
        "placement": "disk",
        "sparse": {"language": "german", "stop_words": ["und"], "mean_length": 3.5},
        "late": {"encoder": "x", "size": 8},
        "payload_indexes": {"year": "integer"},
        "server": {"shards": 2, "replicas": 2, "write_consistency": 1, "on_disk_payload": True},
        "plan": {"kind": "hybrid", "candidates": 20},
    },
    "source": {
        "key": "id", "text": ["title"], "payload": ["year"], "rename": {"a": "b"},
        "types": {"n": "integer"}, "max_text_bytes": 100,
    },
    "ingest": {"sync": True, "max_rejects": "1%", "threads": 2},
    "build": {"folder": "f", "shards": 2, "peers": {"1": "http://a:6333"}, "max_mb_s": 2.5},
    "passages": {"tokens": 100, "overlap": 5},
}  # fmt: skip
PLAN = {
    "kind": "hybrid", "oversampling": 2.0, "rescore": True, "ef": 64, "candidates": 20,
    "fusion": "complete", "dense_weight": 1, "sparse_weight": 2, "repeated_terms": "sqrt",
    "feedback": 0.5, "feedback_hits": 3,
    "stages": [{"vector": "mrl_16", "limit": 50, "ef": 10}, {"vector": "full", "exact": True}],
}  # fmt: skip

values: st.SearchStrategy[Any] = st.recursive(
    st.one_of(
        st.booleans(),
        st.integers(),
        st.sampled_from([0, -1, 2**31, 2**63, 10**400]),
        st.floats(),
        st.text(max_size=8),
        st.sampled_from(["", "none", "auto", "binary", "bm25", "full"]),
        st.just(dt.date(2024, 1, 1)),
        st.just(dt.datetime(2024, 1, 1, tzinfo=dt.UTC)),
    ),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=4,
)


def paths_of(data: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = data.items() if isinstance(data, dict) else enumerate(data)
    found = []
    for key, value in inner:
        found.append((*at, key))
        if isinstance(value, dict | list):
            found += paths_of(value, (*at, key))
    return found


@st.composite
def changed(draw: st.DrawFn, whole: dict[str, Any]) -> dict[str, Any]:
    """A valid table in which one or two values are others, or have other names."""
    data = json.loads(json.dumps(whole))
    for _ in range(draw(st.integers(1, 2))):
        paths = paths_of(data)
        if not paths:
            break
        *before, last = draw(st.sampled_from(paths))
        place = data
        for step in before:
            place = place[step]
        if isinstance(place, dict) and draw(st.integers(0, 5)) == 0:
            place[draw(st.text(max_size=5))] = place.pop(last)
        else:
            place[last] = draw(values)
    return data


def _assert_begins(error: ArgumentError, place: str) -> None:
    assert error.field.startswith(place)


@settings(max_examples=400, suppress_health_check=[HealthCheck.too_slow])
@given(data=changed(JOB))
def test_a_job_file_is_read_or_refused_by_name(data):
    with mock.patch.object(plaindata, "read_toml", return_value=data):
        try:
            job = Job.load("nightly.toml", {})
        except ArgumentError as error:
            _assert_begins(error, "nightly.toml")
            return
    assert isinstance(job.source, SourceOptions)
    if job.spec is None:
        return
    try:
        spec = from_data(job.spec, encoder=FakeEncoder(32), where="nightly.toml: spec")
    except ArgumentError as error:
        _assert_begins(error, "nightly.toml: spec")
        return
    # What is accepted can be made: the client's own models refuse nothing of it.
    for vector in spec.vectors:
        params.vector_params(vector, tiers=True)
    params.server_arguments(spec)


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(data=changed(CollectionSpec.for_encoder(FakeEncoder(32), matryoshka=[16]).to_dict()))
def test_metadata_are_a_spec_or_refused(data):
    try:
        spec = CollectionSpec.from_dict(data)
    except QdrantStaticError:
        return
    assert CollectionSpec.from_dict(spec.to_dict()) == spec


@settings(max_examples=400, suppress_health_check=[HealthCheck.too_slow])
@given(data=changed(PLAN))
def test_a_plan_is_one_or_refused(data):
    spec = CollectionSpec.for_encoder(FakeEncoder(32), matryoshka=[16])
    try:
        plan = SearchPlan.of(data)
        check_plan(plan, spec)
    except QdrantStaticError:
        return
    assert SearchPlan.of(plan.to_dict()) == plan
    assert explain(plan, spec, rows=1000).to_dict()


@given(raw=st.binary(max_size=60))
def test_bytes_are_toml_or_refused(raw, tmp_path_factory):
    path = tmp_path_factory.mktemp("toml") / "a.toml"
    path.write_bytes(raw)
    try:
        assert isinstance(plaindata.read_toml(path), dict)
    except ArgumentError as error:
        _assert_begins(error, str(path))


@pytest.mark.parametrize(
    ("table", "told"),
    [
        (
            {"matryoshka": 64},
            "nightly.toml: spec.matryoshka: is not a list of integers; found an i",
        ),
        (
            {"payload_indexes": ["year"]},
            "nightly.toml: spec.payload_indexes: is not a table; found",
        ),
        (
            {"graph": True},
            "nightly.toml: spec.graph: is not a string or a list of strings; found t",
        ),
        ({"server": 2}, "nightly.toml: spec.server: is not a table; found an integer"),
        ({"late": "x"}, "nightly.toml: spec.late: is not a table; found a string"),
        ({"matroshka": [64]}, "nightly.toml: spec.matroshka: is unknown; known: matryoshka, quan"),
        (
            {"placement": "rma"},
            "nightly.toml: spec.placement: is unknown; known: ram, cached, disk",
        ),
    ],
)
def test_a_wrong_spec_names_file_table_and_key_before_anything_is_opened(table, told):
    data = {"collection": "c", "paths": "a.jsonl", "spec": table}
    with (
        mock.patch.object(plaindata, "read_toml", return_value=data),
        pytest.raises(ArgumentError) as caught,
    ):
        Job.load("nightly.toml", {})
    assert caught.value.message.startswith(told)


def test_a_wrong_source_names_file_table_and_key():
    data = {"collection": "c", "paths": "a.jsonl", "source": {"text": 5}}
    with (
        mock.patch.object(plaindata, "read_toml", return_value=data),
        pytest.raises(ArgumentError, match=r"nightly.toml: source.text: is not a list of strings"),
    ):
        Job.load("nightly.toml", {})
    data["source"] = {"delimiter": "ab"}
    with (
        mock.patch.object(plaindata, "read_toml", return_value=data),
        pytest.raises(
            ArgumentError, match=r"nightly.toml: source.delimiter: 'ab' is not a single ASCII char"
        ),
    ):
        Job.load("nightly.toml", {})


def test_a_byte_order_mark_is_no_part_of_a_file(tmp_path):
    path = tmp_path / "a.toml"
    path.write_bytes(b'\xef\xbb\xbfname = "x"\n')
    assert plaindata.read_toml(path) == {"name": "x"}


def test_a_file_in_another_encoding_names_file_and_line(tmp_path):
    path = tmp_path / "a.toml"
    path.write_bytes("a = 1\nlanguage = 'français'\n".encode("latin-1"))
    with pytest.raises(ArgumentError, match=r"a.toml: line 2 is not UTF-8"):
        plaindata.read_toml(path)


@pytest.mark.parametrize("written", ["\t", "\\t", "tab"])
def test_a_tab_may_be_written_as_a_shell_hands_it_over(written):
    assert SourceOptions(delimiter=written).delimiter == "\t"


@pytest.mark.parametrize(
    ("given", "told"),
    [("matroshka", "; did you mean 'matryoshka'?"), ("SERVER", "; did you mean 'server'?"),
     ("zebra", "")],
)  # fmt: skip
def test_a_near_miss_is_suggested(given, told):
    assert suggestion(given, SHORT) == told
