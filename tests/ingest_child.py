"""A job in a process of its own, to be killed: ``python -m tests.ingest_child FOLDER OPTIONS``.

It prints a line for every batch that is settled, and its report as JSON at the end.
"""

from __future__ import annotations

import json
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest.mock import patch

from qdrant_static import CollectionSpec, EdgeClient, ingest
from qdrant_static.ledger.ledger import Ledger
from qdrant_static.reading import arrowfile, jsonl, parquet
from tests.fakes import FakeEncoder, grouped

COLLECTION = "c"


def run(folder: Path, **options: Any) -> dict[str, Any]:
    """Ingest ``folder/in`` into ``folder/db``, in small batches."""
    encoder = FakeEncoder()
    spec = CollectionSpec.for_encoder(encoder, matryoshka=(8,))
    with ExitStack() as stack:
        for module in (arrowfile, jsonl, parquet):
            stack.enter_context(patch.object(module, "MAX_ROWS", 100))
        client = stack.enter_context(EdgeClient(folder / "db"))
        report = ingest(
            client, COLLECTION, folder / "in", **grouped(spec=spec, encoder=encoder, **options)
        )
    return report.to_dict()


def tell_settled() -> None:
    """Print a line after every batch, and take a hundredth of a second for it."""
    settle = Ledger.settle

    def telling(self: Ledger, *arguments: Any, **options: Any) -> None:
        settle(self, *arguments, **options)
        print("settled", flush=True)  # noqa: T201
        time.sleep(0.01)

    Ledger.settle = telling  # type: ignore[method-assign]


if __name__ == "__main__":
    tell_settled()
    done = run(Path(sys.argv[1]), **json.loads(sys.argv[2]))
    print(json.dumps(done))  # noqa: T201
