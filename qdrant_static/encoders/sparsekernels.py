"""Kernel of BM25: counts and weighs the term ids of each row.

Imported by ``sparse`` on first use, because importing Numba takes longer than a short search.
"""

# ruff: noqa: ANN001, ANN201 - Numba infers the types of kernels
# mypy: disable-error-code="no-untyped-def, assignment"

from __future__ import annotations

import numpy as np

from qdrant_static.intrinsics import compiled

ROOM = 6
"""The scratch table needs this many slots per term of the longest row, and 64 more."""

_COMMON = 8
_ID_BITS = 31  # of the engine's ids; larger ones would be right too, but crowd the last slot

_U = np.uint64
_ONE, _EMPTY = _U(1), _U(0)
_HALF, _LOW = _U(32), _U(0xFFFFFFFF)


@compiled
def weigh(ids, starts, counts, k, b, avg_len, slots, indices, values, row_sizes):
    """Count the terms of rows and weigh them.

    Term ids are hashes, so that their upper bits say where an id stands among the others: a table
    whose slot is taken from these, kept in order while probing, counts and sorts in one go.

    Args:
        ids: uint32, term ids.
        starts: int64 (n,), where the ids of each row begin.
        counts: int64 (n,), their number.
        k: Saturation of term frequency.
        b: Weight of the length, 0 to 1.
        avg_len: Mean number of terms.
        slots: uint64 (``ROOM`` times the longest row + 64,), zeros; left as zeros. A slot is an id
            and, in its lower half, a count.
        indices: uint32 (all terms + 1,), receives the distinct ids, ascending within each row.
        values: float32, as long, receives their weights.
        row_sizes: int64 (n,), receives the number of distinct ids.

    Returns:
        The number of distinct ids of all rows.
    """
    end = 0
    weights = np.zeros(_COMMON, np.float32)
    for row in range(len(starts)):
        n = counts[row]
        bits = 4
        while (1 << bits) < 2 * n:
            bits += 1
        last = (_ONE << _U(bits)) - _ONE
        shift = _U(max(_ID_BITS - bits, 0))
        for i in range(starts[row], starts[row] + n):
            term = _U(ids[i])
            key = term << _HALF
            p = min(term >> shift, last)
            slot = slots[p]
            while slot != _EMPTY and slot < key:
                p += _ONE
                slot = slots[p]
            if slot != _EMPTY and slot >> _HALF == term:
                slots[p] = slot + _ONE
                continue
            moved = key | _ONE
            while slot != _EMPTY:
                slots[p] = moved
                moved = slot
                p += _ONE
                slot = slots[p]
            slots[p] = moved
        # In float64 and rounded once, as the engine does it: the weights are the same to the bit.
        norm = k * (1.0 - b + b * n / avg_len)
        for count in range(1, _COMMON):
            weights[count] = np.float32(count * (k + 1.0) / (count + norm))
        first = end
        # Every slot is written out and counted only if taken: a branch would be guessed wrong.
        for q in range((1 << bits) + n):
            slot = slots[_U(q)]
            slots[_U(q)] = _EMPTY
            count = np.int64(slot & _LOW)
            indices[end] = np.uint32(slot >> _HALF)
            values[end] = weights[min(count, _COMMON - 1)]
            if count >= _COMMON:
                values[end] = np.float32(count * (k + 1.0) / (count + norm))
            end += count > 0
        row_sizes[row] = end - first
    return end
