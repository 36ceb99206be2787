"""What lies on disk, and what is made of what a crash left there."""

from __future__ import annotations

import errno
import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from qdrant_client import models

from qdrant_static import EdgeClient
from qdrant_static.edge.directory import check_name
from qdrant_static.errors import (
    AliasExistsError,
    CollectionLockedError,
    CollectionNameError,
    CollectionNotFoundError,
    EngineError,
    StorageError,
)
from tests.fakes import REPOSITORY

_VECTOR = models.VectorParams(size=2, distance=models.Distance.DOT)


def _alias(alias: str, name: str) -> models.CreateAliasOperation:
    return models.CreateAliasOperation(
        create_alias=models.CreateAlias(alias_name=alias, collection_name=name)
    )


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A directory with a collection of one point, an alias of it, and nobody at it."""
    root = tmp_path / "db"
    with EdgeClient(root) as client:
        client.create_collection("articles", {"v": _VECTOR}, metadata={"a": 1})
        client.upsert("articles", [models.PointStruct(id=1, vector={"v": [1.0, 2.0]})])
        client.update_collection_aliases([_alias("current", "articles")])
    return root


def _described(root: Path, name: str = "articles") -> dict:
    return json.loads((root / name / "collection.json").read_text())


def _describe(root: Path, content: dict, name: str = "articles") -> None:
    (root / name / "collection.json").write_text(json.dumps(content))


def test_nothing_is_made_or_opened_before_it_is_needed(tmp_path: Path) -> None:
    client = EdgeClient(tmp_path / "db")
    assert client.get_collections().collections == []
    assert client.get_aliases().aliases == []
    assert not client.collection_exists("articles")
    client.close()
    assert not (tmp_path / "db").exists()


def test_the_files_are_the_owners_alone(root: Path) -> None:
    for path in (root, root / "articles", root / "articles" / "shards"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
    for path in (root / "aliases.json", root / "articles" / "collection.json"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "../x", "/x", "a/b", "a\\b", "nul\0", "x" * 256, "é" * 128, ".hidden",
     "_state", "aliases.json", "ALIASES.JSON", "CON", "con.txt", "a.", "a ", "\ud800", "a\n", None],
)  # fmt: skip
def test_names_cannot_leave_the_directory(name: str) -> None:
    with pytest.raises(CollectionNameError, match="Allowed are"):
        check_name(name)


@pytest.mark.parametrize("name", ["x" * 255, "é" * 127, "Ä rticles", "12", "a.b-c_d", "concert"])
def test_other_names_are_fine(tmp_path: Path, name: str) -> None:
    with EdgeClient(tmp_path) as client:
        client.create_collection(name, _VECTOR)
        assert client.count(name).count == 0


def test_an_alias_needs_a_name_too(root: Path) -> None:
    with EdgeClient(root) as client, pytest.raises(CollectionNameError):
        client.update_collection_aliases([_alias("../x", "articles")])


def test_an_unfinished_creation_is_cleared_away(root: Path) -> None:
    _leave(root, "half", "creating")
    with EdgeClient(root) as client:
        assert not client.collection_exists("half")
        with pytest.raises(CollectionNotFoundError):
            client.count("half")
        client.create_collection("new", _VECTOR)
    assert not (root / "half").exists()


def test_an_unfinished_creation_can_be_repeated(root: Path) -> None:
    _leave(root, "half", "creating")
    with EdgeClient(root) as client:
        client.create_collection("half", _VECTOR)
        assert client.count("half").count == 0
    assert not (root / "half" / "unfinished").exists()


def test_an_unfinished_creation_of_somebody_alive_is_left_alone(root: Path) -> None:
    _leave(root, "half", "creating")
    program = (
        "from pathlib import Path\n"
        "from qdrant_static.edge.directory import CollectionFolder, FolderLock\n"
        f"lock = FolderLock(CollectionFolder(Path({str(root)!r}), 'half'))\n"
        "print('held', flush=True); input()\n"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert holder.stdout.readline() == "held\n"
        with EdgeClient(root) as client:
            client.create_collection("new", _VECTOR)
            with pytest.raises(CollectionLockedError, match=str(holder.pid)):
                client.create_collection("half", _VECTOR)
        assert (root / "half" / "shards").exists()
    finally:
        holder.kill()
        holder.communicate()


@pytest.mark.parametrize("what", ["creating", "deleting"])
def test_a_mark_on_a_whole_collection_is_nothing(root: Path, what: str) -> None:
    (root / "articles" / "unfinished").write_text(what)
    with EdgeClient(root) as client:
        assert client.count("articles").count == 1
    assert not (root / "articles" / "unfinished").exists()


def test_a_lost_description_is_named_and_nothing_removed(root: Path) -> None:
    (root / "articles" / "collection.json").unlink()
    with EdgeClient(root) as client:
        client.delete_collection("articles")
        with pytest.raises(StorageError, match="removed by hand"):
            client.create_collection("articles", _VECTOR)
    assert list((root / "articles" / "shards" / "0").iterdir())


def test_a_deletion_cut_short_takes_its_aliases_along(root: Path) -> None:
    (root / "articles" / "unfinished").write_text("deleting")
    (root / "articles" / "collection.json").unlink()
    with EdgeClient(root) as client:
        assert client.get_aliases().aliases == []
        assert not client.collection_exists("current")
        client.create_collection("articles", _VECTOR)
        assert client.get_aliases().aliases == []


def test_settings_cut_short_are_carried_out(root: Path) -> None:
    content = _described(root)
    content["hnsw_config"] = {"m": 5}
    _describe(root, {**content, "pending": "settings"})
    with EdgeClient(root) as client:
        assert client.get_collection("articles").config.hnsw_config.m == 5
        assert client.count("articles").count == 1
    assert _described(root) == content
    engine = json.loads((root / "articles" / "shards" / "0" / "edge_config.json").read_text())
    assert engine["hnsw_config"]["m"] == 5


def test_a_new_vector_cut_short_is_carried_out(root: Path) -> None:
    content = _described(root)
    content["vectors"]["w"] = {"size": 3, "distance": "Dot"}
    _describe(root, {**content, "pending": "vector w"})
    with EdgeClient(root) as client:
        client.upsert("articles", [models.PointStruct(id=2, vector={"w": [1.0, 2.0, 3.0]})])
    assert _described(root) == content


def test_a_dropped_vector_cut_short_is_carried_out(root: Path) -> None:
    with EdgeClient(root) as client:
        client.create_vector_name(
            "articles",
            "w",
            models.DenseVectorNameConfig(
                dense=models.DenseVectorConfig(size=3, distance=models.Distance.DOT)
            ),
        )
    content = _described(root)
    del content["vectors"]["w"]
    _describe(root, {**content, "pending": "vector w"})
    with EdgeClient(root) as client:
        assert set(client.get_collection("articles").config.params.vectors) == {"v"}
        assert client.count("articles").count == 1


@pytest.mark.parametrize("wanted", [True, False], ids=["added", "dropped"])
@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
def test_a_vector_that_some_segments_have_is_carried_out_too(
    root: Path, *, wanted: bool, sparse: bool
) -> None:
    """As after a death while the engine went from segment to segment."""
    before = _described(root)
    with EdgeClient(root) as client:
        client.update_collection(
            "articles", optimizers_config=models.OptimizersConfigDiff(indexing_threshold=1)
        )
        many = [models.PointStruct(id=n, vector={"v": [float(n), 1.0]}) for n in range(10, 900)]
        client.upsert("articles", many)
        client.optimize("articles")
        count = client.count("articles").count
        config = (
            models.SparseVectorNameConfig(sparse=models.SparseVectorConfig())
            if sparse
            else models.DenseVectorNameConfig(
                dense=models.DenseVectorConfig(size=3, distance=models.Distance.DOT)
            )
        )
        client.create_vector_name("articles", "w", config)
        content = _described(root)
    states = sorted((root / "articles").glob("shards/0/segments/*/segment.json"))
    assert len(states) > 1
    _forget(states[0], "w")
    kind = "sparse_vectors" if sparse else "vectors"
    if not wanted:
        del content[kind]["w"]
    _describe(root, {**content, "pending": "vector w"})
    with EdgeClient(root) as client:
        assert client.count("articles").count == count
        params = client.get_collection("articles").config.params
        assert ("w" in (getattr(params, kind) or {})) is wanted
        assert set(before["vectors"]) <= set(params.vectors)
        if wanted:
            vector = models.SparseVector(indices=[1], values=[2.0]) if sparse else [1.0, 2.0, 3.0]
            client.upsert("articles", [models.PointStruct(id=2, vector={"w": vector})])
            (hit,) = client.query_points("articles", query=vector, using="w", limit=1).points
            assert hit.id == 2
    with EdgeClient(root) as client:
        assert client.count("articles").count == count + wanted


def _forget(state: Path, name: str) -> None:
    """A segment that does not have a vector yet, or no longer."""
    content = json.loads(state.read_bytes())
    for kind in ("vector_data", "sparse_vector_data"):
        content["config"].get(kind, {}).pop(name, None)
    state.write_text(json.dumps(content))
    for what in ("vector_storage", "vector_index"):
        shutil.rmtree(state.parent / f"{what}-{name}", ignore_errors=True)


@pytest.mark.parametrize(
    "raw",
    [b"", b"{", b"[]", b'{"format": 1}', b'{"format": 1, "vectors": {"v": 3}, "metadata": {}}'],
)
def test_a_damaged_description_is_named(root: Path, raw: bytes) -> None:
    (root / "articles" / "collection.json").write_bytes(raw)
    with EdgeClient(root) as client, pytest.raises(StorageError, match=r"collection\.json"):
        client.count("articles")


def test_a_later_format_is_named(root: Path) -> None:
    _describe(root, {**_described(root), "format": 2})
    with EdgeClient(root) as client, pytest.raises(StorageError, match="upgrade"):
        client.count("articles")


@pytest.mark.parametrize(
    "raw", [b"", b"{", b"[]", b'{"format": 1}', b'{"format": 9, "aliases": {}}']
)
def test_damaged_aliases_are_named(root: Path, raw: bytes) -> None:
    (root / "aliases.json").write_bytes(raw)
    with EdgeClient(root) as client:
        assert client.count("articles").count == 1
        with pytest.raises(StorageError, match=r"aliases\.json"):
            client.count("current")


def test_a_damaged_engine_is_named(root: Path) -> None:
    (root / "articles" / "shards" / "0" / "edge_config.json").write_text("{")
    with EdgeClient(root) as client, pytest.raises(EngineError, match="articles"):
        client.count("articles")


def test_an_alias_that_another_client_changed_is_seen_at_the_next_call(root: Path) -> None:
    with EdgeClient(root) as client, EdgeClient(root) as other:
        assert client.count("current").count == 1
        other.create_collection("empty", _VECTOR)
        other.update_collection_aliases([_alias("current", "empty")])
        other.close()
        assert client.count("current").count == 0


def test_an_alias_that_was_taken_meanwhile_is_no_collection(root: Path) -> None:
    with EdgeClient(root) as client, pytest.raises(AliasExistsError):
        client.create_collection("current", _VECTOR)
    assert not (root / "current").exists()


def test_the_lock_tells_its_owner(root: Path) -> None:
    with EdgeClient(root) as client, EdgeClient(root) as other:
        client.count("articles")
        owner = (root / "articles" / "lock").read_text()
        assert owner.startswith(f"process {os.getpid()} on ")
        with pytest.raises(CollectionLockedError, match="another client of this process"):
            other.count("articles")
        with pytest.raises(CollectionLockedError):
            other.delete_collection("articles")
    assert (root / "articles" / "collection.json").exists()


def _leave(root: Path, name: str, what: str) -> None:
    """What a crash leaves in the middle of a creation or a deletion."""
    (root / name / "shards" / "0").mkdir(parents=True)
    (root / name / "shards" / "0" / "edge_config.json").write_text("{}")
    (root / name / "unfinished").write_text(what)
    (root / name / "lock").touch()


def test_a_folder_that_cannot_be_written_is_refused_with_what_to_do(root, monkeypatch):
    opened = os.open

    def read_only(path, *rest, **named):
        if Path(path).name == "lock":
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
        return opened(path, *rest, **named)

    monkeypatch.setattr(os, "open", read_only)
    with EdgeClient(root) as client, pytest.raises(StorageError, match="copy the folder to a"):
        client.count("articles")
