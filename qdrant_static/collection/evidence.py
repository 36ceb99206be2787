"""What recall a layout was measured to have: data, not a promise.

Measured with Qdrant Edge 0.9 on 20,000 sentences of scientific abstracts (SciFact), encoded by
WordLlama, 300 more as the queries: recall@10 against exact search of the full vector. 64, 128 and
256 dimensions are the encoder's own Matryoshka sizes; 1,024 dimensions are its 256, rotated into
1,024 at random, which spreads them over all dimensions as trained vectors are. Codes: queries of
binary codes keep 8 bits, rescoring from the originals, a graph of m = 16 and ef 100 where a
segment is large enough for one.

Figures here are divided by those of the same vector without codes (.978 to .983 with a graph):
they are the price of the codes, not of the graph, which ``hnsw_ef`` raises. More rows need more
candidates. The user's own data decide: `tune` measures there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

#: Candidates per wanted hit that were measured.
OVERSAMPLING = (1, 2, 3, 4, 8)
#: Prefetched candidates that were measured, for 10 hits.
PREFETCH = (20, 50, 100, 200, 400)
#: recall@10 of the graph alone, against exact search: the lowest of three sizes.
GRAPH_RECALL = 0.978

#: Codes -> dimensions -> recall at `OVERSAMPLING`, relative to no codes.
CODES: Mapping[str, Mapping[float, tuple[float, ...]]] = {
    "int8": {
        64: (0.965, 1.0, 1.0, 1.0, 1.0),
        128: (0.966, 0.999, 0.999, 0.999, 0.999),
        256: (0.979, 1.0, 1.0, 1.0, 1.0),
        1024: (0.990, 0.998, 0.998, 0.998, 0.998),
    },
    "turbo4": {
        64: (0.879, 0.997, 0.999, 1.0, 1.0),
        128: (0.914, 0.998, 0.998, 0.998, 0.998),
        256: (0.937, 0.997, 0.997, 0.997, 0.997),
        1024: (0.969, 0.999, 0.999, 0.999, 0.999),
    },
    "turbo2": {
        64: (0.618, 0.812, 0.892, 0.932, 0.983),
        128: (0.722, 0.907, 0.956, 0.975, 0.990),
        256: (0.792, 0.955, 0.987, 0.993, 0.997),
        1024: (0.889, 0.994, 0.997, 0.997, 0.997),
    },
    "turbo1": {
        64: (0.323, 0.461, 0.548, 0.606, 0.748),
        128: (0.472, 0.642, 0.732, 0.784, 0.885),
        256: (0.586, 0.771, 0.852, 0.894, 0.949),
        1024: (0.779, 0.947, 0.979, 0.986, 0.993),
    },
    "binary2": {
        64: (0.432, 0.595, 0.684, 0.745, 0.874),
        128: (0.570, 0.767, 0.849, 0.893, 0.952),
        256: (0.688, 0.875, 0.931, 0.959, 0.983),
        1024: (0.828, 0.977, 0.994, 0.997, 0.998),
    },
    "binary1.5": {
        64: (0.266, 0.381, 0.450, 0.511, 0.642),
        128: (0.415, 0.556, 0.638, 0.692, 0.809),
        256: (0.541, 0.706, 0.793, 0.840, 0.921),
        1024: (0.757, 0.936, 0.976, 0.986, 0.995),
    },
    "binary": {
        64: (0.278, 0.394, 0.474, 0.522, 0.652),
        128: (0.412, 0.572, 0.658, 0.715, 0.825),
        256: (0.566, 0.737, 0.809, 0.854, 0.930),
        1024: (0.765, 0.932, 0.972, 0.985, 0.992),
    },
}

#: Codes of the short vector -> its share of the full size -> recall at `PREFETCH`, at 256
#: dimensions; a short vector with codes is rescored itself first, from twice the candidates.
CASCADES: Mapping[str, Mapping[float, tuple[float, ...]]] = {
    "none": {0.25: (0.526, 0.700, 0.810, 0.896, 0.955), 0.5: (0.796, 0.924, 0.957, 0.982, 0.995)},
    "turbo4": {0.25: (0.525, 0.700, 0.810, 0.896, 0.955), 0.5: (0.798, 0.928, 0.966, 0.990, 0.998)},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What recall may be expected, from how many candidates.

    Attributes:
        recall: recall@10, the graph's own loss left out.
        candidates: Per search for 10 hits, of which the originals are read.
    """

    recall: float
    candidates: int


def expected(size: int, codes: str, target: float) -> Expected:
    """The fewest candidates that reach a recall, or the most that were measured.

    Args:
        size: Dimensions; between two measured sizes the figures of both are mixed.
        codes: Short name, or ``"none"``.
        target: recall@10.
    """
    if codes == "none":
        return Expected(recall=1.0, candidates=10)
    curve = _mixed(CODES[codes], float(size))
    return _reaching(curve, tuple(10 * factor for factor in OVERSAMPLING), target)


def expected_cascade(short: int, size: int, codes: str, target: float) -> Expected:
    """The same for a short vector that finds what the full one then orders.

    Args:
        short: Dimensions of the short vector.
        size: Dimensions of the full one. Its share counts: a quarter of 1,024 dimensions is
            taken to be as a quarter of 256, where it was measured; it is more likely better.
        codes: Of the short vector: a key of `CASCADES`.
        target: recall@10.
    """
    return _reaching(_mixed(CASCADES[codes], short / size), PREFETCH, target)


def _mixed(curves: Mapping[float, tuple[float, ...]], at: float) -> tuple[float, ...]:
    """The curve at a size, by the logarithm of the size; outside, that of the nearest."""
    low = max((size for size in curves if size <= at), default=min(curves))
    high = min((size for size in curves if size >= at), default=max(curves))
    if low >= high:
        return curves[low if at >= low else high]
    share = math.log(at / low) / math.log(high / low)
    pairs = zip(curves[low], curves[high], strict=True)
    return tuple(before + (after - before) * share for before, after in pairs)


def _reaching(curve: tuple[float, ...], candidates: tuple[int, ...], target: float) -> Expected:
    best = Expected(recall=curve[-1], candidates=candidates[-1])
    for recall, count in zip(curve, candidates, strict=True):
        if recall >= target:
            return Expected(recall=recall, candidates=count)
    return best
