"""Filters against what is stored: by index, without one, and over nothing."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import uuid4

import pytest
from qdrant_client import models

from qdrant_static import CollectionSpec, EdgeClient, create_collection, search
from qdrant_static.errors import ArgumentError, FieldNotFoundError, FilterError, QdrantStaticError
from qdrant_static.querying.filters import StoredFields, build_filter, index_warnings
from qdrant_static.querying.run import Searcher
from tests.fakes import FakeEncoder

UUID = "550e8400-e29b-41d4-a716-446655440000"
PAYLOADS = [
    {"year": 2001, "price": 1.5, "free": True, "day": "2024-01-01", "lang": "en", "uid": UUID,
     "tags": ["x", "y"], "authors": [{"name": "kay"}], "o": {"p": 4}, "o.q": 7, "a b": 1,
     "a+b": "plus", "e": "", "big": 2**63 - 1, "mixed": 5, "code": "007", "gone": None},
    {"year": 2000, "price": 2, "free": False, "day": "2024-01-01T12:30:00Z", "lang": "de",
     "mixed": "5", "big": 2**64 - 1, "tags": [], "code": "a,b"},
    {"year": 1999, "price": -3.25, "day": "2024-02-29 23:00:00+02:00", "lang": "fr", "mixed": 5.5},
    {"year": 2**53 + 1, "lang": "null", "day": "2023-12-31T23:59:59.5"},
]  # fmt: skip
INDEXES = {
    "year": "integer", "price": "float", "free": "bool", "day": "datetime", "lang": "keyword",
    "uid": "uuid", "o.p": "integer", "a b": "integer",
}  # fmt: skip


@pytest.fixture(scope="module", params=[True, False], ids=["indexed", "plain"])
def stored(request, tmp_path_factory):
    encoder = FakeEncoder()
    indexes = INDEXES if request.param else {}
    with EdgeClient(tmp_path_factory.mktemp("filters")) as client:
        spec = CollectionSpec.for_encoder(encoder, sparse=None, payload_indexes=indexes)
        create_collection(client, "c", spec)
        vectors = encoder.encode([f"row {n}" for n in range(4)]).tolist()
        points = [
            models.PointStruct(id=n, vector={"full": vectors[n]}, payload=payload)
            for n, payload in enumerate(PAYLOADS)
        ]
        client.upsert("c", points)
        yield client


def found(client, given) -> list[int]:
    narrowed = build_filter(client, "c", given)
    return [one.id for one in client.scroll("c", scroll_filter=narrowed)[0]]


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("year>=2000", [0, 1, 3]),
        ("year==1999", [2]),
        ("year=1999,2001", [0, 2]),
        ("year!=2000", [0, 2, 3]),
        ("year!=2000,2001", [2, 3]),
        ("year>1999 and year<=2001", [0, 1]),
        ("year=2000.0", [1]),
        ("year>1999.5 and year<3000", [0, 1]),
        ("price=1.5", [0]),
        ("price=2", [1]),
        ("price=2,-3.25", [1, 2]),
        ("price<0", [2]),
        ("price!=2", [0, 2, 3]),
        ("price!=2 and price is not null", [0, 2]),
        ("free=true", [0]),
        ("free!=TRUE", [1, 2, 3]),
        ("free=true,false", [0, 1]),
        ("lang=en,de", [0, 1]),
        ("lang!=en", [1, 2, 3]),
        ("lang='null'", [3]),
        ("lang=null", []),
        ("code=007", [0]),
        ("code='a,b'", [1]),
        ("e=''", [0]),
        ("e is not null", [0]),
        ("gone is null", [0, 1, 2, 3]),
        ("price is null", [3]),
        ("price=null,2", [1, 3]),
        ("price!=null,2", [0, 2]),
        ("tags=y", [0]),
        ("tags=y,z", [0]),
        ("tags!=y", [1, 2, 3]),
        ("authors[].name=kay", [0]),
        ("o.p>=4", [0]),
        ("o.q=7", [0]),
        ("'a b'=1", [0]),
        ('"a+b"=plus', [0]),
        ("big=9223372036854775807", [0]),
        ("mixed=5", [0, 1]),
        ("mixed=5.5", [2]),
        ("day=2024-01-01", [0, 1]),
        ("day=2024-01-01T12:30:00Z", [1]),
        ("day=2024-01-01T13:30:00+01:00", [1]),
        ("day=2024-01-01 12:30", [1]),
        ("day>=2024", [0, 1, 2]),
        ("day=2024-02", [2]),
        ("day=2024-02-29", [2]),
        ("day!=2024", [3]),
        ("day<=2024-01-01", [0, 1, 3]),
        ("day>2024-01-01", [2]),
        ("day<2024-01-01", [3]),
        ("day>=2024-01-01 and day<2024-02-29T21:00:00Z", [0, 1]),
        ("day>9999", []),
        ("day<=9999-12-31", [0, 1, 2, 3]),
        ("uid=" + UUID, [0]),
    ],
)
def test_a_filter_finds_what_it_says(stored, text, ids):
    assert found(stored, text) == ids


def test_a_uuid_index_knows_every_spelling(stored):
    if not StoredFields(stored, "c").find("uid").index:
        pytest.skip("needs the index")
    assert found(stored, f"uid={UUID.upper().replace('-', '')}") == [0]
    assert found(stored, f"uid={uuid4()},{UUID}") == [0]


@pytest.mark.parametrize(
    ("text", "character", "told"),
    [
        ("year=abc", 6, "and 'abc' is not an integer"),
        ("year=1999,2o00", 11, "and '2o00' is not an integer"),
        ("year=1_999", 6, "is not an integer"),
        ("year=18446744073709551615", 6, "beyond the integers that the engine matches"),
        ("year>=9007199254740993", 7, "cannot be compared exactly"),
        ("year=" + "9" * 5000, 6, "beyond the integers"),
        ("price>=1e400", 8, "too large for a number"),
        ("price=nan", 7, "is not a number"),
        ("free=yes", 6, "is not true or false"),
        ("free>false", 6, "only = and != compare that"),
        ("day=yesterday", 5, "is not a date (2024-05-31"),
        ("day>=2024-02-30", 6, "is not a date"),
        ("day>=31.12.2024", 6, "is not a date"),
        ("lang>=en", 7, "only = and != compare that"),
        ("o=1", 3, "holds objects, which only Qdrant's own JSON can compare"),
    ],
)
def test_a_value_that_does_not_fit_is_an_error(stored, text, character, told):
    with pytest.raises(FilterError) as raised:
        build_filter(stored, "c", text)
    assert raised.value.character == character
    assert told in str(raised.value)
    assert len(str(raised.value)) < 600


@pytest.mark.parametrize(
    ("given", "near"),
    [
        ("yaer>=2000", ("year",)),
        ("Year>=2000", ("year",)),
        ("yaer is null", ("year",)),
        ("authors.name=kay", ("authors[].name",)),
        ("year>=1 and lan=en", ("lang",)),
        ("zzz=1", ()),
        ({"must": [{"key": "yaer", "range": {"gte": 2000}}]}, ("year",)),
        ('{"must_not": [{"should": [{"key": "yaer", "match": {"value": 1}}]}]}', ("year",)),
    ],
)
def test_a_field_that_no_point_has_is_an_error(stored, given, near):
    with pytest.raises(FieldNotFoundError) as raised:
        build_filter(stored, "c", given)
    assert raised.value.near == near
    assert {"year", "lang", "authors[].name", '"a b"'} <= set(raised.value.fields)


@pytest.mark.parametrize(
    ("given", "ids"),
    [
        ({"must": [{"key": "year", "range": {"gte": 2000}}]}, [0, 1, 3]),
        ('{"must": [{"key": "lang", "match": {"any": ["en", "de"]}}]}', [0, 1]),
        ({"must": [{"is_empty": {"key": "nowhere"}}]}, [0, 1, 2, 3]),
        ({"must": [{"has_id": [1, 2]}]}, [1, 2]),
        (["year>=2000", {"must": [{"key": "free", "match": {"value": True}}]}], [0]),
        (models.Filter(must=[models.HasIdCondition(has_id=[2])]), [2]),
        ((), [0, 1, 2, 3]),
        (None, [0, 1, 2, 3]),
    ],
)
def test_qdrants_own_form_works_too(stored, given, ids):
    assert found(stored, given) == ids


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ('{"must": ', "is not valid JSON"),
        ('{"musst": []}', "is not a Qdrant filter: musst"),
        ({"must": 5}, "is not a Qdrant filter: must"),
        ('{"must": [{"key": "year", "match": {"value": 99999999999999999999999}}]}', "not within"),
        ({"must": [{"key": "year", "match": {"any": [2**64]}}]}, "is not within"),
        ({"must": [{"has_id": [2**64]}]}, "is not within 0 to"),
        ({"must": [{"key": "a b", "match": {"value": 1}}]}, "write it as"),
        ("[" * 5000, "after the field"),
        ('{"must": ' + "[" * 100_000, "is not valid JSON"),
        (5, "int is not a filter"),
        (["year>=2000", 7], "int is not a filter"),
    ],
)
def test_what_is_no_filter_is_an_error(stored, given, told):
    with pytest.raises(QdrantStaticError, match=r"^filter") as raised:
        build_filter(stored, "c", given)
    assert told in str(raised.value)


def test_a_filter_narrows_searches_and_costs_requests_once(stored, monkeypatch):
    encoder = FakeEncoder()
    searcher = Searcher(stored, "c", encoder=encoder)
    asked = []
    for name in ("get_collection", "scroll", "collection_exists"):
        method = getattr(stored, name)
        monkeypatch.setattr(
            stored, name, lambda *a, _n=name, _m=method, **k: asked.append(_n) or _m(*a, **k)
        )
    hits = searcher.search("row 1", plan="exact", filter="year>=2000 and lang=en,de")
    assert [hit.id for hit in hits] == [1, 0]
    assert "get_collection" not in asked  # read when the collection was opened
    asked.clear()
    assert len(searcher.search("row 1", plan="exact", filter="year=2000 and lang!=x")) == 1
    assert asked == []
    (only,) = search(
        stored, "c", "row 1", encoder=encoder, plan="exact",
        filter={"must": [{"key": "year", "match": {"value": 1999}}]},
    )  # fmt: skip
    assert only.id == 2
    with pytest.raises(ArgumentError, match="give one"):
        searcher.search("row", filter="year=1", query_filter=models.Filter())


def test_an_empty_collection_has_no_unknown_fields(articles):
    assert build_filter(articles, "articles", "n>=5 and whatever=x and day>=2024") is not None


def test_a_date_with_a_zone_is_an_instant(stored):
    made = build_filter(stored, "c", "day>=2024-01-01T00:30:00+01:00")
    assert made.must[0].range.gte == datetime(2023, 12, 31, 23, 30, tzinfo=UTC)


def test_indexes_over_nothing_are_told(client, encoder):
    indexes = {"n": "integer", "yaer": "integer", "x.y": "keyword", "f": "bool", "ok": "keyword"}
    spec = CollectionSpec.for_encoder(encoder, sparse=None, payload_indexes=indexes)
    create_collection(client, "c", spec)
    assert index_warnings(client, "c") == []
    payload = {"n": "1", "year": 5, "x.y": "k", "f": 1, "ok": "v", "none": None}
    client.upsert("c", [models.PointStruct(id=1, vector={"full": [1.0] * 32}, payload=payload)])
    told = dict(zip(("f", "n", "x.y", "yaer"), index_warnings(client, "c"), strict=True))
    assert told["f"].endswith("holds 0 of 1 points: the values are integers; index it as f:integer")
    assert "--types n:integer" in told["n"]
    assert "so quote it: '\"x.y\"'" in told["x.y"]
    assert "did you mean 'year'?" in told["yaer"]


def test_an_index_over_some_of_the_values_is_told_with_the_counts(client, encoder):
    indexes = {"at": "datetime", "tag": "keyword"}
    spec = CollectionSpec.for_encoder(encoder, sparse=None, payload_indexes=indexes)
    create_collection(client, "c", spec)
    payloads = [{"at": "2024-01-01", "tag": "x"}, {"at": "yesterday"}, {"at": 5}, {"at": None}, {}]
    client.upsert(
        "c", [models.PointStruct(id=n, vector={}, payload=one) for n, one in enumerate(payloads)]
    )
    assert index_warnings(client, "c") == [
        "the index on 'at' (datetime) holds 1 of the 3 points that have a value there: the values "
        "of the other 2 are not of that type, and filters on the field do not find them"
    ]
