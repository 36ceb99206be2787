"""How fast static encoders turn text into vectors.

    python benchmarks/encode.py --model MODEL --data SCIFACT [--json FILE] [--passes 5] [--quick]

Every contender runs in a fresh process, on the same texts, once to warm up and then ``--passes``
times; the best pass counts (other load on the machine only ever slows a pass down, but ratios of
contenders that ran at different times still suffer: repeat on a quiet machine). Limits: the
WordPiece tables hold random weights behind a real vocabulary, since speed depends on the words, not
on the values; memory figures are Linux's.
"""

from __future__ import annotations

import argparse
import ast
import importlib.metadata
import importlib.util
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

QUERY = "what is the effect of vitamin d on bone density"
PACKAGES = ("qdrant-static", "model2vec", "tokenizers", "numba", "numpy", "wordllama", "fastembed",
            "sentence-transformers", "pyarrow")  # fmt: skip
PASSAGE = 1400
PASSAGES = 20_000
Encode = Callable[[list[str]], Any]


class Ours:
    """This package."""

    name = "qdrant-static"

    @staticmethod
    def load(table: Path) -> Any:
        """Load a model."""
        from qdrant_static.encoders.loading import from_model2vec, load_wordllama

        encoder = load_wordllama() if table.name == "wordllama" else from_model2vec(table)
        encoder.compile_kernels()
        return encoder

    @staticmethod
    def encode(model: Any, threads: int) -> Encode:
        """Return the function that is timed."""
        return lambda texts: model.encode(texts, threads=threads)


class Model2Vec:
    """MinishLab's library."""

    name = "model2vec"

    @staticmethod
    def load(table: Path) -> Any:
        """Load a model."""
        from model2vec import StaticModel

        return StaticModel.from_pretrained(table)

    @staticmethod
    def encode(model: Any, threads: int) -> Encode:
        """Return the function that is timed."""
        return lambda texts: model.encode(texts, use_multiprocessing=threads > 1)


class SentenceTransformers:
    """The library that defines the StaticEmbedding format."""

    name = "sentence-transformers"

    @staticmethod
    def load(table: Path) -> Any:
        """Load a model."""
        from sentence_transformers import SentenceTransformer

        return SentenceTransformer(str(table), device="cpu")

    @staticmethod
    def encode(model: Any, threads: int) -> Encode:
        """Return the function that is timed."""
        import torch

        torch.set_num_threads(threads)
        return lambda texts: model.encode(texts, batch_size=1024)


class FastEmbed:
    """Qdrant's library: its code for potion models, with a folder of ours."""

    name = "fastembed"

    @staticmethod
    def load(table: Path) -> Any:
        """Load a model."""
        from fastembed.text.static_embedding import StaticTextEmbedding

        return StaticTextEmbedding("minishlab/potion-base-8M", specific_model_path=str(table))

    @staticmethod
    def encode(model: Any, threads: int) -> Encode:
        """Return the function that is timed."""
        return lambda texts: np.array(list(model.embed(texts)))


class WordLlama:
    """WordLlama's own inference, from the files in its package."""

    name = "wordllama"

    @staticmethod
    def load(table: Path) -> Any:
        """Load the model."""
        from safetensors.numpy import load_file
        from tokenizers import Tokenizer
        from wordllama.inference import WordLlamaInference

        origin = importlib.util.find_spec("wordllama")
        folder = Path(str(origin.origin)).parent if origin else Path()
        weights = load_file(folder / "weights" / "l2_supercat_256.safetensors")
        tokenizer = Tokenizer.from_file(
            str(folder / "tokenizers" / "l2_supercat_tokenizer_config.json")
        )
        return WordLlamaInference(next(iter(weights.values())), tokenizer)

    @staticmethod
    def encode(model: Any, threads: int) -> Encode:
        """Return the function that is timed."""
        return lambda texts: model.embed(texts, norm=True)


CONTENDERS: dict[str, Any] = {
    c.name: c for c in (Ours, Model2Vec, SentenceTransformers, FastEmbed, WordLlama)
}
MODULES = {"qdrant-static": "qdrant_static", "sentence-transformers": "sentence_transformers"}


def docstrings() -> Iterator[str]:
    """Yield docstrings of the installed packages, in a fixed order."""
    for folder in sorted({Path(p) for p in sys.path if p.endswith("site-packages")}):
        for path in sorted(folder.rglob("*.py"))[::7]:
            try:
                tree = ast.parse(path.read_text())
            except (SyntaxError, ValueError, RecursionError):
                continue
            for node in ast.walk(tree):
                if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module):
                    text = ast.get_docstring(node)
                    if text and len(text) > 200:
                        yield text


def documentation(count: int) -> list[str]:
    """Return passages of about ``PASSAGE`` characters, repeated to ``count``."""
    passages, size, parts = [], 0, []
    for text in docstrings():
        parts.append(text)
        size += len(text)
        if size >= PASSAGE:
            passages.append("\n".join(parts)[: 2 * PASSAGE])
            size, parts = 0, []
        if len(passages) == 4000:
            break
    return (passages * (count // len(passages) + 1))[:count]


def scifact(folder: Path) -> list[str]:
    """Return title and text of SciFact's corpus."""
    lines = (folder / "corpus.jsonl").read_text().splitlines()
    return [f"{row.get('title', '')} {row['text']}" for row in map(json.loads, lines)]


def save_arrow(texts: list[str], path: Path) -> None:
    """Write texts as an Arrow file."""
    import pyarrow as pa

    table = pa.table({"text": pa.array(texts)})
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)


def make_table(folder: Path, model: Path, dim: int) -> None:
    """Write a model2vec model with the tokenizer of ``model`` and random weights."""
    from safetensors.numpy import save_file
    from tokenizers import Tokenizer

    folder.mkdir()
    tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
    tokenizer.save(str(folder / "tokenizer.json"))
    rng = np.random.default_rng(0)
    weights = rng.standard_normal((tokenizer.get_vocab_size(), dim), dtype=np.float32)
    save_file({"embeddings": weights}, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"normalize": True, "model_type": "model2vec"}))
    modules = [
        {"idx": 0, "name": "0", "path": ".", "type": "sentence_transformers.models.StaticEmbedding"}
    ]
    (folder / "modules.json").write_text(json.dumps(modules))


def timed(task: dict[str, Any]) -> dict[str, Any]:
    """Time one contender; runs in its own process."""
    texts = json.loads(Path(task["texts"]).read_text())
    contender = CONTENDERS[task["contender"]]
    encode = contender.encode(contender.load(Path(task["table"])), task["threads"])
    seconds = []
    for _ in range(task["passes"] + 1):
        start = time.perf_counter()
        encode(texts)
        seconds.append(time.perf_counter() - start)
    return {"first": len(texts) / seconds[0], "rate": len(texts) / min(seconds[1:])}


def queries(task: dict[str, Any]) -> dict[str, Any]:
    """Time single queries."""
    contender = CONTENDERS[task["contender"]]
    encode = contender.encode(contender.load(Path(task["table"])), 1)
    seconds = []
    for _ in range(5000):
        start = time.perf_counter()
        encode([QUERY])
        seconds.append(time.perf_counter() - start)
    quantiles = statistics.quantiles(seconds, n=100)
    return {"p50_us": quantiles[49] * 1e6, "p99_us": quantiles[98] * 1e6}


def cold_queries(task: dict[str, Any]) -> dict[str, Any]:
    """Time our queries while Numba is not loaded."""
    from qdrant_static.encoders.loading import from_model2vec

    encoder = from_model2vec(Path(task["table"]))
    seconds = []
    for _ in range(5000):
        start = time.perf_counter()
        encoder.encode([QUERY])
        seconds.append(time.perf_counter() - start)
    quantiles = statistics.quantiles(seconds, n=100)
    loaded = "numba" in sys.modules
    return {
        "p50_us": quantiles[49] * 1e6,
        "p99_us": quantiles[98] * 1e6,
        "first_us": seconds[0] * 1e6,
        "numba": loaded,
    }


def differences(task: dict[str, Any]) -> dict[str, Any]:
    """Count the rows in which our token ids are not the tokenizer's."""
    texts = json.loads(Path(task["texts"]).read_text())
    encoder = Ours.load(Path(task["table"]))
    rules, tokenizer = encoder._tokens.plain.rules, encoder._tokens.plain.tokenizer
    ids, pointers = encoder.tokenize(texts)
    wrong = 0
    for start in range(0, len(texts), 1000):
        cut = [text[: rules.max_characters] for text in texts[start : start + 1000]]
        for row, encoding in enumerate(
            tokenizer.encode_batch_fast(cut, add_special_tokens=False), start
        ):
            right, _ = rules.apply(np.array(encoding.ids, np.int32))
            wrong += not np.array_equal(ids[pointers[row] : pointers[row + 1]], right)
    return {"rows": len(texts), "wrong": wrong}


def memory(task: dict[str, Any]) -> dict[str, Any]:
    """Measure the memory beyond table, input and output for a million rows."""
    import pyarrow as pa

    # From an Arrow file: a list of str, freed again, would leave the process memory to hide in.
    with pa.OSFile(task["texts"]) as file:
        part = pa.ipc.open_file(file).read_all()["text"].combine_chunks()
    rows = pa.chunked_array([part] * -(-task["rows"] // len(part))).slice(0, task["rows"])
    encoder = Ours.load(Path(task["table"]))
    encoder._table.table.sum()
    before = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    high = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    start = time.perf_counter()
    out = encoder.encode(rows, threads=task["threads"])
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    extra = (peak - before - out.nbytes) / 1e6
    return {"rows": len(out), "extra_mb": extra, "rate": len(out) / seconds,
            "peak_was_before": peak == high}  # fmt: skip


JOBS = {
    "timed": timed,
    "queries": queries,
    "cold_queries": cold_queries,
    "differences": differences,
    "memory": memory,
}


def run(job: str, threads: int = 1, **task: Any) -> dict[str, Any]:
    """Run a job in a fresh process."""
    environment = os.environ | {"TOKENIZERS_PARALLELISM": "true" if threads > 1 else "false"}
    environment |= {"RAYON_NUM_THREADS": str(threads), "OMP_NUM_THREADS": str(threads)}
    command = [
        sys.executable,
        __file__,
        "--job",
        json.dumps({"job": job, "threads": threads, **task}),
    ]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        return {"error": done.stderr.strip().splitlines()[-1] if done.stderr else "no output"}
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def installed(package: str) -> str | None:
    """Return a package's version, or None."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def show(line: str) -> None:
    """Print at once."""
    print(line, flush=True)


def compare(
    tables: dict[str, Path], corpora: dict[str, Path], cores: int, passes: int
) -> list[dict[str, Any]]:
    """Time every contender on every table, corpus and number of threads."""
    results = []
    for table, folder in tables.items():
        names = (
            ["qdrant-static", "wordllama"]
            if table == "wordllama"
            else [n for n in CONTENDERS if n != "wordllama"]
        )
        for corpus, texts in corpora.items():
            for threads in sorted({1, cores}):
                base = None
                for name in sorted(names, key="qdrant-static".__eq__):
                    if importlib.util.find_spec(MODULES.get(name, name)) is None:
                        show(f"  skipped: {name} is not installed")
                        continue
                    found = run(
                        "timed",
                        threads,
                        contender=name,
                        table=str(folder),
                        texts=str(texts),
                        passes=passes,
                    )
                    results.append(
                        {
                            "table": table,
                            "corpus": corpus,
                            "threads": threads,
                            "contender": name,
                            **found,
                        }
                    )
                    if "error" in found:
                        show(f"  skipped: {name} failed: {found['error']}")
                        continue
                    if name in ("model2vec", "wordllama"):
                        base = found["rate"]
                    ratio = (
                        f"{found['rate'] / base:6.1f}x {found['first'] / base:6.1f}x first"
                        if base
                        else ""
                    )
                    show(
                        f"{table:10} {corpus:8} {threads} thr {name:22} "
                        f"{found['rate']:10,.0f} texts/s {ratio}"
                    )
    return results


def main() -> None:
    """Run the benchmark, or one job of it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", type=Path, help="folder with a WordPiece tokenizer.json")
    parser.add_argument("--data", type=Path, help="SciFact's folder, with corpus.jsonl")
    parser.add_argument("--json", type=Path, help="write the results here")
    parser.add_argument("--passes", type=int, default=5)
    parser.add_argument(
        "--quick", action="store_true", help="2,000 texts, 2 passes, 100,000 rows for memory"
    )
    parser.add_argument("--job", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.job:
        task = json.loads(options.job)
        print(json.dumps(JOBS[task.pop("job")](task)))
        return
    if options.model is None:
        parser.error("--model is required")
    versions = {p: v for p in PACKAGES if (v := installed(p))} | {
        "python": platform.python_version()
    }
    cores = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    show(
        f"{platform.machine()}, {cores} cores; "
        + ", ".join(f"{p} {v}" for p, v in versions.items())
    )
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        tables = {f"wp-{dim}": root / f"wp-{dim}" for dim in (256, 1024)}
        for name, folder in tables.items():
            make_table(folder, options.model, int(name.split("-")[1]))
        texts = {"docs": documentation(2000 if options.quick else PASSAGES)}
        if options.data:
            texts["scifact"] = scifact(options.data)[: 2000 if options.quick else None]
        corpora = {}
        for name, rows in texts.items():
            corpora[name] = root / f"{name}.json"
            corpora[name].write_text(json.dumps(rows))
            share = sum(not row.isascii() for row in rows) / len(rows)
            show(
                f"corpus {name}: {len(rows)} texts, "
                f"{statistics.mean(map(len, rows)):.0f} characters, {share:.1%} not ASCII"
            )
        both = tables | ({"wordllama": root / "wordllama"} if installed("wordllama") else {})
        first = {"table": str(tables["wp-256"]), "contender": "qdrant-static"}
        report: dict[str, Any] = {
            "versions": versions,
            "cores": cores,
            "cpu": platform.processor(),
            "load_before": os.getloadavg(),
        }
        report["differences"] = {
            f"{t} {c}": run("differences", table=str(both[t]), texts=str(path))
            for t in both if t != "wp-1024" for c, path in corpora.items()
        }  # fmt: skip
        report["throughput"] = compare(both, corpora, cores, 2 if options.quick else options.passes)
        report["query"] = {
            name: run("queries", **first | {"contender": name})
            for name in ("qdrant-static", "model2vec")
        }
        report["query_before_numba"] = run("cold_queries", **first)
        save_arrow(texts["docs"], root / "docs.arrow")
        million = 100_000 if options.quick else 1_000_000
        report["memory"] = run(
            "memory", cores, rows=million, texts=str(root / "docs.arrow"), **first
        )
        for part in ("differences", "query", "query_before_numba", "memory"):
            show(f"{part}: {json.dumps(report[part])}")
    show(
        f"load average now {os.getloadavg()[0]:.1f}: above the threads measured, rates are too low"
    )
    if options.json:
        options.json.write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
