"""The part of a ledger that counts what was encoded: texts, BM25 terms, vectors of zeros."""

from __future__ import annotations

from pathlib import Path

from qdrant_static.ledger.ledgerfile import LedgerFile
from qdrant_static.ledger.records import Encoded

#: The note of a sampled mean length whose collection is not loaded to its end.
SAMPLED = "sampled mean length"
#: The note of what the last run has encoded.
_ENCODED = "encoded"


class EncodedCounts(LedgerFile):
    """A ledger's counts of encoded texts and terms."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._encoded: tuple[int, Encoded, tuple[int, int]] | None = None

    def encoded(self, run: int) -> Encoded:
        """What a run has encoded, in all its attempts."""
        found = self.notes.get(_ENCODED, {})
        return Encoded(*found["counts"]) if found.get("run") == run else Encoded()

    def sampled(self, mean_length: float) -> None:
        """Note that BM25's mean length was sampled: from now on terms are counted."""
        self.notes[_ENCODED] = {}
        self._encoded = None
        self.notes[SAMPLED] = [mean_length]

    def terms(self, run: int) -> tuple[int, int]:
        """Texts and their terms since the mean length was sampled, of a run and those before."""
        texts, terms, _ = self.encoded(run)
        earlier = self._earlier(run)
        return texts + earlier[0], terms + earlier[1]

    def _earlier(self, run: int) -> tuple[int, int]:
        """What runs before have encoded, if they did not load a sampled collection to its end."""
        found = self.notes.get(_ENCODED, {})
        if not found or SAMPLED not in self.notes:
            return 0, 0
        texts, terms = found["earlier"]
        if found["run"] == run:
            return texts, terms
        return texts + found["counts"][0], terms + found["counts"][1]

    def _count_encoded(self, run: int, more: Encoded) -> None:
        if self._encoded is None or self._encoded[0] != run:
            self._encoded = (run, self.encoded(run), self._earlier(run))
        _, so_far, earlier = self._encoded
        counts = Encoded(*(a + b for a, b in zip(so_far, more, strict=True)))
        self._encoded = (run, counts, earlier)
        self.enter_note(_ENCODED, {"run": run, "counts": counts, "earlier": earlier})
