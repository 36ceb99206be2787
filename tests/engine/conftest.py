"""Fixtures of the engine tier: collections that are there already, and children that run."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from qdrant_static import CollectionSpec, EdgeClient, create_collection
from tests.brute_force import Data, build_both
from tests.fakes import FakeEncoder, clean_environment


@pytest.fixture
def articles(client: EdgeClient, encoder: FakeEncoder) -> EdgeClient:
    """A client with an empty collection ``articles``: full, mrl_8, bm25, an index on ``n``."""
    spec = CollectionSpec.for_encoder(encoder, matryoshka=(8,), payload_indexes={"n": "integer"})
    create_collection(client, "articles", spec)
    return client


@pytest.fixture
def child(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen]]:
    """Start Python code in a process that the test talks to; it is killed at the end."""
    started: list[subprocess.Popen] = []

    def start(code: str, *arguments: str | Path) -> subprocess.Popen:
        process = subprocess.Popen(
            [sys.executable, "-c", code, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
            env=clean_environment(),
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def data() -> Data:
    """Points that a brute-force search can check."""
    return Data()


@pytest.fixture(scope="module")
def opened(tmp_path_factory, data):
    """Collections that hold ``data``."""
    found = build_both(tmp_path_factory.mktemp("collections"), data)
    yield found
    for one in found.others.values():
        one.searched.close()
