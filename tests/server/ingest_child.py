"""A job into a server, to be killed: ``python -m tests.server.ingest_child FOLDER HTTP GRPC``.

It prints a line for every batch that is settled.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any
from unittest.mock import patch

from qdrant_client import QdrantClient

from qdrant_static import CollectionSpec, ingest
from qdrant_static.reading import jsonl
from tests.fakes import FakeEncoder, grouped
from tests.ingest_child import COLLECTION, tell_settled

BATCH_ROWS = 100


def run(folder: Path, client: QdrantClient, **options: Any) -> Any:
    """Ingest ``folder/rows.jsonl``, in small batches."""
    encoder = FakeEncoder()
    spec = CollectionSpec.for_encoder(encoder, matryoshka=(8,))
    with patch.object(jsonl, "MAX_ROWS", BATCH_ROWS):
        return ingest(
            client,
            COLLECTION,
            folder / "rows.jsonl",
            **grouped(spec=spec, encoder=encoder, state=folder / "state", **options),
        )


if __name__ == "__main__":
    tell_settled()
    run(
        Path(sys.argv[1]),
        QdrantClient(
            url=f"http://127.0.0.1:{sys.argv[2]}",
            grpc_port=int(sys.argv[3]),
            prefer_grpc=True,
            timeout=30,
            check_compatibility=False,
        ),
    )
