"""URIs and filesystems of other places -> input files."""

from __future__ import annotations

import glob
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import unquote

from qdrant_static.errors import SourceNotFoundError, StorageError
from qdrant_static.reading import plugins
from qdrant_static.reading.found import (
    Found,
    fixed_part,
    input_of,
    is_public,
    some_of,
    unreached_part,
)
from qdrant_static.reading.inputs import Input, known_endings
from qdrant_static.reading.options import SourceOptions
from qdrant_static.reading.patterns import as_expression, as_pattern
from qdrant_static.redaction import public_uri, without_secrets

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem


def find_remote(uri: str, options: SourceOptions) -> Found:
    """What a URI gives, as pyarrow or a registered source opens it."""
    scheme = uri.partition("://")[0].lower()
    if (other := plugins.scheme(scheme)) is not None:
        return Found(inputs=(Input(name=public_uri(uri), path=uri, format=other),))
    from pyarrow import ArrowException
    from pyarrow.fs import FileSystem

    # A glob's characters are no URI's: only what is before them is looked up.
    fixed = fixed_part(uri) if glob.has_magic(uri.partition("?")[0]) else uri
    try:
        filesystem, path = FileSystem.from_uri(fixed)
    except (ArrowException, OSError, ValueError, ImportError) as error:
        if isinstance(error, OSError) and not isinstance(error, ArrowException):
            raise _unreachable(uri, error) from error
        shown = without_secrets(uri, str(error))
        raise SourceNotFoundError(path=public_uri(uri), problem=shown) from error
    rest = uri.partition("?")[0][len(fixed) :] if fixed != uri else ""
    prefix = unquote(public_uri(fixed)).rstrip("/").removesuffix(path.rstrip("/"))
    pattern = f"{glob.escape(path.rstrip('/'))}/{as_pattern(rest.lstrip('/'))}" if rest else None
    return find_in_filesystem(filesystem, path, pattern, prefix, options, uri=uri)


def find_in_filesystem(
    filesystem: FileSystem,
    name: str,
    pattern: str | None,
    prefix: str,
    options: SourceOptions,
    *,
    uri: str = "",
) -> Found:
    """Files of a filesystem: one, those below a folder, or those that match."""
    from pyarrow.fs import FileSelector, FileType

    shown = public_uri(uri) if uri else name
    root = name.rstrip("/")
    try:
        info = filesystem.get_file_info(root)
        if pattern is not None and (uri or info.type == FileType.NotFound):
            root = root if uri else fixed_part(pattern).rstrip("/")
            info = filesystem.get_file_info(root)
        else:
            pattern = None
        if info.type == FileType.Directory:
            below = filesystem.get_file_info(FileSelector(root, recursive=True))
        elif info.type == FileType.NotFound:
            raise SourceNotFoundError(path=shown, problem="there is no such file or folder")
        else:
            below = [info]
    except (OSError, UnicodeDecodeError) as error:
        raise _unreachable(uri or name, error) from error
    whole = info.type != FileType.Directory
    found, unreached = [], []
    for one in sorted(below, key=lambda one: str(one.path)):
        if one.type == FileType.Directory or not _is_wanted(one.path, root, pattern, whole=whole):
            continue
        described = input_of(f"{prefix}{one.path}", one.path, options, one.path)
        if described is not None and one.type == FileType.File:
            found.append(replace(described, filesystem=filesystem))
        elif described is not None:
            unreached.append(unreached_part(described.name, "is not a readable file"))
    result = Found(inputs=tuple(found), unreached=tuple(unreached))
    return some_of(result, shown, f"no file there ends in {known_endings()}")


def _is_wanted(path: str, root: str, pattern: str | None, *, whole: bool) -> bool:
    if pattern is not None:
        return as_expression(pattern).fullmatch(path) is not None
    return whole or is_public(path[len(root) :].lstrip("/"))


def _unreachable(uri: str, error: Exception) -> StorageError:
    return StorageError(
        path=public_uri(uri),
        problem=f"cannot be reached: {without_secrets(uri, str(error))}. Check the address, the "
        "network and the credentials",
    )
