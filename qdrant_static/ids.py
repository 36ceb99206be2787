"""Point ids: made from a record's key, checked, compared, and packed into 16 bytes.

The id of a key is a pure function of it, so that writing a record twice is harmless.
"""

from __future__ import annotations

import re
import uuid
from hashlib import blake2b, sha1

from qdrant_static.errors import ArgumentError, KeyTypeError

KeyPart = int | str | uuid.UUID
#: One part, or several: the values of several columns, or the key of a row and the number of one
#: of its passages.
Key = KeyPart | tuple[KeyPart, ...]
PointId = int | str

#: The namespace of all point ids that this package derives from keys. It never changes.
NAMESPACE = uuid.UUID("3f0c9d2e-6a57-5b0e-9f43-7f1f0d1c5a11")

_CANONICAL_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
#: What Qdrant parses as a UUID: plain, with hyphens, in braces, as a URN. `uuid.UUID` would take
#: spaces and underscores for digits, too.
_ANY_UUID = re.compile(
    r"(?:urn:uuid:|\{)?([0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\}?", re.IGNORECASE
)
_MAX_INTEGER_ID = 2**64 - 1
_INTEGER_DIGEST = b"integer:"


def point_id(key: Key) -> PointId:
    """Return the point id of a record.

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


def plain_id(value: object) -> PointId:
    """Return the id that a client or an engine gave: an integer, or a UUID's text."""
    return value if isinstance(value, int) else str(value)


def checked_id(value: object) -> PointId:
    """Return a point id in the spelling of the engine: an integer, or a canonical UUID.

    Args:
        value: An integer, a `uuid.UUID`, or a UUID's text in any spelling that Qdrant parses.

    Raises:
        ArgumentError: If it is neither an unsigned integer of 64 bits nor a UUID.
    """
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MAX_INTEGER_ID:
        return value
    if isinstance(value, str) and len(value) == 36 and _CANONICAL_UUID.fullmatch(value):
        return value
    return _hyphenated(uuid_bytes(value).hex())


def uuid_bytes(value: object) -> bytes:
    """Return the 16 bytes of a UUID, or of a text that Qdrant parses as one.

    Raises:
        ArgumentError: If it is none.
    """
    if isinstance(value, uuid.UUID):
        return value.bytes
    digits = _ANY_UUID.fullmatch(value) if isinstance(value, str) else None
    if digits is None:
        raise invalid_id(value)
    return bytes.fromhex(digits[1].replace("-", ""))


def invalid_id(value: object) -> ArgumentError:
    """Return the error of a value that is no point id."""
    return ArgumentError(
        field="point id",
        problem=f"{value!r} is neither an unsigned integer of 64 bits nor a UUID",
    )


def _part(part: KeyPart) -> bytes:
    """Encode one part of several; a UUID is the same as its canonical spelling, as it is alone."""
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
    """Encode a part as its kind, its length in bytes, and the part itself.

    The length keeps keys of several parts apart: ``("ab", "c")`` and ``("a", "bc")``.
    """
    raw = text.encode()
    return f"{kind}{len(raw)}:".encode() + raw


def _uuid5(name: bytes) -> str:
    """Make a UUIDv5 (RFC 9562); written out because ``uuid.uuid5`` takes twice as long."""
    digest = bytearray(sha1(NAMESPACE.bytes + name, usedforsecurity=False).digest()[:16])
    digest[6] = (digest[6] & 0x0F) | 0x50
    digest[8] = (digest[8] & 0x3F) | 0x80
    return _hyphenated(digest.hex())


def _hyphenated(text: str) -> str:
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def text_key(text: str) -> str:
    """Return the key of a record that has none: the BLAKE2b digest of its text, 32 hex digits."""
    return blake2b(text.encode(), digest_size=16).hexdigest()


def id_digest(point: PointId) -> bytes:
    """Return a point id as 16 bytes, so that many can be kept in little memory.

    An integer is written behind eight fixed bytes; a UUID that starts with those same bytes is
    conceivable, and as unlikely as two random UUIDs that agree in eight of their bytes.
    """
    if isinstance(point, int):
        return _INTEGER_DIGEST + point.to_bytes(8, "big")
    return bytes.fromhex(point.replace("-", ""))


def id_of_digest(digest: bytes) -> PointId:
    """Return the point id that `id_digest` packed."""
    if digest.startswith(_INTEGER_DIGEST):
        return int.from_bytes(digest[8:], "big")
    return _hyphenated(digest.hex())
