"""Paths, folders, globs and URIs -> input files, in order."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, TypeAlias

from qdrant_static.errors import SourceNotFoundError, SpecError, StorageError
from qdrant_static.ingest.reading import partitions, registered
from qdrant_static.ingest.reading.inputs import (
    COMPRESSIONS,
    ENDINGS,
    STANDARD_INPUT,
    Input,
    StandardInput,
    describe,
)
from qdrant_static.ingest.reading.options import SourceOptions
from qdrant_static.ingest.reading.places import public, without_secrets

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem

PathLike: TypeAlias = "str | os.PathLike[str]"

_URI = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]+://")


def find_inputs(
    paths: PathLike | Sequence[PathLike],
    options: SourceOptions | None = None,
    *,
    filesystem: FileSystem | None = None,
) -> list[Input]:
    """The input files, each once, in order.

    Args:
        paths: Files, folders (with all that is below), globs, URIs, ``-`` for standard input.
        options: The format of what does not tell it.
        filesystem: Where the paths lie; None: on this machine, or where their URI says.

    Raises:
        SourceNotFoundError: If one of the paths gives none.
        StorageError: If the place that a URI names cannot be reached.
    """
    chosen = options or SourceOptions()
    given = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    found: dict[str, Input] = {}
    for one in given:
        for item in _inputs_of(os.fspath(one), chosen, filesystem):
            found.setdefault(item.name, item)
    if not found:
        raise SourceNotFoundError(path="", problem="no path given")
    return partitions.with_types(list(found.values()), {})


def find_files(paths: PathLike | Sequence[PathLike]) -> list[Path]:
    """The input files on this machine, each once, in order.

    Raises:
        SourceNotFoundError: If a path gives none.
    """
    return [Path(one.path) for one in find_inputs(paths)]


def _inputs_of(name: str, options: SourceOptions, filesystem: FileSystem | None) -> Iterable[Input]:
    if filesystem is None:
        if name == STANDARD_INPUT:
            return [_standard_input(options)]
        if _URI.match(name):
            return _remote(name, options)
        return _local(os.path.expanduser(name), options)
    return _in_filesystem(filesystem, name, "", options)


def _standard_input(options: SourceOptions) -> Input:
    if options.format == "parquet":
        raise SpecError(
            field="format", problem="Parquet cannot be read from standard input: name its file"
        )
    return Input(
        name=STANDARD_INPUT,
        path=STANDARD_INPUT,
        format=options.format or "jsonl",
        delimiter=_delimiter(options.format, options),
        stream=StandardInput(),
    )


def _input(name: str, path: str, options: SourceOptions, place: str) -> Input | None:
    """The input that a file is, by its ending; None if it is none.

    Args:
        name: What it is called.
        path: How it is opened.
        options: The format of what does not tell it.
        place: Its path from the root, of which the folders may be partitions.
    """
    described = describe(path, options.format)
    if described is None:
        other = registered.ending_of(path)
        if other is None:
            return None
        return Input(name=name, path=path, format=other, folders=partitions.folders_of(place))
    format_, compression = described
    return Input(
        name=name,
        path=path,
        format=format_,
        compression=compression,
        folders=partitions.folders_of(place),
        delimiter=_delimiter(format_, options),
    )


def _delimiter(format_: str | None, options: SourceOptions) -> str:
    return options.delimiter or ("\t" if format_ == "tsv" else ",")


def _local(name: str, options: SourceOptions) -> list[Input]:
    path = Path(name)
    if path.is_dir():
        below = sorted(file for file in path.rglob("*") if _is_public(str(file.relative_to(path))))
        found = _described(((str(file), file.is_file()) for file in below), options)
        return _some(found, name, f"the folder holds no file that ends in {_known()}")
    if path.exists():
        # A pipe of the shell, <(...), is no file, and opens like one.
        found = _described([(str(path), True)], options)
        return _some(found, name, f"the file does not end in {_known()}; or name its format")
    if not glob.has_magic(name):
        raise SourceNotFoundError(path=name, problem="there is no such file or folder")
    matches = sorted(glob.glob(name, recursive=True))
    found = _described(((match, Path(match).is_file()) for match in matches), options)
    problem = f"none of its {len(matches)} matches ends in {_known()}"
    return _some(found, name, problem if matches else "nothing matches")


def _described(files: Iterable[tuple[str, bool]], options: SourceOptions) -> list[Input]:
    inputs = (
        _input(str(Path(one)), one, options, os.path.abspath(one))
        for one, is_file in files
        if is_file
    )
    return [one for one in inputs if one is not None]


def _some(found: list[Input], name: str, problem: str) -> list[Input]:
    if not found:
        raise SourceNotFoundError(path=name, problem=problem)
    return found


def _remote(uri: str, options: SourceOptions) -> list[Input]:
    scheme = uri.partition("://")[0].lower()
    if (other := registered.scheme(scheme)) is not None:
        return [Input(name=public(uri), path=uri, format=other)]
    from pyarrow import ArrowException
    from pyarrow.fs import FileSystem

    # A glob's characters are no URI's: only what is before them is looked up.
    fixed = _fixed_part(uri) if glob.has_magic(uri.partition("?")[0]) else uri
    try:
        filesystem, path = FileSystem.from_uri(fixed)
    except (ArrowException, OSError, ValueError, ImportError) as error:
        if isinstance(error, OSError) and not isinstance(error, ArrowException):
            raise _unreachable(uri, error) from error
        told = without_secrets(uri, str(error))
        raise SourceNotFoundError(path=public(uri), problem=told) from error
    rest = uri.partition("?")[0][len(fixed) :] if fixed != uri else ""
    prefix = public(fixed).removesuffix(path)
    name = f"{path.rstrip('/')}/{rest.lstrip('/')}" if rest else path
    return _in_filesystem(filesystem, name, prefix, options, uri=uri)


def _in_filesystem(
    filesystem: FileSystem, name: str, prefix: str, options: SourceOptions, *, uri: str = ""
) -> list[Input]:
    """Files of a filesystem: one, those below a folder, or those that match."""
    from pyarrow.fs import FileSelector, FileType

    told = public(uri) if uri else name
    magic = glob.has_magic(name)
    root = _fixed_part(name).rstrip("/") if magic else name.rstrip("/")
    try:
        info = filesystem.get_file_info(root)
        if info.type == FileType.File and not magic:
            files = [root]
        elif info.type == FileType.Directory:
            below = filesystem.get_file_info(FileSelector(root, recursive=True))
            files = sorted(one.path for one in below if one.type == FileType.File)
        else:
            raise SourceNotFoundError(path=told, problem="there is no such file or folder")
    except OSError as error:
        raise _unreachable(uri or name, error) from error
    if magic:
        pattern = _pattern(name)
        files = [one for one in files if pattern.fullmatch(one)]
    elif info.type == FileType.Directory:
        files = [one for one in files if _is_public(one[len(root) :].lstrip("/"))]
    found = []
    for one in files:
        described = _input(f"{prefix}{one}", one, options, one)
        if described is not None:
            found.append(replace(described, filesystem=filesystem))
    return _some(found, told, f"no file there ends in {_known()}")


def _unreachable(uri: str, error: Exception) -> StorageError:
    return StorageError(
        path=public(uri),
        problem=f"cannot be reached: {without_secrets(uri, str(error))}. Check the address, the "
        "network and the credentials",
    )


def _fixed_part(pattern: str) -> str:
    """The folder before the first step that has a wildcard."""
    steps = pattern.split("/")
    fixed = []
    for step in steps:
        if glob.has_magic(step):
            break
        fixed.append(step)
    return "/".join(fixed) or ("/" if pattern.startswith("/") else "")


def _pattern(name: str) -> re.Pattern[str]:
    """A glob as a regular expression: ``*`` stays within a folder, ``**`` does not."""
    written = ""
    for piece in re.split(r"(\*\*/|\*\*|\*|\?|\[[^]]+\])", name):
        known = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}.get(piece)
        if known is None and piece.startswith("[") and piece.endswith("]"):
            known = "[^" + piece[2:] if piece[1] == "!" else piece
        written += re.escape(piece) if known is None else known
    return re.compile(written)


def _is_public(below: str) -> bool:
    """Whether a path has no step that starts with a dot or ``_``: other programs' notes."""
    return not any(step[:1] in "._" for step in PurePosixPath(below).parts if step)


def _known() -> str:
    packed = ", ".join(COMPRESSIONS)
    return f"{', '.join(ENDINGS)} (text also with {packed})"
