"""Writes and reads the folders of trained models: model2vec's format, and a card.

A folder holds ``config.json``, ``modules.json``, ``tokenizer.json`` and ``model.safetensors``, as
model2vec writes them, ``README.md`` for people, and ``card.json``: where the model comes from, how
it was made, and what was measured. The card also marks a folder as ours: no other is replaced. A
model that was fitted to a teacher also has ``documents.json`` and ``documents.safetensors``, a head
for the teacher's vectors.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qdrant_static import rules
from qdrant_static._version import __version__
from qdrant_static.clock import now
from qdrant_static.encoders.head import DOCUMENTS, Head, save_head
from qdrant_static.encoders.modelcard import CARD, read_card
from qdrant_static.encoders.static import StaticEncoder
from qdrant_static.errors import ArgumentError, InvalidModelError
from qdrant_static.files import replace_file, sync_folder
from qdrant_static.training.tablemodel import TableModel, character_limit
from qdrant_static.training.versions import versions

#: What a card of ours begins with.
FORMAT = "qdrant-static model card 1"
_DTYPES = ("float32", "float16", "int8")
_README_HEAD = """---
library_name: model2vec
tags:
- embeddings
- static-embeddings
- sentence-transformers
---
"""


def save_model(
    model: TableModel,
    folder: str | Path,
    card: Mapping[str, Any],
    *,
    dtype: str = "float32",
    documents: Head | None = None,
) -> str:
    """Write a model that model2vec, sentence-transformers and `load_encoder` load.

    The files are written to a new folder beside, which then takes the place of the old one: a
    reader never finds half a model.

    Args:
        model: The model.
        folder: Where to; made if it is missing. A model that was written here before is replaced.
        card: What is known of the model: recipe, data, seed, figures. Plain data, as JSON has it.
        dtype: Type of the table: "float32", "float16", or "int8" (scaled by its greatest value,
            a quarter of the size).
        documents: What makes vectors that the model's can be compared with, of another encoder's;
            ``head:FOLDER`` loads it.

    Returns:
        The fingerprint of the model, as `load_encoder(folder).info.fingerprint` gives it.

    Raises:
        ArgumentError: The folder holds something else than a model with our card, the table has
            values that are not finite, or the card is not plain data.
    """
    target = Path(rules.location("folder", folder)).expanduser().absolute()
    rules.check_choice("dtype", dtype, _DTYPES)
    require_ours(target)
    if not np.isfinite(model.table).all():
        raise ArgumentError(
            field="table", problem="has values that are not finite; training has diverged"
        )
    table = _as_type(model.table, dtype)
    mapping = _mapping(model)
    print_ = _fingerprint(model, table, mapping)
    whole = _whole_card(model, card, dtype, print_)
    target.parent.mkdir(parents=True, exist_ok=True)
    written = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    shutil.rmtree(written, ignore_errors=True)
    written.mkdir()
    try:
        _write(written, model, table, mapping, whole)
        if documents is not None:
            save_head(documents, written / DOCUMENTS)
        _put_in_place(written, target)
    finally:
        shutil.rmtree(written, ignore_errors=True)
    return print_


def require_ours(folder: Path) -> None:
    """Refuse a place that holds something else than a model with our card.

    Raises:
        ArgumentError: It is a file, or a folder with other content.
    """
    if folder.is_dir():
        if not _is_ours(folder) and any(folder.iterdir()):
            raise ArgumentError(
                field="folder",
                problem=f"{folder} holds files that training did not write; name another folder",
            )
    elif folder.exists() or folder.is_symlink():
        raise ArgumentError(field="folder", problem=f"{folder} is not a folder; name another one")


def _is_ours(folder: Path) -> bool:
    """Return whether a folder has a card that this module wrote."""
    try:
        return (read_card(folder) or {}).get("format") == FORMAT
    except InvalidModelError:
        return False


def _as_type(table: NDArray[np.float32], dtype: str) -> NDArray[Any]:
    """Return the table in a smaller type; vectors keep their direction up to rounding."""
    if dtype == "int8":
        scale = float(np.abs(table).max()) / 127 or 1.0
        return np.asarray(np.clip(np.rint(table / scale), -127, 127), np.int8)
    if dtype == "float16":
        greatest = float(np.abs(table).max())
        # float16 ends at 65,504, and the vectors' lengths make no difference.
        return (table / greatest if greatest > 60_000 else table).astype(np.float16)
    return table


def _mapping(model: TableModel) -> NDArray[np.int64] | None:
    """Return a mapping where token ids have gaps: model2vec wants one row for each token."""
    if len(model.tokenizer.get_vocab(with_added_tokens=True)) == model.rows:
        return None
    return np.arange(model.rows)


def _fingerprint(model: TableModel, table: NDArray[Any], mapping: NDArray[np.int64] | None) -> str:
    loaded = StaticEncoder(
        table=table,
        token_mapping=mapping,
        tokenizer=model.tokenizer,
        name=model.parent,
        normalize=True,
        max_length=model.max_length,
        max_characters=character_limit(model.tokenizer, model.max_length),
    )
    return loaded.info.fingerprint


def _whole_card(
    model: TableModel, card: Mapping[str, Any], dtype: str, print_: str
) -> dict[str, Any]:
    whole = {
        "format": FORMAT,
        **card,
        "fingerprint": print_,
        "parent": model.parent,
        "parent_fingerprint": model.parent_fingerprint,
        "dimension": model.dimension,
        "rows": model.rows,
        "dtype": dtype,
        "max_length": model.max_length,
        "made": now(),
        "versions": versions(),
    }
    return dict(json.loads(_json(whole)))


def _write(
    folder: Path,
    model: TableModel,
    table: NDArray[Any],
    mapping: NDArray[np.int64] | None,
    card: dict[str, Any],
) -> None:
    from safetensors.numpy import save

    tensors = {"embeddings": np.ascontiguousarray(table)}
    config: dict[str, Any] = {
        "model_type": "model2vec",
        "architectures": ["StaticModel"],
        "normalize": True,
        "max_length": model.max_length,
        "hidden_dim": model.dimension,
        "embedding_dtype": table.dtype.name,
    }
    if mapping is not None:
        tensors["mapping"] = mapping
        config["vocabulary_quantization"] = len(table)
    kind = "sentence_transformers.models"
    modules = [
        {"idx": 0, "name": "0", "path": ".", "type": f"{kind}.StaticEmbedding"},
        {"idx": 1, "name": "1", "path": "1_Normalize", "type": f"{kind}.Normalize"},
    ]
    replace_file(folder / "model.safetensors", save(tensors))
    replace_file(folder / "tokenizer.json", model.tokenizer.to_str().encode())
    replace_file(folder / "config.json", _json(config))
    replace_file(folder / "modules.json", _json(modules))
    replace_file(folder / "README.md", _readme(card).encode())
    replace_file(folder / CARD, _json(card))


def _put_in_place(written: Path, target: Path) -> None:
    """Rename the new folder to its place; an older model there is moved aside first."""
    if target.is_dir():
        old = target.with_name(f".{target.name}.{os.getpid()}.old")
        shutil.rmtree(old, ignore_errors=True)
        target.rename(old)
        try:
            written.rename(target)
        except OSError:
            old.rename(target)
            raise
        shutil.rmtree(old, ignore_errors=True)
    else:
        written.rename(target)
    sync_folder(target.parent)


def _json(data: object) -> bytes:
    try:
        return (json.dumps(data, indent=2, default=_plain, allow_nan=False) + "\n").encode()
    except (TypeError, ValueError) as error:
        raise ArgumentError(field="card", problem=f"is not plain data: {error}") from error


def _plain(value: object) -> Any:
    """Return NumPy's numbers and arrays, paths and tuples as JSON has them."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"an object of type {type(value).__name__}")


def _readme(card: Mapping[str, Any]) -> str:
    """Return the card as Markdown: a table of what is known, nested values as JSON."""
    rows = [f"| {key} | {_cell(value)} |" for key, value in card.items() if key != "format"]
    return "\n".join(
        [
            _README_HEAD,
            f"# Static embedding model, {card['dimension']} dimensions",
            "",
            f"Fitted by qdrant-static {__version__} from `{card['parent']}`. The vector of a text "
            "is the normalized mean of its tokens' vectors.",
            "",
            "```python",
            "from model2vec import StaticModel",
            "",
            'model = StaticModel.from_pretrained("this folder")',
            "```",
            "",
            "| | |",
            "|---|---|",
            *rows,
            "",
        ]
    )


def _cell(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text.replace("|", "\\|").replace("\n", " ")
