"""Paths on this machine -> input files: files, folders, globs and pipes."""

from __future__ import annotations

import errno
import fnmatch
import glob
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from qdrant_static.errors import SourceNotFoundError
from qdrant_static.reading import partitions, registered
from qdrant_static.reading.inputs import Input, describe, known_endings
from qdrant_static.reading.options import SourceOptions
from qdrant_static.reading.rejects import Reject
from qdrant_static.reading.streams import ReadOnce, problem_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The files that some paths name.

    Attributes:
        inputs: The files, each once, in order.
        unreached: Parts of folders and globs that could not be reached.
    """

    inputs: tuple[Input, ...]
    unreached: tuple[Reject, ...] = ()


def input_of(name: str, path: str, options: SourceOptions, place: str) -> Input | None:
    """Return the input for a file; None if its ending is unknown.

    Args:
        name: Its name in rejects and ledgers.
        path: The path by which it is opened.
        options: The format of files with any other ending.
        place: Its path from the root, whose folders may be partitions.
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
        delimiter=delimiter_of(format_, options),
    )


def delimiter_of(format_: str | None, options: SourceOptions) -> str:
    """Return the delimiter of a format, unless the options name another."""
    return options.delimiter or ("\t" if format_ == "tsv" else ",")


def unreached_part(name: str, problem: str) -> Reject:
    """Return the reject of a part of a folder or glob that cannot be reached."""
    return Reject(reason="unreadable_file", message=problem, file=name, unit="row")


def require_any(found: Found, name: str, problem: str) -> Found:
    """Return what was found.

    Raises:
        SourceNotFoundError: If that is nothing at all.
    """
    if not found.inputs and not found.unreached:
        raise SourceNotFoundError(path=name, problem=problem)
    return found


def pipe_input(name: str, path: str | None, options: SourceOptions) -> Input:
    """Return the input for standard input, or for a path that is not a regular file."""
    if registered.ending_of(name) is not None and describe(name, options.format) is None:
        raise SourceNotFoundError(
            path=name, problem="a registered source cannot read a pipe: save it as a file first"
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


def find_local(name: str, pattern: str | None, prefix: str, options: SourceOptions) -> Found:
    """Find the files that a path on this machine names: one, a folder's, or a glob's matches.

    Args:
        name: The path.
        pattern: The glob to match if there is no such path; None: none.
        prefix: The beginning of the names of inputs.
        options: The format of files with any other ending.

    Raises:
        SourceNotFoundError: If there are none.
    """
    shown = f"{prefix}{printable(name)}"
    listing = Listing(is_data=lambda path: input_of("", path, options, path) is not None)
    try:
        mode = os.stat(name).st_mode
    except OSError as error:
        if pattern is None:
            missing = isinstance(error, FileNotFoundError) and not os.path.islink(name)
            problem = (
                "there is no such file or folder" if missing else unreached_reason(name, error)
            )
            raise SourceNotFoundError(path=shown, problem=problem) from error
        listing.glob(pattern)
        found = _listed(listing, prefix, options)
        problem = f"none of its {listing.matches} matches ends in {known_endings()}"
        return require_any(found, shown, problem if listing.matches else "nothing matches")
    if stat.S_ISDIR(mode):
        listing.folder(name)
        found = _listed(listing, prefix, options)
        return require_any(found, shown, f"the folder has no file that ends in {known_endings()}")
    if not stat.S_ISREG(mode):
        return Found(inputs=(pipe_input(name, name, options),))
    one = input_of(f"{prefix}{printable(str(Path(name)))}", name, options, _place(name))
    if one is None:
        problem = f"the file does not end in {known_endings()}; or name its format"
        raise SourceNotFoundError(path=shown, problem=problem)
    return Found(inputs=(one,))


def _place(path: str) -> str:
    """Return a path from the root, as text."""
    return printable(os.path.abspath(path))


def _listed(listing: Listing, prefix: str, options: SourceOptions) -> Found:
    def named(path: str) -> str:
        return f"{prefix}{printable(str(Path(path)))}"

    inputs = (input_of(named(path), path, options, _place(path)) for path in listing.files)
    return Found(
        inputs=tuple(one for one in inputs if one is not None),
        unreached=tuple(unreached_part(named(p), why) for p, why in listing.unreached.items()),
    )


#: Device and inode of a folder.
Place = tuple[int, int]


@dataclass(slots=True, kw_only=True)
class Listing:
    """Lists files below folders and files that match globs, on this machine.

    Folders and globs follow one rule: links are followed, except those that lead back to a folder
    above; what cannot be reached (a broken link, a folder that may not be listed) is reported.

    Attributes:
        is_data: Whether a file belongs to the input, by its name.
        files: Regular files, in order.
        matches: How many names a glob has matched, whatever they are.
        unreached: Path -> why it cannot be reached.
    """

    is_data: Callable[[str], bool]
    files: dict[str, None] = field(default_factory=dict)
    matches: int = 0
    unreached: dict[str, str] = field(default_factory=dict)

    def folder(self, path: str, above: frozenset[Place] = frozenset()) -> None:
        """Add what is below a folder, except names that start with a dot or ``_``."""
        for name, place in self._entries(path, above):
            if name[:1] not in "._":
                self._entry(os.path.join(path, name), place)

    def glob(self, pattern: str) -> None:
        """Add what matches a pattern, as in a shell; ``**`` matches any number of folders."""
        steps = [step for step in pattern.split("/") if step not in ("", ".")]
        self._steps("/" if pattern.startswith("/") else "", steps, frozenset())

    def _entry(self, path: str, above: frozenset[Place]) -> None:
        """Add a file, or what is below a folder."""
        mode = self._mode(path)
        if stat.S_ISDIR(mode):
            self.folder(path, above)
        elif mode:
            self._file(path, mode)

    def _file(self, path: str, mode: int) -> None:
        if not self.is_data(path):
            return
        if stat.S_ISREG(mode):
            self.files[path] = None
        else:
            self.unreached[path] = "is a pipe or a device: name it explicitly to read it"

    def _steps(self, base: str, steps: list[str], above: frozenset[Place]) -> None:
        if not steps:
            self._match(base, above)
            return
        step, rest = steps[0], steps[1:]
        if step == "**":
            self._steps(base, rest or ["*"], above)
            for name, place in self._entries(base, above):
                path = os.path.join(base, name)
                if not name.startswith(".") and stat.S_ISDIR(self._mode(path)):
                    self._steps(path, steps, place)
        elif glob.has_magic(step):
            for name, place in self._entries(base, above):
                hidden = name.startswith(".") and not step.startswith(".")
                if not hidden and fnmatch.fnmatchcase(name, step):
                    self._further(os.path.join(base, name), rest, place)
        elif os.path.lexists(path := os.path.join(base, step)):
            self._further(path, rest, above)

    def _further(self, path: str, rest: list[str], above: frozenset[Place]) -> None:
        if not rest or stat.S_ISDIR(self._mode(path)):
            self._steps(path, rest, above)

    def _match(self, path: str, above: frozenset[Place]) -> None:
        """Add what a whole pattern matches; a folder only if its name ends like a data file's."""
        self.matches += 1
        mode = self._mode(path)
        if mode and not stat.S_ISDIR(mode):
            self._file(path, mode)
        elif mode and self.is_data(path):
            before = len(self.files) + len(self.unreached)
            self.folder(path, above)
            if len(self.files) + len(self.unreached) == before:
                self.unreached[path] = "is a folder, and has no file with a known ending"

    def _mode(self, path: str) -> int:
        """Return the mode of the file that a path leads to; 0, with a note, if it is unknown."""
        try:
            return os.stat(path).st_mode
        except OSError as error:
            self.unreached[path] = unreached_reason(path, error)
            return 0

    def _entries(
        self, path: str, above: frozenset[Place]
    ) -> Iterator[tuple[str, frozenset[Place]]]:
        """Yield the names in a folder, sorted, and the folders above them."""
        try:
            status = os.stat(path or ".")
            place = (status.st_dev, status.st_ino)
            if place in above:
                return  # a link back to a folder above, whose files are listed there
            names = sorted(os.listdir(path or "."))
        except OSError as error:
            self.unreached[path] = unreached_reason(path, error)
            return
        for name in names:
            yield name, above | {place}


def unreached_reason(path: str, error: OSError) -> str:
    """Return why a path cannot be reached."""
    if error.errno in (errno.ENOENT, errno.ELOOP, errno.ENOTDIR) and os.path.islink(path):
        return f"is a broken link (to {_target(path)})"
    return problem_of(error)


def _target(path: str) -> str:
    try:
        return printable(os.readlink(path))
    except OSError:
        return "unknown"


def printable(name: str) -> str:
    r"""Return a file's name as text, with bytes that are not UTF-8 as ``\xff``."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")
