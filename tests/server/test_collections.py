"""Specs, diffs, collections of others and `quantize` on a real server, by both protocols."""

from __future__ import annotations

import os
from dataclasses import replace
from urllib.parse import urlsplit

import pytest
from qdrant_client import QdrantClient

from qdrant_static import CollectionSpec, create_collection
from qdrant_static.clients.connect import server_version
from qdrant_static.collection.applydiff import apply
from qdrant_static.collection.create import read_spec
from qdrant_static.collection.diff import diff
from qdrant_static.collection.quantization import SHORT_NAMES
from qdrant_static.collection.serverspec import ServerSpec
from qdrant_static.errors import ArgumentError
from tests.collection_suite import CollectionSuite, spec_with, vectors

pytestmark = pytest.mark.server


def _client(*, prefer_grpc: bool) -> QdrantClient:
    url = os.environ["QDRANT_URL"]
    # The server's own convention: gRPC's port is the next one.
    grpc_port = (urlsplit(url).port or 6333) + 1
    return QdrantClient(
        url=url, grpc_port=grpc_port, prefer_grpc=prefer_grpc, check_compatibility=False
    )


class ServerSuite(CollectionSuite):
    """What a server alone has."""

    def test_a_servers_own_settings(self, client, name):
        spec = spec_with(server=ServerSpec(shards=2, on_disk_payload=False))
        create_collection(client, name, spec)
        assert diff(client, name, spec).differences == ()
        wanted = replace(spec, server=ServerSpec(on_disk_payload=True, replicas=1))
        told = diff(client, name, wanted)
        assert [one.field for one in told.differences] == ["server.on_disk_payload"]
        apply(client, name, told)
        assert diff(client, name, wanted).differences == ()
        assert read_spec(client, name).server == ServerSpec(
            shards=2, on_disk_payload=True, replicas=1
        )
        more = replace(spec, server=ServerSpec(shards=3))
        assert [one.remedy for one in diff(client, name, more).differences] == [
            "migration", "in place",
        ][:1]  # fmt: skip

    @pytest.mark.parametrize("datatype", ["turbo4", "turbo8", "turbo16"])
    def test_a_datatype_works_or_is_refused_by_the_servers_version(self, client, name, datatype):
        spec = vectors(spec_with(sparse=None, quantization=None), datatype=datatype)
        if server_version(client) >= (1, 19, 0):
            create_collection(client, name, spec)
            assert diff(client, name, spec).differences == ()
        else:
            with pytest.raises(ArgumentError, match=r"needs Qdrant 1\.19\.0"):
                create_collection(client, name, spec)
            assert not client.collection_exists(name)

    @pytest.mark.parametrize("kind", sorted(SHORT_NAMES))
    def test_a_quantization_works_or_is_refused_by_the_servers_version(self, client, name, kind):
        spec = spec_with(sparse=None, quantization=kind)
        if kind == "turbo8" and server_version(client) < (1, 19, 0):
            with pytest.raises(ArgumentError, match=r"turbo8 needs Qdrant 1\.19\.0"):
                create_collection(client, name, spec)
            return
        create_collection(client, name, spec)
        assert diff(client, name, spec).differences == ()

    def test_it_is_told_what_an_older_server_cannot_add(self, client, name, monkeypatch):
        from qdrant_static.collection import diff as module

        spec = spec_with(quantization=None)
        create_collection(client, name, spec)
        monkeypatch.setattr(module, "server_version", lambda _: (1, 17, 1))
        wanted = CollectionSpec.for_encoder(spec.encoder, matryoshka=(8,), quantization=None)
        (one,) = diff(client, name, wanted).differences
        assert one.remedy == "migration"
        assert "needs Qdrant 1.18.0; this server is 1.17.1" in one.reason


class TestRest(ServerSuite):
    @pytest.fixture
    def client(self):
        client = _client(prefer_grpc=False)
        yield client
        client.close()


class TestGrpc(ServerSuite):
    @pytest.fixture
    def client(self):
        client = _client(prefer_grpc=True)
        yield client
        client.close()
