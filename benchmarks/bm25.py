"""BM25 document vectors: ours against the engine's own function, each in a fresh process.

    python benchmarks/bm25.py [--corpus documentation|FOLDER|FILE.jsonl] [--rows N] [--json FILE]

Limits, first: wall time on this machine, best of several passes over the same text, so that caches
are as warm as they get; "first" is the first pass of a fresh encoder, learning included, kernels
compiled. The engine's function holds the GIL, which is why it has no column for two threads.
"""

from __future__ import annotations

import argparse
import gc
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
CONTENDERS = (
    "engine",
    "ours, 1 thread",
    "ours, 2 threads",
    "ours, Arrow, 1 thread",
    "ours, Arrow, 2 threads",
)
VERSIONS = ("qdrant-edge-py", "numba", "numpy", "pyarrow")
PASSES = 7


def main() -> None:
    """Run every contender and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--corpus", default="documentation")
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--contender", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.contender:
        print(json.dumps(measure(options.contender, options.corpus, options.rows)))
        return
    results = [run_alone(name, options.corpus, options.rows) for name in CONTENDERS]
    report = {
        "corpus": options.corpus,
        "python": platform.python_version(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "versions": {name: importlib.metadata.version(name) for name in VERSIONS},
        "results": results,
    }
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps({key: report[key] for key in ("corpus", "python", "machine", "versions")}))
    base = results[0]["best_s"]
    print(f"{'contender':24} {'rows/s':>9} {'MB/s':>6} {'x engine':>8} {'first':>8}")
    for result in results:
        print(
            f"{result['contender']:24} {result['rows'] / result['best_s']:9.0f} "
            f"{result['megabytes'] / result['best_s']:6.1f} {base / result['best_s']:8.2f} "
            f"{base / result['first_s']:8.2f}"
        )
    if len({result["n_values"] for result in results}) != 1:
        raise SystemExit("the contenders do not agree on the number of values")


def run_alone(name: str, corpus: str, rows: int) -> dict[str, Any]:
    """One contender in a process of its own."""
    command = [
        sys.executable,
        __file__,
        "--contender",
        name,
        "--corpus",
        corpus,
        "--rows",
        str(rows),
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def measure(name: str, corpus: str, n_rows: int) -> dict[str, Any]:
    """Time one contender in this process."""
    texts = read(corpus, n_rows)
    fresh = contender(name, texts)
    fresh()()  # compiles, or loads from the cache
    first_call = fresh()
    first, n_values = timed(first_call)
    best = min(timed(first_call)[0] for _ in range(PASSES))
    return {
        "contender": name,
        "rows": len(texts),
        "megabytes": sum(len(text.encode()) for text in texts) / 1e6,
        "first_s": first,
        "best_s": best,
        "n_values": n_values,
    }


def contender(name: str, texts: list[str]) -> Callable[[], Callable[[], int]]:
    """A factory of fresh encoders; each encodes all texts and says how many values came out."""
    if name == "engine":
        import qdrant_edge as edge

        def fresh_engine() -> Callable[[], int]:
            model = edge.Bm25(edge.Bm25Config(avg_len=150.0))
            return lambda: sum(len(model.embed_document(text).indices) for text in texts)

        return fresh_engine
    from qdrant_static.encoders.sparse import Bm25Encoder

    threads = 2 if "2 threads" in name else 1
    given: Any = texts
    if "Arrow" in name:
        import pyarrow as pa

        given = pa.array(texts, pa.large_string())

    def fresh() -> Callable[[], int]:
        encoder = Bm25Encoder(avg_len=150.0)
        return lambda: len(encoder.encode_documents(given, threads=threads).values)

    return fresh


def timed(call: Callable[[], int]) -> tuple[float, int]:
    """Seconds and result of one call."""
    gc.collect()
    start = time.perf_counter()
    result = call()
    return time.perf_counter() - start, result


def read(corpus: str, n_rows: int) -> list[str]:
    """The texts of a corpus, repeated up to ``n_rows``.

    "documentation" is the docstrings of the standard library in passages of 200 words; a JSONL
    file gives its records, a folder the passages of its text files.
    """
    if corpus.endswith(".jsonl"):
        texts = records(Path(corpus))
    elif corpus == "documentation":
        texts = passages(Path(sysconfig.get_path("stdlib")).glob("*.py"))
    else:
        texts = passages(
            path for path in Path(corpus).rglob("*") if path.suffix in (".md", ".rst", ".txt")
        )
    return (texts * (n_rows // len(texts) + 1))[: max(n_rows, len(texts))] if texts else []


def records(path: Path) -> list[str]:
    """Title and text of every line of a JSONL file."""
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [f"{line.get('title', '')} {line['text']}" for line in lines]


def passages(paths: Any) -> list[str]:
    """Passages of 200 words; line ends and indentation are kept."""
    found = []
    for path in sorted(paths):
        text = path.read_text(errors="ignore")
        parts = text.split('"""')[1::2] if path.suffix == ".py" else [text]
        words = "\n\n".join(parts).split(" ")
        found += [" ".join(words[i : i + 200]) for i in range(0, len(words), 200)]
    return found


if __name__ == "__main__":
    main()
