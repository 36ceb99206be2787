"""BM25's mean length: by a sample before the load, by all texts after it.

Every weight depends on it. The load counts the terms of all texts; where the sample was too far
off, the weights are made again from those that are stored, before any index is built.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from qdrant_client import models

from qdrant_static.clients.retry import call_with_retries
from qdrant_static.clients.scroll import pages
from qdrant_static.collection.create import write_spec
from qdrant_static.collection.vectorspec import BM25
from qdrant_static.encoders.reweighing import reweigh
from qdrant_static.ledger.runs import SAMPLED

if TYPE_CHECKING:
    from qdrant_static.clients.connect import Client
    from qdrant_static.collection.spec import CollectionSpec

#: From these relative errors on, a sampled mean is reported, and corrected: one that is a third too
#: high costs up to 6% of NDCG.
REPORTED, CORRECTED = 0.01, 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class MeanLength:
    """The mean length of a collection whose texts are loaded.

    Attributes:
        client: Where the collection is.
        collection: The collection.
        spec: Its spec, with the sampled mean length.
        notes: The ledger's notes.
        say: Shows a note to the user.
        must_stop: Whether the job is asked to end.
    """

    client: Client
    collection: str
    spec: CollectionSpec
    notes: Any
    say: Callable[[str], None]
    must_stop: Callable[[], bool]

    def corrected(self, *, texts: int, terms: int) -> CollectionSpec | None:
        """The spec with the mean length that its weights have; None if it was stopped before.

        Args:
            texts: Texts that were encoded since the mean length was sampled.
            terms: Their terms.
        """
        sparse, tried = self.spec.sparse, self.notes.get(SAMPLED)
        if tried is None or sparse is None or sparse.mean_length is None:
            return self.spec
        used = sparse.mean_length
        if used not in tried:  # of a collection that was deleted since
            del self.notes[SAMPLED]
            return self.spec
        true = max(1.0, terms / texts) if texts else used
        off = used / true - 1
        lengths = f"BM25's mean length is {used:.1f} terms by a sample, {true:.1f} by all texts"
        if abs(off) <= CORRECTED and tried == [used]:
            if abs(off) > REPORTED:
                self.say(f"{lengths}: {off:+.0%}, too little to matter")
            del self.notes[SAMPLED]
            return self.spec
        # What died in the middle has left weights of several mean lengths.
        means = [used, *(one for one in tried if one != used)]
        self.notes[SAMPLED] = [*means, true]
        self.say(f"{lengths} ({off:+.0%}): its weights are made again")
        unclear = self._reweigh([*means, true], true)
        if unclear is None:
            return None
        if unclear:
            self.say(f"{unclear:,} texts keep the BM25 weights of the sampled mean length")
        first = sparse.sampled_length or used
        spec = replace(self.spec, sparse=replace(sparse, mean_length=true, sampled_length=first))
        write_spec(self.client, self.collection, spec)
        del self.notes[SAMPLED]
        return spec

    def _reweigh(self, means: list[float], mean: float) -> int | None:
        """Make all weights again; how many could not be, None if it was stopped."""
        unclear = 0
        for page in pages(self.client, self.collection, with_vectors=[BM25]):
            if self.must_stop():
                return None
            points = []
            for point in page:
                given = point.vector.get(BM25) if isinstance(point.vector, dict) else None
                if not isinstance(given, models.SparseVector) or not given.values:
                    continue
                values = reweigh(given.values, means=means, mean=mean)
                if values is None:
                    unclear += 1
                    continue
                vector = models.SparseVector(indices=given.indices, values=values.tolist())
                points.append(models.PointVectors(id=point.id, vector={BM25: vector}))
            if points:
                call_with_retries(
                    self.client,
                    self.collection,
                    "writing BM25 weights",
                    partial(self.client.update_vectors, self.collection, points, wait=True),
                )
        return unclear
