"""Prepares a collection for a run: creates it, and finds out which points it holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qdrant_static.clients.scroll import pages
from qdrant_static.collection.create import create_collection, read_spec, write_spec
from qdrant_static.collection.spec import CollectionSpec
from qdrant_static.digests import DIGEST_BYTES, as_digests, payload_digest, text_digests
from qdrant_static.ids import id_digest, plain_id
from qdrant_static.ingestion.modes import Mode
from qdrant_static.ledger.ledger import Ledger
from qdrant_static.ledger.records import Rows, Run
from qdrant_static.ledger.runidentity import encoding_key

if TYPE_CHECKING:
    from collections.abc import Callable

    from qdrant_static.clients.connect import Client

_PAGE = 1000
_UNKNOWN = bytes(DIGEST_BYTES)


def prepare_collection(mode: Mode, record: Run, spec: CollectionSpec) -> None:
    """Create or update the collection of a run, and find out which points it holds.

    Args:
        mode: Where the collection is.
        record: The ledger's record of the run.
        spec: The collection's spec.
    """
    ledger = mode.workspace.ledger
    if not mode.client.collection_exists(mode.collection):
        ledger.rows.clear()  # of a collection that was deleted since
        ledger.runs.forget_unreadable(before=record.id)
        create_collection(mode.client, mode.collection, spec, shards=mode.shards)
    elif read_spec(mode.client, mode.collection) != spec:
        write_spec(mode.client, mode.collection, spec)
    if record.points_before is not None:
        return
    before = mode.count()
    moved = mode.is_other_collection(record, spec) or mode.other is not None
    complete = before == ledger.rows.count() and not moved
    if mode.request.options.sync and not complete:
        why = "" if mode.other is None else ", to which a job with another ledger has written"
        mode.workspace.display.note(
            f"the ledger does not know the {before:,} points of {mode.collection!r}{why}: "
            "reading them"
        )
        before = rebuild(mode.client, mode.collection, ledger, spec)
        complete = True
    if complete or not moved:
        mode.note_collection(spec, complete=complete)
    ledger.runs.update(record.id, points_before=before, complete=complete)


def rebuild(
    client: Client,
    collection: str,
    ledger: Ledger,
    spec: CollectionSpec,
    *,
    on_progress: Callable[[int], None] | None = None,
) -> int:
    """Enter all points of a collection, in place of what the ledger knew.

    A point whose payload holds the text has both digests, and a sync leaves it alone if they
    agree with the input. Any other is encoded once more.

    Args:
        client: Where the collection is.
        collection: The collection.
        ledger: The ledger.
        spec: The collection's.
        on_progress: Called with the number of points read.

    Returns:
        How many points were found.
    """
    import pyarrow as pa

    key = encoding_key(spec)
    # Of vectors that were given, and of texts that the payload holds in part, there is no digest.
    fields = spec.fields
    whole = not (fields.unstored or fields.ready_vectors or fields.mixed)
    ledger.rows.clear()
    count = 0
    for records in pages(client, collection, limit=_PAGE, with_payload=True):
        payloads = [record.payload or {} for record in records]
        texts = [spec.fields.text_of(payload) if whole else "" for payload in payloads]
        known = text_digests(pa.array(texts, pa.large_string()), key)
        ledger.rows.add_found(
            Rows(
                ids=as_digests(id_digest(plain_id(record.id)) for record in records),
                texts=as_digests(
                    digest.tobytes() if text else _UNKNOWN
                    for text, digest in zip(texts, known, strict=True)
                ),
                payloads=as_digests(map(payload_digest, payloads)),
                positions=range(count, count + len(records)),
            )
        )
        count += len(records)
        if on_progress is not None:
            on_progress(count)
    return count
