"""Creates, marks, and on failure restores the collection on the server that a shipment fills."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from qdrant_static.clients.retry import FIRST_CONTACT, RetryPolicy, retry_unavailable
from qdrant_static.clock import now
from qdrant_static.errors import (
    CannotShipError,
    EngineError,
    JobRunningError,
    QdrantStaticError,
    ServerUnavailableError,
    ShipmentRefusedError,
)
from qdrant_static.shipping.nodes.node import Node, collection_path
from qdrant_static.shipping.targets.targetconfig import index_body, recreate_body

T = TypeVar("T")
#: The metadata key under which a target has the mark of the shipment that fills or filled it.
MARK = "qdrant_static_shipment"
UNDER_WAY, LIVE = "under way", "live"


class Target:
    """The target of one shipment.

    It has a mark in its metadata from its creation on, so that only this shipment's own collection
    is ever removed, and so that the same command recognizes it after a crash.

    Args:
        node: The server.
        name: The collection on the server.
        shipment: The fingerprint of the build.
        collection: The local collection, for messages.
        tiers: Whether the server configures the placement of data with memory tiers.
        retry: How long to keep retrying an unreachable server.

    Attributes:
        name: The collection on the server.
        found: Whether it existed before, empty.
        live: Whether this very shipment is there already, proved.
    """

    def __init__(
        self,
        node: Node,
        name: str,
        shipment: str,
        *,
        collection: str,
        tiers: bool,
        retry: RetryPolicy,
    ) -> None:
        self.name = name
        self.found = False
        self.live = False
        self._node = node
        self._path = collection_path(name)
        self._shipment = shipment
        self._collection = collection
        self._tiers = tiers
        self._retry = retry
        self._before: dict[str, Any] | None = None
        self._unfinished = False
        self._touched = False

    def check(self, aliases: Mapping[str, str], *, discard_unfinished: bool) -> None:
        """Check whether the target may be created or used; changes nothing.

        Args:
            aliases: The server's aliases.
            discard_unfinished: Whether what another shipment left unfinished may be removed.

        Raises:
            CannotShipError: If it may not be used.
            JobRunningError: If a process on this machine is filling it.
        """
        if self.name in aliases:
            raise self.refused(
                f"{self.name!r} is an alias there, of {aliases[self.name]!r}: give the collection "
                f"another name (name=, --as), and name the alias separately (alias={self.name!r})"
            )
        description = self._description()
        if description is None:
            return
        mark = self._mark_of(description)
        if mark.get("state") == LIVE and mark.get("id") == self._shipment:
            self.live = True
            return
        if pointing := sorted(alias for alias, of in aliases.items() if of == self.name):
            raise self.refused(
                f"the alias {pointing[0]!r} points at {self.name!r}, so it is in use"
            )
        if mark.get("state") == UNDER_WAY:
            self._require_ours(mark, discard_unfinished)
            self._unfinished = True
            if not mark.get("found"):
                return
        elif points := self._count():
            raise self.refused(
                f"the collection {self.name!r} there holds {points:,} point"
                f"{'' if points == 1 else 's'}: give another name (name=, --as), and an alias that "
                "is to point at it (alias=)"
            )
        if description["config"]["params"].get("sharding_method") == "custom":
            raise self.refused(f"{self.name!r} there has custom sharding")
        self.found = True
        self._before = description

    def refused(self, problem: str) -> CannotShipError:
        """Return the error for a target that cannot be used."""
        return CannotShipError(collection=self._collection, where=self._node.url, problem=problem)

    @property
    def before(self) -> Mapping[str, Any] | None:
        """The description of the target as it was found, as JSON; None if it did not exist."""
        return self._before

    def create(self, body: Mapping[str, Any], schema: Mapping[str, Mapping[str, Any]]) -> Any:
        """Create the target, or take over an empty one; an unfinished one is created anew.

        Args:
            body: The request that creates it, if it did not exist.
            schema: The payload indexes that it is to have, as JSON.

        Returns:
            Its ``config``, as JSON.

        Raises:
            CannotShipError: If the server refuses it.
        """
        before = self._before
        request = body if before is None else recreate_body(before["config"])
        self._touched = True
        if before is not None and not self._unfinished:
            self._patch(self._mark(UNDER_WAY))
        else:
            if self._unfinished:
                self._delete(self._retry)
            metadata = {**(request.get("metadata") or {}), MARK: self._mark(UNDER_WAY)}
            self._create({**request, "metadata": metadata})
        # Create payload indexes first: the server builds none for a segment that has one already.
        for field, index in {**(before or {}).get("payload_schema", {}), **schema}.items():
            self._index(field, index)
        return self.config()

    def config(self) -> dict[str, Any]:
        """Return the target's ``config``, as JSON."""
        return dict(self._retried(lambda: self._node.get(self._path))["config"])

    def mark_live(self) -> None:
        """Mark the target as proved."""
        self._patch(self._mark(LIVE))
        self._touched = False

    @contextmanager
    def undone_on_failure(self) -> Iterator[None]:
        """Restore the server's state after an error in a block, except if it is unreachable."""
        try:
            yield
        except ServerUnavailableError as error:
            error.add_note(
                f"{self.name!r} stays unfinished on the server, and nothing points at it: the same "
                "command continues with it"
            )
            raise
        except ShipmentRefusedError:  # the error itself says what is left
            raise
        except BaseException as error:
            error.add_note(self.undo())
            raise

    def undo(self) -> str:
        """Restore the server's state from before; returns a sentence about what is there now."""
        if not self._touched:
            return "Nothing was changed on the server"
        try:
            current = self._description(FIRST_CONTACT)
            if current is None and not self.found:
                return f"Nothing of {self.name!r} is left on the server"
            mark = self._mark_of(current or {})
            if current is not None and (mark.get("id"), mark.get("state")) != (
                self._shipment,
                UNDER_WAY,
            ):
                return f"{self.name!r} is no longer this shipment's, and stays"
            self._delete(FIRST_CONTACT)
            if self._before is None:
                return f"{self.name!r} was removed: nothing of it is left on the server"
            request = recreate_body(self._before["config"])
            metadata = {k: v for k, v in (request.get("metadata") or {}).items() if k != MARK}
            self._create({**request, "metadata": metadata})
            for field, index in self._before.get("payload_schema", {}).items():
                self._index(field, index)
        except QdrantStaticError as error:
            return (
                f"{self.name!r} could not be removed from the server ({error}): repeat the "
                "command, which continues with it, or delete the collection"
            )
        return f"{self.name!r} is as it was before: empty"

    def _retried(self, call: Callable[[], T], retry: RetryPolicy | None = None) -> T:
        return retry_unavailable(call, retry or self._retry)

    def _description(self, retry: RetryPolicy | None = None) -> dict[str, Any] | None:
        found = self._retried(self._read, retry)
        return None if found is None else dict(found)

    def _read(self) -> Any:
        """Read the collection's description.

        If the server could not open a shard, it answers 500; its telemetry has a description then.
        """
        try:
            return self._node.get_or_none(self._path)
        except ServerUnavailableError as error:
            if not error.problem.startswith("500"):
                raise
            telemetry = self._node.get("/telemetry", details_level=4)
            for one in (telemetry.get("collections") or {}).get("collections") or ():
                if one.get("id") == self.name:
                    return one
            raise

    def _count(self) -> int:
        path = f"{self._path}/points/count"
        return int(self._retried(lambda: self._node.post(path, {"exact": True}))["count"])

    def _create(self, body: Mapping[str, Any]) -> None:
        try:
            self._retried(lambda: self._node.put(self._path, body))
        except EngineError as error:
            # The answer to a successful request may have been lost; then the retry is refused.
            wanted = (body.get("metadata") or {}).get(MARK)
            created = self._description()
            if created is None or self._mark_of(created) != (wanted or {}):
                raise self.refused(f"the server does not create it: {error}") from error

    def _index(self, field: str, index: Mapping[str, Any]) -> None:
        body = index_body(field, index, tiers=self._tiers)
        try:
            self._retried(lambda: self._node.put(f"{self._path}/index", body, wait=True))
        except EngineError as error:
            raise self.refused(f"the server does not index the field {field!r}: {error}") from error

    def _patch(self, mark: Mapping[str, Any]) -> None:
        body = {"metadata": {MARK: mark}}
        self._retried(lambda: self._node.request("PATCH", self._path, body=body))

    def _delete(self, retry: RetryPolicy) -> None:
        self._retried(lambda: self._node.delete(self._path), retry)

    def _mark(self, state: str) -> dict[str, Any]:
        return {
            "id": self._shipment,
            "state": state,
            "by": f"{socket.gethostname()} {os.getpid()}",
            "started": now(),
            "found": self.found,
        }

    def _mark_of(self, description: Mapping[str, Any]) -> Mapping[str, Any]:
        mark = ((description.get("config") or {}).get("metadata") or {}).get(MARK)
        return mark if isinstance(mark, Mapping) else {}

    def _require_ours(self, mark: Mapping[str, Any], discard_unfinished: bool) -> None:
        by, started = str(mark.get("by")), mark.get("started")
        if _is_running(by):
            raise JobRunningError(
                collection=self._collection,
                state=f"{self.name!r} at {self._node.url}",
                owner=f"process {by.rpartition(' ')[2]} of this machine",
            )
        if mark.get("id") != self._shipment and not discard_unfinished:
            raise self.refused(
                f"another shipment to {self.name!r} was started by {by} at {started} and did not "
                "finish: repeat that one, or remove what it left (discard_unfinished=True, "
                "--discard-unfinished)"
            )


def _is_running(owner: str) -> bool:
    """Return whether a mark's owner is another running process of this machine."""
    host, _, process = owner.rpartition(" ")
    if host != socket.gethostname() or not process.isdigit() or int(process) == os.getpid():
        return False
    with suppress(ProcessLookupError):
        try:
            os.kill(int(process), 0)
        except (PermissionError, OSError) as error:
            return isinstance(error, PermissionError)
        return True
    return False
