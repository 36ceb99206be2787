"""What both generations are asked: given queries, sampled real ones, or the points' own texts."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from qdrant_static.errors import ArgumentError
from qdrant_static.ids import plain_id
from qdrant_static.measuring.judged import read_queries
from qdrant_static.migration.integrity import draw

if TYPE_CHECKING:
    from qdrant_static.clients.connect import Client
    from qdrant_static.collection.spec import CollectionSpec
    from qdrant_static.ids import PointId

#: From so many sampled real queries on, points are not asked.
_ENOUGH_SAMPLED = 20
#: A point's first words are a query.
_WORDS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Queries and where they come from.

    Attributes:
        texts: n queries.
        own: The point that a query is the beginning of, if it is; its answers leave it out.
        source: In words.
    """

    texts: tuple[str, ...]
    own: tuple[PointId | None, ...]
    source: str


def choose(
    client: Client,
    blue: str,
    spec: CollectionSpec,
    *,
    queries: Sequence[str] | str | os.PathLike[str] | None,
    sampled: Path | None,
    count: int,
    seed: int = 0,
) -> Asked:
    """Choose queries: those given, else sampled real ones, else the beginnings of points' texts.

    Args:
        client: An `EdgeClient` or a `QdrantClient`.
        blue: The collection that serves.
        spec: Its spec.
        queries: A list, or a file as `read_queries` takes it.
        sampled: The file of queries that applications really asked; it may be missing.
        count: At most so many.
        seed: Which ones.

    Raises:
        ArgumentError: If there is none.
    """
    if queries is not None:
        given = isinstance(queries, str | os.PathLike)
        texts = read_queries(queries) if given else tuple(queries)  # type: ignore[arg-type]
        return _of(texts, f"from {os.fspath(queries)}" if given else "given", count, seed)  # type: ignore[arg-type]
    if sampled is not None and sampled.exists():
        real = read_queries(sampled)
        if len(set(real)) >= _ENOUGH_SAMPLED:
            return _of(real, "that were really asked", count, seed)
    found: dict[str, PointId] = {}
    drawn = draw(client, blue, 2 * count)
    order = np.random.default_rng(seed).permutation(len(drawn))
    for point in (drawn[number] for number in order):
        words = spec.fields.text_of(point.payload or {})[: 40 * _WORDS].split()[:_WORDS]
        if words:
            found.setdefault(" ".join(words), plain_id(point.id))
        if len(found) >= count:
            break
    if not found:
        raise ArgumentError(
            field="queries", problem=f"no point of {blue!r} has a text to ask; give queries"
        )
    return Asked(
        texts=tuple(found),
        own=tuple(found.values()),
        source="from the beginnings of points, each left out of its answer",
    )


def _of(texts: Sequence[str], source: str, count: int, seed: int) -> Asked:
    unique = tuple(dict.fromkeys(one for one in texts if one.strip()))
    if not unique:
        raise ArgumentError(field="queries", problem="there is none")
    order = np.random.default_rng(seed).permutation(len(unique))[:count]
    chosen = tuple(unique[number] for number in order)
    return Asked(texts=chosen, own=(None,) * len(chosen), source=source)
