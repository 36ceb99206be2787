"""Static models from files: model2vec's, sentence-transformers', and the one inside ``wordllama``.

The files are read here rather than by the libraries, so that a float32 table is mapped, not read:
processes that load the same file share one copy of it.
"""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from qdrant_static.encoders.static import StaticEncoder
from qdrant_static.errors import (
    EncoderNotFoundError,
    EncoderUnavailableError,
    InvalidModelError,
    MissingExtraError,
)

if TYPE_CHECKING:
    import numpy.typing as npt
    from tokenizers import Tokenizer

_FILES = (
    "*.json",
    "model.safetensors",
    "0_StaticEmbedding/*.json",
    "0_StaticEmbedding/model.safetensors",
)
_DTYPES = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "I8": "i1",
    "I64": "<i8",
    "I32": "<i4",
    "U32": "<u4",
}
_MODEL2VEC_LENGTH = 512
_TABLES = ("embeddings", "embedding.weight")


def load_folder(
    path: str | Path, *, name: str | None = None, revision: str | None = None
) -> StaticEncoder:
    """Load a folder in model2vec's format, or in sentence-transformers' for static models.

    Which of the two decides how the model treats unknown tokens and long texts: see
    `from_model2vec` and `from_sentence_transformers`.

    Args:
        path: The folder.
        name: What `load_encoder` takes to load it again; None takes the folder's whole path, so
            that another process finds it from anywhere.
        revision: The commit of the hub's repository, where it is known.

    Raises:
        EncoderNotFoundError: If the folder holds no such model.
        InvalidModelError: If its files do not fit together.
    """
    folder = Path(path).resolve()
    name = str(folder) if name is None else name
    if (folder / "0_StaticEmbedding").is_dir():
        return from_sentence_transformers(folder, name=name, revision=revision)
    if not (folder / "model.safetensors").exists() or not (folder / "tokenizer.json").exists():
        raise EncoderNotFoundError(
            name=name,
            problem="the folder holds no static model (model.safetensors and tokenizer.json)",
        )
    if (folder / "config.json").exists():
        return from_model2vec(folder, name=name, revision=revision)
    return from_sentence_transformers(folder, name=name, revision=revision)


def load_hub(name: str) -> StaticEncoder:
    """Load a model from the hub, or from the hub's cache on this machine.

    Raises:
        EncoderUnavailableError: If it is neither cached nor to be fetched.
    """
    from huggingface_hub import snapshot_download

    try:
        folder = Path(snapshot_download(name, allow_patterns=list(_FILES)))
    except Exception as error:  # the hub's client and its transport, each with its own errors
        problem = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise EncoderUnavailableError(name=name, problem=problem) from error
    return load_folder(folder, name=name, revision=folder.name)  # snapshots/<commit>


def load_wordllama() -> StaticEncoder:
    """Load WordLlama-256 from the package ``wordllama``, without importing it or reaching a hub.

    Importing the package would configure logging, and its own loader wants a network. Nothing is
    truncated, every token is pooled.

    Raises:
        MissingExtraError: If the package is not installed.
    """
    package = find_spec("wordllama")
    if package is None or not package.submodule_search_locations:
        raise MissingExtraError(
            package="wordllama", extra="offline", purpose="the offline encoder 'wordllama'"
        )
    folder = Path(package.submodule_search_locations[0])
    weights = map_safetensors(folder / "weights" / "l2_supercat_256.safetensors")
    return StaticEncoder(
        table=_table(weights, "wordllama"),
        tokenizer=_tokenizer(
            folder / "tokenizers" / "l2_supercat_tokenizer_config.json", "wordllama"
        ),
        name="wordllama",
        normalize=True,
        keep_unknown=True,
    )


def from_model2vec(
    folder: Path, *, name: str | None = None, revision: str | None = None
) -> StaticEncoder:
    """Load a model with model2vec's rules.

    Unknown tokens are left out; texts are cut to ``max_length`` times the median length of the
    vocabulary's tokens in characters, then to ``max_length`` tokens (512 unless the model says
    else).

    Raises:
        InvalidModelError: If its files do not fit together.
    """
    name = str(folder) if name is None else name
    config = _read(folder / "config.json", name)
    tokenizer = _tokenizer(folder / "tokenizer.json", name)
    tensors = map_safetensors(folder / "model.safetensors")
    max_length = config.get("max_length", _MODEL2VEC_LENGTH)
    median = int(np.median([len(token) for token in tokenizer.get_vocab()]))
    return StaticEncoder(
        table=_table(tensors, name),
        tokenizer=tokenizer,
        name=name,
        revision=revision,
        normalize=bool(config.get("normalize", False)),
        max_length=max_length,
        max_characters=None if max_length is None else max_length * median,
        weights=tensors.get("weights"),
        token_mapping=tensors.get("mapping"),
    )


def from_sentence_transformers(
    folder: Path, *, name: str | None = None, revision: str | None = None
) -> StaticEncoder:
    """Load a model made of StaticEmbedding and perhaps Normalize, with that library's rules.

    The unknown token is pooled like any other, nothing is cut (unless tokenizer.json itself asks
    for it).

    Raises:
        InvalidModelError: If it has other modules, or its files do not fit together.
    """
    name = str(folder) if name is None else name
    modules = _read(folder / "modules.json", name)
    kinds = [module["type"].rsplit(".", 1)[-1] for module in modules]
    if kinds not in (["StaticEmbedding"], ["StaticEmbedding", "Normalize"]):
        raise InvalidModelError(
            model=name, problem=f"its modules are {kinds}; valid: StaticEmbedding, Normalize"
        )
    part = folder / modules[0]["path"]
    tokenizer = _tokenizer(part / "tokenizer.json", name)
    truncation = tokenizer.truncation
    if truncation is not None and truncation["direction"] != "right":
        raise InvalidModelError(model=name, problem="its tokenizer cuts texts on the left")
    return StaticEncoder(
        table=_table(map_safetensors(part / "model.safetensors"), name),
        tokenizer=tokenizer,
        name=name,
        revision=revision,
        normalize="Normalize" in kinds,
        max_length=None if truncation is None else truncation["max_length"],
        keep_unknown=True,
    )


def map_safetensors(path: Path) -> dict[str, npt.NDArray[Any]]:
    """Map the tensors of a safetensors file into memory (copy on write, shared between processes).

    The format: 8 bytes with the length of a JSON header, the header, the tensors.

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
        raise InvalidModelError(model=str(path), problem="it is no safetensors file")
    header.pop("__metadata__", None)
    tensors: dict[str, npt.NDArray[Any]] = {}
    for name, entry in header.items():
        if entry["dtype"] not in _DTYPES:
            problem = f"its tensor {name!r} is {entry['dtype']}; valid: {', '.join(_DTYPES)}"
            raise InvalidModelError(model=str(path), problem=problem)
        tensors[name] = np.memmap(
            path,
            _DTYPES[entry["dtype"]],
            "c",
            8 + length + entry["data_offsets"][0],
            tuple(entry["shape"]),
        )
    return tensors


def _table(tensors: dict[str, npt.NDArray[Any]], path: str | Path) -> npt.NDArray[Any]:
    for name in _TABLES:
        if name in tensors:
            return tensors[name]
    if len(tensors) == 1:
        return next(iter(tensors.values()))
    raise InvalidModelError(
        model=str(path), problem=f"it has the tensors {sorted(tensors)}; valid: {_TABLES}"
    )


def _read(path: Path, model: str | Path) -> Any:
    if not path.exists():
        raise InvalidModelError(model=str(model), problem=f"it has no {path.name}")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InvalidModelError(model=str(model), problem=f"{path.name}: {error}") from error


def _tokenizer(path: Path, model: str | Path) -> Tokenizer:
    from tokenizers import Tokenizer

    if not path.exists():
        raise InvalidModelError(model=str(model), problem=f"it has no {path.name}")
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # the tokenizers raise bare exceptions
        raise InvalidModelError(model=str(model), problem=f"{path.name}: {error}") from error
