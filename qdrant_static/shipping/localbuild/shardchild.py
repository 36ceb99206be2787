"""The process that builds one shard: ``python -m qdrant_static.shipping.localbuild``.

The job is pickled and comes over standard input, from the parent only, because it has the opened
source: locations with credentials, which belong neither in a file nor in arguments. After it the
parent may write a request to stop; at the end of the input the parent has died, and so this process
exits. Messages to the parent are lines of JSON on standard output; see `send`.
"""

from __future__ import annotations

import base64
import json
import os
import pickle
import signal
import sys
import threading
import time
import traceback
from dataclasses import asdict, dataclass
from typing import IO, TYPE_CHECKING, Any

from qdrant_static.clients.statefolder import StateFolder
from qdrant_static.edge import EdgeClient
from qdrant_static.encoders.registry import load_encoder
from qdrant_static.errors import EngineError, QdrantStaticError
from qdrant_static.ingestion.modes import PartMode
from qdrant_static.ingestion.options import RunOptions
from qdrant_static.ingestion.progress import Progress
from qdrant_static.ingestion.run import IngestRun
from qdrant_static.ingestion.runspec import RunSpec, Workspace
from qdrant_static.ledger.ledger import Ledger
from qdrant_static.reading.sources import AnySource
from qdrant_static.shipping.localbuild.shardparts import ShardPart
from qdrant_static.shipping.localbuild.shardsource import Share

if TYPE_CHECKING:
    from qdrant_static.collection.spec import CollectionSpec
    from qdrant_static.ledger.records import UnreadableFile

#: What the parent writes to stop a process after its current batch.
STOP = b"stop"
#: The job is preceded by its length, a big-endian number of so many bytes.
LENGTH_BYTES = 8
#: How often the parent is sent the counts of rows, in seconds.
_INTERVAL_S = 0.2
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardJob:
    """What one process builds.

    Attributes:
        part: The part that it builds.
        spec: The collection's spec, with BM25's mean length.
        source: The whole input.
        threads: Threads of the encoder.
        options: How its run works, with the limit of rejects at which it stops by itself.
    """

    part: ShardPart
    spec: CollectionSpec
    source: AnySource
    threads: int
    options: RunOptions


class _ProgressMessages(Progress):
    """Sends the progress of a run to the parent."""

    def __init__(self, out: IO[str], source: AnySource) -> None:
        super().__init__(None, progress=False)
        self._out = out
        position = getattr(source, "position", None)
        self.read_part = None if position is None else position.fraction
        self._read = 0
        self._due = 0.0
        self._counts: dict[str, int] | None = None

    def resume(self, rows: int, stored: int, rejected: int) -> None:
        super().resume(rows, stored, rejected)
        self._read = rows
        counts = {"read": rows, "stored": stored, "rejected": rejected}
        send(self._out, resumed=counts)

    def advance(self, rows: int, stored: int, rejected: int) -> None:
        self._read += rows
        self._counts = {"read": self._read, "stored": stored, "rejected": rejected}
        if time.monotonic() >= self._due:
            self._send_counts()

    def phase(self, announcement: str) -> None:
        self._send_counts()
        self.status(announcement)

    def indexing(self, rows: int) -> None:
        super().indexing(rows)
        send(self._out, indexing=rows)

    def note(self, line: str) -> None:
        send(self._out, note=line)

    def status(self, line: str) -> None:
        send(self._out, status=line)

    def log(self, line: str) -> None:
        """Log nothing: the parent logs the run."""

    def unreadable(self, part: UnreadableFile) -> None:
        send(self._out, unreadable=asdict(part))

    def _send_counts(self) -> None:
        self._due = time.monotonic() + _INTERVAL_S
        if self._counts is not None:
            send(self._out, counts=self._counts, fraction=self._part())
            self._counts = None


def send(out: IO[str], **message: Any) -> None:
    """Send a message to the parent.

    Its keys are ``resumed`` or ``counts`` (counts of rows, the latter with ``fraction`` of the
    input), ``note`` or ``status`` (a line to show), ``unreadable`` (a file), ``indexing`` (rows),
    ``single`` (why only one process can build the collection), ``error`` (a pickled exception), or
    ``ended`` (whether the part is complete).
    """
    out.write(json.dumps(message) + "\n")
    out.flush()


def build(job: ShardJob, out: IO[str], stop: threading.Event) -> bool:
    """Build a part, or continue it; return whether it is complete."""
    name = job.spec.encoder.name
    try:
        encoder = load_encoder(name)
    except QdrantStaticError as error:
        send(out, single=f"another process cannot load the encoder {name!r} ({error})")
        return False
    if encoder.info.fingerprint != job.spec.encoder.fingerprint:
        send(out, single=f"in another process, the name {name!r} gives another encoder")
        return False
    part = job.part
    with (
        EdgeClient(part.root) as client,
        StateFolder(part.state, part.collection) as files,
        Ledger(files.ledger) as ledger,
    ):
        request = RunSpec(
            name=part.collection,
            collection=part.collection,
            spec=job.spec,
            encoder=encoder,
            source=Share(source=job.source, shard=part.shard, of=part.of),
            options=job.options,
            threads=job.threads,
            stop=stop,
        )
        workspace = Workspace(
            files=files, ledger=ledger, display=_ProgressMessages(out, job.source)
        )
        mode = PartMode(client=client, request=request, workspace=workspace)
        return not IngestRun(mode=mode).execute().interrupted


def main() -> int:
    """Run the job on standard input; return 0 once the parent was sent its outcome."""
    out = _private_output()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process; the parent decides
    _die_with_parent()
    parent = sys.stdin.fileno()  # unbuffered: at exit a thread would still hold a buffer's lock
    length = int.from_bytes(_read(parent, LENGTH_BYTES), "big")
    job: ShardJob = pickle.loads(_read(parent, length))  # noqa: S301  from the process that started this
    stop = threading.Event()
    threading.Thread(target=_watch_parent, args=(parent, stop), daemon=True).start()
    try:
        ended = build(job, out, stop)
    except Exception as error:  # raised again by the parent
        send(out, error=_packed(error))
    else:
        send(out, ended=ended)
    return 0


def _read(file: int, count: int) -> bytes:
    pieces = []
    while count:
        piece = os.read(file, count)
        if not piece:
            os._exit(1)  # the parent has died
        pieces.append(piece)
        count -= len(piece)
    return b"".join(pieces)


def _watch_parent(parent: int, stop: threading.Event) -> None:
    """Stop when the parent says so; exit at once when the parent has died."""
    while os.read(parent, len(STOP)):
        stop.set()
    os._exit(1)


def _die_with_parent() -> None:
    """Have Linux kill this process with its parent, also while the engine holds the GIL."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _private_output() -> IO[str]:
    """Return standard output for messages only; what a library prints goes to standard error."""
    out = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return out


def _packed(error: Exception) -> str:
    """Pickle an exception, or a substitute if it cannot be pickled."""
    if not isinstance(error, QdrantStaticError):  # pickling drops the traceback
        error.add_note(traceback.format_exc().rstrip())
    try:
        raw = pickle.dumps(error)
        pickle.loads(raw)  # noqa: S301  pickled above; some exceptions fail to unpickle
    except Exception:
        substitute = EngineError(
            operation="building a shard", problem=f"{type(error).__name__}: {error}"
        )
        raw = pickle.dumps(substitute)
    return base64.b64encode(raw).decode()
