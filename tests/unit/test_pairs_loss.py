"""Batches of pairs, and the loss with its gradient against finite differences."""

from __future__ import annotations

import numpy as np
import pytest

from qdrant_static.training.pairbatches import batches
from qdrant_static.training.pairloss import ranking_loss
from qdrant_static.training.pairset import Pair, PairSet


def numbers(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def plain_loss(queries, candidates, own, excluded, temperature, sizes) -> float:
    """The formula, written out by loops."""
    total = 0.0
    widths = sorted({*sizes, queries.shape[1]})
    for width in widths:
        for row, query in enumerate(queries):
            cosines = {
                column: float(
                    query[:width]
                    @ other[:width]
                    / (np.linalg.norm(query[:width]) * np.linalg.norm(other[:width]))
                )
                for column, other in enumerate(candidates)
                if column == own[row] or not excluded[row, column]
            }
            below = sum(np.exp(cosine / temperature) for cosine in cosines.values())
            total -= np.log(np.exp(cosines[own[row]] / temperature) / below)
    return total / len(queries) / len(widths)


@pytest.mark.parametrize("sizes", [(), (2, 4), (6,)])
def test_the_gradient_is_that_of_finite_differences(sizes):
    queries, candidates = numbers(1, 4, 6), numbers(2, 7, 6)
    own = np.array([0, 1, 2, 3])
    excluded = np.zeros((4, 7), bool)
    excluded[0, [0, 5]] = True  # 0 is its own passage, which counts all the same
    excluded[3, 6] = True

    def loss(q, c):
        return ranking_loss(q, c, own, excluded=excluded, temperature=0.3, sizes=sizes)

    found = loss(queries, candidates)
    assert found.loss == pytest.approx(
        plain_loss(queries, candidates, own, excluded, 0.3, sizes), abs=1e-12
    )
    step = 1e-6
    for name, matrix in (("queries", queries), ("candidates", candidates)):
        gradient = getattr(found, name)
        for place in np.ndindex(matrix.shape):
            sides = []
            for sign in (1, -1):
                moved = {"queries": queries.copy(), "candidates": candidates.copy()}
                moved[name][place] += sign * step
                sides.append(loss(moved["queries"], moved["candidates"]).loss)
            expected = (sides[0] - sides[1]) / (2 * step)
            assert gradient[place] == pytest.approx(expected, abs=1e-8)


def test_a_vector_of_zeros_has_no_gradient_and_disturbs_no_other():
    queries, candidates = numbers(1, 3, 4), numbers(2, 3, 4)
    queries[1] = candidates[2] = 0
    found = ranking_loss(queries, candidates, np.arange(3), temperature=0.1, sizes=(2,))
    assert np.isfinite(found.loss)
    assert not found.queries[1].any()
    assert not found.candidates[2].any()
    assert np.isfinite(found.queries).all()


def test_the_gradient_points_away_from_a_lower_loss():
    queries, candidates = numbers(3, 5, 8).astype(np.float32), numbers(4, 9, 8).astype(np.float32)
    found = ranking_loss(queries, candidates, np.arange(5), temperature=0.1)
    assert found.queries.dtype == np.float32
    after = ranking_loss(
        queries - 0.01 * found.queries,
        candidates - 0.01 * found.candidates,
        np.arange(5),
        temperature=0.1,
    )
    assert after.loss < found.loss


def made(pairs: list[tuple[str, str]], negatives: dict[int, tuple[str, ...]] | None = None):
    return PairSet.of(
        Pair(query=query, passage=passage, negatives=(negatives or {}).get(number, ()))
        for number, (query, passage) in enumerate(pairs)
    )


def drawn(pairs: PairSet, *, size: int, negatives: int = 2, seed: int = 0):
    return list(
        batches(
            pairs, np.arange(len(pairs)), pairs.positives(), size=size, negatives=negatives,
            generator=np.random.default_rng(seed),
        )
    )  # fmt: skip


def test_no_query_and_no_passage_is_in_a_batch_twice_and_every_pair_is_used():
    pairs = made([(f"q{n % 10}", f"p{n // 2}") for n in range(40)])
    found = drawn(pairs, size=8)
    used = []
    for batch in found:
        assert len(set(batch.queries.tolist())) == len(batch.queries)
        assert len(set(batch.candidates.tolist())) == len(batch.candidates)
        used += zip(batch.queries.tolist(), batch.candidates[batch.own].tolist(), strict=True)
    expected = list(zip(pairs.query.tolist(), pairs.passage.tolist(), strict=True))
    assert sorted(used) == sorted(expected)


def test_passages_that_answer_the_query_in_another_pair_are_excluded():
    pairs = made([("a", "1"), ("a", "2"), ("b", "3"), ("c", "2")], {2: ("1", "4")})
    for batch in drawn(pairs, size=4):
        for row, query in enumerate(batch.queries):
            answers = {
                pairs.texts[passage]
                for number, passage in zip(pairs.query, pairs.passage, strict=True)
                if number == query
            }
            shown = {pairs.texts[batch.candidates[c]] for c in np.flatnonzero(batch.excluded[row])}
            assert shown == answers & {pairs.texts[one] for one in batch.candidates}


def test_so_many_hard_negatives_are_drawn_at_most():
    pairs = made([("a", "1"), ("b", "2")], {0: tuple("uvwxyz"), 1: ("u",)})
    (batch,) = drawn(pairs, size=4, negatives=2)
    assert 4 <= len(batch.candidates) <= 5
    (batch,) = drawn(pairs, size=4, negatives=0)
    assert len(batch.candidates) == 2


def test_an_epoch_ends_where_the_batches_would_be_tiny():
    pairs = made([(f"q{n}", f"p{n}") for n in range(64)] + [("q", f"x{n}") for n in range(500)])
    found = drawn(pairs, size=64)
    assert len(found) < 70
    assert min(len(batch.queries) for batch in found) >= 2


def test_the_same_seed_gives_the_same_batches():
    pairs = made([(f"q{n}", f"p{n}") for n in range(20)], {3: tuple("uvwxyz")})
    once, again, other = (drawn(pairs, size=5, seed=seed) for seed in (1, 1, 2))
    assert [one.candidates.tolist() for one in once] == [one.candidates.tolist() for one in again]
    assert [one.queries.tolist() for one in once] != [one.queries.tolist() for one in other]
