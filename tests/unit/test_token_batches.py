"""Batches by a budget of token positions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qdrant_static.encoders.tokenbatches import token_batches

LENGTHS = st.lists(st.integers(0, 512), max_size=60)


@given(LENGTHS, st.integers(0, 3000))
def test_each_row_is_in_one_batch_and_a_batch_is_within_the_budget(lengths, budget):
    batches = list(token_batches(lengths, budget))
    rows = np.concatenate([np.empty(0, np.intp), *batches])
    assert sorted(rows.tolist()) == list(range(len(lengths)))
    for batch in batches:
        longest = max(lengths[row] for row in batch)
        assert len(batch) == 1 or longest * len(batch) <= budget or longest == 0


@given(LENGTHS, st.integers(1, 3000))
def test_batches_are_sorted_the_longest_first_and_none_could_take_one_more(lengths, budget):
    batches = list(token_batches(lengths, budget))
    order = [lengths[row] for batch in batches for row in batch]
    assert order == sorted(lengths, reverse=True)
    for batch in batches[:-1]:
        longest = max(1, lengths[batch[0]])
        assert longest * (len(batch) + 1) > budget


@pytest.mark.parametrize("budget", [0, 1])
def test_a_budget_of_nothing_gives_every_text_alone(budget):
    assert [batch.tolist() for batch in token_batches([3, 9, 3], budget)] == [[1], [0], [2]]


def test_equal_lengths_keep_their_order():
    assert [batch.tolist() for batch in token_batches([4, 4, 4, 4], 8)] == [[0, 1], [2, 3]]
