"""How the vectors of an ONNX model are made: pooling, normalization, prefixes, maximal length.

They are read from a TOML file, or else from the files of sentence-transformers.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from qdrant_static import plaindata, rules
from qdrant_static.encoders.modelfiles import read_json
from qdrant_static.errors import EncoderNotFoundError, InvalidModelError

#: What names of these models begin with in `load_encoder` and in a collection's metadata.
PREFIX = "onnx:"
SETTINGS_FILE = "encoder.toml"
_POOLINGS = ("cls", "mean")
_MODES = {"pooling_mode_cls_token": "cls", "pooling_mode_mean_tokens": "mean"}
_MODULES = ("Transformer", "Pooling", "Normalize")
_QUERY = ("query",)
_PASSAGE = ("document", "passage", "corpus")
_POOLING_FILE = "1_Pooling/config.json"
_PROMPTS_FILE = "config_sentence_transformers.json"
_LENGTH_FILE = "sentence_bert_config.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class OnnxSettings:
    """How the vectors of an ONNX model are made.

    Attributes:
        pooling: ``"cls"`` takes the first token's vector, ``"mean"`` the mean over all tokens.
            Without effect on a model whose output is one vector per text.
        normalize: Whether vectors are scaled to length 1.
        query_prefix: Put before every query.
        passage_prefix: Put before every other text.
        max_length: Texts are cut to this number of tokens, prefix and special tokens included.
        folder: The folder of the model, relative to the folder of the settings' file; None for
            that folder itself.
        model: The model's file in that folder.
    """

    pooling: Literal["cls", "mean"]
    normalize: bool = True
    query_prefix: str = ""
    passage_prefix: str = ""
    max_length: int = 512
    folder: str | None = None
    model: str = "model.onnx"

    def __post_init__(self) -> None:
        rules.check_choice("pooling", self.pooling, _POOLINGS)
        rules.check_bool("normalize", self.normalize)
        rules.check_integer("max_length", self.max_length)
        if self.folder is not None:
            rules.location("folder", self.folder)
        rules.location("model", self.model)


def read_settings(name: str) -> tuple[str, Path, OnnxSettings]:
    """Find a model and read its settings.

    Args:
        name: The model's folder, or a TOML file with its settings, with or without ``onnx:``.

    Returns:
        The name with the absolute path, the model's folder, and the settings.

    Raises:
        EncoderNotFoundError: If there is no such folder or file.
        InvalidModelError: If the settings are missing or not supported.
        ArgumentError: If the TOML file is not valid; it names the file and the key.
    """
    given = name.removeprefix(PREFIX)
    if not given.strip():
        raise EncoderNotFoundError(name=PREFIX, problem="name a folder or a TOML file after it")
    path = Path(rules.without_null("encoder", given)).expanduser().resolve()
    name = PREFIX + str(path)
    if path.is_dir():
        own = path / SETTINGS_FILE
        return name, path, _from_toml(own) if own.exists() else _from_library(path, name)
    if path.suffix != ".toml" or not path.is_file():
        problem = (
            "it is a file; give the folder of the model, or a TOML file with its settings"
            if path.exists()
            else "there is no such folder and no such TOML file"
        )
        raise EncoderNotFoundError(name=name, problem=problem)
    settings = _from_toml(path)
    folder = (path.parent / Path(settings.folder or ".").expanduser()).resolve()
    if not folder.is_dir():
        raise InvalidModelError(
            model=name, problem=f"{path.name}: folder is {settings.folder!r}; there is no {folder}"
        )
    return name, folder, settings


def _from_toml(path: Path) -> OnnxSettings:
    return plaindata.build(OnnxSettings, plaindata.read_toml(path), f"{path}: ")


def _from_library(folder: Path, name: str) -> OnnxSettings:
    """Read the settings from the files of sentence-transformers."""
    if not (folder / _POOLING_FILE).exists():
        raise InvalidModelError(
            model=name,
            problem=f"nothing says how its vectors are made: write {folder / SETTINGS_FILE} with "
            'the line pooling = "cls" (or "mean"); or a TOML file elsewhere with that line and '
            f"folder = '{folder}', and name it: onnx:FILE.toml",
        )
    query, passage = _prompts(folder, name)
    own = folder / "model.onnx"
    exported = folder / "onnx" / "model.onnx"
    return OnnxSettings(
        pooling=_pooling(folder, name),
        normalize="Normalize" in _modules(folder, name),
        query_prefix=query,
        passage_prefix=passage,
        max_length=_max_length(folder, name),
        model="onnx/model.onnx" if exported.exists() and not own.exists() else "model.onnx",
    )


def _refused(name: str, file: str, problem: str) -> InvalidModelError:
    return InvalidModelError(
        model=name, problem=f"{file}: {problem}; {SETTINGS_FILE} takes the place of these files"
    )


def _table(folder: Path, file: str, name: str) -> dict[str, Any]:
    """Return a JSON file's object; an empty one if there is no such file."""
    if not (folder / file).exists():
        return {}
    found = read_json(folder / file, name)
    if not isinstance(found, dict):
        raise _refused(name, file, "it is not an object")
    return found


def _modules(folder: Path, name: str) -> list[str]:
    file = "modules.json"
    if not (folder / file).exists():
        return []
    listed = read_json(folder / file, name)
    if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
        raise _refused(name, file, "it is not a list of modules")
    kinds = [str(one.get("type", "")).rsplit(".", 1)[-1] for one in listed]
    if unknown := [kind for kind in kinds if kind not in _MODULES]:
        raise _refused(name, file, f"it has the modules {unknown}; known: {', '.join(_MODULES)}")
    return kinds


def _pooling(folder: Path, name: str) -> Literal["cls", "mean"]:
    config = _table(folder, _POOLING_FILE, name)
    modes = [key for key in config if key.startswith("pooling_mode_") and config[key] is True]
    found = config.get("pooling_mode") if not modes else _MODES.get(modes[0])
    if len(modes) > 1 or found not in _POOLINGS:
        shown = modes or config.get("pooling_mode")
        raise _refused(name, _POOLING_FILE, f"the pooling is {shown!r}; valid: cls, mean")
    if config.get("include_prompt", True) is not True:
        raise _refused(name, _POOLING_FILE, "prompts are left out of the pooling")
    return cast("Literal['cls', 'mean']", found)


def _prompts(folder: Path, name: str) -> tuple[str, str]:
    """Return the prompts of ``encode_query`` and ``encode_document``."""
    config = _table(folder, _PROMPTS_FILE, name)
    prompts: Any = config.get("prompts") or {}
    if not isinstance(prompts, dict) or not all(isinstance(one, str) for one in prompts.values()):
        raise _refused(name, _PROMPTS_FILE, "prompts are not strings by name")
    default = config.get("default_prompt_name")
    query, passage = (
        next((str(prompts[role]) for role in (*roles, default) if role in prompts), "")
        for roles in (_QUERY, _PASSAGE)
    )
    return query, passage


def _max_length(folder: Path, name: str) -> int:
    config = _table(folder, _LENGTH_FILE, name)
    if config.get("do_lower_case"):
        raise _refused(name, _LENGTH_FILE, "do_lower_case is set")
    length = config.get("max_seq_length")
    if length is None:
        return 512
    if isinstance(length, bool) or not isinstance(length, int) or length < 1:
        raise _refused(name, _LENGTH_FILE, f"max_seq_length is {length!r}")
    return length
