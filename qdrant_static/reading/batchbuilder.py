"""Builds batches of records that come one by one: lines, rows of cells, points."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from qdrant_static.collection.fields import value_at
from qdrant_static.ids import Key
from qdrant_static.reading import readyvectors
from qdrant_static.reading.batch import MAX_BYTES, MAX_ROWS, Batch, Unit, Whole
from qdrant_static.reading.rejects import Reason, Reject
from qdrant_static.reading.selection import Selection
from qdrant_static.reading.storedcolumns import RecordShape

_KINDS = {
    dict: "an object",
    list: "a list",
    str: "a string",
    bool: "a boolean",
    type(None): "a null",
}


class RejectedError(Exception):
    """A row that is rejected, with reason and message."""

    def __init__(self, reason: Reason, message: str, row: Any = None) -> None:
        super().__init__(reason)
        self.reason: Reason = reason
        self.message = message
        self.row = row


def kind_of(value: Any) -> str:
    """Return what JSON calls the type of a value."""
    return _KINDS.get(type(value), "a number")


class BatchBuilder:
    """Collects records and rejects, and makes batches of them.

    Args:
        file: The file's name.
        unit: What its positions count.
        selection: The columns of the job.
        partition: Column -> value, for columns that a record lacks.
        unfit: Column of the partition -> why its value is not of the type.
        max_rows: A batch is full with so many records.
        max_bytes: A batch is full with so many bytes of records.
    """

    def __init__(
        self,
        file: str,
        unit: Unit,
        selection: Selection,
        *,
        partition: Mapping[str, Any] | None = None,
        unfit: Mapping[str, str] | None = None,
        max_rows: int = MAX_ROWS,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        self._file = file
        self._unit = unit
        self._selection = selection
        self._shape = RecordShape(selection)
        self._partition = dict(partition or {})
        self._unfit = {
            name: problem for name, problem in (unfit or {}).items() if selection.takes(name)
        }
        self._max_rows = max_rows
        self._max_bytes = max_bytes
        self._dimension = selection.dimension
        self._overlooked = set(selection.overlooked)
        self._clear()

    def _clear(self) -> None:
        self._bytes = 0
        self._positions: list[int] = []
        self._keys: list[Key] = []
        self._texts: list[str] = []
        self._payloads: list[dict[str, Any]] = []
        self._records: list[dict[str, Any]] = []
        self._vectors: list[Any] = []
        self._rejects: list[Reject] = []
        self._notes: dict[str, str] = {}

    @property
    def rows(self) -> int:
        """Number of records and rejects so far."""
        return len(self._positions) + len(self._rejects)

    @property
    def is_full(self) -> bool:
        """Whether the next record belongs to the next batch."""
        return self.rows >= self._max_rows or self._bytes >= self._max_bytes

    def add(
        self,
        position: int,
        record: dict[str, Any],
        size: int,
        *,
        key: Key | None = None,
        vector: Any = None,
    ) -> None:
        """Add a record, or reject it.

        Args:
            position: Its position in the file.
            record: Its fields.
            size: Its approximate size in bytes.
            key: Its key, if no field holds it.
            vector: Its vector, if no field holds it.
        """
        self._bytes += size
        selection = self._selection
        own = record
        if self._overlooked:
            self._note(record, position)
        if self._partition:
            record = {**self._partition, **record}
        try:
            for name, problem in self._unfit.items():
                if name not in own:
                    raise RejectedError("wrong_type", problem)
            own_key = _key(record, selection) if key is None else key
            ready = self._vector(record, vector)
            text = _text(record, selection, optional=ready is not None and own_key is not None)
            payload = self._payload(record, size, text)
        except RejectedError as problem:
            self.reject(position, problem.reason, problem.message, record)
            return
        self._positions.append(position)
        self._texts.append(text)
        if own_key is not None:
            self._keys.append(own_key)
        if ready is not None:
            self._vectors.append(ready)
        self._payloads.append(payload)
        self._records.append(record)

    def _note(self, record: dict[str, Any], position: int) -> None:
        """Note the columns that the first records lack."""
        for name in sorted(self._overlooked & record.keys()):
            if record[name] is not None:
                place = f"{self._file}, {self._unit} {position:,},"
                self._notes[name] = self._selection.note_on(name, place)
                self._overlooked.remove(name)

    def _vector(self, record: dict[str, Any], own: Any) -> Any:
        name = self._selection.vectors
        if name is None:
            return None
        vector = value_at(record, name) if own is None else own
        problem = readyvectors.problem_of(vector, self._dimension)
        if problem is not None:
            raise RejectedError("bad_vector", problem)
        if self._dimension is None:
            self._dimension = len(vector)
        return vector

    def _payload(self, record: dict[str, Any], size: int, text: str) -> dict[str, Any]:
        selection = self._selection
        # A character has at most four bytes; only texts that may be too long are measured.
        if 4 * len(text) > selection.max_text_bytes:
            length = len(text.encode())
            if length > selection.max_text_bytes:
                limit = selection.max_text_bytes
                raise RejectedError("too_long", f"a text of {length:,} bytes; limit {limit:,}")
        if size > selection.max_payload_bytes and self._is_large_without_vector(size):
            limit = selection.max_payload_bytes
            raise RejectedError("too_long", f"a payload of {size:,} bytes; limit {limit:,}")
        try:
            return self._shape.stored(record)
        except ValueError as error:
            raise RejectedError("wrong_type", str(error)) from error

    def _is_large_without_vector(self, size: int) -> bool:
        """Return whether the payload itself is too large, without a vector (25 bytes a number)."""
        return size - 25 * (self._dimension or 0) > self._selection.max_payload_bytes

    def reject(
        self,
        position: int,
        reason: Reason,
        message: str,
        row: Any,
        *,
        csv: Mapping[str, Any] | None = None,
    ) -> None:
        """Reject a record; ``csv`` has delimiter and columns of a line of CSV."""
        self._rejects.append(
            Reject(
                reason=reason,
                message=message,
                file=self._file,
                unit=self._unit,
                position=position,
                row=row,
                partition=None if isinstance(row, dict) else self._partition,
                csv=None if isinstance(row, dict) else csv,
            )
        )

    def weigh(self, size: int) -> None:
        """Count the bytes of a line that was rejected."""
        self._bytes += size

    def take(self, start: int, stop: int, *, keyed: bool | None = None) -> Batch:
        """Return the batch so far, and begin the next.

        Args:
            start: The first position that it accounts for.
            stop: The position after the last.
            keyed: Whether the records have keys; None: if the selection has a key.
        """
        has_keys = bool(self._selection.keys) if keyed is None else keyed
        ready = self._selection.vectors is not None
        batch = Batch(
            file=self._file,
            unit=self._unit,
            positions=self._positions,
            keys=self._keys if has_keys else None,
            texts=pa.array(self._texts, type=pa.large_string()),
            payloads=self._payloads,
            rejects=self._rejects,
            start=start,
            stop=stop,
            vectors=self._matrix() if ready else None,
            notes=self._notes,
            whole=Whole(row=self._records.__getitem__, at=range(len(self._records))),
        )
        self._clear()
        return batch

    def _matrix(self) -> np.ndarray[Any, np.dtype[np.float32]]:
        return readyvectors.from_lists(self._vectors, self._dimension or 1)


def _key(record: dict[str, Any], selection: Selection) -> Key | None:
    names = selection.keys
    if not names:
        return None
    parts = tuple(_key_part(record, name) for name in names)
    return parts[0] if len(parts) == 1 else parts


def _key_part(record: dict[str, Any], name: str) -> int | str:
    key = value_at(record, name)
    if key is None:
        raise RejectedError("null_key", f"no key in {name!r}", record)
    if isinstance(key, bool) or not isinstance(key, int | str):
        raise RejectedError(
            "wrong_type", f"the key {name!r} is {kind_of(key)}, not an integer or a string", record
        )
    return key


def _text(record: dict[str, Any], selection: Selection, *, optional: bool) -> str:
    parts = {}
    for name in selection.text:
        part = value_at(record, name)
        if part is None:
            continue
        if not isinstance(part, str):
            raise RejectedError(
                "wrong_type", f"the text {name!r} is {kind_of(part)}, not a string", record
            )
        if part.strip():
            parts[name] = part
    if not parts:
        if optional:
            return ""
        raise RejectedError("no_text", f"no text in {', '.join(selection.text)}", record)
    if selection.template is not None:
        return selection.template.fill([parts.get(n, "") for n in selection.template.columns])
    return " ".join(parts.values())
