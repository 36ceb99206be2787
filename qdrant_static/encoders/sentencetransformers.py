"""Loads static models in the format of sentence-transformers; refuses what it does not support.

How the library (6.2) handles a model of StaticEmbedding and perhaps Normalize:

* ``modules.json`` names the modules and their folders; ``encode`` runs them one after the other.
* ``config_sentence_transformers.json`` may name a prompt that ``encode`` puts before every text.
* ``model.safetensors`` has ``embedding.weight``; or, from model2vec, ``embeddings`` with a row for
  every token, or with a ``mapping`` from token to row and ``weights`` of tokens.
* ``tokenizer.json`` may cut texts. The unknown token is pooled like any other.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from qdrant_static.encoders.modelfiles import map_safetensors, read_json, read_tokenizer
from qdrant_static.encoders.static import StaticEncoder
from qdrant_static.errors import InvalidModelError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import numpy.typing as npt

_LIBRARY = "sentence_transformers."
_CONFIG = "config_sentence_transformers.json"
#: Prompts of `encode_query` and `encode_document`, which `encode` does not use.
_ROLES = ("query", "document", "passage", "corpus")
#: The default input and output of a module.
_FEATURE = "sentence_embedding"

_log = logging.getLogger(__name__)


def from_sentence_transformers(
    folder: Path, *, name: str | None = None, revision: str | None = None
) -> StaticEncoder:
    """Load a model of StaticEmbedding and perhaps Normalize, with the library's rules.

    Its vectors are those of `SentenceTransformer.encode`: the default prompt is put before every
    text, the unknown token is pooled like any other, and texts are cut only if tokenizer.json does.

    Raises:
        InvalidModelError: If it has unknown settings that affect vectors, or its files do not fit
            together.
    """
    name = str(folder) if name is None else name
    modules = read_modules(folder, name)
    part = folder / modules[0]["path"]
    tokenizer = read_tokenizer(part / "tokenizer.json", name)
    truncation = tokenizer.truncation
    if truncation is not None and truncation["direction"] != "right":
        raise InvalidModelError(model=name, problem="its tokenizer cuts texts on the left")
    tensors = map_safetensors(part / "model.safetensors")
    return StaticEncoder(
        table=_table(tensors, name),
        tokenizer=tokenizer,
        name=name,
        revision=revision,
        normalize=len(modules) > 1,
        max_length=None if truncation is None else truncation["max_length"],
        weights=tensors.get("weights"),
        token_mapping=tensors.get("mapping"),
        keep_unknown=True,
        prompt=default_prompt(folder, name),
    )


def read_modules(folder: Path, name: str) -> list[dict[str, Any]]:
    """Read modules.json: StaticEmbedding, and perhaps Normalize after it.

    Raises:
        InvalidModelError: If there are others, or one has other settings than the library's
        default.
    """
    modules: Any = read_json(folder / "modules.json", name)
    whole = isinstance(modules, list) and all(
        isinstance(one, dict) and isinstance(one.get("type"), str) and isinstance(path, str)
        for one in modules
        for path in [one.get("path") if isinstance(one, dict) else None]
    )
    if not whole:
        raise InvalidModelError(
            model=name, problem="modules.json is not a list of modules, each with a type and a path"
        )
    kinds = [
        one["type"].rsplit(".", 1)[-1] if one["type"].startswith(_LIBRARY) else one["type"]
        for one in modules
    ]
    if kinds not in (["StaticEmbedding"], ["StaticEmbedding", "Normalize"]):
        raise InvalidModelError(
            model=name,
            problem=f"its modules are {kinds}; valid: StaticEmbedding and Normalize of "
            "sentence-transformers, in this order",
        )
    for module in modules:
        path = folder / module["path"] / "config.json"
        if path.parent.resolve() != folder.resolve() and path.exists():
            _check_module(read_json(path, name), f"{module['path']}/config.json", name)
    return list(modules)


def default_prompt(folder: Path, name: str) -> str:
    """Return the prompt that `encode` puts before every text; empty for none.

    Raises:
        InvalidModelError: If the named prompt is missing, or it is another kind of model.
    """
    if not (folder / _CONFIG).exists():
        return ""
    config = read_json(folder / _CONFIG, name)
    kind = config.get("model_type", "SentenceTransformer")
    if kind != "SentenceTransformer":
        raise InvalidModelError(model=name, problem=f"{_CONFIG}: it is a {kind}, not an encoder")
    prompts = config.get("prompts") or {}
    chosen = config.get("default_prompt_name")
    if chosen is not None and not isinstance(prompts.get(chosen), str):
        raise InvalidModelError(
            model=name,
            problem=f"{_CONFIG}: default_prompt_name is {chosen!r}, and there are the prompts "
            f"{sorted(prompts)}",
        )
    prompt: str = "" if chosen is None else prompts[chosen]
    if unused := [role for role in _ROLES if prompts.get(role) not in (None, prompt)]:
        _log.warning(
            "%s has prompts for %s; queries and texts are both encoded as by "
            "SentenceTransformer.encode, with the default prompt %r",
            name, " and ".join(map(repr, unused)), prompt,
        )  # fmt: skip
    return prompt


def _check_module(config: Any, file: str, name: str) -> None:
    """Raise an error for settings that would change vectors."""
    for key in ("module_input_name", "module_output_name"):
        if config.get(key, _FEATURE) not in (None, _FEATURE):
            raise InvalidModelError(model=name, problem=f"{file}: {key} is {config[key]!r}")
    for key in ("mode", "pooling", "pooling_mode"):
        if config.get(key, "mean") != "mean":
            raise InvalidModelError(
                model=name, problem=f"{file}: {key} is {config[key]!r}; StaticEmbedding takes means"
            )


def _table(tensors: Mapping[str, npt.NDArray[Any]], name: str) -> npt.NDArray[Any]:
    """Return the table; raise an error for any other tensor that would be ignored."""
    for table, others in (
        ("embedding.weight", set()),
        ("embeddings", {"weights", "mapping"}),
    ):
        if table not in tensors:
            continue
        if left_out := sorted(set(tensors) - {table} - others):
            raise InvalidModelError(
                model=name,
                problem=f"model.safetensors has {', '.join(map(repr, left_out))} beside {table!r}, "
                "which libraries read differently",
            )
        return tensors[table]
    raise InvalidModelError(
        model=name,
        problem=f"model.safetensors has the tensors {sorted(tensors)}; valid: 'embedding.weight', "
        "or 'embeddings' with 'weights' and 'mapping'",
    )
