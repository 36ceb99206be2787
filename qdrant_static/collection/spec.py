"""CollectionSpec: which vectors, quantized how, filled from what, searched how by default.

Pure data and its rules; no client. A spec lies in its collection's metadata, under
:data:`METADATA_KEY`, so that a later process can search with the collection's name alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import pairwise
from typing import Any, Literal, Self, cast

from qdrant_static.encoders.base import Encoder, EncoderInfo
from qdrant_static.errors import SpecError

#: The key of a spec in a collection's metadata.
METADATA_KEY = "qdrant_static"
#: Version of the spec's form there.
VERSION = 1
#: The vector of the encoder's whole output.
FULL = "full"
#: The sparse vector of BM25 weights.
BM25 = "bm25"

Quantization = Literal["binary"]
PlanKind = Literal["exact", "dense", "bm25", "hybrid"]
PLAN_KINDS: tuple[PlanKind, ...] = ("exact", "dense", "bm25", "hybrid")
PAYLOAD_TYPES = ("bool", "datetime", "float", "geo", "integer", "keyword", "text", "uuid")


def value_at(record: Mapping[str, Any], path: str, missing: Any = None) -> Any:
    """The value at a dotted path; a name with dots is a name before it is a path.

    Args:
        record: An object, with objects in it.
        path: ``"title"`` or ``"meta.title"``.
        missing: What stands for a value that is not there.
    """
    if path in record:
        return record[path]
    head, dot, _ = path.rpartition(".")
    while dot:
        inner = record.get(head)
        if isinstance(inner, Mapping):
            return value_at(inner, path[len(head) + 1 :], missing)
        head, dot, _ = head.rpartition(".")
    return missing


def matryoshka_name(size: int) -> str:
    """The name of the vector of the first ``size`` dimensions."""
    return f"mrl_{size}"


@dataclass(frozen=True, slots=True, kw_only=True)
class VectorSpec:
    """One dense named vector; distances are cosine.

    Attributes:
        name: ``"full"`` or ``"mrl_<size>"``.
        size: Dimensions: the encoder's, or a Matryoshka prefix of them, renormalized.
        quantization: ``"binary"``: one bit per dimension for the first pass (queries keep
            8 bits), the original vectors for rescoring; or None.
    """

    name: str
    size: int
    quantization: Quantization | None = None

    def __post_init__(self) -> None:
        if self.size < 1:
            raise SpecError(field=f"vectors.{self.name}.size", problem=f"{self.size} is below 1")
        if self.quantization not in (None, "binary"):
            raise SpecError(
                field=f"vectors.{self.name}.quantization",
                problem=f"{self.quantization!r} is unknown; known: 'binary', None",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class SparseSpec:
    """The BM25 vector.

    Attributes:
        language: Of stop words and stemming.
        mean_length: Mean number of terms of a text, after stop words and stemming; None until
            the first ingest has measured it.
    """

    language: str = "english"
    mean_length: float | None = None

    def __post_init__(self) -> None:
        if self.mean_length is not None and not self.mean_length > 0:
            raise SpecError(field="sparse.mean_length", problem=f"{self.mean_length} is not > 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fields:
    """Which payload fields hold a record's key and its text.

    A name may be a path: ``meta.title`` is the field ``title`` of the object ``meta``.

    Attributes:
        key: The field of the key, or several; None if the key is a digest of the text.
        text: The fields whose values, joined by one space, were encoded.
    """

    key: str | tuple[str, ...] | None = None
    text: tuple[str, ...] = ()

    def key_of(self, payload: Mapping[str, Any]) -> Any:
        """The key that a payload holds: a value, a tuple of several, or None."""
        if isinstance(self.key, tuple):
            parts = tuple(value_at(payload, name) for name in self.key)
            return None if None in parts else parts
        return None if self.key is None else value_at(payload, self.key)

    def text_of(self, payload: Mapping[str, Any]) -> str:
        """The text that a payload holds, as far as it does."""
        parts = (value_at(payload, name) for name in self.text)
        return " ".join(part for part in parts if isinstance(part, str) and part.strip())

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON-like data."""
        key = list(self.key) if isinstance(self.key, tuple) else self.key
        return {"key": key, "text": list(self.text)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read what `to_dict` gave."""
        key = data["key"]
        return cls(key=tuple(key) if isinstance(key, list) else key, text=tuple(data["text"]))

    @property
    def key_told(self) -> str | None:
        """The key's field or fields, for a person."""
        return " + ".join(self.key) if isinstance(self.key, tuple) else self.key


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectionSpec:
    """What a collection is, as `create_collection` makes it.

    Attributes:
        encoder: Who made the dense vectors.
        vectors: The dense vectors: ``full`` first, then the Matryoshka sizes, descending.
        sparse: The BM25 vector, or None.
        payload_indexes: Payload field -> type of its index.
        fields: Where key and text lie; filled in by the first ingest.
        plan: The default search plan: a name, or the plan as a plain dictionary; None means
            hybrid where there is BM25, else dense.
    """

    encoder: EncoderInfo
    vectors: tuple[VectorSpec, ...]
    sparse: SparseSpec | None = None
    payload_indexes: Mapping[str, str] = field(default_factory=dict)
    fields: Fields = Fields()
    plan: str | Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        sizes = [vector.size for vector in self.vectors]
        if not self.vectors or self.vectors[0].name != FULL:
            raise SpecError(field="vectors", problem="the first must be 'full'")
        if sizes[0] != self.encoder.dimension:
            raise SpecError(
                field="vectors.full.size",
                problem=f"{sizes[0]} is not the encoder's {self.encoder.dimension}",
            )
        if any(later >= earlier for earlier, later in pairwise(sizes)):
            raise SpecError(
                field="matryoshka",
                problem=f"sizes must fall and stay below the encoder's {sizes[0]}; got {sizes[1:]}",
            )
        for name, kind in self.payload_indexes.items():
            if kind not in PAYLOAD_TYPES:
                raise SpecError(
                    field=f"payload_indexes.{name}",
                    problem=f"{kind!r} is unknown; known: {', '.join(PAYLOAD_TYPES)}",
                )
        self._check_plan()
        object.__setattr__(self, "payload_indexes", dict(sorted(self.payload_indexes.items())))

    def _check_plan(self) -> None:
        kind = self.plan.get("kind") if isinstance(self.plan, Mapping) else self.plan
        if self.plan is not None and kind not in PLAN_KINDS:
            raise SpecError(
                field="plan", problem=f"{kind!r} is unknown; known: {', '.join(PLAN_KINDS)}"
            )
        if kind in ("bm25", "hybrid") and self.sparse is None:
            raise SpecError(field="plan", problem=f"{kind!r} needs BM25, which is left out")

    @classmethod
    def for_encoder(
        cls,
        encoder: Encoder,
        *,
        matryoshka: Sequence[int] = (),
        quantization: Quantization | None = "binary",
        sparse: Literal["bm25"] | SparseSpec | None = "bm25",
        payload_indexes: Mapping[str, str] | None = None,
        plan: str | Mapping[str, Any] | None = None,
    ) -> Self:
        """The spec of a collection for an encoder.

        Args:
            encoder: Who will make the vectors.
            matryoshka: Sizes of further vectors ``mrl_<size>``: prefixes of the full vector,
                renormalized, in falling order.
            quantization: Of the full vector; a Matryoshka vector is small as it is.
            sparse: ``"bm25"``, its settings, or None for no sparse vector.
            payload_indexes: Payload field -> type (``"keyword"``, ``"integer"``, ...).
            plan: The default search plan; None means hybrid with BM25, else dense.

        Raises:
            SpecError: If it cannot work; it names the field.
        """
        if sparse not in (None, BM25) and not isinstance(sparse, SparseSpec):
            raise SpecError(field="sparse", problem=f"{sparse!r} is unknown; known: 'bm25', None")
        for size in matryoshka:
            if isinstance(size, bool) or not isinstance(size, int):
                raise SpecError(field="matryoshka", problem=f"{size!r} is not an integer")
        info = encoder.info
        full = VectorSpec(name=FULL, size=info.dimension, quantization=quantization)
        prefixes = (VectorSpec(name=matryoshka_name(size), size=size) for size in matryoshka)
        return cls(
            encoder=info,
            vectors=(full, *prefixes),
            sparse=SparseSpec() if sparse == BM25 else cast("SparseSpec | None", sparse),
            payload_indexes=payload_indexes or {},
            plan=plan,
        )

    def vector(self, name: str) -> VectorSpec:
        """The dense vector of that name.

        Raises:
            SpecError: If there is none.
        """
        for vector in self.vectors:
            if vector.name == name:
                return vector
        known = ", ".join(vector.name for vector in self.vectors)
        raise SpecError(
            field="vector", problem=f"{name!r} is not in the collection; it has {known}"
        )

    def with_source(self, *, fields: Fields, mean_length: float | None) -> Self:
        """The same spec, with what an ingest found out."""
        sparse = self.sparse
        if sparse is not None and sparse.mean_length is None:
            sparse = replace(sparse, mean_length=mean_length)
        return replace(self, fields=fields, sparse=sparse)

    def to_dict(self) -> dict[str, Any]:
        """The spec as JSON-like data."""
        return {
            "version": VERSION,
            "encoder": self.encoder.identity(),
            "vectors": [asdict(vector) for vector in self.vectors],
            "sparse": None if self.sparse is None else asdict(self.sparse),
            "payload_indexes": dict(self.payload_indexes),
            "fields": self.fields.to_dict(),
            "plan": dict(self.plan) if isinstance(self.plan, Mapping) else self.plan,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read what `to_dict` gave.

        Raises:
            SpecError: If it is of another version, or damaged.
        """
        if not isinstance(data, Mapping):
            raise SpecError(field="spec", problem=f"damaged: a {type(data).__name__}")
        version = data.get("version")
        if version != VERSION:
            raise SpecError(
                field="version",
                problem=f"{version!r} cannot be read by this version of qdrant-static, "
                f"which knows {VERSION}",
            )
        try:
            return cls(
                encoder=EncoderInfo(**data["encoder"]),
                vectors=tuple(VectorSpec(**vector) for vector in data["vectors"]),
                sparse=None if data["sparse"] is None else SparseSpec(**data["sparse"]),
                payload_indexes=data["payload_indexes"],
                fields=Fields.from_dict(data["fields"]),
                plan=data["plan"],
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise SpecError(field="spec", problem=f"damaged: {error}") from error
