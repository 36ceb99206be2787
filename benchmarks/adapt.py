"""What a model fitted to a corpus finds, beside its teacher, BM25 and the general model.

    python benchmarks/adapt.py ../shared/data --teacher onnx:teacher.toml --cache teacher/

For each judged set (a folder with ``corpus.jsonl``, ``queries.jsonl`` and ``qrels/test.tsv``) the
model is fitted by `training.adapt` to all documents, and to a random half of them; the search is
always over all documents, so that in the second run half of them were never seen. The rows:

    bm25, general     the words alone; the general static model (``--general``)
    teacher           a transformer encodes documents and queries
    static            the fitted table encodes documents and queries
    asymmetric        the transformer encodes documents, the fitted table queries
    ... + bm25        the plan ``hybrid`` over the same vectors

No label takes part: `training.adapt` is given texts, and `searched` alone reads judgements. NDCG@10
of exact search on Qdrant Edge. Then the times: what the teacher took for texts that were not in the
cache, and what the fit took.

Limits: one machine; the cache hides the teacher's time in later runs; one seed, unless more runs
are made with ``--seed``.
"""

from __future__ import annotations

import argparse
import json
import platform
import random
import sys
import tempfile
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

TOP = 10
#: What each plan adds to a row's name. The teacher has the weight of BM25, as a fitted model has by
#: default, and a general static model has half of it.
HYBRID = " + bm25"
EQUAL = {"kind": "hybrid", "dense_weight": 1, "sparse_weight": 1}


class Cached:
    """The teacher, with what it encoded kept in a folder."""

    def __init__(self, teacher: Any, folder: Path) -> None:
        self.info = teacher.info
        self._teacher = teacher
        self._folder = folder

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Encode documents; float32 (n, dimension)."""
        return self._vectors(list(texts), "passages")

    def encode_queries(self, texts: Sequence[str]) -> np.ndarray:
        """Encode queries; float32 (n, dimension)."""
        return self._vectors(list(texts), "queries")

    def _vectors(self, texts: list[str], kind: Any) -> np.ndarray:
        from qdrant_static.training.teachervectors import TeacherVectors

        with TeacherVectors(self._folder, self._teacher, kind=kind) as kept:
            kept.encode(texts)
            return kept.vectors(texts)


def half_of(corpus: Path, seed: int) -> list[dict[str, Any]]:
    """A random half of the documents."""
    rows = [json.loads(line) for line in corpus.read_text().splitlines()]
    return random.Random(seed).sample(rows, len(rows) // 2)  # noqa: S311


def searched(
    client: Any, name: str, folder: Path, documents: Any, queries: Any
) -> Iterator[tuple[str, float]]:
    """Fill a collection, and yield parts of a row's name with their NDCG@10."""
    from qdrant_static import CollectionSpec, ingest, search_batch
    from qdrant_static.measuring.judged import read_judged
    from qdrant_static.measuring.metrics import ndcg

    spec = CollectionSpec.for_encoder(documents, queries=queries, quantization=None)
    ingest(client, name, folder / "corpus.jsonl", spec=spec, encoder=documents, progress=False)
    judged = read_judged(folder)
    texts = [one.text for one in judged.queries]
    plans: dict[str, Any] = {"": "exact", HYBRID: EQUAL if name == "teacher" else None}
    for row, plan in {**plans, "bm25": "bm25"}.items():
        hits = search_batch(client, name, texts, limit=TOP, plan=plan, encoder=queries or documents)
        scores = [
            ndcg([str(hit.key) for hit in found], one.relevant, TOP)
            for one, found in zip(judged.queries, hits, strict=True)
        ]
        yield row, float(np.mean(scores))


def fitted(folder: Path, share: str, place: Path, given: argparse.Namespace, teacher: Any) -> Any:
    """Fit a model to the documents, or to half of them; what `training.adapt` says of it."""
    from qdrant_static import training

    corpus = folder / "corpus.jsonl"
    texts = training.TrainingTexts.read(corpus if share == "all" else half_of(corpus, given.seed))
    options = training.AdaptOptions(cache=str(given.cache), seed=given.seed)
    return training.adapt(texts, teacher=teacher, out=place / share, options=options)


def measured(folder: Path, given: argparse.Namespace, teacher: Any) -> dict[str, Any]:
    """NDCG@10 of all rows for one judged set, and the times."""
    from qdrant_static import EdgeClient, load_encoder
    from qdrant_static.encoders.headencoder import HeadEncoder

    cached = Cached(teacher, given.cache)
    scores: dict[str, float] = {}
    reports: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name, EdgeClient(Path(name) / "db") as client:
        place = Path(name)
        sides: dict[str, tuple[Any, Any]] = {"general": (load_encoder(given.general), None)}
        sides["teacher"] = (cached, None)
        for share in given.shares:
            reports[share] = fitted(folder, share, place, given, teacher).to_dict()
            model = load_encoder(place / share)
            sides[f"static, {share} seen"] = (model, None)
            sides[f"asymmetric, {share} seen"] = (HeadEncoder(place / share, cached), model)
        for row, (documents, queries) in sides.items():
            client_name = row.replace(", ", "-").replace(" ", "-")
            for part, score in searched(client, client_name, folder, documents, queries):
                scores[part if part == "bm25" else row + part] = score
            print(f"  {folder.name}: {row} done", file=sys.stderr)
    return {"ndcg": scores, "reports": reports}


def show(found: dict[str, Any], shares: Sequence[str]) -> None:
    """Print the table, the ratios that matter, and the times."""
    names = list(found)
    print(f"{'NDCG@10':<30}" + "".join(f"{one:>11}" for one in [*names, "mean"]))

    def line(row: str, values: list[float]) -> None:
        print(f"{row:<30}" + "".join(f"{one:11.4f}" for one in [*values, float(np.mean(values))]))

    def of(row: str) -> list[float]:
        return [found[name]["ndcg"][row] for name in names]

    for row in found[names[0]]["ndcg"]:
        line(row, of(row))
    print("ratios")
    teacher, both, words = of("teacher"), of("teacher + bm25"), of("bm25")
    for share in shares:
        seen = f", {share} seen"
        better = [max(pair) for pair in zip(teacher, words, strict=True)]
        for row, ours, theirs in (
            ("static / teacher", of("static" + seen), teacher),
            ("static + bm25 / better of both", of(f"static{seen} + bm25"), better),
            ("asymmetric / teacher", of("asymmetric" + seen), teacher),
            ("asym. + bm25 / teacher + bm25", of(f"asymmetric{seen} + bm25"), both),
            ("asym. + bm25 / teacher", of(f"asymmetric{seen} + bm25"), teacher),
        ):
            line(f"{row}{'' if share == 'all' else ' (half)'}"[:38],
                 [a / b for a, b in zip(ours, theirs, strict=True)])  # fmt: skip
    for name in names:
        for share, one in found[name]["reports"].items():
            print(f"{name}, {share}: {one['texts']:,} texts, teacher {one['teacher_s']:.1f} s, "
                  f"fit {one['fit_s']:.1f} s, agreement {one['agreement']:.3f}")  # fmt: skip


def main() -> None:
    """Print the table, and write it as JSON where asked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, help="a folder of judged sets")
    parser.add_argument("--teacher", required=True)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--general", default="wordllama")
    parser.add_argument("--only", nargs="*", help="names of sets")
    parser.add_argument("--shares", nargs="*", default=["all", "half"], choices=["all", "half"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    from qdrant_static import load_encoder

    print({one: version(one) for one in ("qdrant-edge-py", "numpy", "scipy")}, platform.machine())
    folders = sorted(one.parent for one in given.folder.glob("*/corpus.jsonl"))
    folders = [one for one in folders if not given.only or one.name in given.only]
    if not folders:
        raise SystemExit(f"{given.folder} has no judged set")
    teacher = load_encoder(given.teacher)
    found = {one.name: measured(one, given, teacher) for one in folders}
    show(found, given.shares)
    if given.out:
        given.out.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
