"""SMEC: every gradient against finite differences, and what its parts promise."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse

from qdrant_static.errors import ArgumentError
from qdrant_static.training.smec import losses, orthogonal, scores, selection, ware
from qdrant_static.training.smec.memory import CrossBatchMemory, nearest
from qdrant_static.training.smec.neighborhoods import TrainingVectors, neighborhoods
from qdrant_static.training.smec.sequence import reduce_dimensions
from qdrant_static.training.smec.settings import SmecSettings
from qdrant_static.vectors import normalize, truncate

GENERATOR = np.random.default_rng(0)
STEP = 1e-3
QUICK = SmecSettings(batch=32, neighbors=16, max_epochs=6, selection_epochs=2, learning_rate=1e-2)


def draw(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


def slope(function, values, place):
    """The central difference of a function by one number of an array."""
    up, down = values.copy(), values.copy()
    up[place] += STEP
    down[place] -= STEP
    return (function(up) - function(down)) / (2 * STEP)


def clustered(rows: int = 400, dimension: int = 24) -> np.ndarray:
    """Vectors with a common part, which ranks nothing, and six dimensions that do."""
    generator = np.random.default_rng(3)
    common = np.full((rows, 1), 3.0)
    hidden = generator.standard_normal((rows, 6))
    quiet = generator.standard_normal((rows, dimension - 7)) * 0.2
    turn = np.linalg.qr(generator.standard_normal((dimension, dimension)))[0]
    return normalize(np.hstack([common, hidden, quiet]) @ turn)


def agreement(vectors: np.ndarray, matrix: np.ndarray, size: int, k: int = 10) -> float:
    """The share of the k nearest neighbors of the whole vectors that the short ones find."""

    def near(rows: np.ndarray) -> np.ndarray:
        table = rows @ rows.T
        np.fill_diagonal(table, -9)
        return np.argsort(-table, axis=1)[:, :k]

    whole, short = near(vectors), near(truncate(vectors @ matrix, size))
    return float(
        np.mean([len(np.intersect1d(a, b)) / k for a, b in zip(whole, short, strict=True)])
    )


@pytest.mark.parametrize("temperature", [1.0, 0.1])
def test_the_gradient_of_l_rank(temperature):
    values, grades = draw(3, 6) * 0.3, draw(6, 3).T.copy()
    _, gradient = losses.rank_loss(values, grades, temperature)
    for place in np.ndindex(values.shape):
        expected = slope(lambda v: losses.rank_loss(v, grades, temperature)[0], values, place)
        assert gradient[place] == pytest.approx(expected, rel=2e-2, abs=2e-3)


def test_l_rank_is_the_formula():
    s, y = draw(2, 5) * 0.3, draw(5, 2).T.copy()
    total = sum(
        (y[i, j] - y[i, k]) * np.log1p(np.exp(s[i, k] - s[i, j]))
        for i in range(2)
        for j in range(5)
        for k in range(5)
        if y[i, j] > y[i, k]
    )
    assert losses.rank_loss(s, y, 1.0)[0] == pytest.approx(total / 5, rel=1e-5)


def test_the_gradient_of_l_unsup():
    values, full = draw(3, 4), draw(4, 3).T.copy()
    loss, gradient = losses.similarity_loss(values, full)
    assert loss == pytest.approx(np.abs(values - full).sum() / 4, rel=1e-5)
    for place in np.ndindex(values.shape):
        expected = slope(lambda v: losses.similarity_loss(v, full)[0], values, place)
        assert gradient[place] == pytest.approx(expected, rel=1e-2, abs=1e-3)


def test_the_total_is_l_rank_and_a_tenth_of_l_unsup():
    values, full, grades = draw(3, 4), draw(4, 3).T.copy(), draw(3, 4, 1)[..., 0]
    settings = SmecSettings()
    ranked = losses.rank_loss(values, grades, settings.temperature)[0]
    alike = losses.similarity_loss(values, full)[0]
    total, _ = losses.total_loss(values, full, grades, settings)
    assert total == pytest.approx((ranked + 0.1 * alike) / 3, rel=1e-6)
    alone, _ = losses.total_loss(values, full, grades, replace(settings, rank=False))
    assert alone == pytest.approx(alike / 3, rel=1e-6)


CHOSEN = np.array([[0, 2], [1, 3], [2, 4]])
KEPT = np.array([0, 2, 3])


def weighted(anchors, candidates, gates=None):
    """A loss that is linear in the scores; gates multiply the products, one by one."""
    if gates is not None:
        root = np.sqrt(np.maximum(gates, 0))
        anchors, candidates = anchors * root, candidates * root
    found = scores.score(anchors, candidates, CHOSEN, np.arange(anchors.shape[1]))
    return float((found.values * draw(3, 2)).sum())


def test_the_gradient_by_the_rotated_vectors():
    a, b = draw(3, 5), draw(5, 5)
    found = scores.score(a, b, CHOSEN, KEPT)
    by_a, by_b = scores.by_rotated(found, draw(3, 2))
    short_a, short_b = a[:, KEPT], b[:, KEPT]
    for place in np.ndindex(short_a.shape):
        expected = slope(lambda v: weighted(v, short_b), short_a, place)
        assert by_a[place] == pytest.approx(expected, rel=2e-2, abs=2e-3)
    for place in np.ndindex(short_b.shape):
        expected = slope(lambda v: weighted(short_a, v), short_b, place)
        assert by_b[place] == pytest.approx(expected, rel=2e-2, abs=2e-3)


def test_the_gradient_by_gates_of_dimensions_that_are_kept_or_not():
    a, b = draw(3, 5), draw(5, 5)
    gates = np.zeros(5)
    gates[KEPT] = 1
    found = scores.by_gates(scores.score(a, b, CHOSEN, KEPT), draw(3, 2))
    for number in range(5):
        up, down = gates.copy(), gates.copy()
        up[number] += 2 * STEP
        down[number] -= 2 * STEP if gates[number] else 0  # a gate of 0 is the least
        width = 4 * STEP if gates[number] else 2 * STEP
        expected = (weighted(a, b, up) - weighted(a, b, down)) / width
        assert found[number] == pytest.approx(expected, rel=3e-2, abs=3e-3)


def test_the_gradient_by_angles():
    from scipy.linalg import expm

    matrix = np.linalg.qr(draw(5, 5))[0].astype(np.float64)
    target = draw(5, 5).astype(np.float64)
    gradient = orthogonal.angle_gradient(matrix, target)  # of the loss sum(matrix * target)
    for i, j in ((0, 1), (3, 2), (4, 0)):
        turn = np.zeros((5, 5))
        turn[i, j], turn[j, i] = STEP, -STEP
        difference = ((matrix @ expm(turn) - matrix @ expm(-turn)) * target).sum() / (2 * STEP)
        assert gradient[i, j] == pytest.approx(difference, rel=1e-4)
    assert np.array_equal(gradient, -gradient.T)


def test_the_gradient_by_importance():
    importance, by_gate = draw(6).astype(np.float64), draw(6, 1)[:, 0]

    def loss(values):
        return float(3 * selection.softmax(values / 0.7) @ by_gate)

    soft = selection.softmax(importance / 0.7)
    found = selection.importance_gradient(soft, by_gate, 0.7, 3)
    for number in range(6):
        assert found[number] == pytest.approx(slope(loss, importance, number), rel=1e-3, abs=1e-6)


def test_a_dimension_that_lowers_the_loss_is_chosen():
    chooser = selection.DimensionSelection(np.zeros(8, np.float32), 2, temperature=1.0, rate=0.1)
    wanted = np.array([2, 5])
    generator = np.random.default_rng(0)
    by_gate = np.zeros(8, np.float32)
    by_gate[wanted] = -1
    for step in range(100):
        assert len(chooser.sample(generator, 1 - step / 100)) == 2
        chooser.learn(by_gate)
    assert np.array_equal(chooser.kept(), wanted)


def test_a_rotation_stays_orthogonal():
    training = orthogonal.RotationTraining(8, 0.01)
    for number in range(50):
        training.step(np.random.default_rng(number).standard_normal((8, 8)).astype(np.float32), 1)
    assert np.abs(training.matrix.T @ training.matrix - np.eye(8)).max() < 1e-5


def test_the_memory_holds_the_rows_that_came_last():
    memory = CrossBatchMemory(10, 4, np.random.default_rng(0))
    assert len(memory.rows()) == 4
    memory.add(np.array([7, 1]))
    memory.add(np.array([3, 4]))
    assert memory.rows().tolist() == [1, 3, 4, 7]
    memory.add(np.array([7, 0]))
    assert memory.rows().tolist() == [0, 3, 4, 7]
    assert CrossBatchMemory(3, 9, np.random.default_rng(0)).rows().tolist() == [0, 1, 2]


def test_the_nearest_are_those_of_a_sort():
    table = draw(4, 9)
    places, found = nearest(table, 3)
    assert np.array_equal(places, np.sort(np.argsort(-table, axis=1)[:, :3], axis=1))
    assert np.array_equal(found, np.take_along_axis(table, places, axis=1))


def test_an_anchor_is_no_candidate_of_itself():
    vectors = TrainingVectors(passages=normalize(draw(12, 5)))
    batch = neighborhoods(vectors, np.array([1, 4]), np.arange(12), 99)
    assert batch.full.shape == (2, 11)
    assert 1 not in batch.candidates[batch.chosen[0]]
    assert np.isfinite(batch.full).all()
    assert np.array_equal(batch.grades, batch.full)


def test_judged_passages_are_candidates_and_have_their_grades():
    grades = sparse.csr_array(np.array([[0, 0, 0, 2.0, 0], [1.0, 0, 0, 0, 0]], np.float32))
    vectors = TrainingVectors(
        passages=normalize(draw(5, 4)), queries=normalize(draw(2, 4)), grades=grades
    )
    batch = neighborhoods(vectors, np.array([0, 1]), np.array([1, 2]), 2)
    first, second = batch.candidates[batch.chosen]
    assert 3 in first
    assert 0 in second
    assert sorted(batch.grades[0]) == [0, 2]
    assert sorted(batch.grades[1]) == [0, 1]


def test_ware_takes_each_dimension_away():
    a, b = normalize(draw(20, 6)), normalize(draw(6, 20).T)
    expected = []
    for number in range(6):
        rest = [n for n in range(6) if n != number]
        before, after = (a * b).sum(axis=1), (normalize(a[:, rest]) * normalize(b[:, rest])).sum(1)
        expected.append(np.mean(np.abs(before - after) / np.abs(after)))
    assert np.allclose(ware.ware(a, b), expected, rtol=1e-3)
    assert ware.achievement_rate(np.array([3.0, 1, 2, 0]), np.array([0, 1])) == 0.5


def test_sizes_are_prefixes_of_one_rotation_and_later_steps_leave_earlier_ones():
    vectors = TrainingVectors(passages=clustered())
    both = reduce_dimensions(vectors, (12, 6), QUICK, seed=1).matrix
    first = reduce_dimensions(vectors, (12,), QUICK, seed=1).matrix
    assert np.abs(both.T @ both - np.eye(24)).max() < 1e-4
    whole, alone = (truncate(vectors.passages @ one, 12) for one in (both, first))
    assert np.allclose(whole @ whole.T, alone @ alone.T, atol=1e-4)


def test_neighbors_are_kept_better_than_by_rotation_and_by_prefix():
    found = clustered()
    vectors = TrainingVectors(passages=found)
    trained = reduce_dimensions(vectors, (12, 6), QUICK, seed=1)
    axes = orthogonal.principal_axes(found)
    ours = agreement(found, trained.matrix, 6)
    assert ours > agreement(found, axes, 6) > agreement(found, np.eye(24, dtype=np.float32), 6)
    assert [step.sizes for step in trained.steps] == [(12,), (6,)]
    assert all(min(step.losses) < step.losses[0] for step in trained.steps)


@pytest.mark.parametrize(
    "change",
    [
        {"sequential": False, "selection": "prefix", "memory": 0},
        {"selection": "prefix", "memory": 0},
        {"memory": 0},
        {"memory": 50, "start": "raw"},
        {"rank": False},
    ],
)
def test_every_part_of_the_ablation_trains(change):
    settings = replace(QUICK, max_epochs=3, **change)
    vectors = TrainingVectors(passages=clustered(200))
    trained = reduce_dimensions(vectors, (12, 6), settings)
    assert np.abs(trained.matrix.T @ trained.matrix - np.eye(24)).max() < 1e-4
    for step in trained.steps:
        assert len(step.losses) == step.epochs + 1
        assert len(step.variances) == step.epochs
        assert all(0 <= rate <= 1 for rate in step.achievement)


def test_graded_pairs_are_learned():
    found = clustered()
    queries = normalize(found[:120] + 0.3 * draw(120, 24))
    grades = sparse.csr_array((np.full(120, 2.0, np.float32), (range(120), range(120))), (120, 400))
    vectors = TrainingVectors(passages=found, queries=queries, grades=grades)
    trained = reduce_dimensions(vectors, (6,), replace(QUICK, temperature=0.05), seed=2)
    assert min(trained.steps[0].losses) < trained.steps[0].losses[0]


def test_a_seed_gives_the_same_matrix_and_another_one_another():
    vectors = TrainingVectors(passages=clustered(200))
    settings = replace(QUICK, max_epochs=2)
    one, two, other = (
        reduce_dimensions(vectors, (6,), settings, seed=seed).matrix for seed in (5, 5, 6)
    )
    assert np.array_equal(one, two)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize(
    "change",
    [
        {"start": "random"}, {"selection": "best"}, {"memory": -1}, {"neighbors": 1},
        {"temperature": 0}, {"alpha": -0.1}, {"sequential": 1}, {"max_epochs": 0},
    ],
)  # fmt: skip
def test_a_setting_that_cannot_work_is_named(change):
    with pytest.raises(ArgumentError, match=next(iter(change))):
        SmecSettings(**change)
