"""Adapts a static model to a corpus: `adapt` fits its table to a teacher's vectors of the texts.

1. The vocabulary is the teacher's, or that of a parent; what the texts can teach it is checked.
2. The teacher encodes the texts, or as many as a time allows; its vectors are kept on disk.
3. The fit starts from the teacher's vectors of the tokens alone, or from the parent's table, mapped
   to the teacher's space. The vocabulary may grow by frequent words and lose unused rows.
4. The table is fitted to the teacher's vectors less their mean, normalized (``fit``).
5. The space is turned to the axes of the corpus (``corpusaxes``), so that prefixes can be used.
6. The table is saved with a card. What was done to the teacher's vectors is saved beside it, as a
   head: for asymmetric search, where the teacher encodes the documents and the table the queries.

No step knows of queries or judgements.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qdrant_static import rules
from qdrant_static.encoders.registry import as_encoder
from qdrant_static.training.adaptoptions import AdaptOptions
from qdrant_static.training.adaptreport import Adaptation
from qdrant_static.training.adaptrun import AdaptRun
from qdrant_static.training.fit import fit_table
from qdrant_static.training.fitsettings import FitSettings
from qdrant_static.training.modelfolder import require_ours, save_model
from qdrant_static.training.texts import TrainingTexts
from qdrant_static.training.trainingprogress import ProgressDisplay, TrainingProgress

if TYPE_CHECKING:
    from collections.abc import Iterable

    from qdrant_static.encoders.registry import AnyEncoder
    from qdrant_static.training.fit import Fit
    from qdrant_static.training.trainingprogress import ProgressArgument

#: The folder of the teacher's vectors, beside the model, if none is named.
CACHE = "teacher-vectors"


def adapt(
    texts: TrainingTexts | Iterable[str],
    *,
    teacher: AnyEncoder,
    out: str | os.PathLike[str],
    parent: AnyEncoder | None = None,
    options: AdaptOptions | None = None,
    settings: FitSettings | None = None,
    progress: ProgressArgument = None,
) -> Adaptation:
    """Fit a static model to a corpus, with a teacher that is too slow to search with.

    Interrupted or failed, the same call continues with the teacher's vectors that are stored.

    Args:
        texts: The corpus, read by `TrainingTexts`; or passages.
        teacher: The encoder whose vectors are learned, or its name: ``"onnx:FOLDER"``,
            ``"fastembed:NAME"``, any other.
        out: The folder to write; a model that training wrote there before is replaced.
        parent: The static model to start from; None starts from the teacher's token outputs, for
            which the teacher must be a transformer in ONNX.
        options: Time, dimension, vocabulary, seed; None for the defaults.
        settings: Details of the fit; None for the defaults.
        progress: True shows progress on standard error; a function is called with a
            `TrainingProgress`.

    Returns:
        What was made, with the agreement on texts that were held out.

    Raises:
        ArgumentError: If the texts are too few or in another script than the vocabulary, a
            dimension does not fit, or the folder holds something else.
        TeacherFailedError: If the teacher fails; what it encoded stays.
        StorageError: If another process writes to the same cache.
    """
    chosen = AdaptOptions() if options is None else options
    corpus = texts if isinstance(texts, TrainingTexts) else TrainingTexts.of(texts)
    folder = Path(rules.location("out", out)).expanduser().absolute()
    require_ours(folder)
    if chosen.judged is not None:
        corpus = corpus.without_queries(chosen.judged, leave_out=chosen.leave_out_judged)
    run = AdaptRun(
        corpus=corpus,
        teacher=as_encoder(teacher),
        parent=None if parent is None else as_encoder(parent),
        options=chosen,
        cache=Path(chosen.cache or folder.parent / CACHE),
    )
    with ProgressDisplay(progress) as show:
        began = time.monotonic()
        taken, vectors = run.teach(show)
        mean = run.mean(vectors)
        head = run.head(mean)
        targets = head.apply(vectors)
        model, start, words = run.start(targets, taken, show)
        teacher_s, began = time.monotonic() - began, time.monotonic()
        fitting = run.settings(settings)
        counts = model.counts([run.texts[at] for at in taken])
        fit = fit_table(
            counts,
            targets,
            model.table,
            settings=fitting,
            importance=run.importance(taken),
            seed=chosen.seed,
            progress=_Steps(show),
        )
        model = model.with_table(fit.table)
        if chosen.turn:
            axes = run.axes(model)
            head = run.head(mean, axes)
            model = model.with_table(model.table @ axes)
        fit_s = time.monotonic() - began
    figures = _figures(fit) | {"teacher_s": round(teacher_s, 1), "fit_s": round(fit_s, 1)}
    card = run.card(len(taken), start, words, fitting, figures, head)
    fingerprint = save_model(model, folder, card, dtype=chosen.dtype, documents=head)
    return Adaptation(
        path=str(folder),
        fingerprint=fingerprint,
        teacher=run.teacher.info.name,
        start=start,
        corpus=str(corpus),
        texts=len(taken),
        of_texts=len(corpus),
        rows=len(model.table),
        dimension=model.dimension,
        use=str(run.use),
        agreement=None if fit.after is None else fit.after.cosine,
        figures=figures,
        teacher_s=teacher_s,
        fit_s=fit_s,
        notes=tuple(run.notes),
    )


class _Steps:
    """Shows the steps of a fit, with the time left.

    Args:
        show: Shows progress.
    """

    def __init__(self, show: ProgressDisplay) -> None:
        self._show = show
        self._first: tuple[float, int] | None = None

    def __call__(self, done: int, total: int) -> None:
        """Show that a number of steps is done."""
        now = time.monotonic()
        self._first = self._first or (now, done)
        started, first = self._first
        left = None if done == first else (now - started) * (total - done) / (done - first)
        self._show(TrainingProgress(phase="fit", done=done, total=total, unit="steps", left_s=left))


def _figures(fit: Fit) -> dict[str, Any]:
    """Return the figures of a fit for the card and the report."""
    found: dict[str, Any] = {
        "fitted_texts": fit.texts,
        "held_out_texts": fit.held_out,
        "penalty": fit.penalty,
        "epochs": fit.epochs,
        "best_epoch": fit.best_epoch,
    }
    for when, one in (("before", fit.before), ("solved", fit.solved), ("after", fit.after)):
        if one is not None:
            cosine = None if one.cosine is None else round(one.cosine, 4)
            found |= {f"agreement_{when}": cosine, f"kl_{when}": round(one.kl, 4)}
    return found
