"""Reads and writes heads: matrices that shorten the vectors of any model.

A head is two files. The JSON file says what the head takes and gives; the matrix is beside it, in
a `.safetensors` file of the same name. `train compress` writes them, and `train adapt` for the
documents of asymmetric search.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qdrant_static.errors import ArgumentError, EncoderNotFoundError, InvalidModelError
from qdrant_static.files import replace_file
from qdrant_static.rules import check_integer
from qdrant_static.vectors import fingerprint, normalize

#: The head's file in the folder of a model: what to do with its teacher's vectors of documents.
DOCUMENTS = "documents.json"
#: Version of the JSON file's form.
FORMAT = 1
_MATRIX = "matrix"
_MEAN = "mean"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Head:
    """A matrix that shortens vectors, such that its first columns serve the smaller sizes.

    Attributes:
        matrix: float32 ``(inputs, outputs)``. Columns 1 to d make the vector of size d.
        sizes: The sizes that it was trained for, in falling order; the first is ``outputs``.
        mean: float32 ``(inputs,)``, subtracted from the vectors first; None to subtract nothing.
        encoder: The name that `load_encoder` loads the encoder of its vectors by; None for vectors
            that come ready.
        encoder_fingerprint: The fingerprint of that encoder; None where it is not known, and any
            encoder of the right dimension is accepted.
        card: How it was made, as JSON-like data.
    """

    matrix: NDArray[np.float32]
    sizes: tuple[int, ...]
    mean: NDArray[np.float32] | None = None
    encoder: str | None = None
    encoder_fingerprint: str | None = None
    card: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        matrix = np.asarray(self.matrix)
        if matrix.ndim != 2 or not matrix.size or not np.isfinite(matrix).all():
            raise ArgumentError(
                field="matrix",
                problem=f"an array of shape {matrix.shape} is not a matrix of finite numbers",
            )
        object.__setattr__(self, "matrix", np.ascontiguousarray(matrix, dtype=np.float32))
        if self.mean is not None:
            mean = np.asarray(self.mean, dtype=np.float32)
            if mean.shape != matrix.shape[:1] or not np.isfinite(mean).all():
                raise ArgumentError(
                    field="mean",
                    problem=f"an array of shape {mean.shape} is not {matrix.shape[0]} finite "
                    "numbers, one for each row of the matrix",
                )
            object.__setattr__(self, "mean", mean)
        object.__setattr__(self, "sizes", checked_sizes(self.sizes, matrix.shape[1]))
        if self.sizes[0] != matrix.shape[1]:
            raise ArgumentError(
                field="sizes",
                problem=f"the first is {self.sizes[0]}; the matrix has {matrix.shape[1]} columns",
            )

    @property
    def inputs(self) -> int:
        """Dimension of the vectors that it takes."""
        return int(self.matrix.shape[0])

    @property
    def outputs(self) -> int:
        """Dimension of the vectors that it gives."""
        return int(self.matrix.shape[1])

    @property
    def fingerprint(self) -> str:
        """Digest of the matrix, of the mean, and of the encoder that it is for."""
        mean = () if self.mean is None else (self.mean,)
        return fingerprint("head", self.encoder_fingerprint or "", self.matrix, *mean)

    def apply(self, vectors: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
        """Scale vectors to length 1, subtract the mean, and multiply by the matrix.

        Args:
            vectors: ``(n, inputs)``.

        Returns:
            float32 ``(n, outputs)``, of length 1; a row of zeros stays zeros.

        Raises:
            ArgumentError: If the vectors have another dimension.
        """
        rows = np.asarray(vectors, dtype=np.float32)
        if rows.ndim != 2 or rows.shape[1] != self.inputs:
            raise ArgumentError(
                field="vectors",
                problem=f"an array of shape {rows.shape}; the head takes (n, {self.inputs})",
            )
        unit = normalize(rows)
        if self.mean is not None:
            unit = np.where(unit.any(1, keepdims=True), unit - self.mean, unit)
        return normalize(unit @ self.matrix)


def checked_sizes(sizes: Sequence[int], dimension: int) -> tuple[int, ...]:
    """Return sizes as a tuple, checked: falling, and within the dimension.

    Raises:
        ArgumentError: If they are not.
    """
    given = tuple(sizes)
    if not given:
        raise ArgumentError(field="sizes", problem="there is none")
    for size in given:
        check_integer("sizes", size, greatest=dimension)
    if any(later >= earlier for earlier, later in pairwise(given)):
        raise ArgumentError(field="sizes", problem=f"{list(given)} do not fall")
    return given


def save_head(head: Head, path: str | os.PathLike[str]) -> Path:
    """Write a head as two files.

    Args:
        head: The head.
        path: The JSON file; the matrix is written beside it, with the ending `.safetensors`.

    Returns:
        The absolute path of the JSON file.

    Raises:
        ArgumentError: If the path does not end in `.json`, or holds something else.
    """
    from safetensors.numpy import save

    file = Path(os.path.expanduser(path)).resolve()
    if file.suffix != ".json":
        raise ArgumentError(field="out", problem=f"{os.fspath(path)!r} does not end in .json")
    if file.exists() and not _is_head(file):
        raise ArgumentError(field="out", problem=f"{file} exists, and is not a head")
    matrix = file.with_suffix(".safetensors")
    if matrix.exists() and not file.exists():
        raise ArgumentError(field="out", problem=f"{matrix} exists, and belongs to no head")
    file.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "format": "qdrant-static head",
        "version": FORMAT,
        "inputs": head.inputs,
        "sizes": list(head.sizes),
        "matrix": matrix.name,
        "fingerprint": head.fingerprint,
        "encoder": head.encoder,
        "encoder_fingerprint": head.encoder_fingerprint,
        "card": dict(head.card),
    }
    tensors = {_MATRIX: head.matrix} | ({} if head.mean is None else {_MEAN: head.mean})
    replace_file(matrix, save(tensors))
    replace_file(file, (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode())
    return file


def head_file(path: str | os.PathLike[str]) -> Path:
    """Return the absolute path of a head's JSON file.

    Args:
        path: The file, or the folder of a model that has one.
    """
    file = Path(os.path.expanduser(path)).resolve()
    return file / DOCUMENTS if file.is_dir() else file


def load_head(path: str | os.PathLike[str]) -> Head:
    """Read a head that `save_head` wrote.

    Args:
        path: Its JSON file, or the folder of a model that has one.

    Raises:
        EncoderNotFoundError: If there is no such file.
        InvalidModelError: If it is not a head, or its two files do not fit together.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    file = head_file(path)
    if not file.is_file():
        raise EncoderNotFoundError(name=f"head:{path}", problem=f"there is no file {file}")
    if not _is_head(file):
        raise InvalidModelError(model=str(file), problem="it is not the JSON file of a head")
    content = json.loads(file.read_text(encoding="utf-8"))
    if content.get("version") != FORMAT:
        raise InvalidModelError(
            model=str(file),
            problem=f"its version is {content.get('version')!r}; this package reads {FORMAT}",
        )
    try:
        tensors = load_file(file.parent / Path(content["matrix"]).name)
        head = Head(
            matrix=tensors[_MATRIX],
            mean=tensors.get(_MEAN),
            sizes=tuple(content["sizes"]),
            encoder=content["encoder"],
            encoder_fingerprint=content["encoder_fingerprint"],
            card=content["card"],
        )
    except (OSError, KeyError, TypeError, SafetensorError, ArgumentError) as error:
        problem = f"{type(error).__name__}: {error}"
        raise InvalidModelError(model=str(file), problem=problem) from error
    if head.fingerprint != content.get("fingerprint"):
        raise InvalidModelError(
            model=str(file), problem=f"{content['matrix']} is not the matrix that it was saved with"
        )
    return head


def _is_head(file: Path) -> bool:
    """Return whether a file is the JSON file of a head, of any version."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and content.get("format") == "qdrant-static head"
