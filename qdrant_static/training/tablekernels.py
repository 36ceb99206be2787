# Numba gives these functions their types.
# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator, call-arg"
# mypy: disable-error-code="var-annotated, assignment"
# ruff: noqa: ANN001, ANN201, ANN202
"""Kernels of training: sparse counts times a table, and Adam on the rows that a batch touches.

Threads divide the work by rows of the result: each number is computed by one thread in one order,
so that results do not depend on the number of threads.
"""

from __future__ import annotations

import numpy as np

from qdrant_static.intrinsics import compiled

#: Terms of a sum that are added in float32; such partial sums are added in float64. A sum over a
#: frequent word has tens of thousands of terms.
_RUN = 64


@compiled
def sum_rows(ends, indices, shares, table, rows, first, last, out):
    """Multiply some rows of a sparse matrix by a table.

    Args:
        ends: int64 (n + 1,), where each row of the matrix begins and ends (CSR).
        indices: int32, the columns of its entries.
        shares: float32, its entries.
        table: float32 (columns of the matrix, dim).
        rows: int64 (m,), the rows of the matrix that are wanted.
        first: The first of ``rows`` that this call computes.
        last: The end of these.
        out: float32 (m, dim), receives the products.
    """
    dim = table.shape[1]
    part = np.empty(dim, np.float32)
    total = np.empty(dim, np.float64)
    for i in range(first, last):
        begin, end = ends[rows[i]], ends[rows[i] + 1]
        _sum_run(indices, shares, table, begin, min(end, begin + _RUN), part)
        if end - begin <= _RUN:
            for j in range(dim):
                out[i, j] = part[j]
            continue
        for j in range(dim):
            total[j] = part[j]
        for start in range(begin + _RUN, end, _RUN):
            _sum_run(indices, shares, table, start, min(end, start + _RUN), part)
            for j in range(dim):
                total[j] += part[j]
        for j in range(dim):
            out[i, j] = total[j]


@compiled
def _sum_run(indices, shares, table, begin, end, out):
    """Sum some table rows times their shares, four at a time, into ``out``, float32 (dim,)."""
    dim = table.shape[1]
    for j in range(dim):
        out[j] = 0.0
    k = begin
    while k + 4 <= end:
        a, b, c, d = indices[k], indices[k + 1], indices[k + 2], indices[k + 3]
        p, q, r, s = shares[k], shares[k + 1], shares[k + 2], shares[k + 3]
        for j in range(dim):
            out[j] += p * table[a, j] + q * table[b, j] + r * table[c, j] + s * table[d, j]
        k += 4
    while k < end:
        a, p = indices[k], shares[k]
        for j in range(dim):
            out[j] += p * table[a, j]
        k += 1


@compiled
def transpose_batch(
    ends, indices, shares, rows, marks, number, slots, tokens, starts, texts, weights
):  # fmt: skip
    """List the tokens of a batch, and the texts of the batch that have each.

    Args:
        ends: int64 (n + 1,), as for `sum_rows`.
        indices: int32, as for `sum_rows`.
        shares: float32, as for `sum_rows`.
        rows: int64 (m,), the texts of the batch.
        marks: int64 (tokens,), receives ``number`` for each token of the batch.
        number: A number that no earlier call had.
        slots: int64 (tokens,), receives the place of each token in the list.
        tokens: int64 (tokens,), receives the list, in the order in which tokens are met.
        starts: int64 (tokens + 1,), receives where the entries of each listed token begin.
        texts: int64 (entries of the batch,), receives which text of the batch an entry is from.
        weights: float32, as long, receives the shares.

    Returns:
        How many tokens there are.
    """
    count = 0
    for row in rows:
        for k in range(ends[row], ends[row + 1]):
            token = indices[k]
            if marks[token] != number:
                marks[token] = number
                slots[token] = count
                tokens[count] = token
                starts[count] = 0
                count += 1
            starts[slots[token]] += 1
    total = 0
    for i in range(count):
        size = starts[i]
        starts[i] = total
        total += size
    starts[count] = total
    for i in range(len(rows)):
        for k in range(ends[rows[i]], ends[rows[i] + 1]):
            slot = slots[indices[k]]
            at = starts[slot]
            texts[at] = i
            weights[at] = shares[k]
            starts[slot] = at + 1
    for i in range(count, 0, -1):
        starts[i] = starts[i - 1]
    starts[0] = 0
    return count


@compiled
def adam_step(
    tokens, starts, texts, weights, by_sum, first, last, mean, square, table, rate, mean_scale,
    square_scale,
):  # fmt: skip
    """Change the rows of a table that a batch touches by one step of Adam.

    The gradient of a table row is the sum of the gradients of the texts that have the token, times
    its share of their tokens. Rows that no text of the batch has are left as they are, with their
    moments ("lazy" Adam; Kingma and Ba, 2015, arXiv:1412.6980, with decay 0.9 and 0.999).

    Args:
        tokens: int64, the rows of the table to change, as `transpose_batch` lists them.
        starts: int64, where the entries of each begin.
        texts: int64, the text of the batch that an entry is from.
        weights: float32, the share that the token has of it.
        by_sum: float32 (m, dim), the gradient by the sum of each text of the batch.
        first: The first of ``tokens`` that this call changes.
        last: The end of these.
        mean: float32 (rows, dim), the first moments.
        square: float32 (rows, dim), the second moments.
        table: float32 (rows, dim), changed.
        rate: The learning rate.
        mean_scale: 1 / (1 - 0.9 ** step).
        square_scale: 1 / (1 - 0.999 ** step).
    """
    dim = table.shape[1]
    gradient = np.empty(dim, np.float32)
    step = np.float32(rate * mean_scale)
    scale = np.float32(square_scale)
    for i in range(first, last):
        _sum_run(texts, weights, by_sum, starts[i], starts[i + 1], gradient)
        row = tokens[i]
        for j in range(dim):
            g = gradient[j]
            m = np.float32(0.9) * mean[row, j] + np.float32(0.1) * g
            v = np.float32(0.999) * square[row, j] + np.float32(0.001) * g * g
            mean[row, j] = m
            square[row, j] = v
            table[row, j] -= step * m / (np.sqrt(v * scale) + np.float32(1e-8))
