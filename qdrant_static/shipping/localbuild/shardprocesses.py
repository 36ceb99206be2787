"""The processes that build the shards, seen from their parent: started, heard, stopped."""

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
from qdrant_static.shipping.localbuild.shardchild import LENGTH_BYTES, STOP, Job

_POLL_S = 0.1
_MODULE = "qdrant_static.shipping.localbuild"
#: So much of what a process that died has written is shown, in bytes.
_TOLD_BYTES = 4000


class UnfitError(Exception):
    """The processes cannot do what one process could; nothing is lost."""


class _Child:
    """One process.

    Args:
        job: What it is to build.
        heard: Gets its shard with every line that it writes, and with None at its end.
    """

    def __init__(self, job: Job, heard: queue.Queue[tuple[int, bytes | None]]) -> None:
        self.shard = job.part.shard
        self.ended: bool | None = None
        self._indexing = False
        self.error: Exception | None = None
        self._complaints = tempfile.TemporaryFile()  # closed by `wait`
        # The arguments are this interpreter and a module of this package; no shell reads them.
        self._process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", _MODULE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._complaints,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        )
        self._reader = threading.Thread(target=self._read, args=(heard,), daemon=True)
        self._reader.start()
        content = pickle.dumps(job)
        self._write(len(content).to_bytes(LENGTH_BYTES, "big") + content)

    def hear(self, message: Mapping[str, Any]) -> None:
        """Take what it says of its end."""
        if "unfit" in message:
            self.error = UnfitError(message["unfit"])
        elif "error" in message:
            # From the pipe of a process that was started here.
            self.error = pickle.loads(base64.b64decode(message["error"]))  # noqa: S301
        elif "indexing" in message:
            self._indexing = True
        elif "ended" in message:
            self.ended = bool(message["ended"])

    def ask_to_stop(self) -> None:
        """Have it end after the batch in hand; at once where it builds its index.

        The engine holds the GIL meanwhile, so that the message would not be read. All its rows are
        settled by then, and the next attempt builds the index again.
        """
        if self._indexing:
            self.ended = False
            self._process.kill()
        else:
            self._write(STOP)

    def wait(self) -> Exception | None:
        """Wait for its end, which is near; what went wrong, if anything did."""
        with suppress(OSError):  # closing writes what is left, to nobody
            self._pipe.close()
        code = self._process.wait()
        self._reader.join()
        if self._process.stdout is not None:
            self._process.stdout.close()
        with self._complaints as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TOLD_BYTES))
            said = file.read().decode(errors="replace").strip()
        if self.error is None and self.ended is None:  # else it had let go of everything before
            problem = f"the process ended with code {code}"
            self.error = EngineError(
                operation="building a shard in a process of its own",
                problem=f"{problem}: {said}" if said else f"{problem}. The same command goes on",
            )
        return self.error

    def kill(self) -> None:
        """End it at once: its shard is as after a crash."""
        self._process.kill()
        self.wait()

    @property
    def _pipe(self) -> Any:
        return self._process.stdin

    def _write(self, content: bytes) -> None:
        with suppress(OSError):  # it has died, which is seen by its output
            self._pipe.write(content)
            self._pipe.flush()

    def _read(self, heard: queue.Queue[tuple[int, bytes | None]]) -> None:
        for line in self._process.stdout or ():
            heard.put((self.shard, line))
        heard.put((self.shard, None))


class Processes:
    """A process for every job, some at a time.

    Args:
        jobs: One per shard.
        at_once: So many processes at most.
        told: Hears the shard, and what its process says: ``counts`` of its rows so far, or ``say``,
            a line for a person.
        must_stop: Asked now and then; then all end after the batch in hand.
    """

    def __init__(
        self,
        jobs: Sequence[Job],
        *,
        at_once: int,
        told: Callable[[int, Mapping[str, Any]], None],
        must_stop: Callable[[], bool],
    ) -> None:
        self._waiting = deque(jobs)
        self._at_once = at_once
        self._told = told
        self._must_stop = must_stop
        self._running: dict[int, _Child] = {}
        self._heard: queue.Queue[tuple[int, bytes | None]] = queue.Queue()
        self._errors: list[Exception] = []
        self._stopping = False

    def run(self) -> bool:
        """Run all; whether every one came to its end.

        Raises:
            UnfitError: If a process cannot begin what this one could.
            Exception: What the first one that failed has raised; the others were stopped before.
        """
        try:
            while self._running or (self._waiting and not self._stopping):
                self._start()
                self._ask_to_stop()
                self._hear()
        finally:
            for child in self._running.values():
                child.kill()
        if self._errors:
            raise self._errors[0]
        return not self._stopping

    def _start(self) -> None:
        while self._waiting and len(self._running) < self._at_once and not self._stopping:
            job = self._waiting.popleft()
            self._running[job.part.shard] = _Child(job, self._heard)

    def _ask_to_stop(self) -> None:
        if not self._stopping and (self._errors or self._must_stop()):
            self._stopping = True
            for child in self._running.values():
                child.ask_to_stop()

    def _hear(self) -> None:
        """Take what the processes say, for a moment."""
        try:
            shard, line = self._heard.get(timeout=_POLL_S)
        except queue.Empty:
            return
        if line is None:
            self._take_leave(self._running.pop(shard))
            return
        message = json.loads(line)
        self._running[shard].hear(message)
        self._told(shard, message)

    def _take_leave(self, child: _Child) -> None:
        error = child.wait()
        if error is not None:
            error.add_note(f"in the process that built shard {child.shard}")
            self._errors.append(error)
        elif not child.ended:
            self._stopping = True
