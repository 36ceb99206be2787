"""Fixtures of all tiers; what each tier is for is in README.md."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import settings

from qdrant_static import EdgeClient
from tests.fakes import REPOSITORY, FakeEncoder, build_static_model

# The same examples on every run; no example is timed, so a slow machine fails nothing.
settings.register_profile("house", deadline=None, derandomize=True, max_examples=100, database=None)
settings.load_profile("house")


@pytest.fixture
def shared() -> Path:
    """The folder of real models and data beside the repository, or the test is skipped."""
    folder = REPOSITORY.parent / "shared"
    if not folder.is_dir():
        pytest.skip(f"no shared data: {folder} is missing (tests/README.md)")
    return folder


@pytest.fixture
def wordllama() -> str:
    """The name of the offline encoder, or the test is skipped."""
    if find_spec("wordllama") is None:
        pytest.skip('wordllama is not installed: pip install "qdrant-static[offline]"')
    return "wordllama"


@pytest.fixture
def encoder() -> FakeEncoder:
    return FakeEncoder()


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model2vec folder, which another process can load by its path."""
    return build_static_model(tmp_path_factory.mktemp("models") / "small")


@pytest.fixture
def client(tmp_path: Path) -> Iterator[EdgeClient]:
    """An embedded client on an empty directory that is not there yet."""
    with EdgeClient(tmp_path / "db") as opened:
        yield opened


@pytest.fixture
def own_signals() -> Iterator[None]:
    """Put back the handlers of signals that a command replaces."""
    before: dict[signal.Signals, Callable | int | None] = {
        number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)
    }
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
