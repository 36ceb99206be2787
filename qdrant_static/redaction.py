"""Removes secrets from texts and URIs, for messages, rejects and ledgers."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import unquote, urlsplit


def redact(text: str, secrets: Iterable[str]) -> str:
    """Return a text with every occurrence of a secret replaced by ``***``."""
    for secret in secrets:
        text = text.replace(secret, "***")
    return text


def public_uri(uri: str) -> str:
    """Remove user, password and options from a URI, which may be secret."""
    scheme, colon, rest = uri.partition("://")
    if not colon:
        return uri
    rest = rest.partition("?")[0]
    host, slash, path = rest.partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"


def without_secrets(uri: str, message: str) -> str:
    """Remove from a message whatever of a URI may be secret."""
    message = message.replace(uri, public_uri(uri))
    parts = urlsplit(uri)
    secrets = (parts.username, parts.password, unquote(parts.password or ""), parts.query)
    return redact(message, filter(None, secrets))
