"""SciFact: all of it is stored, and the quality is the one that was measured by brute force."""

from __future__ import annotations

import csv
import json
import math
from collections import defaultdict

import pytest

from qdrant_static import CollectionSpec, EdgeClient, ingest, load_encoder, search


def ndcg(ranking: list[str], relevant: dict[str, int], depth: int = 10) -> float:
    """Järvelin and Kekäläinen, 2002, with the gain as judged."""
    gained = sum(
        relevant.get(key, 0) / math.log2(rank + 2) for rank, key in enumerate(ranking[:depth])
    )
    best = sorted(relevant.values(), reverse=True)[:depth]
    return gained / sum(gain / math.log2(rank + 2) for rank, gain in enumerate(best))


def test_scifact_is_stored_whole_and_found_as_well_as_measured(shared, wordllama, tmp_path):
    folder = shared / "data" / "scifact"
    if not folder.is_dir():
        pytest.skip(f"no shared data: {folder} is missing (tests/README.md)")
    judged: dict[str, dict[str, int]] = defaultdict(dict)
    with (folder / "qrels" / "test.tsv").open() as file:
        for row in csv.DictReader(file, delimiter="\t"):
            if int(row["score"]) > 0:
                judged[row["query-id"]][row["corpus-id"]] = int(row["score"])
    queries = {
        one["_id"]: one["text"]
        for one in map(json.loads, (folder / "queries.jsonl").read_text().splitlines())
        if one["_id"] in judged
    }
    assert len(queries) == 300

    encoder = load_encoder(wordllama)
    spec = CollectionSpec.for_encoder(encoder, matryoshka=(64,))
    with EdgeClient(tmp_path / "db") as client:
        report = ingest(folder / "corpus.jsonl", client, "scifact", spec=spec, encoder=encoder)
        assert (report.read, report.stored, report.points_after) == (5183, 5183, 5183)
        assert report.rejected == {}

        def quality(plan) -> float:
            return sum(
                ndcg(
                    [
                        hit.key
                        for hit in search(client, "scifact", text, plan=plan, encoder=encoder)
                    ],
                    judged[key],
                )
                for key, text in queries.items()
            ) / len(queries)

        assert quality("exact") == pytest.approx(0.513, abs=0.005)
        assert quality("hybrid") >= 0.70
