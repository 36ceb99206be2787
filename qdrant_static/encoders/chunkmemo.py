"""A memo from whitespace-delimited chunks of text to token ids, filled by the tokenizer.

Words repeat: after one passage most chunks of the next are known. The memo stores them by their
bytes (``chunkkernels``), and the tokenizer is called only for new chunks. The result is exact only
if the tokens of a chunk do not depend on its neighbors, which ``chunkrules`` decides.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from qdrant_static.errors import ArgumentError

if TYPE_CHECKING:
    import numpy.typing as npt

    Bytes = npt.NDArray[np.uint8]
    Ids = npt.NDArray[np.int32]
    Positions = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LearnedChunks:
    """Token ids of chunks, from the tokenizer.

    Attributes:
        ids: int32, all ids, chunk after chunk.
        counts: int64 (n,), the number of ids of each chunk; -1 if it cannot be tokenized alone.
    """

    ids: Ids
    counts: Positions


Learn: TypeAlias = Callable[[list[str]], "Sequence[Sequence[int] | None] | LearnedChunks"]
"""Returns the ids of chunks by the tokenizer; None for one that cannot be tokenized alone."""

Tables: TypeAlias = "tuple[npt.NDArray[np.uint64], Ids, Bytes, Ids]"
"""Slots uint64 (4 n,), the same memory as int32 (8 n,), arena uint8, overflow int32."""

MIN_BYTES = 1 << 20
_FIRST_SLOTS = 1 << 13
_BYTES_PER_SLOT = 32
_MISSES = 1 << 15


class ChunkMemo:
    """Token ids by the bytes of a chunk; exact, of bounded size, and thread-safe.

    Readers (kernels without the GIL) call ``tables()`` once per block of text and never lock. One
    writer at a time inserts into free space; growth makes new arrays and publishes them as one
    tuple, so that readers keep a consistent old one.

    When it is full, the memo is cleared instead of frozen: a file that changes from English to
    German would otherwise stay slow, while the common chunks are learned again in a fraction of the
    time in which the rare ones filled the memory.

    Args:
        learn: The tokenizer; or one for each kind of chunk (see ``chunktokenizer``).
        max_bytes: The most memory of the tables, in bytes.
    """

    def __init__(self, learn: Learn | Sequence[Learn], *, max_bytes: int = 64 << 20) -> None:
        """Start empty."""
        if max_bytes < MIN_BYTES:
            raise ArgumentError.of_choice("max_bytes", max_bytes, f"at least {MIN_BYTES}")
        self._learn = (learn,) if callable(learn) else tuple(learn)
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._tables = _empty(_FIRST_SLOTS, 1 << 16, 1 << 14)
        self._used = np.zeros(3, np.int64)
        self.restarts = 0

    def __len__(self) -> int:
        """Return the number of known chunks."""
        return int(self._used[0])

    @property
    def nbytes(self) -> int:
        """Memory of the tables, in bytes."""
        slots, _, arena, overflow = self._tables
        return slots.nbytes + arena.nbytes + overflow.nbytes

    def tables(self) -> Tables:
        """Return the arrays that ``chunkkernels.lookup`` and ``scan`` read."""
        return self._tables

    def remember(self, data: Bytes, starts: Positions, stops: Positions, kinds: Bytes) -> None:
        """Tokenize chunks by the tokenizer (outside the lock) and insert them.

        Args:
            data: uint8 (bytes,), text in UTF-8.
            starts: int64 (n,), first byte of each chunk.
            stops: int64 (n,), one past the last byte.
            kinds: uint8 (n,), index of the tokenizer to call.
        """
        from qdrant_static.encoders import chunkkernels as kernels

        view = memoryview(data.data)
        for kind in np.unique(kinds):
            chosen = np.flatnonzero(kinds == kind)
            a, b = starts[chosen], stops[chosen]
            chunks = [str(view[i:j], "utf-8") for i, j in zip(a.tolist(), b.tolist(), strict=True)]
            learned = self._learn[kind](chunks)
            if not isinstance(learned, LearnedChunks):
                learned = flatten(learned)
            counts = learned.counts
            oversized = counts > kernels.MAX_IDS
            sizes = np.maximum(counts, 0)
            with self._lock:
                room = self._make_room(len(chunks), int((b - a).sum()), int(sizes.sum()))
                if room:
                    kernels.insert(
                        self._tables,
                        self._used,
                        data,
                        a,
                        b,
                        kinds[chosen],
                        learned.ids,
                        np.cumsum(sizes) - sizes,
                        np.where(oversized, -1, counts),
                    )

    def _make_room(self, n: int, n_bytes: int, n_ids: int) -> bool:
        """Grow or clear the tables so that an insertion fits; the lock is held."""
        from qdrant_static.encoders import chunkkernels as kernels

        for used in (self._used, np.zeros(3, np.int64)):
            slots, _, arena, overflow = self._tables
            need = used + np.array((n, n_bytes, n_ids))
            fits = need <= (len(slots) // 4 * 5 // 8, len(arena) - 8, len(overflow))
            if used is self._used and fits.all():
                return True
            n_slots, n_arena, n_overflow = len(slots) // 4, len(arena), len(overflow)
            while need[0] > n_slots * 5 // 8:
                n_slots *= 2
            while need[1] > n_arena - 8:
                n_arena *= 2
            while need[2] > n_overflow:
                n_overflow *= 2
            if n_slots * _BYTES_PER_SLOT + n_arena + n_overflow * 4 > self._max_bytes:
                continue
            grown = _empty(n_slots, n_arena, n_overflow)
            if used is self._used:
                grown[2][: used[1]] = arena[: used[1]]
                grown[3][: used[2]] = overflow[: used[2]]
                kernels.rehash(slots, grown[0])
            else:
                self._used = used
                self.restarts += 1
            self._tables = grown
            return True
        return False  # one block alone is too large: its rows go to the tokenizer


def flatten(rows: Sequence[Sequence[int] | None]) -> LearnedChunks:
    """Concatenate lists of ids."""
    counts = np.fromiter((-1 if ids is None else len(ids) for ids in rows), np.int64, len(rows))
    ids = np.fromiter(chain.from_iterable(ids for ids in rows if ids is not None), np.int32)
    return LearnedChunks(ids=ids, counts=counts)


def _empty(n_slots: int, n_bytes: int, n_ids: int) -> Tables:
    slots = np.zeros(n_slots * 4, np.uint64)
    return slots, slots.view(np.int32), np.zeros(n_bytes, np.uint8), np.zeros(n_ids, np.int32)


@dataclass(slots=True, eq=False)
class ScanBuffers:
    """Buffers of one thread, kept between blocks: the scan allocates nothing per row."""

    ids: Ids = field(default_factory=lambda: np.empty(1 << 16, np.int32))
    misses: Positions = field(default_factory=lambda: np.empty((2, _MISSES), np.int64))
    miss_kinds: Bytes = field(default_factory=lambda: np.empty(_MISSES, np.uint8))
    seen: npt.NDArray[np.uint64] = field(default_factory=lambda: np.zeros(1 << 14, np.uint64))
