"""How fast a transformer in ONNX encodes texts of mixed lengths, by token budgets or fixed batches.

    python benchmarks/onnx_encode.py --model onnx:FOLDER --data SCIFACT [--rows 600] [--json FILE]
    python benchmarks/onnx_encode.py --make-float INT8_FOLDER FOLDER

Limits, first: one machine; every contender runs in a fresh process, on the same texts, once to warm
up and then ``--passes`` times, and the best pass counts. Other load slows passes down, so that the
table has the time of the processor too, in which the model's arithmetic is nearly all. "mixed" is
titles, single sentences and whole abstracts of SciFact, shuffled, in the numbers that a document
has of each; "abstracts" are of similar lengths, where sorting gains little.

Fixed batches are padded to their longest text, in the order given, as the libraries do: once with
one run at a time over all threads of ONNX Runtime, once with our one thread a run.

A model with dynamic quantization runs one text at a time in `OnnxEncoder`. ``--make-float`` writes
the same model with float32 weights, which is deterministic: there, vectors of all contenders must
be equal to 1e-5 (``difference``). It needs the package ``onnx``, in any environment.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

FIXED = 32
VERSIONS = ("onnxruntime", "tokenizers", "numpy", "qdrant-static")
ONE_RUN, OUR_RUNS = "batches of 32, runtime's threads", "batches of 32, a thread each"
ALONE, OURS = "one text at a time", "sorted, token budget"
CONTENDERS = (ONE_RUN, OUR_RUNS, ALONE, OURS)
Encode = Callable[[list[str]], Any]


def main() -> None:
    """Run every contender on both corpora and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", help="the model's name for load_encoder, onnx:...")
    parser.add_argument("--data", type=Path, help="SciFact: a folder with corpus.jsonl")
    parser.add_argument("--rows", type=int, default=600)
    parser.add_argument("--passes", type=int, default=3)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--make-float", nargs=2, type=Path, metavar=("FROM", "TO"))
    parser.add_argument("--job", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.make_float:
        make_float(*options.make_float)
        return
    if options.job:
        print(json.dumps(timed(json.loads(options.job))))
        return
    if not (options.model and options.data):
        parser.error("--model and --data are needed")
    report = {
        "python": platform.python_version(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {options.threads} threads",
        "versions": {name: importlib.metadata.version(name) for name in VERSIONS},
        "model": options.model,
        "rows": options.rows,
        "results": {},
    }
    print(json.dumps({key: report[key] for key in ("python", "machine", "versions", "model")}))
    for corpus in ("mixed", "abstracts"):
        results = report["results"][corpus] = {}
        for name in CONTENDERS:
            task = {
                "contender": name, "model": options.model, "data": str(options.data),
                "corpus": corpus, "rows": options.rows, "passes": options.passes,
                "threads": options.threads,
            }  # fmt: skip
            results[name] = found = run(task)
            print(f"{corpus:10} {name:34} {line(found, results[ONE_RUN])}", flush=True)
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n")


def line(found: dict[str, Any], base: dict[str, Any]) -> str:
    """Return a row of the table."""
    return (
        f"{found['rate']:7.1f} texts/s {found['rate'] / base['rate']:5.2f}x   "
        f"{found['cpu_ms']:6.2f} ms of processor a text {base['cpu_ms'] / found['cpu_ms']:5.2f}x   "
        f"padding {found['padding']:.0%}   difference {found['difference']:.1e}"
    )


def run(task: dict[str, Any]) -> dict[str, Any]:
    """Run one contender in a fresh process."""
    command = [sys.executable, __file__, "--job", json.dumps(task)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def texts_of(folder: Path, corpus: str, rows: int) -> list[str]:
    """Return texts of SciFact: abstracts, or the parts of documents, shuffled."""
    dice = random.Random(0)  # noqa: S311
    lines = (folder / "corpus.jsonl").read_text(encoding="utf-8").splitlines()
    dice.shuffle(lines)
    documents = [(row.get("title", ""), row["text"]) for row in map(json.loads, lines)]
    if corpus == "abstracts":
        return [f"{title} {text}" for title, text in documents[:rows]]
    found: list[str] = []
    for title, text in documents:
        found += [title, f"{title} {text}", *text.split(". ")]
        if len(found) >= rows:
            break
    dice.shuffle(found)
    return found[:rows]


def timed(task: dict[str, Any]) -> dict[str, Any]:
    """Time one contender, and compare its vectors with those of texts alone."""
    from qdrant_static.encoders.onnx import load_onnx
    from qdrant_static.encoders.tokenbatches import token_batches

    texts = texts_of(Path(task["data"]), task["corpus"], task["rows"])
    threads, name = task["threads"], task["contender"]
    encoder = load_onnx(task["model"], threads=threads)
    lengths = [len(one.ids) for one in encoder.tokenizer.encode_batch_fast(texts)]
    if name == ONE_RUN:
        encode, parts = fixed(task["model"], threads), chunks(len(texts))
    elif name == OUR_RUNS:
        encode, parts = fixed(task["model"], threads, ours=True), chunks(len(texts))
    elif name == ALONE:
        encode = load_onnx(task["model"], threads=threads, token_budget=1).encode
        parts = [[row] for row in range(len(texts))]
    else:
        encode = encoder.encode
        parts = [list(one) for one in token_batches(lengths, encoder._budget)]
    positions = sum(len(part) * max(lengths[row] for row in part) for part in parts)
    walls, busy = [], []
    for _ in range(task["passes"] + 1):
        wall, used = time.perf_counter(), time.process_time()
        vectors = encode(texts)
        walls.append(time.perf_counter() - wall)
        busy.append(time.process_time() - used)
    some = range(0, len(texts), max(1, len(texts) // 40))
    alone = np.vstack([encoder.encode([texts[row]]) for row in some])
    return {
        "rate": len(texts) / min(walls[1:]),
        "cpu_ms": 1000 * min(busy[1:]) / len(texts),
        "padding": 1 - sum(lengths) / positions,
        "difference": float(np.abs(vectors[list(some)] - alone).max()),
    }


def chunks(count: int) -> list[list[int]]:
    """Return rows in batches of 32, in the order given."""
    return [list(range(start, min(start + FIXED, count))) for start in range(0, count, FIXED)]


def fixed(model: str, threads: int, *, ours: bool = False) -> Encode:
    """Return an encoder that pads batches of 32 texts in the order given.

    Args:
        model: The model's name.
        threads: In one run of the runtime, or of as many runs.
        ours: Whether each batch runs in one thread.
    """
    from qdrant_static.encoders.onnx import load_onnx
    from qdrant_static.encoders.onnxsettings import read_settings
    from qdrant_static.encoders.threads import map_blocks

    encoder = load_onnx(model, threads=threads)
    if not ours:
        import onnxruntime

        _, folder, settings = read_settings(model)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        encoder._model._session = onnxruntime.InferenceSession(
            str(folder / settings.model), options, providers=["CPUExecutionProvider"]
        )

    def encode(texts: list[str]) -> Any:
        def part(rows: list[int]) -> Any:
            ids = [one.ids for one in encoder.tokenizer.encode_batch_fast([texts[i] for i in rows])]
            return encoder._run(ids, np.arange(len(rows)))

        return np.vstack(map_blocks(part, chunks(len(texts)), threads if ours else 1))

    return encode


def make_float(source: Path, target: Path) -> None:
    """Write an int8 model with dynamic quantization as one with float32 weights."""
    import onnx

    model = onnx.load(source / "model.onnx")
    dequantize(model.graph)
    prune(model.graph)
    target.mkdir(parents=True)
    onnx.save(model, target / "model.onnx")
    for name in ("tokenizer.json", "encoder.toml"):
        if (source / name).exists():
            shutil.copyfile(source / name, target / name)
    print(f"{target}: say in encoder.toml how vectors are pooled, if it is not there")


def dequantize(graph: Any) -> None:
    """Replace ``MatMulInteger(quantized x, W) -> Cast -> Mul(scales)`` by ``MatMul(x, W)``."""
    from onnx import helper, numpy_helper

    weights = {one.name: one for one in graph.initializer}
    made = {name: node for node in graph.node for name in node.output}
    users = {name: node for node in graph.node for name in node.input}
    for node in [one for one in graph.node if one.op_type == "MatMulInteger"]:
        scaled = users[users[node.output[0]].output[0]]
        stem = node.input[1].removesuffix("_quantized")
        whole, scale, zero = (
            numpy_helper.to_array(weights[name]).astype(np.float32)
            for name in (node.input[1], f"{stem}_scale", node.input[3])
        )
        name = f"{stem}_float"
        graph.initializer.append(numpy_helper.from_array((whole - zero) * scale, name))
        given = made[node.input[0]].input[0]
        at = list(graph.node).index(scaled)
        graph.node.remove(scaled)
        graph.node.insert(at, helper.make_node("MatMul", [given, name], list(scaled.output)))


def prune(graph: Any) -> None:
    """Remove the nodes and weights that no output needs."""
    wanted = {one.name for one in graph.output}
    for node in reversed(list(graph.node)):
        if wanted & set(node.output):
            wanted |= set(node.input)
        else:
            graph.node.remove(node)
    for one in [one for one in graph.initializer if one.name not in wanted]:
        graph.initializer.remove(one)


if __name__ == "__main__":
    main()
