"""A server's REST door for shipments: collections as it describes them, shards as it takes them.

What is uploaded is unpacked and opened by the engine itself, or, where a test is about something
else, only read as an archive. It does not search: the proofs have their own tests.
"""

from __future__ import annotations

import io
import json
import re
import shutil
import tarfile
import tempfile
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import qdrant_edge as edge
from qdrant_client import QdrantClient

from tests.shipping import empty_frame

_HNSW = {
    "m": 16, "ef_construct": 100, "full_scan_threshold": 10000, "max_indexing_threads": 0,
    "on_disk": False,
}  # fmt: skip


class ShipDoor:
    """The server.

    Attributes:
        version: What it says to be.
        key: The key that it asks for, if any.
        collections: By name: ``config``, ``payload_schema``, ``shards`` (number -> points).
        aliases: Collections by alias.
        faults: What happens to the next uploads, one each: a status and what is said, ``cut``, or
            None for nothing.
        uploads: The shards that came, taken or not, in the order of arrival.
        numbers: Operations of each shard, by collection and number.
        told: Requests, as method and path.
        streams: Whether it gives snapshots of shards.
        counts: Points by the size of a collection and the shard's number, for uploads that are
            not to be opened.
        hook: Called with every request before it is answered.
    """

    def __init__(self, folder: Path) -> None:
        self.version = "1.18.3"
        self.key: str | None = None
        self.collections: dict[str, dict[str, Any]] = {}
        self.aliases: dict[str, str] = {}
        self.faults: list[tuple[int, str] | str | None] = []
        self.uploads: list[int] = []
        self.numbers: dict[tuple[str, int], int] = {}
        self.told: list[str] = []
        self.streams = True
        self.counts: dict[int, list[int]] = {}
        self.hook: Callable[[str], None] = lambda _: None
        self.place: Callable[[int], int] = lambda _: 0
        self._folder = folder
        self._guard = threading.RLock()
        self._http = _listen(self)
        threading.Thread(target=self._http.serve_forever, args=[0.02], daemon=True).start()

    def __enter__(self) -> ShipDoor:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    def client(self, **options: Any) -> QdrantClient:
        options = {"timeout": 10, **options}
        return QdrantClient(url=self.url, check_compatibility=False, **options)

    # --- what it does --------------------------------------------------------------------------

    def answer(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        """A status, and the ``result`` or the error."""
        with self._guard:
            for pattern, answered, do in _ROUTES:
                found = re.fullmatch(pattern, path)
                if found and method == answered:
                    return do(self, body, *map(unquote, found.groups()))
        return 404, "Not found"

    def _create(self, body: Any, name: str) -> tuple[int, Any]:
        if name in self.collections:
            return 409, f"Wrong input: Collection `{name}` already exists!"
        codes = json.dumps(body)
        if "memory" in codes or "bits8" in codes:
            return 400, "Format error in JSON body: unknown field `memory`"
        names = ("vectors", "sparse_vectors", "shard_number", "replication_factor")
        params = {key: body[key] for key in names if body.get(key) is not None}
        params |= {"on_disk_payload": body.get("on_disk_payload", True)}
        self.collections[name] = {
            "config": {
                "params": {"shard_number": 1, **params},
                "hnsw_config": {**_HNSW, **body.get("hnsw_config", {})},
                "optimizer_config": body.get("optimizers_config", {}),
                "quantization_config": body.get("quantization_config"),
                "metadata": body.get("metadata"),
            },
            "payload_schema": {},
            "shards": dict.fromkeys(range(params.get("shard_number", 1)), 0),
        }
        for shard in self.collections[name]["shards"]:
            self.numbers[name, shard] = -1
        return 200, True

    def _describe(self, _: Any, name: str) -> tuple[int, Any]:
        if name not in self.collections:
            return 404, f"Not found: Collection `{name}` doesn't exist!"
        there = self.collections[name]
        return 200, {key: there[key] for key in ("config", "payload_schema")}

    def _change(self, body: Any, name: str) -> tuple[int, Any]:
        config = self.collections[name]["config"]
        config["metadata"] = {**(config["metadata"] or {}), **body["metadata"]}
        return 200, True

    def _drop(self, _: Any, name: str) -> tuple[int, Any]:
        return 200, self.collections.pop(name, None) is not None

    def _index(self, body: Any, name: str) -> tuple[int, Any]:
        kind = body["field_schema"]
        schema = self.collections[name]["payload_schema"]
        schema[body["field_name"]] = {
            "data_type": kind if isinstance(kind, str) else kind["type"], "points": 0,
        }  # fmt: skip
        for shard in self.collections[name]["shards"]:
            self.numbers[name, shard] += 1
        return 200, {"operation_id": 0, "status": "completed"}

    def _batch(self, body: Any, name: str) -> tuple[int, Any]:
        results = []
        for operation in body["operations"]:
            (point,) = operation["delete"]["points"]
            key = name, self.place(point)
            self.numbers[key] += 1
            results.append({"operation_id": self.numbers[key], "status": "completed"})
        return 200, results

    def _count(self, _: Any, name: str) -> tuple[int, Any]:
        return 200, {"count": sum(self.collections[name]["shards"].values())}

    def _placed(self, _: Any, name: str) -> tuple[int, Any]:
        shards = self.collections[name]["shards"]
        held = [
            {"shard_id": shard, "points_count": points, "state": "Active"}
            for shard, points in shards.items()
        ]
        return 200, {
            "peer_id": 7, "shard_count": len(shards), "local_shards": held, "remote_shards": [],
            "shard_transfers": [],
        }  # fmt: skip

    def _names(self, _: Any) -> tuple[int, Any]:
        return 200, {"collections": [{"name": name} for name in self.collections]}

    def _listed(self, _: Any) -> tuple[int, Any]:
        return 200, {
            "aliases": [
                {"alias_name": alias, "collection_name": name}
                for alias, name in self.aliases.items()
            ]
        }

    def _point(self, body: Any) -> tuple[int, Any]:
        for action in body["actions"]:
            made = action["create_alias"]
            self.aliases[made["alias_name"]] = made["collection_name"]
        return 200, True

    def snapshot(self, name: str) -> bytes:
        """Of an empty shard."""
        with tempfile.TemporaryDirectory(dir=self._folder) as folder:
            return empty_frame(Path(folder) / "frame", segments=0).read_bytes()

    def take(self, name: str, shard: int, content: bytes) -> tuple[int, Any]:
        """Unpack and open a shard."""
        shards = self.collections[name]["shards"]
        if len(shards) in self.counts:
            with tarfile.open(fileobj=io.BytesIO(content)) as tar:
                assert "shard_config.json" in tar.getnames()
            shards[shard] = self.counts[len(shards)][shard]
            return 200, None
        folder = Path(tempfile.mkdtemp(dir=self._folder))
        try:
            (folder / "s").write_bytes(content)
            edge.EdgeShard.unpack_snapshot(str(folder / "s"), str(folder / "shard"))
            shutil.rmtree(folder / "shard" / "wal")  # the door's own is none that opens
            opened = edge.EdgeShard.load(str(folder / "shard"), None)
            points = opened.info().points_count
            opened.close()
        except Exception as error:
            return 400, f"Wrong input: {error}"
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        shards[shard] = points
        return 200, None


_ROUTES: list[tuple[str, str, Callable[..., tuple[int, Any]]]] = [
    (r"/cluster", "GET", lambda *_: (200, {"status": "disabled"})),
    (r"/collections", "GET", ShipDoor._names),
    (r"/aliases", "GET", ShipDoor._listed),
    (r"/collections/aliases", "POST", ShipDoor._point),
    (r"/collections/([^/]+)", "GET", ShipDoor._describe),
    (r"/collections/([^/]+)", "PUT", ShipDoor._create),
    (r"/collections/([^/]+)", "PATCH", ShipDoor._change),
    (r"/collections/([^/]+)", "DELETE", ShipDoor._drop),
    (
        r"/collections/([^/]+)/exists",
        "GET",
        lambda door, _, name: (200, {"exists": name in door.collections or name in door.aliases}),
    ),
    (r"/collections/([^/]+)/cluster", "GET", ShipDoor._placed),
    (r"/collections/([^/]+)/index", "PUT", ShipDoor._index),
    (r"/collections/([^/]+)/points/count", "POST", ShipDoor._count),
    (r"/collections/([^/]+)/points/batch", "POST", ShipDoor._batch),
]
_UPLOAD = re.compile(r"/collections/([^/]+)/shards/(\d+)/snapshots/upload")
_SNAPSHOT = re.compile(r"/collections/([^/]+)/shards/(\d+)/snapshot")


class _Door(BaseHTTPRequestHandler):
    door: ShipDoor

    def _any(self) -> None:
        path = urlsplit(self.path).path
        self.door.told.append(f"{self.command} {path}")
        self.door.hook(self.door.told[-1])
        length = int(self.headers.get("Content-Length") or 0)
        if found := _UPLOAD.fullmatch(path):
            return self._upload(unquote(found[1]), int(found[2]), length)
        body = self.rfile.read(length)
        if self.door.key is not None and self.headers.get("api-key") != self.door.key:
            return self._say(401, "Must provide an API key or an Authorization bearer token")
        if path == "/":
            return self._send(200, {"title": "qdrant", "version": self.door.version})
        if (found := _SNAPSHOT.fullmatch(path)) and self.door.streams:
            content = self.door.snapshot(unquote(found[1]))
            return self._raw(200, content, "application/octet-stream")
        return self._say(*self.door.answer(self.command, path, json.loads(body) if body else None))

    do_GET = do_PUT = do_POST = do_PATCH = do_DELETE = _any  # noqa: N815

    def _upload(self, name: str, shard: int, length: int) -> None:
        self.door.uploads.append(shard)
        fault = self.door.faults.pop(0) if self.door.faults else None
        if fault == "cut":
            self.rfile.read(length // 2)
            self.close_connection = True
            return
        content = self.rfile.read(length)
        if len(content) < length:  # the other side broke off
            self.close_connection = True
            return
        if isinstance(fault, tuple):
            self.close_connection = True
            self._say(*fault)
            return
        boundary = self.headers["Content-Type"].partition("boundary=")[2].encode()
        head, _, rest = content.partition(b"\r\n\r\n")
        assert b'name="snapshot"' in head
        file, tail, end = rest.rpartition(b"\r\n--" + boundary + b"--\r\n")
        assert tail
        assert not end
        self._say(*self.door.take(name, shard, file))

    def _say(self, code: int, what: Any) -> None:
        good = {"result": what, "status": "ok", "time": 0.0}
        self._send(code, good if code == 200 else {"status": {"error": what}, "time": 0.0})

    def _send(self, code: int, body: Any) -> None:
        self._raw(code, json.dumps(body).encode(), "application/json")

    def _raw(self, code: int, content: bytes, kind: str) -> None:
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Nothing on standard error."""


def _listen(server: ShipDoor) -> ThreadingHTTPServer:
    class Door(_Door):
        door = server

    return ThreadingHTTPServer(("127.0.0.1", 0), Door)
