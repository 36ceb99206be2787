"""Shipments that something is done to: each is noticed, told, and leaves what its line says."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid4, uuid5

import numpy as np
import pytest
from qdrant_client import QdrantClient, models

from qdrant_static import EdgeClient, connect
from qdrant_static.clients.retry import RetryPolicy
from qdrant_static.errors import (
    AliasMovedError,
    CannotShipError,
    EngineError,
    QdrantStaticError,
    ServerUnavailableError,
    ShipmentRefusedError,
)
from qdrant_static.routing import shard_of
from qdrant_static.shipping import push
from qdrant_static.shipping.packing import segments
from qdrant_static.shipping.push import ship
from qdrant_static.shipping.targets import prepare
from tests.server.own_server import OwnServer, needs_binary
from tests.server.ship_traps import AS_IT_WAS, NOTHING, TRAPS
from tests.server.snapshots_changed import cut, midway, uploads, with_files

pytestmark = pytest.mark.server

SHARDS = 2
DIMENSION = 64
EACH = 600
#: A graph for so many kilobytes, on both sides; the few points that a proof edits have fewer.
INDEXED = models.OptimizersConfigDiff(indexing_threshold=20)
RETRY = RetryPolicy(first_s=0.05, longest_s=0.5, budget_s=20.0)
SHORT = RetryPolicy(first_s=0.05, longest_s=0.2, budget_s=1.0)


def vectors(*, name: str = "full", size: int = DIMENSION, m: int = 16) -> dict[str, Any]:
    hnsw = models.HnswConfigDiff(m=m, ef_construct=100, on_disk=False)
    cosine = models.Distance.COSINE
    return {name: models.VectorParams(size=size, distance=cosine, hnsw_config=hnsw)}


def ids() -> list[int | str]:
    """As many for each shard, integers and UUIDs."""
    every = [n if n % 2 else str(uuid5(NAMESPACE_URL, str(n))) for n in range(4 * EACH)]
    homes = shard_of(every, SHARDS)
    return [every[n] for s in range(SHARDS) for n in np.flatnonzero(homes == s)[:EACH].tolist()]


def tiered() -> dict[str, Any]:
    """The same, in words that this server does not have."""
    hnsw = models.HnswConfigDiff(m=16, ef_construct=100, memory=models.Memory.PINNED)
    cosine, cached = models.Distance.COSINE, models.Memory.CACHED
    return {
        "full": models.VectorParams(
            size=DIMENSION, distance=cosine, hnsw_config=hnsw, memory=cached
        )
    }


BINARY = models.BinaryQuantization(binary=models.BinaryQuantizationConfig(always_ram=True))


def build(local: EdgeClient, name: str = "built", codes: Any = None) -> None:
    local.create_collection(
        name,
        shard_number=SHARDS,
        vectors_config=tiered(),
        optimizers_config=INDEXED,
        quantization_config=codes,
    )
    local.create_payload_index(name, "n", models.PayloadSchemaType.INTEGER)
    dice = np.random.default_rng(3)
    for start in range(0, SHARDS * EACH, 100):
        local.upsert(
            name,
            [
                models.PointStruct(
                    id=point,
                    vector={"full": dice.standard_normal(DIMENSION).astype(np.float32).tolist()},
                    payload={"n": start + place, "text": f"number {start + place}"},
                )
                for place, point in enumerate(ids()[start : start + 100])
            ],
        )
    local.optimize(name)


@pytest.fixture(scope="module")
def local(tmp_path_factory) -> Iterator[EdgeClient]:
    """Where ``built`` is, which no test changes."""
    with EdgeClient(tmp_path_factory.mktemp("built")) as client:
        build(client)
        yield client


@dataclass(slots=True, kw_only=True)
class Sending:
    """A shipment of ``built`` to a name that is free."""

    local: EdgeClient
    server: QdrantClient
    name: str

    @property
    def alias(self) -> str:
        return f"{self.name}-live"

    def ship(self, **options: Any) -> Any:
        options = {"retry": RETRY, "alias": self.alias, **options}
        return ship(self.local, "built", self.server, name=self.name, **options)

    def target(self, vectors_config: dict[str, Any] | None = None) -> dict[str, Any]:
        """An empty target that is there before."""
        self.server.create_collection(
            self.name,
            shard_number=SHARDS,
            vectors_config=vectors_config or vectors(),
            optimizers_config=INDEXED,
            metadata={"mine": "kept"},
        )
        self.server.create_payload_index(
            self.name, "n", models.PayloadSchemaType.INTEGER, wait=True
        )
        return self.seen()

    def seen(self) -> dict[str, Any]:
        info = self.server.get_collection(self.name)
        return {
            "config": info.config.model_dump(),
            "fields": sorted(info.payload_schema),
            "points": self.server.count(self.name, exact=True).count,
        }

    def require_nothing(self) -> None:
        """Neither collection nor alias."""
        assert not self.server.collection_exists(self.name)
        assert self.pointed_at() is None

    def require_live(self) -> None:
        """All points, every one editable, and the alias."""
        assert self.server.count(self.name, exact=True).count == SHARDS * EACH
        assert self.pointed_at() == self.name
        every = ids()
        self.server.set_payload(self.name, {"edited": True}, points=every, wait=True)
        edited = models.FieldCondition(key="edited", match=models.MatchValue(value=True))
        chosen = models.Filter(must=[edited])
        assert self.server.count(self.name, chosen, exact=True).count == len(every)

    def require_mark(self) -> None:
        """A shipment that is under way, and that no alias points at."""
        metadata = self.server.get_collection(self.name).config.metadata
        assert metadata["qdrant_static_shipment"]["state"] == "under way"
        assert self.pointed_at() is None

    def pointed_at(self) -> str | None:
        aliases = self.server.get_aliases().aliases
        return next((a.collection_name for a in aliases if a.alias_name == self.alias), None)

    def remove(self) -> None:
        for name in (self.name, f"{self.name}-other"):
            self.server.delete_collection(name)


@pytest.fixture
def sending(local) -> Iterator[Sending]:
    server = connect(os.environ["QDRANT_URL"])
    one = Sending(local=local, server=server, name=f"test-trap-{uuid4().hex[:8]}")
    yield one
    one.remove()
    server.close()


def refused(sending: Sending, trap: str, **options: Any) -> ShipmentRefusedError:
    """The refusal by the proof of the trap's line."""
    with pytest.raises(ShipmentRefusedError) as caught:
        sending.ship(**options)
    assert f"proof `{caught.value.proof}`" in TRAPS[trap].noticed
    assert f"proof {caught.value.proof!r}" in str(caught.value)
    assert caught.value.left
    if TRAPS[trap].left == NOTHING:
        sending.require_nothing()
    return caught.value


def cannot(sending: Sending, trap: str, **options: Any) -> CannotShipError:
    """The refusal before anything is sent."""
    with pytest.raises(CannotShipError) as caught:
        sending.ship(**options)
    assert TRAPS[trap].noticed.startswith("preparing")
    return caught.value


def test_every_line_of_the_table_has_its_test() -> None:
    here = Path(__file__)
    cluster = here.with_name("test_ship_cluster.py").read_text()
    for name, trap in TRAPS.items():
        if trap.elsewhere is None:
            assert f'"{name}"' in here.read_text()
        else:
            assert f"def {trap.elsewhere}(" in cluster


def test_without_a_trap_it_arrives(sending) -> None:
    shipment = sending.ship()
    assert next(proof.name for proof in shipment.proofs) == "count"
    sending.require_live()


# --- what the server would take, and lose -----------------------------------------------------


def test_operation_numbers_that_stay_low_are_caught_by_an_edit(sending, monkeypatch) -> None:
    monkeypatch.setattr(prepare, "advance_operation_numbers", lambda *_, **__: None)
    told = refused(sending, "operation numbers").problem
    assert "was acknowledged as operation" in told
    assert "changed nothing" in told


def test_points_built_into_a_wrong_shard_are_caught_by_the_route(
    sending, monkeypatch, tmp_path
) -> None:
    from qdrant_static.edge import shards

    place = shards.shard_of
    with EdgeClient(tmp_path / "db") as local:
        monkeypatch.setattr(shards, "shard_of", lambda i, s: s - 1 - place(i, s))
        build(local)
        sending.local = local
        told = refused(sending, "wrong shard").problem
    assert "was built into shard" in told
    assert "looks for it in shard" in told


def test_shards_sent_in_each_others_place_are_caught_by_an_edit(sending, monkeypatch) -> None:
    read = segments.read_shards

    def swapped(folders: Any) -> Any:
        one, other = read(folders)
        return replace(other, number=0), replace(one, number=1)

    monkeypatch.setattr(push, "read_shards", swapped)
    assert "the server does not look for point" in refused(sending, "swapped shards").problem


def changed(monkeypatch: pytest.MonkeyPatch, change: Callable[[str, bytes], Any]) -> None:
    """Files of the segments in both shards, changed on the way."""
    uploads(monkeypatch, lambda _, path, packed: (path, with_files(packed, change)))


def test_a_segment_that_is_left_out_is_caught_by_the_count(sending, monkeypatch) -> None:
    read = segments.read_shards

    def without(folders: Any) -> Any:
        first, *others = read(folders)
        fewer = [one for one in first.segments if one.appendable]
        return (replace(first, segments=tuple(fewer)), *others)

    monkeypatch.setattr(push, "read_shards", without)
    told = refused(sending, "lost segment").problem
    assert told.startswith("shard 0 on peer ")
    assert told.endswith(f"0 points, and {EACH:,} were built")


def test_payloads_that_are_left_out_are_caught(sending, monkeypatch) -> None:
    changed(monkeypatch, lambda path, data: None if path.startswith("payload_storage/") else data)
    assert "field 'n' is missing" in refused(sending, "lost payloads").problem


def test_vectors_that_are_changed_on_the_way_are_caught(sending, monkeypatch) -> None:
    def flipped(path: str, data: bytes) -> bytes:
        if path != "vector_storage-full/matrix.dat":
            return data
        head, body = data[:4], np.frombuffer(data[4:], np.float32)
        return head + (-body).astype(np.float32).tobytes()

    changed(monkeypatch, flipped)
    told = refused(sending, "another vector", sample=EACH).problem
    assert "vector 'full' differs in 64 of its 64 components" in told


def test_codes_that_are_changed_on_the_way_are_caught(sending, tmp_path, monkeypatch) -> None:
    """Every vector is whole, and nothing that is near is found."""

    def zeroed(path: str, data: bytes) -> bytes:
        return bytes(len(data)) if path == "vector_storage-full/quantized.data" else data

    changed(monkeypatch, zeroed)
    with EdgeClient(tmp_path / "coded") as local:
        build(local, codes=BINARY)
        told = refused(replace(sending, local=local), "other codes").problem
    assert "searches by vector 'full'" in told


# --- another configuration --------------------------------------------------------------------


def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prepared as if nothing differed: the segments go as they were built."""

    def same(target: Any, shards: Any) -> Any:
        return {one.name: dict(one.state) for shard in shards for one in shard.segments}, ()

    monkeypatch.setattr(prepare, "translated_states", same)


@pytest.mark.parametrize(
    ("trap", "config", "field"),
    [
        ("another field", vectors(m=8), "vectors.full.hnsw.m: built 16, target 8"),
        ("another dimension", vectors(size=63), "vectors.full.size: built 64, target 63"),
        ("another name", vectors(name="other"), "vectors.full: built present, target missing"),
    ],
)
def test_a_target_of_another_configuration_is_refused_and_stays(
    sending, trap, config, field
) -> None:
    before = sending.target(config)
    assert field in cannot(sending, trap).problem
    assert TRAPS[trap].left == AS_IT_WAS
    assert sending.seen() == before
    assert sending.pointed_at() is None


@pytest.mark.parametrize(
    ("trap", "config", "told"),
    [
        ("another field on the server", vectors(m=8), "vectors.full.hnsw.m: built 16, target 8"),
        (
            "another dimension on the server",
            vectors(size=63),
            "expected dim: 63, got 64",
        ),
        ("another name on the server", vectors(name="other"), "vector name error: full"),
    ],
)
def test_another_configuration_that_nobody_checked_is_caught_by_a_proof(
    sending, monkeypatch, trap, config, told
) -> None:
    before = sending.target(config)
    unchecked(monkeypatch)
    assert told in refused(sending, trap).problem
    assert sending.seen() == before
    assert sending.pointed_at() is None


def test_settings_in_other_words_are_caught_and_named(sending, monkeypatch) -> None:
    unchecked(monkeypatch)
    told = refused(sending, "other words").problem
    assert "config mismatch" in told
    assert "vector_data.full.index.options." in told


def test_a_target_with_a_point_is_refused_and_stays(sending) -> None:
    sending.target()
    sending.server.upsert(
        sending.name,
        [models.PointStruct(id=1, vector={"full": [1.0] * DIMENSION}, payload={"n": 1})],
        wait=True,
    )
    before = sending.seen()
    assert "1 point" in cannot(sending, "not empty").problem
    assert sending.seen() == before
    assert TRAPS["not empty"].left == AS_IT_WAS


def renamed(path: str, data: bytes) -> bytes:
    return b"9.9.9" if path == "version.info" else data


def test_a_version_that_nobody_proved_is_not_sent(sending, monkeypatch) -> None:
    read = segments.read_shards

    def newer(folders: Any) -> Any:
        return tuple(
            replace(shard, segments=tuple(replace(s, version="9.9.9") for s in shard.segments))
            for shard in read(folders)
        )

    monkeypatch.setattr(push, "read_shards", newer)
    assert "9.9.9" in cannot(sending, "unknown version").problem
    sending.require_nothing()


def test_a_version_that_the_server_cannot_read_leaves_nothing(sending, monkeypatch) -> None:
    changed(monkeypatch, renamed)
    with pytest.raises(EngineError, match=r"9\.9\.9") as caught:
        sending.ship(untested=True, retry=SHORT)
    assert "newer than application version" in str(caught.value)
    assert TRAPS["unknown version on the server"].left == NOTHING
    sending.require_nothing()


# --- what breaks ------------------------------------------------------------------------------


def test_an_upload_that_is_cut_once_is_sent_again_alone(sending, monkeypatch) -> None:
    paths = uploads(monkeypatch, lambda n, path, packed: (path, cut(packed) if n == 0 else packed))
    sending.ship()
    assert len(paths) == SHARDS + 1
    assert paths.count(paths[0]) == 2
    assert TRAPS["cut once"].left == "the shipment, proved"
    sending.require_live()


def test_an_upload_that_is_always_cut_ends_and_is_taken_up_later(sending, monkeypatch) -> None:
    with monkeypatch.context() as trap:
        uploads(trap, lambda _, path, packed: (path, cut(packed)))
        with pytest.raises(ServerUnavailableError):
            sending.ship(retry=SHORT)
    assert "the mark" in TRAPS["cut always"].left
    sending.require_mark()
    sending.ship()
    sending.require_live()


@pytest.fixture
def own(tmp_path, local) -> Iterator[tuple[OwnServer, Sending]]:
    """A server that may be killed."""
    with OwnServer(tmp_path) as server:
        yield server, Sending(local=local, server=server.client(), name="killed")


@needs_binary
def test_a_server_that_is_killed_and_comes_back_gets_the_shard_again(own, monkeypatch) -> None:
    server, sending = own
    starter = threading.Thread(target=server.start)

    def dies() -> None:
        server.kill()
        starter.start()

    uploads(monkeypatch, lambda n, path, packed: (path, cut(packed, dies) if n == 0 else packed))
    sending.ship()
    starter.join()
    assert TRAPS["killed and back"].left == "the shipment, proved"
    sending.require_live()


@needs_binary
def test_a_server_that_is_killed_leaves_a_mark_and_the_same_command_finishes_it(
    own, monkeypatch
) -> None:
    server, sending = own
    with monkeypatch.context() as trap:
        uploads(trap, lambda _, path, packed: (path, cut(packed, server.kill)))
        with pytest.raises(ServerUnavailableError):
            sending.ship(retry=SHORT)
    server.start()
    sending.server = server.client()  # as a new process has; this one would wait to come back
    assert "the mark" in TRAPS["killed"].left
    sending.require_mark()
    sending.ship()
    sending.require_live()


def on_phase(phase: str, then: Callable[[], object]) -> Callable[[Any], None]:
    """What hears of progress, and does something once."""
    done = threading.Event()

    def told(progress: Any) -> None:
        if progress.phase == phase and not done.is_set():
            done.set()
            then()

    return told


@needs_binary
def test_a_server_that_is_killed_before_the_proofs_leaves_a_mark_and_is_finished(own) -> None:
    server, sending = own
    with pytest.raises(ServerUnavailableError):
        sending.ship(retry=SHORT, progress=on_phase("proving", server.kill))
    server.start()
    sending.server = server.client()
    assert "the mark" in TRAPS["killed before the proofs"].left
    sending.require_mark()
    sending.ship()
    sending.require_live()


@needs_binary
def test_a_server_that_is_killed_after_all_of_it_has_all_of_it(own) -> None:
    server, sending = own
    sending.ship()
    server.kill()
    server.start()
    sending.server = server.client()
    assert TRAPS["killed after"].left == "the shipment, proved"
    sending.ship()
    sending.require_live()
    server.kill()
    server.start()
    sending.server = server.client()
    sending.require_live()


# --- the disk ---------------------------------------------------------------------------------

#: A file system of its own for the server's storage, and the server on it; both end together.
_SMALL = """#!/bin/sh
exec unshare --map-root-user --mount sh -c '
mkdir -p "$STORAGE" && mount -t tmpfs -o size="$SIZE" none "$STORAGE" && exec "$PROGRAM" "$@"
' sh "$@"
"""


def has_own_mounts() -> bool:
    try:
        asked = ["unshare", "--map-root-user", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"]
        return subprocess.run(asked, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def fill(disk: Path) -> None:
    """Until nothing more fits."""
    with (disk / "ballast").open("ab", buffering=0) as ballast:
        with suppress(OSError):
            while True:
                ballast.write(bytes(1 << 12))
    assert os.statvfs(disk).f_bavail == 0


@needs_binary
@pytest.mark.skipif(
    not has_own_mounts(), reason="this system lets nobody mount a small disk (unshare --mount)"
)
def test_a_full_disk_is_told_and_leaves_nothing(local, tmp_path, monkeypatch) -> None:
    program = tmp_path / "small.sh"
    program.write_text(_SMALL)
    program.chmod(0o755)
    monkeypatch.setenv("PROGRAM", os.environ["QDRANT_BINARY"])
    monkeypatch.setenv("STORAGE", str(tmp_path / "storage"))
    monkeypatch.setenv("SIZE", "400m")
    monkeypatch.setenv("QDRANT_BINARY", str(program))
    with OwnServer(tmp_path) as server:
        disk = Path(f"/proc/{server.pid}/root{tmp_path}/storage")
        uploads(monkeypatch, lambda _, path, packed: (path, midway(packed, lambda: fill(disk))))
        sending = Sending(local=local, server=server.client(), name="full")
        with pytest.raises(QdrantStaticError, match="disk is full") as caught:
            sending.ship(retry=SHORT)
        assert isinstance(caught.value, EngineError)
        assert TRAPS["disk full"].left == NOTHING
        sending.require_nothing()


# --- the alias --------------------------------------------------------------------------------


def test_an_alias_that_somebody_moves_meanwhile_is_left_alone(sending) -> None:
    other = f"{sending.name}-other"
    sending.server.create_collection(other, vectors_config=vectors())
    to_other = models.CreateAlias(collection_name=other, alias_name=sending.alias)
    moves = [models.CreateAliasOperation(create_alias=to_other)]
    meanwhile = on_phase("proving", lambda: sending.server.update_collection_aliases(moves))
    with pytest.raises(AliasMovedError) as caught:
        sending.ship(progress=meanwhile)
    assert caught.value.found == other
    assert f"{sending.name!r} is complete and verified: repeat the command" in str(caught.value)
    assert "the alias where it was put" in TRAPS["alias moved"].left
    assert sending.pointed_at() == other
    assert sending.server.count(sending.name, exact=True).count == SHARDS * EACH
    sending.ship()
    sending.require_live()
