"""How far a source is read, in bytes of its files: of compressed ones, in compressed bytes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import IO, Any


class ReadPosition:
    """Which part of some files was read; they are read one after the other.

    Nothing is counted while a file is read: the operating system knows the position in it, and any
    thread may ask.

    Args:
        sizes: File name -> bytes, in the order of reading.
    """

    def __init__(self, sizes: Mapping[str, int]) -> None:
        self._sizes = dict(sizes)
        self._total = sum(sizes.values())
        self._before = 0
        self._name = ""
        self._file: IO[bytes] | None = None

    def begin(self, name: str) -> None:
        """Note that a file is read now, and those before it were read."""
        self._file, self._name = None, name
        names = list(self._sizes)
        before = names[: names.index(name)] if name in self._sizes else names
        self._before = sum(self._sizes[one] for one in before)

    def follow(self, name: str, file: IO[bytes]) -> None:
        """Note the open file below a file that is read, whose position counts."""
        if name == self._name:
            self._file = file

    def part(self) -> float | None:
        """Which part of all bytes was read, 0 to 1; None if there are none."""
        if not self._total:
            return None
        return min(1.0, (self._before + self._here()) / self._total)

    def _here(self) -> int:
        if self._file is None:
            return 0
        try:
            return os.lseek(self._file.fileno(), 0, os.SEEK_CUR)
        except (OSError, ValueError):  # closed: it was read to its end
            return self._sizes.get(self._name, 0)

    def __getstate__(self) -> dict[str, Any]:
        """Another process opens the files for itself."""
        return {**self.__dict__, "_file": None}
