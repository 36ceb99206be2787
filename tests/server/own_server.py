"""A Qdrant server of the test's own, which may be killed: the binary is named by QDRANT_BINARY."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
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

    def __init__(self, folder: Path, *, settings: str = "") -> None:
        self._folder = folder
        self.http, self.grpc = _free_ports()
        self._config = folder / "config.yaml"
        self._config.write_text(
            f"log_level: ERROR\n"
            f"telemetry_disabled: true\n"
            f"storage: {{storage_path: {folder / 'storage'}, snapshots_path: {folder / 'snap'}}}\n"
            f"service: {{host: 127.0.0.1, http_port: {self.http}, grpc_port: {self.grpc}"
            f"{', ' + settings if settings else ''}}}\n"
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

    def start(self) -> None:
        self._process = subprocess.Popen(
            [os.environ["QDRANT_BINARY"], "--config-path", str(self._config)],
            cwd=self._folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until = time.monotonic() + _START_S
        while time.monotonic() < until:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.http}/readyz", timeout=1):
                    return
            except (urllib.error.URLError, OSError):
                time.sleep(0.05)
        raise AssertionError("the server did not start")

    def kill(self) -> None:
        """With SIGKILL: what was not on disk is gone."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def client(self, **options: Any) -> QdrantClient:
        options = {"prefer_grpc": True, "timeout": 30, **options}
        client = QdrantClient(
            url=f"http://127.0.0.1:{self.http}",
            grpc_port=self.grpc,
            check_compatibility=False,
            **options,
        )
        self._clients.append(client)
        return client


def _free_ports() -> tuple[int, int]:
    with socket.socket() as one, socket.socket() as two:
        one.bind(("127.0.0.1", 0))
        two.bind(("127.0.0.1", 0))
        return one.getsockname()[1], two.getsockname()[1]
