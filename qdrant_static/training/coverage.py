"""What texts can teach a vocabulary, and which texts teach most where time allows only some.

The sample (`coverage_order`): each token has a mass, the square root of the number of texts that
have it, so that rare and frequent tokens both count. A share ``k / (k + 1)`` of the mass is covered
by k chosen texts with the token; a text's gain is the mass that it would cover more, divided by its
length, as that is what the teacher takes time for. Texts are chosen in rounds: those of greatest
gain first, then all gains are computed again. It is the greedy choice for a sum of concave
functions, which is at least 1 - 1/e as good as the best one (Nemhauser, Wolsey and Fisher, 1978,
doi:10.1007/BF01588971), but for rounds of more than one text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from qdrant_static.errors import ArgumentError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from tokenizers import Tokenizer

#: A fit to fewer texts than this is refused: some are held out, to choose the prior's weight.
MIN_TEXTS = 50
#: From this share of tokens that the vocabulary lacks, the model cannot represent the texts.
_FOREIGN = 0.5
#: From this share, a note says so.
_NOTED = 0.1
#: Texts whose tokens are looked at.
_LOOKED_AT = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class VocabularyUse:
    """Which rows of a table texts can teach.

    Attributes:
        rows: Number of rows of the table.
        used: Number of rows whose token occurs in a text.
        often: Number of rows whose token occurs in at least five texts.
        texts: Number of texts.
        unknown: Share of the tokens that the vocabulary does not have, 0 to 1.
    """

    rows: int
    used: int
    often: int
    texts: int
    unknown: float

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user should know before trusting the model."""
        found = []
        if self.texts < self.used:
            found.append(
                f"few texts: {self.texts:,} for the {self.used:,} rows that occur in them. Rows "
                "that occur together are learned together; the rest stays as it was at the start"
            )
        if self.unknown >= _NOTED:
            found.append(
                f"{self.unknown:.0%} of the tokens are unknown to the vocabulary, and left out"
            )
        return tuple(found)

    def __str__(self) -> str:
        return (
            f"{self.used:,} of the vocabulary's {self.rows:,} rows occur, {self.often:,} of them "
            "in five texts or more; the others keep the vector that they start with"
        )


def vocabulary_use(counts: Any, texts: Sequence[str], tokenizer: Tokenizer) -> VocabularyUse:
    """Count what texts can teach.

    Args:
        counts: Sparse ``(n, rows)``: the share of each token in each text.
        texts: The n texts.
        tokenizer: The tokenizer of the model.

    Raises:
        ArgumentError: If the texts are too few, or mostly in a script that the vocabulary lacks.
    """
    frequencies = np.bincount(counts.indices, minlength=counts.shape[1])
    use = VocabularyUse(
        rows=int(counts.shape[1]),
        used=int(np.count_nonzero(frequencies)),
        often=int(np.count_nonzero(frequencies >= 5)),
        texts=len(texts),
        unknown=unknown_share(texts, tokenizer),
    )
    if use.unknown >= _FOREIGN:
        raise ArgumentError(
            field="source",
            problem=f"the vocabulary does not have {use.unknown:.0%} of the tokens of these texts "
            f"(such as {texts[0][:60]!r}): the model could not tell them apart. Start from a "
            "model whose vocabulary has their script (parent, --parent)",
        )
    if use.texts < MIN_TEXTS:
        raise ArgumentError(
            field="source",
            problem=f"{use.texts:,} texts are too few to learn from (at least {MIN_TEXTS}): "
            f"{use.used:,} of the {use.rows:,} rows of the vocabulary occur in them",
        )
    return use


def unknown_share(texts: Sequence[str], tokenizer: Tokenizer) -> float:
    """Return the share of tokens, 0 to 1, that are unknown or single bytes, in a sample.

    A character that a vocabulary lacks becomes the unknown token, or its bytes (``<0xE3>``).
    """
    step = max(1, len(texts) // _LOOKED_AT)
    sample = list(texts[::step])
    unknown = {
        number
        for token, number in tokenizer.get_vocab(with_added_tokens=True).items()
        if token in ("[UNK]", "<unk>", "<UNK>", "UNK") or token.startswith("<0x")
    }
    named = getattr(tokenizer.model, "unk_token", None)
    if isinstance(named, str) and (number := tokenizer.token_to_id(named)) is not None:
        unknown.add(number)
    total = missing = 0
    for encoded in tokenizer.encode_batch(sample, add_special_tokens=False):
        total += len(encoded.ids)
        missing += sum(one in unknown for one in encoded.ids)
    return missing / total if total else 1.0


def coverage_order(
    counts: Any,
    lengths: NDArray[np.integer[Any]],
    *,
    budget: float,
    chosen: NDArray[np.bool_],
    worth: NDArray[np.floating[Any]] | None = None,
    rounds: int = 24,
) -> list[NDArray[np.intp]]:
    """Choose texts that together have most tokens of the corpus, rare and frequent ones.

    Args:
        counts: Sparse ``(n, rows)``: the share of each token in each text.
        lengths: ``(n,)``: what each text costs.
        budget: What all chosen texts may cost together.
        chosen: bool ``(n,)``: texts that are there already, and cost nothing.
        worth: ``(n,)``: a factor of each text's gain; None for equal ones.
        rounds: Number of times that the gains are computed.

    Returns:
        The numbers of the chosen texts, without those that were there, by round: the most useful
        first.
    """
    has = counts.copy()
    has.data = np.ones_like(has.data)
    mass = np.sqrt(np.bincount(has.indices, minlength=has.shape[1])).astype(np.float64)
    open_, cost = ~chosen, np.maximum(lengths, 1).astype(np.float64)
    covered = np.asarray(has[np.flatnonzero(chosen)].sum(axis=0)).ravel().astype(np.float64)
    price = cost if worth is None else cost / worth
    found: list[NDArray[np.intp]] = []
    spent = 0.0
    for number in range(rounds):
        left = np.flatnonzero(open_)
        allowed = budget * (number + 1) / rounds - spent
        if not len(left) or allowed <= 0:
            continue
        gains = has[left] @ (mass / ((covered + 1) * (covered + 2)))
        order = left[np.argsort(-gains / price[left], kind="stable")]
        taken = order[np.cumsum(cost[order]) <= allowed]
        if not len(taken):
            continue
        found.append(taken)
        spent += float(cost[taken].sum())
        open_[taken] = False
        covered += np.asarray(has[taken].sum(axis=0)).ravel()
    return found
