"""Record key -> point id. The literals here are a promise: they never change."""

from __future__ import annotations

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qdrant_static.errors import ArgumentError, KeyTypeError
from qdrant_static.ids import (
    NAMESPACE,
    checked_id,
    id_digest,
    id_of_digest,
    point_id,
    text_key,
)

CANONICAL = "3f0c9d2e-6a57-5b0e-9f43-7f1f0d1c5a11"
texts = st.text(st.characters(exclude_categories=["Cs"]))
keys = st.one_of(st.integers(-(2**70), 2**70), texts, st.uuids(), st.uuids().map(str))


def test_the_namespace_never_changes():
    assert str(NAMESPACE) == CANONICAL


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (0, 0),
        (12, 12),
        (2**64 - 1, 2**64 - 1),
        (2**64, "5ffdb8c2-fb11-5113-ad9c-aee594d517f3"),
        (-1, "4f997bcb-1a5d-5f3c-9aea-218083c6e0c4"),
        ("12", "f547c6e3-2028-5659-b613-1f010742c69d"),
        ("", "b24fd913-e8d5-507a-a819-9b9f3a466013"),
        ("ärger", "2f6e0dd3-4df3-5f7d-a81e-f95da731cfe2"),
        (CANONICAL, CANONICAL),
        (uuid.UUID(CANONICAL), CANONICAL),
        (CANONICAL.upper(), "d3aa6fc3-dccc-530c-8564-cef2e3b4c9c6"),
    ],
)
def test_the_point_id_of_a_key_never_changes(key, expected):
    assert point_id(key) == expected


@pytest.mark.parametrize("key", ["12", "", "ärger", "x" * 1000, CANONICAL.upper(), CANONICAL + "0"])
def test_a_derived_id_is_the_uuid5_of_the_length_prefixed_key(key):
    assert point_id(key) == str(uuid.uuid5(NAMESPACE, f"s{len(key.encode())}:{key}"))


@pytest.mark.parametrize("key", [-1, 2**64, -(2**80)])
def test_an_integer_that_no_id_holds_is_derived_from_its_digits(key):
    assert point_id(key) == str(uuid.uuid5(NAMESPACE, f"i{len(str(key))}:{key}"))


@pytest.mark.parametrize(
    "spelling",
    [CANONICAL.upper(), CANONICAL.replace("-", ""), f"{{{CANONICAL}}}", f"urn:uuid:{CANONICAL}",
     CANONICAL + "\n", "\uff13" + CANONICAL[1:]],
)  # fmt: skip
def test_a_uuid_in_another_spelling_is_another_key(spelling):
    assert point_id(spelling) not in (spelling, CANONICAL)


@pytest.mark.parametrize(
    "key", [True, False, 1.0, None, b"a", [1], (), (True, 1), (1.5, 2), ("a", None)]
)
def test_a_key_of_another_type_is_an_error(key):
    with pytest.raises(KeyTypeError, match="must be an integer, a string or a UUID, not"):
        point_id(key)


def canonical(key: object) -> object:
    """What a key is: a UUID and its canonical string are one key, 1 and "1" are two."""
    return str(key) if isinstance(key, uuid.UUID) else key


@given(st.lists(keys, min_size=2, unique_by=lambda key: (type(canonical(key)), canonical(key))))
def test_distinct_keys_have_distinct_ids_and_digests(distinct):
    ids = [point_id(key) for key in distinct]
    assert len(set(ids)) == len(ids)
    assert len({id_digest(one) for one in ids}) == len(ids)


@given(keys)
def test_every_key_has_one_id_that_the_engine_takes(key):
    one = point_id(key)
    assert point_id(key) == one
    assert 0 <= one < 2**64 if isinstance(one, int) else str(uuid.UUID(one)) == one


@given(keys)
def test_an_id_is_its_own_id(key):
    assert point_id(point_id(key)) == point_id(key)


@given(keys)
def test_a_digest_has_16_bytes_and_gives_the_id_back(key):
    digest = id_digest(point_id(key))
    assert len(digest) == 16
    assert id_of_digest(digest) == point_id(key)


@pytest.mark.parametrize(
    "spelling",
    [CANONICAL, CANONICAL.upper(), CANONICAL.replace("-", ""), f"{{{CANONICAL}}}",
     f"urn:uuid:{CANONICAL}", uuid.UUID(CANONICAL)],
)  # fmt: skip
def test_a_uuid_of_any_spelling_is_checked_and_written_in_one(spelling):
    assert checked_id(spelling) == CANONICAL


@pytest.mark.parametrize(
    "value", [-1, 2**64, True, "12", "", CANONICAL[:-1] + "_", CANONICAL[:-1] + " ", 1.0, None]
)
def test_what_is_no_point_id_is_an_error(value):
    with pytest.raises(ArgumentError, match="neither an unsigned integer of 64 bits nor a UUID"):
        checked_id(value)


def test_the_key_of_a_text_never_changes():
    assert text_key("hello") == "46fb7408d4f285228f4af516ea25851b"
    assert text_key("hello ") != text_key("hello")


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (("a", 0), "s1:ai1:0"),
        (("ab", "c"), "s2:abs1:c"),
        (("a", "bc"), "s1:as2:bc"),
        ((1, -2, "x"), "i1:1i2:-2s1:x"),
        ((uuid.UUID(CANONICAL), 1), f"s36:{CANONICAL}i1:1"),
    ],
)
def test_a_key_of_several_parts_is_derived_from_them_with_their_lengths(key, expected):
    assert point_id(key) == str(uuid.uuid5(NAMESPACE, expected))


@pytest.mark.parametrize("part", [7, -7, "a", CANONICAL, uuid.UUID(CANONICAL)])
def test_a_key_of_one_part_is_that_part(part):
    assert point_id((part,)) == point_id(part)


@given(st.tuples(keys, keys), st.tuples(keys, keys))
def test_two_keys_of_several_parts_share_no_id(one, other):
    same = [str(a) == str(b) and isinstance(a, int) == isinstance(b, int)
            for a, b in zip(one, other, strict=True)]  # fmt: skip
    assert (point_id(one) == point_id(other)) == all(same)
