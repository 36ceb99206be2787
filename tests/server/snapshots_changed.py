"""Snapshots of shards that are changed on the way to a server: what a trap does to a shipment."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from qdrant_static.shipping.nodes.node import Node

#: Of a segment's file, by path in the segment, another content; None leaves it out.
Change = Callable[[str, bytes], bytes | None]
_PIECE = 1 << 20


class Sent:
    """What is uploaded in place of the packed shard: the same interface."""

    def __init__(self, content: bytes, *, at: int | None = None, then: Any = None) -> None:
        """Bytes, and what happens before one of them is sent.

        Args:
            content: All bytes.
            at: Before which byte something happens.
            then: What.
        """
        self.size = len(content)
        self._content, self._at, self._then = content, at, then

    def chunks(self) -> Iterator[bytes]:
        happened = self._at is None
        for start in range(0, self.size, _PIECE):
            if not happened and start + _PIECE > self._at:
                happened = True
                self._then()
            yield self._content[start : start + _PIECE]


def uploads(
    monkeypatch: pytest.MonkeyPatch, change: Callable[[int, str, Any], tuple[str, Any]]
) -> list[str]:
    """Change uploads: their path, or what is sent.

    Args:
        monkeypatch: It undoes it.
        change: Takes the upload's number from 0, its path and what was packed; gives the two
            that are used.

    Returns:
        The paths of all uploads so far.
    """
    upload = Node.upload
    paths: list[str] = []

    def changed(self: Node, path: str, name: str, packed: Any, *args: Any, **options: Any) -> Any:
        number = len(paths)
        paths.append(path)
        path, packed = change(number, path, packed)
        return upload(self, path, name, packed, *args, **options)

    monkeypatch.setattr(Node, "upload", changed)
    return paths


def midway(packed: Any, then: Callable[[], object]) -> Sent:
    """The same bytes, and something happens in the middle."""
    content = b"".join(packed.chunks())
    return Sent(content, at=len(content) // 2, then=then)


def cut(packed: Any, then: Callable[[], object] | None = None) -> Sent:
    """The same bytes, but the connection breaks in the middle."""
    content = b"".join(packed.chunks())

    def breaks() -> None:
        if then is not None:
            then()
        raise httpx.WriteError("the connection was cut")

    return Sent(content, at=len(content) // 2, then=breaks)


def with_files(packed: Any, change: Change) -> Sent:
    """The same snapshot with files of its segments changed."""
    return Sent(_rewritten(b"".join(packed.chunks()), _in_segments(change)))


def _in_segments(change: Change) -> Change:
    def inner(name: str, content: bytes) -> bytes | None:
        parts = name.split("/files/", 1)
        return change(parts[1], content) if len(parts) == 2 else content

    return inner


def _rewritten(content: bytes, change: Change) -> bytes:
    out = io.BytesIO()
    with (
        tarfile.open(fileobj=io.BytesIO(content)) as old,
        tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as new,
    ):
        for member in old.getmembers():
            if not member.isfile():
                new.addfile(member)
                continue
            file = old.extractfile(member)
            assert file is not None
            data = change(member.name.removeprefix("./"), file.read())
            if data is not None:  # whole, also what came with holes
                written = tarfile.TarInfo(member.name)
                written.size, written.mode = len(data), member.mode
                new.addfile(written, io.BytesIO(data))
    return out.getvalue()
