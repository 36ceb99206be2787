"""Divides texts into batches of similar length."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def token_batches(
    lengths: Sequence[int] | NDArray[np.intp], budget: int
) -> Iterator[NDArray[np.intp]]:
    """Divide texts into batches by a budget of token positions.

    A batch is padded to its longest text, and padding costs as much as tokens do. So the texts are
    sorted by length, and a batch has as many texts as fit: their number times the length of the
    longest is at most ``budget``, unless it is a single text.

    Args:
        lengths: n numbers of tokens, or intp ``(n,)``.
        budget: Token positions of a batch, padding included; 0 for batches of one text.

    Yields:
        intp ``(m,)``: the rows of a batch. Each row is in one batch. The longest texts come first,
        so that threads that share the batches end at about the same time.
    """
    order = np.argsort(-np.asarray(lengths, np.intp), kind="stable")
    start = 0
    while start < len(order):
        longest = max(1, int(lengths[order[start]]))
        stop = start + max(1, budget // longest)
        yield order[start:stop]
        start = stop
