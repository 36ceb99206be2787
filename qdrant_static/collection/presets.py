"""Defines the default codes, graphs and numbers of candidates, each with its source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from qdrant_static.collection import quantization as quantizations
from qdrant_static.collection.quantization import Binary, Product, Quantization, Turbo
from qdrant_static.errors import ArgumentError

#: Quantization as an argument: a short name, an object, or a mapping from vectors' names to these.
QuantizationChoice: TypeAlias = str | Quantization | Mapping[str, Any] | None

#: The Matryoshka size from which a first pass by it is as good as one by the full vector: the
#: smallest size that has the graph. Measured: 1,024-d with a graph on 256 dimensions alone,
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
            vector, that the preset must reach on clustered vectors; tests check it.
        source: The measurement or publication behind it.
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
        source="Qdrant's figures at 384-d, rescoring not stated: float32 .986, TurboQuant 4 bits "
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


#: Bits per dimension, at most -> oversampling: the presets', and less for finer codes.
_OVERSAMPLING = ((1.5, 4.0), (2, 3.0), (4, 2.0), (8, 1.5))
#: Dimensions, at most -> how many candidates a stage of a cascade passes on to a longer vector: per
#: wanted hit, and at least. Measured, recall@10 of exact search: 100,000 clustered points of
#: 1,024-d by 256 dimensions .995 (.992 and .994 at 50 and 100 hits); SciFact with WordLlama-256 by
#: 128 dimensions .996, by 64 .982.
_PASSED_ON = ((127, 16, 400), (255, 8, 200), (65_536, 4, 100))
#: recall@10 of a default cascade against exact search by its last vector.
CASCADE_PROMISED_RECALL = 0.98


def preset(size: int) -> Preset:
    """Return the preset of a vector of ``size`` dimensions."""
    return next(candidate for candidate in PRESETS if size <= candidate.up_to)


def oversampling(quantization: Quantization | None) -> float:
    """Return the default candidates by codes per wanted hit, before rescoring.

    It depends on the bits per dimension, as in `PRESETS`; product codes of the same size lose
    more. It is 1 without codes.
    """
    if quantization is None:
        return 1.0
    bits = quantization.bits_per_dimension
    if isinstance(quantization, Product):
        return 3.0 if bits >= 4 else 4.0
    return next(factor for most, factor in _OVERSAMPLING if bits <= most)


def passed_on(size: int, hits: int) -> int:
    """Return how many candidates a vector of a cascade passes on to the next, longer one.

    Args:
        size: Its dimensions.
        hits: Wanted hits.
    """
    per_hit, least = next((per, least) for most, per, least in _PASSED_ON if size <= most)
    return max(per_hit * hits, least)


def graph_vector(sizes: tuple[int, ...]) -> int:
    """Return the size that has the graph.

    Args:
        sizes: The full size, then the Matryoshka sizes, falling.

    Returns:
        The smallest of at least `GRAPH_SIZE`; the full size where there is none.
    """
    return next((size for size in reversed(sizes) if size >= GRAPH_SIZE), sizes[0])


def graphs_of(graph: str | Sequence[str] | None, sizes: Mapping[str, int]) -> tuple[str, ...]:
    """Return the names of the vectors that have a graph.

    Args:
        graph: The chosen names; None takes the vector of `graph_vector`.
        sizes: Vector's name -> dimensions, falling.

    Raises:
        ArgumentError: If there is no vector of a chosen name.
    """
    if graph is None:
        wanted = graph_vector(tuple(sizes.values()))
        return tuple(name for name, size in sizes.items() if size == wanted)
    names = (graph,) if isinstance(graph, str) else tuple(graph)
    for name in names:
        _check_vector("graph", name, sizes)
    return names


def codes_of(
    quantization: QuantizationChoice, sizes: Mapping[str, int]
) -> dict[str, Quantization | None]:
    """Return each vector's quantization.

    Args:
        quantization: One choice for all vectors, or a mapping from their names.
        sizes: Vector's name -> dimensions.

    Raises:
        ArgumentError: If a quantization is unknown, or there is no vector of a given name.
    """
    if isinstance(quantization, Mapping) and not {"kind", "bits"} & set(quantization):
        for name in quantization:
            _check_vector(f"quantization.{name}", name, sizes)
        chosen = {name: quantization.get(name, "auto") for name in sizes}
    else:
        chosen = dict.fromkeys(sizes, quantization)
    return {
        name: preset(sizes[name]).quantization
        if choice == "auto"
        else quantizations.parse(choice, f"vectors.{name}.quantization")
        for name, choice in chosen.items()
    }


def _check_vector(field: str, name: str, sizes: Mapping[str, int]) -> None:
    if name not in sizes:
        raise ArgumentError(
            field=field, problem=f"there is no vector {name!r}; there are {', '.join(sizes)}"
        )
