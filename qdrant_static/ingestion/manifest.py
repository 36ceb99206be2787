"""Writes ``manifest-<run>.json``, which records what a finished run did."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qdrant_static._version import __version__
from qdrant_static.errors import StorageError
from qdrant_static.files import replace_file

if TYPE_CHECKING:
    from qdrant_static.collection.spec import CollectionSpec
    from qdrant_static.encoders.statistics import EncodingStatistics
    from qdrant_static.ingestion.ingestreport import IngestReport

#: Version of the manifest's form.
VERSION = 1
_PACKAGES = ("qdrant-client", "qdrant-edge-py", "numpy", "pyarrow", "numba", "tokenizers")


def versions() -> dict[str, str]:
    """Return the versions of this package, Python, the system, and the packages that matter."""
    found = {"qdrant-static": __version__, "python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found | {"system": platform.platform()}


def peak_memory_bytes() -> int | None:
    """Return the peak resident size of this process; None where the system does not report it."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak) * (1 if sys.platform == "darwin" else 1024)


def write_manifest(
    path: Path,
    report: IngestReport,
    *,
    spec: CollectionSpec,
    files: Sequence[tuple[str, str]],
    statistics: EncodingStatistics | None,
    details: Mapping[str, Any],
) -> None:
    """Write the manifest of a run.

    Args:
        path: The file; it is replaced whole.
        report: The account.
        spec: The collection's.
        files: Path and fingerprint of the inputs.
        statistics: What the encoder saw.
        details: What else is to be kept: times, options, what the check found.

    Raises:
        StorageError: If it cannot be written.
    """
    rate = report.rows_per_second
    content = {
        "version": VERSION,
        **report.to_dict(),
        "inputs": [{"path": name, "fingerprint": print_} for name, print_ in files],
        "rows_per_second": None if rate is None else round(rate, 1),
        "encoder_identity": spec.encoder.identity(),
        "encoding": None if statistics is None else asdict(statistics),
        "spec": spec.to_dict(),
        "versions": versions(),
        "peak_memory_bytes": peak_memory_bytes(),
        **details,
    }
    _replace(path, content)


def rewrite_manifest(path: Path, report: IngestReport) -> None:
    """Update the manifest of a run with what was done since: that it was shipped.

    Args:
        path: The file; it is replaced whole.
        report: The account now.

    Raises:
        StorageError: If it cannot be read or written.
    """
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise StorageError(path=str(path), problem=str(error.strerror)) from error
    except ValueError as error:
        raise StorageError(path=str(path), problem=f"is no manifest: {error}") from error
    _replace(path, content | report.to_dict())


def _replace(path: Path, content: Mapping[str, Any]) -> None:
    try:
        replace_file(path, json.dumps(content, indent=2, default=str).encode())
    except OSError as error:
        raise StorageError(path=str(path), problem=str(error.strerror)) from error
