"""What search plans find, and what they cost.

Two tables:

    python benchmarks/plans.py quality ../shared/data --out quality.json
    python benchmarks/plans.py cascade --points 100000 --out cascade.json

``quality``: NDCG@10 of every plan on judged data sets (folders with ``corpus.jsonl``,
``queries.jsonl`` and ``qrels/test.tsv``), WordLlama-256, embedded, and whether the default hybrid
is below the better of dense and BM25 (paired sign-flip test over queries).

``cascade``: recall@10 against brute force and median time of plans over 1,024, 256 and 64
dimensions, on made-up clustered unit vectors.

Limits: one machine, one process, queries one after another; the vectors of the second table are
made up (1,000 clusters in 128 directions of falling weight, mixed over all dimensions), so that
prefixes tell about as much as their length.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import platform
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

DIM = 1024
SIZES = (256, 64)
CLUSTERS = 1000
FACTORS = 128
QUERIES = 200
TOP = 10
FLIPS = 20_000

JUDGED_PLANS: dict[str, Any] = {
    "bm25": "bm25",
    "exact": "exact",
    "dense (default)": "dense",
    "dense, no rescoring": {"kind": "dense", "rescore": False},
    "cascade 64, 256": "cascade",
    "hybrid (default)": "hybrid",
    "hybrid over a cascade": {
        "kind": "hybrid",
        "stages": [{"vector": "mrl_64", "limit": 400}, {"vector": "full"}],
    },
    "hybrid 1 : 1": {"kind": "hybrid", "sparse_weight": 1},
    "hybrid 2 : 3": {"kind": "hybrid", "dense_weight": 2, "sparse_weight": 3},
    "hybrid, feedback": {"kind": "hybrid", "feedback": 0.6},
    "dbsf 1 : 1": {"kind": "hybrid", "fusion": "dbsf", "sparse_weight": 1},
    "rrf 1 : 1": {"kind": "hybrid", "fusion": "rrf", "sparse_weight": 1},
}

#: What is asked: of which collection, by which plan. ``lean`` has a graph on 256 dimensions and
#: codes on all; ``graph`` has it on the full vector; ``plain`` too, and no codes.
CASCADES: dict[str, Any] = {
    "exact": ("lean", "exact"),
    "full, graph, no codes": ("plain", "dense"),
    "full, graph": ("graph", "dense"),
    "full, all codes": ("lean", {"kind": "dense", "vector": "full"}),
    "256 -> full (default)": ("lean", "dense"),
    "64 -> 256 -> full": ("lean", "cascade"),
    "64 -> full": (
        "lean",
        {
            "kind": "cascade",
            "stages": [{"vector": "mrl_64", "limit": 400, "rescore": False}, {"vector": "full"}],
        },
    ),
}


def ndcg(ranking: Sequence[str], relevant: dict[str, int], depth: int = TOP) -> float:
    """Järvelin and Kekäläinen, 2002, with the gain as judged."""
    gained = sum(relevant.get(key, 0) / math.log2(n + 2) for n, key in enumerate(ranking[:depth]))
    best = sorted(relevant.values(), reverse=True)[:depth]
    return gained / sum(gain / math.log2(n + 2) for n, gain in enumerate(best))


def judged(folder: Path) -> tuple[dict[str, str], dict[str, dict[str, int]]]:
    """Queries that have judgements, and those."""
    relevant: dict[str, dict[str, int]] = {}
    with (folder / "qrels" / "test.tsv").open() as file:
        for row in csv.DictReader(file, delimiter="\t"):
            if int(row["score"]) > 0:
                relevant.setdefault(row["query-id"], {})[row["corpus-id"]] = int(row["score"])
    lines = (folder / "queries.jsonl").read_text().splitlines()
    asked = {one["_id"]: one["text"] for one in map(json.loads, lines) if one["_id"] in relevant}
    return asked, relevant


def below(ours: np.ndarray, theirs: np.ndarray) -> float:
    """One-sided p that ours is no worse on average: paired sign flips."""
    differences = ours - theirs
    random = np.random.default_rng(0)
    signs = random.choice([-1.0, 1.0], (FLIPS, len(differences)))
    return float((1 + (signs @ differences <= differences.sum() + 1e-12).sum()) / (1 + FLIPS))


def quality(folder: Path, plans: dict[str, Any]) -> dict[str, np.ndarray]:
    """NDCG@10 of every query, by plan."""
    from qdrant_static import CollectionSpec, EdgeClient, ingest, load_encoder
    from qdrant_static.querying.run import Searcher

    queries, relevant = judged(folder)
    encoder = load_encoder("wordllama")
    spec = CollectionSpec.for_encoder(encoder, matryoshka=(64,))
    with tempfile.TemporaryDirectory() as place, EdgeClient(Path(place) / "db") as client:
        ingest(client, "c", folder / "corpus.jsonl", spec=spec, encoder=encoder)
        opened = Searcher(client, "c", encoder=encoder)
        found = {}
        for name, plan in plans.items():
            hits = opened.search_batch(list(queries.values()), limit=TOP, plan=plan)
            found[name] = np.array(
                [
                    ndcg([str(hit.key) for hit in one], relevant[key])
                    for key, one in zip(queries, hits, strict=True)
                ]
            )
    return found


def tell_quality(folders: Sequence[Path]) -> dict[str, Any]:
    """The first table."""
    found = {folder.name: quality(folder, JUDGED_PLANS) for folder in folders}
    print(f"{'NDCG@10':<24}" + "".join(f"{name:>11}" for name in found) + f"{'mean':>11}")
    for plan in JUDGED_PLANS:
        means = [float(one[plan].mean()) for one in found.values()]
        print(f"{plan:<24}" + "".join(f"{one:11.4f}" for one in [*means, float(np.mean(means))]))
    better = {name: max((one["exact"], one["bm25"]), key=np.mean) for name, one in found.items()}
    ratio = {n: float(one["dense (default)"].mean() / one["exact"].mean())
             for n, one in found.items()}  # fmt: skip
    gain = {n: float(one["hybrid (default)"].mean() / better[n].mean()) for n, one in found.items()}
    worse = {n: below(one["hybrid (default)"], better[n]) for n, one in found.items()}
    for what, row in (
        ("dense / exact", ratio), ("hybrid / better", gain), ("p (hybrid below)", worse),
    ):  # fmt: skip
        mean = float(np.mean(list(row.values())))
        print(f"{what:<24}" + "".join(f"{one:11.4f}" for one in [*row.values(), mean]))
    return {
        "ndcg": {n: {p: float(v.mean()) for p, v in one.items()} for n, one in found.items()},
        "dense_over_exact": ratio, "hybrid_over_better": gain, "p_hybrid_below": worse,
    }  # fmt: skip


def matrices(points: int) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors, float32 (points, DIM), and queries near some of them (QUERIES, DIM)."""
    random = np.random.default_rng(0)
    weights = (np.arange(FACTORS, dtype=np.float32) + 1) ** -0.5
    centers = random.standard_normal((CLUSTERS, FACTORS), dtype=np.float32)
    basis = weights[:, None] * random.standard_normal((FACTORS, DIM), dtype=np.float32)
    inner = centers[random.integers(CLUSTERS, size=points)]
    inner += 0.7 * random.standard_normal(inner.shape, dtype=np.float32)
    asked = inner[random.choice(points, QUERIES, replace=False)]
    asked = asked + 0.3 * random.standard_normal(asked.shape, dtype=np.float32)
    rows, queries = inner @ basis, asked @ basis
    for matrix in (rows, queries):
        matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
    return rows, queries


class Named:
    """An encoder in name alone: the vectors are there already."""

    def __init__(self, dimension: int) -> None:
        from qdrant_static import EncoderInfo

        self.info = EncoderInfo(name="made-up", dimension=dimension, fingerprint="made-up")

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Nothing is encoded here."""
        raise NotImplementedError


def built(client: Any, name: str, rows: np.ndarray, graph: str, quantization: str | None) -> Any:
    """A collection of these rows with its graph on one vector; its spec."""
    from qdrant_static import CollectionSpec, create_collection
    from qdrant_static.collection.vectorform import stored_form

    spec = CollectionSpec.for_encoder(
        Named(DIM),
        matryoshka=SIZES if quantization else (),
        quantization=quantization,
        sparse=None,
        graph=graph,
    )
    create_collection(client, name, spec)
    client.upload_collection(
        name,
        {vector.name: stored_form(rows, vector) for vector in spec.vectors},
        ids=range(len(rows)),
        batch_size=1000,
    )
    client.optimize(name)
    return spec


def tell_cascade(points: int) -> dict[str, Any]:
    """The second table."""
    from qdrant_static import EdgeClient, SearchPlan
    from qdrant_static.querying.explain import explain
    from qdrant_static.querying.run import Query, answer

    rows, asked = matrices(points)
    queries = [Query(dense=one) for one in asked]
    best = np.argsort(-(asked @ rows.T), axis=1)[:, :TOP]
    told: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as place, EdgeClient(Path(place) / "db") as client:
        specs, seconds_of = {}, {}
        for collection, graph, quantization in (
            ("lean", "mrl_256", "auto"), ("graph", "full", "auto"), ("plain", "full", None),
        ):  # fmt: skip
            started = time.perf_counter()
            specs[collection] = built(client, collection, rows, graph, quantization)
            seconds_of[collection] = time.perf_counter() - started
        for name, (collection, given) in CASCADES.items():
            spec, plan = specs[collection], SearchPlan.of(given)
            seconds, hits = [], 0
            for one, right in zip(queries, best, strict=True):
                started = time.perf_counter()
                (points_found,) = answer(client, collection, spec, plan, [one], limit=TOP)
                seconds.append(time.perf_counter() - started)
                hits += len({point.id for point in points_found} & set(right.tolist()))
            told[name] = {
                "build_s": seconds_of[collection],
                "recall": hits / (TOP * len(queries)),
                "p50_ms": float(np.median(seconds)) * 1e3,
                "bytes_read": explain(plan, spec, rows=points, limit=TOP).bytes_read,
            }
    head = f"plan, {points:,} points"
    print(f"{head:<28}{'build s':>9}{'recall@10':>10}{'p50 ms':>9}{'MB':>9}")
    for name, one in told.items():
        print(
            f"{name:<28}{one['build_s']:9.1f}{one['recall']:10.4f}{one['p50_ms']:9.2f}"
            f"{one['bytes_read'] / 1e6:9.2f}"
        )
    return told


def main() -> None:
    """Print a table, and write it as JSON where asked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path)
    which = parser.add_subparsers(dest="table", required=True)
    which.add_parser("quality").add_argument("folder", type=Path)
    which.add_parser("cascade").add_argument("--points", type=int, default=100_000)
    given = parser.parse_args()
    print({one: version(one) for one in ("qdrant-edge-py", "numpy")}, platform.machine())
    if given.table == "quality":
        folders = sorted(one.parent for one in given.folder.glob("*/corpus.jsonl"))
        if not folders:
            sys.exit(f"{given.folder} holds no data set")
        told = tell_quality(folders)
    else:
        told = tell_cascade(given.points)
    if given.out:
        given.out.write_text(json.dumps(told, indent=1))


if __name__ == "__main__":
    main()
