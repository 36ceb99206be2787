"""Builds of several shards, in this process or in one to be killed.

``python -m tests.builds INPUT FOLDER OPTIONS`` prints a line for every process that it starts and
for everything that one says, and its report as JSON at the end.
"""

from __future__ import annotations

import json
import random
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from qdrant_static import CollectionSpec, EdgeClient, load_encoder
from qdrant_static.clients.statefolder import StateFolder
from qdrant_static.ingestion.ingestreport import IngestReport
from qdrant_static.ingestion.options import RunOptions
from qdrant_static.ingestion.progress import Progress
from qdrant_static.ingestion.runspec import RunSpec, Workspace
from qdrant_static.ledger.ledger import Ledger
from qdrant_static.reading.sources import open_source
from qdrant_static.shipping.localbuild.local import BuildPlace, build_locally
from qdrant_static.shipping.localbuild.shardprocesses import ShardProcesses
from tests.fakes import build_static_model, write_jsonl

COLLECTION = "c"
Hear = Callable[[int, int, Mapping[str, Any]], None]


def write_input(folder: Path, rows: int) -> Path:
    """A model, and two files with keys that come twice, in one and in both, and rejects."""
    dice = random.Random(5)  # noqa: S311
    records = [
        {"id": n if n % 3 else f"k{n}", "title": f"title {n}", "text": f"row {n % 11} cat", "n": n}
        for n in range(rows)
    ]
    for _ in range(rows // 50):
        records.insert(dice.randrange(rows), dict(dice.choice(records), n=-1))
    half = len(records) // 2
    lines: list = list(records[:half])
    for place in range(10, half, 400):
        lines[place] = ["torn {", {"id": place, "text": " "}, {"text": "no key"}][place % 3]
    (folder / "in").mkdir(parents=True)
    write_jsonl(folder / "in" / "a.jsonl", lines)
    strings = [{**one, "id": str(one["id"])} for one in records[half:]]
    pq.write_table(pa.Table.from_pylist(strings), folder / "in" / "b.parquet", row_group_size=1700)
    build_static_model(folder / "model")
    return folder


def build(
    given: Path,
    folder: Path,
    *,
    shards: int = 3,
    workers: int = 3,
    max_rejects: int | str | None = None,
    stop: threading.Event | None = None,
    **changes: Any,
) -> IngestReport:
    """Build what `write_input` wrote to ``given`` in ``folder``."""
    encoder = changes.get("encoder") or load_encoder(given / "model")
    source = changes.get("source") or open_source(given / "in")
    spec = CollectionSpec.for_encoder(
        encoder, matryoshka=(8,), sparse="bm25", payload_indexes={"n": "integer"}
    ).with_source(fields=source.selection.fields, mean_length=None)
    with (
        StateFolder(folder / "state", COLLECTION) as files,
        Ledger(files.ledger) as ledger,
    ):
        own = {one.name: changes.pop(one.name) for one in fields(RunOptions) if one.name in changes}
        options = RunOptions(max_rejects=max_rejects, **own)
        arguments: dict[str, Any] = {
            "name": COLLECTION,
            "collection": COLLECTION,
            "spec": spec,
            "encoder": encoder,
            "source": source,
            "options": options,
            "threads": 2,
            "stop": stop,
        }
        display = changes.pop("display", None) or Progress(None, progress=False)
        place = BuildPlace(folder=folder / "db", shards=shards, workers=workers)
        workspace = Workspace(files=files, ledger=ledger, display=display)
        return build_locally(RunSpec(**arguments | changes), workspace, place)


def outcome(folder: Path) -> dict[str, Any]:
    """All that a build leaves, but for times."""
    with EdgeClient(folder / "db") as client:
        records, more = client.scroll(COLLECTION, limit=1_000_000, with_vectors=True)
        counts = client.shard_counts(COLLECTION)
        described = client.get_collection(COLLECTION)
    assert more is None
    described.config.metadata.pop("qdrant_static_created", None)  # a time
    with Ledger(folder / "state" / "ledger.sqlite") as ledger:
        run = ledger.runs.last()
        assert run is not None
        return {
            "points": {record.id: (record.payload, record.vector) for record in records},
            "counts": counts,
            "config": described.config,
            "payload_schema": described.payload_schema,
            "rows": list(ledger.query("SELECT * FROM rows ORDER BY id")),
            "batches": [
                (*found, json.loads(reasons))
                for *found, reasons in ledger.query(
                    "SELECT * FROM batches ORDER BY run, file, start"
                )
            ],
            "totals": ledger.runs.totals(run.id),
            "files": ledger.runs.files(run.id),
            "run": (run.state, run.points_before, run.points_after, run.complete, run.building),
            "rejects": rejects_of(Path(run.rejects or ""), run.rejects_bytes),
        }


def rejects_of(path: Path, size: int) -> list[dict[str, Any]]:
    """The lines of a rejects file by their addresses."""
    lines = path.read_bytes()
    assert len(lines) == size
    found = [json.loads(line) for line in lines.splitlines()]
    return sorted(found, key=lambda one: (one["file"], one.get("line", one.get("row"))))


def watch(hear: Hear, patch: Callable[[object, str, Any], None] = setattr) -> None:
    """Have all processes heard: shard, process id, and ``started`` or what it says."""
    take, start = ShardProcesses._receive, ShardProcesses._start

    def starting(self: ShardProcesses) -> None:
        before = set(self._running)
        start(self)
        for shard in set(self._running) - before:
            hear(shard, self._running[shard]._process.pid, {"started": True})

    def hearing(self: ShardProcesses) -> None:
        told = self._on_message

        def telling(shard: int, message: Mapping[str, Any]) -> None:
            hear(shard, self._running[shard]._process.pid, message)
            told(shard, message)

        self._on_message = telling
        take(self)
        self._on_message = told

    patch(ShardProcesses, "_receive", hearing)
    patch(ShardProcesses, "_start", starting)


def _print(shard: int, pid: int, message: Mapping[str, Any]) -> None:
    print(json.dumps({"shard": shard, "pid": pid, **message}), flush=True)  # noqa: T201


if __name__ == "__main__":
    watch(_print)
    done = build(Path(sys.argv[1]), Path(sys.argv[2]), **json.loads(sys.argv[3]))
    print(json.dumps(done.to_dict()))  # noqa: T201
