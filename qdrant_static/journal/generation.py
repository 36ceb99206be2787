"""A collection as changes reach it: its own encoder, its own vectors, the same payload."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar, cast

import pyarrow as pa
from qdrant_client import models

from qdrant_static.clients.retry import call_with_retries
from qdrant_static.clients.scroll import pages
from qdrant_static.sinks.encoding import BatchEncoder
from qdrant_static.sinks.latevectors import LateVectors
from qdrant_static.sinks.sink import store

if TYPE_CHECKING:
    from qdrant_static.clients.connect import Client
    from qdrant_static.clients.retry import RetryPolicy
    from qdrant_static.collection.spec import CollectionSpec
    from qdrant_static.encoders.base import Encoder
    from qdrant_static.ids import PointId
    from qdrant_static.journal.entries import Change, Entry

T = TypeVar("T")
#: Where the text is in a collection that does not say so.
TEXT_FIELD = "text"
#: What to do where the payload does not hold all of the text.
FROM_FILES = (
    "vectors cannot be made of a record alone. Write what has changed with `ingest`, from input "
    "that has these columns"
)
#: Points of one request; whole payloads of so many are held in memory.
BATCH_POINTS = 256


class Generation:
    """One collection, as `LiveWriter` and `replay` change it.

    Args:
        client: Where it is.
        name: The collection (no alias).
        spec: Its spec.
        encoder: Its encoder.
    """

    def __init__(self, client: Client, name: str, spec: CollectionSpec, encoder: Encoder) -> None:
        self.name = name
        self.spec = spec
        #: Where it has key and text; the text is in `TEXT_FIELD` where it does not say.
        self.fields = (
            spec.fields if spec.fields.all_columns else replace(spec.fields, text=(TEXT_FIELD,))
        )
        self._client = client
        self._encode = BatchEncoder(spec, encoder).encode
        self._late = None if spec.late is None else LateVectors(client, name, spec.late)

    def apply(
        self, changes: Iterable[Change], retry: RetryPolicy | None = None
    ) -> dict[PointId, str]:
        """Carry out changes in their order; doing it again leaves the same.

        Points that an edit names and that are not there are left out.

        Args:
            changes: The changes.
            retry: How long to try where the server does not answer.

        Returns:
            The points that an upsert could not store, each with the reason.

        Raises:
            QdrantStaticError: If the engine does not answer, or refuses all of a request.
        """
        refused: dict[PointId, str] = {}
        for op, payloads, change in _runs(changes):
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
        """The payloads of points, of those that are there."""
        found: dict[PointId, Mapping[str, Any]] = {}
        for part in _parts(ids):
            records = self._call("reading points", _retrieving(self, part, whole=True), retry)
            found |= {cast("PointId", one.id): one.payload or {} for one in records}
        return found

    def present(self, ids: Sequence[PointId], retry: RetryPolicy | None = None) -> list[PointId]:
        """Those of some points that are there, in the order given."""
        there: set[PointId] = set()
        for part in _parts(ids):
            records = self._call("looking up points", _retrieving(self, part, whole=False), retry)
            there |= {cast("PointId", one.id) for one in records}
        return [one for one in ids if one in there]

    def matching(
        self, condition: models.Filter, retry: RetryPolicy | None = None
    ) -> Iterator[list[PointId]]:
        """The ids that a filter finds, page by page."""
        for points in pages(
            self._client,
            self.name,
            where=condition,
            limit=1_000,
            operation="looking for points",
            retry=retry,
        ):
            yield [cast("PointId", point.id) for point in points]

    # --- writing -------------------------------------------------------------------------------

    def _upsert(
        self, payloads: Mapping[PointId, Mapping[str, Any]], retry: RetryPolicy | None
    ) -> dict[PointId, str]:
        refused: dict[PointId, str] = {}
        for ids in _parts(list(payloads)):
            self.fields.require_text(self.name, FROM_FILES)
            chosen = [payloads[one] for one in ids]
            texts = pa.array(map(self.fields.text_of, chosen), pa.large_string())
            vectors = self._encode(texts)
            rows = self._call(
                "storing points",
                lambda ids=ids, vectors=vectors, chosen=chosen: store(  # type: ignore[misc]
                    self._client, self.name, ids, vectors, chosen
                ),
                retry,
            )
            refused |= {ids[row]: problem for row, problem in rows.items()}
            if self._late is not None:
                stored = [row for row in range(len(ids)) if row not in rows]
                self._late.store([ids[row] for row in stored], [texts[n].as_py() for n in stored])
        return refused

    def _delete(self, ids: Sequence[PointId], retry: RetryPolicy | None) -> None:
        for part in _parts(ids, 1_000):
            self._call(
                "deleting points",
                lambda part=part: self._client.delete(  # type: ignore[misc]
                    self.name, models.PointIdsList(points=list(part)), wait=True
                ),
                retry,
            )

    def _edit(self, change: Change, retry: RetryPolicy | None) -> dict[PointId, str]:
        """Change payloads; where that changes a point's text, its vectors too."""
        refused: dict[PointId, str] = {}
        for part in _parts(change.ids):
            some = change.without(set(change.ids) - set(part))
            if some is not None:
                refused |= self._edit_some(some, retry)
        return refused

    def _edit_some(self, change: Change, retry: RetryPolicy | None) -> dict[PointId, str]:
        if not self._may_touch_text(change):
            kept = change.without(set(change.ids) - set(self.present(change.ids, retry)))
            if kept is not None:
                self._send(kept, retry)
            return {}
        before = self.payloads(change.ids, retry)
        after = {
            one: edited(change, row, before[one])
            for row, one in enumerate(change.ids)
            if one in before
        }
        text_of = self.fields.text_of
        again = {one: new for one, new in after.items() if text_of(new) != text_of(before[one])}
        kept = change.without({one for one in change.ids if one not in after or one in again})
        if kept is not None:
            self._send(kept, retry)
        return self._upsert(again, retry)

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
        self._call(
            "changing payloads",
            lambda: self._client.batch_update_points(self.name, operations, wait=True),
            retry,
        )

    def _call(self, operation: str, call: Callable[[], T], retry: RetryPolicy | None) -> T:
        return call_with_retries(self._client, self.name, operation, call, retry=retry)


def edited(change: Change, row: int, payload: Mapping[str, Any]) -> dict[str, Any]:
    """A payload after a change, by the rules of the engine.

    Args:
        change: An edit.
        row: The point's place in it.
        payload: What the point has.
    """
    if change.op == "overwrite_payload":
        return dict(change.payloads[row])
    if change.op == "delete_payload":
        gone = set(change.names)
        return {name: value for name, value in payload.items() if name not in gone}
    return {**payload, **change.payloads[0]}


def touches(name: str, fields: Iterable[str]) -> bool:
    """Whether a payload field is, or holds, one of some fields."""
    return any(name == one or one.startswith(f"{name}.") for one in fields)


def changes_of(entries: Iterable[Entry]) -> list[Change]:
    """The changes of entries, in order."""
    return [entry.change for entry in entries]


def _runs(
    changes: Iterable[Change],
) -> Iterator[tuple[str, dict[PointId, Mapping[str, Any]], Change | None]]:
    """Changes of one kind together, each point once, as it is at the end; edits one by one."""
    op, gathered = "", dict[Any, Mapping[str, Any]]()
    for change in changes:
        if gathered and change.op != op:
            yield op, gathered, None
            gathered = {}
        op = change.op
        if op == "upsert":
            gathered.update(zip(change.ids, change.payloads, strict=True))
        elif op == "delete":
            gathered.update((one, {}) for one in change.ids)
        else:
            yield op, {}, change
    if gathered:
        yield op, gathered, None


def _parts(ids: Sequence[PointId], size: int = BATCH_POINTS) -> Iterator[Sequence[PointId]]:
    for start in range(0, len(ids), size):
        yield ids[start : start + size]


def _retrieving(
    generation: Generation, ids: Sequence[PointId], *, whole: bool
) -> Callable[[], list[models.Record]]:
    client, name = generation._client, generation.name
    return lambda: client.retrieve(name, list(ids), with_payload=whole, with_vectors=False)
