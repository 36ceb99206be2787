"""What pairs made of texts alone teach a static model: no labels, no teacher.

    python benchmarks/pairs.py ../shared/data --encoder wordllama --out pairs.json

For each judged data set (a folder with ``corpus.jsonl``, ``queries.jsonl`` and
``qrels/test.tsv``): NDCG@10 of exact search by the model and of hybrid search, before and after
``fit_pairs`` on pairs that are made of the corpus, with the p-value of a paired test; time of the
fit. Test queries are left out of the pairs by text match.

Limits: all documents are seen by the fit; one process; the options are the defaults, and were
chosen on Cranfield and SciFact.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

KINDS = (("title",), ("title", "first"), ("title", "heading", "sentence"))


def measured(folder: Path, encoder: Any) -> dict[str, np.ndarray]:
    """NDCG@10 of every query, by plan."""
    from qdrant_static import open_collection
    from qdrant_static.measuring.judged import read_judged
    from qdrant_static.measuring.metrics import ndcg

    queries = read_judged(folder).queries
    found = {}
    with (
        tempfile.TemporaryDirectory() as place,
        open_collection(Path(place) / "db", "c", encoder=encoder) as collection,
    ):
        collection.ingest(folder / "corpus.jsonl")
        for plan in ("exact", "hybrid", "bm25"):
            hits = collection.search_batch([one.text for one in queries], limit=10, plan=plan)
            found[plan] = np.array(
                [
                    ndcg([str(hit.key) for hit in top], one.relevant, 10)
                    for one, top in zip(queries, hits, strict=True)
                ]
            )
    return found


def main() -> None:
    """Print a table, and write it as JSON where asked."""
    from qdrant_static import load_encoder
    from qdrant_static.errors import ArgumentError
    from qdrant_static.measuring.uncertainty import paired_test
    from qdrant_static.training import MadePairs, fit_pairs

    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--encoder", default="wordllama")
    parser.add_argument("--kinds", help="one row of kinds, such as title,first")
    parser.add_argument("--sets", help="names of data sets, such as cranfield,scifact")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    print({one: version(one) for one in ("numpy", "scipy", "numba")}, platform.machine())
    print(os.cpu_count(), "cores;", given.encoder)
    folders = sorted(one.parent for one in given.folder.glob("*/corpus.jsonl"))
    if given.sets:
        folders = [one for one in folders if one.name in given.sets.split(",")]
    if not folders:
        sys.exit(f"{given.folder} holds no data set")
    rows = KINDS if given.kinds is None else (tuple(given.kinds.split(",")),)
    encoder = load_encoder(given.encoder)
    head = f"{'set':<10} {'pairs of':<24}{'pairs':>8}{'exact':>17}{'p':>7}{'hybrid':>17}{'p':>7}"
    print(f"{head}{'BM25':>7}{'fit s':>7}")
    table: list[dict[str, Any]] = []
    for folder in folders:
        before = measured(folder, encoder)
        for kinds in rows:
            try:
                made = MadePairs.read(folder / "corpus.jsonl", kinds=kinds)
            except ArgumentError as error:
                print(
                    f"{folder.name:<10} {'+'.join(kinds):<24} none: {error.problem.split(':')[0]}"
                )
                continue
            with tempfile.TemporaryDirectory() as place:
                started = time.perf_counter()
                fit = fit_pairs(
                    encoder, made.pairs, out=Path(place) / "m",
                    judged=folder, leave_out_judged=True,
                )  # fmt: skip
                seconds = time.perf_counter() - started
                after = measured(folder, load_encoder(fit.out))
            row: dict[str, Any] = {
                "set": folder.name, "kinds": kinds, "pairs": len(made.pairs), "seconds": seconds,
                "bm25": float(before["bm25"].mean()), "fit": fit.to_dict(),
            }  # fmt: skip
            cells = ""
            for plan in ("exact", "hybrid"):
                old, new = before[plan], after[plan]
                p_value = paired_test(new, old).p_value
                row[plan] = {
                    "before": float(old.mean()), "after": float(new.mean()), "p": p_value,
                }  # fmt: skip
                cells += f"{f'{old.mean():.3f} -> {new.mean():.3f}':>17}{p_value:7.3f}"
            table.append(row)
            print(
                f"{folder.name:<10} {'+'.join(kinds):<24}{len(made.pairs):>8,}{cells}"
                f"{row['bm25']:7.3f}{seconds:7.1f}",
                flush=True,
            )
    if given.out:
        given.out.write_text(json.dumps(table, indent=1, default=str))


if __name__ == "__main__":
    main()
