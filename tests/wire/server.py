"""A Qdrant server on loopback: the client's own gRPC services, Edge behind, faults in front.

It speaks what our code asks: enough of Points, Collections and Qdrant over gRPC, and a REST door
for the version and for `get_optimizations`, which exist over REST only.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import grpc as transport
from qdrant_client import QdrantClient, grpc, models
from qdrant_client.conversions.conversion import GrpcToRest, RestToGrpc
from qdrant_client.grpc import (
    collections_service_pb2_grpc,
    points_service_pb2_grpc,
    qdrant_pb2_grpc,
)

from qdrant_static import EdgeClient
from qdrant_static.errors import (
    CollectionExistsError,
    CollectionNotFoundError,
    PointError,
    UsageError,
)
from tests.wire.faults import Fault, What

VERSION = "1.18.3"
_CODES = (
    (CollectionNotFoundError, transport.StatusCode.NOT_FOUND),
    (CollectionExistsError, transport.StatusCode.ALREADY_EXISTS),
    (UsageError, transport.StatusCode.INVALID_ARGUMENT),
    (PointError, transport.StatusCode.INVALID_ARGUMENT),
)


class _GoneError(Exception):
    """The server that took the request is not the one that runs now."""


class WireServer:
    """The server.

    Attributes:
        faults: What goes wrong, and when.
        refused: Ids that no upsert may hold: the whole of it is refused, nothing stored.
        most_points: An upsert of more is told to come in smaller parts; None for no limit.
        upserts: How many points each upsert brought, in the order of arrival.
        status: What the collections' status is said to be; None for Edge's own.
        updates: How many changes of a collection's settings came in.
        deaf: So many of the next calls, other than upserts, are not heard.
        optimizations: What `get_optimizations` answers; None for a server that has no such thing.
    """

    def __init__(self, path: Path, faults: Sequence[Fault] = ()) -> None:
        self.faults = list(faults)
        self.refused: set[int | str] = set()
        self.most_points: int | None = None
        self.upserts: list[int] = []
        self.status: models.CollectionStatus | None = None
        self.updates = 0
        self.deaf = 0
        self.optimizations: dict[str, Any] | None = None
        self._path = path
        self._lock = threading.RLock()
        self._life = 0
        self._engine: EdgeClient | None = EdgeClient(path)
        self._clients: list[QdrantClient] = []
        self._bounces: list[threading.Thread] = []
        self._port = _free_port()
        self._grpc = self._listen()
        self._rest = _rest_door(self)
        threading.Thread(target=self._rest.serve_forever, args=[0.02], daemon=True).start()

    def __enter__(self) -> WireServer:
        return self

    def __exit__(self, *_: object) -> None:
        for client in self._clients:
            client.close()
        for thread in self._bounces:
            thread.join()
        self._grpc.stop(None).wait()
        self._rest.shutdown()
        self._rest.server_close()
        with self._lock:
            self._life += 1
            if self._engine is not None:
                self._engine.close()

    def client(self, *, timeout_s: int = 10, **options: Any) -> QdrantClient:
        """A client of this server, which comes back to it at once after a break."""
        client = QdrantClient(
            url=f"http://127.0.0.1:{self._rest.server_address[1]}",
            grpc_port=self._port,
            prefer_grpc=True,
            timeout=timeout_s,
            check_compatibility=False,
            grpc_options={
                "grpc.initial_reconnect_backoff_ms": 20,
                "grpc.min_reconnect_backoff_ms": 20,
                "grpc.max_reconnect_backoff_ms": 20,
            },
            **options,
        )
        self._clients.append(client)
        return client

    @contextmanager
    def engine(self) -> Iterator[EdgeClient]:
        """What is really stored."""
        with self._lock:
            if self._engine is None:
                raise _GoneError
            yield self._engine

    # --- faults --------------------------------------------------------------------------------

    def upsert(self, request: grpc.UpsertPoints, context: transport.ServicerContext) -> Any:
        with self._lock:
            life = self._life
            self.upserts.append(len(request.points))
            number = len(self.upserts)
        faults = [fault for fault in self.faults if fault.strikes(number)]
        for fault in faults:
            self._before(fault, request, context)
        answer = self._carry_out(request, context, life)
        for fault in faults:
            self._after(fault, context)
        return answer

    def _before(
        self, fault: Fault, request: grpc.UpsertPoints, context: transport.ServicerContext
    ) -> None:
        unavailable = transport.StatusCode.UNAVAILABLE
        match fault.what:
            case What.DELAY:
                time.sleep(fault.seconds)
            case What.LOST:
                context.abort(unavailable, "Socket closed")
            case What.BREAK | What.RESTART:
                self._bounce(fault, context)
            case What.EXHAUSTED:
                if fault.retry_after_s is not None:
                    context.set_trailing_metadata((("retry-after", str(fault.retry_after_s)),))
                context.abort(transport.StatusCode.RESOURCE_EXHAUSTED, "Write rate limit exceeded")
            case What.INTERNAL:
                context.abort(transport.StatusCode.INTERNAL, "Service internal error")
            case What.DENIED:
                context.abort(transport.StatusCode.PERMISSION_DENIED, "Forbidden")
            case What.NO_COLLECTION:
                with self.engine() as engine:
                    engine.delete_collection(request.collection_name)
            case What.OTHER_SIZE:
                self._resize(request.collection_name)

    def _after(self, fault: Fault, context: transport.ServicerContext) -> None:
        if fault.what is What.UNACKNOWLEDGED:
            context.abort(transport.StatusCode.UNAVAILABLE, "Socket closed")
        if fault.what in (What.BREAK_AFTER, What.RESTART_AFTER):
            self._bounce(fault, context)

    def _resize(self, collection: str) -> None:
        with self.engine() as engine:
            vectors = engine.get_collection(collection).config.params.vectors
            engine.delete_collection(collection)
            engine.create_collection(
                collection,
                vectors_config={
                    name: models.VectorParams(size=one.size + 1, distance=one.distance)
                    for name, one in vectors.items()
                },
            )

    def _carry_out(
        self, request: grpc.UpsertPoints, context: transport.ServicerContext, life: int
    ) -> grpc.PointsOperationResponse:
        if self.most_points is not None and len(request.points) > self.most_points:
            context.abort(
                transport.StatusCode.INVALID_ARGUMENT, f"Limit exceeded {self.most_points}"
            )
        points = [GrpcToRest.convert_point_struct(point) for point in request.points]
        for point in points:
            if point.id in self.refused:
                context.abort(transport.StatusCode.INVALID_ARGUMENT, "Wrong input: this point")
        with self._lock:
            if life != self._life:  # it died while this one waited
                context.abort(transport.StatusCode.UNAVAILABLE, "Socket closed")
            with self.engine() as engine:
                engine.upsert(request.collection_name, points)
        return _updated()

    def _bounce(self, fault: Fault, context: transport.ServicerContext) -> None:
        """Break all connections, and take new ones after a while."""
        dies = fault.what in (What.RESTART, What.RESTART_AFTER)
        thread = threading.Thread(target=self._go_away, args=[fault.seconds, dies])
        self._bounces.append(thread)
        thread.start()
        context.abort(transport.StatusCode.UNAVAILABLE, "Socket closed")

    def _go_away(self, seconds: float, dies: bool) -> None:
        with self._lock:
            self._life += 1
            if dies and self._engine is not None:
                self._engine.close()
                self._engine = None
        self._grpc.stop(None).wait()
        time.sleep(seconds)
        with self._lock:
            if dies:
                self._engine = EdgeClient(self._path)
        self._grpc = self._listen()

    def _listen(self) -> transport.Server:
        server = transport.server(
            ThreadPoolExecutor(16),
            options=[("grpc.max_receive_message_length", -1), ("grpc.so_reuseport", 0)],
        )
        points_service_pb2_grpc.add_PointsServicer_to_server(_Points(self), server)
        collections_service_pb2_grpc.add_CollectionsServicer_to_server(_Collections(self), server)
        qdrant_pb2_grpc.add_QdrantServicer_to_server(_Root(), server)
        server.add_insecure_port(f"127.0.0.1:{self._port}")
        server.start()
        return server


def _updated() -> grpc.PointsOperationResponse:
    done = grpc.UpdateResult(operation_id=0, status=grpc.UpdateStatus.Completed)
    return grpc.PointsOperationResponse(result=done)


def _answers(method: Callable[..., Any]) -> Callable[..., Any]:
    """Errors of the engine, as a server says them."""

    def answer(self: Any, request: Any, context: transport.ServicerContext) -> Any:
        try:
            if method.__name__ != "Upsert" and self._server.deaf:
                self._server.deaf -= 1
                raise _GoneError
            return method(self, request, context)
        except _GoneError:
            context.abort(transport.StatusCode.UNAVAILABLE, "Socket closed")
        except Exception as error:
            if not str(error):  # context.abort's own
                raise
            code = transport.StatusCode.INTERNAL
            for kind, known in _CODES:
                if isinstance(error, kind):
                    code = known
                    break
            context.abort(code, str(error))

    return answer


class _Points(points_service_pb2_grpc.PointsServicer):
    def __init__(self, server: WireServer) -> None:
        self._server = server

    @_answers
    def Upsert(self, request, context):  # noqa: N802
        return self._server.upsert(request, context)

    @_answers
    def Delete(self, request, context):  # noqa: N802
        with self._server.engine() as engine:
            chosen = GrpcToRest.convert_points_selector(request.points)
            engine.delete(request.collection_name, chosen)
        return _updated()

    @_answers
    def SetPayload(self, request, context):  # noqa: N802
        return self._payload(request, "set_payload")

    @_answers
    def OverwritePayload(self, request, context):  # noqa: N802
        return self._payload(request, "overwrite_payload")

    def _payload(self, request, method):
        with self._server.engine() as engine:
            getattr(engine, method)(
                request.collection_name,
                GrpcToRest.convert_payload(request.payload),
                GrpcToRest.convert_points_selector(request.points_selector),
            )
        return _updated()

    @_answers
    def UpdateBatch(self, request, context):  # noqa: N802
        operations = [GrpcToRest.convert_points_update_operation(one) for one in request.operations]
        with self._server.engine() as engine:
            engine.batch_update_points(request.collection_name, operations)
        return grpc.UpdateBatchResponse(result=[_updated().result for _ in operations])

    @_answers
    def CreateFieldIndex(self, request, context):  # noqa: N802
        kind = grpc.FieldType.Name(request.field_type).removeprefix("FieldType").lower()
        with self._server.engine() as engine:
            engine.create_payload_index(
                request.collection_name,
                request.field_name,
                field_schema=models.PayloadSchemaType(kind),
            )
        return _updated()

    @_answers
    def Get(self, request, context):  # noqa: N802
        with self._server.engine() as engine:
            records = engine.retrieve(
                request.collection_name,
                [GrpcToRest.convert_point_id(one) for one in request.ids],
                with_payload=_selected(request, "with_payload", False),
                with_vectors=_selected(request, "with_vectors", False),
            )
        return grpc.GetResponse(result=[_record(one) for one in records])

    @_answers
    def Scroll(self, request, context):  # noqa: N802
        with self._server.engine() as engine:
            records, following = engine.scroll(
                request.collection_name,
                scroll_filter=_filter(request),
                limit=request.limit or 10,
                offset=GrpcToRest.convert_point_id(request.offset)
                if request.HasField("offset")
                else None,
                with_payload=_selected(request, "with_payload", False),
                with_vectors=_selected(request, "with_vectors", False),
            )
        return grpc.ScrollResponse(
            result=[_record(one) for one in records],
            next_page_offset=None
            if following is None
            else RestToGrpc.convert_extended_point_id(following),
        )

    @_answers
    def Count(self, request, context):  # noqa: N802
        with self._server.engine() as engine:
            counted = engine.count(request.collection_name, _filter(request), exact=True)
        return grpc.CountResponse(result=grpc.CountResult(count=counted.count))


def _record(record: models.Record) -> grpc.RetrievedPoint:
    """A record as a server sends it; the client's own conversion wants a payload."""
    record.payload = record.payload or {}
    return RestToGrpc.convert_record(record)


def _filter(request: Any) -> models.Filter | None:
    return GrpcToRest.convert_filter(request.filter) if request.HasField("filter") else None


def _selected(request: Any, field: str, otherwise: Any) -> Any:
    if not request.HasField(field):
        return otherwise
    convert = {
        "with_payload": GrpcToRest.convert_with_payload_selector,
        "with_vectors": GrpcToRest.convert_with_vectors_selector,
    }[field]
    return convert(getattr(request, field))


class _Collections(collections_service_pb2_grpc.CollectionsServicer):
    def __init__(self, server: WireServer) -> None:
        self._server = server

    @_answers
    def Create(self, request, context):  # noqa: N802
        with self._server.engine() as engine:
            engine.create_collection(
                request.collection_name,
                vectors_config=GrpcToRest.convert_vectors_config(request.vectors_config),
                sparse_vectors_config=GrpcToRest.convert_sparse_vector_config(
                    request.sparse_vectors_config
                ),
                hnsw_config=_given(request, "hnsw_config"),
                optimizers_config=_given(request, "optimizers_config"),
                quantization_config=_given(request, "quantization_config"),
                metadata=GrpcToRest.convert_payload(request.metadata) or None,
            )
        return grpc.CollectionOperationResponse(result=True)

    @_answers
    def Update(self, request, context):  # noqa: N802
        self._server.updates += 1
        with self._server.engine() as engine:
            engine.update_collection(
                request.collection_name,
                hnsw_config=_given(request, "hnsw_config"),
                optimizers_config=_given(request, "optimizers_config"),
                metadata=GrpcToRest.convert_payload(request.metadata) or None,
            )
        return grpc.CollectionOperationResponse(result=True)

    @_answers
    def Delete(self, request, context):  # noqa: N802
        with self._server.engine() as engine:
            done = engine.delete_collection(request.collection_name)
        return grpc.CollectionOperationResponse(result=done)

    @_answers
    def Get(self, request, context):  # noqa: N802
        with self._server.engine() as engine:
            info = engine.get_collection(request.collection_name)
        # The client's own conversion, made for servers' answers, wants one.
        info.status = self._server.status or info.status
        info.config.wal_config = models.WalConfig(wal_capacity_mb=32, wal_segments_ahead=0)
        return grpc.GetCollectionInfoResponse(result=RestToGrpc.convert_collection_info(info))

    @_answers
    def List(self, request, context):  # noqa: N802
        with self._server.engine() as engine:
            names = [one.name for one in engine.get_collections().collections]
        return grpc.ListCollectionsResponse(
            collections=[grpc.CollectionDescription(name=name) for name in names]
        )

    @_answers
    def ListAliases(self, request, context):  # noqa: N802
        with self._server.engine() as engine:
            aliases = engine.get_aliases().aliases
        return grpc.ListAliasesResponse(
            aliases=[
                grpc.AliasDescription(
                    alias_name=one.alias_name, collection_name=one.collection_name
                )
                for one in aliases
            ]
        )

    @_answers
    def CollectionExists(self, request, context):  # noqa: N802
        with self._server.engine() as engine:
            there = engine.collection_exists(request.collection_name)
        return grpc.CollectionExistsResponse(result=grpc.CollectionExists(exists=there))


_CONVERT = {
    "hnsw_config": GrpcToRest.convert_hnsw_config_diff,
    "optimizers_config": GrpcToRest.convert_optimizers_config_diff,
    "quantization_config": GrpcToRest.convert_quantization_config,
}


def _given(request: Any, field: str) -> Any:
    return _CONVERT[field](getattr(request, field)) if request.HasField(field) else None


class _Root(qdrant_pb2_grpc.QdrantServicer):
    def HealthCheck(self, request, context):  # noqa: N802
        return grpc.HealthCheckReply(title="qdrant - vector search engine", version=VERSION)


def _rest_door(server: WireServer) -> ThreadingHTTPServer:
    class Door(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/":
                self._say(200, {"title": "qdrant", "version": VERSION, "commit": None})
            elif "/optimizations" in self.path and server.optimizations is not None:
                self._say(200, {"result": server.optimizations, "status": "ok", "time": 0.0})
            else:
                self._say(404, {"status": {"error": "Not found"}, "time": 0.0})

        def _say(self, code: int, body: dict[str, Any]) -> None:
            content = json.dumps(body).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            """Nothing on standard error."""

    return ThreadingHTTPServer(("127.0.0.1", 0), Door)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
