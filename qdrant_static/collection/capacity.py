"""Computes from a spec the bytes that each part of a collection takes in RAM and on disk.

Pure arithmetic, without a client; the figures are in `capacityfigures`. Tests compare the sums with
the bytes that Qdrant Edge takes (disk within 15%, memory within 20%).

There are three kinds of bytes. ``ram`` is held: on the heap, or mapped and read as a whole when the
collection is opened. ``cache`` is on disk and read when a search touches it: free RAM makes that
faster, but none is needed. ``disk`` is the size of the files.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from qdrant_static.collection import capacityfigures as figures
from qdrant_static.collection.quantization import Binary, Product, Quantization, Turbo
from qdrant_static.collection.spec import CollectionSpec
from qdrant_static.collection.vectorspec import Hnsw, LateSpec, Placement, SparseSpec, VectorSpec
from qdrant_static.errors import ArgumentError


@dataclass(frozen=True, slots=True, kw_only=True)
class Corpus:
    """The number of rows and their average sizes.

    Attributes:
        rows: Points, from 1 to ten billion.
        payload_bytes: Bytes of a row's payload as JSON, UTF-8; 0 for none.
        text_bytes: Bytes of a row's encoded text, UTF-8, for BM25 and text indexes.
        terms: Distinct BM25 terms of a row; None estimates them from `text_bytes`.
        tokens: Tokens of a row, each a vector for late interaction; None estimates them.
        uuids: Whether the ids are UUIDs (what a text key becomes), or integers.
    """

    rows: int
    payload_bytes: float = 500.0
    text_bytes: float = 500.0
    terms: float | None = None
    tokens: float | None = None
    uuids: bool = True

    def __post_init__(self) -> None:
        if not 1 <= self.rows <= figures.MAX_ROWS:
            raise ArgumentError(
                field="rows", problem=f"{self.rows} is not within 1 to {figures.MAX_ROWS}"
            )
        for name in ("payload_bytes", "text_bytes", "terms", "tokens"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < math.inf:
                raise ArgumentError(field=name, problem=f"{value} is not a number from 0 on")

    @property
    def mean_terms(self) -> float:
        """Distinct terms per row: as given, or 0.065 per byte (abstracts: 91 in 1,400 bytes)."""
        return 0.065 * self.text_bytes if self.terms is None else self.terms

    @property
    def mean_tokens(self) -> float:
        """Tokens per row: as given, or one per 4 bytes of text (English WordPiece)."""
        return self.text_bytes / 4 if self.tokens is None else self.tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One part of a collection.

    Attributes:
        name: Such as ``"full: codes"``.
        disk: Bytes of its files.
        ram: Bytes that are held in memory.
        cache: Bytes on disk that are read when a search touches them.
        source: Where the figure comes from.
    """

    name: str
    disk: float
    ram: float = 0.0
    cache: float = 0.0
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Footprint:
    """The parts of one copy of a collection.

    Attributes:
        rows: Points.
        parts: Its parts.
    """

    rows: int
    parts: tuple[Part, ...]

    @property
    def disk(self) -> int:
        """Bytes on disk, at rest."""
        return round(sum(part.disk for part in self.parts))

    @property
    def ram(self) -> int:
        """Bytes that are held in memory."""
        return round(sum(part.ram for part in self.parts))

    @property
    def cache(self) -> int:
        """Bytes that are read from disk when touched."""
        return round(sum(part.cache for part in self.parts))


def footprint(
    spec: CollectionSpec,
    corpus: Corpus,
    *,
    embedded: bool = False,
    rows_per_segment: int | None = None,
) -> Footprint:
    """Return the bytes of a collection once it is optimized: all shards together, one replica.

    Args:
        spec: The collection's spec.
        corpus: The rows in it.
        embedded: With Qdrant Edge: payload on disk, and the write-ahead log counts, which a
            server spreads over shards and empties.
        rows_per_segment: Rows of one graph; None: all. Links to more rows take more bits.
    """
    rows = corpus.rows
    indexed = is_indexed(spec, corpus)
    bits = max(8, math.ceil(math.log2(max(2, min(rows, rows_per_segment or rows)))))
    parts = [_points(corpus)]
    for vector in spec.vectors:
        parts += _vector(vector, rows, bits, indexed=indexed)
    if spec.sparse is not None:
        parts += _sparse(spec.sparse, corpus)
    if spec.late is not None:
        parts.append(_late(spec.late, corpus))
    held = not embedded and spec.server.on_disk_payload is False
    parts += _payload(corpus, held=held, indexed=indexed)
    parts += [_index(name, kind, corpus) for name, kind in spec.payload_indexes.items()]
    if embedded:
        parts.append(_log(spec, corpus))
    parts.append(
        Part(
            name="fixed",
            disk=figures.FIXED_DISK,
            ram=figures.FIXED_HEAP,
            source="measured, small collections",
        )
    )
    return Footprint(rows=rows, parts=tuple(parts))


def is_indexed(spec: CollectionSpec, corpus: Corpus) -> bool:
    """Return whether one vector takes enough bytes that the engine builds graphs at all."""
    return any(corpus.rows * vector.bytes > figures.INDEXED_FROM for vector in spec.vectors)


def graph_bytes(hnsw: Hnsw | None, bits: int) -> float:
    """Return the bytes of a row's links.

    Args:
        hnsw: The graph, or None.
        bits: Bits of a row's number within its segment.
    """
    if hnsw is None:
        return figures.NO_GRAPH
    links = figures.LINKS_LIMIT * (1 - math.exp(-2 * hnsw.m / figures.LINKS_SCALE))
    return figures.GRAPH_FRAME + links * bits / 8


def _code_table_bytes(size: int, quantization: Quantization | None) -> float:
    """Return the bytes of ``quantized.meta.json`` (centroids, ranges), one per segment."""
    if isinstance(quantization, Product):
        return 3_100 * size
    return 0 if quantization is None else 150 * size


def _points(corpus: Corpus) -> Part:
    kind = "uuid" if corpus.uuids else "integer"
    return Part(
        name="points: ids",
        disk=corpus.rows * (figures.ID_DISK[kind] + figures.VERSION_DISK + figures.FLAGS_DISK),
        ram=corpus.rows * (figures.ID_HEAP[kind] + figures.VERSION_DISK),
        source=f"file format, {kind} ids; heap measured",
    )


def _placed(
    name: str, size: float, placement: Placement, source: str, *, chunked: bool = False
) -> Part:
    held = figures.CHUNK * math.ceil(size / figures.CHUNK) if chunked else size
    cold = placement == "disk"
    return Part(
        name=name, disk=size, ram=0.0 if cold else held, cache=size if cold else 0.0, source=source
    )


def _vector(vector: VectorSpec, rows: int, bits: int, *, indexed: bool) -> Iterator[Part]:
    """Yield originals, codes and graph; a small segment has no graph and only some codes."""
    name = vector.name or "vector"
    source = f"{vector.datatype}, file format" if indexed else "not indexed: files of 32 MiB"
    chunked = not indexed or vector.datatype.startswith("turbo")
    stored = rows * vector.bytes
    yield _placed(f"{name}: vectors", stored, vector.placement, source, chunked=chunked)
    if indexed or isinstance(vector.quantization, Binary | Turbo):
        codes: float = rows * vector.code_bytes
        codes += _code_table_bytes(vector.size, vector.quantization) if indexed else 0
        if codes:
            source = "file format" if indexed else source
            yield _placed(f"{name}: codes", codes, vector.codes, source, chunked=not indexed)
    if indexed:
        placement = "cached" if vector.hnsw is None else vector.hnsw.placement
        links = rows * graph_bytes(vector.hnsw, bits)
        yield _placed(f"{name}: graph", links, placement, "links kept are measured, +-20%")


def _sparse(sparse: SparseSpec, corpus: Corpus) -> Iterator[Part]:
    terms = corpus.rows * corpus.mean_terms
    distinct = min(terms, figures.HEAPS * math.sqrt(terms))
    stored = corpus.rows * (figures.TRACKER + figures.BLOCK / 2) + terms * figures.TERM_STORED
    yield Part(name="bm25: vectors", disk=stored, cache=stored, source="terms as stored, measured")
    postings = terms * figures.POSTING
    held = sparse.placement != "disk"
    yield Part(
        name="bm25: postings",
        disk=postings + distinct * figures.TERM_DISK,
        ram=(postings * figures.POSTING_HEAP if held else 0.0) + distinct * figures.TERM_HEAP,
        cache=0.0 if held else postings,
        source="measured on abstracts, +-15%",
    )


def _late(late: LateSpec, corpus: Corpus) -> Part:
    size = corpus.rows * corpus.mean_tokens * late.bytes
    # Offsets of the vectors, and files of 32 MiB that are held as a whole.
    size += corpus.rows * 12
    source = f"{late.datatype}, file format"
    return _placed("late: vectors", size, late.placement, source, chunked=True)


def payload_disk_bytes(json_bytes: float) -> float:
    """Return the bytes on disk of a payload of that many bytes of JSON; 0 for none."""
    if json_bytes <= 0:
        return 0.0
    share = figures.PACKED[-1][1]
    for (low, before), (high, after) in pairwise(figures.PACKED):
        if json_bytes < high:
            share = before + (after - before) * (json_bytes - low) / (high - low)
            break
    return max(float(figures.BLOCK), json_bytes * share + figures.BLOCK / 2)


def _payload(corpus: Corpus, *, held: bool, indexed: bool) -> Iterator[Part]:
    # A segment that is not indexed has a block for an empty payload too.
    stored = corpus.rows * payload_disk_bytes(corpus.payload_bytes or (0 if indexed else 1))
    if stored:
        yield Part(
            name="payload: values",
            disk=stored,
            ram=stored if held else 0.0,
            cache=0.0 if held else stored,
            source="LZ4 of text, measured, +-15%",
        )
        places = corpus.rows * figures.TRACKER
        yield Part(name="payload: places", disk=places, ram=places, source="file format")


def _index(name: str, kind: str, corpus: Corpus) -> Part:
    if kind == "text":
        disk, ram = (share * corpus.text_bytes for share in figures.TEXT_INDEX_BYTES)
    else:
        disk, ram = figures.INDEX_BYTES[kind]
    return Part(
        name=f"payload: index {name}",
        disk=corpus.rows * disk,
        ram=corpus.rows * ram,
        source="measured at 30,000 rows, +-30%",
    )


def _log(spec: CollectionSpec, corpus: Corpus) -> Part:
    """Return the write-ahead log: one closed segment is kept beside the open one."""
    numbers = sum(vector.size for vector in spec.vectors)
    numbers += 0 if spec.sparse is None else round(2 * corpus.mean_terms)
    point = figures.WAL_NUMBER * numbers + figures.WAL_POINT + corpus.payload_bytes
    if spec.late is not None:
        point += figures.WAL_NUMBER * corpus.mean_tokens * spec.late.size
    batch = point * min(corpus.rows, figures.WAL_BATCH)
    # An entry (a batch) is never split; the rest of a file stays empty.
    per_segment = max(1, int(figures.WAL_SEGMENT / batch))
    closed, rest = divmod(corpus.rows * point, per_segment * batch)
    size = min(closed, 1) * per_segment * batch + rest
    return Part(
        name="log",
        disk=size,
        ram=size + figures.WAL_HEAP * batch,
        source="CBOR of the last writes, measured; read at opening",
    )
