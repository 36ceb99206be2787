"""URIs without what may be secret in them, for messages, rejects and ledgers."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

from qdrant_static.clients.connect import redact


def public(uri: str) -> str:
    """A URI without user, password and options, which may be secret."""
    scheme, colon, rest = uri.partition("://")
    if not colon:
        return uri
    rest = rest.partition("?")[0]
    host, slash, path = rest.partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"


def without_secrets(uri: str, message: str) -> str:
    """A message about a URI, without what the URI has that may be secret."""
    message = message.replace(uri, public(uri))
    parts = urlsplit(uri)
    secrets = (parts.username, parts.password, unquote(parts.password or ""), parts.query)
    return redact(message, filter(None, secrets))
