"""A ledger's rows, found again in the collection itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qdrant_static.clients.scroll import pages
from qdrant_static.collection.spec import CollectionSpec
from qdrant_static.digests import DIGEST_BYTES, as_digests, payload_digest, text_digests
from qdrant_static.ids import id_digest, plain_id
from qdrant_static.ledger.ledger import Ledger
from qdrant_static.ledger.records import Rows
from qdrant_static.ledger.runidentity import encoding_key

if TYPE_CHECKING:
    from collections.abc import Callable

    from qdrant_static.clients.connect import Client

_PAGE = 1000
_UNKNOWN = bytes(DIGEST_BYTES)


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
        on_progress: Hears how many points were read.

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
