"""Computes confidence intervals of a mean over queries, and tests whether two systems differ.

The unit is a query, since queries are drawn at random: hits of one query succeed and fail
together, and counting them separately would make every interval too short.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from qdrant_static.errors import ArgumentError

Values: TypeAlias = Sequence[float] | NDArray[np.float64]

#: Random numbers drawn at once, in a matrix of rounds and queries: 32 MB.
_AT_ONCE = 4_000_000
#: Up to this number of queries, all sign patterns are tried instead of a sample of them.
_EXACT_UP_TO = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A mean and the interval that holds the true one with some confidence.

    Attributes:
        mean: Mean of the measured queries.
        low: The interval's lower end.
        high: Its upper end.
    """

    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedTest:
    """The result of a test whether two systems differ on the same queries.

    Attributes:
        difference: Mean of the first less the mean of the second.
        p_value: Probability of a difference as large, in either direction, between equal systems.
    """

    difference: float
    p_value: float


def recall_interval(values: Values, k: int, *, confidence: float = 0.95) -> Interval:
    """Return Wilson's interval of a mean recall@k, for an effective number of observations.

    Wilson (1927, doi:10.1080/01621459.1927.10502953) is valid near 1, the usual range of recall,
    where a bootstrap of values that are all 1 would claim certainty. The k hits of a query are not
    independent observations; as in surveys of clusters, ``n_eff = n p (1 - p) / s²`` with s² the
    variance between queries (Korn and Graubard, 1998, doi:10.2307/2533847), kept within n and
    n k. Without any variance there is no sign of clustering, and ``n_eff`` is n k.

    Args:
        values: (n,), the recall of each query, in ``[0, 1]``.
        k: Depth.
        confidence: Level of the two-sided interval.

    Raises:
        ArgumentError: If there is no value.
    """
    data = _checked(values)
    n, mean = len(data), float(data.mean())
    variance = float(data.var(ddof=1)) if n > 1 else 0.0
    effective = float(n * k)
    if variance > 0:
        effective = min(max(n * mean * (1 - mean) / variance, n), n * k)
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share = z * z / effective
    center = (mean + share / 2) / (1 + share)
    half = z / (1 + share) * math.sqrt(mean * (1 - mean) / effective + share / (4 * effective))
    # Wilson's interval always holds the mean; rounding must not move an end past it.
    return Interval(
        mean=mean, low=max(0.0, min(mean, center - half)), high=min(1.0, max(mean, center + half))
    )


def bootstrap_interval(
    values: Values, *, confidence: float = 0.95, rounds: int = 2000, seed: int = 0
) -> Interval:
    """Return the percentile bootstrap interval of a mean over queries.

    Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13; for retrieval:
    Sakai, 2006, doi:10.1145/1148170.1148261.

    Args:
        values: (n,), one per query.
        confidence: Level of the two-sided interval.
        rounds: Number of resamples.
        seed: Seed of the resampling.

    Raises:
        ArgumentError: If there is no value.
    """
    data = _checked(values)
    generator = np.random.default_rng(seed)
    step = max(1, _AT_ONCE // len(data))
    means = np.concatenate(
        [
            data[generator.integers(0, len(data), (min(step, rounds - start), len(data)))].mean(1)
            for start in range(0, rounds, step)
        ]
    )
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return Interval(mean=float(data.mean()), low=float(low), high=float(high))


def paired_test(
    first: Values, second: Values, *, rounds: int = 10_000, seed: int = 0
) -> PairedTest:
    """Run the paired randomization test, two-sided.

    If the systems were alike, each query's difference could as well have the other sign. The
    p-value is the share of sign patterns whose mean difference is as large: of all patterns for
    up to 12 queries, else of a sample, the observed pattern included. Fisher, 1935; for
    retrieval: Smucker, Allan and Carterette, 2007, doi:10.1145/1321440.1321528.

    Args:
        first: (n,), one per query.
        second: (n,), of the same queries in the same order.
        rounds: Number of sampled patterns.
        seed: Seed of the sample.

    Raises:
        ArgumentError: If there is no value, or the lengths differ.
    """
    ours, theirs = _checked(first), _checked(second)
    if len(ours) != len(theirs):
        raise ArgumentError(
            field="second", problem=f"has {len(theirs)} values, and the first {len(ours)}"
        )
    differences = ours - theirs
    seen = abs(differences.sum())
    enough = seen - 1e-12 * max(1.0, seen)
    n = len(differences)
    if n <= _EXACT_UP_TO:
        patterns = (np.arange(2**n)[:, None] >> np.arange(n)) & 1
        sums = np.abs((1 - 2 * patterns) @ differences)
        p_value = float((sums >= enough).mean())
    else:
        generator = np.random.default_rng(seed)
        step = max(1, _AT_ONCE // n)
        count = 0
        for start in range(0, rounds, step):
            signs = generator.integers(0, 2, (min(step, rounds - start), n), dtype=np.int8)
            count += int((np.abs((1.0 - 2.0 * signs) @ differences) >= enough).sum())
        p_value = (count + 1) / (rounds + 1)
    return PairedTest(difference=float(differences.mean()), p_value=p_value)


def _checked(values: Values) -> NDArray[np.float64]:
    data = np.asarray(values, np.float64)
    if data.ndim != 1 or not len(data) or not np.isfinite(data).all():
        raise ArgumentError(field="values", problem="needs finite numbers, one per query")
    return data
