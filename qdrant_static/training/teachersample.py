"""Encodes as many texts as a time allows, chosen by what they cover (see ``coverage``).

1. A first choice, small, is encoded to measure how many characters a second the teacher takes.
2. From this rate and the time that is left follows what further texts may cost together.
3. They are chosen, and encoded in the order of their use, so that a rate that falls costs the least
   useful texts. Where time is left after that, steps 2 and 3 are repeated.

Texts whose vectors are stored already take no time, and count as chosen.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from qdrant_static.training.coverage import coverage_order

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from qdrant_static.training.teachervectors import TeacherVectors
    from qdrant_static.training.trainingprogress import TrainingProgress

#: Texts of the mean length that measure the rate.
_PILOT_TEXTS = 48
#: What a text costs besides its characters, in characters: special tokens, the call.
_TEXT_COSTS = 16
#: The rate varies: so much more is chosen than it allows, since the time ends the work anyway.
_MARGIN = 1.1
_REPEATS = 4


def encode_within(
    stored: TeacherVectors,
    texts: Sequence[str],
    counts: Any,
    *,
    minutes: float,
    worth: NDArray[np.floating[Any]] | None = None,
    progress: Callable[[TrainingProgress], None] | None = None,
) -> NDArray[np.bool_]:
    """Encode texts until the time is up.

    Args:
        stored: The teacher's vectors.
        texts: n texts.
        counts: Sparse ``(n, rows)``: the share of each token in each text.
        minutes: How long the teacher may take, in minutes.
        worth: ``(n,)``: a factor of each text's gain; None for equal ones.
        progress: Called with the number of vectors stored, and the time left.

    Returns:
        bool ``(n,)``: the texts whose vectors are stored.
    """
    until = time.monotonic() + 60 * minutes

    def shown(now: TrainingProgress) -> None:
        if progress is not None:
            left = max(0.0, until - time.monotonic())
            progress(replace(now, done=len(stored), total=None, left_s=left))

    costs = np.fromiter(map(len, texts), np.int64, len(texts)) + _TEXT_COSTS
    have = stored.has(texts)
    budget = _PILOT_TEXTS * float(costs.mean())
    spent = took = 0.0
    for _ in range(1 + _REPEATS):
        if have.all() or time.monotonic() >= until:
            break
        for chosen in coverage_order(counts, costs, budget=budget, chosen=have, worth=worth):
            began = time.monotonic()
            stored.encode([texts[at] for at in chosen], until=until, progress=shown)
            took += time.monotonic() - began
            done = stored.has([texts[at] for at in chosen])
            have[chosen[done]] = True
            spent += float(costs[chosen[done]].sum())
            if not done.all():
                break
        left = max(0.0, until - time.monotonic())
        budget = max(budget, _MARGIN * left * spent / max(took, 1e-6))
    return have
