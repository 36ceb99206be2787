"""Quantization of a dense vector: the codes that a first pass compares.

Four kinds, each a frozen spec; `parse` reads their short names (``"binary"``, ``"turbo4"``).
Each computes the bytes of one code as the engine's file ``quantized.data`` holds them; a test
compares them with the files of Qdrant Edge.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, TypeAlias

from qdrant_static.errors import ArgumentError
from qdrant_static.rules import check_choice, is_number

BINARY_BITS = (1, 1.5, 2)
QUERY_BITS = (1, 4, 8)
COMPRESSIONS = (4, 8, 16, 32, 64)
TURBO_BITS = (1, 1.5, 2, 4, 8)


def _one_of(field: str, value: object, known: tuple[float, ...]) -> None:
    if not is_number(value) or value not in known:
        raise ArgumentError(
            field=field, problem=f"{value!r} is not one of {', '.join(map(str, known))}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Binary:
    """Binary quantization.

    Attributes:
        bits: Of the code, per dimension: 1, 1.5 or 2.
        query_bits: Of the query's code, per dimension: 1 (as the points'), 4 or 8. More cost
            nothing at rest and gain recall.
    """

    kind: ClassVar[str] = "binary"

    bits: float = 1
    query_bits: int = 8

    def __post_init__(self) -> None:
        _one_of("quantization.bits", self.bits, BINARY_BITS)
        _one_of("quantization.query_bits", self.query_bits, QUERY_BITS)

    @property
    def bits_per_dimension(self) -> float:
        """Bits of a code per dimension."""
        return self.bits

    def bytes(self, size: int) -> int:
        """Return the bytes of one code of a vector of ``size`` dimensions: words of 128 bits."""
        return 16 * math.ceil(self.bits * size / 128)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scalar:
    """Scalar quantization to int8.

    Attributes:
        quantile: The share of values that the range covers, above 0.5 up to 1; None: all.
    """

    kind: ClassVar[str] = "scalar"

    quantile: float | None = 0.99

    def __post_init__(self) -> None:
        if self.quantile is not None and not (
            is_number(self.quantile) and 0.5 <= self.quantile <= 1
        ):
            raise ArgumentError(
                field="quantization.quantile", problem=f"{self.quantile!r} is not within 0.5 to 1"
            )

    @property
    def bits_per_dimension(self) -> float:
        """Bits of a code per dimension."""
        return 8

    def bytes(self, size: int) -> int:
        """Return the bytes of one code: one a dimension, padded to 16, and an offset."""
        return 16 * math.ceil(size / 16) + 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """Product quantization.

    Attributes:
        compression: How many times smaller than float32: 4, 8, 16, 32 or 64.
    """

    kind: ClassVar[str] = "product"

    compression: int = 16

    def __post_init__(self) -> None:
        _one_of("quantization.compression", self.compression, COMPRESSIONS)

    @property
    def bits_per_dimension(self) -> float:
        """Bits of a code per dimension."""
        return 32 / self.compression

    def bytes(self, size: int) -> int:
        """Return the bytes of one code of a vector of ``size`` dimensions."""
        return math.ceil(4 * size / self.compression)


@dataclass(frozen=True, slots=True, kw_only=True)
class Turbo:
    """TurboQuant.

    Attributes:
        bits: Of the code, per dimension: 1, 1.5, 2, 4 or 8.
    """

    kind: ClassVar[str] = "turbo"

    bits: float = 4

    def __post_init__(self) -> None:
        _one_of("quantization.bits", self.bits, TURBO_BITS)

    @property
    def bits_per_dimension(self) -> float:
        """Bits of a code per dimension."""
        return self.bits

    def bytes(self, size: int) -> int:
        """Return the bytes of one code: its bits, and 8 of norm and correction (8 bits: 4)."""
        return math.ceil(self.bits * size / 8) + (4 if self.bits == 8 else 8)


Quantization: TypeAlias = Binary | Scalar | Product | Turbo
_KINDS: tuple[type[Quantization], ...] = (Binary, Scalar, Product, Turbo)
#: Quantizations by their short names.
SHORT_NAMES: Mapping[str, Quantization] = {
    "binary": Binary(),
    "binary1.5": Binary(bits=1.5),
    "binary2": Binary(bits=2),
    "int8": Scalar(),
    **{f"product{factor}": Product(compression=factor) for factor in COMPRESSIONS},
    **{f"turbo{bits}": Turbo(bits=bits) for bits in TURBO_BITS},
}


def parse(
    value: str | Mapping[str, Any] | Quantization | None, field: str = "quantization"
) -> Quantization | None:
    """Return a quantization from its short name, from what `to_dict` returned, or unchanged.

    Args:
        value: ``"binary"``, ``"turbo4"``, ``{"kind": "binary", "bits": 1.5}``, an instance, or
            None or ``"none"`` for no quantization.
        field: The value's name in an error.

    Raises:
        ArgumentError: If it is none of these; it lists what is known.
    """
    if value is None or value == "none":
        return None
    if isinstance(value, _KINDS):
        return value
    if isinstance(value, str):
        check_choice(field, value, (*SHORT_NAMES, "none"))
        return SHORT_NAMES[value]
    if not isinstance(value, Mapping):
        raise ArgumentError(field=field, problem=f"{value!r} is neither a name nor a table")
    by_name = {kind.kind: kind for kind in _KINDS}
    settings = dict(value)
    name = settings.pop("kind", None)
    check_choice(f"{field}.kind", name, tuple(by_name))
    kind = by_name[name]
    known = tuple(kind.__slots__)
    if unknown := sorted(set(settings) - set(known)):
        raise ArgumentError(
            field=f"{field}.{unknown[0]}",
            problem=f"is unknown; {kind.kind} has: {', '.join(known)}",
        )
    try:
        return kind(**settings)
    except ArgumentError as error:
        raise ArgumentError(
            field=f"{field}.{error.field.rpartition('.')[2]}", problem=error.problem
        ) from None


def to_dict(value: Quantization | None) -> dict[str, Any] | None:
    """Return the quantization as JSON-like data."""
    return None if value is None else {"kind": value.kind, **asdict(value)}


def describe(value: Quantization | None) -> str:
    """Return a description of a quantization: its short name, if it has one."""
    if value is None:
        return "no quantization"
    name = next((name for name, known in SHORT_NAMES.items() if known == value), None)
    return name or f"{value.kind} {', '.join(f'{k}={v}' for k, v in asdict(value).items())}"
