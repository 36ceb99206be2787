"""Loads static models of model2vec, sentence-transformers and the package ``wordllama``.

The files are read here rather than by the libraries, so that a float32 table is memory-mapped:
processes that load the same file share one copy of it.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from qdrant_static.encoders.modelcard import fitted_to
from qdrant_static.encoders.modelfiles import map_safetensors, read_json, read_tokenizer
from qdrant_static.encoders.sentencetransformers import (
    default_prompt,
    from_sentence_transformers,
    read_modules,
)
from qdrant_static.encoders.static import StaticEncoder
from qdrant_static.errors import (
    EncoderNotFoundError,
    EncoderUnavailableError,
    InvalidModelError,
    MissingExtraError,
)

if TYPE_CHECKING:
    import numpy.typing as npt

_FILES = (
    "*.json",  # those of sub-folders as well
    "model.safetensors",
    "*_StaticEmbedding/model.safetensors",
)
_MODEL2VEC_LENGTH = 512
_TABLES = ("embeddings", "embedding.weight")


def load_folder(
    path: str | Path, *, name: str | None = None, revision: str | None = None
) -> StaticEncoder:
    """Load a folder in model2vec's format, or in sentence-transformers' for static models.

    The format determines how the model treats unknown tokens and long texts: see `from_model2vec`
    and `from_sentence_transformers`.

    Args:
        path: The folder.
        name: The name that `load_encoder` loads it by again; None for the absolute path of the
            folder, which any process can load.
        revision: The commit of the hub's repository, if known.

    Raises:
        EncoderNotFoundError: If the folder holds no such model.
        InvalidModelError: If its files do not fit together.
    """
    folder = Path(path).resolve()
    name = str(folder) if name is None else name
    if (folder / "0_StaticEmbedding").is_dir():
        return from_sentence_transformers(folder, name=name, revision=revision)
    if not (folder / "model.safetensors").exists() or not (folder / "tokenizer.json").exists():
        problem = "the folder holds no static model (model.safetensors and tokenizer.json)"
        if any((folder / one).exists() for one in ("model.onnx", "onnx/model.onnx")):
            problem += f"; it holds one in ONNX: 'onnx:{folder}'"
        raise EncoderNotFoundError(name=name, problem=problem)
    if (folder / "config.json").exists():
        return from_model2vec(folder, name=name, revision=revision)
    return from_sentence_transformers(folder, name=name, revision=revision)


def load_hub(name: str) -> StaticEncoder:
    """Load a model from the hub, or from the hub's cache on this machine.

    Raises:
        EncoderUnavailableError: If it is neither cached nor can be fetched.
    """
    from huggingface_hub import snapshot_download

    try:
        folder = Path(snapshot_download(name, allow_patterns=list(_FILES)))
    except Exception as error:  # the hub's client and its transport have their own errors
        problem = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise EncoderUnavailableError(name=name, problem=problem) from error
    return load_folder(folder, name=name, revision=folder.name)  # snapshots/<commit>


def load_wordllama() -> StaticEncoder:
    """Load WordLlama-256 from the package ``wordllama``, without importing it or reaching a hub.

    Importing the package would configure logging, and its own loader needs a network. Texts are not
    truncated, and every token is pooled.

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
        tokenizer=read_tokenizer(
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
    config = read_json(folder / "config.json", name)
    tokenizer = read_tokenizer(folder / "tokenizer.json", name)
    tensors = map_safetensors(folder / "model.safetensors")
    max_length = config.get("max_length", _MODEL2VEC_LENGTH)
    if max_length is not None and (type(max_length) is not int or max_length < 0):
        problem = f"config.json: max_length is {max_length!r}, neither a number of tokens nor null"
        raise InvalidModelError(model=name, problem=problem)
    if (folder / "modules.json").exists():
        read_modules(folder, name)  # model2vec would leave out any other
    if prompt := default_prompt(folder, name):
        problem = (
            f"config_sentence_transformers.json puts {prompt!r} before every text; model2vec, "
            "whose config.json it also has, does not: remove one of the two files"
        )
        raise InvalidModelError(model=name, problem=problem)
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
        fitted_to=fitted_to(folder),
    )


def _table(tensors: dict[str, npt.NDArray[Any]], path: str | Path) -> npt.NDArray[Any]:
    for name in _TABLES:
        if name in tensors:
            return tensors[name]
    if len(tensors) == 1:
        return next(iter(tensors.values()))
    raise InvalidModelError(
        model=str(path), problem=f"it has the tensors {sorted(tensors)}; valid: {_TABLES}"
    )
