# Numba gives these functions their types.
# mypy: disable-error-code="no-untyped-def, no-untyped-call, untyped-decorator, call-arg"
# mypy: disable-error-code="var-annotated, assignment"
# ruff: noqa: ANN001, ANN201, ANN202, C901
"""Kernels of the WordPiece route: UTF-8 bytes in, token ids out.

A text is a sequence of chunks between whitespace. A chunk of printable ASCII is cut into words
(runs of letters and digits) and punctuation marks; a chunk with any other byte, or with an added
token, is looked up in the chunk memo, which the tokenizer filled. ``wordpiecedefinition`` explains
why the ids are those of the tokenizer.

Two things make it fast. To find the ends of words byte by byte would cost a mispredicted branch per
word, so 64 bytes are classified at once into bit masks, and ends are found by counting zeros. And
most words repeat: a direct-mapped cache of 32-byte entries, one per thread, maps a word of up to 16
bytes *by its bytes* to at most six ids of 20 bits: one cache line, and no hash collisions. Only a
word that is not in it is cut by the vocabulary, greedily, longest piece first.

The module is long because Numba's cache notices only changes of the file that a kernel is in, and
the functions here are compiled into one kernel, `scan`.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from qdrant_static.encoders.chunkkernels import lookup
from qdrant_static.intrinsics import (
    address,
    classify,
    compiled,
    load_uint64,
    store_int32,
    trailing_zeros,
)

ROW_DONE, ROW_MISSED, ROW_PLAIN = 0, 1, 2

CACHE_SLOTS = 1 << 15
MARGIN = 128
"""How much longer than a text a thread's copy of it must be, so that 64 bytes can be read at its
end."""

_U = np.uint64
_K1 = _U(0x9E3779B97F4A7C15)
_K2 = _U(0xD6E8FEB86659FD93)
_FNV = _U(0x100000001B3)
_SEEDS = (_U(0xCBF29CE484222325), _U(0x84222325CBF29CE4))
_ONE = _U(1)
_ID = (1 << 20) - 1
_KEEP = np.array([(1 << 8 * n) - 1 for n in range(9)] + [(1 << 64) - 1] * 8, np.uint64)
_WORDS, _SPACES, _STRANGE = 0, 1, 2
NO_MARK = 1 << 40


@njit(inline="always")
def _bits(masks_at, kind, i):
    """Return 64 bits of a mask, from position ``i``."""
    at = masks_at + ((i >> 6) << 5) + (kind << 3)
    shift = _U(i & 63)
    return (load_uint64(at) >> shift) | ((load_uint64(at + 32) << _ONE) << (_U(63) - shift))


@njit(inline="always")
def _run(masks_at, kind, i):
    """Return how many bytes from ``i`` on are of a kind."""
    n = np.intp(trailing_zeros(~_bits(masks_at, kind, i)))
    total = n
    while n == 64:
        n = np.intp(trailing_zeros(~_bits(masks_at, kind, i + total)))
        total += n
    return total


@njit(inline="always")
def _key(text_at, i, length, slots):
    """Return a word of up to 16 bytes as two integers, and its position in the cache."""
    first = load_uint64(text_at + i) & _KEEP[min(length, 8)]
    second = load_uint64(text_at + i + 8) & _KEEP[max(min(length - 8, 8), 0)]
    return first, second, np.intp(_slot((second * _K2) ^ (first * _K1), _U(slots - 1))) << 2


@njit(inline="always")
def _prepare(data, start, length, text, masks, fold):
    """Copy a text, in lower case if ``fold`` is 0x20, append spaces, and classify its bytes.

    Return whether all of it is printable ASCII.
    """
    any_strange = _U(0)
    for j in range(length):
        text[j] = data[start + j]
    blocks = (length >> 6) + 2
    for j in range(length, blocks * 64):
        text[j] = 32
    for block in range(blocks):
        words, spaces, strange = classify(text, block << 6, fold)
        masks[block * 4 + _WORDS] = words
        masks[block * 4 + _SPACES] = spaces
        masks[block * 4 + _STRANGE] = strange
        any_strange |= strange
    return any_strange == _U(0)


@njit(inline="always")
def _any_strange(masks_at, i, stop):
    """Return whether there is a byte that is not printable ASCII."""
    while stop - i > 63:
        if _bits(masks_at, _STRANGE, i) != _U(0):
            return True
        i += 64
    return (_bits(masks_at, _STRANGE, i) & ((_ONE << _U(stop - i)) - _ONE)) != _U(0)


@njit(inline="always")
def _slot(h, mask):
    h ^= h >> _U(32)
    h *= _K2
    return (h ^ (h >> _U(29))) & mask


@compiled
def build_vocabulary(slots, arena, pointers, kinds):
    """Fill the vocabulary's hash table.

    Args:
        slots: uint64 (a power of two,), zeros: hash with the low 32 bits replaced by entry + 1.
        arena: uint8, the pieces one after another.
        pointers: int64 (pieces + 1,).
        kinds: uint8 (pieces,), 1 for pieces that continue a word.
    """
    mask = _U(len(slots) - 1)
    for entry in range(len(kinds)):
        h = _SEEDS[1] if kinds[entry] else _SEEDS[0]
        for j in range(pointers[entry], pointers[entry + 1]):
            h = (h ^ _U(arena[j])) * _FNV
        k = _slot(h, mask)
        while slots[k] != _U(0):
            k = (k + _ONE) & mask
        slots[k] = (h & _U(0xFFFFFFFF00000000)) | _U(entry + 1)


@njit(inline="always")
def _piece(vocabulary, data, start, stop, kind, h):
    """Return the id of ``data[start:stop]`` as a piece of this kind, or -1."""
    slots, arena, pointers, kinds, ids, _, _ = vocabulary
    mask = _U(len(slots) - 1)
    k = _slot(h, mask)
    while slots[k] != _U(0):
        if (slots[k] ^ h) >> _U(32) == _U(0):
            entry = np.intp(slots[k] & _U(0xFFFFFFFF)) - 1
            at = pointers[entry]
            if pointers[entry + 1] - at == stop - start and kinds[entry] == kind:
                j = 0
                while j < stop - start and arena[at + j] == data[start + j]:
                    j += 1
                if j == stop - start:
                    return ids[entry]
        k = (k + _ONE) & mask
    return np.int32(-1)


@njit
def _cut_word(vocabulary, data, start, stop):
    """Cut a word greedily into ``pieces``; return their number, or -1 for an unknown word."""
    hashes, pieces = vocabulary[5], vocabulary[6]
    if stop - start > len(pieces):
        return -1
    n = 0
    p = start
    while p < stop:
        kind = 0 if p == start else 1
        h = _SEEDS[1] if kind else _SEEDS[0]
        longest = min(len(hashes), stop - p)
        for j in range(longest):
            h = (h ^ _U(data[p + j])) * _FNV
            hashes[j] = h
        found = np.int32(-1)
        while longest > 0:
            found = _piece(vocabulary, data, p, p + longest, kind, hashes[longest - 1])
            if found >= 0:
                break
            longest -= 1
        if found < 0:
            return -1
        pieces[n] = found
        n += 1
        p += longest
    return n


@njit(inline="always")
def _cut_text(data, start, stop, characters):
    """Return where a text ends after a number of characters."""
    if stop - start <= characters:
        return stop
    left = characters
    p = start
    while p + 64 <= stop:
        begun = 0
        for j in range(64):
            begun += (data[p + j] & 0xC0) != 0x80
        if begun > left:
            break
        left -= begun
        p += 64
    while p < stop:
        if (data[p] & 0xC0) != 0x80:
            if left == 0:
                return p
            left -= 1
        p += 1
    return stop


@compiled
def cut_texts(data, starts, stops, characters, out):
    """Write where texts end after a number of characters to ``out``, int64 (rows,)."""
    for row in range(len(starts)):
        out[row] = _cut_text(data, starts[row], stops[row], characters)


@njit
def _begins_added(added, text, start, stop):
    """Return whether an added token is here; bit 5 is ignored in all bytes, not only letters."""
    letters, pointers = added
    for k in range(len(pointers) - 1):
        at = pointers[k]
        length = pointers[k + 1] - at
        if start + length > stop:
            continue
        j = 0
        while j < length and (letters[at + j] | 32) == (text[start + j] | 32):
            j += 1
        if j == length:
            return True
    return False


@njit(inline="always")
def _cached(cache_at, slots, text_at, masks_at, out_at, i, n, room):
    """Write the ids of the word or mark at ``i`` to ``out[n]`` and after if the cache has them.

    Returns:
        Its length; the number of ids, at most ``room``, 0 if they are not in the cache; and 1 if it
        is unknown, else 0.
    """
    length = max(np.intp(trailing_zeros(~_bits(masks_at, _WORDS, i))), 1)
    if length == 64:
        length = _run(masks_at, _WORDS, i)
    first, second, at = _key(text_at, i, length, slots)
    entry = cache_at + (at << 3)
    if load_uint64(entry) != first or load_uint64(entry + 8) != second or length > 16:
        return length, 0, 0
    head = load_uint64(entry + 16)
    count = np.intp(head & _U(7))
    to = out_at + (n << 2)
    # Always three: a loop over the count costs more than a useless store.
    store_int32(to, np.int32((head >> _U(4)) & _U(_ID)))
    store_int32(to + 4, np.int32((head >> _U(24)) & _U(_ID)))
    store_int32(to + 8, np.int32(head >> _U(44)))
    if count > 3:
        tail = load_uint64(entry + 24)
        store_int32(to + 12, np.int32(tail & _U(_ID)))
        store_int32(to + 16, np.int32((tail >> _U(20)) & _U(_ID)))
        store_int32(to + 20, np.int32((tail >> _U(40)) & _U(_ID)))
    return length, min(count, room), np.intp((head >> _U(3)) & _ONE)


@njit
def _note(cache, text_at, i, length, pieces, count, n_unknown):
    """Add a word and its ids to the cache if they fit."""
    largest = np.int32(0)
    for k in range(count):
        largest = max(largest, pieces[k])
    if length > 16 or count > 6 or n_unknown > (count == 1) or largest > _ID:
        return
    first, second, at = _key(text_at, i, length, len(cache) >> 2)
    head = _U(count) | (_U(n_unknown) << _U(3))
    tail = _U(0)
    for k in range(min(count, 3)):
        head |= _U(pieces[k]) << _U(4 + 20 * k)
    for k in range(3, count):
        tail |= _U(pieces[k]) << _U(20 * (k - 3))
    cache[at] = first
    cache[at + 1] = second
    cache[at + 2] = head
    cache[at + 3] = tail


@njit
def _uncached(
    vocabulary, added, marks, cache, text, i, length, stop, n, room, out, unknown_id, drop
):
    """Tokenize the word or mark at ``i`` and add it to the cache.

    A mark with which an added token may begin is not noted, so that it always comes here.

    Returns:
        The end of the ids, the number of tokens (0 where an added token begins) and of unknown
        ones.
    """
    pieces = vocabulary[6]
    mark = marks[text[i]]
    if mark < 0 and _begins_added(added, text, i, stop):
        return n, 0, 0
    if mark == NO_MARK:
        count = _cut_word(vocabulary, text, i, i + length)
    else:
        pieces[0] = mark if mark >= 0 else ~mark
        count = 1
    if count < 0:
        pieces[0] = unknown_id
        count = 1
    n_unknown = 0
    for k in range(count):
        n_unknown += pieces[k] == unknown_id
    if mark >= 0:
        _note(cache, address(text), i, length, pieces, count, n_unknown)
    count = min(count, room)
    u = 0
    for k in range(count):
        is_unknown = np.intp(pieces[k] == unknown_id)
        out[n] = pieces[k]
        u += is_unknown
        n += 1 - (is_unknown if drop else 0)
    return n, count, u


@njit
def _scan_printable(vocabulary, added, marks, scratch, stop, n, out, unknown_id, drop, limit):
    """Tokenize a text of printable ASCII, where chunks do not matter.

    Tokens are the set bits of a mask, one load and two instructions apart: the processor works on
    several words at once, which a walk from the end of one word to the next would not let it.

    Returns:
        Whether there was no added token, the end of the ids, and the number of tokens and of
        unknown ones.
    """
    cache, text, masks = scratch
    cache_at, text_at, masks_at, out_at = (
        address(cache),
        address(text),
        address(masks),
        address(out),
    )
    slots = len(cache) >> 2
    t = 0
    u = 0
    carry = _U(0)
    for block in range((stop + 63) >> 6):
        words = masks[block * 4 + _WORDS]
        begins = words & ~((words << _ONE) | carry) | ~(words | masks[block * 4 + _SPACES])
        carry = words >> _U(63)
        while begins != _U(0):
            if t >= limit:
                return True, n, t, u
            i = (block << 6) + np.intp(trailing_zeros(begins))
            begins &= begins - _ONE
            length, count, new = _cached(
                cache_at, slots, text_at, masks_at, out_at, i, n, limit - t
            )
            if count:
                n += count - (new if drop else 0)
            else:
                n, count, new = _uncached(
                    vocabulary,
                    added,
                    marks,
                    cache,
                    text,
                    i,
                    length,
                    stop,
                    n,
                    limit - t,
                    out,
                    unknown_id,
                    drop,
                )
                if count == 0:
                    return False, n, t, u
            t += count
            u += new
    return True, n, t, u


@compiled
def scan(
    memo,
    vocabulary,
    added,
    marks,
    scratch,
    data,
    starts,
    stops,
    rows,
    n_out,
    out,
    out_starts,
    out_counts,
    unknown,
    state,
    fold,
    unknown_id,
    drop,
    characters,
    limit,
    misses,
):
    """Convert texts to token ids; list the chunks that the memo does not know.

    Args:
        memo: ``ChunkMemo.tables()``.
        vocabulary: What ``build_vocabulary`` filled, the pieces' ids (int32), and two arrays of
            this thread: uint64 as long as the longest piece, int32 as long as the longest word
            that is cut.
        added: ASCII added tokens: uint8 bytes, int64 pointers.
        marks: int64 (256,), the id of every punctuation mark, ``NO_MARK`` for other
            bytes; negative, ``~id``, if an added token may begin with it.
        scratch: This thread's word cache, uint64 (slots * 4,), zeros at first; its copy of a text,
            uint8; and masks, uint64, one for every 16 bytes of that.
        data: uint8 (bytes,), all text.
        starts: int64 (n,), first byte of each text.
        stops: int64 (n,), one past the last.
        rows: int64 (m,), which texts to scan.
        n_out: Where in ``out`` to begin.
        out: int32, receives ids.
        out_starts: int64 (n,), receives where each row's ids begin.
        out_counts: int64 (n,), receives their number.
        unknown: int64 (n,), receives the number of unknown tokens within the limit.
        state: uint8 (n,), receives ``ROW_DONE``, ``ROW_MISSED`` or ``ROW_PLAIN``.
        fold: uint8, 0x20 if the tokenizer lowers case, else 0.
        unknown_id: The id of the unknown token.
        drop: Whether unknown tokens are left out (they count for the limit nevertheless).
        characters: Texts are cut to so many characters first.
        limit: Rows are cut to so many tokens.
        misses: int64 (2, k), receives where unknown chunks begin and end.

    Returns:
        How many of ``rows`` were scanned (fewer than all if ``out`` or the copy is too small), the
        end of the ids in ``out``, the number of noted chunks, and the bytes of the text that did
        not fit.
    """
    _, inline_ids, _, overflow = memo
    cache, text, masks = scratch
    cache_at, text_at, masks_at, out_at = (
        address(cache),
        address(text),
        address(masks),
        address(out),
    )
    cache_slots = len(cache) >> 2
    n_misses = 0
    for r in range(len(rows)):
        row = rows[r]
        base = starts[row]
        stop = _cut_text(data, base, stops[row], characters) - base
        if n_out + min(stop, limit) + 6 > len(out) or stop + MARGIN > len(text):
            return r, n_out, n_misses, stop
        status = ROW_DONE
        if _prepare(data, base, stop, text, masks, fold):
            whole, n, t, u = _scan_printable(
                vocabulary, added, marks, scratch, stop, n_out, out, unknown_id, drop, limit
            )
            if whole:
                state[row] = status
                out_starts[row] = n_out
                out_counts[row] = n - n_out
                unknown[row] = u
                n_out = n
                continue
        i = 0
        n = n_out  # end of the ids
        t = 0  # tokens so far, unknown ones included
        u = 0  # unknown ones
        while t < limit:
            i += _run(masks_at, _SPACES, i) if i < stop else 0
            if i >= stop:
                break
            chunk, chunk_n, chunk_t, chunk_u = i, n, t, u
            bits = _bits(masks_at, _SPACES, i)
            end = i + np.intp(trailing_zeros(bits))
            while bits == _U(0):
                bits = _bits(masks_at, _SPACES, end)
                end += np.intp(trailing_zeros(bits))
            alone = _any_strange(masks_at, i, end)  # whether the chunk goes to the tokenizer alone
            while i < end and not alone and t < limit:
                length, count, new = _cached(
                    cache_at, cache_slots, text_at, masks_at, out_at, i, n, limit - t
                )
                if count:
                    n += count - (new if drop else 0)
                else:
                    n, count, new = _uncached(
                        vocabulary,
                        added,
                        marks,
                        cache,
                        text,
                        i,
                        length,
                        end,
                        n,
                        limit - t,
                        out,
                        unknown_id,
                        drop,
                    )
                    alone = count == 0
                t += count
                u += new
                i += length
            if not alone:
                continue
            i, n, t, u = end, chunk_n, chunk_t, chunk_u
            at, count, is_long = lookup(memo, data, base + chunk, base + end, 0)
            if count == -1:
                status = max(status, ROW_MISSED)
                if n_misses < misses.shape[1]:
                    misses[0, n_misses] = base + chunk
                    misses[1, n_misses] = base + end
                    n_misses += 1
                continue
            if count == -2:
                status = ROW_PLAIN
                break
            count = min(count, limit - t)
            if n + count + min(stop - i, limit) + 6 > len(out):
                return r, n_out, n_misses, stop
            for k in range(count):
                token = overflow[at + k] if is_long else inline_ids[at + k]
                is_unknown = token == unknown_id
                out[n] = token
                u += is_unknown
                n += not (is_unknown and drop)
            t += count
        state[row] = status
        if status != ROW_DONE:
            continue
        out_starts[row] = n_out
        out_counts[row] = n - n_out
        unknown[row] = u
        n_out = n
    return len(rows), n_out, n_misses, 0
