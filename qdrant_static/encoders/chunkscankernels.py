"""Kernel that cuts texts into chunks and looks up their token ids.

Imported by ``chunkscan`` on first use, because importing Numba takes longer than a short search.
"""

# ruff: noqa: ANN001, ANN201, ANN202 - Numba infers kernels' types; llvmlite has none
# mypy: disable-error-code="no-untyped-def, no-untyped-call, call-arg, import-untyped"
# mypy: disable-error-code="var-annotated"

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from qdrant_static.encoders.chunkkernels import (
    INLINE_IDS,
    MAX_CHUNK,
    POISON,
    SHORT,
    count_ids,
    find,
    first_bytes,
    hash_chunk,
    inlined,
    short_hash,
)
from qdrant_static.intrinsics import (
    compiled,
    load_int32,
    load_uint8,
    load_uint64,
    store_int32,
    trailing_zeros,
)

AT_START = 1
"""Kind of a chunk at the start of its text (kind 0: after one blank; 2: after another blank)."""

ROW_DONE, ROW_MISSED, ROW_PLAIN = 0, 1, 2

_AHEAD = 32
_U = np.uint64
_ONE = _U(1)
_ONES = _U(0x0101010101010101)
_HIGH = _U(0x8080808080808080)
_GATHER = _U(0x0102040810204080)  # its product with the lowest bits of 8 bytes ends in all of them
_CASE = _ONES * _U(0x20)
_FROM_0, _PAST_9 = _ONES * _U(0x80 - 0x30), _ONES * _U(0x80 - 0x3A)
_FROM_A, _PAST_Z = _ONES * _U(0x80 - 0x61), _ONES * _U(0x80 - 0x7B)
_SPACE, _HYPHEN = 0x20, 0x2D
"""Text is cut at blanks or, if the hyphen separates too, at all ASCII but letters and digits."""


@intrinsic
def _prefetch(typing_context: Any, where: Any) -> Any:
    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        byte = ir.IntType(8).as_pointer()
        number = ir.IntType(32)
        function = builder.module.declare_intrinsic(
            "llvm.prefetch", [byte], ir.FunctionType(ir.VoidType(), [byte, *[number] * 3])
        )
        to_read, keep_close, is_data = number(0), number(3), number(1)
        where = builder.inttoptr(args[0], byte)
        builder.call(function, [where, to_read, keep_close, is_data])
        return context.get_dummy_value()

    return types.void(types.intp), build


@inlined
def _letters_of(word):
    """Return flags (0x80) of the bytes that are ASCII letters or digits, or not ASCII."""
    low = word & ~_HIGH
    small = low | _CASE
    digit = (low + _FROM_0) & ~(low + _PAST_9)
    letter = (small + _FROM_A) & ~(small + _PAST_Z)
    return (digit | letter | word) & _HIGH


@inlined
def _words_of(word, patterns, n_patterns):
    """Return flags (0x80) of the bytes that are none of the separators (repeated in patterns)."""
    flags = _HIGH
    for j in range(n_patterns):
        other = word ^ load_uint64(patterns + 8 * j)
        flags &= ((other & ~_HIGH) + ~_HIGH) | other
    return flags


@inlined
def _word_bits(data, size, i, stop, blank, letters, patterns, n_patterns):
    """Return bits for the bytes of words among the 64 from ``i``; those from ``stop`` on are 0."""
    bits = _U(0)
    if i + 64 <= size:
        for j in range(8):
            word = load_uint64(data + i + 8 * j)
            flags = _letters_of(word) if letters else _words_of(word, patterns, n_patterns)
            bits |= (((flags >> _U(7)) * _GATHER) >> _U(56)) << _U(8 * j)
    else:
        for j in range(size - i):
            if not load_uint8(blank + load_uint8(data + i + j)):
                bits |= _ONE << _U(j)
    if stop - i < 64:
        bits &= (_ONE << _U(stop - i)) - _ONE
    return bits


@inlined
def _add_edges(bits, i, inside, edges, n):
    """Write where words start and end, alternately; ``inside``: the previous byte is of a word."""
    turns = bits ^ ((bits << _ONE) | inside)
    while turns != _U(0):
        edges[n] = i + np.intp(trailing_zeros(turns))
        turns &= turns - _ONE
        n += 1
    return n


@inlined
def _call_for(slots, mask, data, size, a, start, stop, kind, places, hashes, m):
    """Hash the chunk from ``a``, whose word is ``start`` to ``stop``, and prefetch its slot."""
    length = stop - a
    h, word0, word1 = _U(0), _U(0), _U(0)
    if a == start and length <= SHORT and a + SHORT <= size:
        word0 = first_bytes(load_uint64(data + a), length)
        word1 = first_bytes(load_uint64(data + a + 8), length - 8)
        h = short_hash(word0, word1, kind)
    elif length <= MAX_CHUNK:
        h, word0, word1 = hash_chunk(data, size, a, stop, kind)
    # A table of 100,000 chunks is in the third-level cache. Looked up one by one, each chunk
    # would wait for it; called for together, they wait once.
    _prefetch(slots + np.intp((h & mask) << _U(5)))
    places[m, 0], places[m, 1], places[m, 2] = a, length, kind
    hashes[m, 0], hashes[m, 1], hashes[m, 2] = h, word0, word1


@inlined
def _chunk_start(data, last, start, first, keep):
    """Return the start and kind of the chunk of the word at ``start``; ``last``: previous word."""
    if not keep:
        return start, 0
    if first:
        return last, AT_START
    if load_uint8(data + last) == _SPACE:
        return last + 1, 0
    return last, 2


@compiled
def scan(  # noqa: C901 - one loop, one return value per cause
    tables,
    blank,
    keep,
    data,
    starts,
    stops,
    rows,
    n_out,
    out,
    out_starts,
    out_counts,
    dropped,
    state,
    drop,
    limit,
    misses,
    miss_kinds,
    seen,
):
    """Convert texts to token ids by the memo; list the chunks that it does not know.

    Args:
        tables: ``ChunkMemo.tables()``.
        blank: bool (256,), the bytes that separate chunks: some of those below 0x21, or, marked by
            the hyphen, exactly the ASCII ones that are neither letters nor digits.
        keep: Whether blanks belong to the chunk that follows them (else they mean nothing).
        data: uint8 (bytes,), all text.
        starts: int64 (n,), first byte of each text.
        stops: int64 (n,), one past the last.
        rows: int64 (m,), which texts to scan.
        n_out: Where in ``out`` to begin.
        out: int32, receives ids.
        out_starts: int64 (n,), receives where each row's ids begin.
        out_counts: int64 (n,), receives their number.
        dropped: int64 (n,), receives how many ids equal to ``drop`` were left out.
        state: uint8 (n,), receives ``ROW_DONE``, ``ROW_MISSED`` or ``ROW_PLAIN``.
        drop: The id that is left out, or -1.
        limit: At most this many ids per row.
        misses: int64 (2, k), receives where unknown chunks begin and end.
        miss_kinds: uint8 (k,), their kinds.
        seen: uint64, a power of two, zeros: keeps the same unknown chunk from being noted twice.

    Returns:
        How many of ``rows`` were scanned (fewer than all if ``out`` is full), the end of the ids in
        ``out``, and the number of noted chunks.
    """
    slots, mask = tables[0].ctypes.data, _U((len(tables[0]) >> 2) - 1)
    arena, overflow = tables[2].ctypes.data, tables[3].ctypes.data
    classes, letters = blank.ctypes.data, blank[_HYPHEN]
    text, size = data.ctypes.data, len(data)
    target, room = out.ctypes.data, len(out)
    n_misses = 0
    seen_mask = _U(len(seen) - 1)
    edges = np.zeros(2 * _AHEAD + 68, np.int64)
    places = np.empty((_AHEAD + 34, 3), np.int64)
    hashes = np.empty((_AHEAD + 34, 3), np.uint64)
    separators = np.zeros(0x21, np.uint64)
    n_patterns = 0
    for byte in range(0x21):
        if blank[byte]:
            separators[n_patterns] = _U(byte) * _ONES
            n_patterns += 1
    patterns = separators.ctypes.data
    for r in range(len(rows)):
        row = rows[r]
        i, stop = starts[row], stops[row]
        n = n_out
        left_out = 0
        status = ROW_DONE
        first = keep
        last = i
        inside = _U(0)
        n_edges = 0
        while (i < stop or n_edges) and status != ROW_PLAIN and n - n_out < limit:
            # Cut: 64 bytes at a time into bits, bits into edges, so that no chunk has to wait for
            # the end of the one before.
            while i < stop and n_edges < 2 * _AHEAD:
                bits = _word_bits(text, size, i, stop, classes, letters, patterns, n_patterns)
                n_edges = _add_edges(bits, i, inside, edges, n_edges)
                inside = bits >> _U(63)
                i += 64
            if i >= stop and n_edges & 1:
                edges[n_edges] = stop
                n_edges += 1
            m = n_edges >> 1
            for c in range(m):
                a, kind = _chunk_start(text, last, edges[2 * c], first, keep)
                first = False
                last = edges[2 * c + 1]
                _call_for(slots, mask, text, size, a, edges[2 * c], last, kind, places, hashes, c)
            edges[0] = edges[2 * m]
            n_edges &= 1
            if keep and i >= stop and last < stop:
                a, kind = _chunk_start(text, last, stop, first, keep)
                first = False
                last = stop
                _call_for(slots, mask, text, size, a, stop, stop, kind, places, hashes, m)
                m += 1
            for c in range(m):
                a, length, kind = places[c, 0], places[c, 1], places[c, 2]
                if length > MAX_CHUNK:
                    status = ROW_PLAIN
                    break
                h, word0, word1 = hashes[c, 0], hashes[c, 1], hashes[c, 2]
                slot, meta = find(slots, mask, arena, text, size, a, length, kind, h, word0, word1)
                if meta == _U(0):
                    status = ROW_MISSED
                    mark = np.intp(h & seen_mask)
                    if seen[mark] != h | _ONE and n_misses < len(miss_kinds):
                        seen[mark] = h | _ONE
                        misses[0, n_misses] = a
                        misses[1, n_misses] = a + length
                        miss_kinds[n_misses] = kind
                        n_misses += 1
                    continue
                n_ids = count_ids(meta)
                if n_ids == POISON:
                    status = ROW_PLAIN
                    break
                if n + max(n_ids, INLINE_IDS) > room:
                    return r, n_out, n_misses
                left_out += n_ids
                if n_ids <= INLINE_IDS and length <= SHORT:
                    # All three, whatever their number: an unforeseeable loop costs more.
                    for j in range(INLINE_IDS):
                        token = load_int32(slot + 20 + 4 * j)
                        store_int32(target + 4 * n, token)
                        n += j < n_ids and token != drop
                else:
                    source = overflow + 4 * np.intp(load_int32(slot + 24))
                    for j in range(n_ids):
                        token = load_int32(source + 4 * j)
                        store_int32(target + 4 * n, token)
                        n += token != drop
                if n - n_out >= limit:
                    break
        state[row] = status
        if status != ROW_DONE:
            continue
        dropped[row] = left_out - (n - n_out)
        if n - n_out > limit:
            n = n_out + limit
        out_starts[row] = n_out
        out_counts[row] = n - n_out
        n_out = n
    return len(rows), n_out, n_misses
