"""Defines `CollectionSpec`: a collection's vectors, quantization, fields and default plan.

It is pure data, validated when it is made. It is stored in its collection's metadata, under
:data:`METADATA_KEY`, so that a later process needs only the collection's name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, Literal, Self, cast, get_type_hints

from qdrant_static import plaindata, rules
from qdrant_static.collection.encoderpair import check_pair, info_of
from qdrant_static.collection.fieldpaths import as_key
from qdrant_static.collection.fields import Fields
from qdrant_static.collection.plan import check_kind
from qdrant_static.collection.presets import QuantizationChoice, codes_of, graphs_of
from qdrant_static.collection.serverspec import ServerSpec
from qdrant_static.collection.vectorspec import (
    BM25,
    FULL,
    Hnsw,
    LateSpec,
    Placement,
    SparseSpec,
    VectorSpec,
    matryoshka_name,
)
from qdrant_static.encoders.base import EncoderInfo
from qdrant_static.encoders.registry import AnyEncoder
from qdrant_static.errors import ArgumentError
from qdrant_static.rules import is_number

__all__ = [
    "BM25", "FULL", "METADATA_KEY", "VERSION", "CollectionSpec", "Fields", "Hnsw",
    "LateSpec", "SparseSpec", "VectorSpec", "matryoshka_name",
]  # fmt: skip

#: The key of a spec in a collection's metadata.
METADATA_KEY = "qdrant_static"
#: Version of the spec's form there.
VERSION = 1

PAYLOAD_TYPES = ("bool", "datetime", "float", "geo", "integer", "keyword", "text", "uuid")


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectionSpec:
    """The description of a collection, from which `create_collection` makes it.

    Attributes:
        encoder: The encoder of the dense vectors; of queries too, unless ``queries`` names another.
        vectors: The dense vectors: ``full`` first, then the Matryoshka sizes, descending.
        sparse: The BM25 vector, or None.
        late: The late-interaction vector, or None.
        payload_indexes: Payload field -> type of its index. A dot is a step into an object; a
            name with anything but letters, digits, ``_`` and ``-`` gets Qdrant's quotes.
        server: Shards, replicas and other settings of a server.
        fields: The payload fields of key and text; filled in by the first ingest.
        plan: The default search plan: a name, or the plan as a plain dictionary; None means
            hybrid where there is BM25, else dense.
        planned: False for a collection made without this package: its vectors have any names and
            sizes, and the first is the one that is searched by default.
        evidence: What `tune` measured of that plan, as plain data for display.
        measured: Recall with the default number of candidates, measured at the end of an ingest,
            and the factor by which searches take more of them (`measuring.assess`).
        queries: The encoder of queries, fitted to ``encoder``, which then makes the documents'
            vectors alone (asymmetric search); None: ``encoder`` does both.
    """

    encoder: EncoderInfo
    vectors: tuple[VectorSpec, ...]
    sparse: SparseSpec | None = None
    late: LateSpec | None = None
    payload_indexes: Mapping[str, str] = field(default_factory=dict)
    server: ServerSpec = field(default_factory=ServerSpec)
    fields: Fields = field(default_factory=Fields)
    plan: str | Mapping[str, Any] | None = None
    planned: bool = True
    evidence: Mapping[str, Any] | None = None
    measured: Mapping[str, Any] | None = None
    queries: EncoderInfo | None = None

    def __post_init__(self) -> None:
        if self.queries is not None:
            same = check_pair(self.encoder, self.queries)
            object.__setattr__(self, "queries", None if same else self.queries)
        if self.planned:
            self._check_names()
        elif not self.vectors:
            raise ArgumentError(field="vectors", problem="there is none")
        for name in ("sparse", "late", "payload_indexes", "server", "fields"):
            plaindata.convert(getattr(self, name), _HINTS[name], name)
        for name, kind in self.payload_indexes.items():
            rules.check_choice(f"payload_indexes.{name}", kind, PAYLOAD_TYPES)
        if self.plan is not None:
            # The rest is checked where the plan is used, so that a collection with a plan of a
            # later version can still be opened.
            check_kind(
                self.plan.get("kind") if isinstance(self.plan, Mapping) else self.plan,
                has_sparse=self.sparse is not None,
                has_late=self.late is not None,
            )
        keys = {as_key(name): kind for name, kind in self.payload_indexes.items()}
        object.__setattr__(self, "payload_indexes", dict(sorted(keys.items())))

    @property
    def documents(self) -> EncoderInfo:
        """The encoder of the documents."""
        return self.encoder

    @property
    def query_encoder(self) -> EncoderInfo:
        """The encoder of the queries: ``queries``, or else ``encoder``."""
        return self.queries or self.encoder

    def _check_names(self) -> None:
        sizes = [vector.size for vector in self.vectors]
        if not self.vectors or self.vectors[0].name != FULL:
            raise ArgumentError(field="vectors", problem="the first must be 'full'")
        if sizes[0] != self.encoder.dimension:
            raise ArgumentError(
                field="vectors.full.size",
                problem=f"{sizes[0]} is not the encoder's {self.encoder.dimension}",
            )
        if any(later >= earlier for earlier, later in pairwise(sizes)):
            raise ArgumentError(
                field="matryoshka",
                problem=f"sizes must fall and stay below the encoder's {sizes[0]}; got {sizes[1:]}",
            )
        for vector in self.vectors[1:]:
            if vector.name != matryoshka_name(vector.size):
                raise ArgumentError(
                    field=f"vectors.{vector.name}.name",
                    problem=f"a vector of {vector.size} of the encoder's {sizes[0]} dimensions is "
                    f"called {matryoshka_name(vector.size)!r}",
                )

    @classmethod
    def for_encoder(
        cls,
        encoder: AnyEncoder | EncoderInfo,
        *,
        matryoshka: Sequence[int] = (),
        quantization: QuantizationChoice = "auto",
        graph: str | Sequence[str] | None = None,
        placement: Placement = "cached",
        sparse: Literal["bm25"] | SparseSpec | None = "bm25",
        late: LateSpec | None = None,
        payload_indexes: Mapping[str, str] | None = None,
        server: ServerSpec | None = None,
        plan: str | Mapping[str, Any] | None = None,
        queries: AnyEncoder | EncoderInfo | None = None,
    ) -> Self:
        """Make the spec of a collection for an encoder.

        Args:
            encoder: The encoder, its name, or its `EncoderInfo`.
            matryoshka: Sizes of further vectors ``mrl_<size>``: prefixes of the full vector,
                renormalized, in falling order.
            quantization: ``"auto"`` takes the preset of each vector's size; a short name
                (``"binary"``, ``"turbo4"``, ``"int8"``, ...) or an object is for all vectors; a
                mapping names the vectors; None is none.
            graph: The vectors that have an HNSW graph; None: the smallest Matryoshka size from
                256 dimensions on, else the full vector. A vector that only rescores the
                candidates of another needs none.
            placement: Where the original vectors are; codes and graphs stay in RAM.
            sparse: ``"bm25"``, its settings, or None for no sparse vector.
            late: The vector of a late-interaction encoder.
            payload_indexes: Payload field -> type (``"keyword"``, ``"integer"``, ...).
            server: Shards, replicas and other settings of a server.
            plan: The default search plan; None means hybrid with BM25, else dense.
            queries: The encoder of queries, its name, or its `EncoderInfo`, for asymmetric search:
                a fast model that was fitted to ``encoder``. None: ``encoder`` does both.

        Raises:
            ArgumentError: If a value is impossible; the error names the field.
            EncoderPairError: If ``queries`` was not fitted to ``encoder``.
        """
        if sparse not in (None, BM25) and not isinstance(sparse, SparseSpec):
            raise ArgumentError(
                field="sparse", problem=f"{sparse!r} is unknown; known: 'bm25', None"
            )
        for size in plaindata.convert(matryoshka, tuple[Any, ...], "matryoshka"):
            rules.check_integer("matryoshka", size)
        graph = plaindata.convert(graph, str | tuple[str, ...] | None, "graph")
        info = info_of(encoder)
        if len(set(matryoshka)) < len(matryoshka):
            raise ArgumentError(field="matryoshka", problem=f"sizes must fall; got {matryoshka}")
        sizes = {FULL: info.dimension, **{matryoshka_name(size): size for size in matryoshka}}
        graphs = graphs_of(graph, sizes)
        codes = codes_of(quantization, sizes)
        return cls(
            encoder=info,
            vectors=tuple(
                VectorSpec(
                    name=name,
                    size=size,
                    placement=placement,
                    hnsw=Hnsw() if name in graphs else None,
                    quantization=codes[name],
                )
                for name, size in sizes.items()
            ),
            sparse=SparseSpec() if sparse == BM25 else cast("SparseSpec | None", sparse),
            late=late,
            payload_indexes={} if payload_indexes is None else payload_indexes,
            server=ServerSpec() if server is None else server,
            plan=plan,
            queries=None if queries is None else info_of(queries),
        )

    def vector(self, name: str) -> VectorSpec:
        """Return the dense vector of that name.

        Raises:
            ArgumentError: If there is none.
        """
        for vector in self.vectors:
            if vector.name == name:
                return vector
        known = ", ".join(vector.name for vector in self.vectors)
        raise ArgumentError(
            field="vector", problem=f"{name!r} is not in the collection; it has {known}"
        )

    def candidates_factor(self, side: str) -> float:
        """Return by how much searches multiply the default number of candidates, as measured.

        Args:
            side: ``"dense"`` or ``"cascade"``.
        """
        figures = (self.measured or {}).get(side)
        factor: Any = figures.get("factor") if isinstance(figures, Mapping) else None
        return float(factor) if is_number(factor) and factor >= 1 else 1.0

    def with_source(self, *, fields: Fields, mean_length: float | None) -> Self:
        """Return the spec with the fields and the BM25 settings that an ingest determined."""
        sparse = self.sparse
        if sparse is not None and sparse.mean_length is None:
            sparse = replace(sparse, mean_length=mean_length)
        return replace(self, fields=fields, sparse=sparse)

    def to_dict(self) -> dict[str, Any]:
        """Return the spec as JSON-like data."""
        return {
            "version": VERSION,
            "encoder": self.encoder.identity(),
            "vectors": [vector.to_dict() for vector in self.vectors],
            "sparse": None if self.sparse is None else self.sparse.to_dict(),
            "late": None if self.late is None else self.late.to_dict(),
            "payload_indexes": dict(self.payload_indexes),
            "server": self.server.to_dict(),
            "fields": self.fields.to_dict(),
            "plan": dict(self.plan) if isinstance(self.plan, Mapping) else self.plan,
            **({} if self.planned else {"planned": False}),
            **({} if self.evidence is None else {"evidence": dict(self.evidence)}),
            **({} if self.measured is None else {"measured": dict(self.measured)}),
            # Absent without one, so that digests of earlier versions stay valid.
            **({} if self.queries is None else {"queries": self.queries.identity()}),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], where: str = "spec") -> Self:
        """Read what `to_dict` returned.

        Args:
            data: JSON-like data.
            where: The spec's name in errors.

        Raises:
            ArgumentError: If it is of another version, or damaged; it names the part.
        """
        if not isinstance(data, Mapping):
            raise ArgumentError(field=where, problem=f"damaged: a {type(data).__name__}")
        content = {name: value for name, value in data.items() if name != "version"}
        version = data.get("version")
        if version != VERSION:
            raise ArgumentError(
                field="version",
                problem=f"{version!r} cannot be read by this version of qdrant-static, "
                f"which knows {VERSION}",
            )
        for name in ("sparse", "payload_indexes", "fields"):
            if name not in data:
                raise ArgumentError(field=f"{where}.{name}", problem="is missing")
        return plaindata.build(cls, content, where)


#: What the fields of a spec hold.
_HINTS = get_type_hints(CollectionSpec)
