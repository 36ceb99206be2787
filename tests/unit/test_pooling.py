"""The pooling kernels against NumPy in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from qdrant_static.encoders import pooling

EMPTY_MAP = np.zeros(0, np.int32)
NO_FLOATS = np.zeros(0, np.float32)


def frozen(array: Any) -> Any:
    array = np.ascontiguousarray(array)
    array.flags.writeable = False
    return array


def case(lengths: list[int], dim: int, dtype: Any, seed: int = 0) -> tuple[Any, Any, Any, Any]:
    rng = np.random.default_rng(seed)
    table = rng.integers(-127, 128, (50, dim)).astype(dtype)
    ids = rng.integers(0, 50, sum(lengths) + 7).astype(np.int32)
    counts = np.array(lengths, np.int64)
    return frozen(table), ids, np.cumsum(counts) - counts, counts


@pytest.mark.parametrize("dim", [1, 7, 16, 33, 256])
@pytest.mark.parametrize("dtype", [np.float32, np.int8])
@pytest.mark.parametrize("mean", [False, True])
@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("parts", ["plain", "mapping", "weights", "both"])
def test_pool(dim: int, dtype: Any, mean: bool, normalize: bool, parts: str) -> None:
    lengths = [0, 1, 2, 7, 8, 9, 127, 128, 129, 1000, 0]
    table, ids, starts, counts = case(lengths, dim, dtype)
    rng = np.random.default_rng(1)
    mapping = (
        frozen(rng.permutation(50).astype(np.int32))
        if parts in ("mapping", "both")
        else frozen(EMPTY_MAP)
    )
    weights = (
        frozen(rng.random(50, np.float32)) if parts in ("weights", "both") else frozen(NO_FLOATS)
    )
    out = np.full((len(lengths), dim), np.nan, np.float32)
    norms = np.empty(len(lengths), np.float32)
    pooling.pool(table, mapping, weights, ids, starts, counts, out, norms, mean, normalize)
    for row, (start, count) in enumerate(zip(starts, counts, strict=True)):
        chosen = ids[start : start + count]
        vectors = table.astype(np.float64)[mapping[chosen] if len(mapping) else chosen]
        if len(weights):
            vectors = vectors * weights[chosen, None]
        expected = vectors.sum(0) / (max(count, 1) if mean else 1)
        norm = np.linalg.norm(expected)
        assert norms[row] == pytest.approx(norm, rel=1e-5)
        if normalize and norm:
            expected = expected / norm
        assert np.abs(out[row] - expected).max() <= 2e-6 * max(
            1.0, np.abs(vectors).sum(0).max(initial=0)
        )


def pooled(table: Any, ids: Any, run: int) -> Any:
    out = np.empty((1, table.shape[1]), np.float32)
    whole = np.array([0]), np.array([len(ids)])
    nothing = frozen(EMPTY_MAP), frozen(NO_FLOATS)
    pooling.pool(frozen(table), *nothing, ids, *whole, out, NO_FLOATS.copy(), True, False, run)
    return out


def test_int8_rows_are_exact_however_many() -> None:
    table = np.array([[127, -127, 1], [126, 127, 0]], np.int8)
    ids = np.arange(2_000_001, dtype=np.int32) % 2
    exact = table[ids].astype(np.float64).mean(0)
    assert np.abs(pooled(table, ids, pooling.INT8_RUN) - exact).max() < 1e-5


def test_float_rows_are_added_in_their_order_as_the_libraries_do() -> None:
    rng = np.random.default_rng(4)
    table = rng.standard_normal((50, 33)).astype(np.float32)
    ids = rng.integers(0, 50, 5003).astype(np.int32)
    assert np.abs(pooled(table, ids, pooling.WHOLE) - table[ids].mean(axis=0)).max() < 1e-7


def test_tiny_and_large_norms() -> None:
    table = frozen(np.array([[3e-15, 4e-15], [3e15, 4e15]], np.float32))
    out = np.empty((2, 2), np.float32)
    ones = np.ones(2, np.int64)
    ids = np.array([0, 1], np.int32)
    pooling.pool(
        table,
        frozen(EMPTY_MAP),
        frozen(NO_FLOATS),
        ids,
        np.arange(2),
        ones,
        out,
        NO_FLOATS.copy(),
        True,
        True,
    )
    assert np.abs(out - [0.6, 0.8]).max() < 1e-6


@pytest.mark.parametrize("size", [1, 5, 32])
def test_shorten(size: int) -> None:
    vectors = np.random.default_rng(0).standard_normal((9, 32)).astype(np.float32)
    vectors[4] = 0
    out = np.empty((9, size), np.float32)
    pooling.shorten(vectors, out)
    expected = vectors[:, :size].astype(np.float64)
    norms = np.linalg.norm(expected, axis=1, keepdims=True)
    assert np.abs(out - expected / np.where(norms > 0, norms, 1)).max() < 1e-6
