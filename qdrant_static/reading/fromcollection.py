"""An existing collection as a source: to encode its texts again, or to copy its vectors."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from qdrant_static.clients.scroll import page
from qdrant_static.collection.create import read_spec
from qdrant_static.collection.spec import Fields
from qdrant_static.collection.vectorform import original_form
from qdrant_static.errors import ArgumentError, NotAPlannedCollectionError
from qdrant_static.reading import readyvectors
from qdrant_static.reading.batch import MAX_ROWS, Batch, SettledRanges, unsettled
from qdrant_static.reading.batchbuilder import BatchBuilder
from qdrant_static.reading.inputs import Fingerprint
from qdrant_static.reading.options import SourceOptions
from qdrant_static.reading.rejects import Reject
from qdrant_static.reading.selection import Selection, select

if TYPE_CHECKING:
    from qdrant_static.clients.connect import Client
    from qdrant_static.collection.vectorspec import VectorSpec

#: Remedy where the texts cannot be made again from the payload.
_FROM_FILES = (
    "they cannot be encoded again from there. Name the files that it was filled from "
    "(migrate start --from-source FILE), or the payload fields that are to be the text instead "
    "(--text, text=)"
)
#: Assumed bytes of a payload field that is not a string, to bound batches by bytes.
_FIELD_BYTES = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectionSource:
    """The points of a collection, in the order of their ids; a point's position is its place.

    A record's key is the id of its point, so that it has the same id in another collection.

    Attributes:
        client: The client of the collection.
        collection: Its name.
        name: Its name in rejects and ledgers.
        selection: The payload fields.
        vector: The vector to use instead of the encoder's; None: none.
        stored: That vector's spec, where the collection has one: some vectors are stored in
            another form than the encoder's.
        total_rows: Number of points.
        left_out: Always empty: payloads are JSON already.
        files: Always empty.
    """

    client: Client
    collection: str
    name: str
    selection: Selection
    vector: str | None
    total_rows: int
    stored: VectorSpec | None = None
    left_out: tuple[str, ...] = ()
    files: tuple[Path, ...] = ()

    def __iter__(self) -> Iterator[Batch | Reject]:
        """Yield all batches."""
        return self.batches()

    def batches(self, settled: SettledRanges | None = None) -> Iterator[Batch | Reject]:
        """Yield all batches, without what is settled.

        Args:
            settled: What earlier batches accounted for, by this source's name. Those points are
                scrolled over without payload; valid only while the collection does not change.
        """
        done = () if settled is None else settled.get(self.name, ())
        position, offset = 0, None
        for start, stop in unsettled(0, sys.maxsize, done):
            while position < stop:
                skips = position < start
                end = start if skips else stop
                points, offset = self._page(offset, end - position, whole=not skips)
                if points and not skips:
                    yield from self._batches(points, position)
                position += len(points)
                if offset is None:
                    return

    def with_dimension(self) -> Self:
        """Return the same source with the dimension of its vectors, that of the first point's.

        Raises:
            ArgumentError: If the first points have no such vector.
        """
        points, _ = self._page(None, MAX_ROWS, whole=True)
        vectors = (self._vector(point) for point in points)
        lengths = (len(one) for one in vectors if readyvectors.problem_of(one, None) is None)
        dimension = next(lengths, None)
        if points and dimension is None:
            raise ArgumentError(
                field="vectors",
                problem=f"the points of {self.collection!r} have no {self.vector!r}",
            )
        return replace(self, selection=replace(self.selection, dimension=dimension))

    def _page(self, offset: Any, limit: int, *, whole: bool) -> tuple[list[Any], Any]:
        return page(
            self.client,
            self.collection,
            limit=min(limit, MAX_ROWS),
            offset=offset,
            with_payload=whole,
            with_vectors=[self.vector]
            if whole and self.vector
            else bool(whole and self.vector == ""),
        )

    def _batches(self, points: list[Any], start: int) -> Iterator[Batch]:
        builder = BatchBuilder(self.name, "row", self.selection)
        first = start
        for position, point in enumerate(points, start):
            if builder.is_full:
                yield builder.take(first, position, keyed=True)
                first = position
            payload = dict(point.payload or {})
            builder.add(position, payload, _size(payload), key=point.id, vector=self._vector(point))
        yield builder.take(first, start + len(points), keyed=True)

    def _vector(self, point: Any) -> Any:
        if self.vector is None:
            return None
        found = point.vector
        row = found.get(self.vector) if isinstance(found, dict) else found
        if self.stored is None or self.stored.scale is None or row is None:
            return row
        return original_form(np.asarray([row], np.float32), self.stored)[0].tolist()

    def fingerprints(self) -> dict[str, Fingerprint]:
        """Return the number of points and a digest of the collection's configuration.

        A change of one point's payload does not change it.
        """
        count = int(self.client.count(self.collection, exact=True).count)
        described = str(self.client.get_collection(self.collection).config)
        digest = blake2b(described.encode(), digest_size=16).hexdigest()
        return {self.name: Fingerprint(size=count, modified_ns=0, digest=digest)}


def open_collection_source(
    client: Client, collection: str, *, options: SourceOptions | None = None
) -> CollectionSource:
    """Open a collection as a source; only the names of payload fields are read yet.

    Args:
        client: An `EdgeClient` or a `QdrantClient`.
        collection: The collection's name.
        options: The text's fields and the payload; by default as the collection was filled.
            ``vectors`` names a vector of the points. A key cannot be chosen: ids stay.

    Raises:
        CollectionNotFoundError: If it does not exist.
        ColumnNotFoundError: If a field is in none of the first points.
        ArgumentError: If neither options nor collection name the fields of the text.
    """
    wanted = options or SourceOptions()
    if wanted.key:
        raise ArgumentError(field="key", problem="points keep their ids; leave the key out")
    fields = Fields()
    vectors: tuple[VectorSpec, ...] = ()
    try:
        spec = read_spec(client, collection)
    except NotAPlannedCollectionError:
        pass
    else:
        fields, vectors = spec.fields, spec.vectors
    as_filled = not wanted.text and wanted.template is None
    if as_filled:
        fields.require_text(collection, _FROM_FILES)
        wanted = wanted.with_columns(text=fields.text or None)
    points, _ = page(client, collection, limit=MAX_ROWS, with_payload=True)
    names = tuple(dict.fromkeys(name for point in points for name in point.payload or ()))
    name = f"collection:{collection}"
    # A vector is not a payload field, so it is not looked for among them.
    textless = as_filled and wanted.vectors and fields.ready_vectors and not fields.all_columns
    known = () if textless else names
    chosen = (
        select(known, name, replace(wanted, vectors=None)) if known else select((), name, wanted)
    )
    if as_filled:
        chosen = replace(chosen, template=fields.in_payload)
    source = CollectionSource(
        client=client,
        collection=collection,
        name=name,
        selection=replace(chosen, key=fields.key, vectors=wanted.vectors),
        vector=wanted.vectors,
        stored=next((one for one in vectors if one.name == wanted.vectors), None),
        total_rows=int(client.count(collection, exact=True).count),
    )
    return source if wanted.vectors is None else source.with_dimension()


def _size(value: Any) -> int:
    """Estimate the bytes of a value."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, dict):
        return sum(len(name) + _size(one) for name, one in value.items())
    if isinstance(value, list):
        return sum(map(_size, value))
    return _FIELD_BYTES
