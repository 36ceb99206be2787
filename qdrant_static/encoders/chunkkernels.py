"""Kernels of the chunk memo: a hash table of byte strings that readers share without a lock.

Imported by ``chunkmemo`` on first use, because importing Numba takes longer than a short search.

The table is open addressing over slots of 32 bytes, two to a cache line::

    word 0-1  the chunk itself if it has at most 16 bytes, else its 64-bit hash and zero
    word 2    bit 31 = used (a free slot is zero), n ids (13-25), kind (11-12), length (0-10);
              upper half: id 0, or the position of a longer chunk in the arena
    word 3    ids 1 and 2; of a longer chunk, or one of more than 3 ids, the lower half is the
              position of the ids in the overflow array

A chunk of up to 16 bytes is compared inside its slot: 99 of 100 words of English text need one
cache line. Longer ones are compared byte by byte with the arena, so that equal hashes only cost
time.

Threads: one writer at a time (the caller's lock), any number of readers. A writer fills words 0, 1
and 3, the arena and the overflow, then stores word 2 with *release*; a reader loads word 2 with
*acquire* and therefore sees everything that it refers to. On x86 both are plain moves.

Words are read as little-endian integers, the byte order of all machines that Numba supports well.
"""

# ruff: noqa: ANN001, ANN201, ANN202 - Numba infers kernels' types; llvmlite has none
# mypy: disable-error-code="no-untyped-def, no-untyped-call, call-arg, import-untyped"
# mypy: disable-error-code="var-annotated"

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from qdrant_static.intrinsics import (
    compiled,
    load_int32,
    load_uint8,
    load_uint64,
)

MAX_CHUNK = 1024
"""Bytes; a longer chunk hardly ever occurs again, and its row is tokenized whole."""

MAX_IDS = 0x1FFE
POISON = 0x1FFF
"""Stored instead of a number of ids: a row with this chunk goes to the tokenizer."""

SHORT, INLINE_IDS = 16, 3

_U = np.uint64
_ONE = _U(1)
_HALF = _U(32)
_USED = _U(1 << 31)
_IDENTITY = _U((1 << 31) | (1 << 13) - 1)  # used, kind and length
_N_IDS = _U(0x1FFF)
_C1 = _U(0x9E3779B97F4A7C15)
_C2 = _U(0xD6E8FEB86659FD93)
_C3 = _U(0xC2B2AE3D27D4EB4F)

inlined = njit(forceinline=True)

# Helpers take addresses rather than arrays, and are inlined by LLVM rather than by Numba: each
# variable of array type costs two atomic operations, 14 ns per chunk where it was measured.


@intrinsic
def _load_acquire(typing_context: Any, where: Any) -> Any:
    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = builder.inttoptr(args[0], ir.IntType(64).as_pointer())
        return builder.load_atomic(pointer, "acquire", 8)

    return types.uint64(types.intp), build


@intrinsic
def _store_release(typing_context: Any, where: Any, value: Any) -> Any:
    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = builder.inttoptr(args[0], ir.IntType(64).as_pointer())
        builder.store_atomic(args[1], pointer, "release", 8)
        return context.get_dummy_value()

    return types.void(types.intp, types.uint64), build


@inlined
def first_bytes(word, n):
    """Keep the first ``n`` bytes of a word (all from 8 on, none up to 0), without a branch."""
    n = min(max(n, 0), 8)
    # In two steps: a shift by 64 is undefined.
    return word & ~((~_U(0) << _U(4 * n)) << _U(4 * n))


@inlined
def word_at(data, size, start, stop):
    """Return up to 8 bytes from ``start`` to ``stop`` as one word."""
    if start + 8 <= size:
        return first_bytes(load_uint64(data + start), stop - start)
    word = _U(0)
    for j in range(min(stop - start, 8)):
        word |= _U(load_uint8(data + start + j)) << _U(8 * j)
    return word


@inlined
def short_hash(word0, word1, kind):
    """Return the hash of a chunk of up to 16 bytes, given as two words."""
    h = word0 * _C1 + (word1 ^ _U(kind)) * _C3
    h = (h ^ (h >> _HALF)) * _C2
    return h ^ (h >> _HALF)


@inlined
def hash_chunk(data, size, start, stop, kind):
    """Return the hash of a chunk and the two words that represent it in a slot."""
    if stop - start <= SHORT:
        word0, word1 = word_at(data, size, start, stop), word_at(data, size, start + 8, stop)
        return short_hash(word0, word1, kind), word0, word1
    h = _U(kind)
    for p in range(start, stop, 8):
        h = (word_at(data, size, p, stop) ^ h) * _C1
        h = (h ^ (h >> _HALF)) * _C2
    h ^= h >> _HALF
    return h, h, _U(0)


@inlined
def _same(data, size, start, arena, offset, length):
    # The arena ends with 8 spare bytes.
    for p in range(0, length, 8):
        here = word_at(data, size, start + p, start + length)
        if here != first_bytes(load_uint64(arena + offset + p), length - p):
            return False
    return True


@inlined
def _identity(length, kind):
    return _USED | _U(length) | (_U(kind) << _U(11))


@inlined
def find(slots, mask, arena, data, size, start, length, kind, h, word0, word1):
    """Return the address of a chunk's slot and its word 2, or of a free slot for it and 0."""
    identity = _identity(length, kind)
    k = h & mask
    while True:
        slot = slots + np.intp(k << _U(5))
        meta = _load_acquire(slot + 16)
        if meta == _U(0):
            return slot, meta
        # One comparison of everything: three branches would be guessed wrong more often.
        differs = (
            ((meta & _IDENTITY) ^ identity)
            | (load_uint64(slot) ^ word0)
            | (load_uint64(slot + 8) ^ word1)
        )
        if differs == _U(0) and (
            length <= SHORT or _same(data, size, start, arena, np.intp(meta >> _HALF), length)
        ):
            return slot, meta
        k = (k + _ONE) & mask


@inlined
def count_ids(meta):
    """Return the number of ids of a slot, or ``POISON``, from its word 2."""
    return np.intp((meta >> _U(13)) & _N_IDS)


@inlined
def lookup(tables, data, start, stop, kind):
    """Look up ``data[start:stop]``; for other kernels.

    Args:
        tables: ``ChunkMemo.tables()``.
        data: uint8 (bytes,).
        start: First byte of the chunk.
        stop: One past its last byte.
        kind: 0 unless the memo tells chunks apart by their place.

    Returns:
        Where its ids begin, their number, and whether they are in ``tables[1]`` (the slots seen as
        int32) or in ``tables[3]`` (overflow); the number is -1 if the chunk is unknown and -2 if
        its row must take the plain route.
    """
    slots = tables[0].ctypes.data
    mask = _U((len(tables[0]) >> 2) - 1)
    if stop - start > MAX_CHUNK:
        return np.intp(0), np.intp(-2), False
    text, size = data.ctypes.data, len(data)
    h, word0, word1 = hash_chunk(text, size, start, stop, kind)
    slot, meta = find(
        slots, mask, tables[2].ctypes.data, text, size, start, stop - start, kind, h, word0, word1
    )
    if meta == _U(0):
        return np.intp(0), np.intp(-1), False
    n = count_ids(meta)
    if n == POISON:
        return np.intp(0), np.intp(-2), False
    if n <= INLINE_IDS and stop - start <= SHORT:
        return (slot - slots) // 4 + 5, n, False
    return np.intp(load_int32(slot + 24)), n, True


@compiled
def insert(tables, used, data, starts, stops, kinds, ids, id_starts, id_counts):
    """Insert chunks; the caller holds the lock and has made room.

    Args:
        tables: ``ChunkMemo.tables()``.
        used: int64 (3,): slots taken, arena bytes, overflow ids; updated.
        data: uint8 (bytes,), the chunks' text.
        starts: int64 (n,), first byte of each chunk.
        stops: int64 (n,), one past the last.
        kinds: uint8 (n,).
        ids: int32, all ids.
        id_starts: int64 (n,), where in ``ids`` those of each chunk begin.
        id_counts: int64 (n,), their number; -1 makes the chunk poison.
    """
    slots, inline_ids, arena, overflow = tables
    base, mask = slots.ctypes.data, _U((len(slots) >> 2) - 1)
    text, size = data.ctypes.data, len(data)
    for i in range(len(starts)):
        start, length, kind = starts[i], stops[i] - starts[i], np.int64(kinds[i])
        h, word0, word1 = hash_chunk(text, size, start, start + length, kind)
        slot, meta = find(
            base, mask, arena.ctypes.data, text, size, start, length, kind, h, word0, word1
        )
        if meta != _U(0):
            continue  # another thread was first
        at = (slot - base) // 8
        n = id_counts[i]
        upper = np.int64(0)
        if length > SHORT:
            upper = used[1]
            for j in range(length):
                arena[upper + j] = data[start + j]
            used[1] += length
        if n < 0:
            n = POISON
        elif n <= INLINE_IDS and length <= SHORT:
            if n > 0:
                upper = np.int64(np.uint32(ids[id_starts[i]]))
            for j in range(1, n):
                inline_ids[at * 2 + 5 + j] = ids[id_starts[i] + j]
        else:
            inline_ids[at * 2 + 6] = np.int32(used[2])
            for j in range(n):
                overflow[used[2] + j] = ids[id_starts[i] + j]
            used[2] += n
        slots[at] = word0
        slots[at + 1] = word1
        meta = (_U(upper) << _HALF) | (_U(n) << _U(13)) | _identity(length, kind)
        _store_release(slot + 16, meta)
        used[0] += 1


@compiled
def rehash(old, new):
    """Copy every slot into a larger, empty table."""
    mask = _U((len(new) >> 2) - 1)
    for at in range(0, len(old), 4):
        meta = old[at + 2]
        if meta == _U(0):
            continue
        h = old[at]
        if np.int64(meta & _U(0x7FF)) <= SHORT:
            h = short_hash(old[at], old[at + 1], (meta >> _U(11)) & _U(3))
        k = h & mask
        while new[np.intp(k << _U(2)) + 2] != _U(0):
            k = (k + _ONE) & mask
        for j in range(4):
            new[np.intp(k << _U(2)) + j] = old[at + j]
