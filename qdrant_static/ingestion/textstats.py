"""What a run measures of its texts: by a sample before the load, by all of them after it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from qdrant_static.collection.bm25 import measured
from qdrant_static.collection.create import read_spec
from qdrant_static.ingestion.loading import Item, in_passages, sample
from qdrant_static.ingestion.meanlength import MeanLength
from qdrant_static.ingestion.runchoice import ContinuableRun
from qdrant_static.ledger.records import Run
from qdrant_static.reading.batch import Batch
from qdrant_static.reading.passages import token_offsets
from qdrant_static.reading.textsample import spread
from qdrant_static.sinks.encoding import SAMPLE_ROWS

#: A sample from all over the input must have so many texts to take the place of its beginning.
_ENOUGH = 500


@dataclass(slots=True, kw_only=True)
class SampledRun(ContinuableRun):
    """A run that completes the settings of BM25 by its texts."""

    def _in_passages(self, items: Iterator[Item]) -> Iterator[Item]:
        """The same items, cut into passages where the job says so."""
        if self.passages is None:
            return items
        counted = token_offsets(self.encoder, self.late_encoder)
        return in_passages(items, self.passages, counted, self.source.selection.fields.text)

    def _sample(self, items: Iterator[Item]) -> Iterator[Item]:
        """Measure what BM25 needs to know of the texts; the same items from the beginning."""
        if self.spec.sparse is None or self.spec.sparse.mean_length is not None:
            return items
        found = self._in_passages(iter(spread(self.source, SAMPLE_ROWS)))
        texts = [text for one in found if isinstance(one, Batch) for text in one.texts.to_pylist()]
        whole = False
        if len(texts) < _ENOUGH:
            texts, whole, items = sample(items)
        self._measure(texts, whole=whole)
        return items

    def _measure(self, texts: Sequence[str], *, whole: bool) -> None:
        """Complete the settings of BM25 by a sample of the texts, and note what was chosen."""
        if self.spec.sparse is not None and texts:
            sparse, notes = measured(self.spec.sparse, texts, whole=whole)
            self.spec = replace(self.spec, sparse=sparse)
            self.ledger.encoded.start_counting_terms(sparse.mean_length or 1.0)
            for line in notes:
                self.display.say(line)

    def _look_back(self, run: Run, *, ended: bool) -> bool:
        """Note what the load has counted, and correct what was sampled; False if it was stopped."""
        self._note_zero_vectors(self.ledger.encoded.of_run(run.id).zeros)
        return ended and self._correct_mean_length(*self.ledger.encoded.texts_and_terms(run.id))

    def _correct_mean_length(self, texts: int, terms: int) -> bool:
        """Give BM25 the mean length of all texts, if a sample was off; False: stopped before."""
        mean = MeanLength(
            client=self.client,
            collection=self.collection,
            spec=self.spec,
            notes=self.ledger.notes,
            say=self.display.say,
            must_stop=lambda: self.stop is not None and self.stop.is_set(),
        )
        spec = mean.corrected(texts=texts, terms=terms)
        self.spec = spec or self.spec
        return spec is not None

    def _note_zero_vectors(self, zeros: int) -> None:
        """Note how many vectors are zeros: texts of no known token, or ready vectors."""
        if not zeros:
            return
        known = "; only BM25 finds them" if self.spec.sparse is not None else ""
        if self.source.selection.vectors is not None:
            note = f"ready vectors that are all zeros, and near to no query: {zeros:,}{known}"
        else:
            note = (
                f"{zeros:,} texts have no token that the encoder knows: their vectors are "
                f"zeros{known}"
            )
        self.display.say(note)

    def _know_mean_length(self) -> None:
        """What an earlier attempt has built with; the server does not know it yet."""
        sparse = self.spec.sparse
        if not self.building or sparse is None or sparse.mean_length is not None:
            return
        if self.client.collection_exists(self.collection):
            there = read_spec(self.client, self.collection).sparse
            if there is not None and there.mean_length is not None:
                self.spec = replace(self.spec, sparse=there)
