"""A Qdrant server of the test's own, which may be killed: the binary is named by QDRANT_BINARY."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from qdrant_client import QdrantClient

#: So long a server may take to start; only a defect reaches it, in seconds.
_START_S = 30.0

needs_binary = pytest.mark.skipif(
    not os.environ.get("QDRANT_BINARY"),
    reason="set QDRANT_BINARY to a server's program: the test starts and kills its own",
)


class OwnServer:
    """A server process on ports and in a folder of its own."""

    def __init__(
        self,
        folder: Path,
        *,
        settings: str = "",
        host: str = "127.0.0.1",
        ports: tuple[int, int] | None = None,
        more: str = "",
        arguments: tuple[str, ...] = (),
    ) -> None:
        """Nothing is started yet.

        Args:
            folder: Where its storage, its configuration and what it prints lie.
            settings: More of the configuration's section ``service``.
            host: The address of this machine that it listens at.
            ports: REST and gRPC; None: free ones.
            more: More sections of the configuration, as YAML.
            arguments: More arguments of the command.
        """
        self._folder = folder
        self._arguments = arguments
        self.http, self.grpc = ports or free_ports(2, host)
        self._place = f"{host}:{self.http}"
        self._config = folder / "config.yaml"
        self._config.write_text(
            f"log_level: ERROR\n"
            f"telemetry_disabled: true\n"
            f"storage: {{storage_path: {folder / 'storage'}, snapshots_path: {folder / 'snap'}}}\n"
            f"service: {{host: {host}, http_port: {self.http}, grpc_port: {self.grpc}"
            f"{', ' + settings if settings else ''}}}\n"
            f"{more}"
        )
        self._process: subprocess.Popen[bytes] | None = None
        self._clients: list[QdrantClient] = []

    def __enter__(self) -> OwnServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        for client in self._clients:
            client.close()
        self.kill()

    @property
    def url(self) -> str:
        return f"http://{self._place}"

    def start(self) -> None:
        with (self._folder / "log.txt").open("ab") as log:
            self._process = subprocess.Popen(
                [os.environ["QDRANT_BINARY"], "--config-path", str(self._config), *self._arguments],
                cwd=self._folder,
                stdout=log,
                stderr=log,
            )
        until = time.monotonic() + _START_S
        while time.monotonic() < until:
            try:
                with urllib.request.urlopen(f"http://{self._place}/readyz", timeout=1):
                    return
            except (urllib.error.URLError, OSError):
                time.sleep(0.05)
        raise AssertionError(f"the server did not start: {self._folder / 'log.txt'}")

    def kill(self) -> None:
        """With SIGKILL: what was not on disk is gone."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    @property
    def runs(self) -> bool:
        return self._process is not None

    @property
    def pid(self) -> int:
        """The process, while it runs."""
        assert self._process is not None
        return self._process.pid

    def get(self, path: str) -> Any:
        """The result of a GET of its REST interface."""
        with urllib.request.urlopen(f"http://{self._place}{path}", timeout=10) as answer:
            return json.load(answer)["result"]

    def client(self, **options: Any) -> QdrantClient:
        options = {"prefer_grpc": True, "timeout": 30, **options}
        client = QdrantClient(
            url=self.url,
            grpc_port=self.grpc,
            check_compatibility=False,
            **options,
        )
        self._clients.append(client)
        return client


def free_ports(count: int, *hosts: str) -> tuple[int, ...]:
    """Ports that nobody listens at, at any of these addresses."""
    with ExitStack() as held:
        ports: list[int] = []
        while len(ports) < count:
            first = held.enter_context(socket.socket())
            first.bind((hosts[0], 0))
            port = first.getsockname()[1]
            try:
                for host in hosts[1:]:
                    held.enter_context(socket.socket()).bind((host, port))
            except OSError:
                continue  # it is taken there; keep the first, so that another one is given
            ports.append(port)
        return tuple(ports)
