"""Defines `CollectionSummary`: what `Collection.info` shows of a collection."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qdrant_static.clients.connect import Client


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectionSummary:
    """A collection at a glance; ``str()`` is a text, and a notebook shows a table.

    Attributes:
        name: The name that was asked for: a collection's, or an alias's.
        target: The directory or the server that holds it, without secrets.
        points: Number of points, exact.
        encoder: Name of the encoder that made the vectors; ``"unknown"`` where a collection that
            was made without this package does not record it.
        queries: Name of the encoder of queries, where that is another (asymmetric search).
        vectors: Name of each dense vector -> its size and quantization, in words.
        sparse: BM25's language, or None without BM25.
        late: Name of the late-interaction encoder, or None without one.
        payload_indexes: Payload field -> type of its index.
        plan: Kind of the default search plan.
        tuned: Whether `tune` chose that plan.
        disk_bytes: Size on disk; None for a server, which does not report it.
    """

    name: str
    target: str
    points: int
    encoder: str
    queries: str | None = None
    vectors: Mapping[str, str]
    sparse: str | None
    late: str | None
    payload_indexes: Mapping[str, str]
    plan: str
    tuned: bool
    disk_bytes: int | None

    def to_dict(self) -> dict[str, Any]:
        """Return the summary as JSON-like data."""
        return asdict(self)

    def rows(self) -> list[tuple[str, str]]:
        """Return the summary as pairs of a label and a text."""
        found = [
            ("target", self.target),
            ("points", f"{self.points:,}"),
            ("encoder", self.encoder),
            *([] if self.queries is None else [("encoder of queries", self.queries)]),
            *((f"vector {name}", words) for name, words in self.vectors.items()),
            ("BM25", self.sparse or "none"),
        ]
        if self.late is not None:
            found.append(("late interaction", self.late))
        indexes = ", ".join(f"{field} ({kind})" for field, kind in self.payload_indexes.items())
        found += [
            ("payload indexes", indexes or "none"),
            ("search plan", self.plan + (" (tuned)" if self.tuned else "")),
        ]
        if self.disk_bytes is not None:
            found.append(("on disk", f"{self.disk_bytes / 1e6:,.1f} MB"))
        return found

    def __str__(self) -> str:
        rows = self.rows()
        width = max(len(label) for label, _ in rows)
        return "\n".join(
            [f"collection {self.name}", *(f"  {label:{width}}  {text}" for label, text in rows)]
        )

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><th style='text-align: left'>{escape(label)}</th>"
            f"<td style='text-align: left'>{escape(text)}</td></tr>"
            for label, text in self.rows()
        )
        return f"<table><caption>collection {escape(self.name)}</caption>{rows}</table>"


def summarize(client: Client, collection: str) -> CollectionSummary:
    """Read what a collection holds, also one that was made without this package.

    Raises:
        CollectionNotFoundError: If there is no such collection.
    """
    from qdrant_static.clients.connect import address
    from qdrant_static.collection import quantization
    from qdrant_static.collection.foreign import described_spec
    from qdrant_static.collection.passes import default_plan
    from qdrant_static.measuring.measurement import disk_bytes
    from qdrant_static.redaction import public_uri

    spec = described_spec(client, collection)
    return CollectionSummary(
        name=collection,
        target=public_uri(address(client)),
        points=int(client.count(collection, exact=True).count),
        encoder=spec.encoder.name,
        queries=None if spec.queries is None else spec.queries.name,
        vectors={
            vector.name: f"{vector.size} dimensions, {quantization.describe(vector.quantization)}"
            for vector in spec.vectors
        },
        sparse=None if spec.sparse is None else spec.sparse.language,
        late=None if spec.late is None else spec.late.encoder,
        payload_indexes=dict(spec.payload_indexes),
        plan=default_plan(spec).kind,
        tuned=spec.evidence is not None,
        disk_bytes=disk_bytes(client, collection),
    )
