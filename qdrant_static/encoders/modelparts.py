"""The arrays of a static model: do they fit together, and in the form that the kernels read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from qdrant_static.errors import InvalidModelError

if TYPE_CHECKING:
    import numpy.typing as npt
    from tokenizers import Tokenizer

#: Letters that few vocabularies have: Canadian syllabics, Ugaritic, a rare Han character.
_RARE = ("\u1403 \U00010380", "x\U0002a6d6x")


def check_tokenizer(tokenizer: Tokenizer, name: str) -> None:
    """Refuse a tokenizer that fails on characters which its vocabulary does not have.

    Raises:
        InvalidModelError: If its model names an unknown token that its vocabulary lacks.
    """
    try:
        for text in _RARE:
            tokenizer.encode(text, add_special_tokens=False)
    except Exception as error:  # the tokenizers raise bare exceptions
        problem = (
            f"its tokenizer has no token for what is not in its vocabulary ({error}): add the "
            "unknown token to the vocabulary of tokenizer.json"
        )
        raise InvalidModelError(model=name, problem=problem) from error


def check_parts(
    table: npt.NDArray[Any],
    token_mapping: npt.NDArray[Any] | None,
    weights: npt.NDArray[Any] | None,
    n_ids: int,
    name: str,
) -> tuple[npt.NDArray[Any], npt.NDArray[np.int32], npt.NDArray[np.float32]]:
    """Return the parts as the kernels read them, once every token id has a row in them."""
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
