"""Changes the vocabulary of a WordPiece model: frequent words get rows, unused rows are dropped.

A word of the corpus that is cut into pieces shares their rows with all other words that have them.
As a piece of its own it gets a row of its own. WordPiece takes the longest piece that fits, so that
a new word is also the beginning of longer ones: with ``aerodynamic`` as a piece, ``aerodynamics``
becomes ``aerodynamic`` and ``##s``. The new vocabulary is an ordinary one, which model2vec and our
kernels read as any other.

Dropping rows that no text has changes nothing for these texts: the longest piece that fits stays.
Single characters and special tokens stay, so that every word can still be cut.

In the vocabularies of BPE and Unigram models the pieces of a word depend on merges and scores that
a new word does not have; they are left as they are, and `why_fixed` says so.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from qdrant_static.training.tablemodel import TableModel

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from tokenizers import Tokenizer

#: A word gets a row if it is in so many texts at least.
MIN_WORD_TEXTS = 10
MIN_WORD_CHARACTERS = 4
#: Texts in which words are counted, spread evenly over the corpus.
_COUNTED = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class NewWord:
    """A word that gets a row of its own.

    Attributes:
        word: As the normalizer leaves it.
        pieces: The token ids that it has been so far.
        texts: Number of texts that have it, among those counted.
    """

    word: str
    pieces: tuple[int, ...]
    texts: int


def why_fixed(tokenizer: Tokenizer) -> str | None:
    """Return why a vocabulary cannot be changed; None if it can."""
    model = json.loads(tokenizer.to_str())["model"]
    if model["type"] != "WordPiece":
        return f"its tokenizer is of type {model['type']}, and only WordPiece can be changed"
    if not model["continuing_subword_prefix"]:
        return "its pieces do not say whether they begin a word"
    return None


def frequent_words(tokenizer: Tokenizer, texts: Sequence[str], limit: int) -> list[NewWord]:
    """Find the words of a corpus that would save most tokens as rows of their own.

    Args:
        tokenizer: A WordPiece tokenizer that `why_fixed` admits.
        texts: Passages, each of which counts a word once.
        limit: The most words.

    Returns:
        Words of letters that are cut into pieces, by the number of pieces saved.
    """
    prefix = json.loads(tokenizer.to_str())["model"]["continuing_subword_prefix"]
    found: Counter[tuple[int, ...]] = Counter()
    spelled: dict[tuple[int, ...], str] = {}
    for encoded in tokenizer.encode_batch(
        list(texts[:: max(1, len(texts) // _COUNTED)]), add_special_tokens=False
    ):
        seen = set()
        ids, tokens, words = encoded.ids, encoded.tokens, encoded.word_ids
        start = 0
        for at in range(1, len(ids) + 1):
            if at < len(ids) and words[at] == words[start] and words[at] is not None:
                continue
            if at - start > 1:
                pieces = tuple(ids[start:at])
                seen.add(pieces)
                if pieces not in spelled:
                    rest = (one.removeprefix(prefix) for one in tokens[start + 1 : at])
                    spelled[pieces] = tokens[start] + "".join(rest)
            start = at
        found.update(seen)
    known = tokenizer.get_vocab(with_added_tokens=True)
    words_ = [
        NewWord(word=spelled[pieces], pieces=pieces, texts=count)
        for pieces, count in found.items()
        if count >= MIN_WORD_TEXTS and _is_word(spelled[pieces]) and spelled[pieces] not in known
    ]
    words_.sort(key=lambda one: (-one.texts * (len(one.pieces) - 1), one.word))
    return words_[:limit]


def with_words(
    model: TableModel, words: Sequence[NewWord], rows: NDArray[np.float32]
) -> TableModel:
    """Return the model with rows for words.

    Args:
        model: The model.
        words: n words.
        rows: float32 ``(n, dimension)``.
    """
    definition = json.loads(model.tokenizer.to_str())
    for number, word in enumerate(words, model.rows):
        definition["model"]["vocab"][word.word] = number
    return _changed(model, definition, np.concatenate([model.table, rows]))


def without_unused(model: TableModel, counts: Any) -> TableModel:
    """Return the model without the rows that no text has.

    Args:
        model: The model.
        counts: Sparse ``(n, rows)``: the share of each token in each text.
    """
    definition = json.loads(model.tokenizer.to_str())
    prefix = definition["model"]["continuing_subword_prefix"]
    used = np.bincount(counts.indices, minlength=model.rows) > 0
    special = {one["content"] for one in definition["added_tokens"]}
    special.add(definition["model"]["unk_token"])
    old = definition["model"]["vocab"]
    kept = sorted(
        (number, token)
        for token, number in old.items()
        if used[number] or token in special or len(token.removeprefix(prefix)) == 1
    )
    definition["model"]["vocab"] = {token: at for at, (_, token) in enumerate(kept)}
    for one in definition["added_tokens"]:
        if one["content"] in definition["model"]["vocab"]:
            one["id"] = definition["model"]["vocab"][one["content"]]
        else:
            kept.append((one["id"], one["content"]))
            one["id"] = len(kept) - 1
    # It names ids of special tokens, which a static model leaves out.
    definition["post_processor"] = None
    return _changed(model, definition, model.table[[number for number, _ in kept]])


def _changed(
    model: TableModel, definition: dict[str, Any], table: NDArray[np.float32]
) -> TableModel:
    tokenizer = type(model.tokenizer).from_str(json.dumps(definition))
    return replace(model, tokenizer=tokenizer, table=np.ascontiguousarray(table), reader=None)


def _is_word(text: str) -> bool:
    return len(text) >= MIN_WORD_CHARACTERS and text.isalpha()
