"""The files of an ONNX model, and its session in ONNX Runtime."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from qdrant_static.errors import InvalidModelError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_INPUTS = ("input_ids", "attention_mask", "token_type_ids")
_TYPES = {"tensor(int64)": np.int64, "tensor(int32)": np.int32}
#: What the names of operators of dynamic quantization begin with (DynamicQuantizeLinear, ...).
_DYNAMIC = b"DynamicQuantize"
#: The first bytes of an entry of `external_data`: its key, and the tag of its value (onnx.proto,
#: StringStringEntryProto).
_LOCATION = b"\x0a\x08location\x12"


class OnnxModel:
    """A transformer in ONNX Runtime; it may be run by several threads at once.

    Each run takes one thread, so that several batches run in parallel, each at full efficiency.

    Args:
        path: The model's file.
        name: The model's name in errors.

    Raises:
        InvalidModelError: If the file is missing or the runtime cannot load it, or if the model has
            inputs other than token ids, attention mask and token types.
    """

    def __init__(self, path: Path, name: str) -> None:
        self._name = name
        self._session = _session(path, name)
        self._inputs: dict[str, Any] = {}
        for one in self._session.get_inputs():
            if one.name not in _INPUTS or one.type not in _TYPES:
                raise InvalidModelError(
                    model=name,
                    problem=f"{path.name} has the input {one.name!r} of type {one.type}; known: "
                    f"{', '.join(_INPUTS)}, of type int64 or int32",
                )
            self._inputs[one.name] = _TYPES[one.type]
        if "input_ids" not in self._inputs:
            raise InvalidModelError(model=name, problem=f"{path.name} has no input 'input_ids'")
        self._output = self._session.get_outputs()[0].name

    @property
    def sees_padding(self) -> bool:
        """Whether it has no attention mask, so that padding changes vectors."""
        return "attention_mask" not in self._inputs

    def run(self, tokens: NDArray[np.int64], mask: NDArray[np.int64]) -> NDArray[np.float32]:
        """Run the model on one batch.

        Args:
            tokens: int64 ``(n, length)``, token ids, padded.
            mask: int64 ``(n, length)``, 1 for tokens and 0 for padding.

        Returns:
            float32: the first output, ``(n, length, dim)`` or ``(n, dim)``.

        Raises:
            InvalidModelError: If the runtime fails, or the output has another shape.
        """
        given = {
            "input_ids": tokens,
            "attention_mask": mask,
            "token_type_ids": np.zeros_like(tokens),
        }
        feed = {name: given[name].astype(kind) for name, kind in self._inputs.items()}
        try:
            output = np.asarray(self._session.run([self._output], feed)[0])
        except Exception as error:  # the runtime has an exception for each of its failures
            raise InvalidModelError(
                model=self._name,
                problem=f"it failed on {len(tokens)} texts of up to {tokens.shape[1]} tokens "
                f"(max_length may be more than it reads): {_first_line(error)}",
            ) from error
        expected = tokens.shape if output.ndim == 3 else tokens.shape[:1]
        if output.ndim not in (2, 3) or output.shape[:-1] != expected or output.shape[-1] < 2:
            raise InvalidModelError(
                model=self._name,
                problem=f"its first output {self._output!r} has the shape {output.shape} for "
                f"{len(tokens)} texts of {tokens.shape[1]} tokens; valid: (texts, tokens, "
                "dimension) or (texts, dimension)",
            )
        return output.astype(np.float32, copy=False)


def is_quantized_by_batch(path: Path) -> bool:
    """Return whether a model is quantized dynamically, as most int8 exports are.

    Such a model scales its activations by the largest number of the whole batch.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return content.find(_DYNAMIC) >= 0


def model_files(path: Path) -> list[Path]:
    """Return the file of a model, and the files in which it keeps its weights."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        names = sorted(set(_external(content)))
    return [path, *(path.parent / name for name in names)]


def _external(content: mmap.mmap) -> Iterator[str]:
    """Yield the values of ``location`` in a model's bytes."""
    at = content.find(_LOCATION)
    while at >= 0:
        at += len(_LOCATION)
        length = content[at]  # of paths, nearly always one byte
        start = at + 1
        if length >= 0x80:
            length, start = (length & 0x7F) | (content[at + 1] << 7), at + 2
        yield content[start : start + length].decode(errors="replace")
        at = content.find(_LOCATION, start)


def _session(path: Path, name: str) -> Any:
    if not path.is_file() or not path.stat().st_size:
        raise InvalidModelError(
            model=name,
            problem=f"there is no {path}; `model` in the TOML file names a file in the folder",
        )
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # its errors are raised; it would print them as well
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the runtime has an exception for each of its failures
        problem = f"{path.name}: {_first_line(error)}"
        raise InvalidModelError(model=name, problem=problem) from error


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
