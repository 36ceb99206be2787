"""The proofs of a shipment on Edge's collection and a server's, by both protocols."""

from __future__ import annotations

import os
from collections.abc import Iterator
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from qdrant_client import QdrantClient

from qdrant_static import EdgeClient
from qdrant_static.shipping.nodes.node import node_of
from qdrant_static.shipping.nodes.peers import Peers
from tests.proof_suite import Pair, ProofSuite, built_once, create

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def local(tmp_path_factory) -> Iterator[EdgeClient]:
    yield from built_once(tmp_path_factory.mktemp("built"))


def paired(local: EdgeClient, *, prefer_grpc: bool) -> Iterator[Pair]:
    url = os.environ["QDRANT_URL"]
    server = QdrantClient(
        url=url,
        # The server's own convention: gRPC's port is the next one.
        grpc_port=(urlsplit(url).port or 6333) + 1,
        prefer_grpc=prefer_grpc,
        timeout=30,
        check_compatibility=False,
    )
    target = f"test-proofs-{uuid4().hex[:8]}"
    with node_of(server) as node:
        create(server, target)
        yield Pair(local=local, server=server, node=node, peers=Peers.of(node), target=target)
    server.delete_collection(target)
    server.close()


class TestByGrpc(ProofSuite):
    @pytest.fixture
    def pair(self, local) -> Iterator[Pair]:
        yield from paired(local, prefer_grpc=True)

    def test_by_rest_all_proofs_hold_too(self, local) -> None:
        for pair in paired(local, prefer_grpc=False):
            self.test_all_proofs_hold_of_the_same_points_and_leave_nothing(pair)
