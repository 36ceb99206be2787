"""Fits a static model to pairs of queries and passages, by multiple-negatives ranking.

One table for both sides, or a table of its own for queries: then queries and documents are encoded
by two models, whose vectors are compared.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from qdrant_static import rules
from qdrant_static.encoders.registry import AnyEncoder, as_encoder
from qdrant_static.encoders.threads import core_count
from qdrant_static.errors import ArgumentError
from qdrant_static.measuring.uncertainty import paired_test
from qdrant_static.training.madepairs import without_queries
from qdrant_static.training.modelfolder import require_ours, save_model
from qdrant_static.training.pairfile import read_pairs
from qdrant_static.training.pairfit import FittedPairs, KeptAside, Sides, fit_sides
from qdrant_static.training.pairoptions import PairOptions
from qdrant_static.training.pairset import Pair, PairSet
from qdrant_static.training.pairtable import FittedTable, FixedVectors
from qdrant_static.training.tablemodel import TableModel
from qdrant_static.training.trainingprogress import ProgressArgument, ProgressDisplay

if TYPE_CHECKING:
    from qdrant_static.encoders.base import Encoder
    from qdrant_static.encoders.static import StaticEncoder

#: Texts that are tokenized, or encoded, at once.
_BLOCK = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class PairFit:
    """What a fit to pairs has made, and how good it is on the queries that were kept aside.

    Attributes:
        out: The folder of the model; with a query table, that of the queries' model.
        fingerprint: The fingerprint of that model.
        documents: The folder of the documents' model, or the encoder that they keep; None if one
            table serves both.
        documents_fingerprint: Its fingerprint.
        parent: The model that the fit started from.
        given: Pairs that were given.
        pairs: Pairs that were learned from.
        kept_queries: Queries that were kept aside.
        pool: Passages that they are ranked among.
        dropped: Why the other pairs, and hard negatives, were not used, with their number.
        epochs: Epochs that were run.
        best_epoch: The epoch whose tables were kept; 0 if none was better than the parent.
        before: Size -> NDCG@10 and MRR@10 of the parent.
        after: Size -> NDCG@10 and MRR@10 of the model.
        p_value: Probability of such a difference in NDCG@10 at the full size by chance.
        seconds: Time of the fit.
    """

    out: Path
    fingerprint: str
    documents: str | None
    documents_fingerprint: str | None
    parent: str
    given: int
    pairs: int
    kept_queries: int
    pool: int
    dropped: dict[str, int]
    epochs: int
    best_epoch: int
    before: dict[int, dict[str, float]]
    after: dict[int, dict[str, float]]
    p_value: float
    seconds: float = field(compare=False)

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-like data."""
        return {**asdict(self), "out": str(self.out)}

    def __str__(self) -> str:
        dropped = ", ".join(f"{count:,} {why}" for why, count in self.dropped.items() if count)
        lines = [
            f"{self.given:,} pairs: {self.pairs:,} to learn from; {self.kept_queries:,} queries "
            f"kept aside, ranked among {self.pool:,} passages"
            + (f" (not used: {dropped})" if dropped else ""),
            f"best after epoch {self.best_epoch} of {self.epochs}"
            if self.best_epoch
            else f"no epoch of {self.epochs} was better: the model is that of the parent",
            "size   NDCG@10            MRR@10",
        ]
        for size, after in self.after.items():
            before = self.before[size]
            cells = [f"{before[name]:.3f} -> {after[name]:.3f}" for name in after]
            lines.append(f"{size:<6} {cells[0]:<18} {cells[1]}")
        lines.append(
            f"p = {self.p_value:.3f}"
            + ("" if self.p_value < 0.05 else ": chance alone could do this")
        )
        where = f"{self.out} ({self.fingerprint})"
        if self.documents is not None:
            where += f" for queries; documents by {self.documents}"
        return "\n".join([*lines, f"model: {where}, {self.seconds:.1f} s"])


def fit_pairs(
    encoder: AnyEncoder,
    pairs: Iterable[Pair] | str | os.PathLike[str],
    *,
    out: str | os.PathLike[str],
    sizes: Sequence[int] = (),
    query_table: bool = False,
    documents: AnyEncoder | None = None,
    options: PairOptions | None = None,
    judged: str | os.PathLike[str] | None = None,
    leave_out_judged: bool = False,
    progress: ProgressArgument = False,
) -> PairFit:
    """Fit a static model to pairs of queries and passages, and write its folder.

    The loss is multiple-negatives ranking: a query's passage is ranked before the passages and hard
    negatives of all pairs of its batch, at every size. No query and no passage is in a batch twice.
    Some queries are kept aside; the epoch that ranks them best is kept.

    Args:
        encoder: The static model to start from, or its name.
        pairs: Pairs, or a file of them (see `read_pairs`).
        out: The folder of the model. With a query table it is the queries' model, and that of the
            documents is beside it, with ``-documents`` after its name, unless they keep an encoder.
        sizes: Matryoshka sizes that count besides the full one.
        query_table: Fit a table of its own for queries.
        documents: The encoder that documents keep, any with the same dimension, or its name: only
            the queries' table is fitted. None fits the documents too.
        options: How the model is fitted.
        judged: A judged data set in BEIR's format that the model will be measured on: pairs with
            one of its test queries are an error.
        leave_out_judged: Leave such pairs out instead.
        progress: True shows progress on standard error; a function is called with a
            `TrainingProgress`.

    Raises:
        ArgumentError: If there are too few pairs, a pair has a test query, the encoder is not
            static, the dimensions do not fit, or the folder holds something else.
        SourceNotFoundError: If there is no such file of pairs.
    """
    started = time.monotonic()
    options = PairOptions() if options is None else options
    place = Path(rules.location("out", out)).expanduser().absolute()
    for folder in (place, _documents_folder(place)) if query_table else (place,):
        require_ours(folder)
    model = TableModel.from_encoder(_static(as_encoder(encoder)))
    widths = _widths(sizes, model.dimension)
    teacher = None if documents is None else _of_dimension(as_encoder(documents), model)
    source = os.fspath(pairs) if isinstance(pairs, str | os.PathLike) else "pairs in memory"
    given = read_pairs(pairs) if isinstance(pairs, str | os.PathLike) else tuple(pairs)
    clean = given
    if judged is not None:
        clean = without_queries(given, judged, leave_out=leave_out_judged)
    numbered = PairSet.of(clean)
    generator = np.random.default_rng(options.seed)
    kept = KeptAside.of(numbered, options.validation, generator)
    with ThreadPoolExecutor(core_count()) as pool, ProgressDisplay(progress) as shown:
        sides, fitted = _sides(model, numbered, teacher, options.pull, pool, two=query_table)
        found = fit_sides(
            sides, fitted, numbered, kept,
            sizes=widths, options=options, generator=generator, progress=shown,
        )  # fmt: skip
    full = model.dimension
    test = paired_test(found.after[full].ndcg, found.before[full].ndcg, seed=options.seed)
    figures: dict[str, Any] = {
        "best_epoch": found.best_epoch,
        "epochs": found.epochs,
        "before": {size: one.means() for size, one in found.before.items()},
        "after": {size: one.means() for size, one in found.after.items()},
        "p_value": round(test.p_value, 4),
    }
    counts: dict[str, Any] = {
        "given": len(given),
        "pairs": len(kept.training),
        "kept_queries": len(kept.queries),
        "pool": len(kept.pool),
        "dropped": {**_dropped(numbered), "test queries": len(given) - len(clean)},
    }
    card = {
        "recipe": "pairs",
        "data": {"source": source, **counts},
        "options": asdict(options),
        "sizes": list(widths),
        "figures": figures,
    }
    written = _write(model, found, place, card, teacher, two=query_table)
    return PairFit(
        out=place, **written, parent=model.parent, **counts, **figures,
        seconds=time.monotonic() - started,
    )  # fmt: skip


def _static(encoder: Encoder) -> StaticEncoder:
    from qdrant_static.encoders.static import StaticEncoder

    if not isinstance(encoder, StaticEncoder):
        raise ArgumentError(
            field="encoder",
            problem=f"{encoder.info.name!r} is not a static model, so it has no table to fit. "
            "Static are 'wordllama' and the models of model2vec",
        )
    return encoder


def _widths(sizes: Sequence[int], full: int) -> tuple[int, ...]:
    """Return the full size and the others, falling."""
    for size in sizes:
        if isinstance(size, bool) or not isinstance(size, int) or not 1 <= size <= full:
            raise ArgumentError(field="sizes", problem=f"{size!r} is not within 1 to {full}")
    return tuple(sorted({full, *sizes}, reverse=True))


def _of_dimension(documents: Encoder, model: TableModel) -> Encoder:
    info = documents.info
    if info.dimension != model.dimension:
        raise ArgumentError(
            field="documents",
            problem=f"{info.name!r} has {info.dimension} dimensions, and the model to fit, "
            f"{model.parent!r}, {model.dimension}: vectors of two lengths cannot be compared. "
            "Start from a model of the same dimension",
        )
    return documents


def _sides(
    model: TableModel,
    pairs: PairSet,
    documents: Encoder | None,
    pull: float,
    pool: ThreadPoolExecutor,
    *,
    two: bool,
) -> tuple[Sides, list[FittedTable]]:
    """Return the vectors of both sides, and the tables that are fitted."""
    if documents is None and not two:
        both = FittedTable(model.counts([*pairs.queries, *pairs.texts]), model.table, pull, pool)
        return Sides(queries=both, texts=both, first_text=len(pairs.queries)), [both]
    queries = FittedTable(model.counts(list(pairs.queries)), model.table, pull, pool)
    if documents is None:
        texts = FittedTable(model.counts(list(pairs.texts)), model.table, pull, pool)
        return Sides(queries=queries, texts=texts, first_text=0), [queries, texts]
    parts = [
        np.asarray(documents.encode(pairs.texts[start : start + _BLOCK]), np.float32)
        for start in range(0, len(pairs.texts), _BLOCK)
    ]
    fixed = FixedVectors(np.concatenate(parts))
    return Sides(queries=queries, texts=fixed, first_text=0), [queries]


def _dropped(pairs: PairSet) -> dict[str, int]:
    return {
        "repeated pairs": pairs.repeated,
        "pairs whose passage is the query": pairs.same,
        "hard negatives that answer the query in another pair": pairs.contradicting,
    }


def _documents_folder(queries: Path) -> Path:
    """Return the folder of the documents' model, beside that of the queries'."""
    return queries.with_name(f"{queries.name}-documents")


def _write(
    model: TableModel,
    found: FittedPairs,
    place: Path,
    card: dict[str, Any],
    documents: Encoder | None,
    *,
    two: bool,
) -> dict[str, Any]:
    """Write one model, or that of queries and that of documents; return where they are."""
    queries = model.with_table(found.tables[0])
    if documents is None and not two:
        written = save_model(queries, place, card)
        return {"fingerprint": written, "documents": None, "documents_fingerprint": None}
    if documents is not None:
        name, print_ = documents.info.name, documents.info.fingerprint
    else:
        folder = _documents_folder(place)
        print_ = save_model(
            model.with_table(found.tables[1]), folder, {**card, "side": "documents"}
        )
        name = str(folder)
    teacher = {"name": name, "fingerprint": print_, "dimension": model.dimension}
    written = save_model(queries, place, {**card, "side": "queries", "teacher": teacher})
    return {"fingerprint": written, "documents": name, "documents_fingerprint": print_}
