"""Compresses vectors by SMEC: a static model's table, or a head for the vectors of any model."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from qdrant_static import rules
from qdrant_static.encoders.head import Head, checked_sizes, load_head, save_head
from qdrant_static.encoders.headencoder import HeadEncoder
from qdrant_static.encoders.registry import AnyEncoder
from qdrant_static.encoders.static import StaticEncoder
from qdrant_static.errors import ArgumentError
from qdrant_static.training.compressinputs import Graded, vectors_of
from qdrant_static.training.compression import CompressedSize, Compression
from qdrant_static.training.modelfolder import save_model
from qdrant_static.training.smec.agreement import agreements
from qdrant_static.training.smec.neighborhoods import TrainingVectors
from qdrant_static.training.smec.orthogonal import principal_axes
from qdrant_static.training.smec.sequence import Reduction, ReductionStep, reduce_dimensions
from qdrant_static.training.smec.settings import SmecSettings
from qdrant_static.training.tablemodel import TableModel
from qdrant_static.training.texts import TrainingTexts
from qdrant_static.training.trainingprogress import (
    ProgressArgument,
    ProgressDisplay,
    TrainingProgress,
)

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Head", "HeadEncoder", "compress", "load_head", "save_head"]

#: The share of anchors that only measures, and the most of them.
_CHECKED, _MOST_CHECKED = 0.1, 1_000


def compress(
    model: AnyEncoder | NDArray[np.floating[Any]],
    texts: TrainingTexts | Iterable[str] | None = None,
    *,
    sizes: Sequence[int] = (128, 64, 32, 16),
    out: str | os.PathLike[str],
    pairs: str | os.PathLike[str] | Iterable[Graded] | None = None,
    encoder: AnyEncoder | None = None,
    cache: str | os.PathLike[str] | None = None,
    settings: SmecSettings | None = None,
    seed: int = 0,
    progress: ProgressArgument = None,
) -> Compression:
    """Shorten vectors so that they rank passages as the full ones do; the sizes are prefixes.

    Without pairs no label is used: the similarity of the full vectors is the relevance.

    Args:
        model: An encoder or its name; or the vectors themselves, ``(n, D)``.
        texts: What the encoder encodes: the passages of a corpus. None for vectors.
        sizes: In falling order; the first is the dimension of the result, and may be the full one.
        out: Where to write. A path that ends in ``.json``: a head for the encoder's vectors. Any
            other, for a static model only: a folder with the model whose table is shortened.
        pairs: A file, or pairs: queries are then ranked by the relevance of their passages.
        encoder: The encoder that made the vectors, if it is known: the head accepts no other, and
            encodes queries with it.
        cache: A folder that keeps what an encoder encoded, for a repeat.
        settings: How to train.
        seed: Of everything that is drawn.
        progress: True shows progress on standard error; a function is called with a
            `TrainingProgress`.

    Raises:
        ArgumentError: If there are too few passages, or arguments do not fit together.
        EncoderNotFoundError: If there is no such encoder.
    """
    rules.check_integer("seed", seed, least=0)
    settings = settings or SmecSettings()
    target = Path(rules.location("out", out)).expanduser()
    with ProgressDisplay(progress) as display:
        maker, vectors, left_out = vectors_of(model, texts, pairs, encoder, cache, display)
        dimension = vectors.passages.shape[1]
        wanted = checked_sizes(sizes, dimension)
        is_head = target.suffix == ".json"
        if not is_head and not isinstance(maker, StaticEncoder):
            raise ArgumentError(
                field="out",
                problem=f"{target} does not end in .json: the result for "
                f"{'vectors' if maker is None else maker.info.name} is a head, which is a JSON "
                "file with a matrix beside it; only a static model becomes a folder",
            )
        started = time.perf_counter()
        learned, checked = _split(vectors, seed)
        reduction = reduce_dimensions(
            learned, wanted, settings, seed=seed, on_step=_reporter(display, wanted, dimension)
        )
        seconds = time.perf_counter() - started
    matrix = np.ascontiguousarray(reduction.matrix[:, : wanted[0]])
    measured = _measured(vectors, checked, reduction, wanted)
    labels = "similarity" if vectors.grades is None else "pairs"
    card = {
        "kind": "compressed",
        "recipe": {"method": "SMEC", "sizes": list(wanted), "labels": labels, "seed": seed,
                   **settings.to_dict()},
        "rows": len(vectors.passages),
        "figures": [
            {"size": one.size, "prefix": round(one.prefix, 4), "rotation": round(one.rotation, 4),
             "compressed": round(one.compressed, 4)}
            for one in measured
        ],
    }  # fmt: skip
    if is_head:
        info = None if maker is None else maker.info
        head = Head(
            matrix=matrix,
            sizes=wanted,
            encoder=None if info is None else info.name,
            encoder_fingerprint=None if info is None else info.fingerprint,
            card=card,
        )
        path, print_ = save_head(head, target), head.fingerprint
    else:
        table = TableModel.from_encoder(maker)  # type: ignore[arg-type]  # checked above
        print_ = save_model(table.with_table(table.table @ matrix), target, card)
        path = target.absolute()
    return Compression(
        path=str(path),
        model="" if maker is None else maker.info.name,
        fingerprint=print_,
        inputs=dimension,
        rows=len(vectors.passages),
        left_out=left_out,
        labels=labels,
        sizes=measured,
        seconds=seconds,
    )


def _split(vectors: TrainingVectors, seed: int) -> tuple[TrainingVectors, NDArray[np.int64]]:
    """Set anchors aside that only measure, and return the rest and their rows."""
    count = len(vectors.anchors)
    generator = np.random.default_rng([seed, 1])
    checked = np.sort(
        generator.choice(count, max(1, min(int(count * _CHECKED), _MOST_CHECKED)), replace=False)
    )
    rest = np.setdiff1d(np.arange(count), checked)
    if vectors.queries is None:
        return TrainingVectors(passages=vectors.passages[rest]), checked
    if len(rest) < 2:
        raise ArgumentError(field="pairs", problem=f"{count} queries are too few to learn from")
    grades = None if vectors.grades is None else vectors.grades[rest]
    return (
        TrainingVectors(passages=vectors.passages, queries=vectors.queries[rest], grades=grades),
        checked,
    )


def _measured(
    vectors: TrainingVectors,
    checked: NDArray[np.int64],
    reduction: Reduction,
    sizes: tuple[int, ...],
) -> tuple[CompressedSize, ...]:
    """Measure every size on the anchors that were set aside."""
    anchors = vectors.anchors[checked]
    own = checked if vectors.queries is None else None
    identity = np.eye(vectors.passages.shape[1], dtype=np.float32)
    rotation = principal_axes(np.delete(vectors.passages, [] if own is None else own, axis=0))
    columns = [
        agreements(anchors, vectors.passages, matrix, sizes, own=own)
        for matrix in (identity, rotation, reduction.matrix)
    ]
    steps = {
        size: (step, number) for step in reduction.steps for number, size in enumerate(step.sizes)
    }
    return tuple(
        CompressedSize(
            size=size, prefix=before, rotation=turned, compressed=after, **_of_step(steps.get(size))
        )
        for size, before, turned, after in zip(sizes, *columns, strict=True)
    )


def _of_step(found: tuple[ReductionStep, int] | None) -> dict[str, Any]:
    """Return what the step of a size did."""
    if found is None:
        return {}
    step, number = found
    return {
        "achievement": step.achievement[number],
        "ware": step.ware[number],
        "epochs": step.epochs,
        "steps": step.steps,
        "converged": step.converged,
        "variance": step.variances[-1],
        "seconds": step.seconds,
    }


def _reporter(
    display: ProgressDisplay, sizes: tuple[int, ...], dimension: int
) -> Callable[[ReductionStep], None]:
    """Return what reports a step that has ended."""
    total = sum(size < dimension for size in sizes)
    done = 0
    display(TrainingProgress(phase="compress", done=0, total=total, unit="sizes"))

    def report(step: ReductionStep) -> None:
        nonlocal done
        done += len(step.sizes)
        display(TrainingProgress(phase="compress", done=done, total=total, unit="sizes"))

    return report
