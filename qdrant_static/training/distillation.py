"""Distills a transformer with model2vec: the vector of each token alone, PCA, weights by rank."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from qdrant_static import rules
from qdrant_static.encoders.loading import load_folder
from qdrant_static.errors import (
    ArgumentError,
    EncoderUnavailableError,
    MissingExtraError,
)
from qdrant_static.files import replace_file
from qdrant_static.training.modelfolder import FORMAT
from qdrant_static.training.versions import versions

#: How model2vec pools the tokens' outputs of a transformer.
POOLINGS = ("mean", "last", "first", "pooler")


@dataclass(frozen=True, slots=True, kw_only=True)
class Distillation:
    """What `distill` made.

    Attributes:
        path: The model's folder.
        teacher: The transformer.
        fingerprint: Fingerprint of the new model.
        dimension: Length of its vectors.
        rows: Number of tokens in its vocabulary.
        seconds: Time taken, without loading the libraries.
    """

    path: str
    teacher: str
    fingerprint: str
    dimension: int
    rows: int
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain data."""
        return asdict(self)

    def __str__(self) -> str:
        return (
            f"distilled {self.teacher} in {self.seconds:,.1f} s\n"
            f"{self.path}: {self.rows:,} tokens, {self.dimension} dimensions, "
            f"fingerprint {self.fingerprint}\n"
            f"next: qdrant-static ingest FILES --encoder {self.path}"
        )


def distill(
    teacher: str | os.PathLike[str],
    *,
    out: str | os.PathLike[str],
    dimension: int = 256,
    pooling: str = "mean",
    vocabulary: Sequence[str] = (),
) -> Distillation:
    """Distill a transformer by model2vec's own function, with its defaults.

    Args:
        teacher: A folder with the transformer in Hugging Face's format, or its name on the hub.
        out: The folder to write; it must not exist, or be empty.
        dimension: PCA reduces the vectors to so many dimensions.
        pooling: How the vectors of a token's pieces become one: mean, last, first or pooler.
        vocabulary: Words that become tokens besides those of the transformer.

    Raises:
        MissingExtraError: If PyTorch or another package of the extra ``train`` is not installed.
        EncoderUnavailableError: If the transformer can neither be found nor fetched.
        ArgumentError: If the folder exists, or model2vec refuses a value.
    """
    rules.check_integer("dimension", dimension)
    rules.check_choice("pooling", pooling, POOLINGS)
    folder = Path(rules.location("out", out)).expanduser().resolve()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ArgumentError(field="out", problem=f"{folder} exists: name a new folder")
    name = os.path.expanduser(os.fspath(teacher))
    distilled = _distill_function()
    started = time.monotonic()
    try:
        model = distilled(
            name, vocabulary=list(vocabulary) or None, pca_dims=dimension, pooling=pooling
        )
    except OSError as error:  # what transformers raises where it finds no model
        problem = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise EncoderUnavailableError(name=name, problem=problem) from error
    except ValueError as error:
        raise ArgumentError(field="teacher", problem=f"{name}: {error}") from error
    seconds = time.monotonic() - started
    model.save_pretrained(folder)
    loaded = load_folder(folder)
    report = Distillation(
        path=str(folder),
        teacher=name,
        fingerprint=loaded.info.fingerprint,
        dimension=loaded.info.dimension,
        rows=loaded.tokenizer.get_vocab_size(with_added_tokens=True),
        seconds=seconds,
    )
    card = {
        "format": FORMAT,
        "kind": "distilled",
        "fingerprint": report.fingerprint,
        # Not "teacher": the vectors of a distilled model cannot be compared with the transformer's.
        "distilled_from": {"name": name},
        "recipe": {
            "dimension": dimension,
            "pooling": pooling,
            "added_words": len(vocabulary),
        },
        "figures": {"seconds": round(seconds, 1)},
        "versions": versions("torch", "transformers"),
    }
    replace_file(folder / "card.json", json.dumps(card, indent=2).encode() + b"\n")
    return report


def _distill_function() -> Any:
    """Return model2vec's ``distill``, whose import needs PyTorch."""
    try:
        from model2vec.distill import distill as function
    except ImportError as error:
        raise MissingExtraError(
            package=error.name or "torch", extra="train", purpose="distillation by model2vec"
        ) from error
    return function
