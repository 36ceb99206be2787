"""Points the alias of a shipment at its target, unless somebody has moved it meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qdrant_static.clients.aliases import aliases_of, point_alias
from qdrant_static.clients.retry import call_with_retries
from qdrant_static.collection.migrationcheck import under_way
from qdrant_static.collection.migrationstate import running_error
from qdrant_static.errors import AliasExistsError, AliasMovedError

if TYPE_CHECKING:
    from qdrant_client import QdrantClient

    from qdrant_static.clients.retry import RetryPolicy


class AliasSwitch:
    """Remembers where an alias points at the start of a shipment, and moves it at the end.

    Args:
        server: The client of the server.
        alias: The alias; None for none.
        retry: How long to keep retrying an unreachable server.
    """

    def __init__(self, server: QdrantClient, alias: str | None, retry: RetryPolicy) -> None:
        self._server = server
        self._alias = alias
        self._retry = retry
        self._before: str | None = None

    def read(self) -> dict[str, str]:
        """Return all aliases as they are now, and remember where this one points.

        Raises:
            AliasExistsError: If a collection has its name.
            MigrationRunningError: If a migration of it is running.
        """
        aliases = self._aliases()
        if self._alias is not None:
            names = call_with_retries(
                self._server,
                self._alias,
                "listing the collections",
                lambda: {one.name for one in self._server.get_collections().collections},
                retry=self._retry,
            )
            if self._alias in names:
                raise AliasExistsError(alias=self._alias)
            self._before = before = aliases.get(self._alias)
            if before is not None:
                state = call_with_retries(
                    self._server,
                    before,
                    "looking for a migration",
                    lambda: under_way(self._server, before),
                    retry=self._retry,
                )
                if state is not None:  # the migration would move the alias too
                    raise running_error(state)
        return aliases

    def point(self, target: str) -> None:
        """Point the alias at a collection, if it still points where it did at the start.

        Raises:
            AliasMovedError: If somebody has moved it.
        """
        alias = self._alias
        if alias is None:
            return
        now = self._aliases().get(alias)
        if now == target:
            return
        if now != self._before:
            raise AliasMovedError(
                alias=alias,
                expected=self._before or "no collection",
                found=now or "no collection",
                shipped=target,
            )
        call_with_retries(
            self._server,
            target,
            f"pointing the alias {alias!r} at the collection",
            lambda: point_alias(self._server, alias, target),
            retry=self._retry,
        )

    def _aliases(self) -> dict[str, str]:
        return call_with_retries(
            self._server,
            self._alias or "",
            "reading the aliases",
            lambda: aliases_of(self._server),
            retry=self._retry,
        )
