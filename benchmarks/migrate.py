"""A live migration on SciFact: to another model and back, while an application writes and reads.

    python benchmarks/migrate.py --data scifact/ --model potion-base-2M/ --out migrate.json

A writer upserts and deletes 50 rows a second through `LiveWriter`, a reader asks 20 judged queries
a second through `LiveSearcher`. From WordLlama-256 to the model of ``--model`` and back, each time
by the whole way: start (from the collection's own texts), verify (gates, with the judgements),
cutover, rollback, cutover, retire. At the end every point is compared with what the writer was
acknowledged: lost are rows that are missing or old, resurrected are deleted ones that are there.

On a folder, or on a server where QDRANT_URL is set. NDCG and overlap may refuse where the model is
the weaker one: the table says so, and the gate is accepted by name, because the point here is the
machinery.

Limits: one machine; writer, reader and migration share one process, and embedded also the engine,
so that a reader's slowest answer is that of an index being built.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from qdrant_static import (
    CollectionSpec,
    LiveSearcher,
    LiveWriter,
    Migration,
    Record,
    connect,
    ingest,
    load_encoder,
)  # fmt: skip
from qdrant_static.clients.aliases import aliases_of, point_alias, resolve_alias
from qdrant_static.ids import point_id
from qdrant_static.measuring.judged import read_judged
from qdrant_static.migration.migrationreport import Moved

ALIAS = "bench-articles"
WRITES_S, READS_S = 50, 20
_ACCEPT = ("overlap", "ranks", "ndcg", "latency", "recall", "empty")


@dataclass
class Application:
    """What reads and writes all the while.

    Attributes:
        writer: Through the journal.
        searcher: Through the alias.
        queries: What is asked.
        expected: Acknowledged: id -> text.
        gone: Acknowledged deletions.
        errors: Of the reader, and of the writer.
        empty: Answers without a hit.
        reads: Seconds of each search.
        writes: How many writes were acknowledged.
    """

    writer: LiveWriter
    searcher: LiveSearcher
    queries: list[str]
    expected: dict[str, str]
    gone: set[str] = field(default_factory=set)
    errors: list[str] = field(default_factory=list)
    empty: int = 0
    reads: list[float] = field(default_factory=list)
    writes: int = 0
    ended: threading.Event = field(default_factory=threading.Event)

    def write(self) -> None:
        """Half upserts (of old rows and new ones), half deletions."""
        dice = random.Random(3)  # noqa: S311
        keys = [f"live-{n}" for n in range(400)]
        for number in self._paced(WRITES_S):
            key = dice.choice(keys)
            one = str(point_id(key))
            try:
                if number % 2:
                    text = f"note {number} on {dice.choice(self.queries)}"
                    self.writer.upsert(Record(key=key, text={"title": "", "text": text}))
                    self.expected[one] = text
                    self.gone.discard(one)
                else:
                    self.writer.delete([key])
                    self.expected.pop(one, None)
                    self.gone.add(one)
                self.writes += 1
            except Exception as error:
                self.errors.append(f"writer: {error!r}")

    def read(self) -> None:
        """Judged queries in turn."""
        for number in self._paced(READS_S):
            started = time.perf_counter()
            try:
                hits = self.searcher.search(self.queries[number % len(self.queries)])
                self.empty += not hits
            except Exception as error:
                self.errors.append(f"reader: {error!r}")
            self.reads.append(time.perf_counter() - started)

    def _paced(self, rate: float) -> Any:
        started, number = time.monotonic(), 0
        while not self.ended.wait(max(0.0, started + number / rate - time.monotonic())):
            yield number
            number += 1


def main() -> None:
    """Run it, print it, write it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="A judged data set in BEIR's form.")
    parser.add_argument("--model", required=True, help="The folder of the other model.")
    parser.add_argument("--out", help="A file for the figures, as JSON.")
    asked = parser.parse_args()
    out = Path(asked.out).resolve() if asked.out else None
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)  # a server's state lies below the working directory
        found = run(Path(asked.data).resolve(), str(Path(asked.model).resolve()))
    print(json.dumps({k: v for k, v in found.items() if k != "ways"}, indent=2))
    if out is not None:
        out.write_text(json.dumps(found, indent=2) + "\n")


def run(data: Path, model: str) -> dict[str, Any]:
    """Both ways; all figures."""
    judged = read_judged(data)
    old, new = load_encoder("wordllama"), load_encoder(model)
    url = os.environ.get("QDRANT_URL")
    client = connect(url or "./db")
    _clear(client)
    spec = CollectionSpec.for_encoder(old)
    ingest(client, f"{ALIAS}__v1", judged.corpus, spec=spec, encoder=old, text=("title", "text"))
    point_alias(client, ALIAS, f"{ALIAS}__v1")
    encoders = [old, new]
    application = Application(
        writer=LiveWriter(client, ALIAS, encoders=encoders),
        searcher=LiveSearcher(client, ALIAS, encoders=encoders),
        queries=[one.text for one in judged.queries],
        expected=_texts(client),
    )
    threads = [threading.Thread(target=one) for one in (application.write, application.read)]
    for one in threads:
        one.start()
    ways = []
    try:
        for encoder in (new, old):
            ways.append(_way(client, encoder, encoders, judged))
    finally:
        application.ended.set()
        for one in threads:
            one.join()
    there = _texts(client)
    reads = sorted(application.reads)
    info = client.info()
    found = {
        "engine": f"{info.title} {info.version}",
        "python": platform.python_version(),
        "client": version("qdrant-client"),
        "rows": len(there),
        "writes": application.writes,
        "reads": len(reads),
        "reader_errors": sum(one.startswith("reader") for one in application.errors),
        "writer_errors": sum(one.startswith("writer") for one in application.errors),
        "errors": application.errors[:5],
        "empty_answers": application.empty,
        "lost": sum(there.get(one) != text for one, text in application.expected.items()),
        "resurrected": sum(one in there for one in application.gone),
        "read_ms": {
            "p50": round(1e3 * reads[len(reads) // 2], 2),
            "p99": round(1e3 * reads[int(0.99 * len(reads))], 2),
            "max": round(1e3 * reads[-1], 2),
        },
        "switches": [one for way in ways for one in way["switches"]],
        "ways": ways,
    }
    application.writer.close()
    application.searcher.close()
    _clear(client)
    client.close()
    return found


def _told(moved: Moved) -> dict[str, float]:
    return {
        "request_ms": round((moved.switch_s or 0) * 1e3, 2),
        "held_ms": round((moved.held_s or 0) * 1e3),
    }


def _way(client: Any, encoder: Any, encoders: list[Any], judged: Any) -> dict[str, Any]:
    """One migration, by the whole way."""
    seconds: dict[str, float] = {}
    switches = []
    with Migration(client, ALIAS, encoders=encoders) as migration:

        def timed(name: str, call: Callable[[], Any]) -> Any:
            started = time.perf_counter()
            result = call()
            seconds[name] = round(time.perf_counter() - started, 3)
            return result

        timed("start", lambda: migration.start(encoder))
        verified = timed("verify", lambda: migration.verify(judged=judged, accept=_ACCEPT))
        print(verified, flush=True)
        for step in ("cutover", "rollback"):
            switches.append(_told(timed(step, getattr(migration, step))))
        timed("verify again", lambda: migration.verify(judged=judged, accept=_ACCEPT))
        switches.append(_told(timed("cutover again", migration.cutover)))
        timed("retire", lambda: migration.retire(after_s=0))
    return {
        "to": encoder.info.name, "seconds": seconds, "switches": switches,
        "gates": [one.to_dict() for one in verified.gates],
    }  # fmt: skip


def _texts(client: Any) -> dict[str, str]:
    """All points that the alias stands for: id -> text."""
    found: dict[str, str] = {}
    target, offset = resolve_alias(client, ALIAS), None
    while True:
        points, offset = client.scroll(target, limit=2000, offset=offset, with_payload=["text"])
        found.update({str(one.id): one.payload["text"] for one in points})
        if offset is None:
            return found


def _clear(client: Any) -> None:
    names = [one.name for one in client.get_collections().collections]
    for name in (*names, *aliases_of(client)):
        if name.startswith(ALIAS) and client.collection_exists(name) and name in names:
            client.delete_collection(name)


if __name__ == "__main__":
    main()
