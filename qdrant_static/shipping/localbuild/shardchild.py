"""The process that builds one shard: ``python -m qdrant_static.shipping.localbuild``.

The job comes pickled over standard input, from the parent alone, because it has the opened source:
places with credentials, which belong neither into a file nor into arguments. What comes after it is
a wish to stop, or the end: then the parent has died, and so does this process.
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
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from qdrant_static.clients.statefolder import State
from qdrant_static.edge import EdgeClient
from qdrant_static.edge.directory import STATE_FOLDER
from qdrant_static.encoders.registry import load_encoder
from qdrant_static.errors import EngineError, QdrantStaticError
from qdrant_static.ingestion.modes import PartMode
from qdrant_static.ingestion.options import RunOptions
from qdrant_static.ingestion.progress import Progress
from qdrant_static.ingestion.run import IngestRun
from qdrant_static.ingestion.runspec import RunSpec, Workspace
from qdrant_static.ledger.ledger import Ledger
from qdrant_static.reading.sources import AnySource
from qdrant_static.shipping.localbuild.shardsource import Share

if TYPE_CHECKING:
    from qdrant_static.collection.spec import CollectionSpec
    from qdrant_static.ledger.records import UnreadableFile

#: What the parent writes to have a process end after the batch in hand.
STOP = b"stop"
#: The job comes behind its length, a big-endian number of so many bytes.
LENGTH_BYTES = 8
#: So often the parent hears of rows, in seconds.
_INTERVAL_S = 0.2
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A collection of one shard, which becomes a shard of another.

    Attributes:
        root: The directory of its collection; nothing else is there.
        collection: Its name.
        shard: The shard that it becomes.
        of: How many there are.
    """

    root: Path
    collection: str
    shard: int
    of: int

    @property
    def state(self) -> Path:
        """The folder with its ledger and rejects."""
        return self.root / STATE_FOLDER / self.collection

    @property
    def ledger(self) -> Path:
        """Its ledger's file."""
        return self.state / "ledger.sqlite"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What a process is to build.

    Attributes:
        part: Where to.
        spec: The collection's, with BM25's mean length.
        source: The whole input.
        threads: Of the encoder.
        options: How its run works, with the limit of rejects at which it stops by itself.
    """

    part: Part
    spec: CollectionSpec
    source: AnySource
    threads: int
    options: RunOptions


class _ToldProgress(Progress):
    """Tells the parent how far it is, a line of JSON now and then."""

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
        tell(self._out, earlier=counts)

    def advance(self, rows: int, stored: int, rejected: int) -> None:
        self._read += rows
        self._counts = {"read": self._read, "stored": stored, "rejected": rejected}
        if time.monotonic() >= self._due:
            self._tell_counts()

    def phase(self, announcement: str) -> None:
        self._tell_counts()
        self.status(announcement)

    def indexing(self, rows: int) -> None:
        super().indexing(rows)
        tell(self._out, indexing=rows)

    def say(self, line: str) -> None:
        tell(self._out, say=line)

    def status(self, line: str) -> None:
        tell(self._out, status=line)

    def log(self, line: str) -> None:
        """Log nothing: the parent logs the run."""

    def unreadable(self, part: UnreadableFile) -> None:
        tell(self._out, unreadable=asdict(part))

    def _tell_counts(self) -> None:
        self._due = time.monotonic() + _INTERVAL_S
        if self._counts is not None:
            tell(self._out, counts=self._counts, part=self._part())
            self._counts = None


def tell(out: IO[str], **message: Any) -> None:
    """Send the parent a message.

    It is ``earlier`` or ``counts`` (of rows), ``say`` or ``status`` (a line), ``indexing``,
    ``unfit``, ``error`` or ``ended``.
    """
    out.write(json.dumps(message) + "\n")
    out.flush()


def build(job: Job, out: IO[str], stop: threading.Event) -> bool:
    """Build a part, or go on with it; whether it is complete."""
    name = job.spec.encoder.name
    try:
        encoder = load_encoder(name)
    except QdrantStaticError as error:
        tell(out, unfit=f"another process cannot load the encoder {name!r} ({error})")
        return False
    if encoder.info.fingerprint != job.spec.encoder.fingerprint:
        tell(out, unfit=f"in another process, the name {name!r} gives another encoder")
        return False
    part = job.part
    with (
        EdgeClient(part.root) as client,
        State(part.state, part.collection) as files,
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
        workspace = Workspace(files=files, ledger=ledger, display=_ToldProgress(out, job.source))
        mode = PartMode(client=client, request=request, workspace=workspace)
        return not IngestRun(mode=mode).execute().interrupted


def main() -> int:
    """Do the job on standard input; the exit code is 0 if the parent was told what became of it."""
    out = _private_output()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; the parent decides
    _die_with_parent()
    orders = sys.stdin.fileno()  # without a buffer, whose lock a thread would keep at the end
    length = int.from_bytes(_read(orders, LENGTH_BYTES), "big")
    job: Job = pickle.loads(_read(orders, length))  # noqa: S301  from the process that started this
    stop = threading.Event()
    threading.Thread(target=_obey, args=(orders, stop), daemon=True).start()
    try:
        ended = build(job, out, stop)
    except Exception as error:  # raised again by the parent
        tell(out, error=_packed(error))
    else:
        tell(out, ended=ended)
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


def _obey(orders: int, stop: threading.Event) -> None:
    """Stop when it is said; end at once when nobody is there to say it any more."""
    while os.read(orders, len(STOP)):
        stop.set()
    os._exit(1)


def _die_with_parent() -> None:
    """Where the system can: a thread that waits cannot act while the engine has the interpreter."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _private_output() -> IO[str]:
    """Standard output, for the parent alone: what a library prints goes to standard error."""
    out = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return out


def _packed(error: Exception) -> str:
    if not isinstance(error, QdrantStaticError):  # where it came from does not travel with it
        error.add_note(traceback.format_exc().rstrip())
    try:
        raw = pickle.dumps(error)
        pickle.loads(raw)  # noqa: S301  what was pickled here; other packages' may not come back
    except Exception:
        told = EngineError(operation="building a shard", problem=f"{type(error).__name__}: {error}")
        raw = pickle.dumps(told)
    return base64.b64encode(raw).decode()
