"""TeacherVectors: a folder that keeps what a teacher encoded, so that no text is encoded twice.

A teacher is slow, and encodes the same texts for every model that is fitted to them. Each teacher
has two files for each kind of text, named by a digest of its fingerprint, so that the vectors of
two teachers never mix::

    1f0c….passages.vectors   float32, one row per text
    1f0c….passages.keys      16 bytes per text: a digest of it
    1f0c….json               the teacher's name, fingerprint and dimension

Both files only grow. A block's vectors are written and synchronized to the disk before its keys
are, so that whatever ends the process, there is a vector for every key. Vectors without a key, and
a part of one, are cut off when the files are opened next.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal, Self

import numpy as np

from qdrant_static.digests import DIGEST_BYTES
from qdrant_static.encoders.queries import encode_queries
from qdrant_static.errors import (
    InvalidModelError,
    QdrantStaticError,
    StorageError,
    TeacherFailedError,
)
from qdrant_static.files import LockFile, LockHeldError, replace_file
from qdrant_static.training.trainingprogress import TrainingProgress

if TYPE_CHECKING:
    from types import TracebackType

    from numpy.typing import NDArray

    from qdrant_static.encoders.base import Encoder

    Vectors = NDArray[np.float32]

Kind = Literal["passages", "queries", "tokens"]

#: Time that a block should take, in seconds: an interruption loses no more than a block.
_BLOCK_S = 2.0
_FIRST_BLOCK = 16
#: A block is at most so many times as large as the one before, and never larger than this.
_GROWTH = 8
_LARGEST_BLOCK = 20_000


class TeacherVectors:
    """The vectors of one teacher for one kind of text, on disk.

    It is a context manager: within it, no other process can write these files.

    Args:
        folder: The cache's folder, shared by all teachers; made if it is missing.
        teacher: The encoder.
        kind: ``"passages"`` are encoded by ``encode``, ``"queries"`` as queries. ``"tokens"`` are
            token ids as text, for which ``encode`` must be given.
        encode: Encodes n texts to float32 ``(n, dimension)``, instead of the teacher's methods.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        teacher: Encoder,
        *,
        kind: Kind = "passages",
        encode: Callable[[Sequence[str]], Vectors] | None = None,
    ) -> None:
        self._folder = Path(folder).expanduser()
        self._teacher = teacher
        self._dimension = teacher.info.dimension
        if encode is not None:
            self._encode = encode
        elif kind == "queries":
            self._encode = lambda texts: encode_queries(teacher, texts)
        else:
            self._encode = teacher.encode
        name = blake2b(teacher.info.fingerprint.encode(), digest_size=16).hexdigest()
        self._about = self._folder / f"{name}.json"
        self._vectors = self._folder / f"{name}.{kind}.vectors"
        self._keys = self._folder / f"{name}.{kind}.keys"
        self._lock = LockFile(self._folder / f"{name}.{kind}.lock")
        self._rows: dict[bytes, int] = {}
        self._count = 0
        self._files: tuple[IO[bytes], IO[bytes]] | None = None

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        try:
            self._lock.acquire(f"encoding texts by {self._teacher.info.name}")
        except LockHeldError as error:
            raise StorageError(
                path=str(self._folder),
                problem=f"{error.owner} is encoding texts by the same teacher: wait for it, or "
                "name another folder for the cache",
            ) from error
        try:
            self._open()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for file in self._files or ():
            file.close()
        self._files = None
        self._lock.release()

    def _open(self) -> None:
        """Open both files, and cut off what an interruption left."""
        if not self._about.exists():
            info = self._teacher.info
            about = {"teacher": info.name, **info.identity()}
            replace_file(self._about, json.dumps(about, indent=2).encode() + b"\n")
        vectors, keys = self._vectors.open("a+b"), self._keys.open("a+b")
        self._files = vectors, keys
        row = 4 * self._dimension
        sizes = vectors.seek(0, os.SEEK_END) // row, keys.seek(0, os.SEEK_END) // DIGEST_BYTES
        count = self._count = min(sizes)
        vectors.truncate(count * row)
        keys.truncate(count * DIGEST_BYTES)
        keys.seek(0)
        raw = keys.read()
        self._rows = {
            raw[at : at + DIGEST_BYTES]: number
            for number, at in enumerate(range(0, len(raw), DIGEST_BYTES))
        }

    def __len__(self) -> int:
        return len(self._rows)

    def has(self, texts: Sequence[str]) -> NDArray[np.bool_]:
        """Return for each of n texts whether its vector is stored."""
        return np.fromiter((_key(text) in self._rows for text in texts), np.bool_, len(texts))

    def vectors(self, texts: Sequence[str]) -> Vectors:
        """Return the vectors of texts that are all stored.

        Returns:
            float32 ``(n, dimension)``.
        """
        rows = np.fromiter((self._rows[_key(text)] for text in texts), np.intp, len(texts))
        if not len(rows):
            return np.empty((0, self._dimension), np.float32)
        shape = (self._count, self._dimension)
        stored = np.memmap(self._vectors, np.float32, "r", shape=shape)
        return np.asarray(stored[rows])

    def encode(
        self,
        texts: Sequence[str],
        *,
        until: float | None = None,
        progress: Callable[[TrainingProgress], None] | None = None,
    ) -> int:
        """Encode the texts that are not stored, the longest first, and store their vectors.

        Args:
            texts: n texts.
            until: Start no block after this time (`time.monotonic`); None has no limit.
            progress: Called with the texts done, their total, and the time left.

        Returns:
            Number of characters that were encoded.

        Raises:
            TeacherFailedError: If the teacher raises an error that is not ours.
            InvalidModelError: If it gives vectors of another shape, or that are not finite. What
                was encoded before stays stored, in each case.
        """
        missing = dict.fromkeys(text for text in texts if _key(text) not in self._rows)
        wanted = sorted(missing, key=len, reverse=True)
        total = sum(map(len, wanted)) + len(wanted)
        done, started, size = 0, time.monotonic(), _FIRST_BLOCK
        at = 0
        while at < len(wanted) and (until is None or time.monotonic() < until):
            block = wanted[at : at + size]
            began = time.monotonic()
            self.store(block)
            took = max(time.monotonic() - began, 1e-6)
            at += len(block)
            done += sum(map(len, block)) + len(block)
            if progress is not None:
                left = (time.monotonic() - started) * (total - done) / done
                if until is not None:
                    left = min(left, max(0.0, until - time.monotonic()))
                progress(
                    TrainingProgress(
                        phase="teacher",
                        done=len(texts) - len(wanted) + at,
                        total=len(texts),
                        unit="texts",
                        left_s=left,
                    )
                )
            size = int(min(size * _GROWTH, len(block) * _BLOCK_S / took, _LARGEST_BLOCK))
            size = max(1, size)
        return done

    def store(self, block: list[str]) -> None:
        """Encode texts in one call, and store their vectors; they take the place of older ones.

        Raises:
            TeacherFailedError: As for `encode`.
            InvalidModelError: As for `encode`.
        """
        vectors = self._encoded(block)
        if self._files is None:
            raise StorageError(path=str(self._folder), problem="the cache is not open")
        files = zip(self._files, (vectors.tobytes(), b"".join(map(_key, block))), strict=True)
        for file, content in files:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        self._rows |= {_key(text): row for row, text in enumerate(block, self._count)}
        self._count += len(block)

    def _encoded(self, block: list[str]) -> Vectors:
        name, shape = self._teacher.info.name, (len(block), self._dimension)
        try:
            vectors = np.asarray(self._encode(block))
        except (QdrantStaticError, KeyboardInterrupt) as error:
            error.add_note(self._kept())
            raise
        except Exception as error:  # an encoder of others may raise anything
            raise TeacherFailedError(
                teacher=name, problem=f"{type(error).__name__}: {error}", kept=self._kept()
            ) from error
        if vectors.shape != shape or not np.isfinite(vectors).all():
            found = "numbers that are not finite"
            if vectors.shape != shape:
                found = f"an array of shape {vectors.shape} for {len(block)} texts, not {shape}"
            raise InvalidModelError(model=name, problem=f"it gave {found}; {self._kept()}")
        return np.ascontiguousarray(vectors, np.float32)

    def _kept(self) -> str:
        return f"{len(self):,} vectors are stored in {self._folder}; a repeat continues there"


def other_teachers(folder: str | os.PathLike[str], teacher: Encoder) -> list[str]:
    """Return the names of other teachers whose vectors a cache holds, sorted.

    Args:
        folder: The cache's folder.
        teacher: The teacher whose name is left out.
    """
    found = set()
    for path in Path(folder).expanduser().glob("*.json"):
        try:
            about: Any = json.loads(path.read_text(encoding="utf-8"))
            if about["fingerprint"] != teacher.info.fingerprint:
                found.add(str(about["teacher"]))
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return sorted(found)


def _key(text: str) -> bytes:
    return blake2b(text.encode(), digest_size=DIGEST_BYTES).digest()
