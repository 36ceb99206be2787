"""Defines the vectors of a collection: dense, sparse (BM25), and late interaction."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Self, get_args

from qdrant_static import plaindata
from qdrant_static.collection import quantization as quantizations
from qdrant_static.collection.quantization import Binary, Quantization, Turbo
from qdrant_static.encoders.sparse import TOKENIZERS
from qdrant_static.errors import ArgumentError
from qdrant_static.rules import check_choice, check_integer, is_number

#: The vector of the encoder's whole output.
FULL = "full"
#: The sparse vector of BM25 weights.
BM25 = "bm25"
#: The multi-vector of a late-interaction encoder.
LATE = "late"

Distance = Literal["cosine", "dot", "euclid", "manhattan"]
Datatype = Literal["float32", "float16", "uint8", "turbo4", "turbo8", "turbo16"]
Placement = Literal["ram", "cached", "disk"]
DISTANCES: tuple[Distance, ...] = get_args(Distance)
DATATYPES: tuple[Datatype, ...] = get_args(Datatype)
PLACEMENTS: tuple[Placement, ...] = get_args(Placement)
#: Added to a uint8 vector after scaling, so that negative numbers are kept.
UINT8_OFFSET = 128
_MAX_SIZE = 65_536


def matryoshka_name(size: int) -> str:
    """Return the name of the vector of the first ``size`` dimensions."""
    return f"mrl_{size}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hnsw:
    """The graph of a dense vector.

    Attributes:
        m: Links of a node, at least 2 (a vector without a graph has no `Hnsw` at all).
        ef_construct: Candidates looked at per inserted node, at least 4.
        placement: Where the links are.
    """

    m: int = 16
    ef_construct: int = 100
    placement: Placement = "ram"

    def __post_init__(self) -> None:
        for name, least in (("m", 2), ("ef_construct", 4)):
            check_integer(f"hnsw.{name}", getattr(self, name), least=least)
        check_choice("hnsw.placement", self.placement, PLACEMENTS)


@dataclass(frozen=True, slots=True, kw_only=True)
class VectorSpec:
    """One dense named vector.

    Attributes:
        name: ``"full"`` or ``"mrl_<size>"``; any other in a collection made without this package,
            where ``""`` is the unnamed vector.
        size: Dimensions: the encoder's, or a Matryoshka prefix of them, renormalized.
        distance: How two vectors are compared.
        datatype: Of the stored originals. ``"uint8"`` needs a `scale`, since it cuts fractions
            off: without one every unit vector would become zeros.
        scale: uint8 alone: ``round(x * scale) + 128`` is stored. Distances must then be Euclidean,
            which the offset does not change (for unit vectors the order is that of cosine).
        placement: Where the originals are: in RAM, on disk behind the operating system's cache,
            or on disk alone.
        hnsw: The graph; None for none: a first pass then compares every code, and a vector that
            only rescores candidates needs none.
        quantization: The codes that a first pass compares; None to compare originals.
        codes: Where the codes are.
    """

    name: str
    size: int
    distance: Distance = "cosine"
    datatype: Datatype = "float32"
    scale: float | None = None
    placement: Placement = "cached"
    hnsw: Hnsw | None = field(default_factory=Hnsw)
    quantization: Quantization | None = None
    codes: Placement = "ram"

    def __post_init__(self) -> None:
        where = f"vectors.{self.name}"
        check_integer(f"{where}.size", self.size, greatest=_MAX_SIZE)
        check_choice(f"{where}.distance", self.distance, DISTANCES)
        check_choice(f"{where}.datatype", self.datatype, DATATYPES)
        check_choice(f"{where}.placement", self.placement, PLACEMENTS)
        check_choice(f"{where}.codes", self.codes, PLACEMENTS)
        parsed = quantizations.parse(self.quantization, f"{where}.quantization")
        object.__setattr__(self, "quantization", parsed)
        self._check_datatype(where)

    def _check_datatype(self, where: str) -> None:
        if self.datatype != "uint8":
            if self.scale is not None:
                raise ArgumentError(
                    field=f"{where}.scale", problem=f"is for uint8; this vector is {self.datatype}"
                )
            return
        if not is_number(self.scale) or self.scale <= 0:  # type: ignore[operator]
            raise ArgumentError(
                field=f"{where}.scale",
                problem=f"{self.scale!r}: uint8 needs a scale above 0, or unit vectors would "
                f"become zeros; for {self.size} dimensions {uint8_scale(self.size):.0f} is usual",
            )
        if self.distance != "euclid":
            raise ArgumentError(
                field=f"{where}.distance",
                problem=f"{self.distance!r} of numbers that are shifted to be positive means "
                "nothing; a uint8 vector needs 'euclid'",
            )
        if isinstance(self.quantization, Binary) or (
            isinstance(self.quantization, Turbo) and self.quantization.bits < 2
        ):
            raise ArgumentError(
                field=f"{where}.quantization",
                problem=f"{quantizations.describe(self.quantization)} keeps little but signs, and "
                "a uint8 vector's numbers are all shifted to be positive: until the index is "
                "built, hits would be random. Take 'int8' or 'turbo4'",
            )

    @property
    def quantized(self) -> bool:
        """Whether a first pass can compare codes."""
        return self.quantization is not None

    @property
    def bytes(self) -> int:
        """Bytes of one stored original."""
        return stored_bytes(self.size, self.datatype)

    @property
    def code_bytes(self) -> int:
        """Bytes of one quantized code; 0 without quantization."""
        return 0 if self.quantization is None else self.quantization.bytes(self.size)

    @property
    def compared_bytes(self) -> int:
        """Bytes that a first pass reads for one comparison: a code, else the original."""
        return self.code_bytes or self.bytes

    def to_dict(self) -> dict[str, Any]:
        """Return the vector as JSON-like data."""
        return {
            "name": self.name,
            "size": self.size,
            "distance": self.distance,
            "datatype": self.datatype,
            "scale": self.scale,
            "placement": self.placement,
            "hnsw": None if self.hnsw is None else asdict(self.hnsw),
            "quantization": quantizations.to_dict(self.quantization),
            "codes": self.codes,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], where: str = "vectors") -> Self:
        """Read what `to_dict` returned; missing keys take defaults, ``hnsw = false`` is no graph.

        Raises:
            ArgumentError: If a name is unknown or a value is of another type.
        """
        fields = dict(data)
        where = f"{where.partition('[')[0]}.{fields.get('name', '?')}"
        graph = fields.get("hnsw", True)
        if graph is None or isinstance(graph, bool):
            fields["hnsw"] = Hnsw() if graph else None
        codes = quantizations.parse(fields.get("quantization"), f"{where}.quantization")
        return plaindata.build(cls, fields | {"quantization": codes}, where)


@dataclass(frozen=True, slots=True, kw_only=True)
class SparseSpec:
    """The BM25 vector.

    Attributes:
        language: The language of stop words and stemming.
        stop_words: Words that are not indexed; None takes the language's own list.
        mean_length: Mean number of terms of a text, after stop words and stemming; None until
            the first ingest has measured it. Later appends and all shards share it.
        placement: Where the postings are.
        tokenizer: How texts are divided into words: ``"word"`` at all but letters and digits,
            ``"multilingual"`` also where there are no spaces (Chinese, Japanese, Thai; slower),
            ``"whitespace"``, ``"prefix"`` or ``"code"``. None lets the first ingest choose by the
            texts' scripts; after that, None means ``"word"``.
        sampled_length: The mean length of a sample, if the mean was corrected later; the digests
            in the ledger were made with it.
    """

    language: str = "english"
    stop_words: tuple[str, ...] | None = None
    mean_length: float | None = None
    placement: Placement = "ram"
    tokenizer: str | None = None
    sampled_length: float | None = None

    def __post_init__(self) -> None:
        if self.tokenizer is not None:
            check_choice("sparse.tokenizer", self.tokenizer, TOKENIZERS)
        if self.mean_length is not None and not (
            is_number(self.mean_length) and self.mean_length > 0
        ):
            raise ArgumentError(
                field="sparse.mean_length", problem=f"{self.mean_length!r} is not a number above 0"
            )
        if self.stop_words is not None:
            words: Any = self.stop_words
            words = [] if isinstance(words, str) else list(words)
            if not words or not all(isinstance(word, str) for word in words):
                raise ArgumentError(field="sparse.stop_words", problem="is not a list of words")
            object.__setattr__(self, "stop_words", tuple(words))
        check_choice("sparse.placement", self.placement, PLACEMENTS)

    def to_dict(self) -> dict[str, Any]:
        """Return the sparse vector as JSON-like data."""
        words = None if self.stop_words is None else list(self.stop_words)
        data = {**asdict(self), "stop_words": words}
        for later in (
            "tokenizer",
            "sampled_length",
        ):  # specs of earlier versions, and their digests, lack these keys
            if data[later] is None:
                del data[later]
        return data


@dataclass(frozen=True, slots=True, kw_only=True)
class LateSpec:
    """The multi-vector of a late-interaction encoder: one row a token, compared by MaxSim.

    It has no graph: it only reorders candidates that other vectors found.

    Attributes:
        encoder: fastembed's name of the model, such as ``"colbert-ir/colbertv2.0"``.
        size: Dimensions of a row.
        datatype: Of the stored rows.
        placement: Where they are.
    """

    encoder: str
    size: int
    datatype: Datatype = "float16"
    placement: Placement = "disk"

    def __post_init__(self) -> None:
        check_integer("late.size", self.size)
        check_choice("late.datatype", self.datatype, ("float32", "float16"))
        check_choice("late.placement", self.placement, PLACEMENTS)

    @property
    def bytes(self) -> int:
        """Bytes of one stored row."""
        return stored_bytes(self.size, self.datatype)

    def to_dict(self) -> dict[str, Any]:
        """Return the multi-vector as JSON-like data."""
        return asdict(self)


def stored_bytes(size: int, datatype: str) -> int:
    """Return the bytes of one stored vector of ``size`` dimensions, as the engine's files hold it.

    TurboQuant's datatypes add four bytes of norm.
    """
    if datatype.startswith("turbo"):
        return math.ceil(size * int(datatype.removeprefix("turbo")) / 8) + 4
    return size * {"float32": 4, "float16": 2, "uint8": 1}[datatype]


def uint8_scale(size: int) -> float:
    """Return a scale for unit vectors: the range of uint8 covers 5 standard deviations.

    A number of a unit vector has the standard deviation ``1 / sqrt(size)``.
    """
    return (UINT8_OFFSET - 1) * math.sqrt(size) / 5
