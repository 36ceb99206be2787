"""What `tune` finds on real text: the table, the choice, its recall on fresh queries, its time.

    python benchmarks/tune.py --passages 200000 --out tune.json

The passages are public text of the machine that this runs on: docstrings, comments and
documentation of Python's standard library and of the installed packages, cut into paragraphs,
each once. WordLlama, 256 dimensions, and its first 64; no BM25, since without judgements it is
the dense side that is tuned. Some passages are held out of the collection; their beginnings are
the fresh queries, which `tune` never sees, in none of its parts.

Limits: one machine, one process, an embedded collection; held-out passages are nearer to the data
than what people would ask.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import re
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

FRESH = 500
_BLANK = re.compile(r"\n[ \t]*\n")
_QUOTED = re.compile(r'"""(.{40,}?)"""|\'\'\'(.{40,}?)\'\'\'', re.S)
_COMMENTS = re.compile(r"(?:^[ \t]*#[^\n]*\n)+", re.M)
_MARKS = re.compile(r"^[ \t]*#[#:! ]*", re.M)
_LEAST, _MOST = 50, 400
_DOCUMENTS = {".rst", ".md", ".txt"}
_DESCRIPTION = "METADATA"
_MOST_BYTES = 1_000_000


def passages(wanted: int) -> list[str]:
    """Paragraphs of 50 to 400 characters, each once, in a fixed order."""
    found: dict[str, None] = {}
    for file in _files():
        for paragraph in _paragraphs(file):
            text = " ".join(paragraph.split())
            for part in _cut(text):
                found.setdefault(part)
        if len(found) >= wanted:
            break
    return list(found)[:wanted]


def _files() -> Iterator[Path]:
    """Sources and documentation: the standard library first, then the installed packages."""
    paths = sysconfig.get_paths()
    seen: set[Path] = set()
    for root in (paths["stdlib"], paths["purelib"], paths["platlib"], sys.prefix + "/share"):
        for folder, folders, names in os.walk(root):
            folders.sort()
            for name in sorted(names):
                file = Path(folder, name)
                wanted = file.suffix in {".py", ".pyi", *_DOCUMENTS} or name == _DESCRIPTION
                if wanted and file not in seen:
                    seen.add(file)
                    yield file


def _paragraphs(file: Path) -> Iterator[str]:
    """Of documentation all of it; of a source its docstrings and its runs of comment lines.

    By patterns rather than by a parser, which would take minutes over all of these files.
    """
    try:
        if file.stat().st_size > _MOST_BYTES:  # data, not prose
            return
        source = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return
    if file.suffix in {".py", ".pyi"}:
        for match in _QUOTED.finditer(source):
            yield from _BLANK.split(match[1] or match[2])
        for match in _COMMENTS.finditer(source):
            yield _MARKS.sub("", match[0])
    else:
        yield from _BLANK.split(source)


def _cut(text: str) -> Iterator[str]:
    """A long paragraph in pieces, at spaces; what is mostly no words is left out."""
    start = 0
    while len(text) - start >= _LEAST:
        end = len(text)
        if end - start > _MOST:
            space = text.rfind(" ", start + _LEAST, start + _MOST)
            end = start + _MOST if space < 0 else space
        piece = text[start:end].strip()
        letters = sum(char.isalpha() or char == " " for char in piece)
        if len(piece) >= _LEAST and letters >= 0.7 * len(piece):
            yield piece
        start = end


def build(folder: Path, texts: list[str], encoder: Any) -> Any:
    """The collection, indexed."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from qdrant_static import CollectionSpec, EdgeClient, ingest

    pq.write_table(pa.table({"id": range(len(texts)), "text": texts}), folder / "passages.parquet")
    client = EdgeClient(folder / "db")
    spec = CollectionSpec.for_encoder(encoder, matryoshka=(64,), sparse=None)
    ingest(
        client,
        "passages",
        folder / "passages.parquet",
        spec=spec,
        encoder=encoder,
        progress=sys.stderr.isatty(),
    )
    return client


def questions(held_out: list[str]) -> list[str]:
    """The first twelve words of each text."""
    return [" ".join(text.split()[:12]) for text in held_out]


def checked(client: Any, encoder: Any, plan: Any, asked: list[str], k: int = 10) -> dict[str, Any]:
    """Recall of a plan against brute force, and the times of both, one query at a time.

    Equal scores count as found: the k-th nearest may have twins.
    """
    from qdrant_static import SearchPlan
    from qdrant_static.measuring.metrics import neighbor_recall
    from qdrant_static.measuring.uncertainty import recall_interval
    from qdrant_static.querying.run import Searcher, answer

    searcher = Searcher(client, "passages", encoder=encoder)
    exact = SearchPlan(kind="exact")
    queries = searcher.prepare(asked, plan)
    seconds: dict[str, list[float]] = {"plan": [], "exact": []}
    recalls = []
    for number, query in enumerate([*queries[:5], *queries]):
        found = {}
        for name, one, limit in (("plan", plan, k), ("exact", exact, k)):
            started = time.perf_counter()
            found[name] = answer(client, "passages", searcher.spec, one, [query], limit=limit)[0]
            if number >= 5:
                seconds[name].append(time.perf_counter() - started)
        truth = answer(client, "passages", searcher.spec, exact, [query], limit=3 * k)[0]
        if number >= 5:
            scores = {point.id: point.score for point in truth}
            recalls.append(neighbor_recall([point.id for point in found["plan"]], scores, k))
    sure = recall_interval(recalls, k)
    middle = {name: sorted(values)[len(values) // 2] * 1e3 for name, values in seconds.items()}
    return {
        "queries": len(asked),
        f"recall@{k}": sure.mean,
        "low": sure.low,
        "high": sure.high,
        "p50_ms": middle["plan"],
        "exact_p50_ms": middle["exact"],
        "times_as_fast": middle["exact"] / middle["plan"],
    }


def main() -> None:
    """Build, tune, check."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--passages", type=int, default=200_000)
    parser.add_argument("--target-recall", type=float, default=0.99)
    parser.add_argument("--sample", type=int, default=500)
    parser.add_argument("--budget", type=float, default=300.0, help="seconds")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()

    from qdrant_static import SearchPlan, load_encoder, tune

    texts = passages(options.passages + FRESH)
    if len(texts) < options.passages + FRESH:
        print(f"this machine has {len(texts):,} passages: fewer than asked for", file=sys.stderr)
    random.Random(0).shuffle(texts)  # noqa: S311  # an order, not a secret
    held_out, texts = texts[:FRESH], texts[FRESH:]
    encoder = load_encoder("wordllama")
    with tempfile.TemporaryDirectory() as name:
        started = time.perf_counter()
        client = build(Path(name), texts, encoder)
        built_s = time.perf_counter() - started
        report = tune(
            client, "passages", target_recall=options.target_recall, sample=options.sample,
            budget_s=options.budget, encoder=encoder, progress=sys.stderr.isatty(),
        )  # fmt: skip
        print(report)
        results: dict[str, Any] = {
            "python": platform.python_version(),
            "machine": platform.machine(),
            "processors": os.cpu_count(),
            "versions": {one: version(one) for one in ("qdrant-edge-py", "qdrant-client", "numpy")},
            "passages": len(texts),
            "built_s": built_s,
            "tune": report.to_dict(),
        }
        if report.choice is not None:
            chosen = SearchPlan.of(report.choice.plan)
            asked = questions(held_out)
            results["fresh"] = checked(client, encoder, chosen, asked)
            # And texts of another kind: whole passages that are not in the collection.
            results["fresh_whole"] = checked(client, encoder, chosen, held_out)
            for kind in ("fresh", "fresh_whole"):
                one = results[kind]
                print(
                    f"{kind}: {one['queries']} queries, recall@10 {one['recall@10']:.4f} "
                    f"({one['low']:.3f}-{one['high']:.3f}), {one['p50_ms']:.2f} ms against "
                    f"{one['exact_p50_ms']:.2f} ms exact ({one['times_as_fast']:.1f} times)"
                )
        client.close()
    if options.out is not None:
        options.out.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
