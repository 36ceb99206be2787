"""EdgeClient: collections on disk; created, described, deleted, and nobody else's meanwhile."""

from __future__ import annotations

import datetime
import json
import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from qdrant_client import models

from qdrant_static import CollectionSpec, EdgeClient, create_collection
from qdrant_static.collection.create import read_spec
from qdrant_static.collection.spec import SparseSpec
from qdrant_static.edge.directory import check_name
from qdrant_static.errors import (
    ArgumentError,
    ClientClosedError,
    CollectionExistsError,
    CollectionLockedError,
    CollectionNameError,
    CollectionNotFoundError,
    EngineError,
    NotAPlannedCollectionError,
    PointError,
    StorageError,
)
from tests.fakes import run_cli

PARAMS = models.VectorParams(size=4, distance=models.Distance.COSINE)


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_nothing_is_created_before_the_first_collection(client, tmp_path):
    assert not client.collection_exists("a")
    assert client.get_collections().collections == []
    assert client.delete_collection("a") is False
    with pytest.raises(CollectionNotFoundError):
        client.count("a")
    with pytest.raises(CollectionNotFoundError):
        read_spec(client, "a")
    client.close()
    assert files(tmp_path) == set()


def test_a_folder_without_collections_is_named_in_full(tmp_path, monkeypatch):
    """The path may have been meant from another working directory."""
    monkeypatch.chdir(tmp_path)
    with (
        EdgeClient("data") as client,
        pytest.raises(CollectionNotFoundError) as caught,
    ):
        client.count("a")
    assert (
        str(caught.value) == f"no collection 'a' in {tmp_path / 'data'}, which has no collections"
    )


def test_a_vector_by_name_for_one_without_is_told_so(client):
    client.create_collection("c", PARAMS)
    point = models.PointStruct(id=1, vector={"v": [1.0, 2.0, 3.0, 4.0]})
    with pytest.raises(PointError, match="no dense vector 'v'; there are: one without a name"):
        client.upsert("c", [point])
    assert client.count("c").count == 0


def test_a_collection_lies_where_the_layout_says(client, tmp_path):
    client.create_collection("a", PARAMS)
    assert {"db", "db/a", "db/a/collection.json", "db/a/lock", "db/a/shards/0"} <= files(tmp_path)
    assert set(os.listdir(tmp_path / "db" / "a")) == {"collection.json", "lock", "shards"}
    assert stat.S_IMODE((tmp_path / "db" / "a").stat().st_mode) == 0o700


def test_a_second_creation_is_an_error_and_changes_nothing(client):
    client.create_collection("a", PARAMS)
    client.upsert("a", [models.PointStruct(id=1, vector=[1.0, 0, 0, 0], payload={})])
    with pytest.raises(CollectionExistsError):
        client.create_collection("a", PARAMS)
    assert client.count("a").count == 1


@pytest.mark.parametrize("vectors", [None, {}])
def test_a_collection_without_vectors_is_an_error_and_leaves_nothing(client, tmp_path, vectors):
    with pytest.raises(ArgumentError, match="needs a vector"):
        client.create_collection("a", vectors)
    assert files(tmp_path) == set()


def test_a_description_comes_back_in_another_client(client, tmp_path):
    vectors = {
        "full": models.VectorParams(
            size=4, distance=models.Distance.DOT,
            quantization_config=models.BinaryQuantization(
                binary=models.BinaryQuantizationConfig(always_ram=True)
            ),
        ),
        "small": models.VectorParams(size=2, distance=models.Distance.EUCLID),
    }  # fmt: skip
    sparse = {"bm25": models.SparseVectorParams(modifier=models.Modifier.IDF)}
    metadata = {"a": {"deep": [1, None, "ä"]}}
    client.create_collection("a", vectors, sparse, metadata=metadata)
    client.create_payload_index("a", "year", models.PayloadSchemaType.INTEGER)
    client.close()
    with EdgeClient(tmp_path / "db") as again:
        info = again.get_collection("a")
    assert info.config.params.vectors == vectors
    assert info.config.params.sparse_vectors == sparse
    assert info.config.metadata == metadata
    assert info.payload_schema["year"].data_type == models.PayloadSchemaType.INTEGER
    assert info.status == models.CollectionStatus.GREEN


def test_the_unnamed_vector_is_described_as_the_client_does(client):
    client.create_collection("a", PARAMS)
    assert client.get_collection("a").config.params.vectors == PARAMS


def test_metadata_are_merged_and_stay(client, tmp_path):
    client.create_collection("a", PARAMS, metadata={"x": 1, "y": 1})
    client.update_collection("a", metadata={"y": 2, "z": 3})
    client.close()
    with EdgeClient(tmp_path / "db") as again:
        assert again.get_collection("a").config.metadata == {"x": 1, "y": 2, "z": 3}


def test_collections_are_listed_sorted_and_state_is_none(client, tmp_path):
    for name in ("b", "a", "ä ö"):
        client.create_collection(name, PARAMS)
    (tmp_path / "db" / "_state" / "a").mkdir(parents=True)
    (tmp_path / "db" / "stray").mkdir()
    names = [one.name for one in client.get_collections().collections]
    assert names == ["a", "b", "ä ö"]


def test_deleting_removes_the_folder_and_the_name_can_be_used_again(client, tmp_path):
    client.create_collection("a", PARAMS)
    client.upsert("a", [models.PointStruct(id=1, vector=[1.0, 0, 0, 0], payload={})])
    assert client.delete_collection("a") is True
    assert "a" not in os.listdir(tmp_path / "db")
    assert not client.collection_exists("a")
    client.create_collection("a", PARAMS)
    assert client.count("a").count == 0


def test_a_collection_of_somebody_else_cannot_be_deleted(client, tmp_path):
    client.create_collection("a", PARAMS)
    other = EdgeClient(tmp_path / "db")
    with pytest.raises(CollectionLockedError):
        other.delete_collection("a")
    assert client.count("a").count == 0


def test_a_collection_is_created_once_where_two_clients_try(client, tmp_path):
    client.create_collection("a", PARAMS)
    with EdgeClient(tmp_path / "db") as other, pytest.raises(CollectionExistsError):
        other.create_collection("a", PARAMS)


def test_files_without_a_description_are_no_collection_and_are_left_alone(client, tmp_path):
    """Nobody can know what they were: what a crash leaves is marked as unfinished."""
    client.create_collection("a", PARAMS)
    client.close()
    (tmp_path / "db" / "a" / "collection.json").unlink()
    with EdgeClient(tmp_path / "db") as again:
        assert not again.collection_exists("a")
        assert again.get_collections().collections == []
        with pytest.raises(StorageError, match=r"collection\.json"):
            again.create_collection("a", PARAMS)
    assert (tmp_path / "db" / "a" / "shards" / "0" / "edge_config.json").exists()


def test_a_creation_that_fails_leaves_no_collection_and_frees_the_name(client, monkeypatch):
    from qdrant_static.edge import directory

    def fail(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(directory, "replace_file", fail)
        with pytest.raises(OSError, match="No space left"):
            client.create_collection("a", PARAMS)
    assert not client.collection_exists("a")
    client.create_collection("a", PARAMS)
    assert client.count("a").count == 0


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"format": 1'])
def test_a_damaged_description_is_an_error_that_names_the_file(client, tmp_path, content):
    client.create_collection("a", PARAMS)
    client.close()
    path = tmp_path / "db" / "a" / "collection.json"
    path.write_text(content)
    for _ in range(2):  # and it is not locked by the first try
        with EdgeClient(tmp_path / "db") as again, pytest.raises(StorageError) as caught:
            again.count("a")
        assert caught.value.path == str(path)


def test_a_description_without_its_parts_is_an_error_of_ours(client, tmp_path):
    from qdrant_static import QdrantStaticError

    client.create_collection("a", PARAMS)
    client.close()
    (tmp_path / "db" / "a" / "collection.json").write_text('{"format": 1, "vectors": 5}')
    with EdgeClient(tmp_path / "db") as again, pytest.raises(QdrantStaticError):
        again.count("a")


def test_a_description_of_a_later_version_says_to_upgrade(client, tmp_path):
    client.create_collection("a", PARAMS)
    client.close()
    path = tmp_path / "db" / "a" / "collection.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 99}))
    with EdgeClient(tmp_path / "db") as again, pytest.raises(StorageError, match="upgrade"):
        again.count("a")


def test_damaged_engine_files_are_an_error_of_ours_and_free_the_lock(client, tmp_path):
    client.create_collection("a", PARAMS)
    client.close()
    for file in (tmp_path / "db" / "a" / "shards").rglob("*.json"):
        file.write_text("damage")
    for _ in range(2):
        with EdgeClient(tmp_path / "db") as again, pytest.raises(EngineError, match="opening"):
            again.count("a")


def test_a_collection_that_is_not_ours_says_so(client):
    client.create_collection("a", PARAMS)
    with pytest.raises(NotAPlannedCollectionError, match="not made by qdrant-static"):
        read_spec(client, "a")


def test_a_missing_collection_lists_those_there(articles):
    with pytest.raises(
        CollectionNotFoundError, match=r"no collection 'b' in .*; there are: articles"
    ):
        articles.count("b")
    with pytest.raises(CollectionNotFoundError, match="there are: articles"):
        read_spec(articles, "b")


def test_a_spec_is_created_and_read_back(client, encoder, tmp_path):
    spec = CollectionSpec.for_encoder(
        encoder, matryoshka=(16, 8), payload_indexes={"year": "integer", "tag": "keyword"},
        plan={"kind": "hybrid", "candidates": 50},
    )  # fmt: skip
    create_collection(client, "a", spec)
    client.close()
    with EdgeClient(tmp_path / "db") as again:
        assert read_spec(again, "a") == spec
        info = again.get_collection("a")
    assert set(info.payload_schema) == {"year", "tag"}
    assert set(info.config.params.vectors) == {"full", "mrl_16", "mrl_8"}
    assert info.config.params.vectors["full"].quantization_config is not None
    assert info.config.params.sparse_vectors["bm25"].modifier == models.Modifier.IDF


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"sparse": SparseSpec(language="klingon")}, "klingon"),
        ({"plan": "bm25", "sparse": None}, "bm25"),
        ({"plan": {"kind": "dense", "vector": "mrl_16"}}, "mrl_16"),
    ],
)
def test_a_spec_that_no_search_could_use_creates_nothing(client, encoder, tmp_path, options, told):
    with pytest.raises(ArgumentError, match=told):
        create_collection(client, "a", CollectionSpec.for_encoder(encoder, **options))
    assert files(tmp_path) == set()


# --- names -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a", "Ä ö", "a.b-c_d", "x" * 255, "é" * 127, "_a", "日本"])
def test_a_name_that_a_folder_can_have_is_a_name(client, name):
    client.create_collection(name, PARAMS)
    assert [one.name for one in client.get_collections().collections] == [name]


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", ".a", "a/b", "../a", "/a", "a\\b", "a:b", "a*", "a?", 'a"', "a<", "a|", "a\n",
     "a\x00", "a\x7f", "x" * 256, "é" * 128, "_state", "_state2", "\ud800", 5, None],
)  # fmt: skip
@pytest.mark.parametrize("call", ["create_collection", "collection_exists", "delete_collection"])
def test_any_other_is_an_error_and_touches_nothing(client, tmp_path, name, call):
    arguments = (name, PARAMS) if call == "create_collection" else (name,)
    with pytest.raises(CollectionNameError, match="cannot name a collection"):
        getattr(client, call)(*arguments)
    assert files(tmp_path) == set()


@given(st.text(st.characters(), max_size=20))
def test_an_accepted_name_stays_inside_the_directory(name):
    try:
        check_name(name)
    except CollectionNameError:
        return
    root = Path("/root/of/all")
    assert Path(os.path.normpath(root / name)).parent == root


# --- one opener ------------------------------------------------------------------------------


def test_a_second_client_of_the_process_is_refused_until_the_first_is_closed(articles, tmp_path):
    other = EdgeClient(tmp_path / "db")
    with pytest.raises(CollectionLockedError, match="another client of this process"):
        other.count("articles")
    articles.close()
    assert other.count("articles").count == 0
    other.close()


def test_closing_twice_is_harmless(articles, tmp_path):
    articles.close()
    articles.close()
    with EdgeClient(tmp_path / "db") as again:
        assert again.count("articles").count == 0


def test_a_released_collection_is_free_and_opened_again_when_it_is_used(articles, tmp_path):
    articles.release()
    with EdgeClient(tmp_path / "db") as other:
        assert other.count("articles").count == 0
    assert articles.count("articles").count == 0


CALLS = {
    "count": lambda client: client.count("articles"),
    "upsert": lambda client: client.upsert("articles", []),
    "create_collection": lambda client: client.create_collection("new", PARAMS),
    "delete_collection": lambda client: client.delete_collection("articles"),
    "collection_exists": lambda client: client.collection_exists("articles"),
    "get_collections": lambda client: client.get_collections(),
    "get_aliases": lambda client: client.get_aliases(),
    "update_collection_aliases": lambda client: client.update_collection_aliases([]),
    "flush": lambda client: client.flush(),
    "optimize": lambda client: client.optimize("articles", another_process=True),
    "shard_folders": lambda client: client.shard_folders("articles").__enter__(),
    "receiving": lambda client: client.receiving("new").__enter__(),
    "info": lambda client: client.info(),
}


@pytest.mark.parametrize("call", CALLS)
def test_a_closed_client_refuses_every_call(articles, call, tmp_path):
    articles.close()
    with pytest.raises(ClientClosedError, match="was closed: make another"):
        CALLS[call](articles)
    with EdgeClient(tmp_path / "db") as again:
        assert [one.name for one in again.get_collections().collections] == ["articles"]


def test_two_collections_of_a_directory_have_an_opener_each(articles, tmp_path):
    with EdgeClient(tmp_path / "db") as other:
        other.create_collection("b", PARAMS)
        assert other.count("b").count == 0
        assert articles.count("articles").count == 0


def test_who_looks_at_the_directory_needs_no_lock(articles, tmp_path):
    other = EdgeClient(tmp_path / "db")
    assert other.collection_exists("articles")
    assert [one.name for one in other.get_collections().collections] == ["articles"]


OPEN = """
import sys
from qdrant_static import EdgeClient
client = EdgeClient(sys.argv[1])
client.count("articles")
print("open", flush=True)
sys.stdin.readline()
client.close()
"""


def test_a_second_process_is_refused_in_one_sentence_without_a_trace(articles, tmp_path, child):
    articles.close()
    holder = child(OPEN, tmp_path / "db")
    assert holder.stdout.readline() == "open\n"
    other = EdgeClient(tmp_path / "db")
    with pytest.raises(CollectionLockedError, match=f"is open in process {holder.pid}"):
        other.count("articles")

    done = run_cli("search", "articles", "moon", "--db", "db", cwd=tmp_path)
    assert (done.code, done.out) == (1, "")
    assert done.err.count("\n") == 1
    assert done.err.startswith("error: collection 'articles' in db is open in process ")

    holder.communicate("\n")
    assert other.count("articles").count == 0
    other.close()


def test_a_killed_process_leaves_no_lock_behind(articles, tmp_path, child):
    articles.close()
    holder = child(OPEN, tmp_path / "db")
    assert holder.stdout.readline() == "open\n"
    holder.kill()
    holder.wait()
    with EdgeClient(tmp_path / "db") as other:
        assert other.count("articles").count == 0


def test_metadata_is_written_as_the_client_writes_it_or_refused_by_name(tmp_path):
    at = datetime.datetime(2024, 1, 2, tzinfo=datetime.UTC)
    with EdgeClient(tmp_path / "db") as client:
        client.create_collection("c", PARAMS, metadata={"at": at, 1: "one"})
        client.update_collection("c", metadata={"day": at.date(), "1": None})
        assert client.get_collection("c").config.metadata == {
            "at": "2024-01-02T00:00:00Z",
            "day": "2024-01-02",
        }
        with pytest.raises(ArgumentError, match=r"metadata.a\[0\]: holds a set"):
            client.update_collection("c", metadata={"a": [{1}]})
        with pytest.raises(ArgumentError, match=r"metadata.a: holds a bytes"):
            client.create_collection("d", PARAMS, metadata={"a": b""})
        assert not client.collection_exists("d")
