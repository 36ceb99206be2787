"""What EdgeClient costs over the engine itself, and what the client's local mode costs.

Clustered unit vectors of 1,024 dimensions with a 1 KB payload and binary codes: write rate, time
to build the index, size on disk, query latency, recall@10 against brute force. Each contender
runs in a fresh process, from the same matrix. The local mode knows neither index nor quantization,
and is given fewer points: it takes too long otherwise.

    python benchmarks/engine.py --points 100000 --out engine.json

Limits: one machine, one process, vectors that are made up (a mixture of 1,000 clusters in 64
factors), queries
one after another.
"""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

DIM = 1024
CLUSTERS = 1000
#: What the vectors really vary in, as embeddings do: far fewer directions than dimensions.
FACTORS = 64
QUERIES = 500
TOP = 10
OVERSAMPLING = 4.0
BATCH = 256
PAYLOAD = {"title": "t" * 100, "text": "x" * 850, "year": 2024, "tags": ["a", "b", "c"]}


def matrices(points: int) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors, float32 (points, DIM), and queries near some of them (QUERIES, DIM)."""
    random = np.random.default_rng(0)
    centers = random.standard_normal((CLUSTERS, FACTORS), dtype=np.float32)
    basis = random.standard_normal((FACTORS, DIM), dtype=np.float32)
    inner = centers[random.integers(CLUSTERS, size=points)]
    inner += 0.5 * random.standard_normal(inner.shape, dtype=np.float32)
    asked = inner[random.choice(points, QUERIES, replace=False)]
    asked = asked + 0.3 * random.standard_normal(asked.shape, dtype=np.float32)
    rows, queries = inner @ basis, asked @ basis
    for matrix in (rows, queries):
        matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
    return rows, queries


def payload(number: int) -> dict[str, Any]:
    """About 1 KB of JSON, different for every point."""
    return {**PAYLOAD, "number": number}


def edge_client(folder: Path, rows: np.ndarray) -> Iterator[Any]:
    """EdgeClient, from a matrix."""
    from qdrant_client import models

    from qdrant_static import EdgeClient

    client = EdgeClient(folder, index_after_load=False)
    client.create_collection("c", models.VectorParams(
        size=DIM, distance=models.Distance.COSINE,
        quantization_config=models.BinaryQuantization(binary=models.BinaryQuantizationConfig()),
    ))  # fmt: skip
    yield "created"
    client.upload_collection(
        "c", rows, ids=range(len(rows)), payload=map(payload, range(len(rows))), batch_size=BATCH
    )
    client.flush("c")
    yield "written"
    client.optimize("c")
    yield "built"
    params = models.SearchParams(
        quantization=models.QuantizationSearchParams(rescore=True, oversampling=OVERSAMPLING)
    )

    def search(query: list[float]) -> list[int]:
        hits = client.query_points("c", query=query, limit=TOP, search_params=params).points
        return [hit.id for hit in hits]

    yield search
    client.close()


def raw_edge(folder: Path, rows: np.ndarray) -> Iterator[Any]:
    """The engine's own binding, used in the cheapest way that it offers."""
    import qdrant_edge as edge

    folder.mkdir()
    shard = edge.EdgeShard.create(str(folder), edge.EdgeConfig(vectors=edge.EdgeVectorParams(
        size=DIM, distance=edge.Distance.Cosine,
        quantization_config=edge.BinaryQuantizationConfig(),
    )))  # fmt: skip
    yield "created"
    for start in range(0, len(rows), BATCH):
        points = [
            edge.Point(number, memoryview(row), payload(number))
            for number, row in enumerate(rows[start : start + BATCH], start)
        ]
        shard.update(edge.UpdateOperation.upsert_points(points))
    shard.flush()
    yield "written"
    shard.optimize()
    shard.flush()
    yield "built"
    params = edge.SearchParams(
        quantization=edge.QuantizationSearchParams(rescore=True, oversampling=OVERSAMPLING)
    )

    def search(query: list[float]) -> list[int]:
        hits = shard.query(edge.QueryRequest(
            limit=TOP, query=edge.Query.Nearest(query), params=params, with_payload=True
        ))  # fmt: skip
        # Reading a payload makes it; whoever asks for it reads it.
        results = [(hit.id, hit.score, hit.payload) for hit in hits]
        return [number for number, _, _ in results]

    yield search
    shard.close()


def local_mode(folder: Path, rows: np.ndarray) -> Iterator[Any]:
    """QdrantClient(path=…), the client's imitation of a server."""
    import warnings

    from qdrant_client import QdrantClient, models

    warnings.simplefilter("ignore")
    client = QdrantClient(path=str(folder))
    client.create_collection("c", models.VectorParams(size=DIM, distance=models.Distance.COSINE))
    yield "created"
    client.upload_collection(
        "c", rows, ids=range(len(rows)), payload=map(payload, range(len(rows))), batch_size=BATCH
    )
    yield "written"
    yield "built"

    def search(query: list[float]) -> list[int]:
        return [hit.id for hit in client.query_points("c", query=query, limit=TOP).points]

    yield search
    client.close()


CONTENDERS: dict[str, Callable[[Path, np.ndarray], Iterator[Any]]] = {
    "edge_client": edge_client,
    "raw_edge": raw_edge,
    "local_mode": local_mode,
}


def measure(name: str, points: int, folder: Path) -> dict[str, Any]:
    """One contender, in this process."""
    rows, queries = matrices(points)
    steps = CONTENDERS[name](folder, rows)
    next(steps)
    started = time.perf_counter()
    next(steps)
    written = time.perf_counter()
    next(steps)
    built = time.perf_counter()
    search = next(steps)
    asked = queries.tolist()
    for query in asked[:50]:
        search(query)
    times, found = [], []
    for query in asked:
        start = time.perf_counter()
        hits = search(query)
        times.append(time.perf_counter() - start)
        found.append(hits)
    size = sum(file.stat().st_blocks * 512 for file in folder.rglob("*") if file.is_file())
    next(steps, None)
    wanted = np.argpartition(-(queries @ rows.T), TOP, axis=1)[:, :TOP]
    recall = np.mean(
        [len(set(a) & set(b.tolist())) / TOP for a, b in zip(found, wanted, strict=True)]
    )
    p50, p95 = np.percentile(times, [50, 95])
    return {
        "points": points,
        "write_us_per_point": round((written - started) / points * 1e6, 1),
        "points_per_s": round(points / (written - started)),
        "index_s": round(built - written, 2),
        "disk_mb": round(size / 1e6),
        "query_p50_ms": round(p50 * 1e3, 3),
        "query_p95_ms": round(p95 * 1e3, 3),
        "recall_at_10": round(float(recall), 4),
    }


def main() -> None:
    """Run every contender in a process of its own; print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--points", type=int, default=100_000)
    parser.add_argument("--local-points", type=int, default=10_000, help="for the local mode")
    parser.add_argument("--repeats", type=int, default=1, help="the best of each figure counts")
    parser.add_argument("--only", choices=sorted(CONTENDERS), action="append")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--measure", choices=sorted(CONTENDERS), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        folder = Path(tempfile.mkdtemp(prefix="engine-"))
        try:
            print(json.dumps(measure(options.measure, options.points, folder / "db")))
        finally:
            shutil.rmtree(folder)
        return
    results: dict[str, list[dict[str, Any]]] = {}
    for _ in range(options.repeats):  # in turn, so that a change of the machine's mood hits all
        for name in options.only or CONTENDERS:
            points = min(options.points, options.local_points if name == "local_mode" else 10**9)
            command = [sys.executable, __file__, "--measure", name, "--points", str(points)]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
            results.setdefault(name, []).append(json.loads(done.stdout))
    table = {name: _best(runs) for name, runs in results.items()}
    report = {
        "python": platform.python_version(),
        "qdrant-edge-py": version("qdrant-edge-py"),
        "qdrant-client": version("qdrant-client"),
        "results": table,
        "runs": results,
    }
    columns = list(next(iter(table.values())))
    print("| contender | " + " | ".join(columns) + " |")
    print("|---" * (len(columns) + 1) + "|")
    for name, row in table.items():
        print(f"| {name} | " + " | ".join(str(row[column]) for column in columns) + " |")
    if options.out:
        options.out.write_text(json.dumps(report, indent=2))


def _best(runs: list[dict[str, Any]]) -> dict[str, Any]:
    larger = {"points_per_s", "recall_at_10", "points"}
    return {key: (max if key in larger else min)(run[key] for run in runs) for key in runs[0]}


if __name__ == "__main__":
    main()
