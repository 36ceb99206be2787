"""A collection built and shipped, to be killed at a step.

``python -m tests.server.build_child FOLDER HTTP GRPC COLLECTION SHARDS STEP``; without a step it
runs to its end and prints its report.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any
from unittest.mock import patch

from qdrant_client import QdrantClient

from qdrant_static import CollectionSpec, ingest
from qdrant_static.ingestion import account
from qdrant_static.ledger.ledger import Ledger
from qdrant_static.reading import jsonl
from qdrant_static.shipping.localbuild import buildrun
from qdrant_static.shipping.localbuild.buildhere import BuildHere
from qdrant_static.shipping.progress import ShipProgress
from tests.fakes import FakeEncoder, grouped

BATCH_ROWS = 100
#: Where it is killed; the phases of the shipment are those of `ShipProgress`.
STEPS = ("batch", "built", "preparing", "sending", "proving", "done", "manifest", "shipped")


def run(folder: Path, client: QdrantClient, collection: str, shards: int, **options: Any) -> Any:
    """Build ``folder/rows.jsonl``, in small batches, by one process, and ship it."""
    encoder = FakeEncoder()
    spec = CollectionSpec.for_encoder(encoder, matryoshka=(8,), payload_indexes={"n": "integer"})
    options = {"spec": spec, "build": BuildHere(shards=shards, workers=1), **options}
    with patch.object(jsonl, "MAX_ROWS", BATCH_ROWS):
        return ingest(
            client,
            collection,
            folder / "rows.jsonl",
            **grouped(encoder=encoder, state=folder / "state", **options),
        )


def die_at(step: str) -> None:
    """Have this process killed as soon as it has come so far."""
    if step == "batch":
        _after(Ledger, "settle", times=4)
    elif step == "built":
        _after(account, "write_manifest")
    elif step == "manifest":
        _after(buildrun, "rewrite_manifest")
    elif step == "shipped":
        _after(Ledger, "shipped")
    else:
        tell = buildrun._ShipProgress.__call__

        def told(self: Any, seen: ShipProgress) -> None:
            tell(self, seen)
            if seen.phase == step and (step != "sending" or seen.sent_bytes):
                _die()

        buildrun._ShipProgress.__call__ = told  # type: ignore[method-assign]


def _after(owner: Any, name: str, *, times: int = 1) -> None:
    kept = getattr(owner, name)
    calls = []

    def call(*arguments: Any, **options: Any) -> Any:
        done = kept(*arguments, **options)
        calls.append(name)
        if len(calls) == times:
            _die()
        return done

    setattr(owner, name, call)


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    place, http, grpc, name, count, *steps = sys.argv[1:]
    for one in steps:
        die_at(one)
    report = run(
        Path(place),
        QdrantClient(
            url=f"http://127.0.0.1:{http}",
            grpc_port=int(grpc),
            prefer_grpc=True,
            timeout=60,
            check_compatibility=False,
        ),
        name,
        int(count),
    )
    print(json.dumps(report.to_dict()))  # noqa: T201
