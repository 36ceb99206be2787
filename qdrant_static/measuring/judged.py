"""Reads judged data sets in BEIR's form: corpus, queries, and relevance judgements.

    scifact/
      corpus.jsonl       {"_id": "4983", "title": "...", "text": "..."}
      queries.jsonl      {"_id": "1", "text": "..."}
      qrels/test.tsv     query-id <tab> corpus-id <tab> score, with that header

Thakur et al., BEIR, 2021, https://github.com/beir-cellar/beir
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qdrant_static.errors import ArgumentError, SourceNotFoundError

_HEADER = ("query-id", "corpus-id", "score")


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedQuery:
    """A query and its relevance judgements.

    Attributes:
        id: Its id in the data set.
        text: The query.
        relevant: The judgement of each document, by its key; at least one is above 0.
    """

    id: str
    text: str
    relevant: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedSet:
    """The judged queries of a data set; its corpus stays on disk.

    Attributes:
        folder: The data set's folder.
        split: The split of the judgements: ``"test"``, ``"dev"``, ``"train"``, ...
        queries: The queries with a relevant document, in the order of their file.
        left_out: Number of judged queries that were dropped, since no document is relevant.
    """

    folder: Path
    split: str
    queries: tuple[JudgedQuery, ...]
    left_out: int = 0

    @property
    def corpus(self) -> Path:
        """The file of the documents, which `ingest` takes."""
        return self.folder / "corpus.jsonl"


def read_judged(folder: str | os.PathLike[str], *, split: str = "test") -> JudgedSet:
    """Read the queries and judgements of a data set in BEIR's form.

    Args:
        folder: Holds ``queries.jsonl`` and ``qrels/<split>.tsv``; ``corpus.jsonl`` is not read,
            and may be missing where its documents are in a collection already.
        split: The split of the judgements.

    Raises:
        SourceNotFoundError: If a file is missing; it names the file and the existing splits.
        ArgumentError: If a line cannot be read; it names file and line.
    """
    root = Path(os.path.expanduser(folder))
    if not root.is_dir():
        raise SourceNotFoundError(path=str(folder), problem="there is no such folder")
    qrels, texts = root / "qrels" / f"{split}.tsv", root / "queries.jsonl"
    if not qrels.is_file():
        splits = sorted(file.stem for file in (root / "qrels").glob("*.tsv"))
        raise SourceNotFoundError(
            path=str(qrels),
            problem=f"no judgements of the split {split!r}; there are: "
            f"{', '.join(splits) or 'none'}",
        )
    if not texts.is_file():
        raise SourceNotFoundError(path=str(texts), problem="the file of the queries is missing")
    judged: dict[str, dict[str, float]] = {}
    for query, document, score in _judgements(qrels):
        judged.setdefault(query, {})[document] = score
    queries = []
    for name, text in _queries(texts):
        relevant = judged.pop(name, None)
        if relevant is not None and any(score > 0 for score in relevant.values()):
            queries.append(JudgedQuery(id=name, text=text, relevant=relevant))
        elif relevant is not None:
            judged[name] = relevant
    useful = [
        name for name, scores in judged.items() if any(score > 0 for score in scores.values())
    ]
    if useful:
        raise ArgumentError(
            field=str(qrels),
            problem=f"query {useful[0]!r} is judged but missing in {texts.name} "
            f"({len(useful)} such queries)",
        )
    if not queries:
        raise ArgumentError(field=str(qrels), problem="no query has a relevant document")
    return JudgedSet(folder=root, split=split, queries=tuple(queries), left_out=len(judged))


def read_queries(path: str | os.PathLike[str]) -> tuple[str, ...]:
    """Read a file of queries: JSON Lines with a field ``text``, or one query per line.

    Raises:
        SourceNotFoundError: If there is no such file.
        ArgumentError: If a line cannot be read, or there is no query; it names file and line.
    """
    file = Path(os.path.expanduser(path))
    if not file.is_file():
        raise SourceNotFoundError(path=str(path), problem="there is no such file of queries")
    if file.suffix == ".jsonl":
        queries = tuple(text for _, text in _queries(file, named=False))
    else:
        queries = tuple(line.strip() for _, line in _lines(file))
    if not queries:
        raise ArgumentError(field=str(file), problem="contains no query")
    return queries


def _queries(path: Path, *, named: bool = True) -> Iterator[tuple[str, str]]:
    seen: set[str] = set()
    for number, line in _lines(path):
        where = f"{path}:{number}"
        try:
            record: Any = json.loads(line)
        except json.JSONDecodeError as error:
            raise ArgumentError(field=where, problem=f"is not JSON: {error}") from error
        if not isinstance(record, dict):
            raise ArgumentError(field=where, problem="is not a JSON object")
        text, name = record.get("text"), record.get("_id", "")
        if not isinstance(text, str) or not text.strip():
            raise ArgumentError(field=where, problem="has no 'text'")
        if named and (not isinstance(name, str) or not name):
            raise ArgumentError(field=where, problem="has no '_id', or one that is not a string")
        if named and name in seen:
            raise ArgumentError(field=where, problem=f"the query {name!r} occurs twice")
        seen.add(name)
        yield name, text


def _judgements(path: Path) -> Iterator[tuple[str, str, float]]:
    header = False
    for number, line in _lines(path):
        where = f"{path}:{number}"
        parts = line.rstrip("\n").split("\t")
        if not header:
            header = True
            if tuple(parts) != _HEADER:
                raise ArgumentError(
                    field=where, problem=f"the first line must be {' <tab> '.join(_HEADER)}"
                )
            continue
        if len(parts) != len(_HEADER):
            raise ArgumentError(
                field=where, problem=f"has {len(parts)} columns separated by tabs instead of 3"
            )
        try:
            score = float(parts[2])
        except ValueError as error:
            raise ArgumentError(field=where, problem=f"{parts[2]!r} is not a number") from error
        if not abs(score) < float("inf"):
            raise ArgumentError(field=where, problem=f"{parts[2]!r} is not a finite number")
        yield parts[0], parts[1], score


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the lines that are not empty, with their numbers from 1."""
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield number, line
    except UnicodeDecodeError as error:
        raise ArgumentError(field=str(path), problem=f"is not UTF-8: {error.reason}") from error
