"""Ships a collection that was built on this machine to a server, index included."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from qdrant_static import rules
from qdrant_static.clients.connect import address, check_client, is_remote
from qdrant_static.clients.retry import RetryPolicy, retry_unavailable
from qdrant_static.errors import ArgumentError, CannotShipError, ShipmentRefusedError
from qdrant_static.shipping.nodes.node import Node, node_of
from qdrant_static.shipping.nodes.peers import Peers
from qdrant_static.shipping.packing.segments import BuiltShard, fingerprint, read_shards
from qdrant_static.shipping.progress import Phase, ShipProgress, progress_callback
from qdrant_static.shipping.proofs.prove import prove
from qdrant_static.shipping.reports import Shipment
from qdrant_static.shipping.send import Sender
from qdrant_static.shipping.targets import prepare
from qdrant_static.shipping.targets.aliasswitch import AliasSwitch
from qdrant_static.shipping.targets.prepare import BuiltCollection
from qdrant_static.shipping.targets.target import Target
from qdrant_static.shipping.throttle import RateLimit

if TYPE_CHECKING:
    from qdrant_client import QdrantClient

    from qdrant_static.edge.client import EdgeClient
    from qdrant_static.shipping.proofs.shipped import Proof

#: How often shards are sent again if their replicas stay wrong.
_ROUNDS = 3


def ship(
    local: EdgeClient,
    collection: str,
    server: QdrantClient,
    *,
    name: str | None = None,
    alias: str | None = None,
    replicas: int | None = None,
    peers: Mapping[str, str] | None = None,
    workers: int = 2,
    sample: int = 100,
    max_mb_s: float = 0.0,
    untested: bool = False,
    discard_unfinished: bool = False,
    retry: RetryPolicy | None = None,
    progress: bool | Callable[[ShipProgress], None] | None = None,
) -> Shipment:
    """Ship a built collection to a server, index included: the server builds nothing.

    The target is created with the settings of the build. It may exist already if it is empty, no
    alias points at it, and its settings are equal. No alias points at it before all proofs have
    held. If a proof fails, or on an error or Ctrl-C, the server is left as it was. After a crash,
    or if the server becomes unreachable, the target stays, marked as unfinished, and the same call
    continues with it.

    Args:
        local: The client of the built collection.
        collection: The built collection; it cannot be used while it is sent.
        server: The client of the server.
        name: The collection's name on the server; None for the same name.
        alias: The alias to point at it in the end; if somebody moves the alias meanwhile, it is
            left alone.
        replicas: Copies of each shard in a target that is created; None for the spec's, or the
            server's default.
        peers: For a cluster whose own list of addresses does not hold here: peer id, or address
            in that list -> URL of its REST interface.
        workers: How many shards are sent at the same time, each by a thread.
        sample: How many points of each shard are compared.
        max_mb_s: Megabytes a second that are sent at most, over all shards, so that the network
            and the server have room for others; 0 for no limit.
        untested: Also ship to servers, and segments, of versions that were not tested.
        discard_unfinished: Remove what another shipment to this target left unfinished.
        retry: How long to keep retrying an unreachable server.
        progress: True shows progress on standard error; a function is called with a
            `ShipProgress`, several times a second, by one thread at a time.

    Returns:
        What is live now, and which proofs held.

    Raises:
        CannotShipError: If it cannot be shipped as it is; nothing was sent.
        ShipmentRefusedError: If a proof failed; no alias points at the target.
        AliasMovedError: If somebody moved the alias meanwhile; the target stays, proved.
        CollectionNotFoundError: If the local collection does not exist.
        ServerUnavailableError: If the server was unreachable for too long; repeat the call.
        JobRunningError: If another process on this machine is filling the same target.
        AccessDeniedError: If the API key does not allow it.
        EngineError: If the server refuses a shard: its disk may be full, or a proxy may limit the
            size of uploads.
    """
    check_client(local, "ship(local, collection, server)", argument="local")
    check_client(server, "ship(local, collection, server)", argument="server")
    for option, value in (("workers", workers), ("sample", sample), ("replicas", replicas)):
        rules.check_integer(option, value, optional=True)
    if not 0 <= max_mb_s < float("inf"):
        raise ArgumentError(
            field="max_mb_s", problem=f"{max_mb_s!r} is not a number of megabytes a second"
        )
    if not is_remote(server):
        raise CannotShipError(
            collection=collection, where=address(server), problem="it is not a server"
        )
    target = name or collection
    if alias == target:
        raise ArgumentError(
            field="alias", problem=f"{alias!r} is the collection's name: give it another (name=)"
        )
    with (
        node_of(server) as node,
        TemporaryDirectory(prefix="qdrant-static-ship-", ignore_cleanup_errors=True) as folder,
        progress_callback(progress) as callback,
    ):
        return _Shipping(
            local=local,
            source=BuiltCollection.of(local, collection),
            server=server,
            node=node,
            folder=Path(folder),
            alias=alias,
            replicas=replicas,
            addresses=peers or {},
            workers=workers,
            sample=sample,
            rate=RateLimit(max_mb_s),
            untested=untested,
            discard_unfinished=discard_unfinished,
            retry=retry or RetryPolicy(),
            progress=callback,
        ).run(target)


@dataclass(slots=True, kw_only=True)
class _Shipping:
    """One shipment; its fields are the arguments of `ship`."""

    local: EdgeClient
    source: BuiltCollection
    server: QdrantClient
    node: Node
    folder: Path
    alias: str | None
    replicas: int | None
    addresses: Mapping[str, str]
    workers: int
    sample: int
    rate: RateLimit
    untested: bool
    discard_unfinished: bool
    retry: RetryPolicy
    progress: Callable[[ShipProgress], None] | None
    seconds: dict[str, float] = field(default_factory=dict)

    def run(self, name: str) -> Shipment:
        """Prepare the target, send the shards, prove them, and point the alias at them."""
        source = self.source
        self._report("preparing")
        with self._timed("prepare"):
            tiers = prepare.check_server(self.server, source, untested=self.untested)
            alias_switch = AliasSwitch(self.server, self.alias, self.retry)
            aliases = alias_switch.read()
            peers = retry_unavailable(lambda: Peers.of(self.node, self.addresses), self.retry)
        sender: Sender | None = None
        with self.local.shard_folders(source.collection) as folders:
            with self._timed("prepare"):
                shards = read_shards(folders)
                if not self.untested:
                    prepare.check_versions(source, address(self.server), shards)
                target = Target(
                    self.node,
                    name,
                    fingerprint(shards),
                    collection=source.collection,
                    tiers=tiers,
                    retry=self.retry,
                )
                target.check(aliases, discard_unfinished=self.discard_unfinished)
            if not target.live:
                with target.undone_on_failure():
                    with self._timed("prepare"):
                        sender = self._prepare(target, shards, peers, tiers=tiers)
                    self._send(target, sender, peers)
        with target.undone_on_failure():
            with self._timed("prove"):
                proofs = self._prove(target, shards, peers, sender)
            if not target.live:
                target.mark_live()
        alias_switch.point(name)
        self._report("done", sender)
        return Shipment(
            id=fingerprint(shards),
            collection=source.collection,
            where=address(self.server),
            target=name,
            alias=self.alias,
            points=sum(source.counts),
            shards=len(shards),
            sent_bytes=sender.sent_bytes if sender is not None else 0,
            prepare_s=self.seconds["prepare"],
            send_s=self.seconds.get("send", 0.0),
            copy_s=self.seconds.get("copy", 0.0),
            prove_s=self.seconds["prove"],
            proofs=proofs,
        )

    def _prepare(
        self, target: Target, shards: Sequence[BuiltShard], peers: Peers, *, tiers: bool
    ) -> Sender:
        """Create the target, and take the empty snapshot of each of its shards."""
        states = prepare.prepare(
            self.source,
            shards,
            self.server,
            target,
            tiers=tiers,
            replicas=self.replicas,
            retry=self.retry,
        )
        sender = Sender(
            peers,
            target.name,
            shards,
            states,
            self.folder,
            workers=self.workers,
            retry=self.retry,
            rate=self.rate,
            progress=self.progress,
        )
        if peers.clustered:
            peers.wait_until_active(target.name, dict.fromkeys(range(len(shards)), 0))
        sender.fetch_empty_snapshots()
        return sender

    def _send(self, target: Target, sender: Sender, peers: Peers) -> None:
        """Send all shards, and again those whose replicas stay wrong while no copy runs."""
        counts = dict(enumerate(self.source.counts))
        wrong: Sequence[int] = sorted(counts)
        for _ in range(_ROUNDS):
            with self._timed("send"):
                sender.send(wrong)
            self._report("copying", sender)
            with self._timed("copy"):
                wrong = peers.wait_until_active(target.name, counts, timeout_s=self.retry.budget_s)
            if not wrong:
                break

    def _prove(
        self, target: Target, shards: Sequence[BuiltShard], peers: Peers, sender: Sender | None
    ) -> tuple[Proof, ...]:
        self._report("proving", sender)
        try:
            return prove(
                self.local,
                self.source.collection,
                self.server,
                self.node,
                peers,
                target.name,
                shards,
                sample=self.sample,
                retry=self.retry,
            )
        except ShipmentRefusedError as error:
            if target.live:
                error.left = (
                    f"{target.name!r} was live already, and stays as it is: was it changed since?"
                )
            else:
                error.left = f"{target.undo()}; no alias points at it"
            raise

    @contextmanager
    def _timed(self, phase: str) -> Iterator[None]:
        """Add the time of a block to a phase."""
        started = time.monotonic()
        yield
        self.seconds[phase] = self.seconds.get(phase, 0.0) + time.monotonic() - started

    def _report(self, phase: Phase, sender: Sender | None = None) -> None:
        if self.progress is None:
            return
        if sender is not None:
            self.progress(sender.state(phase))
            return
        shards = len(self.source.counts)
        done = shards if phase in ("proving", "done") else 0
        self.progress(
            ShipProgress(phase=phase, sent_bytes=0, total_bytes=0, shards_done=done, shards=shards)
        )
