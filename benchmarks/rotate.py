"""What a rotation is worth: prefixes and codes of one bit, before and after, on judged sets.

    python benchmarks/rotate.py --data ../shared/data [--model wordllama ...] [--json FILE]

For each judged set, each model is rotated with the set's passages (no query and no judgement is
used), and NDCG@10 is that of an exact search by the vectors alone. Codes of one bit are the signs
of the numbers, as Qdrant's binary quantization makes them, without rescoring: "1 bit" compares
signs with signs, "query 8" signs with the query's own numbers, which 8 bits nearly keep.
``--model`` may be given several times; ``{set}`` in it stands for the set's name. Limits: small
sets of scientific English; rates are compared by processor time.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qdrant_static import load_encoder
from qdrant_static.measuring.judged import JudgedSet, read_judged
from qdrant_static.measuring.metrics import ndcg
from qdrant_static.training import rotate

SETS = ("scifact", "cranfield", "cisi", "medline")
SIZES = (256, 128, 64, 32, 16)
VARIANTS: dict[str, dict[str, Any]] = {
    "rotated": {},
    "rotated, whiten 0.75": {"whiten": 0.75},
    "for binary": {"for_": "binary"},
    "for binary, whiten 0.75": {"for_": "binary", "whiten": 0.75},
}
Vectors = NDArray[np.float32]


def passages(judged: JudgedSet) -> tuple[list[str], list[str]]:
    """Return the keys and the texts of a set's documents."""
    lines = judged.corpus.read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    return [row["_id"] for row in rows], [
        f"{row.get('title') or ''} {row['text']}".strip() for row in rows
    ]


def quality(judged: JudgedSet, keys: list[str], scores: Vectors) -> float:
    """Return the mean NDCG@10 of rankings by these scores."""
    tops = np.argsort(-scores, axis=1, kind="stable")[:, :10]
    return statistics.mean(
        ndcg([keys[row] for row in top], query.relevant)
        for query, top in zip(judged.queries, tops, strict=True)
    )


def cut(vectors: Vectors, size: int) -> Vectors:
    """Return prefixes, normalized again."""
    part = vectors[:, :size]
    return np.asarray(part / np.maximum(np.linalg.norm(part, axis=1, keepdims=True), 1e-12))


def signs(vectors: Vectors) -> Vectors:
    """Return codes of one bit as -1 and 1."""
    return np.where(vectors > 0, np.float32(1), np.float32(-1))


def figures(
    judged: JudgedSet, keys: list[str], documents: Vectors, queries: Vectors
) -> dict[str, float]:
    """Return NDCG@10 of whole vectors, of prefixes, and of codes."""
    whole = documents.shape[1]
    sizes = [whole, *(size for size in SIZES if size < whole)]
    found = {
        str(size): quality(judged, keys, cut(queries, size) @ cut(documents, size).T)
        for size in sizes
    }
    codes = signs(documents).T
    found["1 bit"] = quality(judged, keys, signs(queries) @ codes)
    found["query 8"] = quality(judged, keys, queries @ codes)
    exact = np.argsort(-(queries @ documents.T), axis=1, kind="stable")[:, :10]
    near = np.argsort(-(signs(queries) @ codes), axis=1, kind="stable")[:, :10]
    found["recall 1 bit"] = statistics.mean(
        len(set(a) & set(b)) / 10 for a, b in zip(exact.tolist(), near.tolist(), strict=True)
    )
    return found


def singular(documents: Vectors) -> NDArray[np.float64]:
    """Return the right singular vectors of the documents, uncentered: the usual rotation."""
    doubled = documents.astype(np.float64)
    return np.asarray(np.linalg.eigh(doubled.T @ doubled)[1][:, ::-1])


def measure(model: str, name: str, data: Path) -> dict[str, dict[str, float]]:
    """Return the figures of a model and its rotations on one set."""
    judged = read_judged(data / name)
    keys, texts = passages(judged)
    asked = [query.text for query in judged.queries]
    parent = load_encoder(model.replace("{set}", name))
    documents, queries = parent.encode(texts), parent.encode(asked)
    found = {"parent": figures(judged, keys, documents, queries)}
    turned = singular(documents)
    found["singular vectors"] = figures(judged, keys, documents @ turned, queries @ turned)
    with tempfile.TemporaryDirectory() as scratch:
        for number, (variant, options) in enumerate(VARIANTS.items()):
            report = rotate(parent, texts, out=Path(scratch) / str(number), **options)
            made = load_encoder(report.path)
            found[variant] = figures(judged, keys, made.encode(texts), made.encode(asked))
            found[variant]["seconds"] = report.seconds
    return found


def rates(model: str, texts: list[str], passes: int) -> dict[str, float]:
    """Return texts per second of processor time, of a model and of its rotation.

    They take turns with the parent loaded a second time, whose share says how far the figures can
    be trusted. A share is the median of the ratios of neighboring passes.
    """
    with tempfile.TemporaryDirectory() as scratch:
        parent, again = load_encoder(model), load_encoder(model)
        made = load_encoder(rotate(parent, texts, out=Path(scratch) / "model").path)

        def seconds(encode: Callable[..., Any]) -> float:
            start = time.process_time()
            encode(texts, threads=1)
            return time.process_time() - start

        contenders = (parent.encode, made.encode, again.encode)
        rounds = [[seconds(encode) for encode in contenders] for _ in range(passes + 1)][1:]
    best = [len(texts) / min(column) for column in zip(*rounds, strict=True)]
    return {
        "parent": best[0],
        "rotated": best[1],
        "share": statistics.median(row[0] / row[1] for row in rounds),
        "share_again": statistics.median(row[0] / row[2] for row in rounds),
    }


def show(model: str, rows: dict[str, dict[str, dict[str, float]]]) -> None:
    """Print the means over the sets, then each set."""
    sets = list(rows)
    columns = list(rows[sets[0]]["parent"])
    for name in ["mean", *sets]:
        print(f"\n{model}, {name}\n{'':26}" + "".join(f"{one:>13}" for one in columns))
        for variant in rows[sets[0]]:
            picked = [rows[one][variant] for one in (sets if name == "mean" else [name])]
            cells = "".join(
                f"{statistics.mean(row[column] for row in picked):13.3f}" for column in columns
            )
            print(f"{variant:26}{cells}", flush=True)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of judged sets")
    parser.add_argument("--model", action="append", help="static models [default: wordllama]")
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--passes", type=int, default=20, help="passes for the rate of encoding")
    parser.add_argument("--json", type=Path, help="write the results here")
    options = parser.parse_args()
    results: dict[str, Any] = {}
    names = options.sets.split(",")
    for model in options.model or ["wordllama"]:
        rows = {name: measure(model, name, options.data) for name in names}
        show(model, rows)
        _, texts = passages(read_judged(options.data / names[0]))
        rate = rates(model.replace("{set}", names[0]), texts, options.passes)
        print(
            f"\nencoding, one thread: parent {rate['parent']:,.0f} texts/s, rotated "
            f"{rate['rotated']:,.0f} texts/s, {rate['share']:.3f} of the parent's rate "
            f"(the parent itself, loaded again: {rate['share_again']:.3f})"
        )
        results[model] = {"ndcg@10": rows, "rate": rate}
    if options.json:
        options.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
