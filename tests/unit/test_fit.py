"""Fitting a table: products, ridge regression, gradients, Adam, and the whole fit."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from qdrant_static.errors import ArgumentError
from qdrant_static.training.countmatrix import CountMatrix, SparseRows
from qdrant_static.training.fit import Fit, fit_table
from qdrant_static.training.fitsettings import FitSettings
from qdrant_static.training.leastsquares import fit_ridge, map_prior, weigh_prior
from qdrant_static.training.refineloss import LossWeights, batch_loss
from qdrant_static.vectors import normalize

TOKENS, DIMENSION = 120, 24


def texts_of(n: int, *, seed: int = 0, longest: int = 12, tokens: int = TOKENS) -> sp.csr_array:
    """Token counts of texts with a Zipf vocabulary; some have no token."""
    rng = np.random.default_rng(seed)
    chances = 1 / np.arange(1, tokens + 1)
    lengths = rng.integers(0, longest, n)
    ids = rng.choice(tokens, int(lengths.sum()), p=chances / chances.sum())
    shares = np.repeat(1 / np.maximum(lengths, 1), lengths).astype(np.float32)
    ends = np.concatenate([[0], np.cumsum(lengths)])
    counts = sp.csr_array((shares, ids.astype(np.int32), ends), shape=(n, tokens))
    counts.sum_duplicates()
    return counts


def teacher(counts: sp.csr_array, *, seed: int = 1, dimension: int = DIMENSION) -> np.ndarray:
    """Vectors that a table explains, up to some noise."""
    rng = np.random.default_rng(seed)
    table = rng.standard_normal((counts.shape[1], dimension))
    noise = 0.02 * rng.standard_normal((counts.shape[0], dimension))
    return normalize((counts @ table + noise).astype(np.float32))


def prior(*, seed: int = 2, dimension: int = DIMENSION) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((TOKENS, dimension)).astype(np.float32)


def test_products_are_those_of_scipy() -> None:
    counts = texts_of(3000, longest=200)
    rows = SparseRows.of(counts)
    table = np.random.default_rng(3).standard_normal((TOKENS, 31)).astype(np.float32)
    np.testing.assert_allclose(rows.times(table), counts @ table, atol=1e-5)
    some = np.array([7, 3, 3, 2999, 0])
    np.testing.assert_allclose(rows.times(table, some), counts[some] @ table, atol=1e-5)
    whole = CountMatrix.of(counts, np.arange(TOKENS))
    by_token = whole.by_token.times(rows.times(table))
    np.testing.assert_allclose(by_token, counts.T @ (counts @ table), rtol=1e-4, atol=1e-4)
    assert rows.times(table, np.zeros(0, np.int64)).shape == (0, 31)
    for threads in (1, 2, 3):
        assert np.array_equal(whole.by_token.times(rows.times(table), threads=threads), by_token)


@pytest.mark.parametrize("weighted", [False, True])
def test_ridge_solves_its_equations(weighted: bool) -> None:
    counts = texts_of(400)
    targets, start, penalty = teacher(counts), prior(), 0.3
    importance = np.random.default_rng(4).random(400).astype(np.float32) if weighted else None
    found = fit_ridge(
        CountMatrix.of(counts, np.arange(TOKENS)), targets, start,
        penalties=(penalty,), importance=importance, rounds=1, steps=200,
    )  # fmt: skip
    dense = counts.toarray().astype(np.float64)
    weight = np.ones(400) if importance is None else importance.astype(np.float64)
    left = dense.T @ (weight[:, None] * dense) + penalty * np.eye(TOKENS)
    right = dense.T @ (weight[:, None] * targets) + penalty * start
    np.testing.assert_allclose(found.table, np.linalg.solve(left, right), atol=2e-4)


def test_the_weight_of_the_prior_is_chosen_on_held_out_texts() -> None:
    counts, later = texts_of(400), texts_of(200, seed=9)
    tokens = np.arange(TOKENS)
    rng = np.random.default_rng(5)
    table = rng.standard_normal((TOKENS, DIMENSION)).astype(np.float32)
    noisy = normalize((counts @ table + rng.standard_normal((400, DIMENSION))).astype(np.float32))
    held_out = (CountMatrix.of(later, tokens), normalize(later @ table))
    found = fit_ridge(
        CountMatrix.of(counts, tokens), noisy, table, penalties=(1e-6, 10.0), held_out=held_out
    )
    assert found.penalty == 10.0  # the prior is the truth, and the texts are noisy
    assert found.cosines[10.0] > found.cosines[1e-6]


def test_the_prior_is_weighed_and_mapped() -> None:
    table = prior()
    frequencies = np.arange(TOKENS)
    weighed = weigh_prior(table, frequencies, 1e-3)
    np.testing.assert_allclose(weighed[0], table[0] - table.mean(0), atol=1e-6)
    assert np.linalg.norm(weighed[-1]) < 0.1 * np.linalg.norm(table[-1] - table.mean(0))
    np.testing.assert_allclose(weigh_prior(table, frequencies, None).mean(0), 0, atol=1e-6)
    counts = texts_of(400)
    turn = np.random.default_rng(6).standard_normal((DIMENSION, 9)).astype(np.float32)
    mapped = map_prior(CountMatrix.of(counts, np.arange(TOKENS)), table, (counts @ table) @ turn)
    np.testing.assert_allclose(mapped, table @ turn, atol=0.1)


LOSSES = {
    "cosine": LossWeights(kl=0.0),
    "kl": LossWeights(cosine=0.0, kl_temperature=0.3),
    "gram": LossWeights(cosine=0.0, kl=0.0, gram=1.0, gram_temperature=0.4),
    "all": LossWeights(cosine=0.7, kl=1.3, kl_temperature=0.2, gram=0.5, gram_temperature=0.3),
}


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("sizes", [(), (8, 3)])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_gradient_is_that_of_finite_differences(
    name: str, sizes: tuple[int, ...], weighted: bool
) -> None:
    rng = np.random.default_rng(7)
    sums = rng.standard_normal((6, 10))
    targets = rng.standard_normal((6, 10 if name != "gram" else 4))
    targets /= np.linalg.norm(targets, axis=1, keepdims=True)
    options = {"importance": rng.random(6) if weighted else None, "sizes": sizes}
    found = batch_loss(sums, targets, LOSSES[name], **options)
    expected = np.zeros_like(sums)
    for at in np.ndindex(*sums.shape):
        ends = []
        for change in (1e-6, -1e-6):
            moved = sums.copy()
            moved[at] += change
            ends.append(batch_loss(moved, targets, LOSSES[name], **options).loss)
        expected[at] = (ends[0] - ends[1]) / 2e-6
    np.testing.assert_allclose(found.by_sum, expected, atol=1e-7)


def test_the_loss_is_zero_where_the_student_is_the_teacher() -> None:
    targets = normalize(np.random.default_rng(8).standard_normal((9, 12)).astype(np.float32))
    found = batch_loss(targets * 3, targets, LOSSES["all"])
    assert found.loss == pytest.approx(0, abs=1e-5)
    assert np.abs(found.by_sum).max() < 1e-5


@pytest.mark.parametrize("part", [1, 7, 64])
def test_adam_is_adam_on_the_rows_of_the_batch(part: int) -> None:
    from qdrant_static.training.tablekernels import adam_step, transpose_batch

    counts = texts_of(40)
    rows = SparseRows.of(counts)
    batch, by_sum = np.array([3, 8, 8, 30]), np.random.default_rng(9).standard_normal((4, 20))
    table = np.random.default_rng(10).standard_normal((TOKENS, 20)).astype(np.float32)
    mean, square = np.zeros_like(table), np.zeros_like(table)
    marks = np.zeros(TOKENS, np.int64)
    slots, tokens, starts = (np.empty(TOKENS + 1, np.int64) for _ in range(3))
    entries = int(np.diff(rows.ends)[batch].sum())
    texts, weights = np.empty(entries, np.int64), np.empty(entries, np.float32)
    expected, m, v = table.astype(np.float64), np.zeros((TOKENS, 20)), np.zeros((TOKENS, 20))
    used = np.unique(counts[batch].indices)
    by_row = counts[batch].T @ by_sum
    for step in (1, 2, 3):
        number = transpose_batch(
            rows.ends, rows.indices, rows.shares, batch, marks, step, slots, tokens, starts,
            texts, weights,
        )  # fmt: skip
        assert sorted(tokens[:number].tolist()) == used.tolist()
        assert starts[number] == entries
        scales = 1 / (1 - 0.9**step), 1 / (1 - 0.999**step)
        for first in range(0, number, part):
            adam_step(
                tokens, starts, texts, weights, by_sum.astype(np.float32), first,
                min(number, first + part), mean, square, table, 0.01, *scales,
            )  # fmt: skip
        m[used] = 0.9 * m[used] + 0.1 * by_row[used]
        v[used] = 0.999 * v[used] + 0.001 * by_row[used] ** 2
        expected[used] -= 0.01 * m[used] * scales[0] / (np.sqrt(v[used] * scales[1]) + 1e-8)
    np.testing.assert_allclose(table, expected, atol=1e-4)


def fitted(**options: object) -> tuple[Fit, sp.csr_array]:
    counts = texts_of(900, tokens=TOKENS)
    given: dict = {"settings": FitSettings(batch=64), "seed": 5, **options}
    return fit_table(counts, teacher(counts), prior(), **given), counts


def test_a_fit_finds_the_table_and_says_what_it_did() -> None:
    steps: list[tuple[int, int]] = []
    found, counts = fitted(progress=lambda done, total: steps.append((done, total)))
    cosines = np.einsum("ij,ij->i", normalize(counts @ found.table), teacher(counts))
    assert cosines[np.diff(counts.indptr) > 0].mean() > 0.97
    assert found.table.shape == (TOKENS, DIMENSION)
    assert found.table.dtype == np.float32
    assert found.before is not None
    assert found.solved is not None
    assert found.after is not None
    assert found.before.cosine < found.solved.cosine
    assert found.after.kl <= found.solved.kl
    assert found.texts + found.held_out == int((np.diff(counts.indptr) > 0).sum())
    assert steps[-1][0] <= steps[-1][1]
    assert found.penalty in FitSettings().penalties


def test_a_seed_gives_the_same_table_with_any_number_of_threads() -> None:
    one = fitted(threads=1)[0].table
    assert np.array_equal(fitted(threads=3)[0].table, one)
    assert not np.array_equal(fitted(seed=6)[0].table, one)


def test_the_result_is_between_the_ridge_regression_and_adam() -> None:
    tables = [
        fitted(settings=FitSettings(batch=64, mix=mix, held_out=0))[0].table
        for mix in (0.0, 0.25, 1.0)
    ]
    np.testing.assert_allclose(tables[1], 0.75 * tables[0] + 0.25 * tables[2], atol=1e-5)
    only_ridge = fitted(settings=FitSettings(batch=64, epochs=0, held_out=0))[0]
    np.testing.assert_allclose(only_ridge.table, tables[2], atol=1e-6)
    assert only_ridge.epochs == 0


def test_rows_that_no_text_has_are_those_of_the_prior() -> None:
    counts = texts_of(300)
    wider = sp.csr_array((counts.data, counts.indices, counts.indptr), shape=(300, TOKENS + 5))
    start = np.concatenate([prior(), prior()[:5]])
    before = start.copy()
    found = fit_table(wider, teacher(counts), start, seed=1)
    assert np.array_equal(start, before)  # the caller's table stays
    rows, wanted = found.table[-5:], (start - start.mean(0))[-5:]
    scale = float(np.linalg.norm(rows) / np.linalg.norm(wanted))
    np.testing.assert_allclose(rows, wanted * scale, rtol=1e-4, atol=1e-5)
    assert found.tokens <= TOKENS


def test_texts_count_as_much_as_they_are_said_to() -> None:
    counts = texts_of(600)
    first, second = teacher(counts, seed=11), teacher(counts, seed=12)
    both = sp.csr_array(sp.vstack([counts, counts]))
    targets = np.concatenate([first, second])

    def near(importance: tuple[float, float]) -> list[float]:
        settings = FitSettings(batch=64, epochs=20, held_out=0)
        weights = np.repeat(importance, 600).astype(np.float32)
        found = fit_table(both, targets, prior(), importance=weights, settings=settings)
        assert found.texts == 2 * found.refined if 0 in importance else found.refined
        vectors = normalize(counts @ found.table)
        return [float(np.einsum("ij,ij->i", vectors, one).mean()) for one in (first, second)]

    first_only, second_more = near((1.0, 0.0)), near((1.0, 20.0))
    assert first_only[0] > first_only[1] + 0.3
    assert second_more[1] > second_more[0] + 0.2


def test_prefixes_are_fitted() -> None:
    """Targets whose first dimensions say nothing: only a fit of the prefix can use them."""
    counts = texts_of(900)
    targets = teacher(counts)
    targets[:, :4] *= 0.01
    targets = normalize(targets)
    near = normalize(targets) @ normalize(targets).T
    weights = LossWeights(cosine=0.2, kl=0.0, gram=1.0)

    def agreement(sizes: tuple[int, ...]) -> float:
        settings = FitSettings(batch=64, epochs=12, weights=weights)
        found = fit_table(counts, targets, prior(), settings=settings, sizes=sizes)
        prefix = normalize((counts @ found.table)[:, :4])
        return float(np.corrcoef((prefix @ prefix.T).ravel(), near.ravel())[0, 1])

    assert agreement((4,)) > agreement(()) + 0.02


def test_another_dimension_is_mapped_or_fitted_by_the_gram_term() -> None:
    counts = texts_of(500)
    wide = prior(dimension=40)
    mapped = fit_table(counts, teacher(counts), wide)
    assert mapped.table.shape == (TOKENS, DIMENSION)
    gram = FitSettings(penalties=(), batch=64, weights=LossWeights(cosine=0, kl=0, gram=1))
    kept = fit_table(counts, teacher(counts), wide, settings=gram)
    assert kept.table.shape == (TOKENS, 40)
    assert kept.penalty is None
    assert kept.after is not None
    assert kept.before is not None
    assert kept.after.cosine is None
    assert kept.after.kl < kept.before.kl
    with pytest.raises(ArgumentError, match="only the Gram term can be used"):
        fit_table(counts, teacher(counts), wide, settings=FitSettings(penalties=()))


def test_without_held_out_texts_all_are_fitted() -> None:
    found, counts = fitted(settings=FitSettings(held_out=0, epochs=2, batch=64))
    assert found.held_out == 0
    assert found.after is None
    assert found.best_epoch == 2
    assert found.penalty == FitSettings().penalties[0]
    assert found.texts == int((np.diff(counts.indptr) > 0).sum())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"targets": np.ones((3, 4), np.float32)},
            r"targets: have the shape \(3, 4\) for 50 texts",
        ),
        ({"targets": np.full((50, 4), np.nan, np.float32)}, "targets: have values that are not"),
        ({"prior": np.ones((3, 4), np.float32)}, r"prior: has the shape \(3, 4\)"),
        ({"importance": np.full(50, -1.0)}, "importance: must be one number of at least 0"),
        ({"importance": np.zeros(50)}, "texts: 0 texts are important and have tokens"),
        ({"sizes": (25,)}, "sizes: 25 is above 24"),
    ],
)
def test_what_does_not_fit_is_an_error(change: dict, message: str) -> None:
    counts = texts_of(50)
    given: dict = {"counts": counts, "targets": teacher(counts), "prior": prior(), **change}
    with pytest.raises(ArgumentError, match=message):
        fit_table(**given)


@pytest.mark.parametrize(
    "options",
    [{"epochs": -1}, {"batch": 1}, {"learning_rate": 0}, {"schedule": "step"}, {"held_out": 0.7},
     {"penalties": (0.0,)}, {"smoothing": -1}, {"mix": 1.5}],
)  # fmt: skip
def test_settings_are_checked(options: dict) -> None:
    with pytest.raises(ArgumentError, match=next(iter(options))):
        FitSettings(**options)
