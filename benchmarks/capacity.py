"""The plan for 100 thousand, 10 million and 1 billion rows of 1,024-d, and its error on Edge.

    python benchmarks/capacity.py [--rows 100000] [--dimension 1024] [--json FILE]

Limits, first: the vectors are clustered at random, the payload is drawn from words, so links and
compression are not those of any real corpus. Disk is allocated blocks of the collection's folder.
Memory is what a process holds that opened the collection and searched it 50 times by each vector,
less one that did so with an empty collection of the same spec: heap, and pages of the
collection's files but for those that the plan leaves on disk, which no search needs to keep.
Linux alone tells that (/proc/self/smaps).
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[1]
COLLECTION = "measured"
SEARCHES = 50
WORDS = 20_000
LAYOUTS = (
    "full, originals in RAM",
    "full binary, originals in RAM",
    "full turbo4, originals on disk",
)


def main() -> None:
    """Print the plans, then measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--dimension", type=int, default=1024)
    parser.add_argument("--layouts", default=";".join(LAYOUTS), help="names, with ; between")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--held", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.held:
        print(held_here(Path(options.held[0]), json.loads(options.held[1])))
        return
    from qdrant_static.cli.capacity import table
    from qdrant_static.collection.capacity import Corpus
    from qdrant_static.collection.layouts import capacity
    from qdrant_static.collection.vectorspec import SparseSpec
    from qdrant_static.encoders.base import EncoderInfo

    info = EncoderInfo(name="any", dimension=options.dimension, fingerprint="any")
    for rows in (100_000, 10_000_000, 1_000_000_000):
        made = capacity(info, Corpus(rows=rows), sparse=SparseSpec())
        print(table(made, embedded=False), end="\n\n")
    corpus = Corpus(rows=options.rows, payload_bytes=520, text_bytes=500, uuids=False)
    made = capacity(info, corpus, embedded=True)
    by_name = {layout.name: layout.spec for layout in made.layouts}
    report = []
    print(f"{'on Edge':34} {'disk':>9} {'planned':>9} {'error':>6} {'memory':>9} {'planned':>9}")
    for name in options.layouts.split(";"):
        with tempfile.TemporaryDirectory() as folder:
            found = measure(Path(folder), by_name[name], corpus)
        report.append({"layout": name, **found.to_dict()})
        print(
            f"{name:34} {found.disk / 1e6:6.1f} MB {found.planned_disk / 1e6:6.1f} MB "
            f"{found.disk_error:+6.1%} {found.ram / 1e6:6.1f} MB {found.planned_ram / 1e6:6.1f} MB "
            f"{found.ram_error:+6.1%}",
            flush=True,
        )
    if options.json:
        version = importlib.metadata.version("qdrant-edge-py")
        options.json.write_text(
            json.dumps({"rows": options.rows, "qdrant-edge-py": version, "results": report}) + "\n"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What Edge takes, beside what was planned; bytes."""

    disk: int
    planned_disk: int
    ram: int
    planned_ram: int

    @property
    def disk_error(self) -> float:
        """Of the plan, relative to what is."""
        return self.planned_disk / self.disk - 1

    @property
    def ram_error(self) -> float:
        """Of the plan, relative to what is."""
        return self.planned_ram / self.ram - 1

    def to_dict(self) -> dict[str, Any]:
        """All, as JSON-like data."""
        return {name: getattr(self, name) for name in (*self.__slots__, "disk_error", "ram_error")}


def measure(folder: Path, spec: Any, corpus: Any, *, vectors: dict | None = None) -> Measured:
    """Build a collection of the corpus's size with Edge, and compare it with its plan.

    Args:
        folder: An empty folder.
        spec: A `CollectionSpec`.
        corpus: A `Corpus`; payloads and texts are made of its sizes.
        vectors: Name -> float32 (rows, size), where the clustered ones will not do.
    """
    from qdrant_static.collection.capacity import footprint
    from qdrant_static.edge.directory import bytes_on_disk

    build(folder / "empty", spec, 0, corpus, vectors)
    build(folder / "full", spec, corpus.rows, corpus, vectors)
    planned = footprint(spec, corpus, embedded=True)
    return Measured(
        disk=bytes_on_disk(folder / "full"),
        planned_disk=planned.disk,
        ram=held(folder / "full", spec) - held(folder / "empty", spec),
        planned_ram=planned.ram,
    )


def build(folder: Path, spec: Any, rows: int, corpus: Any, vectors: dict | None = None) -> None:
    """A collection with so many rows, optimized."""
    from qdrant_static import EdgeClient, create_collection

    with EdgeClient(folder) as client:
        create_collection(client, COLLECTION, spec)
        if not rows:
            return
        if vectors is None:
            vectors = {one.name: clustered(rows, one.size) for one in spec.vectors}
        columns: dict[str, Any] = {name: matrix[:rows] for name, matrix in vectors.items()}
        if spec.sparse is not None:
            columns["bm25"] = list(terms(rows, round(corpus.mean_terms)))
        payloads = None
        if corpus.payload_bytes:
            payloads = payloads_of(rows, round(corpus.payload_bytes))
        client.upload_collection(
            COLLECTION, columns, payload=payloads, ids=range(rows), batch_size=500
        )
        client.optimize(COLLECTION)
        client.flush(COLLECTION)


def clustered(rows: int, size: int) -> np.ndarray:
    """Unit vectors around a thousand centers, float32 (rows, size); the same on every call."""
    random = np.random.default_rng(size)
    centers = random.standard_normal((1000, size), dtype=np.float32)
    matrix = centers[random.integers(0, len(centers), rows)]
    matrix += 0.7 * random.standard_normal((rows, size), dtype=np.float32)
    matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
    return matrix


def terms(rows: int, per_row: int) -> Iterator[Any]:
    """Sparse vectors whose terms are as unequally common as words are."""
    from qdrant_client import models

    random = np.random.default_rng(1)
    hashes = random.choice(2**32, WORDS, replace=False)
    for _ in range(rows):
        ranks = np.minimum(random.zipf(1.3, per_row * 3), WORDS) - 1
        chosen = np.unique(ranks)[:per_row]
        weights = random.uniform(0.5, 2.0, len(chosen)).astype(np.float32)
        yield models.SparseVector(indices=hashes[chosen].tolist(), values=weights.tolist())


def payloads_of(rows: int, size: int) -> Iterator[dict[str, Any]]:
    """Payloads of so many bytes of JSON: a number, and a text of words."""
    random = np.random.default_rng(2)
    letters = np.array(list("etaoinshrdlucmfwypvbgk"))
    words = np.array(["".join(random.choice(letters, random.integers(2, 10))) for _ in range(5000)])
    frame = len(json.dumps({"number": rows, "text": ""}))
    for number in range(rows):
        picked = words[np.minimum(random.zipf(1.4, size // 4), len(words)) - 1]
        yield {"number": number, "text": " ".join(picked)[: max(0, size - frame)]}


def held(folder: Path, spec: Any) -> int:
    """Bytes that a fresh process holds which opens the collection and searches it."""
    asked = {
        "dense": {one.name: one.size for one in spec.vectors},
        "sparse": spec.sparse is not None,
        "cold": cold_files(spec),
    }
    done = subprocess.run(
        [sys.executable, __file__, "--held", str(folder), json.dumps(asked)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
    )
    return int(done.stdout.split()[-1])


def cold_files(spec: Any) -> list[str]:
    """Patterns of the files that the plan counts as cache: read when touched, not held."""
    cold = [r"/payload_storage/page_", r"/vector_storage-bm25/store/page_"]
    for one in spec.vectors:
        if one.placement == "disk":
            cold.append(rf"/vector_storage-{one.name}/(vectors|matrix|tq_vectors)")
    if spec.sparse is not None and spec.sparse.placement == "disk":
        cold.append(r"/vector_index-bm25/inverted_index")
    return cold


def held_here(folder: Path, asked: dict[str, Any]) -> int:
    """Open, search, and sum up this process's heap and pages of the collection's files."""
    from qdrant_client import models

    from qdrant_static import EdgeClient

    random = np.random.default_rng(3)
    rescored = models.SearchParams(
        quantization=models.QuantizationSearchParams(rescore=True, oversampling=4.0)
    )
    with EdgeClient(folder) as client:
        for _ in range(SEARCHES):
            for name, size in asked["dense"].items():
                query = random.standard_normal(size).astype(np.float32).tolist()
                client.query_points(
                    COLLECTION, query=query, using=name, limit=10, with_payload=False,
                    search_params=rescored,
                )  # fmt: skip
            if asked["sparse"]:
                words = models.SparseVector(indices=[1, 2, 3], values=[1.0, 1.0, 1.0])
                client.query_points(COLLECTION, query=words, using="bm25", limit=10)
        return resident(Path("/proc/self/smaps").read_text().splitlines(), folder, asked["cold"])


def resident(lines: Sequence[str], folder: Path, cold: Sequence[str]) -> int:
    """Bytes of anonymous memory, and of files under a folder that match no pattern.

    Args:
        lines: Of ``/proc/self/smaps``.
        folder: Files elsewhere (libraries) do not count.
        cold: Patterns of paths that do not count.
    """
    total, counted = 0, False
    place = str(folder.resolve())
    for line in lines:
        parts = line.split()
        if re.fullmatch(r"[0-9a-f]+-[0-9a-f]+", parts[0]):
            path = parts[5] if len(parts) > 5 else ""
            ours = path.startswith(place) and not any(re.search(one, path) for one in cold)
            counted = ours or not path.startswith("/")
        elif parts[0] == "Pss:" and counted:  # a file that is mapped twice counts once
            total += int(parts[1]) * 1024
    return total


if __name__ == "__main__":
    main()
