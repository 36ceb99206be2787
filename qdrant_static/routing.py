"""Computes the shard of a point id as a Qdrant server with automatic sharding does.

Consistent hashing: each shard owns a hundred places on a ring of 64-bit hashes, and a point belongs
to the shard of the first place at or after its own hash. A point in any other shard would be
counted and searched there, but never found by its id, nor edited. Qdrant's authors declare the
function stable across versions; a shipment verifies it against the server all the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from qdrant_static import rules
from qdrant_static.errors import ArgumentError
from qdrant_static.ids import invalid_id, uuid_bytes

if TYPE_CHECKING:
    from uuid import UUID

    from numpy.typing import NDArray

_PLACES = 100  # of each shard on the ring
#: How the server's hash tells an integer from a UUID; a UUID's is followed by its length.
_INTEGER, _UUID, _UUID_BYTES = 0, 1, 16
_LITTLE = np.dtype("<u8")
#: Where a canonical UUID has its hyphens.
_HYPHENS = [8, 13, 18, 23]
_CANONICAL_LENGTH = 36
_DIGEST_OF_INTEGER = np.frombuffer(b"integer:", dtype=_LITTLE)[0]


def shard_of(ids: Sequence[int | str | UUID], shard_number: int) -> NDArray[np.int64]:
    """Return the shard of each point.

    Args:
        ids: Unsigned integers of 64 bits, and UUIDs in any spelling that Qdrant parses. Ids of one
            type are fastest: a million take a few tenths of a second.
        shard_number: How many shards the collection has; at least 1.

    Returns:
        int64 (n,), from 0 to ``shard_number - 1``.

    Raises:
        ArgumentError: If an id is neither, or the number of shards is below 1.
    """
    if isinstance(ids, str) or not hasattr(ids, "__len__"):
        raise ArgumentError(field="ids", problem=f"{ids!r} is not a list of ids")
    if shard_number == 1:
        return np.zeros(len(ids), np.int64)
    kinds = set(map(type, ids))
    if kinds == {int}:
        return _placed(_integer_rows(ids), shard_number)
    if kinds == {str}:
        return _placed(_uuid_rows(_uuid_bytes(ids)), shard_number)
    integers = [one for one in ids if type(one) is int]
    uuids = [uuid_bytes(one) for one in ids if type(one) is not int]
    is_integer = np.fromiter((type(one) is int for one in ids), bool, len(ids))
    shards = np.empty(len(ids), np.int64)
    shards[is_integer] = _placed(_integer_rows(integers), shard_number)
    shards[~is_integer] = _placed(_uuid_rows(b"".join(uuids)), shard_number)
    return shards


def shard_of_digests(digests: Sequence[bytes], shard_number: int) -> NDArray[np.int64]:
    """Return the shard of each point, from the digests of `qdrant_static.ids.id_digest`.

    Args:
        digests: 16 bytes each.
        shard_number: As in `shard_of`.

    Returns:
        int64 (n,).
    """
    if shard_number == 1:
        return np.zeros(len(digests), np.int64)
    words = np.frombuffer(b"".join(digests), dtype=_LITTLE).reshape(-1, 2)
    is_integer = words[:, 0] == _DIGEST_OF_INTEGER
    shards = np.empty(len(words), np.int64)
    numbers = words[is_integer, 1].byteswap()  # a digest has its integer in big endian
    shards[is_integer] = _placed(_rows(numbers[:, np.newaxis], _INTEGER), shard_number)
    shards[~is_integer] = _placed(_uuid_rows(words[~is_integer].tobytes()), shard_number)
    return shards


def _placed(rows: NDArray[np.uint64], shard_number: int) -> NDArray[np.int64]:
    hashes, shards = _ring(shard_number)
    places = np.searchsorted(hashes, _siphash(rows), side="left")
    return np.asarray(shards[places % len(shards)])


@lru_cache(maxsize=16)
def _ring(shard_number: int) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Return the places of all shards: their hashes, ascending, and the shard of each."""
    rules.check_integer("shard_number", shard_number)
    shards = np.repeat(np.arange(shard_number, dtype=np.uint64), _PLACES)
    places = np.tile(np.arange(_PLACES, dtype=np.uint64), shard_number)
    hashes = _siphash((shards | places << np.uint64(32))[:, np.newaxis])
    order = np.lexsort((shards, hashes))
    return hashes[order], shards[order].astype(np.int64)


def _siphash(rows: NDArray[np.uint64]) -> NDArray[np.uint64]:
    hashes = np.empty(len(rows), np.uint64)
    if len(rows):
        from qdrant_static.routingkernel import siphash

        siphash(np.ascontiguousarray(rows, dtype=np.uint64), hashes)
    return hashes


def _rows(words: NDArray[Any], *before: int) -> NDArray[np.uint64]:
    """Return what the server hashes, one row per id: the same words before those of the id."""
    rows = np.empty((len(words), len(before) + words.shape[1]), np.uint64)
    rows[:, : len(before)] = before
    rows[:, len(before) :] = words
    return rows


def _integer_rows(ids: Sequence[Any]) -> NDArray[np.uint64]:
    try:
        numbers = np.fromiter(ids, np.uint64, len(ids))
    except OverflowError:
        raise invalid_id(next(one for one in ids if not 0 <= one < 2**64)) from None
    return _rows(numbers[:, np.newaxis], _INTEGER)


def _uuid_rows(raw: bytes) -> NDArray[np.uint64]:
    return _rows(np.frombuffer(raw, dtype=_LITTLE).reshape(-1, 2), _UUID, _UUID_BYTES)


def _uuid_bytes(texts: Sequence[Any]) -> bytes:
    """Return 16 bytes for each UUID; canonical ones, which nearly all are, in one pass."""
    if set(map(len, texts)) == {_CANONICAL_LENGTH}:
        letters = np.frombuffer("".join(texts).encode(errors="replace"), np.uint8)
        if len(letters) == _CANONICAL_LENGTH * len(texts):
            letters = letters.reshape(-1, _CANONICAL_LENGTH)
            if (letters[:, _HYPHENS] == ord("-")).all():
                digits = np.delete(letters, _HYPHENS, axis=1).tobytes()
                try:
                    raw = bytes.fromhex(digits.decode("ascii"))
                except ValueError:
                    raw = b""
                if len(raw) == _UUID_BYTES * len(texts):  # `fromhex` passes over spaces
                    return raw
    return b"".join(map(uuid_bytes, texts))
