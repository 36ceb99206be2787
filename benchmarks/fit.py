"""Fitting a table to 50,000 sentences of 384 dimensions, beside the same loss in PyTorch.

    python benchmarks/fit.py [--texts 50000] [--dimension 384] [--torch PYTHON] [--json FILE]

Limits, first: the targets are those of a hidden table with noise, so that times are real and
quality is not. The sentences are those of ../shared/data/scifact where it is there, with the
tokenizer of ../shared/models/bge-small-en-v1.5-q, else drawn from a Zipf vocabulary. PyTorch runs
in an environment of its own, whose Python is named by --torch or TORCH_PYTHON: EmbeddingBag, the
same batches, loss and learning rates, as `fit_torch.py` shows; its Adam changes every row in every
step, SparseAdam those of the batch. Ours is the whole fit: ridge regression, the choice of its
penalty, and Adam; PyTorch's is Adam alone. Compiling kernels is not in the times.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared"
TOKENS = 30_522
VERSIONS = ("numpy", "scipy", "numba")


def main() -> None:
    """Run every contender and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--texts", type=int, default=50_000)
    parser.add_argument("--dimension", type=int, default=384)
    parser.add_argument("--epochs", type=int, default=None, help="instead of the default")
    parser.add_argument("--torch", default=os.environ.get("TORCH_PYTHON"), help="a Python")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--contender", help=argparse.SUPPRESS)
    parser.add_argument("--data", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.contender:
        print(json.dumps(measure(options.contender, options.data)))
        return
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "fit.npz"
        source = write_data(data, options.texts, options.dimension, options.epochs)
        results = [alone([sys.executable, __file__], f"ours, {n}", data) for n in ("1", "2")]
        if options.torch:
            script = [options.torch, str(Path(__file__).with_name("fit_torch.py"))]
            results += [alone(script, f"torch, {kind}", data) for kind in ("Adam", "SparseAdam")]
        else:
            print("PyTorch is left out: name a Python that has it (--torch, TORCH_PYTHON)")
    report = {
        "texts": options.texts,
        "dimension": options.dimension,
        "source": source,
        "python": platform.python_version(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "versions": {name: version(name) for name in VERSIONS},
        "results": results,
    }
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps({key: value for key, value in report.items() if key != "results"}))
    base = results[1]["seconds"]
    print(f"{'contender':18} {'whole':>8} {'of ours':>8} {'a batch':>9} {'cosine':>7}")
    for one in results:
        print(
            f"{one['contender']:18} {one['seconds']:6.1f} s {one['seconds'] / base:7.1f}x "
            f"{one['step_s'] * 1000:6.1f} ms {one['cosine']:7.4f}"
        )


def alone(command: list[str], contender: str, data: Path) -> dict[str, Any]:
    """Run one contender in a process of its own."""
    done = subprocess.run(
        [*command, "--contender", contender, "--data", str(data)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{contender} failed:\n{done.stderr}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def measure(contender: str, data: Path) -> dict[str, Any]:
    """Time our fit in this process."""
    from qdrant_static.training.fit import fit_table
    from qdrant_static.training.fitsettings import FitSettings

    held = np.load(data)
    shape = (len(held["ends"]) - 1, len(held["prior"]))
    counts = sp.csr_array((held["shares"], held["indices"], held["ends"]), shape=shape)
    settings = FitSettings(epochs=int(held["epochs"]), patience=1000)
    threads = int(contender.split(", ")[1])
    few = slice(0, 500)
    short = FitSettings(epochs=1)
    fit_table(counts[few], held["targets"][few], held["prior"], settings=short, threads=threads)
    begin = time.perf_counter()
    fit = fit_table(counts, held["targets"], held["prior"], settings=settings, threads=threads)
    seconds = time.perf_counter() - begin
    return {
        "contender": contender,
        "seconds": seconds,
        "step_s": fit.seconds_per_step,
        "cosine": cosine(counts @ fit.table, held["targets"]),
    }


def cosine(sums: np.ndarray, targets: np.ndarray) -> float:
    """Return the mean cosine of rows."""
    lengths = np.linalg.norm(sums, axis=1) * np.linalg.norm(targets, axis=1)
    return float((np.einsum("ij,ij->i", sums, targets) / np.maximum(lengths, 1e-9)).mean())


def write_data(path: Path, texts: int, dimension: int, epochs: int | None) -> str:
    """Write counts, targets and a prior; return where the texts come from."""
    from qdrant_static.training.fitsettings import FitSettings

    rng = np.random.default_rng(1)
    counts, source = sentences(texts)
    table = rng.standard_normal((counts.shape[1], dimension)).astype(np.float32)
    targets = counts @ table
    targets += 0.3 * targets.std() * rng.standard_normal(targets.shape, np.float32)
    targets /= np.linalg.norm(targets, axis=1, keepdims=True)
    prior = table + 2 * rng.standard_normal(table.shape, np.float32)
    settings = FitSettings()
    np.savez(
        path,
        ends=counts.indptr,
        indices=counts.indices,
        shares=counts.data,
        targets=targets,
        prior=prior,
        epochs=settings.epochs if epochs is None else epochs,
        batch=settings.batch,
        rate=settings.learning_rate,
        temperature=settings.weights.kl_temperature,
        kl=settings.weights.kl,
        cosine=settings.weights.cosine,
    )
    return source


def sentences(texts: int) -> tuple[sp.csr_array, str]:
    """Return the counts of sentences, and where they come from."""
    corpus = SHARED / "data" / "scifact" / "corpus.jsonl"
    tokenizer = SHARED / "models" / "bge-small-en-v1.5-q" / "tokenizer.json"
    rng = np.random.default_rng(2)
    if corpus.exists() and tokenizer.exists():
        from tokenizers import Tokenizer

        from qdrant_static.training.tablemodel import TableModel

        rows = [json.loads(line)["text"] for line in corpus.read_text().splitlines()]
        cut = [one for row in rows for one in re.split(r"(?<=[.!?])\s+", row) if len(one) > 20]
        real = Tokenizer.from_file(str(tokenizer))
        model = TableModel(
            table=np.zeros((real.get_vocab_size(), 1), np.float32),
            tokenizer=real,
            parent="none",
            parent_fingerprint="none",
        )
        while len(cut) < texts:
            cut += cut
        return model.counts(cut[:texts]), "sentences of SciFact"
    chances = 1 / np.arange(1, TOKENS + 1)
    lengths = rng.integers(5, 45, texts)
    ids = rng.choice(TOKENS, int(lengths.sum()), p=chances / chances.sum()).astype(np.int32)
    shares = np.repeat(1 / lengths, lengths).astype(np.float32)
    ends = np.concatenate([[0], np.cumsum(lengths)])
    counts = sp.csr_array((shares, ids, ends), shape=(texts, TOKENS))
    counts.sum_duplicates()
    return counts, "words drawn from a Zipf vocabulary"


if __name__ == "__main__":
    main()
