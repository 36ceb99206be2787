"""The steps of an adaptation before and after its fit: the teacher, the start, the card."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from qdrant_static.encoders.head import DOCUMENTS, Head
from qdrant_static.encoders.onnx import OnnxEncoder
from qdrant_static.errors import ArgumentError
from qdrant_static.training.adaptoptions import AdaptOptions
from qdrant_static.training.corpusaxes import MOST_PASSAGES, corpus_axes, sample
from qdrant_static.training.coverage import MIN_TEXTS, vocabulary_use
from qdrant_static.training.fitsettings import FitSettings
from qdrant_static.training.startingtable import alone, mapped, token_outputs, vocabulary_of
from qdrant_static.training.teachersample import encode_within
from qdrant_static.training.teachervectors import TeacherVectors, other_teachers
from qdrant_static.training.texts import TrainingTexts
from qdrant_static.training.trainingprogress import ProgressDisplay
from qdrant_static.training.vocabulary import (
    NewWord,
    frequent_words,
    why_fixed,
    with_words,
    without_unused,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from qdrant_static.encoders.base import Encoder
    from qdrant_static.training.coverage import VocabularyUse
    from qdrant_static.training.tablemodel import TableModel

    Floats = NDArray[np.float32]

#: A passage's gain in a sample counts so many times that of a sentence. Cranfield, a quarter of all
#: characters: NDCG@10 of static vectors .503 with 3, .428 with 1, .460 with passages alone.
_PASSAGE_WORTH = 3.0


#: How far the scatter of sentences inside passages is evened out (`corpus_axes`).
WHITEN = 0.5


class AdaptRun:
    """The steps of one adaptation, and what they have in common.

    Args:
        corpus: The texts.
        teacher: The encoder that is learned from.
        parent: The static model to start from, if any.
        options: How it is done.
        cache: The folder of the teacher's vectors.

    Raises:
        ArgumentError: If the texts cannot teach the vocabulary, or a dimension does not fit.
    """

    def __init__(
        self,
        *,
        corpus: TrainingTexts,
        teacher: Encoder,
        parent: Encoder | None,
        options: AdaptOptions,
        cache: Path,
    ) -> None:
        options.check_dimension(teacher.info.dimension)
        self.corpus, self.teacher, self.parent = corpus, teacher, parent
        self.options, self.cache = options, cache
        self.texts = corpus.all
        self.vocabulary = vocabulary_of(teacher, parent)
        self.counts = self.vocabulary.counts(self.texts)
        self.use: VocabularyUse = vocabulary_use(self.counts, self.texts, self.vocabulary.tokenizer)
        self.notes = list(self.use.notes)
        if others := other_teachers(cache, teacher):
            self.notes.append(
                f"the cache {cache} also has vectors of other teachers, which were not used: "
                + ", ".join(others)
            )

    def teach(self, show: ProgressDisplay) -> tuple[NDArray[np.intp], Floats]:
        """Encode the texts.

        Returns:
            intp ``(n,)``, the numbers of the texts that have vectors; float32 ``(n, dim)``.
        """
        minutes = self.options.teacher_minutes
        with TeacherVectors(self.cache, self.teacher) as stored:
            if minutes is None:
                stored.encode(self.texts, progress=show)
                taken = np.arange(len(self.texts))
            else:
                worth = np.ones(len(self.texts))
                worth[: len(self.corpus.passages)] = _PASSAGE_WORTH
                have = encode_within(
                    stored, self.texts, self.counts, minutes=minutes, worth=worth, progress=show
                )
                taken = np.flatnonzero(have)
            vectors = stored.vectors([self.texts[at] for at in taken])
        if len(taken) < MIN_TEXTS:
            raise ArgumentError(
                field="teacher_minutes",
                problem=f"the teacher encoded {len(taken):,} texts in that time, and at least "
                f"{MIN_TEXTS} are needed; they are stored, and a repeat continues",
            )
        return taken, vectors

    def start(
        self, targets: Floats, taken: NDArray[np.intp], show: ProgressDisplay
    ) -> tuple[TableModel, str, list[NewWord]]:
        """Return the model to start from in the teacher's space, what it is, and new words."""
        teacher, model = self.teacher, self.vocabulary
        if self.parent is None and isinstance(teacher, OnnxEncoder):
            start = "token outputs of the teacher"
            model = model.with_table(token_outputs(teacher, self.cache, progress=show))
        elif model.parent_fingerprint == teacher.info.fingerprint:
            start = "table of the teacher"
        else:
            start = f"table of {model.parent}, mapped to the teacher's space"
            model = model.with_table(mapped(model.table, self.counts[taken], targets))
        words: list[NewWord] = []
        if not (self.options.grow or self.options.prune):
            return model, start, words
        if (why := why_fixed(model.tokenizer)) is not None:
            self.notes.append(f"the vocabulary stays as it is: {why}")
            return model, start, words
        if self.options.grow:
            words = frequent_words(model.tokenizer, self.corpus.passages, self.options.grow)
            if self.parent is None and isinstance(teacher, OnnxEncoder):
                rows = alone(teacher, [word.pieces for word in words])
            else:
                means = [model.table[list(word.pieces)].mean(axis=0) for word in words]
                rows = np.asarray(means, np.float32).reshape(-1, model.dimension)
            model = with_words(model, words, rows)
        if self.options.prune:
            model = without_unused(model, model.counts(self.texts))
        return model, start, words

    def mean(self, vectors: Floats) -> Floats:
        """Return the mean of the vectors that are not zero, float32 ``(dim,)``."""
        known = vectors[vectors.any(axis=1)]
        return np.asarray(known.mean(axis=0, dtype=np.float64), np.float32)

    def head(self, mean: Floats, axes: Floats | None = None) -> Head:
        """Return what makes targets of the teacher's vectors.

        Args:
            mean: float32 ``(dim,)``, to subtract.
            axes: float32 ``(dim, dimension)``, to turn to; None leaves the vectors where they are.
        """
        matrix = np.eye(len(mean), dtype=np.float32) if axes is None else axes
        return Head(
            matrix=matrix,
            mean=mean,
            sizes=(int(matrix.shape[1]),),
            encoder=self.teacher.info.name,
            encoder_fingerprint=self.teacher.info.fingerprint,
            card={"kind": "documents", "corpus_digest": self.corpus.digest},
        )

    def importance(self, taken: NDArray[np.intp]) -> Floats | None:
        """Return how much each text counts for Adam: passages alone, where there are enough.

        On Cranfield and MEDLINE static vectors that are refined on passages alone had 4 to 12% more
        NDCG@10 than those refined on passages and sentences alike.

        Args:
            taken: int (n,), numbers of the texts that have vectors.

        Returns:
            float32 (n,); None for all texts equally.
        """
        passages = np.asarray(taken < len(self.corpus.passages), np.float32)
        return passages if passages.sum() >= MIN_TEXTS else None

    def axes(self, model: TableModel) -> Floats:
        """Return the axes of the corpus for a fitted model: float32 ``(dim, dimension)``."""
        found = corpus_axes(
            model,
            sample(self.corpus.passages, MOST_PASSAGES, self.options.seed),
            size=self.options.dimension or model.dimension,
            whiten=WHITEN,
        )
        return np.asarray(found.matrix, np.float32)

    def settings(self, given: FitSettings | None) -> FitSettings:
        """Return the settings of the fit."""
        found = FitSettings() if given is None else given
        if given is None and self.parent is not None:
            # The rows of a static model have the weights of their tokens already.
            found = replace(found, smoothing=None)
        epochs = self.options.epochs
        return found if epochs is None else replace(found, epochs=epochs)

    def card(
        self,
        texts: int,
        start: str,
        words: list[NewWord],
        settings: FitSettings,
        figures: dict[str, Any],
        head: Head,
    ) -> dict[str, Any]:
        """Return what the model's card says."""
        teacher, corpus = self.teacher.info, self.corpus
        identity: dict[str, Any] = {"name": teacher.name, "fingerprint": teacher.fingerprint}
        # The vectors of a teacher whose space was turned cannot be compared without the head.
        key = "turned_from" if self.options.turn else "teacher"
        return {
            "kind": "adapted",
            key: identity,
            "documents": {"name": DOCUMENTS, "fingerprint": head.fingerprint},
            "corpus": {
                "source": corpus.source,
                "passages": len(corpus.passages),
                "titles": len(corpus.titles),
                "sentences": len(corpus.sentences),
                "learned_from": texts,
                "digest": corpus.digest,
            },
            "recipe": {
                "start": start,
                **asdict(self.options),
                "words": [word.word for word in words],
                "fit": asdict(settings),
            },
            "figures": figures,
        }
