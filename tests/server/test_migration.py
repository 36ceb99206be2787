"""Migrations on a real server: the same suite, by both protocols."""

from __future__ import annotations

import os
from urllib.parse import urlsplit

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from qdrant_client import QdrantClient, models

from tests.migration_jobs import MigrationJobsSuite
from tests.migration_machine import MigrationMachine
from tests.migration_suite import MigrationSuite

pytestmark = pytest.mark.server


class ServerMachine(MigrationMachine):
    def connected(self, folder):
        return next(_clients(prefer_grpc=True))


def test_nothing_is_lost_in_any_order_of_writes_steps_and_crashes():
    run_state_machine_as_test(
        ServerMachine,
        settings=settings(
            max_examples=4,
            stateful_step_count=20,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate],
        ),
    )


class ServerSuite(MigrationSuite, MigrationJobsSuite):
    """What a server alone has."""

    def test_indexing_that_is_switched_off_is_caught_by_indexed(self, client, place):
        place.start()
        client.update_collection(
            place.green, optimizers_config=models.OptimizersConfigDiff(indexing_threshold=0)
        )
        assert self.refused(place) == ("indexed",)


class TestGrpc(ServerSuite):
    @pytest.fixture
    def client(self):
        yield from _clients(prefer_grpc=True)


class TestRest(ServerSuite):
    @pytest.fixture
    def client(self):
        yield from _clients(prefer_grpc=False)


def _clients(*, prefer_grpc: bool):
    url = os.environ["QDRANT_URL"]
    # The server's own convention: gRPC's port is the next one.
    client = QdrantClient(
        url=url, grpc_port=(urlsplit(url).port or 6333) + 1, prefer_grpc=prefer_grpc,
        check_compatibility=False,
    )  # fmt: skip
    yield client
    client.close()
