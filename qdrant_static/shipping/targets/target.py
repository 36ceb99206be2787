"""The collection on the server that a shipment fills: made, marked, live, or as it was before."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, TypeVar

from qdrant_static.clients.retry import FIRST_CONTACT, RetryPolicy, retry_unavailable
from qdrant_static.clock import now
from qdrant_static.errors import (
    CannotShipError,
    EngineError,
    JobRunningError,
    QdrantStaticError,
    ServerUnavailableError,
)
from qdrant_static.shipping.nodes.node import Node, collection_path
from qdrant_static.shipping.targets.targetconfig import index_body, recreation

T = TypeVar("T")
#: Under this key of its metadata a target says which shipment fills it, or filled it.
MARK = "qdrant_static_shipment"
UNDER_WAY, LIVE = "under way", "live"


class Target:
    """A target, for one shipment.

    Its mark is in its metadata from its first moment, so that nothing but this shipment's own is
    ever removed, and so that the same command, after a crash, knows what it finds.

    Args:
        node: The server.
        name: The collection.
        shipment: What the build is known by.
        collection: The local collection, for messages.
        tiers: Whether the server says with tiers where data lies.
        retry: How long a server that is away is waited for.

    Attributes:
        name: The collection.
        found: Whether it was there before, empty.
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
        self._half_done = False
        self._touched = False

    def look(self, aliases: Mapping[str, str], *, discard_unfinished: bool) -> None:
        """See what is there, and whether it may be used. Nothing is changed.

        Args:
            aliases: The server's, by name.
            discard_unfinished: Whether what another shipment left half done may be removed.

        Raises:
            CannotShipError: If it may not.
            JobRunningError: If a process on this machine is filling it.
        """
        if self.name in aliases:
            raise self.refused(
                f"{self.name!r} is an alias there, of {aliases[self.name]!r}: give a name for the "
                f"collection (name=, --as) and the alias apart (alias={self.name!r})"
            )
        there = self._seen()
        if there is None:
            return
        mark = self._mark_of(there)
        if mark.get("state") == LIVE and mark.get("id") == self._shipment:
            self.live = True
            return
        if pointing := sorted(alias for alias, of in aliases.items() if of == self.name):
            raise self.refused(
                f"the alias {pointing[0]!r} points at {self.name!r}, so it is in use"
            )
        if mark.get("state") == UNDER_WAY:
            self._require_ours(mark, discard_unfinished)
            self._half_done = True
            if not mark.get("found"):
                return
        elif points := self._count():
            raise self.refused(
                f"the collection {self.name!r} there holds {points:,} point"
                f"{'' if points == 1 else 's'}: give another name (name=, --as), and let an alias "
                "point at it (alias=)"
            )
        if there["config"]["params"].get("sharding_method") == "custom":
            raise self.refused(f"{self.name!r} there is sharded by keys of the user")
        self.found = True
        self._before = there

    def refused(self, problem: str) -> CannotShipError:
        """The error of something that cannot be."""
        return CannotShipError(collection=self._collection, where=self._node.url, problem=problem)

    @property
    def before(self) -> Mapping[str, Any] | None:
        """``GET /collections/{name}`` of what was there, as JSON; None if there was nothing."""
        return self._before

    def make(self, body: Mapping[str, Any], schema: Mapping[str, Mapping[str, Any]]) -> Any:
        """Take over what is there, or create it; what a shipment left half done is made anew.

        Args:
            body: What it is created with if there was nothing.
            schema: The payload indexes that it is to have, as JSON.

        Returns:
            Its ``config``, as JSON.

        Raises:
            CannotShipError: If the server refuses it.
        """
        before = self._before
        given = body if before is None else recreation(before["config"])
        self._touched = True
        if before is not None and not self._half_done:
            self._patch(self._mark(UNDER_WAY))
        else:
            if self._half_done:
                self._delete(self._retry)
            metadata = {**(given.get("metadata") or {}), MARK: self._mark(UNDER_WAY)}
            self._create({**given, "metadata": metadata})
        # First the fields: the server builds no index for a segment that brings one.
        for field, index in {**(before or {}).get("payload_schema", {}), **schema}.items():
            self._index(field, index)
        return self.config()

    def config(self) -> dict[str, Any]:
        """Its ``config``, as JSON."""
        return dict(self._again(lambda: self._node.get(self._path))["config"])

    def went_live(self) -> None:
        """Write down that it is proved."""
        self._patch(self._mark(LIVE))
        self._touched = False

    def undo(self) -> str:
        """Leave the server as it was before; returns what is there now, in a sentence."""
        if not self._touched:
            return "Nothing was changed on the server"
        try:
            there = self._seen(FIRST_CONTACT)
            if there is None and not self.found:
                return f"Nothing of {self.name!r} is left on the server"
            mark = self._mark_of(there or {})
            if there is not None and (mark.get("id"), mark.get("state")) != (
                self._shipment,
                UNDER_WAY,
            ):
                return f"{self.name!r} is no longer this shipment's, and stays"
            self._delete(FIRST_CONTACT)
            if self._before is None:
                return f"{self.name!r} was removed: nothing of it is left on the server"
            given = recreation(self._before["config"])
            metadata = {k: v for k, v in (given.get("metadata") or {}).items() if k != MARK}
            self._create({**given, "metadata": metadata})
            for field, index in self._before.get("payload_schema", {}).items():
                self._index(field, index)
        except QdrantStaticError as error:
            return (
                f"{self.name!r} could not be removed from the server ({error}): repeat the "
                "command, which goes on with it, or delete the collection"
            )
        return f"{self.name!r} is as it was before: empty"

    # --- the server ----------------------------------------------------------------------------

    def _again(self, call: Callable[[], T], retry: RetryPolicy | None = None) -> T:
        return retry_unavailable(call, retry or self._retry)

    def _seen(self, retry: RetryPolicy | None = None) -> dict[str, Any] | None:
        there = self._again(self._read, retry)
        return None if there is None else dict(there)

    def _read(self) -> Any:
        """``GET /collections/{name}``, as much of it as there is.

        With a shard that the server could not open it says nothing there, but elsewhere.
        """
        try:
            return self._node.get_or_none(self._path)
        except ServerUnavailableError as error:
            if not error.problem.startswith("500"):
                raise
            told = self._node.get("/telemetry", details_level=4)
            for one in (told.get("collections") or {}).get("collections") or ():
                if one.get("id") == self.name:
                    return one
            raise

    def _count(self) -> int:
        path = f"{self._path}/points/count"
        return int(self._again(lambda: self._node.post(path, {"exact": True}))["count"])

    def _create(self, body: Mapping[str, Any]) -> None:
        try:
            self._again(lambda: self._node.put(self._path, body))
        except EngineError as error:
            # An answer that was lost, and the same request again: it is there, and it is ours.
            wanted = (body.get("metadata") or {}).get(MARK)
            there = self._seen()
            if there is None or self._mark_of(there) != (wanted or {}):
                raise self.refused(f"the server does not create it: {error}") from error

    def _index(self, field: str, index: Mapping[str, Any]) -> None:
        body = index_body(field, index, tiers=self._tiers)
        try:
            self._again(lambda: self._node.put(f"{self._path}/index", body, wait=True))
        except EngineError as error:
            raise self.refused(f"the server does not index the field {field!r}: {error}") from error

    def _patch(self, mark: Mapping[str, Any]) -> None:
        body = {"metadata": {MARK: mark}}
        self._again(lambda: self._node.request("PATCH", self._path, body=body))

    def _delete(self, retry: RetryPolicy) -> None:
        self._again(lambda: self._node.delete(self._path), retry)

    # --- the mark ------------------------------------------------------------------------------

    def _mark(self, state: str) -> dict[str, Any]:
        return {
            "id": self._shipment,
            "state": state,
            "by": f"{socket.gethostname()} {os.getpid()}",
            "started": now(),
            "found": self.found,
        }

    def _mark_of(self, there: Mapping[str, Any]) -> Mapping[str, Any]:
        mark = ((there.get("config") or {}).get("metadata") or {}).get(MARK)
        return mark if isinstance(mark, Mapping) else {}

    def _require_ours(self, mark: Mapping[str, Any], discard_unfinished: bool) -> None:
        by, started = str(mark.get("by")), mark.get("started")
        if _lives(by):
            raise JobRunningError(
                collection=self._collection,
                state=f"{self.name!r} at {self._node.url}",
                owner=f"process {by.rpartition(' ')[2]} of this machine",
            )
        if mark.get("id") != self._shipment and not discard_unfinished:
            raise self.refused(
                f"another shipment to {self.name!r} was begun by {by} at {started} and did not "
                "end: repeat that one, or remove what it left (discard_unfinished=True, "
                "--discard-unfinished)"
            )


def _lives(owner: str) -> bool:
    """Whether a mark's owner is another process of this machine that runs."""
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
