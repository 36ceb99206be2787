"""A server's collection as an embedded one: time, bytes, and whether it answers alike.

    python benchmarks/pull.py --url http://localhost:6333 [--rows 100000] [--json pull.json]

Passages of about 1 KB become a collection of the server, with 1,024 dimensions for rescoring and
``mrl_256``, binary codes on both, and BM25 (``ingest`` until the server has indexed them: not
measured). Then it is pulled, and 200 questions, every second with a filter, are asked of both: with
the default plan, and with others. ``equal`` are the questions with the same scores in the same
order, and the same ids but for points that are equally good at the end; ``lost`` are the server's
hits that the copy does not give. Last, `optimize` must find nothing to do, and edits must take.

Limits: server and program share the machine, so the time includes what the server needs to read and
send; the disk's cache is warm. Vectors are of a random table.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import shutil
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ingest import our_spec, prepare

NAME = "pull_benchmark"
QUESTIONS, LIMIT = 200, 10
PLANS = (None, "dense", "bm25", "exact")
SEED = 7


def client_of(url: str, grpc_port: int | None) -> Any:
    """As `connect` makes it, with gRPC also behind an unusual port."""
    from qdrant_client import QdrantClient

    return QdrantClient(
        url=url,
        grpc_port=grpc_port or (urlsplit(url).port or 6333) + 1,
        prefer_grpc=True,
        timeout=600,
        api_key=os.environ.get("QDRANT_API_KEY"),
        check_compatibility=False,
    )


def fill(server: Any, work: Path, encoder: Any, shards: int) -> None:
    """The server's collection, indexed."""
    from dataclasses import replace

    from qdrant_static import RunOptions, ingest
    from qdrant_static.clients.indexing import wait_until_indexed
    from qdrant_static.collection.serverspec import ServerSpec

    server.delete_collection(NAME)
    spec = replace(our_spec(encoder, "bm25"), server=ServerSpec(shards=shards))
    spec = replace(spec, payload_indexes={"year": "integer"})
    with tempfile.TemporaryDirectory() as state:
        ingest(
            server,
            NAME,
            work / "passages.parquet",
            spec=spec,
            encoder=encoder,
            key="id",
            text=("title", "text"),
            run_options=RunOptions(state=Path(state)),
        )
    wait_until_indexed(server, NAME)


def questions(work: Path) -> list[str]:
    """A few words of one passage each."""
    import pyarrow.parquet as pq

    texts = pq.read_table(work / "passages.parquet", columns=["text"])["text"]
    dice = random.Random(SEED)  # noqa: S311
    found = []
    for row in dice.sample(range(len(texts)), QUESTIONS):
        words = texts[row].as_py().split()
        start = dice.randrange(max(1, len(words) - 6))
        found.append(" ".join(words[start : start + 6]))
    return found


def compared(server: Any, local: Any, encoder: Any, asked: list[str]) -> dict[str, Any]:
    """Plan -> questions with equal answers, and hits that are lost."""
    import numpy as np
    from qdrant_client import models

    from qdrant_static.querying.run import Searcher

    theirs = Searcher(server, NAME, encoder=encoder)
    ours = Searcher(local, NAME, encoder=encoder)
    late = models.FieldCondition(key="year", range=models.Range(gte=2010))
    only = models.Filter(must=[late])
    found = {}
    for plan in PLANS:
        equal = lost = nearer = farther = 0
        for number, question in enumerate(asked):
            condition = only if number % 2 else None
            arguments = {"limit": LIMIT, "plan": plan, "query_filter": condition}
            there = theirs.search(question, **arguments)
            here = ours.search(question, **arguments)
            scores = [one.score for one in there]
            same = np.allclose(scores, [one.score for one in here], rtol=1e-5, atol=1e-5)
            missing = {one.id for one in there} - {one.id for one in here}
            clear = {one.id for one in there if one.score > scores[-1] + 1e-5}
            equal += bool(same and not missing & clear)
            lost += len(missing)
            if not same:
                gain = sum(one.score for one in here) - sum(scores)
                nearer, farther = nearer + (gain > 0), farther + (gain < 0)
        found[plan or "default"] = {
            "questions": len(asked), "equal": equal, "lost": lost, "copy_nearer": nearer,
            "copy_farther": farther,
        }  # fmt: skip
    return found


def measure(server: Any, work: Path, encoder: Any) -> dict[str, Any]:
    """Pull it, and compare."""
    from qdrant_static import EdgeClient
    from qdrant_static.shipping.pull import pull

    with tempfile.TemporaryDirectory(dir=work) as folder, EdgeClient(folder) as local:
        report = pull(server, NAME, local)
        before = sorted(path.name for path in Path(folder).glob(f"{NAME}/shards/*/segments/*"))
        asked = questions(work)
        opened = time.perf_counter()
        plans = compared(server, local, encoder, asked)
        comparing_s = time.perf_counter() - opened
        rebuilt = local.optimize(NAME)
        after = sorted(path.name for path in Path(folder).glob(f"{NAME}/shards/*/segments/*"))
        ids = random.Random(SEED).sample(range(report.points), 300)  # noqa: S311
        local.set_payload(NAME, {"edited": True}, points=ids)
        edited = sum(bool(one.payload.get("edited")) for one in local.retrieve(NAME, ids))
        return {
            "seconds": report.seconds,
            "points": report.points,
            "bytes": report.bytes,
            "shards": len(report.shards),
            "segments": report.segments,
            "points_lost": int(server.count(NAME, exact=True).count) - report.points,
            "edits_lost": len(ids) - edited,
            "rebuilt": rebuilt or before != after,
            "plans": plans,
            "comparing_s": comparing_s,
        }


def table(report: dict[str, Any]) -> str:
    """For people."""
    found = report["pull"]
    lines = [
        f"{found['points']:,} points, {found['bytes'] / 1e6:,.0f} MB in {found['seconds']:.1f} s; "
        f"points lost {found['points_lost']}, edits lost {found['edits_lost']}, "
        f"rebuilt: {'yes' if found['rebuilt'] else 'no'}"
    ]
    lines += [
        f"{plan:8} {one['equal']:4} of {one['questions']} equal, {one['lost']} hits lost; "
        f"of the others the copy found nearer points {one['copy_nearer']} times, farther ones "
        f"{one['copy_farther']} times"
        for plan, one in found["plans"].items()
    ]
    return "\n".join(lines)


def main() -> None:
    """Fill, pull, compare, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--url", default=os.environ.get("QDRANT_URL"), help="[QDRANT_URL]")
    parser.add_argument("--grpc-port", type=int, help="[the URL's, and one]")
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--shards", type=int, default=1)
    parser.add_argument("--work", type=Path, help="where the input is kept between runs")
    parser.add_argument("--json", type=Path, help="a file for all figures")
    asked = parser.parse_args()
    if not asked.url:
        parser.error("--url, or QDRANT_URL")
    from qdrant_static import load_encoder

    work = asked.work or Path(tempfile.mkdtemp(prefix="pull-"))
    if not (work / "passages.parquet").exists():
        prepare(work, asked.rows, None)
    encoder = load_encoder(str(work / "model"))
    encoder.compile_kernels()  # type: ignore[attr-defined]
    server = client_of(asked.url, asked.grpc_port)
    try:
        fill(server, work, encoder, asked.shards)
        report = {
            "machine": {"cores": os.cpu_count(), "system": platform.platform()},
            "versions": {
                "server": server.info().version,
                **{name: version(name) for name in ("qdrant-client", "qdrant-edge-py")},
            },
            "rows": asked.rows,
            "pull": measure(server, work, encoder),
        }
    finally:
        server.delete_collection(NAME)
    print(table(report))
    if asked.json:
        asked.json.write_text(json.dumps(report, indent=2) + "\n")
    if asked.work is None:
        shutil.rmtree(work)


if __name__ == "__main__":
    main()
