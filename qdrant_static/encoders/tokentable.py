"""The table of token vectors of a static model: checked, and pooled to one vector per text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from qdrant_static.errors import ArgumentError, InvalidModelError

if TYPE_CHECKING:
    import numpy.typing as npt

    from qdrant_static.encoders.textblocks import TokenRows

    Vectors = npt.NDArray[np.float32]

_NO_NORMS = np.empty(0, np.float32)


class TokenTable:
    """Token vectors, and how those of a text become one vector.

    Args:
        table: float32, float16, float64 or int8 (tokens, dim). float32 and int8 tables are read in
            place (a memory map, for instance); others are converted to float32 once.
        mapping: Integer (ids,), from token id to row of the table; None for none.
        weights: Float (ids,), a factor for every token id; None for none.
        pooling: "mean" or "sum".
        normalize: Divide vectors by their norm.
        n_ids: How many token ids the tokenizer has.
        name: The model's, for errors.

    Raises:
        InvalidModelError: If the arrays do not fit together.
        ArgumentError: If ``pooling`` is neither.

    Attributes:
        table: float32 or int8 (tokens, dim), read-only.
        mapping: int32 (ids,), or empty.
        weights: float32 (ids,), or empty.
        dtype: The name of the type that the table was given in.
    """

    def __init__(
        self,
        table: npt.NDArray[Any],
        mapping: npt.NDArray[Any] | None,
        weights: npt.NDArray[Any] | None,
        *,
        pooling: str,
        normalize: bool,
        n_ids: int,
        name: str,
    ) -> None:
        if pooling not in ("mean", "sum"):
            raise ArgumentError.of_choice(name="pooling", value=pooling, valid="'mean', 'sum'")
        self.dtype = table.dtype.name
        self.table, self.mapping, self.weights = _checked(table, mapping, weights, n_ids, name)
        self.pooling = pooling
        self.normalize = normalize

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        for part in (self.table, self.mapping, self.weights):
            part.flags.writeable = False

    @property
    def dimension(self) -> int:
        """Length of the vectors."""
        return int(self.table.shape[1])

    def by_token_id(self, n_ids: int) -> Vectors:
        """Return what each token id adds to a text: its row of the table times its weight.

        Args:
            n_ids: How many token ids the tokenizer has.

        Returns:
            float32 (n_ids, dim), a new array.
        """
        rows = self.table[self.mapping[:n_ids]] if len(self.mapping) else self.table[:n_ids]
        if len(self.weights):
            return np.asarray(rows * self.weights[:n_ids, None], np.float32)
        return np.array(rows, np.float32)

    def pool_one(self, ids: npt.NDArray[np.int32]) -> tuple[Vectors, float]:
        """Pool one text in NumPy.

        Args:
            ids: int32 (tokens,).

        Returns:
            Its vector, float32 (dim,), and the norm before normalization.
        """
        rows = self.table[self.mapping[ids] if len(self.mapping) else ids]
        if len(self.weights):
            rows = rows * self.weights[ids, None]
        # The order and precision of the kernels.
        exact = np.float64 if self.table.dtype == np.int8 else np.float32
        vector = np.add.reduce(rows, axis=0, dtype=exact)
        if self.pooling == "mean" and len(ids):
            vector = vector / np.float32(len(ids))
        vector = vector.astype(np.float32, copy=False)
        norm = float(np.sqrt(vector @ vector))
        return (vector / np.float32(norm) if self.normalize and norm > 0 else vector), norm

    def pool_few(self, tokens: TokenRows, vectors: dict[int, Vectors]) -> Vectors:
        """Pool a few texts in NumPy, before Numba is loaded.

        Args:
            tokens: Token ids of n texts.
            vectors: Width -> float32 (n, width), receives the vectors.

        Returns:
            float32 (n,), the norms before normalization.
        """
        norms = np.zeros(len(tokens.counts), np.float32)
        for row, (start, count) in enumerate(zip(tokens.starts, tokens.counts, strict=True)):
            vector, norm = self.pool_one(tokens.ids[start : start + count])
            norms[row] = norm
            for width, out in vectors.items():
                part = vector[:width]
                length = 1.0 if width == self.dimension else float(np.sqrt(part @ part))
                out[row] = part / length if length > 0 else part
        return norms

    def pool(self, tokens: TokenRows, out: Vectors, norms: Vectors = _NO_NORMS) -> None:
        """Pool texts by the kernel; loads Numba.

        Args:
            tokens: Token ids of n texts.
            out: float32 (n, dim), receives the vectors.
            norms: float32 (n,), receives the norms before normalization; or empty.
        """
        from qdrant_static.encoders import pooling

        pooling.pool(
            self.table,
            self.mapping,
            self.weights,
            tokens.ids,
            tokens.starts,
            tokens.counts,
            out,
            norms,
            self.pooling == "mean",
            self.normalize,
            pooling.INT8_RUN if self.table.dtype == np.int8 else pooling.WHOLE,
        )


def _checked(
    table: npt.NDArray[Any],
    token_mapping: npt.NDArray[Any] | None,
    weights: npt.NDArray[Any] | None,
    n_ids: int,
    name: str,
) -> tuple[npt.NDArray[Any], npt.NDArray[np.int32], npt.NDArray[np.float32]]:
    """Return the arrays as the kernels read them; check that every token id has a row."""
    if table.ndim != 2 or 0 in table.shape:
        raise InvalidModelError(
            model=name, problem=f"its table has the shape {table.shape}, not (tokens, dim)"
        )
    if table.dtype not in (np.float32, np.int8):
        if table.dtype.kind != "f":
            valid = "float32, float16, float64, int8"
            raise InvalidModelError(
                model=name, problem=f"its table is {table.dtype}; valid: {valid}"
            )
        table = table.astype(np.float32)
    mapping = (
        np.zeros(0, np.int32)
        if token_mapping is None
        else np.ascontiguousarray(token_mapping, np.int32)
    )
    factors = (
        np.zeros(0, np.float32) if weights is None else np.ascontiguousarray(weights, np.float32)
    )
    if token_mapping is None and len(table) < n_ids:
        raise InvalidModelError(
            model=name, problem=f"its table has {len(table)} rows for {n_ids} token ids"
        )
    for part, what in ((token_mapping, "mapping"), (weights, "weights")):
        if part is not None and (part.ndim != 1 or len(part) < n_ids):
            problem = f"its {what} has the shape {part.shape} for {n_ids} token ids"
            raise InvalidModelError(model=name, problem=problem)
    if len(mapping) and not 0 <= mapping.min() <= mapping.max() < len(table):
        raise InvalidModelError(
            model=name, problem=f"its mapping leaves the table of {len(table)} rows"
        )
    # Plain read-only arrays, whatever came: another type of array would be another compiled kernel.
    # A file may also place its tensors anywhere, and "A" copies what is not aligned.
    parts = [
        np.require(part, requirements=["C", "A"]).view(np.ndarray)[:]
        for part in (table, mapping, factors)
    ]
    for part in parts:
        part.flags.writeable = False
    return parts[0], parts[1], parts[2]
