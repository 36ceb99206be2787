"""Starts the processes that build shards, receives their messages, and stops them."""

from __future__ import annotations

import base64
import json
import os
import pickle
import queue
import subprocess
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from qdrant_static.errors import EngineError
from qdrant_static.shipping.localbuild.shardchild import LENGTH_BYTES, STOP, ShardJob

_POLL_S = 0.1
_MODULE = "qdrant_static.shipping.localbuild"
#: So many of the last bytes that a process wrote to standard error are shown if it dies.
_SHOWN_BYTES = 4000


class SingleProcessError(Exception):
    """Only one process can build the collection; nothing is lost."""


class _Child:
    """One process.

    Args:
        job: What it builds.
        messages: Receives its shard with every line that it writes, and with None at its end.
    """

    def __init__(self, job: ShardJob, messages: queue.Queue[tuple[int, bytes | None]]) -> None:
        self.shard = job.part.shard
        self.ended: bool | None = None
        self._indexing = False
        self.error: Exception | None = None
        self._stderr = tempfile.TemporaryFile()  # closed by `wait`
        # The arguments are this interpreter and a module of this package; no shell reads them.
        self._process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", _MODULE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        )
        self._reader = threading.Thread(target=self._read, args=(messages,), daemon=True)
        self._reader.start()
        content = pickle.dumps(job)
        self._write(len(content).to_bytes(LENGTH_BYTES, "big") + content)

    def receive(self, message: Mapping[str, Any]) -> None:
        """Record what a message says about the end of the process."""
        if "single" in message:
            self.error = SingleProcessError(message["single"])
        elif "error" in message:
            # It comes from the pipe of a process that was started here.
            self.error = pickle.loads(base64.b64decode(message["error"]))  # noqa: S301
        elif "indexing" in message:
            self._indexing = True
        elif "ended" in message:
            self.ended = bool(message["ended"])

    def stop(self) -> None:
        """Ask it to end after its current batch; kill it if it builds its index.

        The engine holds the GIL during indexing, so that the request would not be read. All rows
        are settled by then, and the next attempt builds the index again.
        """
        if self._indexing:
            self.ended = False
            self._process.kill()
        else:
            self._write(STOP)

    def wait(self) -> Exception | None:
        """Wait for its end, which is near, and return its error if it has one."""
        with suppress(OSError):  # closing flushes to a process that has ended
            self._pipe.close()
        code = self._process.wait()
        self._reader.join()
        if self._process.stdout is not None:
            self._process.stdout.close()
        with self._stderr as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _SHOWN_BYTES))
            output = file.read().decode(errors="replace").strip()
        if self.error is None and self.ended is None:  # else it had closed all files before
            problem = f"the process ended with code {code}"
            self.error = EngineError(
                operation="building a shard in a process of its own",
                problem=f"{problem}: {output}"
                if output
                else f"{problem}. The same command continues",
            )
        return self.error

    def kill(self) -> None:
        """Kill it: its shard is then as after a crash."""
        self._process.kill()
        self.wait()

    @property
    def _pipe(self) -> Any:
        return self._process.stdin

    def _write(self, content: bytes) -> None:
        with suppress(OSError):  # it has died, which its output shows
            self._pipe.write(content)
            self._pipe.flush()

    def _read(self, messages: queue.Queue[tuple[int, bytes | None]]) -> None:
        for line in self._process.stdout or ():
            messages.put((self.shard, line))
        messages.put((self.shard, None))


class ShardProcesses:
    """Runs a process for every job, several at a time.

    Args:
        jobs: One per shard.
        at_once: Most processes at the same time.
        receive: Called with the shard and every message of its process; see `shardchild.send`.
        must_stop: Called often; once it returns True, all end after their current batch.
    """

    def __init__(
        self,
        jobs: Sequence[ShardJob],
        *,
        at_once: int,
        receive: Callable[[int, Mapping[str, Any]], None],
        must_stop: Callable[[], bool],
    ) -> None:
        self._waiting = deque(jobs)
        self._at_once = at_once
        self._on_message = receive
        self._must_stop = must_stop
        self._running: dict[int, _Child] = {}
        self._messages: queue.Queue[tuple[int, bytes | None]] = queue.Queue()
        self._errors: list[Exception] = []
        self._stopping = False

    def run(self) -> bool:
        """Run all; return whether every one has completed its part.

        Raises:
            SingleProcessError: If another process cannot build its part, and this one could.
            Exception: The error of the first process that failed; the others were stopped.
        """
        try:
            while self._running or (self._waiting and not self._stopping):
                self._start()
                self._stop_if_needed()
                self._receive()
        finally:
            for child in self._running.values():
                child.kill()
        if self._errors:
            raise self._errors[0]
        return not self._stopping

    def _start(self) -> None:
        while self._waiting and len(self._running) < self._at_once and not self._stopping:
            job = self._waiting.popleft()
            self._running[job.part.shard] = _Child(job, self._messages)

    def _stop_if_needed(self) -> None:
        if not self._stopping and (self._errors or self._must_stop()):
            self._stopping = True
            for child in self._running.values():
                child.stop()

    def _receive(self) -> None:
        """Wait briefly for a message, and handle it."""
        try:
            shard, line = self._messages.get(timeout=_POLL_S)
        except queue.Empty:
            return
        if line is None:
            self._end(self._running.pop(shard))
            return
        message = json.loads(line)
        self._running[shard].receive(message)
        self._on_message(shard, message)

    def _end(self, child: _Child) -> None:
        error = child.wait()
        if error is not None:
            error.add_note(f"in the process that built shard {child.shard}")
            self._errors.append(error)
        elif not child.ended:
            self._stopping = True
