"""Writes of an application, through a journal, so that a migration can begin at any moment."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, Self

from qdrant_client import models

from qdrant_static.collection.fields import value_at
from qdrant_static.errors import ArgumentError, PointError
from qdrant_static.journal.changes import Change, Keys, Record, ids_of, json_payload, touches
from qdrant_static.journal.collectionwriter import (
    BATCH_POINTS,
    FROM_FILES,
    CollectionWriter,
    batches,
)
from qdrant_static.journal.journalwriter import JournalWriter
from qdrant_static.journal.writejournal import Lag, WriteJournal

if TYPE_CHECKING:
    import os
    from types import TracebackType

    from qdrant_static.clients.connect import Client
    from qdrant_static.clients.retry import RetryPolicy
    from qdrant_static.collection.fields import Fields
    from qdrant_static.encoders.registry import AnyEncoder
    from qdrant_static.ids import PointId

#: Ids per entry; a deletion by filter may need several entries, appended together.
_ENTRY_IDS = 1_000


class LiveWriter:
    """Writes records to the collection that an alias points at, through a journal.

    Every call returns after the collection has acknowledged it. A change is durable in the journal
    before it is sent to the collection, and one writer of a journal writes at a time; so a
    collection that is being filled, or that was in use before, gets the same changes in the same
    order. The alias is resolved for every write.

    A call that fails because the server does not answer may or may not have been applied; it is in
    the journal, and the next write applies it to every collection. Repeating it is harmless. A
    call that the engine refuses is applied nowhere.

    Thread-safe. Nothing is opened and no request is sent before the first call.

    Args:
        client: An `EdgeClient` or a `QdrantClient`.
        alias: An alias, or a collection without one.
        journal: The journal or its file; every writer of the alias must use the same. By default
            beside the embedded data, or in ``./qdrant-static-state`` for a server.
        encoders: Encoders that are loaded already, or their names; others are loaded by the
            collection's name for them.
        take_over: Write although the collection was written through another journal, which is
            lost.
        retry: How long to retry where the server does not answer.
        patience_s: How long to wait for other writers of the journal, in seconds.
    """

    def __init__(
        self,
        client: Client,
        alias: str,
        *,
        journal: WriteJournal | str | os.PathLike[str] | None = None,
        encoders: Sequence[AnyEncoder] = (),
        take_over: bool = False,
        retry: RetryPolicy | None = None,
        patience_s: float = 60.0,
    ) -> None:
        self.alias = alias
        self._retry = retry
        self._writer = JournalWriter(
            client,
            alias,
            journal=journal,
            encoders=encoders,
            take_over=take_over,
            retry=retry,
            patience_s=patience_s,
        )

    # --- writing -------------------------------------------------------------------------------

    def upsert(self, records: Iterable[Record] | Record) -> int:
        """Store records, in place of what is stored under their keys.

        They are written in batches of 256. A batch is stored whole or, where the engine refuses
        points of it, without these.

        Args:
            records: Records, in order; of several with one key, the last is stored.

        Returns:
            How many records were written.

        Raises:
            ArgumentError: If the collection's payload does not hold all of the texts; nothing is
                changed.
            TextInputError: If a record has no text.
            PointError: If a payload is not JSON, or the engine refuses a point. A note says how
                many records of the call were written.
        """
        written = 0
        remaining = iter([records] if isinstance(records, Record) else records)
        try:
            while part := list(islice(remaining, BATCH_POINTS)):
                with self._writer.writing() as primary:
                    primary.fields.require_text(primary.name, FROM_FILES)
                    points = dict(one.stored(primary.fields) for one in part)
                    change = Change(op="upsert", ids=tuple(points), payloads=tuple(points.values()))
                    self._writer.write(primary, [change])
                written += len(part)
        except Exception as error:
            error.add_note(f"{written} records of this call were written before it")
            raise
        return written

    def set_payload(self, which: Keys | models.Filter, payload: Mapping[str, Any]) -> int:
        """Set payload fields of records. Where that changes the text, vectors are made again.

        Args:
            which: Keys, all of which must exist, or a filter.
            payload: The fields.

        Returns:
            How many records were changed.

        Raises:
            PointError: If a key does not exist; nothing is changed.
            ArgumentError: If it would change the key.
        """
        with self._writer.writing() as primary:
            ids = self._selected(primary, which)
            fields = json_payload(ids[0] if ids else 0, payload)
            self._check_fields(primary, fields)
            changes = [
                Change(op="set_payload", ids=tuple(part), payloads=(fields,))
                for part in batches(ids, _ENTRY_IDS)
            ]
            return self._writer.write(primary, changes if fields else [])

    def overwrite_payload(self, which: Keys | models.Filter, payload: Mapping[str, Any]) -> int:
        """Replace the payload of records; key and text stay unless the new payload has them.

        Args:
            which: Keys, all of which must exist, or a filter.
            payload: The new payload.

        Returns:
            How many records were changed.

        Raises:
            PointError: If a key does not exist; nothing is changed.
            ArgumentError: If it would change the key.
        """
        with self._writer.writing() as primary:
            ids = self._selected(primary, which)
            fields = json_payload(ids[0] if ids else 0, payload)
            self._check_fields(primary, fields)
            kept = (*_key_fields(primary.fields), *primary.fields.text)
            changes = []
            for part in batches(ids, BATCH_POINTS):
                before = primary.payloads(part, self._retry)
                existing = tuple(one for one in part if one in before)
                payloads = tuple({**_only(before[one], kept), **fields} for one in existing)
                changes.append(Change(op="overwrite_payload", ids=existing, payloads=payloads))
            return self._writer.write(primary, [one for one in changes if one.ids])

    def delete_payload(self, which: Keys | models.Filter, names: Sequence[str]) -> int:
        """Delete payload fields of records. Where that changes the text, vectors are made again.

        Args:
            which: Keys, all of which must exist, or a filter.
            names: The fields.

        Returns:
            How many records were changed.

        Raises:
            PointError: If a key does not exist; nothing is changed.
            ArgumentError: If it would remove the key.
        """
        if isinstance(names, str):
            raise ArgumentError(field="names", problem=f"{names!r} is a string: give a list")
        with self._writer.writing() as primary:
            self._check_fields(primary, dict.fromkeys(names))
            ids = self._selected(primary, which)
            changes = [
                Change(op="delete_payload", ids=tuple(part), names=tuple(names))
                for part in batches(ids, _ENTRY_IDS)
            ]
            return self._writer.write(primary, changes if names else [])

    def clear_payload(self, which: Keys | models.Filter) -> int:
        """Delete the payload of records except key and text; `overwrite_payload` with nothing."""
        return self.overwrite_payload(which, {})

    def delete(self, keys: Keys) -> int:
        """Delete records; a key that does not exist is no error.

        Returns:
            How many keys were given, each counted once.
        """
        ids = ids_of(keys)
        with self._writer.writing() as primary:
            return self._writer.write(
                primary, [Change(op="delete", ids=tuple(one)) for one in batches(ids, _ENTRY_IDS)]
            )

    def delete_by_filter(self, condition: models.Filter) -> int:
        """Delete the records that a filter selects now.

        Returns:
            How many there were.
        """
        with self._writer.writing() as primary:
            ids = self._selected(primary, condition)
            return self._writer.write(
                primary, [Change(op="delete", ids=tuple(one)) for one in batches(ids, _ENTRY_IDS)]
            )

    def flush(self) -> list[Lag]:
        """Apply pending changes to the primary and to the collections that follow it.

        Returns:
            What each consumer of the journal still lacks; a follower that cannot be reached has
            the reason.
        """
        self._writer.flush()
        return self.lag()

    def lag(self) -> list[Lag]:
        """Return what each consumer of the journal lacks."""
        journal = self.journal
        return [journal.lag(name) for name in journal.consumers()]

    @property
    def journal(self) -> WriteJournal:
        """The journal; opened at the first use."""
        return self._writer.journal

    def close(self) -> None:
        """Close the journal, if it was opened here; the writer buffers nothing."""
        self._writer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # --- arguments -----------------------------------------------------------------------------

    def _selected(self, primary: CollectionWriter, which: Keys | models.Filter) -> list[PointId]:
        """Return the ids of the points that a call changes."""
        if isinstance(which, models.Filter):
            return [point for page in primary.matching(which, self._retry) for point in page]
        ids = ids_of(which)
        existing = set(primary.present(ids, self._retry))
        for one in ids:
            if one not in existing:
                raise PointError(
                    point=one, problem=f"it is not in {primary.name!r}; nothing was changed"
                )
        return ids

    def _check_fields(self, primary: CollectionWriter, fields: Mapping[str, Any]) -> None:
        keys = _key_fields(primary.fields)
        for name in fields:
            if touches(name, primary.fields.text):
                primary.fields.require_text(primary.name, FROM_FILES)
            if touches(name, keys) or any(touches(key, [name]) for key in keys):
                raise ArgumentError(
                    field=name,
                    problem="is the record's key, which stays; delete the record and write another",
                )


def _key_fields(fields: Fields) -> tuple[str, ...]:
    if fields.key is None:
        return ()
    return fields.key if isinstance(fields.key, tuple) else (fields.key,)


def _only(payload: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """Return the fields of some names; a nested value is returned under its path."""
    values = ((name, value_at(payload, name)) for name in names)
    return {name: value for name, value in values if value is not None}
