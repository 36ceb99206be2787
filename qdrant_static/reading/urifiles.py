"""URIs and files of other filesystems -> input files."""

from __future__ import annotations

import glob
import os
import re
from dataclasses import replace
from functools import cache
from pathlib import PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import unquote, unquote_to_bytes, urlsplit

from qdrant_static.errors import SourceNotFoundError, StorageError
from qdrant_static.reading import registered
from qdrant_static.reading.inputs import Input, known_endings
from qdrant_static.reading.localfiles import (
    Found,
    find_local,
    input_of,
    require_any,
    unreached_part,
)
from qdrant_static.reading.options import SourceOptions
from qdrant_static.redaction import public_uri, without_secrets

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem

_ESCAPED = re.compile(r"(?:%[0-9A-Fa-f]{2})+")
_PIECES = re.compile(r"(\*\*/|\*\*|\*|\?|\[[^]]+\])")
_LITERAL = {"[*]": r"\*", "[?]": r"\?", "[[]": r"\["}


def find_file_uri(uri: str, options: SourceOptions) -> Found:
    """Find the files of a ``file://`` URI; an escaped character in it is not a wildcard."""
    parts = urlsplit(uri)
    if parts.netloc not in ("", "localhost") or parts.query or parts.fragment:
        raise SourceNotFoundError(
            path=public_uri(uri),
            problem="a file:// URI has no host and no options; ? and # in a name are %3F and %23",
        )
    path = os.fsdecode(unquote_to_bytes(parts.path))
    pattern = as_pattern(parts.path) if glob.has_magic(parts.path) else None
    return find_local(path, pattern, "file://", options)


def find_remote(uri: str, options: SourceOptions) -> Found:
    """Find the files of a URI that pyarrow or a registered source can open."""
    scheme = uri.partition("://")[0].lower()
    if (source := registered.scheme_of(scheme)) is not None:
        return Found(inputs=(Input(name=public_uri(uri), path=uri, format=source),))
    from pyarrow import ArrowException
    from pyarrow.fs import FileSystem

    # The characters of a glob are not allowed in a URI: only the part before them is looked up.
    fixed = _fixed_part(uri) if glob.has_magic(uri.partition("?")[0]) else uri
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
    """Find files in a filesystem: one file, those below a folder, or those that match a glob."""
    from pyarrow.fs import FileSelector, FileType

    shown = public_uri(uri) if uri else name
    root = name.rstrip("/")
    try:
        info = filesystem.get_file_info(root)
        if pattern is not None and (uri or info.type == FileType.NotFound):
            root = root if uri else _fixed_part(pattern).rstrip("/")
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
    return require_any(result, shown, f"no file there ends in {known_endings()}")


def _is_wanted(path: str, root: str, pattern: str | None, *, whole: bool) -> bool:
    if pattern is not None:
        return as_expression(pattern).fullmatch(path) is not None
    return whole or _is_visible(path[len(root) :].lstrip("/"))


def _unreachable(uri: str, error: Exception) -> StorageError:
    return StorageError(
        path=public_uri(uri),
        problem=f"cannot be reached: {without_secrets(uri, str(error))}. Check the address, the "
        "network and the credentials",
    )


def _fixed_part(pattern: str) -> str:
    """Return the folder before the first wildcard."""
    steps = pattern.split("/")
    fixed = []
    for step in steps:
        if glob.has_magic(step):
            break
        fixed.append(step)
    return "/".join(fixed) or ("/" if pattern.startswith("/") else "")


def _is_visible(below: str) -> bool:
    """Return whether no part of a path starts with a dot or ``_``, as other programs' files do."""
    return not any(step[:1] in "._" for step in PurePosixPath(below).parts if step)


def as_pattern(path: str) -> str:
    """Return a URI's path as a glob, in which escaped characters stand for themselves."""

    def unescape(match: re.Match[str]) -> str:
        return glob.escape(os.fsdecode(unquote_to_bytes(match[0])))

    return _ESCAPED.sub(unescape, path)


@cache
def as_expression(pattern: str) -> re.Pattern[str]:
    """Return a glob as a regular expression that matches as a shell does.

    ``*`` stays within a folder, ``**`` does not; neither matches a name that starts with a dot.
    """
    written, before = "", "/"
    for piece in filter(None, _PIECES.split(pattern)):
        begins, before = before.endswith("/"), piece
        seen = "(?!\\.)" if begins else ""
        known = {
            "**/": r"(?:(?!\.)[^/]+/)*",
            "**": r"(?:(?!\.)[^/]+/)*(?!\.)[^/]*",
            "*": f"{seen}[^/]*",
            "?": f"{seen}[^/]",
            **_LITERAL,
        }.get(piece)
        if known is None and piece.startswith("[") and piece.endswith("]"):
            known = "[^" + piece[2:] if piece[1] == "!" else piece
        written += re.escape(piece) if known is None else known
    return re.compile(written)
