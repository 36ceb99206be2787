# Numba gives these functions their types.
# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator, call-arg"
# mypy: disable-error-code="var-annotated, assignment"
# ruff: noqa: ANN001, ANN201, ANN202, C901
"""Kernels that pool the table rows of token ids to one normalized vector per text.

Rows of the table are added one after the other in float32, in the order of the tokens, as in
model2vec (NumPy's mean over the gathered rows) and sentence-transformers (EmbeddingBag): another
order gives other vectors where rounding errors add up, as in a text of 500 equal words (1e-5). int8
rows add up to integers, which are exact.

model2vec's results are float16 for float16 tables; these kernels always give float32, which is more
precise.
"""

from __future__ import annotations

import numpy as np

from qdrant_static.intrinsics import compiled

WHOLE = 1 << 62
"""Tokens per run if all tokens are one run."""

INT8_RUN = 1 << 16
"""Tokens per run of an int8 table, whose sum is exact in float32; runs are added in float64."""


@compiled
def _sum_run(table, ids, start, stop, row):
    """Sum table rows of ``ids[start:stop]`` into ``row``, float32 (dim,), in their order.

    Eight at a time, so that ``row`` is loaded and stored once for eight; the processor adds several
    columns in parallel.
    """
    dim = table.shape[1]
    for j in range(dim):
        row[j] = 0.0
    k = start
    while k + 8 <= stop:
        a, b, c, d = ids[k], ids[k + 1], ids[k + 2], ids[k + 3]
        e, f, g, h = ids[k + 4], ids[k + 5], ids[k + 6], ids[k + 7]
        for j in range(dim):
            total = row[j] + np.float32(table[a, j])
            total += np.float32(table[b, j])
            total += np.float32(table[c, j])
            total += np.float32(table[d, j])
            total += np.float32(table[e, j])
            total += np.float32(table[f, j])
            total += np.float32(table[g, j])
            row[j] = total + np.float32(table[h, j])
        k += 8
    while k < stop:
        a = ids[k]
        for j in range(dim):
            row[j] += np.float32(table[a, j])
        k += 1


@compiled
def _sum_weighted_run(table, mapping, weights, ids, start, stop, row):
    """Sum rows with weights by token id and rows by ``mapping`` (either may be empty)."""
    dim = table.shape[1]
    for j in range(dim):
        row[j] = 0.0
    for k in range(start, stop):
        token = ids[k]
        a = mapping[token] if len(mapping) else token
        weight = weights[token] if len(weights) else np.float32(1.0)
        for j in range(dim):
            row[j] += np.float32(table[a, j]) * weight


@compiled(fastmath=True)
def pool(table, mapping, weights, ids, starts, counts, out, norms, mean, normalize, run=WHOLE):
    """Pool the tokens of every row; a row without tokens becomes zeros.

    Args:
        table: float32 or int8 (tokens, dim).
        mapping: int32 (ids,), from token id to table row; empty for none.
        weights: float32 (ids,), by token id; empty for none.
        ids: int32, all ids.
        starts: int64 (rows,), where a row's ids begin.
        counts: int64 (rows,), their number.
        out: float32 (rows, dim), receives the vectors.
        norms: float32 (rows,), receives the norms before normalization; or empty.
        mean: Divide by the number of tokens (else the sum).
        normalize: Divide by the norm.
        run: ``WHOLE``, or ``INT8_RUN`` for int8 tables.
    """
    dim = table.shape[1]
    exact = np.zeros(dim, np.float64)
    plain = len(mapping) == 0 and len(weights) == 0
    for r in range(len(starts)):
        row = out[r]
        begin, end = starts[r], starts[r] + counts[r]
        long = end - begin > run
        if end == begin:
            row[:] = 0.0
        if long:
            exact[:] = 0.0
        for a in range(begin, end, run):
            b = min(a + run, end)
            if plain:
                _sum_run(table, ids, a, b, row)
            else:
                _sum_weighted_run(table, mapping, weights, ids, a, b, row)
            if long:
                for j in range(dim):
                    exact[j] += row[j]
        scale = 1.0 / (end - begin) if mean and end > begin else 1.0
        if long:
            for j in range(dim):
                row[j] = exact[j] * scale
            scale = 1.0
        if normalize or len(norms):
            squares = np.float32(0.0)
            for j in range(dim):
                squares += row[j] * row[j]
            norm = np.sqrt(np.float64(squares)) * scale
            if len(norms):
                norms[r] = norm
            if normalize and norm > 0.0:
                scale /= norm
        factor = np.float32(scale)
        if factor != np.float32(1.0):
            for j in range(dim):
                row[j] *= factor


@compiled(fastmath=True)
def shorten(vectors, out):
    """Truncate rows to the width of ``out`` and normalize them again; zero rows stay zero.

    Args:
        vectors: float32 (rows, dim).
        out: float32 (rows, size), size <= dim.
    """
    size = out.shape[1]
    for r in range(len(vectors)):
        squares = np.float32(0.0)
        for j in range(size):
            squares += vectors[r, j] * vectors[r, j]
        factor = np.float32(1.0) / np.sqrt(squares) if squares > 0 else np.float32(0.0)
        for j in range(size):
            out[r, j] = vectors[r, j] * factor
