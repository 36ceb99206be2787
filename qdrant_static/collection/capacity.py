"""What a collection takes: spec and corpus -> bytes in RAM and on disk, part by part.

Pure arithmetic; no client. Every rule is a constant below with its source: the layout of Qdrant's
own files (segment format 0.6), or a measurement with Qdrant Edge 0.9. The tests compare the sums
with what Edge really takes (disk within 15%, memory within 20%).

Three kinds of bytes are told apart. ``ram`` is held: on the heap, or mapped and read as a whole
when the collection is opened. ``cache`` lies on disk and is read when a search touches it: any
RAM that is left makes it faster, none is needed. ``disk`` is what the files take.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from qdrant_static.collection.quantization import Binary, Product, Quantization, Turbo
from qdrant_static.collection.spec import CollectionSpec
from qdrant_static.collection.vectorspec import Hnsw, LateSpec, Placement, SparseSpec, VectorSpec
from qdrant_static.errors import ArgumentError

#: Point ids count rows with 32 bits inside a segment; ten billion is what the plan is made for.
MAX_ROWS = 10_000_000_000
MIB = 1024 * 1024

# --- ids and versions: `id_tracker.mappings` (type, number or UUID, row), `.versions` (u64) ------
_ID_DISK = {"integer": 13, "uuid": 21}
_VERSION_DISK = 8
#: Measured at 100 thousand to 1 million points: heap of both directions of the mapping.
_ID_HEAP = {"integer": 64, "uuid": 68}
#: Flags of deleted points and vectors, a bit each, kept twice.
_FLAGS_DISK = 0.3

# --- graph: `links_compressed.bin` ---------------------------------------------------------------
#: Row -> place (u32), and the packed offsets of the lists.
_GRAPH_FRAME = 6.0
#: A vector without a graph still has the frame of one.
_NO_GRAPH = 4.25
#: Links kept per row, all levels. Measured with m = 8, 16, 32 on text and on clustered vectors:
#: 13 to 15, 18 to 24, 23 to 28; the heuristic drops what the neighbors' neighbors reach.
_LINKS_LIMIT, _LINKS_SCALE = 26.0, 18.6

# --- segments that are not indexed, which stay as they were written -------------------------------
#: KiB of one vector up to which a segment is left so; a server's default, and Edge's.
_INDEXED_FROM = 10_000 * 1024
#: Its vectors and codes lie in files of this size, which are held as a whole. Measured.
_CHUNK = 32 * MIB

# --- payload: Gridstore, LZ4, blocks of 128 bytes ------------------------------------------------
_BLOCK = 128
_TRACKER = 16
#: JSON bytes -> what LZ4 leaves of them; measured on abstracts of papers. Text that repeats itself
#: packs better, digests and numbers do not pack.
_PACKED = ((0, 1.0), (300, 0.96), (530, 0.86), (1_200, 0.80), (4_000, 0.71), (10_000, 0.65))

# --- payload indexes: (disk, RAM) a row, measured at 30,000 rows of one value each ---------------
_INDEX_BYTES = {
    "bool": (1.5, 1.0), "datetime": (42, 190), "float": (42, 193), "geo": (196, 410),
    "integer": (92, 373), "keyword": (66, 300), "uuid": (74, 312),
}  # fmt: skip
#: Of a text index, per byte of indexed text.
_TEXT_INDEX_BYTES = (0.34, 3.4)

# --- BM25 ----------------------------------------------------------------------------------------
#: Term (u32) and weight (f32) as stored; a posting: packed row difference, weight, its list's head.
_TERM_STORED, _POSTING = 7.6, 6.6
_POSTING_HEAP = 1.05
#: Distinct terms of a corpus: this times the square root of all terms (Heaps' law, measured on
#: abstracts of papers), and bytes of each in the term table.
_HEAPS, _TERM_DISK, _TERM_HEAP = 35.0, 18, 60

# --- write-ahead log of an embedded collection ---------------------------------------------------
_WAL_SEGMENT = 32 * MIB
#: CBOR: a tag and four bytes a number; ids, names and versions beside them. Measured.
_WAL_NUMBER, _WAL_POINT = 5.0, 43.0
#: What reading the log at opening leaves on the heap: so many times a batch of so many points.
#: Measured with 64, 256 and 1,024 dimensions.
_WAL_HEAP, _WAL_BATCH = 12.0, 500
#: Configuration, descriptions, empty pages; measured on the smallest collection.
_FIXED_DISK, _FIXED_HEAP = 150_000, 600_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Corpus:
    """How many rows, and how large they are on average.

    Attributes:
        rows: Points, from 1 to ten billion.
        payload_bytes: Of a row's payload as JSON, UTF-8; 0 for none.
        text_bytes: Of a row's encoded text, UTF-8: what BM25 and text indexes see.
        terms: Distinct BM25 terms of a row; None estimates them from `text_bytes`.
        tokens: Tokens of a row, which late interaction stores a vector for; None estimates.
        uuids: Whether the ids are UUIDs (what a text key becomes), or integers.
    """

    rows: int
    payload_bytes: float = 500.0
    text_bytes: float = 500.0
    terms: float | None = None
    tokens: float | None = None
    uuids: bool = True

    def __post_init__(self) -> None:
        if not 1 <= self.rows <= MAX_ROWS:
            raise ArgumentError(field="rows", problem=f"{self.rows} is not within 1 to {MAX_ROWS}")
        for name in ("payload_bytes", "text_bytes", "terms", "tokens"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < math.inf:
                raise ArgumentError(field=name, problem=f"{value} is not a number from 0 on")

    @property
    def mean_terms(self) -> float:
        """Distinct terms a row: as told, or 0.065 per byte (abstracts: 91 in 1,400 bytes)."""
        return 0.065 * self.text_bytes if self.terms is None else self.terms

    @property
    def mean_tokens(self) -> float:
        """Tokens a row: as told, or one for 4 bytes of text (English WordPiece)."""
        return self.text_bytes / 4 if self.tokens is None else self.tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One part of a collection.

    Attributes:
        name: Such as ``"full: codes"``.
        disk: Bytes of its files.
        ram: Bytes that are held in memory.
        cache: Bytes on disk that are read when a search touches them.
        source: How the figure comes about.
    """

    name: str
    disk: float
    ram: float = 0.0
    cache: float = 0.0
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Footprint:
    """All parts of a collection, one copy of it.

    Attributes:
        rows: Points.
        parts: What it is made of.
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

    def kind(self, kind: str) -> tuple[Part, ...]:
        """The parts whose name ends in ``kind``: ``"vectors"``, ``"codes"``, ``"graph"``, ..."""
        return tuple(part for part in self.parts if part.name.rpartition(": ")[2] == kind)


def footprint(
    spec: CollectionSpec,
    corpus: Corpus,
    *,
    embedded: bool = False,
    rows_per_segment: int | None = None,
) -> Footprint:
    """What a collection takes once it is optimized, in all its shards together, one replica.

    Args:
        spec: What it is.
        corpus: What is in it.
        embedded: With Qdrant Edge: payload on disk, and the write-ahead log counts, which a
            server spreads over shards and empties.
        rows_per_segment: Rows whose links lie in one graph; None: all. More rows, wider links.
    """
    rows = corpus.rows
    indexed = is_indexed(spec, corpus)
    bits = max(8, math.ceil(math.log2(max(2, min(rows, rows_per_segment or rows)))))
    parts = [_points(corpus)]
    for vector in spec.vectors:
        parts += _vector(vector, rows, bits) if indexed else _unindexed(vector, rows)
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
        Part(name="fixed", disk=_FIXED_DISK, ram=_FIXED_HEAP, source="measured, small collections")
    )
    return Footprint(rows=rows, parts=tuple(parts))


def is_indexed(spec: CollectionSpec, corpus: Corpus) -> bool:
    """Whether there is enough of one vector that the engine builds graphs at all."""
    return any(corpus.rows * vector.bytes > _INDEXED_FROM for vector in spec.vectors)


def graph_bytes(hnsw: Hnsw | None, bits: int) -> float:
    """Bytes of a row's links.

    Args:
        hnsw: The graph, or None.
        bits: Of a row's number within its segment.
    """
    if hnsw is None:
        return _NO_GRAPH
    links = _LINKS_LIMIT * (1 - math.exp(-2 * hnsw.m / _LINKS_SCALE))
    return _GRAPH_FRAME + links * bits / 8


def _code_table_bytes(size: int, quantization: Quantization | None) -> float:
    """``quantized.meta.json``: centroids, ranges; one per segment, whatever the rows."""
    if isinstance(quantization, Product):
        return 3_100 * size
    return 0 if quantization is None else 150 * size


def _points(corpus: Corpus) -> Part:
    kind = "uuid" if corpus.uuids else "integer"
    return Part(
        name="points: ids",
        disk=corpus.rows * (_ID_DISK[kind] + _VERSION_DISK + _FLAGS_DISK),
        ram=corpus.rows * (_ID_HEAP[kind] + _VERSION_DISK),
        source=f"file format, {kind} ids; heap measured",
    )


def _placed(
    name: str, size: float, placement: Placement, source: str, *, chunked: bool = False
) -> Part:
    held = _CHUNK * math.ceil(size / _CHUNK) if chunked else size
    cold = placement == "disk"
    return Part(
        name=name, disk=size, ram=0.0 if cold else held, cache=size if cold else 0.0, source=source
    )


def _vector(vector: VectorSpec, rows: int, bits: int) -> Iterator[Part]:
    name = vector.name or "vector"
    size = rows * vector.bytes
    yield _placed(
        f"{name}: vectors",
        size,
        vector.placement,
        f"{vector.datatype}, file format",
        chunked=vector.datatype.startswith("turbo"),
    )
    codes = vector.code_bytes
    if codes:
        table = _code_table_bytes(vector.size, vector.quantization)
        yield _placed(f"{name}: codes", rows * codes + table, vector.codes, "file format")
    placement = "cached" if vector.hnsw is None else vector.hnsw.placement
    links = rows * graph_bytes(vector.hnsw, bits)
    yield _placed(f"{name}: graph", links, placement, "links kept are measured, +-20%")


def _unindexed(vector: VectorSpec, rows: int) -> Iterator[Part]:
    """Written as they came: no graph, codes of the kinds that need no look at the data."""
    name = vector.name or "vector"
    codes = 0
    if isinstance(vector.quantization, Binary | Turbo):
        codes = vector.code_bytes
    stored = vector.bytes
    source = "not indexed: files of 32 MiB"
    yield _placed(f"{name}: vectors", rows * stored, vector.placement, source, chunked=True)
    if codes:
        yield _placed(f"{name}: codes", rows * codes, vector.codes, source, chunked=True)


def _sparse(sparse: SparseSpec, corpus: Corpus) -> Iterator[Part]:
    terms = corpus.rows * corpus.mean_terms
    distinct = min(terms, _HEAPS * math.sqrt(terms))
    stored = corpus.rows * (_TRACKER + _BLOCK / 2) + terms * _TERM_STORED
    yield Part(name="bm25: vectors", disk=stored, cache=stored, source="terms as stored, measured")
    postings = terms * _POSTING
    held = sparse.placement != "disk"
    yield Part(
        name="bm25: postings",
        disk=postings + distinct * _TERM_DISK,
        ram=(postings * _POSTING_HEAP if held else 0.0) + distinct * _TERM_HEAP,
        cache=0.0 if held else postings,
        source="measured on abstracts, +-15%",
    )


def _late(late: LateSpec, corpus: Corpus) -> Part:
    size = corpus.rows * corpus.mean_tokens * late.bytes
    # Places of the vectors, and files of 32 MiB that are held as a whole.
    size += corpus.rows * 12
    source = f"{late.datatype}, file format"
    return _placed("late: vectors", size, late.placement, source, chunked=True)


def payload_disk_bytes(json_bytes: float) -> float:
    """Bytes on disk of a payload of that many bytes of JSON; 0 for none."""
    if json_bytes <= 0:
        return 0.0
    share = _PACKED[-1][1]
    for (low, before), (high, after) in pairwise(_PACKED):
        if json_bytes < high:
            share = before + (after - before) * (json_bytes - low) / (high - low)
            break
    return max(float(_BLOCK), json_bytes * share + _BLOCK / 2)


def _payload(corpus: Corpus, *, held: bool, indexed: bool) -> Iterator[Part]:
    # A segment as it was written has a block for an empty payload too.
    stored = corpus.rows * payload_disk_bytes(corpus.payload_bytes or (0 if indexed else 1))
    if stored:
        yield Part(
            name="payload: values",
            disk=stored,
            ram=stored if held else 0.0,
            cache=0.0 if held else stored,
            source="LZ4 of text, measured, +-15%",
        )
        places = corpus.rows * _TRACKER
        yield Part(name="payload: places", disk=places, ram=places, source="file format")


def _index(name: str, kind: str, corpus: Corpus) -> Part:
    if kind == "text":
        disk, ram = (share * corpus.text_bytes for share in _TEXT_INDEX_BYTES)
    else:
        disk, ram = _INDEX_BYTES[kind]
    return Part(
        name=f"payload: index {name}",
        disk=corpus.rows * disk,
        ram=corpus.rows * ram,
        source="measured at 30,000 rows, +-30%",
    )


def _log(spec: CollectionSpec, corpus: Corpus) -> Part:
    """One closed segment of the log is kept beside the open one."""
    numbers = sum(vector.size for vector in spec.vectors)
    numbers += 0 if spec.sparse is None else round(2 * corpus.mean_terms)
    point = _WAL_NUMBER * numbers + _WAL_POINT + corpus.payload_bytes
    if spec.late is not None:
        point += _WAL_NUMBER * corpus.mean_tokens * spec.late.size
    batch = point * min(corpus.rows, _WAL_BATCH)
    # An entry, a batch, is never split; what is left of a file stays empty.
    per_segment = max(1, int(_WAL_SEGMENT / batch))
    closed, rest = divmod(corpus.rows * point, per_segment * batch)
    kept = min(closed, 1) * per_segment * batch + rest
    return Part(
        name="log",
        disk=kept,
        ram=kept + _WAL_HEAP * batch,
        source="CBOR of the last writes, measured; read at opening",
    )
