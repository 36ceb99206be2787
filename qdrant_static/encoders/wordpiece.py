"""Tokenizes UTF-8 by the WordPiece kernel, with exactly the ids of BERT tokenizers.

``wordpiecedefinition`` explains why the ids are those of the tokenizer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from qdrant_static.encoders.chunkmemo import ChunkMemo
from qdrant_static.encoders.textblocks import TokenRows
from qdrant_static.encoders.wordpiecedefinition import WordPieceDefinition

if TYPE_CHECKING:
    import numpy.typing as npt

    Bytes = npt.NDArray[np.uint8]
    Positions = npt.NDArray[np.int64]

SHORT = 4096
"""The most bytes of a text for ``scan_one``."""
_NO_LIMIT = 1 << 62
_MISSES = 1 << 14
_MOST_ROUNDS = 16
"""Rounds of scanning and learning before rows that still have unknown chunks go to the tokenizer.
One is enough unless a block has more new chunks than the list of misses holds."""


@dataclass(slots=True, eq=False)
class WordPieceWorkspace:
    """Buffers of one thread; its cache of words is kept from block to block."""

    cache: npt.NDArray[np.uint64]
    hashes: npt.NDArray[np.uint64]
    pieces: npt.NDArray[np.int32]
    text: Bytes
    masks: npt.NDArray[np.uint64]
    ids: npt.NDArray[np.int32] = field(default_factory=lambda: np.empty(1 << 16, np.int32))
    misses: Positions = field(default_factory=lambda: np.empty((2, _MISSES), np.int64))
    one: tuple[Any, ...] = field(
        default_factory=lambda: (*np.zeros((6, 1), np.int64), np.zeros(1, np.uint8))
    )

    def reserve(self, size: int) -> None:
        """Make room for ``size`` ids; keep the present ones."""
        if size > len(self.ids):
            grown = np.empty(max(size, 2 * len(self.ids)), np.int32)
            grown[: len(self.ids)] = self.ids
            self.ids = grown

    def reserve_text(self, size: int) -> None:
        """Make room for the copy of a text of ``size`` bytes and its masks; the content is lost."""
        if size > len(self.text):
            size = (max(size, 2 * len(self.text)) + 63) // 64 * 64
            self.text = np.empty(size, np.uint8)
            self.masks = np.empty(size // 16, np.uint64)


class WordPieceScanner:
    """Tokenizes texts by the kernel; loads Numba.

    Args:
        definition: The definition of the tokenizer.
        memo: Keeps the chunks that only the tokenizer can tokenize.
        plain: The tokenizer on whole texts: all ids, not truncated.
        drop: Whether unknown tokens are left out of the ids.
        characters: Texts are cut to this number of characters first; None for all.
        limit: Rows are cut to this number of tokens, unknown ones included; None for all.
    """

    def __init__(
        self,
        definition: WordPieceDefinition,
        memo: ChunkMemo,
        plain: Callable[[list[str]], Sequence[Sequence[int]]],
        *,
        drop: bool,
        characters: int | None,
        limit: int | None,
    ) -> None:
        self._memo = memo
        self._plain = plain
        self._drop = drop
        self._characters = _NO_LIMIT if characters is None else characters
        self._limit = _NO_LIMIT if limit is None else limit
        self._unknown_id = definition.unknown_id
        self._fold = np.uint8(0x20 if definition.fold_case else 0)
        self._longest_word = definition.longest_word
        self._vocabulary, self._longest_piece = _vocabulary_arrays(definition)
        self._added = _added_arrays(definition)
        self._marks = _mark_ids(definition)

    def new_workspace(self) -> WordPieceWorkspace:
        """Return buffers for one thread."""
        from qdrant_static.encoders import wordpiecekernels as kernels

        return WordPieceWorkspace(
            cache=np.zeros(kernels.CACHE_SLOTS * 4, np.uint64),
            hashes=np.zeros(self._longest_piece, np.uint64),
            pieces=np.zeros(self._longest_word, np.int32),
            text=np.empty(1 << 14, np.uint8),
            masks=np.empty(1 << 10, np.uint64),
        )

    def scan(
        self, data: Bytes, starts: Positions, stops: Positions, workspace: WordPieceWorkspace
    ) -> TokenRows:
        """Tokenize a block of texts.

        Args:
            data: uint8 (bytes,), UTF-8, read-only.
            starts: int64 (n,), first byte of each text.
            stops: int64 (n,), one past its last byte.
            workspace: Buffers of this thread.

        Raises:
            UnicodeDecodeError: A chunk is not UTF-8.
        """
        n = len(starts)
        state = np.zeros(n, np.uint8)
        begin, counts, unknown = np.zeros(n, np.int64), np.zeros(n, np.int64), np.zeros(n, np.int64)
        pending = np.arange(n, dtype=np.int64)
        end = 0
        for _ in range(_MOST_ROUNDS):
            noted, end = self._scan(
                data, starts, stops, pending, end, (begin, counts, unknown, state), workspace
            )
            if not noted:
                break
            at, to = _distinct(data, workspace.misses[:, :noted])
            self._memo.remember(data, at, to, np.zeros(len(at), np.uint8))
            pending = pending[state[pending] == 1]
        plain = np.flatnonzero(state)
        for row in plain.tolist():
            ids = self._plain_ids(data, int(starts[row]), int(stops[row]))
            is_unknown = ids == self._unknown_id
            unknown[row] = np.count_nonzero(is_unknown)
            kept = ids[~is_unknown] if self._drop else ids
            workspace.reserve(end + len(kept))
            workspace.ids[end : end + len(kept)] = kept
            begin[row], counts[row] = end, len(kept)
            end += len(kept)
        return TokenRows(ids=workspace.ids, starts=begin, counts=counts, unknown=unknown)

    def scan_one(self, raw: bytes, workspace: WordPieceWorkspace) -> TokenRows | None:
        """Tokenize one short text with little overhead; None if the kernel cannot.

        Args:
            raw: UTF-8, at most ``SHORT`` bytes.
            workspace: Buffers of this thread, which hold the result.
        """
        starts, stops, rows, *found, state = workspace.one
        stops[0] = len(raw)
        data = np.frombuffer(raw, np.uint8)
        noted, _ = self._scan(data, starts, stops, rows, 0, (*found, state), workspace)
        if noted or state[0]:
            return None
        begin, counts, unknown = found
        return TokenRows(ids=workspace.ids, starts=begin, counts=counts, unknown=unknown)

    def _scan(
        self,
        data: Bytes,
        starts: Positions,
        stops: Positions,
        pending: Positions,
        end: int,
        found: tuple[Any, Any, Any, Any],
        workspace: WordPieceWorkspace,
    ) -> tuple[int, int]:
        """Scan the pending rows; return the number of noted chunks and the end of the ids."""
        from qdrant_static.encoders import wordpiecekernels as kernels

        total = 0
        memo = self._memo.tables()
        while True:
            done, end, noted, size = kernels.scan(
                memo,
                (*self._vocabulary, workspace.hashes, workspace.pieces),
                self._added,
                self._marks,
                (workspace.cache, workspace.text, workspace.masks),
                data,
                starts,
                stops,
                pending,
                end,
                workspace.ids,
                *found,
                self._fold,
                self._unknown_id,
                self._drop,
                self._characters,
                self._limit,
                workspace.misses[:, total:],
            )
            total += noted
            if done == len(pending):
                return total, end
            pending = pending[done:]
            workspace.reserve_text(size + kernels.MARGIN)
            workspace.reserve(2 * len(workspace.ids))

    def _plain_ids(self, data: Bytes, start: int, stop: int) -> npt.NDArray[np.int32]:
        text = data[start:stop].tobytes().decode()[: self._characters]
        return np.asarray(self._plain([text])[0], np.int32)[: self._limit]


def _distinct(data: Bytes, misses: Positions) -> tuple[Positions, Positions]:
    """Return one place of every distinct chunk among the misses."""
    places = {data[a:b].tobytes(): (a, b) for a, b in zip(*misses.tolist(), strict=True)}
    at, to = np.array(list(places.values()), np.int64).T
    return np.ascontiguousarray(at), np.ascontiguousarray(to)


def _vocabulary_arrays(definition: WordPieceDefinition) -> tuple[tuple[Any, ...], int]:
    """Return the vocabulary for the kernel, and the length of its longest piece in bytes.

    It has only the pieces that plain ASCII words can contain; the memo has the others.
    """
    from qdrant_static.encoders import wordpiecekernels as kernels

    pieces: list[tuple[bytes, int, int]] = []
    for token, token_id in definition.vocabulary.items():
        if not token.isascii():
            continue
        rest = token[len(definition.prefix) :]
        if token.isalnum():
            pieces.append((token.encode(), 0, token_id))
        if token.startswith(definition.prefix) and rest.isalnum():
            pieces.append((rest.encode(), 1, token_id))
    pointers = np.zeros(len(pieces) + 1, np.int64)
    np.cumsum(
        np.fromiter((len(piece) for piece, _, _ in pieces), np.int64, len(pieces)), out=pointers[1:]
    )
    arena = np.frombuffer(b"".join(piece for piece, _, _ in pieces), np.uint8)
    kinds = np.fromiter((kind for _, kind, _ in pieces), np.uint8, len(pieces))
    ids = np.fromiter((token_id for _, _, token_id in pieces), np.int32, len(pieces))
    slots = np.zeros(1 << max(4, (2 * len(pieces)).bit_length()), np.uint64)
    kernels.build_vocabulary(slots, arena, pointers, kinds)
    longest = max((len(piece) for piece, _, _ in pieces), default=1)
    return (slots, arena, pointers, kinds, ids), longest


def _added_arrays(definition: WordPieceDefinition) -> tuple[Any, ...]:
    pointers = np.zeros(len(definition.added) + 1, np.int64)
    pointers[1:] = np.cumsum([len(form) for form in definition.added])
    return np.frombuffer(b"".join(definition.added), np.uint8), pointers


def _mark_ids(definition: WordPieceDefinition) -> npt.NDArray[np.int64]:
    """Return the ids of punctuation marks, int64 (256,); ``~id`` if an added token may begin."""
    from qdrant_static.encoders import wordpiecekernels as kernels

    ids = np.full(256, kernels.NO_MARK, np.int64)
    for byte in definition.marks:
        ids[byte] = definition.vocabulary.get(chr(byte), definition.unknown_id)
    for form in definition.added:
        ids[form[0]] = min(ids[form[0]], ~ids[form[0]])
    return ids
