"""Applies changes to one collection, with vectors of that collection's own encoder."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, cast

import pyarrow as pa
from qdrant_client import models

from qdrant_static.clients.retry import call_with_retries
from qdrant_static.clients.scroll import pages
from qdrant_static.collection.create import check_encoder
from qdrant_static.collection.spec import METADATA_KEY, CollectionSpec
from qdrant_static.encoders.registry import AnyEncoder, by_fingerprint, load_encoder
from qdrant_static.errors import NotAPlannedCollectionError
from qdrant_static.journal.changes import Change, merged, touches
from qdrant_static.sinks.encoding import BatchEncoder, LateVectors
from qdrant_static.sinks.sink import store

if TYPE_CHECKING:
    from qdrant_static.clients.connect import Client
    from qdrant_static.clients.retry import RetryPolicy
    from qdrant_static.encoders.base import Encoder
    from qdrant_static.ids import PointId

T = TypeVar("T")
#: The field of the text in a collection whose spec does not say.
TEXT_FIELD = "text"
#: What to do where the payload does not hold all of the text.
FROM_FILES = (
    "vectors cannot be made of a record alone. Write what has changed with `ingest`, from input "
    "that has these columns"
)
#: Points per request; whole payloads of so many are held in memory.
BATCH_POINTS = 256
#: Points per request that carries ids alone.
_BATCH_IDS = 1_000


class CollectionWriter:
    """Reads and changes one collection, for `LiveWriter` and `replay`.

    Args:
        client: An `EdgeClient` or a `QdrantClient`.
        name: The collection (not an alias).
        spec: Its spec.
        encoder: Its encoder.
    """

    def __init__(self, client: Client, name: str, spec: CollectionSpec, encoder: Encoder) -> None:
        self.name = name
        self.spec = spec
        #: The payload fields of key and text; `TEXT_FIELD` where the spec has no field of the text.
        self.fields = (
            spec.fields if spec.fields.all_columns else replace(spec.fields, text=(TEXT_FIELD,))
        )
        self._client = client
        self._encode = BatchEncoder(spec, encoder).encode
        self._late = None if spec.late is None else LateVectors(client, name, spec.late)

    def apply(
        self, changes: Iterable[Change], retry: RetryPolicy | None = None
    ) -> dict[PointId, str]:
        """Apply changes in their order; applying them twice has the same result.

        Edits leave out points that do not exist.

        Args:
            changes: The changes.
            retry: How long to retry where the server does not answer.

        Returns:
            The points that an upsert could not store, each with the reason.

        Raises:
            QdrantStaticError: If the engine does not answer, or refuses a whole request.
        """
        refused: dict[PointId, str] = {}
        for op, payloads, change in merged(changes):
            if op == "upsert":
                refused |= self._upsert(payloads, retry)
            elif op == "delete":
                self._delete(list(payloads), retry)
            elif change is not None:
                refused |= self._edit(change, retry)
        return refused

    # --- reading -------------------------------------------------------------------------------

    def payloads(
        self, ids: Sequence[PointId], retry: RetryPolicy | None = None
    ) -> dict[PointId, Mapping[str, Any]]:
        """Return the payloads of the points that exist."""
        records = self._retrieve("reading points", ids, retry, with_payload=True)
        return {cast("PointId", one.id): one.payload or {} for one in records}

    def present(self, ids: Sequence[PointId], retry: RetryPolicy | None = None) -> list[PointId]:
        """Return the points that exist, in the order given."""
        records = self._retrieve("looking up points", ids, retry, with_payload=False)
        existing = {cast("PointId", one.id) for one in records}
        return [one for one in ids if one in existing]

    def matching(
        self, condition: models.Filter, retry: RetryPolicy | None = None
    ) -> Iterator[list[PointId]]:
        """Yield the ids that a filter selects, page by page."""
        for points in pages(
            self._client,
            self.name,
            where=condition,
            limit=_BATCH_IDS,
            operation="looking for points",
            retry=retry,
        ):
            yield [cast("PointId", point.id) for point in points]

    def _retrieve(
        self, operation: str, ids: Sequence[PointId], retry: RetryPolicy | None, **options: bool
    ) -> Iterator[models.Record]:
        for part in batches(ids, BATCH_POINTS):
            retrieve = partial(
                self._client.retrieve, self.name, list(part), with_vectors=False, **options
            )
            yield from self._call(operation, retrieve, retry)

    # --- writing -------------------------------------------------------------------------------

    def _upsert(
        self, payloads: Mapping[PointId, Mapping[str, Any]], retry: RetryPolicy | None
    ) -> dict[PointId, str]:
        refused: dict[PointId, str] = {}
        for ids in batches(list(payloads), BATCH_POINTS):
            self.fields.require_text(self.name, FROM_FILES)
            part = [payloads[one] for one in ids]
            texts = pa.array(map(self.fields.text_of, part), pa.large_string())
            vectors = self._encode(texts)
            rows = self._call(
                "storing points",
                partial(store, self._client, self.name, ids, vectors, part),
                retry,
            )
            refused |= {ids[row]: problem for row, problem in rows.items()}
            if self._late is not None:
                stored = [row for row in range(len(ids)) if row not in rows]
                self._late.store([ids[row] for row in stored], [texts[n].as_py() for n in stored])
        return refused

    def _delete(self, ids: Sequence[PointId], retry: RetryPolicy | None) -> None:
        for part in batches(ids, _BATCH_IDS):
            points = models.PointIdsList(points=list(part))
            delete = partial(self._client.delete, self.name, points, wait=True)
            self._call("deleting points", delete, retry)

    def _edit(self, change: Change, retry: RetryPolicy | None) -> dict[PointId, str]:
        """Change payloads; where that changes a point's text, encode it again."""
        refused: dict[PointId, str] = {}
        for part in batches(change.ids, BATCH_POINTS):
            partly = change.without(set(change.ids) - set(part))
            if partly is not None:
                refused |= self._edit_batch(partly, retry)
        return refused

    def _edit_batch(self, change: Change, retry: RetryPolicy | None) -> dict[PointId, str]:
        if not self._may_touch_text(change):
            kept = change.without(set(change.ids) - set(self.present(change.ids, retry)))
            if kept is not None:
                self._send(kept, retry)
            return {}
        before = self.payloads(change.ids, retry)
        after = {
            one: change.edited(row, before[one])
            for row, one in enumerate(change.ids)
            if one in before
        }
        text_of = self.fields.text_of
        encode = {one: new for one, new in after.items() if text_of(new) != text_of(before[one])}
        kept = change.without({one for one in change.ids if one not in after or one in encode})
        if kept is not None:
            self._send(kept, retry)
        return self._upsert(encode, retry)

    def _may_touch_text(self, change: Change) -> bool:
        if change.op == "overwrite_payload":
            return True
        names = change.names if change.op == "delete_payload" else tuple(change.payloads[0])
        return any(touches(name, self.fields.text) for name in names)

    def _send(self, change: Change, retry: RetryPolicy | None) -> None:
        ids: list[Any] = list(change.ids)
        operations: list[Any]
        if change.op == "set_payload":
            set_payload = models.SetPayload(payload=dict(change.payloads[0]), points=ids)
            operations = [models.SetPayloadOperation(set_payload=set_payload)]
        elif change.op == "delete_payload":
            delete_payload = models.DeletePayload(keys=list(change.names), points=ids)
            operations = [models.DeletePayloadOperation(delete_payload=delete_payload)]
        else:
            operations = [
                models.OverwritePayloadOperation(
                    overwrite_payload=models.SetPayload(payload=dict(payload), points=[one])
                )
                for one, payload in zip(ids, change.payloads, strict=True)
            ]
        update = partial(self._client.batch_update_points, self.name, operations, wait=True)
        self._call("changing payloads", update, retry)

    def _call(self, operation: str, call: Callable[[], T], retry: RetryPolicy | None) -> T:
        return call_with_retries(self._client, self.name, operation, call, retry=retry)


class CollectionWriters:
    """The writers of several collections; one is made anew when its collection's spec changes.

    Args:
        client: An `EdgeClient` or a `QdrantClient`.
        encoders: Encoders that are loaded already; others are loaded by the name in the spec.
    """

    def __init__(self, client: Client, encoders: Sequence[AnyEncoder] = ()) -> None:
        self._client = client
        self._encoders = by_fingerprint(encoders)
        self._writers: dict[str, tuple[Mapping[str, Any], CollectionWriter]] = {}

    def metadata(self, name: str, retry: RetryPolicy | None = None) -> Mapping[str, Any]:
        """Return a collection's metadata.

        Raises:
            CollectionNotFoundError: If there is no collection of that name.
        """
        get = partial(self._client.get_collection, name)
        operation = "reading the collection's description"
        info = call_with_retries(self._client, name, operation, get, retry=retry)
        return dict(info.config.metadata or {})

    def of(
        self,
        name: str,
        metadata: Mapping[str, Any] | None = None,
        retry: RetryPolicy | None = None,
    ) -> CollectionWriter:
        """Return the writer of a collection.

        Args:
            name: The collection.
            metadata: Its metadata, if they were just read.
            retry: How long to retry where the server does not answer.

        Raises:
            CollectionNotFoundError: If there is no collection of that name.
            NotAPlannedCollectionError: If its metadata have no spec.
            EncoderMismatchError: If the model of that name is not what made its vectors.
        """
        described = (self.metadata(name, retry) if metadata is None else metadata).get(METADATA_KEY)
        if described is None:
            raise NotAPlannedCollectionError(collection=name)
        known = self._writers.get(name)
        if known is not None and known[0] == described:
            return known[1]
        spec = CollectionSpec.from_dict(described)
        encoder = self._encoders.get(spec.encoder.fingerprint)
        if encoder is None:
            encoder = load_encoder(spec.encoder.name)
            check_encoder(name, spec.encoder, encoder.info)
            self._encoders[spec.encoder.fingerprint] = encoder
        writer = CollectionWriter(self._client, name, spec, encoder)
        self._writers[name] = (described, writer)
        return writer


def batches(ids: Sequence[PointId], size: int) -> Iterator[Sequence[PointId]]:
    """Split ids into batches."""
    for start in range(0, len(ids), size):
        yield ids[start : start + size]
