"""Which layout a vector gets where nobody says: facts, each with its source."""

from __future__ import annotations

from dataclasses import dataclass

from qdrant_static.collection.quantization import Binary, Quantization, Turbo

#: The Matryoshka size from which a first pass by it is as good as one by the full vector: the
#: smallest size that carries the graph. Measured: 1,024-d with a graph on 256 dimensions alone,
#: recall@10 of the cascade in docs/plans.md.
GRAPH_SIZE = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """The quantization of vectors up to a size.

    Attributes:
        up_to: Dimensions, inclusive.
        quantization: The codes.
        oversampling: Candidates by codes per wanted hit, before rescoring.
        promised_recall: recall@10 of codes and rescoring, against the exact search of the same
            vector, that the preset must reach on clustered vectors (the tests hold it to that).
        source: Where that comes from.
    """

    up_to: int
    quantization: Quantization
    oversampling: float
    promised_recall: float
    source: str


PRESETS: tuple[Preset, ...] = (
    Preset(
        up_to=383,
        quantization=Turbo(bits=4),
        oversampling=2.0,
        promised_recall=0.98,
        source="Qdrant's figures at 384-d, no rescoring told: float32 .986, TurboQuant 4 bits "
        ".944, 2 bits .848, one bit .603; one bit is advised from about 1,024 dimensions on",
    ),
    Preset(
        up_to=1023,
        quantization=Turbo(bits=2),
        oversampling=3.0,
        promised_recall=0.98,
        source="Qdrant's figures: TurboQuant 2 bits .848 at 384-d and .884 at 1,536-d against "
        "float32 .986 and .938; rescoring gives the rest back",
    ),
    Preset(
        up_to=65_536,
        quantization=Binary(bits=1, query_bits=8),
        oversampling=4.0,
        promised_recall=0.98,
        source="measured on 40,000 clustered points of 1,024-d, one bit: recall@10 without "
        "rescoring .677, oversampling 2 .966, 4 1.000, at the same time",
    ),
)


def preset(size: int) -> Preset:
    """The preset of a vector of that size."""
    return next(one for one in PRESETS if size <= one.up_to)


def graph_vector(sizes: tuple[int, ...]) -> int:
    """Which of a vector's sizes carries the graph.

    Args:
        sizes: The full size, then the Matryoshka sizes, falling.

    Returns:
        The smallest from `GRAPH_SIZE` on; the full size where there is none.
    """
    return next((size for size in reversed(sizes) if size >= GRAPH_SIZE), sizes[0])
