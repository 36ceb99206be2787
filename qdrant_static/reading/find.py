"""Paths, folders, globs and URIs -> input files, in order."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from qdrant_static import rules
from qdrant_static.errors import ArgumentError, SourceNotFoundError
from qdrant_static.reading import partitions, registered
from qdrant_static.reading.inputs import STANDARD_INPUT, Input
from qdrant_static.reading.localfiles import Found, find_local, pipe_input
from qdrant_static.reading.options import SourceOptions
from qdrant_static.reading.rejects import Reject
from qdrant_static.reading.urifiles import find_file_uri, find_in_filesystem, find_remote

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem

PathLike: TypeAlias = "str | os.PathLike[str]"

_URI = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]+://")


def find(
    paths: PathLike | Sequence[PathLike],
    options: SourceOptions | None = None,
    *,
    filesystem: FileSystem | None = None,
) -> Found:
    """Find the input files, each once, in order, and what could not be reached.

    Args:
        paths: Files, folders (with all that is below), globs, URIs, pipes, ``-`` for standard
            input.
        options: The format of files whose ending is unknown.
        filesystem: Where the paths lie; None: on this machine, or where their URI says.

    Raises:
        SourceNotFoundError: If one of the paths names no file.
        ArgumentError: If a pipe is named twice.
        StorageError: If the place that a URI names cannot be reached.
    """
    chosen = options or SourceOptions()
    names = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    if not names:
        raise SourceNotFoundError(path="", problem="no path given")
    found: dict[str, Input] = {}
    unreached: dict[str, Reject] = {}
    pipes: dict[tuple[int, int] | str, str] = {}
    for one in names:
        part = _part(rules.without_null("path", os.fsdecode(one)), chosen, filesystem)
        unreached |= {reject.file: reject for reject in part.unreached}
        for item in part.inputs:
            _refuse_second(pipes, item)
            if found.setdefault(item.name, item).path != item.path:
                raise SourceNotFoundError(
                    path=item.name, problem="two files would have this name: rename one of them"
                )
    inputs = partitions.with_types(list(found.values()), {})
    return Found(inputs=tuple(inputs), unreached=tuple(unreached.values()))


def _refuse_second(pipes: dict[tuple[int, int] | str, str], item: Input) -> None:
    """Refuse a pipe that is named a second time."""
    if item.stream is None:
        return
    key = item.stream.identity or item.name
    if key in pipes:
        raise ArgumentError(
            field="paths",
            problem=f"{pipes[key]!r} and {item.name!r} are one pipe, which can be read only once",
        )
    pipes[key] = item.name


def find_inputs(
    paths: PathLike | Sequence[PathLike],
    options: SourceOptions | None = None,
    *,
    filesystem: FileSystem | None = None,
) -> list[Input]:
    """Return the input files only; arguments and errors are those of `find`."""
    return list(find(paths, options, filesystem=filesystem).inputs)


def find_files(paths: PathLike | Sequence[PathLike]) -> list[Path]:
    """Return the input files on this machine, each once, in order.

    Raises:
        SourceNotFoundError: If a path names none.
    """
    return [Path(one.path) for one in find_inputs(paths)]


def _part(name: str, options: SourceOptions, filesystem: FileSystem | None) -> Found:
    """Find the files that one path names."""
    if filesystem is not None:
        from pyarrow.fs import LocalFileSystem

        if not isinstance(filesystem, LocalFileSystem):
            return find_in_filesystem(filesystem, name, _as_glob(name), "", options)
    if not name:
        raise SourceNotFoundError(path="", problem="the path is empty")
    if filesystem is not None:
        return find_local(name, _as_glob(name), "", options)
    if name == STANDARD_INPUT:
        return Found(inputs=(pipe_input(name, None, options),))
    scheme = name.partition("://")[0].lower()
    if _URI.match(name) and scheme == "file" and registered.scheme_of(scheme) is None:
        return find_file_uri(name, options)
    if _URI.match(name):
        return find_remote(name, options)
    name = os.path.expanduser(name)
    return find_local(name, _as_glob(name), "", options)


def _as_glob(name: str) -> str | None:
    """Return a name that is a glob; else None."""
    return name if glob.has_magic(name) else None
