"""What paths give: inputs by their names, and what could not be reached."""

from __future__ import annotations

import glob
from dataclasses import dataclass
from pathlib import PurePosixPath

from qdrant_static.errors import SourceNotFoundError
from qdrant_static.reading import partitions, plugins
from qdrant_static.reading.inputs import Input, describe
from qdrant_static.reading.options import SourceOptions
from qdrant_static.reading.rejects import Reject


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What some paths give.

    Attributes:
        inputs: The files, each once, in order.
        unreached: Parts of folders and globs that could not be looked into.
    """

    inputs: tuple[Input, ...]
    unreached: tuple[Reject, ...] = ()


def input_of(name: str, path: str, options: SourceOptions, place: str) -> Input | None:
    """The input that a file is, by its ending; None if it is none.

    Args:
        name: What it is called.
        path: How it is opened.
        options: The format of what does not tell it.
        place: Its path from the root, of which the folders may be partitions.
    """
    described = describe(path, options.format)
    if described is None:
        other = plugins.ending_of(path)
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
        delimiter=delimiter_of(format_, options),
    )


def delimiter_of(format_: str | None, options: SourceOptions) -> str:
    """The delimiter of a format, unless another is asked for."""
    return options.delimiter or ("\t" if format_ == "tsv" else ",")


def unreached_part(name: str, problem: str) -> Reject:
    """The reject of a part of a folder or glob that cannot be looked into."""
    return Reject(reason="unreadable_file", message=problem, file=name, unit="row")


def some_of(found: Found, name: str, problem: str) -> Found:
    """What was found; an error if that is nothing at all."""
    if not found.inputs and not found.unreached:
        raise SourceNotFoundError(path=name, problem=problem)
    return found


def fixed_part(pattern: str) -> str:
    """The folder before the first step that has a wildcard."""
    steps = pattern.split("/")
    fixed = []
    for step in steps:
        if glob.has_magic(step):
            break
        fixed.append(step)
    return "/".join(fixed) or ("/" if pattern.startswith("/") else "")


def is_public(below: str) -> bool:
    """Whether a path has no step that starts with a dot or ``_``: other programs' notes."""
    return not any(step[:1] in "._" for step in PurePosixPath(below).parts if step)
