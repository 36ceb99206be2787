"""TableModel: a static model as training sees it, with one row of the table for each token id.

The vector of a text is the mean of the rows of its tokens, normalized. So the vectors of many texts
are a product of matrices: ``normalize(counts @ table)``, where ``counts`` says which share of a
text's tokens each token id has.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from qdrant_static.encoders.static import StaticEncoder
from qdrant_static.errors import ArgumentError
from qdrant_static.vectors import normalize

if TYPE_CHECKING:
    import scipy.sparse as sp
    from tokenizers import Tokenizer

    from qdrant_static.encoders.base import Encoder
    from qdrant_static.encoders.textblocks import Texts


def token_ids(tokenizer: Tokenizer) -> int:
    """Return the number of rows that a table needs: the greatest token id, and one."""
    return max(tokenizer.get_vocab(with_added_tokens=True).values(), default=-1) + 1


def character_limit(tokenizer: Tokenizer, max_length: int | None) -> int | None:
    """Return how many characters of a text model2vec reads.

    It is the number of tokens times the median length of the vocabulary's tokens in characters.

    Args:
        tokenizer: The tokenizer.
        max_length: The number of tokens; None for no limit.
    """
    if max_length is None:
        return None
    return max_length * int(np.median([len(token) for token in tokenizer.get_vocab()]))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TableModel:
    """A static model that is being trained, with model2vec's rules.

    Unknown tokens are left out, the rows of the others are averaged, and the mean is normalized.

    Attributes:
        table: float32 (rows, dim); row i belongs to token id i.
        tokenizer: The tokenizer; a copy of it is used, without truncation and padding.
        max_length: Texts are cut to this number of tokens; None for no limit.
        parent: The name of the model that training starts from.
        parent_fingerprint: Its fingerprint.
        reader: Turns texts into token ids; made from the tokenizer if it is not given.

    Raises:
        ArgumentError: The table does not fit the tokenizer.
    """

    table: NDArray[np.float32]
    tokenizer: Tokenizer
    max_length: int | None = 512
    parent: str
    parent_fingerprint: str
    reader: StaticEncoder | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        rows = token_ids(self.tokenizer)
        if self.table.ndim != 2 or len(self.table) != rows or self.table.dtype != np.float32:
            raise ArgumentError(
                field="table",
                problem=(
                    f"is {self.table.dtype} {self.table.shape}, not float32 ({rows:,}, dim): one "
                    "row for each token id of the tokenizer"
                ),
            )
        if self.reader is None:
            made = StaticEncoder(
                table=np.zeros((1, 1), np.float32),
                token_mapping=np.zeros(rows, np.int32),
                tokenizer=self.tokenizer,
                name=self.parent,
                normalize=True,
                max_length=self.max_length,
                max_characters=character_limit(self.tokenizer, self.max_length),
            )
            object.__setattr__(self, "reader", made)
            object.__setattr__(self, "tokenizer", made.tokenizer)

    @classmethod
    def from_encoder(cls, encoder: Encoder) -> TableModel:
        """Take the table and the tokenizer of a static model.

        Token weights and the mapping from token ids to rows are folded into the table. Whether the
        model sums or averages makes no difference, since vectors are normalized here.

        Raises:
            ArgumentError: The encoder is not static, or puts a prompt before every text: the
                format of model2vec has no place for one.
        """
        if not isinstance(encoder, StaticEncoder):
            raise ArgumentError(
                field="model",
                problem=(
                    f"{type(encoder).__name__} is not a static model; name a folder in the format "
                    "of model2vec or sentence-transformers, or 'wordllama'"
                ),
            )
        if encoder.prompt:
            raise ArgumentError(
                field="model",
                problem=(
                    f"{encoder.info.name!r} puts {encoder.prompt!r} before every text, which the "
                    "format of trained models cannot express; start from a model without a prompt"
                ),
            )
        return cls(
            table=encoder.token_table.by_token_id(token_ids(encoder.tokenizer)),
            tokenizer=encoder.tokenizer,
            max_length=encoder.info.max_length,
            parent=encoder.info.name,
            parent_fingerprint=encoder.info.fingerprint,
        )

    @property
    def rows(self) -> int:
        """Number of rows of the table: one for each token id."""
        return len(self.table)

    @property
    def dimension(self) -> int:
        """Length of the vectors."""
        return int(self.table.shape[1])

    def counts(self, texts: Texts) -> sp.csr_array:
        """Return the share that each token id has of each text's tokens.

        Args:
            texts: n strings, or a pyarrow array.

        Returns:
            float32 (n, rows), column indices in order; a row sums to 1, or is empty for a text
            without a known token.

        Raises:
            TextInputError: A text cannot be encoded; names its row.
        """
        import scipy.sparse as sp

        ids, ends = self._reader().tokenize(texts)
        lengths = np.diff(ends)
        shares = np.repeat((1 / np.maximum(lengths, 1)).astype(np.float32), lengths)
        found = sp.csr_array((shares, ids, ends), shape=(len(lengths), self.rows))
        found.sum_duplicates()
        return found

    def with_table(self, table: NDArray[Any]) -> TableModel:
        """Return the model with another table of as many rows; its dimension may differ."""
        return replace(self, table=np.ascontiguousarray(table, np.float32))

    def vectors(self, texts: Texts) -> NDArray[np.float32]:
        """Encode texts.

        Args:
            texts: As for `counts`.

        Returns:
            float32 (n, dim), normalized; zeros for a text without a known token.
        """
        return normalize(self.counts(texts) @ self.table)

    def _reader(self) -> StaticEncoder:
        assert self.reader is not None  # noqa: S101 - set by `__post_init__`
        return self.reader
