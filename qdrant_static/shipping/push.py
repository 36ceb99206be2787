"""A built collection becomes a server's, with its index: prepared, sent, proved, live."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from qdrant_static import rules
from qdrant_static.clients.connect import address, is_remote
from qdrant_static.clients.retry import RetryPolicy, retry_unavailable
from qdrant_static.errors import (
    ArgumentError,
    CannotShipError,
    ServerUnavailableError,
    ShipmentRefusedError,
)
from qdrant_static.shipping.nodes.node import Node, node_of
from qdrant_static.shipping.nodes.peers import Peers
from qdrant_static.shipping.packing.segments import BuiltShard, fingerprint, read_shards
from qdrant_static.shipping.proofs.prove import prove
from qdrant_static.shipping.rate import Rate
from qdrant_static.shipping.send import Sender
from qdrant_static.shipping.shipreport import Phase, Shipment, ShipProgress
from qdrant_static.shipping.targets import prepare
from qdrant_static.shipping.targets.aliasswitch import Pointer
from qdrant_static.shipping.targets.prepare import Source
from qdrant_static.shipping.targets.target import Target

if TYPE_CHECKING:
    from qdrant_client import QdrantClient

    from qdrant_static.edge.client import EdgeClient
    from qdrant_static.shipping.proofs.shipped import Proof

#: How often shards are sent again whose copies never became what they should.
_ROUNDS = 3


def ship(
    local: EdgeClient,
    collection: str,
    server: QdrantClient,
    *,
    name: str | None = None,
    alias: str | None = None,
    replication_factor: int | None = None,
    peers: Mapping[str, str] | None = None,
    parallel: int = 2,
    sample: int = 100,
    max_mb_s: float = 0.0,
    untested: bool = False,
    discard_unfinished: bool = False,
    retry: RetryPolicy | None = None,
    told: Callable[[ShipProgress], None] | None = None,
) -> Shipment:
    """Make a built collection a server's, index included: the server builds nothing.

    The target is created with all that the build has, or may be there: empty, without an alias
    and equal in its settings. Nothing points at it before all proofs have held. If one fails, or
    on an error or Ctrl-C, the server is left as it was; after a sudden death, or while the server
    is away, the target stays with a mark, and the same call goes on with it.

    Args:
        local: Where the built collection is.
        collection: The built collection; nobody can use it while it is sent.
        server: Where it goes.
        name: The collection there; None for the same name.
        alias: What points at it in the end; somebody else's change of it meanwhile is respected.
        replication_factor: Copies of each shard in a target that is created; None for the spec's,
            or the server's own.
        peers: For a cluster whose list of addresses does not hold here: peer id, or address in
            that list -> address of its REST interface.
        parallel: How many shards are under way at once.
        sample: How many points of each shard are compared.
        max_mb_s: Megabytes a second that are sent at most, over all shards, where the
            network or the server is to have room for others; 0: as fast as it goes.
        untested: Try servers and segments of other versions than those that were proved.
        discard_unfinished: Remove what another shipment to this target left half done.
        retry: How long a server that is away is waited for.
        told: Hears how far it is, several times a second, from several threads in turn.

    Returns:
        What is live now, and what was proved.

    Raises:
        CannotShipError: If it cannot go there as it is; nothing was sent.
        ShipmentRefusedError: If a proof failed; no alias points at it.
        AliasMovedError: If somebody re-pointed the alias meanwhile; the target stays, proved.
        CollectionNotFoundError: If there is no such local collection.
        ServerUnavailableError: If the server was away for too long; repeat it.
        JobRunningError: If another process of this machine fills the same target.
        AccessDeniedError: If the key may not do this.
        EngineError: If the server refuses a shard: its disk may be full, a proxy may limit
            uploads.
    """
    for option, value in (("parallel", parallel), ("sample", sample)):
        rules.check_integer(option, value)
    rules.check_integer("replication_factor", replication_factor, optional=True)
    if not 0 <= max_mb_s < float("inf"):
        raise ArgumentError(field="max_mb_s", problem=f"{max_mb_s!r} is no number from 0 on")
    if not is_remote(server):
        raise CannotShipError(
            collection=collection,
            where=str(getattr(server, "path", server)),
            problem="it is no server",
        )
    target = name or collection
    if alias == target:
        raise ArgumentError(
            field="alias", problem=f"{alias!r} is the collection's name: give it another (name=)"
        )
    with (
        node_of(server) as node,
        TemporaryDirectory(prefix="qdrant-static-ship-", ignore_cleanup_errors=True) as folder,
    ):
        return _Shipping(
            local=local,
            source=Source.of(local, collection),
            server=server,
            node=node,
            folder=Path(folder),
            alias=alias,
            peers=peers or {},
            parallel=parallel,
            sample=sample,
            rate=Rate(max_mb_s),
            untested=untested,
            retry=retry or RetryPolicy(),
            told=told,
        ).run(target, replication_factor, discard_unfinished=discard_unfinished)


class _Shipping:
    """One shipment, from its first question to its last."""

    def __init__(
        self,
        *,
        local: EdgeClient,
        source: Source,
        server: QdrantClient,
        node: Node,
        folder: Path,
        alias: str | None,
        peers: Mapping[str, str],
        parallel: int,
        sample: int,
        rate: Rate,
        untested: bool,
        retry: RetryPolicy,
        told: Callable[[ShipProgress], None] | None,
    ) -> None:
        self._local = local
        self._source = source
        self._server = server
        self._node = node
        self._folder = folder
        self._alias = alias
        self._mapping = peers
        self._parallel = parallel
        self._sample = sample
        self._rate = rate
        self._untested = untested
        self._retry = retry
        self._told = told
        self._where = address(server)
        self._clock = time.monotonic()
        self._took: list[float] = []

    def run(
        self, name: str, replication_factor: int | None, *, discard_unfinished: bool
    ) -> Shipment:
        """All of it."""
        source = self._source
        self._tell("preparing")
        tiers = prepare.check_server(self._server, source, untested=self._untested)
        pointer = Pointer(self._server, self._alias, self._retry)
        aliases = pointer.look()
        peers = retry_unavailable(lambda: Peers.of(self._node, self._mapping), self._retry)
        with self._local.at_rest(source.collection) as folders:
            shards = read_shards(folders)
            if not self._untested:
                prepare.check_versions(source, self._where, shards)
            target = Target(
                self._node,
                name,
                fingerprint(shards),
                collection=source.collection,
                tiers=tiers,
                retry=self._retry,
            )
            target.look(aliases, discard_unfinished=discard_unfinished)
            sender: Sender | None = None
            if not target.live:
                with _undone(target):
                    states = prepare.prepare(
                        source,
                        shards,
                        self._server,
                        target,
                        tiers=tiers,
                        replication_factor=replication_factor,
                        retry=self._retry,
                    )
                    sender = self._send(target, shards, states, peers)
        if sender is None:
            self._took = [time.monotonic() - self._clock, 0.0, 0.0]
        with _undone(target):
            proofs = self._proved(target, shards, peers, sender)
            if not target.live:
                target.went_live()
        pointer.point(name)
        self._tell("done", sender)
        prepare_s, send_s, copy_s, prove_s = self._took
        return Shipment(
            id=fingerprint(shards),
            collection=source.collection,
            where=self._where,
            target=name,
            alias=self._alias,
            points=sum(source.counts),
            shards=len(shards),
            sent_bytes=sender.sent_bytes if sender is not None else 0,
            prepare_s=prepare_s,
            send_s=send_s,
            copy_s=copy_s,
            prove_s=prove_s,
            proofs=proofs,
        )

    def _send(
        self,
        target: Target,
        shards: Sequence[BuiltShard],
        states: Mapping[str, Mapping[str, Any]],
        peers: Peers,
    ) -> Sender:
        """Send all shards, and again those whose copies stay wrong with nobody at work on them."""
        sender = Sender(
            peers,
            target.name,
            shards,
            states,
            self._folder,
            parallel=self._parallel,
            retry=self._retry,
            rate=self._rate,
            told=self._told,
        )
        counts = dict(enumerate(self._source.counts))
        if peers.clustered:
            peers.wait_active(target.name, dict.fromkeys(counts, 0))
        sender.frame()
        self._lap()
        wrong: Sequence[int] = sorted(counts)
        sending = copying = 0.0
        for _ in range(_ROUNDS):
            sender.send(wrong)
            sending += self._lap(keep=False)
            self._tell("copying", sender)
            wrong = peers.wait_active(target.name, counts, patience_s=self._retry.budget_s)
            copying += self._lap(keep=False)
            if not wrong:
                break
        self._took += [sending, copying]
        return sender

    def _proved(
        self, target: Target, shards: Sequence[BuiltShard], peers: Peers, sender: Sender | None
    ) -> tuple[Proof, ...]:
        self._tell("proving", sender)
        self._lap(keep=False)
        try:
            proofs = prove(
                self._local,
                self._source.collection,
                self._server,
                self._node,
                peers,
                target.name,
                shards,
                sample=self._sample,
                retry=self._retry,
            )
        except ShipmentRefusedError as error:
            if target.live:
                error.left = (
                    f"{target.name!r} was live already, and stays as it is: was it changed since?"
                )
            else:
                error.left = f"{target.undo()}; no alias points at it"
            raise
        self._lap()
        return proofs

    def _lap(self, *, keep: bool = True) -> float:
        now = time.monotonic()
        took, self._clock = now - self._clock, now
        if keep:
            self._took.append(took)
        return took

    def _tell(self, phase: Phase, sender: Sender | None = None) -> None:
        if self._told is None:
            return
        if sender is not None:
            self._told(sender.progress(phase))
            return
        shards = len(self._source.counts)
        done = shards if phase in ("proving", "done") else 0
        self._told(
            ShipProgress(phase=phase, sent_bytes=0, total_bytes=0, shards_done=done, shards=shards)
        )


@contextmanager
def _undone(target: Target) -> Iterator[None]:
    """Leave the server as it was after any failure but one: while it is away, the mark stays."""
    try:
        yield
    except ServerUnavailableError as error:
        error.add_note(
            f"{target.name!r} stays unfinished on the server, and nothing points at it: the same "
            "command goes on with it"
        )
        raise
    except ShipmentRefusedError:  # it says itself what is left
        raise
    except BaseException as error:
        error.add_note(target.undo())
        raise
