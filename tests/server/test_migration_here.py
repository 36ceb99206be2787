"""Migrations whose green is built on this machine and shipped: the same suite."""

from __future__ import annotations

import pytest

from qdrant_static.migration.session import MigrationSession
from qdrant_static.shipping.localbuild.buildhere import BuildHere
from tests.migration_suite import (
    NEW,
    MigrationSuite,
    Place,
    assert_generation,
    model,
    written,
)
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

    def test_a_green_that_was_shipped_is_filled_up_in_the_ordinary_way(self, client, place):
        first = place.start()
        assert first.shipment is not None
        client.delete(place.green, [1, 3], wait=True)
        again = Place.start(place, build=BuildHere())
        assert again.shipment is None
        assert (again.stored, again.unchanged) == (2, 58)
        assert_generation(client, place.green, NEW, model(range(60)))

    def test_a_start_that_died_after_the_shipment_goes_on(self, client, place, monkeypatch):
        def die(*_):
            raise KeyboardInterrupt

        with monkeypatch.context() as patched:
            patched.setattr(MigrationSession, "catch_up", die)
            with pytest.raises(KeyboardInterrupt):
                place.start()
        assert place.phase == "building"
        with place.writer() as writer:
            writer.upsert([written(1, 1)])
        Place.start(place, build=BuildHere())
        assert place.phase == "replaying"
        assert_generation(client, place.green, NEW, {**model(range(60)), **model([1], 1)})
