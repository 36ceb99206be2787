"""What `train compress` keeps of the quality of search, and what each part of SMEC adds.

    python benchmarks/smec.py ../shared/data/medline ../shared/data/cranfield --encoder wordllama
    python benchmarks/smec.py ../shared/data/cranfield --encoder onnx:FOLDER --cache vectors/
    python benchmarks/smec.py ../shared/data/cranfield --encoder wordllama --ablation --plots plots/

Judged sets in BEIR's format. The documents' vectors are compressed without a label: neither the
queries nor the judgements are read before the training has ended. With ``--unseen`` the training
sees a random half of the documents. NDCG@10 by exact search, at each size: the first dimensions
of the encoder, the rotation to the principal axes, and SMEC, with the spread (standard deviation)
over seeds.

``--ablation`` adds the parts of SMEC one after another, from raw dimensions (the paper) and from
the rotation, with the variance of the gradient (summed over angles, in the last epoch, mean over
steps), the achievement rate (mean over sizes), epochs and seconds, and sweeps the memory's size.
``--plots`` draws NDCG by size, and the variance of the gradient by epoch, as SVG.

Limits: sets of one to five thousand documents, on which the spread between seeds is about a
hundredth; dense search alone, without BM25.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from qdrant_static import load_encoder
from qdrant_static.encoders.queries import encode_queries
from qdrant_static.measuring.judged import read_judged
from qdrant_static.training import SmecSettings
from qdrant_static.training.smec.neighborhoods import TrainingVectors
from qdrant_static.training.smec.orthogonal import principal_axes
from qdrant_static.training.smec.sequence import Reduction, reduce_dimensions
from qdrant_static.training.teachervectors import TeacherVectors
from qdrant_static.vectors import normalize, truncate

SMEC = SmecSettings()
PARTS = {
    "MRL": {"sequential": False, "selection": "prefix", "memory": 0},
    "+ SMRL": {"selection": "prefix", "memory": 0},
    "+ ADS": {"memory": 0},
    "+ S-XBM (SMEC)": {},
}
MEMORIES = (500, 1_000, 2_000, 5_000)
COLORS = ("#4c72b0", "#dd8452", "#55a868", "#c44e52", "#8172b3", "#937860")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class JudgedVectors:
    """The vectors of a judged set, and the gains of its documents."""

    name: str
    documents: np.ndarray
    queries: np.ndarray
    gains: list[dict[int, float]]

    def ndcg(self, matrix: np.ndarray, size: int) -> float:
        """NDCG@10 of the first dimensions after a rotation."""
        documents = truncate(self.documents @ matrix, size)
        scores = truncate(self.queries @ matrix, size) @ documents.T
        discounts = 1 / np.log2(np.arange(2, 12))
        total = 0.0
        for row, gains in zip(scores, self.gains, strict=True):
            top = np.argsort(-row, kind="stable")[:10]
            ideal = np.sort(list(gains.values()))[::-1][:10]
            found = sum(gains.get(int(one), 0) * d for one, d in zip(top, discounts, strict=True))
            total += found / float(ideal @ discounts[: len(ideal)])
        return total / len(self.gains)


def read(folder: Path, encoder: Any, cache: str | None, vectors: str | None) -> JudgedVectors:
    """Read a judged set and encode it, or take vectors that were made before."""
    rows = [json.loads(line) for line in (folder / "corpus.jsonl").open()]
    texts = [f"{row.get('title') or ''} {row['text']}".strip() for row in rows]
    judged = read_judged(folder)
    asked = [query.text for query in judged.queries]
    if vectors is not None:
        lines = [json.loads(line) for line in (folder / "queries.jsonl").open()]
        place = {str(line["_id"]): number for number, line in enumerate(lines)}
        documents = np.load(f"{vectors}/{folder.name}_docs.npy")
        every = np.load(f"{vectors}/{folder.name}_q.npy")
        queries = every[[place[query.id] for query in judged.queries]]
    elif cache is None:
        documents, queries = encoder.encode(texts), encode_queries(encoder, asked)
    else:
        with TeacherVectors(cache, encoder) as kept:
            kept.encode(texts)
            documents = kept.vectors(texts)
        queries = encode_queries(encoder, asked)
    places = {str(row["_id"]): number for number, row in enumerate(rows)}
    gains = [
        {places[key]: gain for key, gain in query.relevant.items() if key in places}
        for query in judged.queries
    ]
    return JudgedVectors(
        name=folder.name,
        documents=normalize(documents),
        queries=normalize(queries),
        gains=gains,
    )


def training(judged: JudgedVectors, *, unseen: bool) -> TrainingVectors:
    """The documents, or a random half of them."""
    rows = judged.documents[judged.documents.any(axis=1)]
    if unseen:
        rows = rows[np.random.default_rng(1).random(len(rows)) < 0.5]
    return TrainingVectors(passages=rows)


def train(
    judged: Sequence[JudgedVectors], sizes: tuple[int, ...], settings: SmecSettings, args: Any
) -> dict[str, Any]:
    """Train on each set with each seed, and measure."""
    scores = np.zeros((args.seeds, len(judged), len(sizes)))
    reductions: list[Reduction] = []
    started = time.perf_counter()
    for seed in range(args.seeds):
        for row, one in enumerate(judged):
            made = reduce_dimensions(training(one, unseen=args.unseen), sizes, settings, seed=seed)
            reductions.append(made)
            scores[seed, row] = [one.ndcg(made.matrix, size) for size in sizes]
    steps = [step for made in reductions for step in made.steps]
    means = scores.mean(axis=1)
    return {
        "ndcg": means.mean(axis=0).tolist(),
        "spread": means.std(axis=0, ddof=1).tolist() if args.seeds > 1 else [0.0] * len(sizes),
        "by_set": {
            one.name: scores[:, row].mean(axis=0).tolist() for row, one in enumerate(judged)
        },
        "variance": float(np.mean([step.variances[-1] for step in steps])),
        "curve": [float(v) for v in steps[0].variances],
        "achievement": float(np.mean([rate for step in steps for rate in step.achievement])),
        "epochs": float(np.mean([step.epochs for step in steps])),
        "converged": float(np.mean([step.converged for step in steps])),
        "seconds": (time.perf_counter() - started) / len(reductions),
    }


def fixed(judged: Sequence[JudgedVectors], sizes: tuple[int, ...], args: Any) -> dict[str, Any]:
    """The encoder's prefixes and the rotation, which need no seed."""
    found: dict[str, Any] = {}
    for name in ("prefix", "rotation"):
        table = []
        for one in judged:
            dimension = one.documents.shape[1]
            matrix = (
                np.eye(dimension, dtype=np.float32)
                if name == "prefix"
                else principal_axes(training(one, unseen=args.unseen).passages)
            )
            table.append([one.ndcg(matrix, size) for size in sizes])
        found[name] = {
            "ndcg": np.mean(table, axis=0).tolist(),
            "spread": [0.0] * len(sizes),
            "by_set": {one.name: row for one, row in zip(judged, table, strict=True)},
        }
    return found


def show(title: str, sizes: Sequence[int], rows: dict[str, Any]) -> None:
    """Print a table."""
    print(f"\n{title}")
    print(
        f"{'':24}" + "".join(f"{size:>14}" for size in sizes) + "   achieved  variance  epochs  s"
    )
    for name, row in rows.items():
        cells = "".join(
            f"{mean:>9.4f}" + (f" ±{spread:.3f}"[:7] if spread else " " * 5).rjust(5)
            for mean, spread in zip(row["ndcg"], row["spread"], strict=True)
        )
        more = ""
        if "epochs" in row:
            more = (
                f"{row['achievement']:>9.2f} {row['variance']:>10.1e} {row['epochs']:>6.1f} "
                f"{row['seconds']:>6.1f}"
            )
        print(f"{name:24}{cells}{more}", flush=True)


def plot(file: Path, title: str, marks: Sequence[str], lines: dict[str, Sequence[float]]) -> None:
    """Draw lines over equally spaced marks, as SVG."""
    width, height, left, top = 640, 400, 70, 40
    values = [value for line in lines.values() for value in line]
    low, high = min(values), max(values)
    span = (high - low) or 1.0
    most = max(len(marks) - 1, 1)

    def place(number: int, value: float) -> tuple[float, float]:
        return left + number * 380 / most, top + (1 - (value - low) / span) * 300

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        f'<text x="{left}" y="22" font-size="15">{title}</text>',
    ]
    for number in range(5):
        value = low + span * number / 4
        x, y = place(0, value)
        parts.append(f'<line x1="{x}" y1="{y}" x2="{left + 380}" y2="{y}" stroke="#ddd"/>')
        parts.append(f'<text x="{x - 8}" y="{y + 4}" text-anchor="end">{value:.3g}</text>')
    for number, mark in enumerate(marks):
        x, _ = place(number, low)
        parts.append(f'<text x="{x}" y="{top + 320}" text-anchor="middle">{mark}</text>')
    for number, (name, line) in enumerate(lines.items()):
        color = COLORS[number % len(COLORS)]
        points = " ".join("{:.1f},{:.1f}".format(*place(at, v)) for at, v in enumerate(line))
        parts.append(f'<polyline points="{points}" fill="none" stroke="{color}" stroke-width="2"/>')
        y = top + 10 + 20 * number
        parts.append(f'<rect x="{left + 400}" y="{y - 9}" width="10" height="10" fill="{color}"/>')
        parts.append(f'<text x="{left + 416}" y="{y}">{name}</text>')
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join([*parts, "</svg>\n"]))


def ablation(judged: Sequence[JudgedVectors], sizes: tuple[int, ...], args: Any) -> dict[str, Any]:
    """Train with one part of SMEC after another, and with memories of several sizes."""
    found: dict[str, Any] = {}
    for start in [one for one in ("raw", "rotation") if one in args.ablation]:
        rows = {
            name: train(judged, sizes, replace(SMEC, start=start, **change), args)
            for name, change in PARTS.items()
        }
        found[start] = rows
        show(f"ablation, from {start} dimensions", sizes, rows)
    if "memory" in args.ablation:
        memories = [size for size in MEMORIES if size < max(len(one.documents) for one in judged)]
        found["memory"] = {
            f"memory {size:,}": train(judged, sizes, replace(SMEC, memory=size), args)
            for size in memories
        }
        show("size of the memory", sizes, found["memory"])
    if args.plots:
        name = args.encoder.replace("/", "_").replace(":", "_")
        folder, marks = Path(args.plots), [str(size) for size in sizes]
        for start in [one for one in ("raw", "rotation") if one in found]:
            rows = found[start]
            plot(
                folder / f"smec-{name}-{start}-ndcg.svg",
                f"NDCG@10 by size, from {start} dimensions",
                marks,
                {part: row["ndcg"] for part, row in rows.items()},
            )
            longest = max(len(row["curve"]) for row in rows.values())
            plot(
                folder / f"smec-{name}-{start}-variance.svg",
                f"log10 of the gradient's variance by epoch, from {start} dimensions",
                [str(epoch + 1) for epoch in range(longest)],
                {part: np.log10(np.maximum(row["curve"], 1e-12)) for part, row in rows.items()},
            )
    return found


def main() -> None:
    """Parse the arguments and measure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("sets", nargs="+", help="judged data sets, in BEIR's format")
    parser.add_argument("--encoder", default="wordllama", help="[default: wordllama]")
    parser.add_argument("--sizes", default="256,128,64,32,16")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--unseen", action="store_true", help="train on half of the documents")
    parser.add_argument(
        "--ablation", nargs="*", choices=("raw", "rotation", "memory"), help="parts [default: all]"
    )
    parser.add_argument("--plots", help="folder of the plots of the ablation")
    parser.add_argument("--cache", help="folder that keeps the encoder's vectors")
    parser.add_argument(
        "--vectors", help="folder of NAME_docs.npy and NAME_q.npy, one row per line of the set"
    )
    parser.add_argument("--out", help="JSON file of all figures")
    args = parser.parse_args()
    encoder = None if args.vectors else load_encoder(args.encoder)
    judged = [read(Path(name), encoder, args.cache, args.vectors) for name in args.sets]
    dimension = judged[0].documents.shape[1]
    sizes = tuple(size for size in map(int, args.sizes.split(",")) if size <= dimension)
    full = [one.ndcg(np.eye(dimension, dtype=np.float32), dimension) for one in judged]
    seen = "half of the documents unseen" if args.unseen else "all documents seen"
    print(f"{args.encoder}, {', '.join(one.name for one in judged)}, {seen}")
    print(f"full: {dimension} dimensions, NDCG@10 {np.mean(full):.4f}")
    found: dict[str, Any] = {"encoder": args.encoder, "sizes": sizes, "full": float(np.mean(full))}
    if args.ablation is not None:
        args.ablation = args.ablation or ("raw", "rotation", "memory")
        found |= ablation(judged, sizes, args)
    else:
        rows = {**fixed(judged, sizes, args), "SMEC": train(judged, sizes, SMEC, args)}
        show("NDCG@10", sizes, rows)
        for name, row in rows.items():
            for part, values in row["by_set"].items():
                print(f"  {name:10} {part:12}" + "".join(f"{value:>9.4f}" for value in values))
        found |= rows
    if args.out:
        Path(args.out).write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
