"""Paths, folders, globs and URIs -> input files, in order."""

from __future__ import annotations

import glob
import os
import re
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import unquote_to_bytes, urlsplit

from qdrant_static import rules
from qdrant_static.errors import ArgumentError, SourceNotFoundError
from qdrant_static.reading import partitions, plugins
from qdrant_static.reading.folderwalk import Listing, printable, unreached
from qdrant_static.reading.found import (
    Found,
    delimiter_of,
    input_of,
    some_of,
    unreached_part,
)
from qdrant_static.reading.inputs import STANDARD_INPUT, Input, describe, known_endings
from qdrant_static.reading.options import SourceOptions
from qdrant_static.reading.patterns import as_pattern
from qdrant_static.reading.rejects import Reject
from qdrant_static.reading.remote import find_in_filesystem, find_remote
from qdrant_static.reading.streams import ReadOnce
from qdrant_static.redaction import public_uri

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
    """The input files, each once, in order, and what could not be reached.

    Args:
        paths: Files, folders (with all that is below), globs, URIs, pipes, ``-`` for standard
            input.
        options: The format of what does not tell it.
        filesystem: Where the paths lie; None: on this machine, or where their URI says.

    Raises:
        SourceNotFoundError: If one of the paths gives nothing.
        ArgumentError: If a pipe comes twice.
        StorageError: If the place that a URI names cannot be reached.
    """
    chosen = options or SourceOptions()
    given = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    if not given:
        raise SourceNotFoundError(path="", problem="no path given")
    found: dict[str, Input] = {}
    unreached: dict[str, Reject] = {}
    pipes: dict[tuple[int, int] | str, str] = {}
    for one in given:
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
    """Refuse what can be read only once where it comes a second time."""
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
    """The input files alone; arguments and errors are those of `find`."""
    return list(find(paths, options, filesystem=filesystem).inputs)


def find_files(paths: PathLike | Sequence[PathLike]) -> list[Path]:
    """The input files on this machine, each once, in order.

    Raises:
        SourceNotFoundError: If a path gives none.
    """
    return [Path(one.path) for one in find_inputs(paths)]


def _part(name: str, options: SourceOptions, filesystem: FileSystem | None) -> Found:
    """What one path gives."""
    if filesystem is not None:
        from pyarrow.fs import LocalFileSystem

        if not isinstance(filesystem, LocalFileSystem):
            return find_in_filesystem(filesystem, name, _magic(name), "", options)
    if not name:
        raise SourceNotFoundError(path="", problem="the path is empty")
    if filesystem is not None:
        return _local(name, _magic(name), "", options)
    if name == STANDARD_INPUT:
        return Found(inputs=(_pipe(name, None, options),))
    scheme = name.partition("://")[0].lower()
    if _URI.match(name) and scheme == "file" and plugins.scheme(scheme) is None:
        return _file_uri(name, options)
    if _URI.match(name):
        return find_remote(name, options)
    name = os.path.expanduser(name)
    return _local(name, _magic(name), "", options)


def _magic(name: str) -> str | None:
    """A name as a pattern; None if it is none."""
    return name if glob.has_magic(name) else None


def _pipe(name: str, path: str | None, options: SourceOptions) -> Input:
    """Standard input, or a path that is no regular file."""
    if plugins.ending_of(name) is not None and describe(name, options.format) is None:
        raise SourceNotFoundError(
            path=name, problem="a registered source cannot read a pipe: store it as a file first"
        )
    described = describe(name, options.format or "jsonl")
    if described is None:
        raise SourceNotFoundError(path=name, problem=f"it does not end in {known_endings()}")
    return Input(
        name=printable(name),
        path=path or name,
        format=described[0],
        compression=described[1],
        delimiter=delimiter_of(described[0], options),
        stream=ReadOnce(printable(name), path),
    )


def _local(name: str, pattern: str | None, prefix: str, options: SourceOptions) -> Found:
    """What a path of this machine gives: a file, all below a folder, or what matches.

    Args:
        name: The path as it is.
        pattern: The glob that it is if there is no such path; None: none.
        prefix: What names of inputs begin with.
        options: The format of what does not tell it.
    """
    shown = f"{prefix}{printable(name)}"
    listing = Listing(is_data=lambda path: input_of("", path, options, path) is not None)
    try:
        mode = os.stat(name).st_mode
    except OSError as error:
        if pattern is None:
            missing = isinstance(error, FileNotFoundError) and not os.path.islink(name)
            problem = "there is no such file or folder" if missing else unreached(name, error)
            raise SourceNotFoundError(path=shown, problem=problem) from error
        listing.glob(pattern)
        found = _listed(listing, prefix, options)
        problem = f"none of its {listing.matches} matches ends in {known_endings()}"
        return some_of(found, shown, problem if listing.matches else "nothing matches")
    if stat.S_ISDIR(mode):
        listing.folder(name)
        found = _listed(listing, prefix, options)
        return some_of(found, shown, f"the folder holds no file that ends in {known_endings()}")
    if not stat.S_ISREG(mode):
        return Found(inputs=(_pipe(name, name, options),))
    one = input_of(f"{prefix}{printable(str(Path(name)))}", name, options, _place(name))
    if one is None:
        problem = f"the file does not end in {known_endings()}; or name its format"
        raise SourceNotFoundError(path=shown, problem=problem)
    return Found(inputs=(one,))


def _place(path: str) -> str:
    """A path from the root, as text."""
    return printable(os.path.abspath(path))


def _listed(listing: Listing, prefix: str, options: SourceOptions) -> Found:
    def named(path: str) -> str:
        return f"{prefix}{printable(str(Path(path)))}"

    inputs = (input_of(named(path), path, options, _place(path)) for path in listing.files)
    return Found(
        inputs=tuple(one for one in inputs if one is not None),
        unreached=tuple(unreached_part(named(p), why) for p, why in listing.unreached.items()),
    )


def _file_uri(uri: str, options: SourceOptions) -> Found:
    """A path of this machine as a URI: what is escaped in it is no wildcard."""
    parts = urlsplit(uri)
    if parts.netloc not in ("", "localhost") or parts.query or parts.fragment:
        raise SourceNotFoundError(
            path=public_uri(uri),
            problem="a file:// URI has no host and no options; ? and # in a name are %3F and %23",
        )
    path = os.fsdecode(unquote_to_bytes(parts.path))
    pattern = as_pattern(parts.path) if glob.has_magic(parts.path) else None
    return _local(path, pattern, "file://", options)
