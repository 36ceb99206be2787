"""Lists candidate layouts of a collection, with the recall that each is expected to have.

The recall comes from figures that were measured on one corpus (`capacityfigures`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from qdrant_static.collection import capacityfigures as figures
from qdrant_static.collection.capacityfigures import CASCADES, CODES, OVERSAMPLING, PREFETCH
from qdrant_static.collection.quantization import SHORT_NAMES
from qdrant_static.collection.vectorspec import FULL, Hnsw, Placement, VectorSpec, matryoshka_name

_PLACES: tuple[tuple[Placement, str], ...] = (("cached", "in RAM"), ("disk", "on disk"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """An expected recall, and the candidates that it takes.

    Attributes:
        recall: recall@10, without the loss of the graph.
        candidates: Candidates per search for 10 hits, whose originals are read.
    """

    recall: float
    candidates: int


def expected(size: int, codes: str, target: float) -> Expected:
    """Return the fewest candidates that reach a recall, or the most that were measured.

    Args:
        size: Dimensions; between two measured sizes, recall is interpolated.
        codes: Short name, or ``"none"``.
        target: recall@10.
    """
    if codes == "none":
        return Expected(recall=1.0, candidates=10)
    curve = _mixed(CODES[codes], float(size))
    return _reaching(curve, tuple(10 * factor for factor in OVERSAMPLING), target)


def expected_cascade(short: int, size: int, codes: str, target: float) -> Expected:
    """Return the same for a short vector whose candidates the full one rescores.

    Args:
        short: Dimensions of the short vector.
        size: Dimensions of the full one. Its share counts: a quarter of 1,024 dimensions is
            assumed to lose as much as a quarter of 256, where that was measured; it is more
            likely to lose less.
        codes: Of the short vector: a key of `CASCADES`.
        target: recall@10.
    """
    return _reaching(_mixed(CASCADES[codes], short / size), PREFETCH, target)


def _mixed(curves: Mapping[float, tuple[float, ...]], at: float) -> tuple[float, ...]:
    """Interpolate the curve at a size, by its logarithm; outside, take the nearest size's."""
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A layout whose bytes are not computed yet.

    Attributes:
        name: Such as ``"full turbo4, originals on disk"``.
        vectors: The dense vectors.
        expected: Expected recall, and the candidates for it.
        disk_reads: Reads from disk in a search for 10 hits.
        postings: Where BM25's postings are.
    """

    name: str
    vectors: tuple[VectorSpec, ...]
    expected: Expected
    disk_reads: int
    postings: Placement = "ram"


def candidates(
    size: int, matryoshka: Sequence[int], target: float, *, sparse: bool
) -> Iterator[Candidate]:
    """Yield all layouts, before their bytes are computed."""
    for place, where in _PLACES:
        for codes in ("none", *CODES):
            if codes == "none" and place == "disk":
                continue  # every step through the graph would read from disk
            name = "full" if codes == "none" else f"full {codes}"
            recall = expected(size, codes, target)
            candidate = Candidate(
                name=f"{name}, originals {where}",
                vectors=(_dense(FULL, size, place, codes, graph=True),),
                expected=recall,
                disk_reads=recall.candidates if place == "disk" else 0,
            )
            yield candidate
            if sparse and place == "disk":
                yield replace(
                    candidate,
                    name=f"{name}, originals, BM25 {where}",
                    disk_reads=candidate.disk_reads + figures.QUERY_TERMS,
                    postings="disk",
                )
        for short in matryoshka:
            for codes in CASCADES:
                if codes == "none" and place == "disk":
                    continue
                name = matryoshka_name(short)
                recall = expected_cascade(short, size, codes, target)
                yield Candidate(
                    name=(name if codes == "none" else f"{name} {codes}") + f", then full {where}",
                    vectors=(
                        _dense(FULL, size, place, "none", graph=False),
                        _dense(name, short, place, codes, graph=True),
                    ),
                    expected=recall,
                    # The short vector is rescored too, from twice as many.
                    disk_reads=3 * recall.candidates if place == "disk" else 0,
                )


def _dense(name: str, size: int, place: Placement, codes: str, *, graph: bool) -> VectorSpec:
    return VectorSpec(
        name=name,
        size=size,
        placement=place,
        hnsw=Hnsw() if graph else None,
        quantization=SHORT_NAMES.get(codes),
    )


def compared_bytes(candidate: Candidate) -> int:
    """Return the bytes of codes and vectors that a search for 10 hits compares."""
    full, walked = candidate.vectors[0], candidate.vectors[-1]
    exact = len(candidate.vectors) == 1 and full.quantization is None
    rescored = 0 if exact else candidate.expected.candidates
    return round(figures.VISITED * walked.compared_bytes + rescored * full.bytes)
