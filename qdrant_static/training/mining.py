"""Mines hard negatives: passages of a collection that look like the answer of a query and are none.

1. The collection is searched for each query, by its own plan or another.
2. Hits that are a passage of the query, contain it or are a part of it, are left out.
3. A teacher scores the query with its passage and with each hit. A hit that scores as high as the
   passage, or nearly so, probably answers the query too: it is a false negative and left out. The
   limit is a share of the passage's score ("perc to positive", 0.95: Moreira et al., NV-Retriever,
   2024, arXiv:2407.15831).
4. The first hits that remain are the hard negatives.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from qdrant_static.encoders.registry import AnyEncoder, as_encoder
from qdrant_static.errors import ArgumentError
from qdrant_static.querying.run import Searcher
from qdrant_static.training.hardnegatives import HardNegatives, TeacherScores
from qdrant_static.training.minedfiles import open_writer
from qdrant_static.training.pairfile import read_pairs
from qdrant_static.training.pairoptions import MiningOptions
from qdrant_static.training.pairset import Pair, PairSet
from qdrant_static.training.trainingprogress import (
    ProgressArgument,
    ProgressDisplay,
    TrainingProgress,
)

if TYPE_CHECKING:
    from qdrant_static.clients.connect import Client
    from qdrant_static.querying.run import PlanChoice

#: Queries that are searched at once.
_BLOCK = 64
_NO_TEXT = (
    "hard negatives are texts, so they cannot be mined from it; ingest with the columns of the "
    "text in the payload"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class MiningReport:
    """What was mined, and what became of every pair and every hit.

    Attributes:
        out: What was written.
        format: Its format.
        teacher: The encoder that scored.
        given: Pairs that were given.
        repeated: Pairs that were given before.
        same: Pairs whose passage is the query itself.
        pairs: The remaining pairs.
        queries: Their queries; each is searched once.
        found: Pairs whose passage was among the hits of their query.
        hits: Hits of all pairs.
        answers: Hits that were left out, since they are or contain a passage of the query.
        textless: Hits that were left out, since they have no text, or one that was there already.
        false_negatives: Hits that were left out by the teacher's score.
        negatives: Hard negatives.
        unused: Hits that were not needed any more.
        full: Pairs with as many negatives as wanted.
        fewer: Pairs with fewer.
        without: Pairs without any.
        doubtful: Pairs whose own passage scores 0 or less.
        written: Pairs that were written; formats of fixed width leave out those with fewer.
    """

    out: str
    format: str
    teacher: str
    given: int
    repeated: int
    same: int
    pairs: int
    queries: int
    found: int
    hits: int
    answers: int
    textless: int
    false_negatives: int
    negatives: int
    unused: int
    full: int
    fewer: int
    without: int
    doubtful: int
    written: int

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-like data."""
        return asdict(self)

    def __str__(self) -> str:
        return "\n".join(
            [
                f"{self.given:,} pairs: {self.repeated:,} repeated, {self.same:,} whose passage is "
                f"the query, {self.pairs:,} mined with {self.queries:,} queries",
                f"their passage was among the hits of {self.found:,}",
                f"{self.hits:,} hits: {self.answers:,} are or contain an answer, "
                f"{self.textless:,} without a new text, {self.false_negatives:,} false negatives "
                f"by {self.teacher}, {self.negatives:,} hard negatives, {self.unused:,} not needed",
                f"{self.full:,} pairs have all negatives, {self.fewer:,} fewer, {self.without:,} "
                f"none; {self.doubtful:,} pairs are doubtful: the teacher finds nothing in common",
                f"{self.written:,} pairs written to {self.out} ({self.format})",
            ]
        )


def mine_negatives(
    client: Client,
    collection: str,
    pairs: Iterable[Pair] | str | os.PathLike[str],
    *,
    out: str | os.PathLike[str],
    teacher: AnyEncoder | None = None,
    form: str = "pairs",
    plan: PlanChoice = None,
    encoder: AnyEncoder | None = None,
    options: MiningOptions | None = None,
    progress: ProgressArgument = False,
) -> MiningReport:
    """Mine hard negatives for pairs from a collection, and write them with a teacher's scores.

    Args:
        client: An `EdgeClient` or a `QdrantClient`.
        collection: The collection's name or an alias.
        pairs: Pairs, or a file of them (see `read_pairs`). Negatives that they have are replaced.
        out: The file to write; of the format ``"pylate"`` the folder.
        teacher: The encoder that scores, or its name; None takes the collection's. A transformer
            finds more false negatives than a static model.
        form: ``"pairs"`` (for `fit_pairs`), ``"sentence-transformers"`` or ``"pylate"``.
        plan: The plan of the searches, as for `search`; None takes the collection's own.
        encoder: The collection's encoder or its name; None loads it by name.
        options: How many negatives, and which.
        progress: True shows progress on standard error; a function is called with a
            `TrainingProgress`.

    Raises:
        ArgumentError: If the collection's payload has no text, or an argument is wrong.
        SourceNotFoundError: If there is no such file of pairs.
        CollectionNotFoundError: If there is no such collection.
    """
    options = MiningOptions() if options is None else options
    given = read_pairs(pairs) if isinstance(pairs, str | os.PathLike) else tuple(pairs)
    numbered = PairSet.of(given)
    searcher = Searcher(client, collection, encoder=encoder)
    searcher.spec.fields.require_text(collection, _NO_TEXT)
    if not searcher.spec.fields.text:
        raise ArgumentError(
            field="collection", problem=f"the payload of {collection!r} has no text: {_NO_TEXT}"
        )
    scoring = searcher.encoder if teacher is None else as_encoder(teacher)
    chooser = HardNegatives(
        numbered, TeacherScores(scoring), negatives=options.negatives, share=options.share
    )
    writer = open_writer(out, form, options.negatives)
    written = done = 0
    started, total = time.monotonic(), len(numbered.queries)
    try:
        with ProgressDisplay(progress) as show:
            for start in range(0, total, _BLOCK):
                texts = numbered.queries[start : start + _BLOCK]
                answers = searcher.search_batch(texts, limit=options.depth, plan=plan)
                hits = [[hit.text for hit in found] for found in answers]
                written += sum(writer.add(mined) for mined in chooser.choose(start, hits))
                done += len(texts)
                left_s = (time.monotonic() - started) * (total - done) / done
                show(
                    TrainingProgress(
                        phase="mine", done=done, total=total, unit="queries", left_s=left_s
                    )
                )
        writer.finish()
    finally:
        writer.discard()
    return MiningReport(
        out=os.fspath(out), format=form, teacher=scoring.info.name, given=numbered.given,
        repeated=numbered.repeated, same=numbered.same, pairs=len(numbered),
        queries=total, written=written, **chooser.counts,
    )  # fmt: skip
