"""Judged data sets, and how good a ranking is."""

from __future__ import annotations

import csv
import json
import math
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path


def judged(folder: Path) -> tuple[dict[str, str], dict[str, dict[str, int]]]:
    """Queries that have judgements, and those: query -> document -> grade above 0."""
    relevant: dict[str, dict[str, int]] = defaultdict(dict)
    with (folder / "qrels" / "test.tsv").open() as file:
        for row in csv.DictReader(file, delimiter="\t"):
            if int(row["score"]) > 0:
                relevant[row["query-id"]][row["corpus-id"]] = int(row["score"])
    lines = (folder / "queries.jsonl").read_text().splitlines()
    queries = {one["_id"]: one["text"] for one in map(json.loads, lines)}
    return {key: text for key, text in queries.items() if key in relevant}, relevant


def ndcg(ranking: Sequence[str], relevant: dict[str, int], depth: int = 10) -> float:
    """Järvelin and Kekäläinen, 2002, with the gain as judged."""
    gained = sum(
        relevant.get(key, 0) / math.log2(rank + 2) for rank, key in enumerate(ranking[:depth])
    )
    best = sorted(relevant.values(), reverse=True)[:depth]
    return gained / sum(gain / math.log2(rank + 2) for rank, gain in enumerate(best))
