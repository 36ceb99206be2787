"""The suite on the embedded engine, and on the client's own imitation of a server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from qdrant_client import QdrantClient

from qdrant_static import EdgeClient
from qdrant_static.errors import QdrantStaticError
from qdrant_static.testing import ClientConformance
from qdrant_static.testing.differences import EDGE, MEMORY


class TestEdge(ClientConformance):
    refusals = (QdrantStaticError,)
    differences = EDGE

    @pytest.fixture
    def client(self, tmp_path: Path) -> Iterator[EdgeClient]:
        with EdgeClient(tmp_path / "db") as client:
            yield client


# What the client says about its own limits; the differences are listed.
@pytest.mark.filterwarnings("ignore:Payload indexes have no effect in the local Qdrant")
@pytest.mark.filterwarnings("ignore:Local mode performs exact")
class TestMemory(ClientConformance):
    differences = MEMORY

    @pytest.fixture
    def client(self) -> QdrantClient:
        return QdrantClient(":memory:")
