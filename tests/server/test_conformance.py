"""The suite on a real server, over both of its protocols."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from qdrant_client import QdrantClient

from qdrant_static.testing import ClientConformance
from qdrant_static.testing.differences import GRPC, REST

pytestmark = pytest.mark.server


def _client(*, prefer_grpc: bool) -> QdrantClient:
    return QdrantClient(
        url=os.environ["QDRANT_URL"], prefer_grpc=prefer_grpc, check_compatibility=False
    )


class TestRest(ClientConformance):
    differences = REST

    @pytest.fixture
    def client(self) -> Iterator[QdrantClient]:
        client = _client(prefer_grpc=False)
        yield client
        client.close()


class TestGrpc(ClientConformance):
    differences = GRPC

    @pytest.fixture
    def client(self) -> Iterator[QdrantClient]:
        client = _client(prefer_grpc=True)
        yield client
        client.close()
