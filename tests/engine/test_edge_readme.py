"""The vector examples of qdrant-client's own README, run as they are on a folder."""

from __future__ import annotations

import re
from importlib.metadata import metadata
from pathlib import Path

import pytest

from qdrant_static import EdgeClient

#: What makes an example none of ours: another server, or texts to embed.
_OTHERS = ("host=", "url=", "Document(", "path=")


def _examples() -> list[str]:
    text = metadata("qdrant-client").get_payload()
    blocks = re.findall(r"```python\n(.*?)```", str(text), re.DOTALL)
    return [block for block in blocks if not any(word in block for word in _OTHERS)]


def test_the_vector_examples_of_the_clients_readme(tmp_path: Path) -> None:
    examples = _examples()
    if not examples:
        pytest.skip("this version of the client ships no README")
    with EdgeClient(tmp_path / "data") as client:
        names: dict = {"client": client}
        for example in examples:
            exec(example, names)  # noqa: S102
        hits = names["hits"].points
        assert len(hits) == 5
        assert all(hit.payload["rand_number"] >= 3 for hit in hits)
