"""Collection: lazy, closes what it opened; a method does what the function of its name does."""

from __future__ import annotations

import inspect
import threading

import pytest
from qdrant_client import QdrantClient

import qdrant_static
from qdrant_static import (
    Collection,
    CollectionSpec,
    EdgeClient,
    open_collection,
    search,
)
from qdrant_static.collection.create import read_spec
from qdrant_static.collectionsummary import CollectionSummary
from qdrant_static.errors import (
    ArgumentError,
    ClientClosedError,
    CollectionNotFoundError,
    EncoderMismatchError,
    NotAPlannedCollectionError,
)
from tests.fakes import FakeEncoder

ROWS = [
    {"id": f"k{number}", "title": f"row {number}", "text": text, "n": number}
    for number, text in enumerate(
        ["moon tide sea", "bread yeast", "lava ash", "whale fish sea", "book of the river"] * 60
    )
]


@pytest.fixture
def place(tmp_path):
    return tmp_path / "data"


@pytest.fixture
def articles(place, encoder):
    with open_collection(place, "articles", encoder=encoder) as opened:
        opened.ingest(ROWS)
        yield opened


def test_opening_creates_nothing_and_opens_nothing(place):
    opened = open_collection(place, "articles", encoder="no such encoder")
    assert repr(opened) == f"Collection({str(place)!r}, 'articles')"
    assert opened.name == "articles"
    opened.close()
    assert not place.exists()


def test_what_cannot_be_a_target_or_a_name_is_refused(place):
    with pytest.raises(ArgumentError, match="target: is empty"):
        open_collection("", "articles")
    with pytest.raises(ArgumentError, match="int is neither a path, a URL nor a client"):
        open_collection(7, "articles")
    with pytest.raises(ArgumentError, match="name: is empty"):
        open_collection(place, "")


def test_rows_go_in_and_are_found(articles):
    assert articles.count() == len(ROWS)
    assert articles.count("n<10") == 10
    assert articles.search("yeast", limit=3)[0].payload["text"] == "bread yeast"
    assert [hits[0].payload["text"] for hits in articles.search_batch(["lava", "tide"])] == [
        "lava ash",
        "moon tide sea",
    ]


def test_a_later_object_needs_the_name_alone(place, articles, model_folder):
    with open_collection(articles.client, "again", encoder=str(model_folder)) as other:
        other.ingest(ROWS[:20])
    articles.close()
    with open_collection(place, "again") as later:
        assert later.encoder.info.dimension == later.spec.encoder.dimension
        assert later.search("bread", limit=1)


def test_a_search_is_what_the_function_gives(articles, encoder):
    expected = search(articles.client, "articles", "whale", encoder=encoder, filter="n<100")
    assert articles.search("whale", filter="n<100") == expected


def test_the_spec_is_what_ingest_creates(place, encoder):
    spec = CollectionSpec.for_encoder(encoder, matryoshka=(8,), payload_indexes={"n": "integer"})
    with open_collection(place, "articles", spec=spec, encoder=encoder) as opened:
        assert opened.spec == spec
        assert not opened.exists()
        opened.ingest(ROWS[:50])
        assert opened.exists()
        assert [vector.name for vector in opened.spec.vectors] == ["full", "mrl_8"]
        assert opened.spec == read_spec(opened.client, "articles")


def test_a_missing_collection_is_named(place, encoder):
    with open_collection(place, "articles", encoder=encoder) as opened:
        assert opened.encoder is encoder
        for reading in (opened.info, opened.count, lambda: opened.search("sea")):
            with pytest.raises((CollectionNotFoundError, ValueError), match="articles"):
                reading()
        with pytest.raises(CollectionNotFoundError):
            _ = opened.spec
    with open_collection(place, "articles") as opened, pytest.raises(CollectionNotFoundError):
        _ = opened.encoder


def test_another_encoder_is_refused(articles):
    with (
        open_collection(articles.client, "articles", encoder=FakeEncoder(salt="x")) as other,
        pytest.raises(EncoderMismatchError),
    ):
        other.search("sea")


def test_tuning_changes_what_the_next_search_does(articles):
    before = articles.explain()
    report = articles.tune(target_recall=0.5, sample=60, budget_s=30, plan="dense")
    assert report.stored
    assert articles.spec.evidence is not None
    assert articles.explain() != before
    assert articles.info().tuned


def test_an_ingest_is_seen_by_the_next_search(articles):
    assert not articles.search("grove", filter="n>=1000")
    articles.ingest([{"id": "new", "title": "row", "text": "red ship", "n": 1000}])
    assert [hit.key for hit in articles.search("ship", filter="n>=1000")] == ["new"]


def test_verify_quantize_and_capacity(articles):
    assert articles.verify().is_sound
    assert articles.quantize(quantization="int8", target_recall=0.1, dry_run=True).reached
    planned = articles.capacity(1_000_000, target_recall=0.8)
    assert planned.corpus.rows == 1_000_000
    assert planned.layouts[0].spec.vectors[0].size == articles.spec.encoder.dimension


def test_a_spec_is_compared_and_applied(articles):
    spec = CollectionSpec.for_encoder(articles.encoder, payload_indexes={"n": "integer"})
    found = articles.diff(spec)
    assert [one.field for one in found.differences] == ["payload_indexes.n"]
    assert articles.apply(found) == found
    assert articles.spec.payload_indexes == {"n": "integer"}
    assert not articles.apply(spec)


def test_a_migration_has_the_alias_and_the_encoder(articles):
    with articles.migrate() as migration:
        assert (migration.client, migration.alias) == (articles.client, "articles")


def test_moving_needs_the_right_kind_of_client(articles, tmp_path):
    with pytest.raises(ArgumentError, match="not the client of a server"):
        articles.pull(tmp_path / "elsewhere")


def test_a_client_that_was_given_stays_open(client, encoder):
    with open_collection(client, "articles", encoder=encoder) as opened:
        opened.ingest(ROWS[:20])
    assert client.count("articles").count == 20


def test_a_client_that_was_opened_is_closed(place, encoder):
    with open_collection(place, "articles", encoder=encoder) as opened:
        opened.ingest(ROWS[:20])
    with EdgeClient(place) as later:
        assert later.count("articles").count == 20


def test_it_cannot_be_used_after_it_was_closed(articles, place):
    articles.close()
    articles.close()
    for using in (lambda: articles.client, articles.count, lambda: articles.search("sea")):
        with pytest.raises(ClientClosedError, match="was closed") as caught:
            using()
        assert str(place) in str(caught.value)
    assert repr(articles) == f"Collection({str(place)!r}, 'articles')"


def test_several_threads_open_one_client(place, encoder):
    with open_collection(place, "articles", encoder=encoder) as opened:
        opened.ingest(ROWS[:50])
        opened.refresh()
        found = []
        threads = [
            threading.Thread(target=lambda: found.append(opened.search("sea"))) for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(found) == 8
        assert all(hits == found[0] for hits in found)


def test_the_info_reads_well(articles, place):
    info = articles.info()
    assert isinstance(info, CollectionSummary)
    assert (info.points, info.encoder, info.plan, info.tuned) == (
        len(ROWS),
        "fake",
        "hybrid",
        False,
    )
    lines = str(info).splitlines()
    assert lines[0] == "collection articles"
    assert f"  target           {place}" in lines
    assert "  points           300" in lines
    assert info.to_dict()["points"] == len(ROWS)
    assert info._repr_html_().startswith("<table><caption>collection articles</caption><tr>")


def test_the_table_of_a_notebook_is_escaped():
    info = CollectionSummary(
        name="<b>", target="a&b", points=1, encoder="<script>", vectors={"full": "4 dimensions"},
        sparse=None, late=None, payload_indexes={"x<y": "keyword"}, plan="dense", tuned=False,
        disk_bytes=None,
    )  # fmt: skip
    html = info._repr_html_()
    assert "<script>" not in html
    assert "<b>" not in html
    assert "x&lt;y (keyword)" in html
    assert "a&amp;b" in html


def test_a_collection_that_was_made_otherwise_needs_its_encoder(client, encoder):
    from qdrant_client import models

    size = encoder.info.dimension
    client.create_collection("theirs", models.VectorParams(size=size, distance="Cosine"))
    row = encoder.encode(["moon tide"])[0].tolist()
    client.upsert("theirs", [models.PointStruct(id=1, vector=row, payload={"body": "moon tide"})])
    with open_collection(client, "theirs") as opened:
        assert opened.info().encoder == "unknown"
        with pytest.raises(NotAPlannedCollectionError):
            opened.search("moon")
    with open_collection(client, "theirs", encoder=encoder) as opened:
        assert [hit.id for hit in opened.search("moon")] == [1]


def test_a_server_is_not_asked_before_it_is_needed():
    opened = Collection("http://user:secret@localhost:1", "articles")
    assert "secret" not in repr(opened)
    assert isinstance(opened.client, QdrantClient)
    opened.close()


#: What the object holds, so that its methods do not take it.
HELD = {"spec", "encoder", "query_encoder", "late_encoder", "cross_encoder"}


@pytest.mark.parametrize(
    "name", ["ingest", "verify", "search", "search_batch", "tune", "quantize", "ship", "pull"]
)
def test_a_method_has_the_options_of_the_function_of_its_name(name):
    def options(function):
        parameters = inspect.signature(function).parameters.values()
        return {
            one.name: one.default
            for one in parameters
            if one.kind is one.KEYWORD_ONLY and one.name not in HELD
        }

    assert options(getattr(Collection, name)) == options(getattr(qdrant_static, name))
