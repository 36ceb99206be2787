"""Collections of one shard become one collection of several, whenever the process dies."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from qdrant_client import models

from qdrant_static import EdgeClient
from qdrant_static.edge import assemble as assembling
from qdrant_static.edge.assemble import assemble, begun
from qdrant_static.edge.directory import CollectionFolder, FolderLock
from qdrant_static.edge.newcollection import clear_unfinished
from qdrant_static.errors import (
    AliasExistsError,
    ArgumentError,
    CollectionExistsError,
    CollectionLockedError,
    CollectionNotFoundError,
    StorageError,
)
from qdrant_static.routing import shard_of
from tests.faulty_edge import Killed

SHARDS = 2
IDS = range(50)
_VECTOR = models.VectorParams(size=2, distance=models.Distance.DOT)


def _parts(root: Path) -> list[tuple[Path, str]]:
    return [(root / "parts" / str(number), "part") for number in range(SHARDS)]


def _build(root: Path, **settings: Any) -> list[tuple[Path, str]]:
    """Real parts, each with its points."""
    places = shard_of(IDS, SHARDS)
    for number, (folder, name) in enumerate(_parts(root)):
        with EdgeClient(folder) as client:
            client.create_collection(name, _VECTOR, metadata={"a": 1}, **settings)
            client.create_payload_index(name, "n", "integer")
            client.upsert(
                name,
                [
                    models.PointStruct(id=one, vector=[1, one], payload={"n": one})
                    for one in IDS
                    if places[one] == number
                ],
            )
    return _parts(root)


def _build_small(root: Path) -> list[tuple[Path, str]]:
    """Parts as far as their files are looked at: a description, and a shard that can be told."""
    content = {
        "vectors": {"": {"size": 2, "distance": "Dot"}},
        "sparse_vectors": {},
        "metadata": {},
    }
    for number, (folder, name) in enumerate(_parts(root)):
        part = CollectionFolder(folder, name)
        part.shard(0).mkdir(parents=True)
        (part.shard(0) / "content").write_text(str(number))
        part.write(content)
    return _parts(root)


def test_the_whole_holds_what_the_parts_held(tmp_path: Path) -> None:
    parts = _build(tmp_path)
    assemble(tmp_path / "db", "whole", parts)
    with EdgeClient(tmp_path / "db") as client:
        assert client.shard_counts("whole") == [
            int((shard_of(IDS, SHARDS) == number).sum()) for number in range(SHARDS)
        ]
        info = client.get_collection("whole")
        assert info.config.params.shard_number == SHARDS
        assert info.config.metadata == {"a": 1}
        assert info.payload_schema["n"].points == len(IDS)
        assert [one.id for one in client.retrieve("whole", list(IDS))] == list(IDS)
        client.set_payload("whole", {"n": -1}, points=list(IDS))
        assert all(one.payload == {"n": -1} for one in client.retrieve("whole", list(IDS)))
    assert set((tmp_path / "db" / "whole").iterdir()) == {
        tmp_path / "db" / "whole" / one for one in ("collection.json", "lock", "shards")
    }
    for folder, name in parts:
        assert not (folder / name).exists()
    with pytest.raises(CollectionExistsError):
        assemble(tmp_path / "db", "whole", parts)


class _Death:
    """Dies at one of the steps that change the disk: before it, or after it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._patch = monkeypatch
        self.countdown = 0
        for owner, name in (
            (assembling, "replace_file"),
            (assembling, "sync_folder"),
            (assembling, "make_private"),
            (Path, "rename"),
            (Path, "unlink"),
            (Path, "rmdir"),
            (CollectionFolder, "write"),
            (CollectionFolder, "clear"),
            (CollectionFolder, "finish"),
            (FolderLock, "remove"),
        ):
            monkeypatch.setattr(owner, name, self._stepping(getattr(owner, name)))

    def _step(self) -> None:
        self.countdown -= 1
        if self.countdown == -1:
            raise Killed

    def _stepping(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def stepping(*given: Any, **named: Any) -> Any:
            self._step()
            done = call(*given, **named)
            self._step()
            return done

        return stepping


def _shards(root: Path) -> list[str]:
    """What is left of the shards, wherever they lie."""
    return sorted(file.read_text() for file in root.rglob("content"))


def test_a_death_at_any_step_loses_nothing_and_the_same_call_ends_it(tmp_path: Path) -> None:
    expected = [str(number) for number in range(SHARDS)]
    step, died = 0, True
    while died:
        root = tmp_path / str(step)
        parts = _build_small(root)
        with pytest.MonkeyPatch.context() as monkeypatch:
            death = _Death(monkeypatch)
            death.countdown = step
            try:
                assemble(root / "db", "whole", parts)
                died = False
            except Killed:
                pass
        assert _shards(root) == expected, step
        whole = CollectionFolder(root / "db", "whole")
        if whole.exists():
            assert len(list(whole.path.glob("shards/*/content"))) == SHARDS, step
        for place in (root / "db", *(folder for folder, _ in parts)):
            clear_unfinished(place)
        assert _shards(root) == expected, step
        if whole.assembling.exists() or not whole.exists():
            assemble(root / "db", "whole", parts)
        assert whole.read()["shard_number"] == SHARDS
        for number in range(SHARDS):
            assert (whole.shard(number) / "content").read_text() == str(number)
        assert not whole.assembling.exists()
        assert not [folder for folder, name in parts if (folder / name).exists()], step
        step += 1
    assert step > 30


def test_a_half_assembled_collection_is_none_and_is_left_alone(tmp_path: Path) -> None:
    parts = _build_small(tmp_path)
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(CollectionFolder, "write", _die)
        with pytest.raises(Killed):
            assemble(tmp_path / "db", "whole", parts)
    with EdgeClient(tmp_path / "db") as client:
        assert not client.collection_exists("whole")
        assert not client.delete_collection("whole")
        with pytest.raises(StorageError, match="may hold the only copy"):
            client.create_collection("whole", _VECTOR)
    assert begun(tmp_path / "db", "whole")
    assert _shards(tmp_path) == ["0", "1"]
    with pytest.raises(StorageError, match="is of other parts"):
        assemble(tmp_path / "db", "whole", parts[::-1])
    _build_small(tmp_path)  # by somebody who found the parts missing
    with pytest.raises(StorageError, match="was built again"):
        assemble(tmp_path / "db", "whole", parts)
    assert _shards(tmp_path) == ["0", "0", "1", "1"]
    (tmp_path / "db" / "whole" / "assembling").write_text("{")
    with pytest.raises(StorageError, match="cannot be read"):
        assemble(tmp_path / "db", "whole", parts)


def _die(*_: Any, **__: Any) -> None:
    raise Killed


def test_a_mark_that_was_left_is_removed_at_the_next_opening(tmp_path: Path) -> None:
    parts = _build(tmp_path)
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(assembling.CollectionFolder, "finish", _dying_for("whole"))
        with pytest.raises(Killed):
            assemble(tmp_path / "db", "whole", parts)
    assert (tmp_path / "db" / "whole" / "assembling").exists()
    with EdgeClient(tmp_path / "db") as client:
        assert client.count("whole").count == len(IDS)
    assert not (tmp_path / "db" / "whole" / "assembling").exists()


def _dying_for(name: str) -> Callable[[CollectionFolder], None]:
    finish = CollectionFolder.finish

    def dying(folder: CollectionFolder) -> None:
        if folder.name == name:
            raise Killed
        finish(folder)

    return dying


def _change(root: Path, **changes: Any) -> None:
    folder = CollectionFolder(*_parts(root)[1])
    content = {**folder.read(), **changes}
    del content["format"]
    folder.write(content)


@pytest.mark.parametrize(
    ("spoil", "error", "told"),
    [
        (lambda root: _change(root, metadata={"b": 2}), ArgumentError, "its metadata differ"),
        (lambda root: _change(root, wal=False), ArgumentError, "its wal differ"),
        (lambda root: _change(root, shard_number=2), ArgumentError, "it has 2 shards"),
        (lambda root: _change(root, pending="settings"), StorageError, "open the collection once"),
        (
            lambda root: CollectionFolder(*_parts(root)[1]).description.unlink(),
            CollectionNotFoundError,
            "part",
        ),
        (lambda root: _alias(root), AliasExistsError, "whole"),
        (
            lambda root: CollectionFolder(root / "db", "whole").shard(0).mkdir(parents=True),
            StorageError,
            "holds a collection's files",
        ),
    ],
    ids=["metadata", "log", "shards", "pending", "missing", "alias", "files"],
)
def test_what_cannot_be_assembled_is_left_as_it_was(
    tmp_path: Path, spoil: Callable[[Path], Any], error: type[Exception], told: str
) -> None:
    parts = _build_small(tmp_path)
    spoil(tmp_path)
    before = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    with pytest.raises(error, match=told):
        assemble(tmp_path / "db", "whole", parts)
    locks = set(tmp_path.rglob("lock"))
    after = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    assert {file: raw for file, raw in after.items() if file not in locks} == before
    assert (tmp_path / "db" / "whole").exists() == (told == "holds a collection's files")


def _alias(root: Path) -> None:
    (root / "db").mkdir()
    (root / "db" / "aliases.json").write_text('{"format": 1, "aliases": {"whole": "other"}}')


def test_no_parts_and_open_ones_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="there are none"):
        assemble(tmp_path / "db", "whole", [])
    parts = _build_small(tmp_path)
    lock = FolderLock(CollectionFolder(*parts[1]))
    with pytest.raises(CollectionLockedError):
        assemble(tmp_path / "db", "whole", parts)
    lock.release()
    assert not (tmp_path / "db" / "whole" / "assembling").exists()
    assemble(tmp_path / "db", "whole", parts)


def test_what_a_crash_left_of_a_creation_is_in_nobodys_way(tmp_path: Path) -> None:
    parts = _build_small(tmp_path)
    target = CollectionFolder(tmp_path / "db", "whole")
    target.shard(0).mkdir(parents=True)
    target.begin("creating")
    assemble(tmp_path / "db", "whole", parts)
    assert _shards(tmp_path) == ["0", "1"]
    assert not target.mark.exists()
