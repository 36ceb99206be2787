"""Builds indexes, in this process or in another one.

The engine does not index by itself, and holds the GIL while it does, so that all threads of the
process wait. Another process can do it instead, because a lock belongs to one collection, not to
the directory of all collections.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from qdrant_static.edge.collectionstore import Collections
from qdrant_static.edge.directory import bytes_on_disk
from qdrant_static.edge.engine import engine_errors
from qdrant_static.edge.opencollection import OpenCollection
from qdrant_static.errors import CollectionLockedError, EngineError

_POLL_S = 0.1
#: Kilobytes of one vector below which a search without an index is as fast; a server's default.
_INDEXING_THRESHOLD_KB = 10_000
_FLOAT_BYTES = 4
#: The part of the points that must be new: a build rewrites the whole collection, and with a fifth
#: of it new the work of all builds together stays proportional to that of the last one.
_WORTH = 0.2
#: The child's exit code if another process has the collection open.
_LOCKED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildProgress:
    """Progress of a build in another process.

    Attributes:
        elapsed_s: Seconds since the build began.
        disk_bytes: Size of the collection on disk; it grows while new segments are written, and
            shrinks at the end, when the old ones are removed.
    """

    elapsed_s: float
    disk_bytes: int


def build_here(opened: OpenCollection) -> bool:
    """Build the indexes of all stored points; return whether there was anything to do."""
    # The engine writes the new segments of a shard beside the old ones.
    folders = map(opened.folder.shard, range(len(opened.shards)))
    opened.require_room(max(map(bytes_on_disk, folders)))
    changed = False
    with engine_errors(f"building the index of {opened.folder.name!r}"):
        for shard in opened.shards:
            changed |= shard.optimize()
            shard.flush()
    opened.written = 0
    return changed


def build_elsewhere(
    root: Path, name: str, progress: Callable[[BuildProgress], None] | None
) -> bool:
    """Build the indexes in another process, which opens the collection; errors as there.

    Args:
        root: The directory of the collections.
        name: A collection that no process has open.
        progress: Called about ten times a second; None for no calls.

    Raises:
        CollectionLockedError: If another process has it open.
        EngineError: If the build fails, or the process ends; the collection is unchanged.
    """
    folder = root / name
    started = time.monotonic()
    with tempfile.TemporaryFile() as stderr:
        # The arguments are this interpreter, this package and two names; no shell reads them.
        child = subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", "qdrant_static.edge", str(root), name],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        )
        try:
            while child.poll() is None:
                if progress is not None:
                    progress(
                        BuildProgress(
                            elapsed_s=time.monotonic() - started,
                            disk_bytes=_growing_bytes(folder),
                        )
                    )
                time.sleep(_POLL_S)
        finally:
            if child.poll() is None:
                child.kill()
            output, _ = child.communicate()
        stderr.seek(0)
        message = stderr.read().decode(errors="replace").strip()
    if child.returncode == _LOCKED:
        raise CollectionLockedError(collection=name, where=str(root), owner=message)
    if child.returncode != 0:
        raise EngineError(
            operation=f"building the index of {name!r} in another process",
            problem=message or f"it ended with code {child.returncode}",
        )
    return bool(json.loads(output)["changed"])


def worth_building(opened: OpenCollection) -> bool:
    """Return whether enough points were written since the last build to build again.

    The server's rule for one segment (more kilobytes of one vector than ``indexing_threshold``, 0
    for never), in each shard, and a fifth of the collection.
    """
    config = opened.description.optimizers_config
    threshold = config.indexing_threshold if config is not None else None
    threshold_kb = _INDEXING_THRESHOLD_KB if threshold is None else threshold
    if threshold_kb == 0 or not opened.dense:
        return False
    widest = max(params.size for params in opened.dense.values())
    if opened.written * widest * _FLOAT_BYTES <= threshold_kb * 1024 * len(opened.shards):
        return False
    with engine_errors("reading the collection's state"):
        points = sum(shard.info().points_count for shard in opened.shards)
    return opened.written >= _WORTH * points


def main(arguments: list[str]) -> int:
    """Build an index and print ``{"changed": …}``: ``python -m qdrant_static.edge ROOT NAME``."""
    root, name = arguments
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; the parent decides
    collections = Collections(Path(root))
    try:
        changed = build_here(collections.open(name))
        collections.close()
    except CollectionLockedError as error:
        sys.stderr.write(error.owner)
        return _LOCKED
    except Exception as error:
        sys.stderr.write(str(error))
        return 1
    sys.stdout.write(json.dumps({"changed": changed}))
    return 0


def _growing_bytes(folder: Path) -> int:
    """Return the size on disk of a folder in which files appear and disappear."""
    while True:
        try:
            return bytes_on_disk(folder)
        except FileNotFoundError:
            continue
