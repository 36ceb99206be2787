"""Ids of both kinds, and the shards in which a real server (1.18.3) put their points."""

from __future__ import annotations

import uuid
from hashlib import blake2b

COUNT = 10_000
#: Small ones, as people count, and ones that are spread over all 64 bits.
INTEGERS = [*range(COUNT // 2), *(i * 0x9E3779B97F4A7C15 % 2**64 for i in range(1, COUNT // 2 + 1))]
UUIDS = [str(uuid.uuid5(uuid.NAMESPACE_URL, str(number))) for number in range(COUNT)]


def summed(shards: list[int]) -> str:
    """The first shards as digits, and a digest of all."""
    digits = "".join(map(str, shards))
    return f"{digits[:48]} {blake2b(digits.encode(), digest_size=16).hexdigest()}"


#: By the number of shards: the integers' places, the UUIDs'; tests/server/test_route.py made them.
PLACED = {
    2: (
        "001000100110000001100110111110011110100000101011 f616108675e12b73adb6dfe870ebd4ca",
        "101100010100110101000011000010100101111001011010 5a892660d99a06b19cdd2d8478ac09d7",
    ),
    3: (
        "222220220112202201102122112110022110200220122011 2ab80847e3d6ff345d51f5d4de3571bf",
        "102222010120120101000021200210120121111202012010 f12875f29ad149ccf072fcf2c171c52a",
    ),
    5: (
        "234320223114303201102423432130033140200220124041 e99e0313409b6dc9daf574f0230df186",
        "104222030120120433003021200240120421341344033340 d51928b03a9a288abccd0e458d70c012",
    ),
    8: (
        "564620253157305277102426557730673145260220167041 0eea54dfe74f9f6c63f3a9c3e6e0909e",
        "104222050120170436007027205545520421541644656370 ba55945a24ba08f4052fdd79607e5af6",
    ),
}
