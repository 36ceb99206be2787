"""The model that a fit starts from, in the teacher's space.

Without a parent, the vocabulary is the teacher's own, and the row of a token is the teacher's
vector of this token alone, between its special tokens (``[CLS] token [SEP]``). A static model as
parent has a vocabulary and a space of its own: its table is mapped to the teacher's space by
ridge regression (`mapped`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from qdrant_static.encoders.onnx import OnnxEncoder
from qdrant_static.encoders.static import StaticEncoder
from qdrant_static.errors import ArgumentError
from qdrant_static.training.tablemodel import TableModel, token_ids
from qdrant_static.training.teachervectors import TeacherVectors
from qdrant_static.training.trainingprogress import TrainingProgress

if TYPE_CHECKING:
    import os

    from numpy.typing import NDArray

    from qdrant_static.encoders.base import Encoder

#: Token positions of a batch of single tokens. A batch is ten times as fast as one after the other;
#: what models with dynamic quantization lose by it matters little at the start of a fit.
_TOKEN_BUDGET = 192
#: Tokens that are encoded in one call, always the same ones, so that their vectors are, too.
_TOGETHER = 1024
#: Weight of the ridge, relative to the mean of the diagonal that it is added to.
_RIDGE = 1e-3
#: Texts in a block of a sum of products.
_BLOCK = 1024


def vocabulary_of(teacher: Encoder, parent: Encoder | None) -> TableModel:
    """Return a model with the vocabulary that is trained.

    Args:
        teacher: The teacher; without a parent, a transformer in ONNX or a static model.
        parent: A static model whose vocabulary and table are taken, or None.

    Returns:
        The parent's table, or the table of a static teacher; for a transformer a table of zeros
        with one column, which `token_outputs` replaces.

    Raises:
        ArgumentError: If there is no vocabulary to train.
    """
    if parent is not None:
        return TableModel.from_encoder(parent)
    if isinstance(teacher, StaticEncoder):
        return TableModel.from_encoder(teacher)
    if not isinstance(teacher, OnnxEncoder):
        raise ArgumentError(
            field="parent",
            problem=f"{teacher.info.name!r} does not give its tokenizer: name a static model whose "
            "vocabulary and table the fit starts from, such as 'wordllama'",
        )
    tokenizer = type(teacher.tokenizer).from_str(teacher.tokenizer.to_str())
    tokenizer.no_truncation()
    return TableModel(
        table=np.zeros((token_ids(tokenizer), 1), np.float32),
        tokenizer=tokenizer,
        max_length=teacher.info.max_length,
        parent=teacher.info.name,
        parent_fingerprint=teacher.info.fingerprint,
    )


def token_outputs(
    teacher: OnnxEncoder,
    cache: str | os.PathLike[str],
    *,
    progress: Callable[[TrainingProgress], None] | None = None,
) -> NDArray[np.float32]:
    """Return the teacher's vector of each of its tokens alone, made once for each cache.

    Args:
        teacher: The transformer.
        cache: The folder of the teacher's vectors.
        progress: Called with the tokens done, their total, and the time left.

    Returns:
        float32 ``(rows, dimension)``; zeros for ids that no token has.
    """
    ids = sorted(teacher.tokenizer.get_vocab(with_added_tokens=True).values())
    names = [str(one) for one in ids]
    table = np.zeros((ids[-1] + 1, teacher.info.dimension), np.float32)

    def encode(texts: Sequence[str]) -> NDArray[np.float32]:
        return alone(teacher, [[int(text)] for text in texts], token_budget=_TOKEN_BUDGET)

    started, first = time.monotonic(), 0
    with TeacherVectors(cache, teacher, kind="tokens", encode=encode) as stored:
        for begin in range(0, len(names), _TOGETHER):
            block = names[begin : begin + _TOGETHER]
            if stored.has(block).all():
                first = begin + len(block)
                continue
            stored.store(block)
            if progress is not None:
                done = begin + len(block)
                took = time.monotonic() - started
                progress(
                    TrainingProgress(
                        phase="teacher",
                        done=done,
                        total=len(names),
                        unit="tokens",
                        left_s=took * (len(names) - done) / (done - first),
                    )
                )
        table[ids] = stored.vectors(names)
    return table


def alone(
    teacher: OnnxEncoder, pieces: Sequence[Sequence[int]], *, token_budget: int | None = None
) -> NDArray[np.float32]:
    """Return the teacher's vectors of words given by their tokens.

    Args:
        teacher: The transformer.
        pieces: n lists of token ids, without special tokens.
        token_budget: As for `OnnxEncoder.encode_ids`.

    Returns:
        float32 ``(n, dimension)``.
    """
    probe = teacher.tokenizer.encode("a")
    of_text = [at for at, special in enumerate(probe.special_tokens_mask) if not special]
    head = probe.ids[: of_text[0]] if of_text else []
    tail = probe.ids[of_text[-1] + 1 :] if of_text else []
    return teacher.encode_ids([[*head, *one, *tail] for one in pieces], token_budget=token_budget)


def mapped(
    table: NDArray[np.float32], counts: Any, targets: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Map a table to another space, by the ridge regression of the texts' vectors there.

    Solves ``(X'X + r I) W = X'Y`` with ``X = counts @ table`` and returns ``table @ W``.

    Args:
        table: float32 ``(rows, own dimension)``.
        counts: Sparse ``(n, rows)``: the share of each token in each text.
        targets: float32 ``(n, dimension)``: the vectors of the texts in the other space.

    Returns:
        float32 ``(rows, dimension)``.
    """
    square = np.zeros((table.shape[1],) * 2)
    cross = np.zeros((table.shape[1], targets.shape[1]))
    for begin in range(0, counts.shape[0], _BLOCK):  # in one order, whatever BLAS' threads
        part = np.asarray(counts[begin : begin + _BLOCK] @ table, np.float64)
        square += part.T @ part
        cross += part.T @ targets[begin : begin + _BLOCK]
    least = float(np.finfo(np.float64).tiny)
    square[np.diag_indices_from(square)] += max(_RIDGE * np.trace(square) / len(square), least)
    return np.asarray(table @ np.linalg.solve(square, cross), np.float32)
