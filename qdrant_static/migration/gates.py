"""Gates: the checks that green must pass before the alias points at it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

import numpy as np

from qdrant_static import rules
from qdrant_static.errors import ArgumentError

Verdict = Literal["passed", "refused", "accepted", "noted"]

Name = Literal[
    "jobs", "counts", "keys", "payloads", "vectors", "indexed", "recall", "empty", "overlap",
    "ranks", "ndcg", "latency", "shadow",
]  # fmt: skip
NAMES: tuple[Name, ...] = get_args(Name)
#: The confidence that green is slower at which `latency` refuses.
LATENCY_CONFIDENCE = 0.99
#: Green is better than blue if a difference as large has a lower probability by chance.
BETTER_P = 0.05
#: Gates that may be accepted in spite of their figure. Where any other refuses, data is lost.
ACCEPTABLE: tuple[Name, ...] = ("recall", "empty", "overlap", "ranks", "ndcg", "latency", "shadow")


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """The thresholds of the gates.

    Those of overlap and ranks are the values that Qdrant's migration guide gives for two systems
    with the same vectors (Search Quality Verification, tier 2). Another encoder ranks differently
    on purpose: where judged queries decide which is better, overlap and ranks do not refuse.

    Attributes:
        recall: Minimum mean recall@10 of green's default plan against its exact search.
        overlap_mean: Minimum mean share of blue's ten hits that are among green's ten.
        overlap_median: The minimum median of that share over the queries.
        overlap_p5: The minimum 5th percentile of that share.
        overlap_min: The minimum of that share for the worst query.
        ranks: Minimum mean Spearman correlation of the hits that both found.
        ndcg_margin: How much lower than blue's NDCG@10 may be.
        better: Whether green's NDCG@10 must be higher than blue's, and so much that chance does
            not explain it (p below 0.05), instead of no lower than by the margin.
        latency_factor: Maximum ratio of green's p95 latency to blue's. A higher ratio refuses only
            where chance does not explain it; see `latency`.
        latency_floor_ms: A p95 below this never refuses.
    """

    recall: float = 0.95
    overlap_mean: float = 0.85
    overlap_median: float = 0.90
    overlap_p5: float = 0.60
    overlap_min: float = 0.50
    ranks: float = 0.80
    ndcg_margin: float = 0.01
    better: bool = False
    latency_factor: float = 2.0
    latency_floor_ms: float = 5.0

    def __post_init__(self) -> None:
        rules.check_bool("thresholds.better", self.better)
        for one in fields(self):
            if one.name == "better":
                continue
            value = getattr(self, one.name)
            if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
                raise ArgumentError(field=f"thresholds.{one.name}", problem=f"{value!r} is below 0")
            if not one.name.startswith("latency") and value > 1:
                raise ArgumentError(field=f"thresholds.{one.name}", problem=f"{value!r} is above 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """The result of one gate.

    Attributes:
        name: The gate's name.
        figure: The measured value; None where nothing could be measured.
        threshold: Its threshold; None where it only informs.
        verdict: ``refused`` stops the cut-over; ``accepted`` was refused, and the user lets it
            pass; ``noted`` only informs.
        words: The result as a sentence.
    """

    name: Name
    figure: float | None
    threshold: float | None
    verdict: Verdict
    words: str

    @property
    def refuses(self) -> bool:
        """Whether it stops the cut-over."""
        return self.verdict == "refused"

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-like data."""
        return asdict(self)

    def accepted(self) -> Gate:
        """Return the same gate; accepted if it refuses."""
        if not self.refuses:
            return self
        return Gate(
            name=self.name, figure=self.figure, threshold=self.threshold, verdict="accepted",
            words=self.words,
        )  # fmt: skip


def at_least(name: Name, figure: float, threshold: float, words: str) -> Gate:
    """Make a gate that refuses a figure below the threshold."""
    verdict: Verdict = "passed" if figure >= threshold else "refused"
    return Gate(name=name, figure=figure, threshold=threshold, verdict=verdict, words=words)


def at_most(name: Name, figure: float, threshold: float, words: str) -> Gate:
    """Make a gate that refuses a figure above the threshold."""
    verdict: Verdict = "passed" if figure <= threshold else "refused"
    return Gate(name=name, figure=figure, threshold=threshold, verdict=verdict, words=words)


def noted(name: Name, figure: float | None, words: str) -> Gate:
    """Make a gate that only informs."""
    return Gate(name=name, figure=figure, threshold=None, verdict="noted", words=words)


def judged_gate(difference: float, p_value: float, thresholds: Thresholds, words: str) -> Gate:
    """Compare NDCG on judged queries.

    Args:
        difference: Green's mean NDCG less blue's.
        p_value: Probability of a difference as large by chance.
        thresholds: The thresholds.
        words: The result as a sentence.
    """
    words += "" if p_value < BETTER_P else ": chance alone could do this"
    if not thresholds.better:
        return at_least("ndcg", difference, -thresholds.ndcg_margin, words)
    is_better = difference > 0 and p_value < BETTER_P
    verdict: Verdict = "passed" if is_better else "refused"
    words += "; it must be better"
    return Gate(name="ndcg", figure=difference, threshold=0.0, verdict=verdict, words=words)


def latency(blue_s: Sequence[float], green_s: Sequence[float], thresholds: Thresholds) -> Gate:
    """Compare search times of both generations, measured in pairs.

    Green is refused where three things hold: its p95 is more than ``latency_factor`` times blue's,
    it is more than ``latency_floor_ms``, and chance does not explain it. For the last, the pairs in
    which green took more than ``latency_factor`` times as long as blue are compared with those in
    which it was the other way round. What slows a busy machine down affects either with the same
    probability, so that each such pair is like a coin toss: a one-sided sign test (Dixon and Mood,
    1946, doi:10.1080/01621459.1946.10501898; like McNemar's, 1947, it uses the pairs that differ).
    Fewer than seven such pairs never reach 99% confidence.

    Args:
        blue_s: n search times of blue, in seconds.
        green_s: n search times of green; each was measured right next to blue's of that index.
        thresholds: The thresholds.

    Raises:
        ArgumentError: If there is no pair, or the lengths differ.
    """
    blue, green = np.asarray(blue_s, float), np.asarray(green_s, float)
    if not len(blue) or len(blue) != len(green):
        raise ArgumentError(
            field="green_s", problem=f"has {len(green)} values, and blue_s {len(blue)}"
        )
    most, floor = thresholds.latency_factor, thresholds.latency_floor_ms
    old, new = (float(np.percentile(one, 95)) * 1e3 for one in (blue, green))
    factor = new / max(old, 1e-6)
    words = f"p95 {old:.2f} ms -> {new:.2f} ms, {len(blue):,} pairs"
    if factor <= most:
        return at_most("latency", factor, most, words)
    if new <= floor:
        return noted("latency", factor, f"{words}; below {floor:g} ms it does not matter")
    slower, faster = int((green > most * blue).sum()), int((blue > most * green).sum())
    chance = _tosses(slower, slower + faster)
    words += f"; green far slower in {slower:,}, blue in {faster:,}: p = {chance:.2g}"
    if chance > 1 - LATENCY_CONFIDENCE:
        return noted("latency", factor, f"{words}, so that chance alone could do this")
    return at_most("latency", factor, most, words)


def _tosses(heads: int, tosses: int) -> float:
    """Return the probability of at least so many heads in tosses of a fair coin."""
    return float(sum(math.comb(tosses, one) for one in range(heads, tosses + 1)) / 2**tosses)


def check_accepted(names: Sequence[str]) -> tuple[Name, ...]:
    """Return the gates that the user accepts, in their order.

    Raises:
        ArgumentError: If there is no such gate, or it guards against the loss of data.
    """
    for name in names:
        if name not in ACCEPTABLE:
            raise ArgumentError.of_choice("accept", name, ", ".join(ACCEPTABLE))
    return tuple(one for one in NAMES if one in names)


def table(gates: Sequence[Gate | Mapping[str, Any]]) -> str:
    """Return gates as a table: name, figure, threshold, verdict, words."""
    rows = [one.to_dict() if isinstance(one, Gate) else dict(one) for one in gates]
    lines = [
        (
            str(row["name"]),
            _figure(row["figure"]),
            _figure(row["threshold"]),
            str(row["verdict"]),
            str(row["words"]),
        )
        for row in rows
    ]
    heads = ("gate", "figure", "threshold", "verdict", "")
    widths = [max(len(row[column]) for row in [*lines, heads]) for column in range(4)]
    return "\n".join(
        f"{name:<{widths[0]}}  {figure:>{widths[1]}}  {threshold:>{widths[2]}}  "
        f"{verdict:<{widths[3]}}  {words}".rstrip()
        for name, figure, threshold, verdict, words in [heads, *lines]
    )


def _figure(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if float(value).is_integer() and abs(value) != 1 else f"{value:.3f}"
