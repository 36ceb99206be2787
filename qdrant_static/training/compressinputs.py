"""Makes the vectors that a compression is trained on: of texts, of pairs, or given ones."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from qdrant_static import rules
from qdrant_static.encoders.base import Encoder
from qdrant_static.encoders.queries import encode_queries
from qdrant_static.encoders.registry import AnyEncoder, as_encoder
from qdrant_static.errors import ArgumentError
from qdrant_static.training.pairfile import read_pairs
from qdrant_static.training.pairset import Pair
from qdrant_static.training.smec.neighborhoods import TrainingVectors
from qdrant_static.training.teachervectors import TeacherVectors
from qdrant_static.training.texts import TrainingTexts
from qdrant_static.training.trainingprogress import ProgressDisplay, TrainingProgress
from qdrant_static.vectors import normalize

#: A query and a passage, or these and the passage's relevance, above 0.
Graded: TypeAlias = "Pair | tuple[str, str] | tuple[str, str, float]"

#: Fewer passages have no neighborhoods to keep.
LEAST_ROWS = 100


def vectors_of(
    model: AnyEncoder | NDArray[np.floating[Any]],
    texts: TrainingTexts | Iterable[str] | None,
    pairs: str | os.PathLike[str] | Iterable[Graded] | None,
    encoder: AnyEncoder | None,
    cache: str | os.PathLike[str] | None,
    display: ProgressDisplay,
) -> tuple[Encoder | None, TrainingVectors, int]:
    """Return the encoder, what is trained on, and how many rows were left out."""
    if isinstance(model, np.ndarray):
        if texts is not None or pairs is not None:
            raise ArgumentError(
                field="texts" if pairs is None else "pairs",
                problem="are encoded by an encoder; vectors were given instead of one",
            )
        rows = np.asarray(model, dtype=np.float32)
        if rows.ndim != 2 or not np.isfinite(rows).all():
            raise ArgumentError(
                field="model", problem=f"an array of shape {rows.shape} is not (n, D) and finite"
            )
        maker = None if encoder is None else as_encoder(encoder)
        if maker is not None and maker.info.dimension != rows.shape[1]:
            raise ArgumentError(
                field="encoder",
                problem=f"{maker.info.name!r} makes {maker.info.dimension} dimensions; the "
                f"vectors have {rows.shape[1]}",
            )
        kept = _directed(rows)
        return maker, TrainingVectors(passages=_enough(kept)), len(rows) - len(kept)
    if encoder is not None:
        raise ArgumentError(field="encoder", problem="is for vectors; the model is the encoder")
    if texts is None:
        raise ArgumentError(field="texts", problem="are missing: the passages of a corpus")
    maker = as_encoder(model)
    given = texts if isinstance(texts, TrainingTexts) else TrainingTexts.of(texts)
    if pairs is None:
        rows = _encoded(maker, given.passages, cache, display)
        kept = _directed(rows)
        left_out = len(rows) - len(kept) + given.duplicates
        return maker, TrainingVectors(passages=_enough(kept)), left_out
    return maker, *_with_pairs(maker, given, pairs, cache, display)


def _with_pairs(
    maker: Encoder,
    texts: TrainingTexts,
    pairs: str | os.PathLike[str] | Iterable[Graded],
    cache: str | os.PathLike[str] | None,
    display: ProgressDisplay,
) -> tuple[TrainingVectors, int]:
    """Return the vectors of queries and passages, with the relevance of these."""
    from scipy import sparse

    graded = read_pairs(pairs) if isinstance(pairs, str | os.PathLike) else pairs
    passages = dict.fromkeys(texts.passages)
    queries: dict[str, int] = {}
    cells: dict[tuple[int, str], float] = {}
    for one in graded:
        whole = (one.query, one.passage, 1.0) if isinstance(one, Pair) else (*one, 1.0)[:3]
        query, passage, grade = whole
        if not rules.is_number(grade) or grade <= 0:
            raise ArgumentError(field="pairs", problem=f"the relevance {grade!r} is not above 0")
        passages.setdefault(passage)
        cells[queries.setdefault(query, len(queries)), passage] = float(grade)
    if not queries:
        raise ArgumentError(field="pairs", problem="there is none")
    places = {text: row for row, text in enumerate(passages)}
    found = _encoded(maker, tuple(passages), cache, display)
    asked = np.asarray(encode_queries(maker, list(queries)), dtype=np.float32)
    grades = sparse.csr_array(
        (
            np.array(list(cells.values()), np.float32),
            ([query for query, _ in cells], [places[text] for _, text in cells]),
        ),
        shape=(len(queries), len(passages)),
    )
    used = asked.any(axis=1)
    vectors = TrainingVectors(
        passages=_enough(normalize(found)), queries=normalize(asked[used]), grades=grades[used]
    )
    return vectors, texts.duplicates


def _encoded(
    maker: Encoder,
    texts: Sequence[str],
    cache: str | os.PathLike[str] | None,
    display: ProgressDisplay,
) -> NDArray[np.float32]:
    """Encode passages, and keep their vectors where there is a cache."""
    with ExitStack() as stack:
        if cache is None:
            display(TrainingProgress(phase="encode", done=0, total=len(texts), unit="texts"))
            rows = maker.encode(list(texts))
        else:
            kept = stack.enter_context(TeacherVectors(cache, maker))
            kept.encode(texts, progress=display)
            rows = kept.vectors(texts)
    return np.asarray(rows, dtype=np.float32)


def _directed(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the rows that are not zeros, normalized."""
    return normalize(rows[rows.any(axis=1)])


def _enough(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    if len(rows) < LEAST_ROWS:
        raise ArgumentError(
            field="texts",
            problem=f"{len(rows)} passages are too few to learn which dimensions tell them apart: "
            f"give at least {LEAST_ROWS}, better thousands; the model's own prefixes need none",
        )
    return rows
