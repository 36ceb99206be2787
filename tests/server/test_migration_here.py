"""Migrations whose green is built on this machine and shipped: the same suite."""

from __future__ import annotations

import pytest

from qdrant_static.errors import MigrationStepError
from qdrant_static.ship.options import BuildHere
from tests.migration_suite import MigrationSuite, Place, model, target_of
from tests.server.test_migration import _clients

pytestmark = pytest.mark.server


class HerePlace(Place):
    """A place whose greens are built here, the first time."""

    def start(self, encoder=None, **options):
        if not self.client.collection_exists(self.green):
            options.setdefault("build", BuildHere())
        return super().start(*([encoder] if encoder else []), **options)


class TestBuiltHere(MigrationSuite):
    @pytest.fixture
    def client(self):
        yield from _clients(prefer_grpc=True)

    @pytest.fixture
    def place(self, client, tmp_path):
        made = HerePlace(client, tmp_path)
        yield made
        made.clear()

    def test_a_green_that_is_filled_is_not_shipped_to_again(self, client, place):
        place.start()
        with pytest.raises(MigrationStepError, match="replaces nothing"):
            Place.start(place, build=BuildHere())
        assert target_of(client, place.alias) == place.blue
        assert client.count(place.green, exact=True).count == len(model(range(60)))
