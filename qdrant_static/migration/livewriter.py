"""What an application writes through, so that a migration can begin at any moment."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, Self

from qdrant_client import models

from qdrant_static.collection.fields import value_at
from qdrant_static.errors import ArgumentError, PointError
from qdrant_static.journal.entries import Change, Lag, WriteJournal
from qdrant_static.journal.generation import BATCH_POINTS, FROM_FILES, Generation, touches
from qdrant_static.journal.record import Keys, Record, ids_of, plain
from qdrant_static.journal.writeorder import Turns, default_journal

if TYPE_CHECKING:
    import os
    from types import TracebackType

    from qdrant_static.clients.connect import Client
    from qdrant_static.clients.retry import RetryPolicy
    from qdrant_static.collection.fields import Fields
    from qdrant_static.encoders.registry import AnyEncoder
    from qdrant_static.ids import PointId

#: Ids of one entry; a deletion by filter may have several, appended together.
_ENTRY_IDS = 1_000


class LiveWriter:
    """Writes records to the collection that an alias points at, through a journal.

    Every call returns when the collection has acknowledged it. A change is durable in the journal
    before the collection sees it, and all writers of a journal take turns; so a collection that is
    being built, or that was in use before, gets the same changes in the same order. Which
    collection the alias points at is looked up for every write.

    A call that fails because the server is away may or may not have been carried out; it is in
    the journal, and whoever writes next finishes it, everywhere alike. Repeating it is harmless.
    A call that the engine refuses is nowhere.

    Safe to use from several threads. Nothing is opened or asked before the first call.

    Args:
        client: An `EdgeClient` or a `QdrantClient`.
        alias: An alias, or a collection without one.
        journal: The journal or its file; every writer of the alias must have the same. By default
            beside the embedded data, or in ``./qdrant-static-state`` for a server.
        encoders: Encoders that are loaded already, or their names; others are loaded by the
            collection's name for them.
        take_over: Write although the collection was written through another journal: for when
            that one is lost.
        retry: How long to try where the server does not answer.
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
        self._turns = Turns(
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

        They are written in parts of some hundred; a part is stored whole or, where the engine
        refuses points of it, without these.

        Args:
            records: Records, in order; of several with one key, the last stays.

        Returns:
            How many records were written.

        Raises:
            ArgumentError: If the collection's texts are not wholly in its payload; nothing is
                changed.
            TextInputError: If a record has no text.
            PointError: If a payload is no JSON, or the engine refuses a point. A note tells how
                many records of the call were written.
        """
        written = 0
        several = iter([records] if isinstance(records, Record) else records)
        try:
            while part := list(islice(several, BATCH_POINTS)):
                with self._turns.writing() as primary:
                    primary.fields.require_text(primary.name, FROM_FILES)
                    points = dict(one.stored(primary.fields) for one in part)
                    change = Change(op="upsert", ids=tuple(points), payloads=tuple(points.values()))
                    self._turns.commit(primary, [change])
                written += len(part)
        except Exception as error:
            error.add_note(f"{written} records of this call were written before it")
            raise
        return written

    def set_payload(self, which: Keys | models.Filter, payload: Mapping[str, Any]) -> int:
        """Set payload fields of records; the others stay. Where text changes, so do vectors.

        Args:
            which: Keys, all of which must be there, or a filter.
            payload: The fields.

        Returns:
            How many records were changed.

        Raises:
            PointError: If a key is not there; nothing is changed.
            ArgumentError: If it would change the key.
        """
        with self._turns.writing() as primary:
            ids = self._chosen(primary, which)
            fields = plain(ids[0] if ids else 0, payload)
            self._check_fields(primary, fields)
            changes = [
                Change(op="set_payload", ids=part, payloads=(fields,)) for part in _parts(ids)
            ]
            return self._turns.commit(primary, changes if fields else [])

    def overwrite_payload(self, which: Keys | models.Filter, payload: Mapping[str, Any]) -> int:
        """Replace the payload of records: all but key and text, unless it has them too.

        Args:
            which: Keys, all of which must be there, or a filter.
            payload: The new payload.

        Returns:
            How many records were changed.

        Raises:
            PointError: If a key is not there; nothing is changed.
            ArgumentError: If it would change the key.
        """
        with self._turns.writing() as primary:
            ids = self._chosen(primary, which)
            fields = plain(ids[0] if ids else 0, payload)
            self._check_fields(primary, fields)
            kept = (*_key_fields(primary.fields), *primary.fields.text)
            changes = []
            for part in _parts(ids, BATCH_POINTS):
                before = primary.payloads(part, self._retry)
                there = tuple(one for one in part if one in before)
                whole = tuple({**_only(before[one], kept), **fields} for one in there)
                changes.append(Change(op="overwrite_payload", ids=there, payloads=whole))
            return self._turns.commit(primary, [one for one in changes if one.ids])

    def delete_payload(self, which: Keys | models.Filter, names: Sequence[str]) -> int:
        """Remove payload fields of records. Where text changes, so do vectors.

        Args:
            which: Keys, all of which must be there, or a filter.
            names: The fields.

        Returns:
            How many records were changed.

        Raises:
            PointError: If a key is not there; nothing is changed.
            ArgumentError: If it would remove the key.
        """
        if isinstance(names, str):
            raise ArgumentError(field="names", problem=f"{names!r} is a string: give a list")
        with self._turns.writing() as primary:
            self._check_fields(primary, dict.fromkeys(names))
            ids = self._chosen(primary, which)
            changes = [
                Change(op="delete_payload", ids=part, names=tuple(names)) for part in _parts(ids)
            ]
            return self._turns.commit(primary, changes if names else [])

    def clear_payload(self, which: Keys | models.Filter) -> int:
        """Remove all payload of records but key and text; as `overwrite_payload` with nothing."""
        return self.overwrite_payload(which, {})

    def delete(self, keys: Keys) -> int:
        """Delete records; a key that is not there is no error.

        Returns:
            How many keys were given, each counted once.
        """
        ids = ids_of(keys)
        with self._turns.writing() as primary:
            return self._turns.commit(
                primary, [Change(op="delete", ids=one) for one in _parts(ids)]
            )

    def delete_by_filter(self, condition: models.Filter) -> int:
        """Delete the records that a filter finds now.

        Returns:
            How many there were.
        """
        with self._turns.writing() as primary:
            ids = self._chosen(primary, condition)
            return self._turns.commit(
                primary, [Change(op="delete", ids=one) for one in _parts(ids)]
            )

    def flush(self) -> list[Lag]:
        """Finish what a crash or an absence left unfinished, on every collection but one built.

        Returns:
            What each target lacks still; a follower that cannot be reached says why.
        """
        self._turns.flush()
        return self.lag()

    def lag(self) -> list[Lag]:
        """What each target of the journal lacks."""
        journal = self.journal
        return [journal.lag(name) for name in journal.targets()]

    @property
    def journal(self) -> WriteJournal:
        """The journal; opened now if it was not."""
        return self._turns.journal

    def close(self) -> None:
        """Close the journal, if it was opened here; nothing is ever held back in a writer."""
        self._turns.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # --- what is meant -------------------------------------------------------------------------

    def _chosen(self, primary: Generation, which: Keys | models.Filter) -> list[PointId]:
        """The ids of points that are there."""
        if isinstance(which, models.Filter):
            return [one for page in primary.matching(which, self._retry) for one in page]
        ids = ids_of(which)
        there = set(primary.present(ids, self._retry))
        for one in ids:
            if one not in there:
                raise PointError(
                    point=one, problem=f"it is not in {primary.name!r}; nothing was changed"
                )
        return ids

    def _check_fields(self, primary: Generation, fields: Mapping[str, Any]) -> None:
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
    """The fields of some names; of a path, the value at its end under the path as a name."""
    values = ((name, value_at(payload, name)) for name in names)
    return {name: value for name, value in values if value is not None}


def _parts(ids: Sequence[PointId], size: int = _ENTRY_IDS) -> Iterator[tuple[PointId, ...]]:
    for start in range(0, len(ids), size):
        yield tuple(ids[start : start + size])


__all__ = ["LiveWriter", "Record", "default_journal"]
