"""Record key -> point id: a pure function, so that writing a record twice is harmless."""

from __future__ import annotations

import re
import uuid
from hashlib import blake2b, sha1

from qdrant_static.errors import KeyTypeError

KeyPart = int | str | uuid.UUID
#: One part, or several: the values of several columns, or a row's key and its passage's number.
Key = KeyPart | tuple[KeyPart, ...]
PointId = int | str

#: The namespace of all point ids that this package derives from keys. It never changes.
NAMESPACE = uuid.UUID("3f0c9d2e-6a57-5b0e-9f43-7f1f0d1c5a11")

_CANONICAL_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_MAX_INTEGER_ID = 2**64 - 1


def point_id(key: Key) -> PointId:
    """The point id of a record.

    Integers from 0 to 2**64 - 1 and canonical lower-case UUID strings are point ids already and
    stay as they are. Anything else (the string ``"12"``, a UUID in another spelling, a negative
    integer) becomes a UUIDv5 in :data:`NAMESPACE`, so that no two keys share an id. So does a key
    of several parts; one of a single part is that part.

    Args:
        key: An integer, a string or a UUID, or a tuple of them.

    Returns:
        An integer, or a UUID as a lower-case string with hyphens.

    Raises:
        KeyTypeError: If the key is of another type; ``True`` is not an integer here.
    """
    if isinstance(key, str):
        if len(key) == 36 and _CANONICAL_UUID.fullmatch(key):
            return key
        return _derived("s", key)
    if isinstance(key, bool):
        raise KeyTypeError(given="a boolean")
    if isinstance(key, int):
        return key if 0 <= key <= _MAX_INTEGER_ID else _derived("i", str(key))
    if isinstance(key, uuid.UUID):
        return str(key)
    if isinstance(key, tuple) and key:
        return point_id(key[0]) if len(key) == 1 else _uuid5(b"".join(map(_part, key)))
    raise KeyTypeError(given="an empty tuple" if key == () else f"{type(key).__name__}")


def plain_id(given: object) -> PointId:
    """Return a point's id as text or integer; clients may give a `uuid.UUID`."""
    return given if isinstance(given, int) else str(given)


def _part(part: KeyPart) -> bytes:
    """One part of several; a UUID is the same as its canonical spelling, as it is alone."""
    if isinstance(part, bool):
        raise KeyTypeError(given="a boolean in a tuple")
    if isinstance(part, int):
        return _prefixed("i", str(part))
    if isinstance(part, str | uuid.UUID):
        return _prefixed("s", str(part))
    raise KeyTypeError(given=f"{type(part).__name__} in a tuple")


def _derived(kind: str, text: str) -> str:
    return _uuid5(_prefixed(kind, text))


def _prefixed(kind: str, text: str) -> bytes:
    """A part's kind, its length in bytes, and the part itself.

    The length keeps keys of several parts apart: ``("ab", "c")`` and ``("a", "bc")``.
    """
    raw = text.encode()
    return f"{kind}{len(raw)}:".encode() + raw


def _uuid5(name: bytes) -> str:
    """RFC 9562's version 5, written out because ``uuid.uuid5`` costs twice as much."""
    digest = bytearray(sha1(NAMESPACE.bytes + name, usedforsecurity=False).digest()[:16])
    digest[6] = (digest[6] & 0x0F) | 0x50
    digest[8] = (digest[8] & 0x3F) | 0x80
    text = digest.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def text_key(text: str) -> str:
    """The key of a record that has none: a digest of its text (BLAKE2b, 16 bytes, hexadecimal)."""
    return blake2b(text.encode(), digest_size=16).hexdigest()


def id_digest(point: PointId) -> bytes:
    """A point id in 16 bytes, to remember many of them cheaply.

    An integer is written behind eight fixed bytes; a UUID that starts with those same bytes is
    conceivable, and as unlikely as two random UUIDs that agree in eight of their bytes.
    """
    if isinstance(point, int):
        return b"integer:" + point.to_bytes(8, "big")
    return bytes.fromhex(point.replace("-", ""))
