"""Figures that the computation of capacity rests on: one table, with the source of each.

Version: Qdrant Edge 0.9, segment format 0.6. What follows from the format of the engine's files is
marked "format", what was read off collections of 30,000 to 1 million points "measured", and what
Qdrant's documentation advises "guide". ``python benchmarks/capacity.py`` builds collections and
compares the sums with the bytes that Edge takes on disk and in memory; run it when the version
changes (tests/engine/test_capacity.py does so with small collections).
"""

from __future__ import annotations

from collections.abc import Mapping

#: Point ids count rows with 32 bits inside a segment; ten billion is the largest size considered.
MAX_ROWS = 10_000_000_000
MIB = 1024 * 1024

# --- ids and versions: `id_tracker.mappings` (type, number or UUID, row), `.versions` (u64) -------
ID_DISK = {"integer": 13, "uuid": 21}
VERSION_DISK = 8
#: Measured at 100 thousand to 1 million points: heap of both directions of the mapping.
ID_HEAP = {"integer": 64, "uuid": 68}
#: Flags of deleted points and vectors, a bit each, kept twice.
FLAGS_DISK = 0.3

# --- graph: `links_compressed.bin` ----------------------------------------------------------------
#: Format: position of a row (u32), and the packed offsets of the lists.
GRAPH_FRAME = 6.0
#: Measured: a vector without a graph has a header and offsets all the same.
NO_GRAPH = 4.25
#: Links kept per row, all levels. Measured with m = 8, 16, 32 on text and on clustered vectors:
#: 13 to 15, 18 to 24, 23 to 28; the engine drops links to points that neighbors reach.
LINKS_LIMIT, LINKS_SCALE = 26.0, 18.6

# --- segments too small to be indexed, which stay as they were written ----------------------------
#: Bytes of one vector up to which a segment stays so; the default of servers and of Edge.
INDEXED_FROM = 10_000 * 1024
#: Measured: vectors and codes are in files of this size, which are held in memory as a whole.
CHUNK = 32 * MIB

# --- payload: Gridstore, LZ4, blocks of 128 bytes -------------------------------------------------
BLOCK = 128
TRACKER = 16
#: JSON bytes -> share of them after LZ4; measured on abstracts of papers. Repetitive text packs
#: better, digests and numbers do not pack.
PACKED = ((0, 1.0), (300, 0.96), (530, 0.86), (1_200, 0.80), (4_000, 0.71), (10_000, 0.65))

# --- payload indexes: (disk, RAM) a row, measured at 30,000 rows of one value each ----------------
INDEX_BYTES = {
    "bool": (1.5, 1.0), "datetime": (42, 190), "float": (42, 193), "geo": (196, 410),
    "integer": (92, 373), "keyword": (66, 300), "uuid": (74, 312),
}  # fmt: skip
#: Of a text index, per byte of indexed text.
TEXT_INDEX_BYTES = (0.34, 3.4)

# --- BM25 -----------------------------------------------------------------------------------------
#: Measured: bytes of a stored term (u32) with its weight (f32), and of a posting.
TERM_STORED, POSTING = 7.6, 6.6
POSTING_HEAP = 1.05
#: Distinct terms of a corpus: this times the square root of all terms (Heaps' law, measured on
#: abstracts of papers), and bytes of each in the term table.
HEAPS, TERM_DISK, TERM_HEAP = 35.0, 18, 60

# --- write-ahead log of an embedded collection ----------------------------------------------------
WAL_SEGMENT = 32 * MIB
#: CBOR: a tag and four bytes per number; ids, names and versions. Measured.
WAL_NUMBER, WAL_POINT = 5.0, 43.0
#: Heap that reading the log at opening takes: this times a batch of this many points. Measured
#: with 64, 256 and 1,024 dimensions.
WAL_HEAP, WAL_BATCH = 12.0, 500
#: Configuration, descriptions, empty pages; measured on the smallest collection.
FIXED_DISK, FIXED_HEAP = 150_000, 600_000


# --- machines and shards of a server --------------------------------------------------------------
#: Share of a machine's memory that the data may hold. Qdrant calls resident memory above 80% of
#: the RAM a sign of a problem (its guide to memory usage); indexing needs some of the rest too.
USABLE_MEMORY = 0.75
#: While segments are rewritten the old ones stay until the new ones are there.
DISK_FACTOR = 2.0
#: Qdrant advises two to four shards a machine (its guide to horizontal scaling): two leave room
#: to double the machines without sharding anew.
SHARDS_PER_MACHINE = 2
#: The same guide finds a machine good for about 100 million vectors, so for half in a shard.
MAX_ROWS_PER_SHARD = 50_000_000
#: Fewer rows than this gain nothing from a second shard.
MIN_ROWS_TO_SHARD = 1_000_000

# --- searches -------------------------------------------------------------------------------------
#: Rows whose vectors a search by graph compares: about ef = 100 candidates, each with its links.
VISITED = 2_000
#: Terms of a query, each with a list of postings.
QUERY_TERMS = 5

# --- recall: measured on 20,000 sentences of scientific abstracts ---------------------------------
# SciFact, encoded by WordLlama, 300 more sentences as queries: recall@10 against exact search of
# the full vector. 64, 128 and 256 dimensions are the encoder's own Matryoshka sizes; 1,024
# dimensions are its 256, rotated at random, which spreads them as trained vectors are. Queries of
# binary codes keep 8 bits, originals rescore, the graph has m = 16 and ef 100. The figures are
# divided by those of the same vector without codes: they are the price of the codes, not of the
# graph, which a higher ``hnsw_ef`` raises. More rows need more candidates; `tune` measures on the
# user's own data.
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
