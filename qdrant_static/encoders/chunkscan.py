"""Converts blocks of text to token ids by a chunk memo."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from qdrant_static.encoders.chunkmemo import ChunkMemo, ScanBuffers
from qdrant_static.errors import ArgumentError

if TYPE_CHECKING:
    from qdrant_static.encoders.chunkmemo import Bytes, Ids, Positions

NO_LETTERS = bytes(byte for byte in range(0x80) if not chr(byte).isalnum())
"""All ASCII but letters and digits."""

_BLANKS, _NO_LETTERS = frozenset(range(0x21)), frozenset(NO_LETTERS)
_NO_LIMIT = 1 << 62
# Rounds of scanning and learning before the remaining rows go to the tokenizer. Two are enough for
# ordinary text; a text with tens of thousands of new chunks needs more, or a memo that is too small
# for one block of text.
_MAX_ROUNDS = 64


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ChunkTokenRows:
    """Token ids of a block of texts: those of row i are ``ids[starts[i] : starts[i] + counts[i]]``.

    ``ids`` belongs to the workspace and is valid until its next use. Rows may be in any order in
    it: a row with an unknown chunk is scanned again after the others.

    Attributes:
        ids: int32.
        starts: int64 (n,).
        counts: int64 (n,).
        dropped: int64 (n,), the number of unknown ids that were left out.
        plain: int64 (k,), the rows that went to the tokenizer.
    """

    ids: Ids
    starts: Positions
    counts: Positions
    dropped: Positions
    plain: Positions


class ChunkScanner:
    """Tokenizes texts by a memo, and rows that are not independent chunks by the tokenizer.

    Args:
        memo: The memo.
        plain: The tokenizer on whole texts.
        separators: The bytes that separate chunks: ASCII white space, or ``NO_LETTERS``.
        keep_separators: Whether separators belong to the chunk that follows them.
        drop: The id that is left out (the unknown token), or None.
        limit: At most this many ids per text, after leaving out; None for all.
    """

    def __init__(
        self,
        memo: ChunkMemo,
        plain: Callable[[list[str]], Sequence[Sequence[int]]],
        *,
        separators: bytes = b" \t\n\r",
        keep_separators: bool = False,
        drop: int | None = None,
        limit: int | None = None,
    ) -> None:
        """Check the separators."""
        self._memo = memo
        self._plain = plain
        if not (frozenset(separators) <= _BLANKS or frozenset(separators) == _NO_LETTERS):
            raise ArgumentError.of_choice(
                "separators", separators, "white space, or all but letters"
            )
        self._blank = np.zeros(256, np.bool_)
        self._blank[list(separators)] = True
        self._keep = keep_separators
        self._drop = np.int32(-1 if drop is None else drop)
        self._limit = _NO_LIMIT if limit is None else limit

    def scan(
        self, data: Bytes, starts: Positions, stops: Positions, workspace: ScanBuffers
    ) -> ChunkTokenRows:
        """Tokenize a block of texts (a megabyte or so: unknown chunks are learned once per block).

        Args:
            data: uint8 (bytes,), UTF-8.
            starts: int64 (n,), first byte of each text.
            stops: int64 (n,), one past its last byte (may be cut short by the caller).
            workspace: Buffers of this thread.
        """
        n = len(starts)
        state = np.empty(n, np.uint8)
        rows = ChunkTokenRows(
            ids=workspace.ids,
            starts=np.zeros(n, np.int64),
            counts=np.zeros(n, np.int64),
            dropped=np.zeros(n, np.int64),
            plain=np.empty(0, np.int64),
        )
        pending = np.arange(n, dtype=np.int64)
        end = 0
        for _ in range(_MAX_ROUNDS):
            workspace.seen.fill(0)
            n_misses, end = self._scan(data, starts, stops, pending, rows, state, end, workspace)
            if not n_misses:
                break
            self._memo.remember(
                data,
                workspace.misses[0, :n_misses],
                workspace.misses[1, :n_misses],
                workspace.miss_kinds[:n_misses],
            )
            pending = pending[state[pending] == 1]
            if not len(pending):
                break
        plain = np.flatnonzero(state)
        if len(plain):
            self._tokenize_plain(data, starts, stops, plain, rows, end, workspace)
        return ChunkTokenRows(
            ids=workspace.ids,
            starts=rows.starts,
            counts=rows.counts,
            dropped=rows.dropped,
            plain=plain,
        )

    def _scan(
        self,
        data: Bytes,
        starts: Positions,
        stops: Positions,
        pending: Positions,
        rows: ChunkTokenRows,
        state: Bytes,
        end: int,
        workspace: ScanBuffers,
    ) -> tuple[int, int]:
        """Run the kernel over the pending rows; grow the ids as needed."""
        from qdrant_static.encoders import chunkscankernels as kernels

        total = 0
        tables = self._memo.tables()
        while True:
            done, end, noted = kernels.scan(
                tables,
                self._blank,
                self._keep,
                data,
                starts,
                stops,
                pending,
                end,
                workspace.ids,
                rows.starts,
                rows.counts,
                rows.dropped,
                state,
                self._drop,
                self._limit,
                workspace.misses[:, total:],
                workspace.miss_kinds[total:],
                workspace.seen,
            )
            total += noted
            if done == len(pending):
                return total, end
            pending = pending[done:]
            _grow(workspace, 2 * len(workspace.ids))

    def _tokenize_plain(
        self,
        data: Bytes,
        starts: Positions,
        stops: Positions,
        chosen: Positions,
        rows: ChunkTokenRows,
        end: int,
        workspace: ScanBuffers,
    ) -> None:
        texts = [
            data[i:j].tobytes().decode()
            for i, j in zip(starts[chosen].tolist(), stops[chosen].tolist(), strict=True)
        ]
        for row, tokens in zip(chosen.tolist(), self._plain(texts), strict=True):
            ids = np.asarray(tokens, np.int32)
            kept = ids[ids != self._drop]
            rows.dropped[row] = len(ids) - len(kept)
            kept = kept[: self._limit]
            if end + len(kept) > len(workspace.ids):
                _grow(workspace, max(2 * len(workspace.ids), end + len(kept)))
            workspace.ids[end : end + len(kept)] = kept
            rows.starts[row], rows.counts[row] = end, len(kept)
            end += len(kept)


def _grow(workspace: ScanBuffers, size: int) -> None:
    grown: Any = np.empty(size, np.int32)
    grown[: len(workspace.ids)] = workspace.ids
    workspace.ids = grown
