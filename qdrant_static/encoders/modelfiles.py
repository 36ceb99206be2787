"""Reads the files of a static model: safetensors, JSON, tokenizers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from qdrant_static.errors import InvalidModelError

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt
    from tokenizers import Tokenizer
_DTYPES = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "I8": "i1",
    "I64": "<i8",
    "I32": "<i4",
    "U32": "<u4",
}
#: Letters that few vocabularies have: Canadian syllabics, Ugaritic, a rare Han character.
_RARE = ("\u1403 \U00010380", "x\U0002a6d6x")


def map_safetensors(path: Path) -> dict[str, npt.NDArray[Any]]:
    """Memory-map the tensors of a safetensors file (copy on write, shared between processes).

    The format is 8 bytes with the length of a JSON header, the header, and the tensors.

    Raises:
        InvalidModelError: There is no such file, or a tensor of a type that NumPy does not have.
    """
    if not path.exists():
        raise InvalidModelError(model=str(path), problem="there is no such file")
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(length)) if length < path.stat().st_size else None
    except ValueError:
        header = None
    if not isinstance(header, dict):
        raise InvalidModelError(model=str(path), problem="it is not a safetensors file")
    header.pop("__metadata__", None)
    tensors: dict[str, npt.NDArray[Any]] = {}
    for name, entry in header.items():
        if entry["dtype"] not in _DTYPES:
            problem = f"its tensor {name!r} is {entry['dtype']}; valid: {', '.join(_DTYPES)}"
            raise InvalidModelError(model=str(path), problem=problem)
        start, shape = 8 + length + entry["data_offsets"][0], tuple(entry["shape"])
        try:
            tensors[name] = np.memmap(path, _DTYPES[entry["dtype"]], "c", start, shape)
        except ValueError as error:  # it ends before the tensor does
            problem = f"its tensor {name!r} cannot be read: {error}"
            raise InvalidModelError(model=str(path), problem=problem) from error
    return tensors


def read_json(path: Path, model: str | Path) -> Any:
    """Read a JSON file of a model.

    Raises:
        InvalidModelError: If it is missing or not JSON.
    """
    if not path.exists():
        raise InvalidModelError(model=str(model), problem=f"it has no {path.name}")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InvalidModelError(model=str(model), problem=f"{path.name}: {error}") from error


def read_tokenizer(path: Path, model: str | Path) -> Tokenizer:
    """Read a tokenizer.

    Raises:
        InvalidModelError: If it is missing or not valid.
    """
    from tokenizers import Tokenizer

    if not path.exists():
        raise InvalidModelError(model=str(model), problem=f"it has no {path.name}")
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # the tokenizers raise bare exceptions
        raise InvalidModelError(model=str(model), problem=f"{path.name}: {error}") from error


def check_tokenizer(tokenizer: Tokenizer, name: str) -> None:
    """Raise an error if a tokenizer fails on characters that its vocabulary lacks.

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
