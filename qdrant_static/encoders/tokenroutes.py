"""Converts text to token ids by one of three exact routes, chosen when a model is loaded.

* ``wordpiece``: the kernel of ``wordpiecekernels``, for the BERT family.
* ``chunk-memo``: a memo of chunks that the tokenizer has tokenized before, if its definition proves
  that chunks are independent.
* ``plain``: the tokenizer itself.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from qdrant_static.encoders.textblocks import TokenRows

if TYPE_CHECKING:
    import numpy.typing as npt
    from tokenizers import Tokenizer

    from qdrant_static.encoders.textblocks import TextBlock
    from qdrant_static.encoders.wordpiecedefinition import WordPieceDefinition

MEMO_BYTES = 64 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRules:
    """What a library does with the ids of a tokenizer.

    Attributes:
        unknown_id: The id of the unknown token; None if the tokenizer has none.
        drop_unknown: Leave it out (model2vec) or keep it (sentence-transformers).
        max_characters: Cut the text to this number of characters first; None for no limit.
        max_length: Cut to this number of tokens, before unknown ones are dropped; None for no
            limit.
    """

    unknown_id: int | None
    drop_unknown: bool
    max_characters: int | None
    max_length: int | None

    def apply(self, ids: npt.NDArray[np.int32]) -> tuple[npt.NDArray[np.int32], int]:
        """Return the ids that are pooled, and the number of unknown ones."""
        ids = ids[: self.max_length]
        if self.unknown_id is None:
            return ids, 0
        unknown = ids == self.unknown_id
        count = int(np.count_nonzero(unknown))
        return (ids[~unknown] if count and self.drop_unknown else ids), count


class Route(Protocol):
    """Converts blocks of texts to token ids, with the rules applied."""

    def new_workspace(self) -> Any:
        """Return buffers for one thread."""

    def scan(self, block: TextBlock, workspace: Any) -> TokenRows:
        """Tokenize a block of texts."""


class PlainTokens:
    """The tokenizer itself, without truncation and padding, and the rules."""

    def __init__(self, tokenizer: Tokenizer, rules: TokenRules) -> None:
        self.tokenizer = tokenizer
        self.rules = rules

    def all_ids(self, texts: list[str]) -> list[list[int]]:
        """Return every id of whole texts, no rule applied."""
        if len(texts) == 1:
            # For a batch of one the tokenizer would start its thread pool.
            return [self.tokenizer.encode(texts[0], add_special_tokens=False).ids]
        return [e.ids for e in self.tokenizer.encode_batch_fast(texts, add_special_tokens=False)]

    def ids(self, text: str) -> tuple[npt.NDArray[np.int32], int]:
        """Return the ids of one text that are pooled, and the number of unknown ones."""
        cut = text[: self.rules.max_characters]
        ids = self.tokenizer.encode(cut, add_special_tokens=False).ids
        return self.rules.apply(np.array(ids, np.int32))

    def rows(self, texts: list[str]) -> TokenRows:
        """Tokenize texts, the rules applied."""
        cut = [text[: self.rules.max_characters] for text in texts]
        return from_lists([self.rules.apply(np.array(ids, np.int32)) for ids in self.all_ids(cut)])


def from_lists(rows: Sequence[tuple[npt.NDArray[np.int32], int]]) -> TokenRows:
    """Concatenate (ids, unknown) of several rows."""
    counts = np.array([len(ids) for ids, _ in rows], np.int64)
    return TokenRows(
        ids=np.concatenate([ids for ids, _ in rows]) if rows else np.zeros(0, np.int32),
        starts=np.cumsum(counts) - counts,
        counts=counts,
        unknown=np.array([unknown for _, unknown in rows], np.int64),
    )


class PlainRoute:
    """Tokenizes every text by the tokenizer."""

    def __init__(self, tokens: PlainTokens) -> None:
        self._tokens = tokens

    def new_workspace(self) -> None:
        """Return None: it needs no buffers."""

    def scan(self, block: TextBlock, workspace: None) -> TokenRows:
        """Tokenize a block of texts."""
        return self._tokens.rows([block.text(row) for row in range(len(block))])


class WordPieceRoute:
    """Tokenizes texts by the WordPiece kernel."""

    def __init__(self, tokens: PlainTokens, definition: WordPieceDefinition) -> None:
        from qdrant_static.encoders.chunkmemo import ChunkMemo
        from qdrant_static.encoders.wordpiece import WordPieceScanner

        rules = tokens.rules
        self._scanner = WordPieceScanner(
            definition,
            ChunkMemo(tokens.all_ids, max_bytes=MEMO_BYTES),
            tokens.all_ids,
            drop=rules.drop_unknown,
            characters=rules.max_characters,
            limit=rules.max_length,
        )
        self.new_workspace = self._scanner.new_workspace
        self.scan_one = self._scanner.scan_one

    def scan(self, block: TextBlock, workspace: Any) -> TokenRows:
        """Tokenize a block of texts."""
        return self._scanner.scan(block.data, block.starts, block.stops, workspace)


class ChunkMemoRoute:
    """Tokenizes texts by a memo of chunks; the rules are applied to all ids that it returns."""

    def __init__(self, tokens: PlainTokens, rule: Any) -> None:
        from qdrant_static.encoders.chunktokenizer import chunk_scanner

        self._rules = tokens.rules
        self._scanner = chunk_scanner(
            tokens.tokenizer, rule, limit=tokens.rules.max_length, max_bytes=MEMO_BYTES
        )

    def new_workspace(self) -> Any:
        """Return buffers for one thread."""
        from qdrant_static.encoders.chunkmemo import ScanBuffers

        return ScanBuffers()

    def scan(self, block: TextBlock, workspace: Any) -> TokenRows:
        """Tokenize a block of texts."""
        stops = block.stops
        if self._rules.max_characters is not None:
            from qdrant_static.encoders.wordpiecekernels import cut_texts

            stops = np.empty_like(block.starts)
            cut_texts(block.data, block.starts, block.stops, self._rules.max_characters, stops)
        found = self._scanner.scan(block.data, block.starts, stops, workspace)
        unknown = np.zeros(len(block), np.int64)
        rows = TokenRows(ids=found.ids, starts=found.starts, counts=found.counts, unknown=unknown)
        at = self._rules.unknown_id
        if at is None or not len(rows.ids):
            return rows
        end = int((found.starts + found.counts).max())
        if not (found.ids[:end] == at).any():
            return rows
        return from_lists(
            [
                self._rules.apply(found.ids[start : start + count])
                for start, count in zip(found.starts.tolist(), found.counts.tolist(), strict=True)
            ]
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteChoice:
    """The route of a tokenizer, and what the route needs.

    Attributes:
        name: "wordpiece", "chunk-memo" or "plain".
        reason: Why no faster one is used.
        basis: The definition or rule that the route uses.
    """

    name: str
    reason: str
    basis: Any

    def make(self, tokens: PlainTokens) -> Route:
        """Make the route; loads Numba for all but "plain"."""
        if self.name == "wordpiece":
            return WordPieceRoute(tokens, self.basis)
        if self.name == "chunk-memo":
            return ChunkMemoRoute(tokens, self.basis)
        return PlainRoute(tokens)


def choose_route(tokenizer: Tokenizer) -> RouteChoice:
    """Choose the fastest route that is proved exact for a tokenizer."""
    from qdrant_static.encoders.chunktokenizer import decide
    from qdrant_static.encoders.wordpiecedefinition import NotCoveredError, read_definition

    definition = json.loads(tokenizer.to_str())
    try:
        return RouteChoice(
            name="wordpiece", reason="", basis=read_definition(tokenizer, definition)
        )
    except NotCoveredError as error:
        not_wordpiece = error.reason
    rule = decide(tokenizer, definition)
    if rule.independent:
        return RouteChoice(name="chunk-memo", reason=f"not WordPiece: {not_wordpiece}", basis=rule)
    reason = f"not WordPiece: {not_wordpiece}; no memo: {rule.reason}"
    return RouteChoice(name="plain", reason=reason, basis=None)


def unknown_id(tokenizer: Tokenizer) -> int | None:
    """Return the id of the unknown token, as model2vec finds it."""
    model: Any = tokenizer.model
    if hasattr(model, "unk_token"):
        return None if model.unk_token is None else tokenizer.token_to_id(model.unk_token)
    found: int | None = json.loads(tokenizer.to_str())["model"].get("unk_id")
    return found
