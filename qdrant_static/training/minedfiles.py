"""Writes pairs with hard negatives and a teacher's scores, in the formats that trainers read.

``pairs``: JSON Lines, as `read_pairs` reads them; pairs may have different numbers of negatives::

    {"query": "...", "passage": "...", "negatives": ["...", "..."], "scores": [0.71, 0.55, 0.52]}

``sentence-transformers``: JSON Lines, as its ``mine_hard_negatives`` makes them (n-tuples with
scores). Its losses for ranking take the texts; those for distillation (MarginMSE, KL) also the
scores, the passage's first::

    {"anchor": "...", "positive": "...", "negative_1": "...", "negative_2": "...",
     "scores": [0.71, 0.55, 0.52]}

``pylate``: a folder of three tables, as PyLate's ``KDProcessing`` reads them: ``queries``
(query_id, text), ``documents`` (document_id, text) and ``train`` (query_id, document_ids, scores);
the passage comes first. ``README.md`` names them, for ``datasets.load_dataset(folder, "train")``.

The last two need the same number of negatives for every pair.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple, Protocol, get_args

from qdrant_static import rules
from qdrant_static.errors import ArgumentError
from qdrant_static.training.pairset import folded

PairFormat = Literal["pairs", "sentence-transformers", "pylate"]
FORMATS: tuple[PairFormat, ...] = get_args(PairFormat)
#: Digits of a score: those of float32.
_DIGITS = 7
_TABLES = ("queries", "documents", "train")


class MinedPair(NamedTuple):
    """A pair with its hard negatives and the teacher's scores.

    Attributes:
        query: The query.
        passage: Its passage.
        negatives: Its hard negatives, the nearest first.
        scores: The teacher's cosines of the query with the passage and with each negative.
    """

    query: str
    passage: str
    negatives: tuple[str, ...]
    scores: tuple[float, ...]


class PairWriter(Protocol):
    """Writes mined pairs; nothing is at the place until `finish`."""

    def add(self, pair: MinedPair) -> bool:
        """Write a pair; return False if the format cannot hold it."""
        ...

    def finish(self) -> None:
        """Put what was written in its place."""
        ...

    def discard(self) -> None:
        """Delete what was written, if `finish` was not called."""
        ...


def open_writer(out: str | os.PathLike[str], form: str, negatives: int) -> PairWriter:
    """Return the writer of a format.

    Args:
        out: The file, or of ``pylate`` the folder.
        form: ``"pairs"``, ``"sentence-transformers"`` or ``"pylate"``.
        negatives: Hard negatives of a pair.

    Raises:
        ArgumentError: If the format is unknown, or the place holds something else.
    """
    rules.check_choice("format", form, FORMATS)
    place = Path(rules.location("out", out)).expanduser()
    if form == "pylate":
        return _PyLateFolder(place, negatives)
    if place.is_dir():
        raise ArgumentError(field="out", problem=f"{place} is a folder; name a file")
    return _JsonLines(place, _plain if form == "pairs" else _tuple, negatives, form == "pairs")


def _plain(pair: MinedPair) -> dict[str, Any]:
    return {
        "query": pair.query,
        "passage": pair.passage,
        "negatives": list(pair.negatives),
        "scores": _rounded(pair.scores),
    }


def _tuple(pair: MinedPair) -> dict[str, Any]:
    numbered = {f"negative_{place}": text for place, text in enumerate(pair.negatives, 1)}
    scores = _rounded(pair.scores)
    return {"anchor": pair.query, "positive": pair.passage, **numbered, "scores": scores}


def _rounded(scores: Sequence[float]) -> list[float]:
    return [round(float(score), _DIGITS) for score in scores]


class _JsonLines:
    """A file of JSON Lines."""

    def __init__(
        self, path: Path, record: Callable[[MinedPair], Any], negatives: int, uneven: bool
    ) -> None:
        self._path, self._record = path, record
        self._negatives, self._uneven = negatives, uneven
        self._temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file: IO[str] = self._temporary.open("w", encoding="utf-8")

    def add(self, pair: MinedPair) -> bool:
        """Write a pair."""
        if len(pair.negatives) != self._negatives and not self._uneven:
            return False
        self._file.write(json.dumps(self._record(pair), ensure_ascii=False) + "\n")
        return True

    def finish(self) -> None:
        """Put the file in its place."""
        self._file.close()
        self._temporary.replace(self._path)

    def discard(self) -> None:
        """Delete the file."""
        self._file.close()
        self._temporary.unlink(missing_ok=True)


class _PyLateFolder:
    """A folder of three tables."""

    def __init__(self, folder: Path, negatives: int) -> None:
        self._folder, self._negatives = folder, negatives
        own = {"README.md", *(f"{name}.parquet" for name in _TABLES)}
        if folder.exists() and not folder.is_dir():
            raise ArgumentError(field="out", problem=f"{folder} is a file; name a folder")
        others = {one.name for one in folder.iterdir()} - own if folder.is_dir() else set()
        if others:
            raise ArgumentError(
                field="out",
                problem=f"{folder} holds other files ({min(others)}); name another folder",
            )
        self._queries, self._documents = _Ids("q"), _Ids("d")
        self._rows: list[tuple[str, list[str], list[float]]] = []

    def add(self, pair: MinedPair) -> bool:
        """Keep a pair."""
        if len(pair.negatives) != self._negatives:
            return False
        ids = [self._documents.id_of(text) for text in (pair.passage, *pair.negatives)]
        self._rows.append((self._queries.id_of(pair.query), ids, _rounded(pair.scores)))
        return True

    def finish(self) -> None:
        """Write the tables."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        query_ids, document_ids, scores = zip(*self._rows, strict=True) if self._rows else ([],) * 3
        columns: tuple[dict[str, Any], ...] = (
            {"query_id": self._queries.ids(), "text": self._queries.texts},
            {"document_id": self._documents.ids(), "text": self._documents.texts},
            {
                "query_id": pa.array(query_ids, pa.string()),
                "document_ids": pa.array(document_ids, pa.list_(pa.string())),
                "scores": pa.array(scores, pa.list_(pa.float32())),
            },
        )
        self._folder.mkdir(parents=True, exist_ok=True)
        for name, table in zip(_TABLES, columns, strict=True):
            path = self._folder / f"{name}.parquet"
            temporary = path.with_name(f".{path.name}.tmp")
            pq.write_table(pa.table(table), temporary)
            temporary.replace(path)
        parts = "".join(
            f"- config_name: {name}\n  data_files:\n  - split: train\n    path: {name}.parquet\n"
            for name in _TABLES
        )
        (self._folder / "README.md").write_text(f"---\nconfigs:\n{parts}---\n", encoding="utf-8")

    def discard(self) -> None:
        """Do nothing: nothing is written before `finish`."""


class _Ids:
    """Gives equal texts one id."""

    def __init__(self, letter: str) -> None:
        self._letter = letter
        self._ids: dict[str, str] = {}
        self.texts: list[str] = []

    def id_of(self, text: str) -> str:
        found = self._ids.setdefault(folded(text), f"{self._letter}{len(self.texts)}")
        if len(self._ids) > len(self.texts):
            self.texts.append(text)
        return found

    def ids(self) -> list[str]:
        return list(self._ids.values())
