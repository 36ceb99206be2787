"""Fixtures of the wire tier."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.wire.server import WireServer


@pytest.fixture
def wire(tmp_path) -> Iterator[WireServer]:
    """A server without faults; a test gives it some."""
    with WireServer(tmp_path / "server") as server:
        yield server
