"""Arguments in a wrong order or place are an `ArgumentError` that shows the right call."""

from __future__ import annotations

from contextlib import closing

import pytest

import qdrant_static
from qdrant_static import RunOptions, SourceOptions, open_collection
from qdrant_static.errors import ArgumentError

SPEC = qdrant_static.CollectionSpec.for_encoder("wordllama")


@pytest.fixture
def client():
    with closing(qdrant_static.connect(":memory:")) as opened:
        yield opened


@pytest.mark.parametrize(
    ("function", "arguments", "call"),
    [
        (qdrant_static.ingest, ("articles", "a.jsonl"), "ingest(client, collection, source)"),
        (qdrant_static.search, ("articles", "tide"), "search(client, collection, text)"),
        (qdrant_static.search_batch, ("articles", ["tide"]), "search(client, collection, text)"),
        (qdrant_static.tune, ("articles",), "tune(client, collection)"),
        (qdrant_static.verify, ("articles",), "verify(client, collection)"),
        (qdrant_static.quantize, ("articles",), "quantize(client, collection)"),
        (qdrant_static.diff, ("articles", SPEC), "diff(client, collection, spec)"),
        (qdrant_static.apply, ("articles", SPEC), "apply(client, collection, changes)"),
        (
            qdrant_static.ensure_collection,
            ("articles", SPEC),
            "ensure_collection(client, collection, spec)",
        ),
        (
            qdrant_static.create_collection,
            ("articles", SPEC),
            "create_collection(client, collection, spec)",
        ),
        (qdrant_static.list_collections, (), "list_collections(client)"),
        (qdrant_static.delete_collection, ("articles",), "delete_collection(client, collection)"),
        (qdrant_static.point_alias, ("a", "articles"), "point_alias(client, alias, collection)"),
        (qdrant_static.foreign_spec, ("articles",), "foreign_spec(client, collection)"),
        (qdrant_static.add_vector, ("c", "bm25"), "add_vector(client, collection, vector)"),
        (
            qdrant_static.build_filter,
            ("articles", "year=1"),
            "build_filter(client, collection, condition)",
        ),
        (
            qdrant_static.retry_rejects,
            ("articles", "rejects.jsonl"),
            "retry_rejects(client, collection, rejects)",
        ),
        (qdrant_static.ship, ("articles", "http://x"), "ship(local, collection, server)"),
        (qdrant_static.pull, ("articles", "./data"), "pull(server, collection, local)"),
        (qdrant_static.Migration, ("articles",), "Migration(client, alias)"),
    ],
)
def test_a_path_where_a_client_is_expected_shows_the_call(function, arguments, call):
    with pytest.raises(ArgumentError) as raised:
        function("./data", *arguments)
    assert f"'./data' is not a client. Call {call}; connect(" in str(raised.value)


def test_the_former_order_of_ingest_shows_the_present_one(client):
    with pytest.raises(ArgumentError, match=r"list is not a client. Call ingest\(client, coll"):
        qdrant_static.ingest(["a.jsonl"], client, "articles")


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("on_duplicate", "run_options=RunOptions(on_duplicate=...)"),
        ("sync", "run_options=RunOptions(sync=...)"),
        ("payload", "source_options=SourceOptions(payload=...)"),
    ],
)
def test_an_option_that_is_given_directly_names_the_class_that_has_it(client, name, place):
    articles = open_collection(client, "articles", encoder="wordllama")
    for call in (
        lambda: qdrant_static.ingest(client, "articles", "a.jsonl", **{name: True}),
        lambda: articles.ingest("a.jsonl", **{name: True}),
    ):
        with pytest.raises(ArgumentError) as raised:
            call()
        assert place in str(raised.value)


def test_an_argument_that_nothing_has_is_a_type_error(client):
    with pytest.raises(TypeError, match="unexpected keyword argument 'dedupe'"):
        qdrant_static.ingest(client, "articles", "a.jsonl", dedupe=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"source_options": RunOptions()}, "of type RunOptions is not a SourceOptions"),
        ({"run_options": SourceOptions()}, "of type SourceOptions is not a RunOptions"),
        ({"source_options": {"key": "id"}}, "of type dict is not a SourceOptions"),
        ({"passages": 100}, "of type int is not a Passages"),
        ({"progress": 3}, "progress: 3 is neither true, false nor a function"),
    ],
)
def test_options_of_the_wrong_class_are_refused(client, options, message):
    with pytest.raises(ArgumentError) as raised:
        qdrant_static.ingest(client, "articles", "a.jsonl", **options)
    assert message in str(raised.value)


def test_a_spec_of_the_wrong_class_is_refused(client):
    with pytest.raises(ArgumentError, match="of type str is not a CollectionSpec"):
        qdrant_static.create_collection(client, "articles", "spec")
    with pytest.raises(ArgumentError, match="of type CollectionSpec is not a CollectionDiff"):
        qdrant_static.apply(client, "articles", SPEC)


def test_one_id_is_no_list_of_ids():
    with pytest.raises(ArgumentError, match="3 is not a list of ids"):
        qdrant_static.shard_of(3, 2)
