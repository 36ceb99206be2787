"""A Qdrant cluster of the test's own on one machine, whose nodes may be killed one by one."""

from __future__ import annotations

import time
from pathlib import Path

from tests.server.own_server import OwnServer, free_ports

#: So long the nodes may take to find each other; only a defect reaches it, in seconds.
_JOIN_S = 30.0


class OwnCluster:
    """Server processes that are one cluster.

    Attributes:
        nodes: The servers; the first is the one that the others join.
    """

    def __init__(self, folder: Path, *, nodes: int = 2, apart: bool = False) -> None:
        """Nothing is started yet.

        Args:
            folder: Each node gets a folder in it.
            nodes: How many.
            apart: Each node has its own address (127.0.0.1, 127.0.0.2, ...) and all the same
                ports, as machines do; else all have one address, and ports of their own.
        """
        hosts = [f"127.0.0.{1 + n if apart else 1}" for n in range(nodes)]
        if apart:
            ports = [free_ports(3, *hosts)] * nodes
        else:
            flat = free_ports(3 * nodes, hosts[0])
            ports = [flat[3 * n : 3 * n + 3] for n in range(nodes)]
        self.uris = tuple(
            f"http://{host}:{p2p}" for host, (_, _, p2p) in zip(hosts, ports, strict=True)
        )
        self.nodes: list[OwnServer] = []
        for n, (host, (http, grpc, p2p)) in enumerate(zip(hosts, ports, strict=True)):
            (folder / f"node{n}").mkdir(parents=True)
            joins = ("--bootstrap", self.uris[0]) if n else ()
            self.nodes.append(
                OwnServer(
                    folder / f"node{n}",
                    host=host,
                    ports=(http, grpc),
                    more=f"cluster: {{enabled: true, p2p: {{port: {p2p}}}}}\n",
                    arguments=("--uri", self.uris[n], *joins),
                )
            )

    def __enter__(self) -> OwnCluster:
        try:
            for node in self.nodes:
                node.start()
            self.wait_for_all()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for node in self.nodes:
            node.__exit__()

    @property
    def addresses(self) -> dict[str, str]:
        """The address that the nodes know each other by -> where its REST interface is."""
        return {uri: f"{node.url}" for uri, node in zip(self.uris, self.nodes, strict=True)}

    def wait_for_all(self) -> None:
        """Until every node that runs knows all of them, and has a leader."""
        until = time.monotonic() + _JOIN_S
        while time.monotonic() < until:
            seen = [node.get("/cluster") for node in self.nodes if node.runs]
            if all(
                len(one["peers"]) == len(self.nodes) and one["raft_info"]["leader"] for one in seen
            ):
                return
            time.sleep(0.05)
        raise AssertionError("the nodes did not find each other")
