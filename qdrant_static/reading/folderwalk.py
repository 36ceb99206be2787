"""What lies below folders of this machine, and what of it cannot be reached.

One rule for folders and globs: links are followed, those that lead back to a folder above are not;
what cannot be reached (a link to what is not there, a folder that may not be listed) is reported.
"""

from __future__ import annotations

import errno
import fnmatch
import glob
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from qdrant_static.reading.streams import problem_of

Place = tuple[int, int]


@dataclass(slots=True, kw_only=True)
class Listing:
    """Files that were found.

    Attributes:
        is_data: Whether a file is of the input, by its name.
        files: Regular files, in order.
        matches: How many names a glob has matched, whatever they are.
        unreached: Path -> why it cannot be reached.
    """

    is_data: Callable[[str], bool]
    files: dict[str, None] = field(default_factory=dict)
    matches: int = 0
    unreached: dict[str, str] = field(default_factory=dict)

    def folder(self, path: str, above: frozenset[Place] = frozenset()) -> None:
        """Add what is below a folder, but what starts with a dot or ``_``."""
        for name, place in self._entries(path, above):
            if name[:1] not in "._":
                self._entry(os.path.join(path, name), place)

    def glob(self, pattern: str) -> None:
        """Add what matches a pattern, as a shell matches it; ``**`` is any number of folders."""
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
            self.unreached[path] = "is a pipe or a device: name it by itself to have it read"

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
        """Add what a whole pattern matches; a folder only if it is called like a file of data."""
        self.matches += 1
        mode = self._mode(path)
        if mode and not stat.S_ISDIR(mode):
            self._file(path, mode)
        elif mode and self.is_data(path):
            before = len(self.files) + len(self.unreached)
            self.folder(path, above)
            if len(self.files) + len(self.unreached) == before:
                self.unreached[path] = "is a folder, and holds no file of a known ending"

    def _mode(self, path: str) -> int:
        """What kind of file a path leads to; 0 where that cannot be known, which is noted."""
        try:
            return os.stat(path).st_mode
        except OSError as error:
            self.unreached[path] = unreached(path, error)
            return 0

    def _entries(
        self, path: str, above: frozenset[Place]
    ) -> Iterator[tuple[str, frozenset[Place]]]:
        """The names in a folder, sorted, and the folders above them."""
        try:
            found = os.stat(path or ".")
            place = (found.st_dev, found.st_ino)
            if place in above:
                return  # a link back to a folder above: what is there is found there
            names = sorted(os.listdir(path or "."))
        except OSError as error:
            self.unreached[path] = unreached(path, error)
            return
        for name in names:
            yield name, above | {place}


def unreached(path: str, error: OSError) -> str:
    """Why a path cannot be reached."""
    if error.errno in (errno.ENOENT, errno.ELOOP, errno.ENOTDIR) and os.path.islink(path):
        return f"is a link to what is not there ({_target(path)})"
    return problem_of(error)


def _target(path: str) -> str:
    try:
        return printable(os.readlink(path))
    except OSError:
        return "unknown"


def printable(name: str) -> str:
    r"""A file's name as text; bytes that are not UTF-8 are written ``\xff``."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")
