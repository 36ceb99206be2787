"""A built shard packed as a snapshot: its size, its pieces, and what the engine reads back."""

from __future__ import annotations

import io
import json
import os
import tarfile
from pathlib import Path

import pytest
import qdrant_edge as edge

from qdrant_static import EdgeClient
from qdrant_static.errors import StorageError
from qdrant_static.shipping.packing.segments import (
    BuiltShard,
    fingerprint,
    read_shards,
    translated_states,
    unknown_versions,
)
from qdrant_static.shipping.packing.shardsnapshot import EmptySnapshot, ShardSnapshot
from qdrant_static.shipping.packing.tarstream import END, DiskFile, InlineFile, members_of
from tests.shipping import build, empty_frame, target_config, vectors


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> tuple[Path, dict]:
    """A collection's folder, closed, and what its server's collection would be."""
    root = tmp_path_factory.mktemp("built")
    with EdgeClient(root) as client:
        build(client, "c")
        config = target_config(client.get_collection("c"))
    return root / "c", config


@pytest.fixture
def shard(built) -> BuiltShard:
    return BuiltShard.read(0, built[0] / "shards" / "0")


@pytest.fixture
def packed(shard, built, tmp_path) -> ShardSnapshot:
    states, differences = translated_states(built[1], [shard])
    assert differences == ()
    return ShardSnapshot(shard, EmptySnapshot.read(empty_frame(tmp_path / "frame")), states)


def names(packed: ShardSnapshot) -> list[str]:
    with tarfile.open(fileobj=io.BytesIO(b"".join(packed.chunks()))) as tar:
        return tar.getnames()


def test_a_closed_shard_tells_its_segments_and_its_newest_operation(shard):
    # Two indexes, three batches: the numbers 0 to 4.
    assert shard.newest == 4
    assert sorted((one.empty, one.appendable) for one in shard.segments) == [
        (False, False), (True, True),
    ]  # fmt: skip
    assert unknown_versions([shard]) == ()


def test_another_build_has_another_fingerprint(shard, built, tmp_path):
    assert fingerprint([shard]) == fingerprint(read_shards([built[0] / "shards" / "0"]))
    with EdgeClient(tmp_path) as client:
        build(client, "c")
    other = read_shards([tmp_path / "c" / "shards" / "0"])
    assert fingerprint(other) != fingerprint([shard])
    with EdgeClient(tmp_path) as client:
        client.delete("c", [1])
        client.optimize("c")
    changed = read_shards([tmp_path / "c" / "shards" / "0"])
    assert fingerprint(changed) != fingerprint(other)


def test_a_folder_without_a_shard_is_said_to_have_none(tmp_path):
    with pytest.raises(StorageError, match="is not the folder of a shard"):
        BuiltShard.read(0, tmp_path)


def test_the_size_is_known_before_and_the_pieces_are_small(packed):
    pieces = [len(piece) for piece in packed.chunks()]
    assert sum(pieces) == packed.size
    assert max(pieces) <= 1 << 20
    assert packed.size % 512 == 0
    again = b"".join(packed.chunks())
    assert again == b"".join(packed.chunks()), "it can be sent twice"


def test_holes_of_preallocated_files_are_left_out(packed, shard):
    apparent = sum(file.stat().st_size for file in shard.folder.rglob("segments/*/**/*"))
    assert apparent > 60_000_000
    assert packed.size < 3_000_000


def test_the_frames_own_files_are_there_and_one_of_its_empty_segments(packed, shard):
    listed = names(packed)
    assert "wal/closed-12" in listed
    assert "replica_state.json" in listed
    assert "newest_clocks.json" not in listed, "with it the other replicas would stay empty"
    segments = {name.split("/")[1] for name in listed if name.startswith("segments/")}
    (filled,) = (one.name for one in shard.segments if not one.empty)
    assert segments == {filled, "0aaf2b3e-0000-4000-8000-000000000001"}


def test_the_engine_reads_back_what_was_packed(packed, shard, tmp_path):
    snapshot = tmp_path / "s.snapshot"
    snapshot.write_bytes(b"".join(packed.chunks()))
    folder = tmp_path / "unpacked"
    edge.EdgeShard.unpack_snapshot(str(snapshot), str(folder))
    for segment in shard.segments:
        if segment.empty:
            continue
        unpacked = folder / "segments" / segment.name
        for path in segment.folder.rglob("*"):
            relative = path.relative_to(segment.folder)
            if path.is_file() and path.suffix != ".json":
                assert (unpacked / relative).read_bytes() == path.read_bytes(), relative
        state = json.loads((unpacked / "segment.json").read_bytes())
        full = state["config"]["vector_data"]["full"]
        assert full["quantization_config"] == {"binary": {"always_ram": True}}
        codes = json.loads((unpacked / "vector_storage-full/quantized.config.json").read_bytes())
        assert codes["quantization_config"] == {"binary": {"always_ram": True}}
        assert codes["vector_parameters"]["count"] == 300
    # The engine wants its own log; the segments are the shipment's.
    for name in ("0aaf2b3e-0000-4000-8000-000000000001",):
        (folder / "segments" / name / "version.info").unlink()
        (folder / "segments" / name).rmdir()
    (folder / "wal" / "closed-12").unlink()
    searched = {}
    for place in (shard.folder, folder):
        opened = edge.EdgeShard.load(str(place), None)
        searched[place] = [
            (hit.id, hit.score)
            for row in vectors(300)[::60]
            for hit in opened.query(
                edge.QueryRequest(query=edge.Query.Nearest(row.tolist(), using="full"), limit=10)
            )
        ]
        opened.close()
    assert searched[folder] == searched[shard.folder]
    assert len(searched[folder]) == 50


def test_a_file_that_vanished_or_grew_is_an_error(built, tmp_path):
    path = tmp_path / "data"
    path.write_bytes(b"x" * 2_000_000)
    looked_at = DiskFile.at(path, "data")
    assert len(b"".join(looked_at.chunks())) == looked_at.size
    with path.open("ab") as file:
        file.write(b"more")
    with pytest.raises(StorageError, match="changed while it was read"):
        list(looked_at.chunks())
    path.unlink()
    with pytest.raises(StorageError, match="cannot be read"):
        list(looked_at.chunks())
    with pytest.raises(StorageError, match="cannot be read"):
        DiskFile.at(path, "data")


def test_a_file_that_shrinks_under_way_is_an_error(tmp_path):
    path = tmp_path / "data"
    path.write_bytes(os.urandom(3_000_000))
    pieces = DiskFile.at(path, "data").chunks()
    next(pieces)
    next(pieces)
    with path.open("r+b") as file:
        file.truncate(1_500_000)
    with pytest.raises(StorageError, match="changed while it was read"):
        list(pieces)


@pytest.mark.parametrize("extents", [0, 1, 4, 5, 30, 60])
@pytest.mark.parametrize("tail", [True, False])
def test_sparse_files_are_read_back_by_others(tmp_path, extents, tail):
    path = tmp_path / "holes"
    expected = bytearray()
    with path.open("wb") as file:
        for number in range(extents):
            file.seek(number * 200_000 // 4096 * 4096)
            file.write(bytes([number + 1]) * 5000)
        file.truncate(max(extents, 1) * 200_000 + 77 if tail else max(file.tell(), 100_000))
    expected += path.read_bytes()
    looked_at = DiskFile.at(path, "a/" * 60 + "holes")
    archive = tmp_path / "archive"
    archive.write_bytes(
        b"".join(looked_at.chunks()) + b"".join(InlineFile("b", b"12").chunks()) + END
    )
    assert archive.stat().st_size == looked_at.size + 1024 + len(END)
    with tarfile.open(archive) as tar:
        assert tar.extractfile(tar.getmembers()[0]).read() == expected
        assert tar.extractfile("b").read() == b"12"
    (tmp_path / "frame").mkdir()
    spans = members_of(archive)
    assert [name for name, _ in spans] == ["a/" * 60 + "holes", "b"]
    assert b"".join(piece for _, span in spans for piece in span.chunks()) + END == (
        archive.read_bytes()
    )


@pytest.mark.parametrize("length", [8**11 - 1, 8**11, 20 << 30])
def test_files_of_more_than_8_gib_have_a_header_that_others_read(length):
    looked_at = DiskFile("big", Path("big"), length, 0, None)
    header = next(looked_at.chunks())
    assert tarfile.TarInfo.frombuf(header, "utf-8", "strict").size == length
    assert looked_at.size == 512 + -(-length // 512) * 512


def test_a_frame_that_was_cut_is_refused(tmp_path):
    whole = empty_frame(tmp_path / "frame").read_bytes()
    for length in (0, 100, 512, 700, 1024, 1536, 2048):
        cut = tmp_path / "cut"
        cut.write_bytes(whole[:length])
        with pytest.raises(StorageError, match="is not a complete archive"):
            EmptySnapshot.read(cut)


def test_a_frame_with_points_or_of_something_else_is_refused(tmp_path):
    def archive(*files: str) -> Path:
        path = tmp_path / "a"
        path.write_bytes(b"".join(b"".join(InlineFile(f, b"x").chunks()) for f in files) + END)
        return path

    with pytest.raises(StorageError, match="has points already"):
        EmptySnapshot.read(
            archive("segments/u/files/mutable_id_tracker.mappings", "shard_config.json")
        )
    with pytest.raises(StorageError, match="lacks replica_state"):
        EmptySnapshot.read(archive("shard_config.json", "wal/open-1"))
