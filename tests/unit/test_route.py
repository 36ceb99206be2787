"""Point id -> shard: against a real server's places, and against SipHash written plainly."""

from __future__ import annotations

import bisect
import struct
import uuid
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qdrant_static.errors import ArgumentError
from qdrant_static.ids import id_digest, point_id
from qdrant_static.routing import shard_of, shard_of_digests
from tests.fakes import run_python
from tests.routed import INTEGERS, PLACED, UUIDS, summed

_MASK = (1 << 64) - 1


def _siphash(data: bytes, key: bytes = bytes(16)) -> int:
    """SipHash-2-4 as its paper has it, slowly."""
    low, high = struct.unpack("<QQ", key)
    v = [
        0x736F6D6570736575 ^ low,
        0x646F72616E646F6D ^ high,
        0x6C7967656E657261 ^ low,
        0x7465646279746573 ^ high,
    ]

    def left(x: int, n: int) -> int:
        return ((x << n) | (x >> (64 - n))) & _MASK

    def rounds(n: int) -> None:
        for _ in range(n):
            v[0] = (v[0] + v[1]) & _MASK
            v[1] = left(v[1], 13) ^ v[0]
            v[0] = left(v[0], 32)
            v[2] = (v[2] + v[3]) & _MASK
            v[3] = left(v[3], 16) ^ v[2]
            v[0] = (v[0] + v[3]) & _MASK
            v[3] = left(v[3], 21) ^ v[0]
            v[2] = (v[2] + v[1]) & _MASK
            v[1] = left(v[1], 17) ^ v[2]
            v[2] = left(v[2], 32)

    whole = len(data) - len(data) % 8
    words = [int.from_bytes(data[i : i + 8], "little") for i in range(0, whole, 8)]
    words.append(int.from_bytes(data[whole:], "little") | (len(data) & 255) << 56)
    for word in words:
        v[3] ^= word
        rounds(2)
        v[0] ^= word
    v[2] ^= 255
    rounds(4)
    return v[0] ^ v[1] ^ v[2] ^ v[3]


def _slowly(point: int | str, shards: int) -> int:
    ring = sorted(
        (_siphash(struct.pack("<II", shard, place)), shard)
        for shard in range(shards)
        for place in range(100)
    )
    if isinstance(point, int):
        raw = struct.pack("<QQ", 0, point)
    else:
        raw = struct.pack("<QQ", 1, 16) + uuid.UUID(point).bytes
    at = bisect.bisect_left([place for place, _ in ring], _siphash(raw))
    return ring[at % len(ring)][1]


def test_the_plain_siphash_gives_the_published_vector() -> None:
    assert _siphash(bytes(range(15)), bytes(range(16))) == 0xA129CA6149BE45E5


@given(
    st.integers(0, 2**64 - 1) | st.uuids().map(str),
    st.sampled_from([2, 3, 7]),
)
def test_places_are_those_of_the_plain_form(point: int | str, shards: int) -> None:
    assert shard_of([point], shards)[0] == _slowly(point, shards)


@pytest.mark.parametrize("shards", sorted(PLACED))
def test_places_are_a_servers(shards: int) -> None:
    integers, uuids = shard_of(INTEGERS, shards), shard_of(UUIDS, shards)
    assert (summed(integers.tolist()), summed(uuids.tolist())) == PLACED[shards]
    assert integers.dtype == np.int64


def test_one_shard_holds_everything_whatever_the_ids_are() -> None:
    assert shard_of(["not an id", 1], 1).tolist() == [0, 0]
    assert shard_of_digests([b""], 1).tolist() == [0]


def test_kinds_and_spellings_mix() -> None:
    one = uuid.UUID(UUIDS[0])
    shard = shard_of([UUIDS[0]], 8)[0]
    others = [one, one.hex, str(one).upper(), f"{{{one}}}", one.urn]
    assert shard_of([*others, 7], 8).tolist() == [shard] * len(others) + [shard_of([7], 8)[0]]
    assert shard_of([one.hex, one.hex.upper()], 8).tolist() == [shard] * 2
    assert shard_of([], 8).tolist() == []


def test_digests_lead_to_the_same_places() -> None:
    points = [point_id(key) for key in [0, 2**64 - 1, "12", *UUIDS[:100], *range(100)]]
    digests = [id_digest(point) for point in points]
    assert shard_of_digests(digests, 5).tolist() == shard_of(points, 5).tolist()
    assert shard_of_digests([], 5).tolist() == []


@pytest.mark.parametrize(
    "bad",
    [
        "twelve",
        "12",
        -1,
        2**64,
        True,
        1.5,
        None,
        UUIDS[0][:-1] + " ",
        "0" * 36,
        UUIDS[0][:-1] + "é",
    ],
)
def test_what_is_no_id_is_named(bad: object) -> None:
    for ids in ([bad], [1, bad], [UUIDS[0], bad]):
        with pytest.raises(ArgumentError, match="is neither an unsigned integer") as caught:
            shard_of(ids, 3)
        assert repr(bad) in str(caught.value)


def test_a_number_of_shards_is_at_least_one() -> None:
    with pytest.raises(ArgumentError, match="shard_number"):
        shard_of([1], 0)


def test_one_shard_needs_no_numba(tmp_path: Path) -> None:
    done = run_python(
        "import sys\n"
        "from qdrant_static.routing import shard_of\n"
        "shard_of([1], 1)\n"
        "assert 'numba' not in sys.modules\n",
        cwd=tmp_path,
    )
    assert done.code == 0, done.err
