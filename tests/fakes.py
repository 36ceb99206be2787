"""Stand-ins that need no model and no network, and give the same numbers everywhere."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qdrant_static import RunOptions, SourceOptions, load_encoder
from qdrant_static.encoders.base import EncoderInfo
from qdrant_static.errors import TextInputError
from qdrant_static.vectors import normalize

REPOSITORY = Path(__file__).parents[1]
DIMENSION = 32
VOCABULARY = (
    "[UNK]", "[PAD]", "the", "a", "of", "in", "cat", "dog", "fish", "sea", "moon", "tide", "bread",
    "yeast", "lava", "ash", "book", "ship", "whale", "river", "red", "blue", "fast", "slow", "one",
    "two", "row", "number", "text", "title",
)  # fmt: skip


def grouped(**options: Any) -> dict[str, Any]:
    """Sort arguments of `ingest` into those of the call, of `RunOptions` and of `SourceOptions`."""
    run = {one.name: options.pop(one.name) for one in fields(RunOptions) if one.name in options}
    if "payload" in options:
        options["source_options"] = SourceOptions(payload=options.pop("payload"))
    return {**options, "run_options": RunOptions(**run)}


def shared_path(*parts: str) -> Path:
    """A path in the folder of real models and data beside the repository; skips if missing."""
    path = (REPOSITORY.parent / "shared").joinpath(*parts)
    if not path.exists():
        pytest.skip(f"no shared data: {path} is missing (tests/README.md)")
    return path


class FakeEncoder:
    """The mean of its words' hashes, normalized: texts that share words are near.

    Args:
        name: The name in its `EncoderInfo`.
        salt: Another salt gives another encoder: other vectors, another fingerprint.
        fitted_to: Fingerprints of the encoders that it claims to be fitted to.
    """

    def __init__(
        self,
        name: str = "fake",
        *,
        salt: str = "",
        dimension: int = DIMENSION,
        fitted_to: tuple[str, ...] = (),
    ) -> None:
        self._salt = salt
        self._info = EncoderInfo(
            name=name,
            dimension=dimension,
            fingerprint=f"fake-{salt or 'plain'}-{dimension}",
            fitted_to=fitted_to,
        )

    @property
    def info(self) -> EncoderInfo:
        return self._info

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        rows = np.zeros((len(texts), self._info.dimension), np.float32)
        for number, (row, text) in enumerate(zip(rows, texts, strict=True)):
            if not text.isascii() and text != text.encode("utf-8", "ignore").decode():
                raise TextInputError(problem="a lone surrogate", row=number)
            for word in text.lower().split():
                row += self._word(word)
        norms = np.linalg.norm(rows, axis=1, keepdims=True)
        norms[norms == 0] = 1
        return (rows / norms).astype(np.float32)

    def _word(self, word: str) -> np.ndarray:
        digest = blake2b(f"{self._salt} {word}".encode(), digest_size=self._info.dimension)
        return np.frombuffer(digest.digest(), np.uint8).astype(np.float32) - 127.5


class FittedEncoder:
    """A fake model that was fitted to another encoder: that one's vectors, a little off.

    Args:
        teacher: The encoder that it was fitted to.
        name: The name in its `EncoderInfo`.
        noise: How far its vectors are off; another figure is another encoder.
    """

    def __init__(self, teacher: FakeEncoder, name: str = "fitted", *, noise: float = 0.3) -> None:
        self._teacher, self._noise = teacher, noise
        dimension = teacher.info.dimension
        self._other = FakeEncoder(salt="noise", dimension=dimension)
        self._info = EncoderInfo(
            name=name,
            dimension=dimension,
            fingerprint=f"{teacher.info.fingerprint}-fitted-{noise}",
            fitted_to=(teacher.info.fingerprint,),
        )
        #: What it has encoded.
        self.seen: list[str] = []

    @property
    def info(self) -> EncoderInfo:
        return self._info

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        self.seen += texts
        exact = FakeEncoder.encode(self._teacher, texts)
        return normalize(exact + self._noise * self._other.encode(texts))


def build_fitted_model(folder: Path, teacher: Path, *, noise: float = 0.05) -> Path:
    """Write a static model that was fitted to another, and says so in its card.

    Args:
        folder: Where to.
        teacher: The folder of the other one.
        noise: How far its table is off.
    """
    from model2vec import StaticModel

    parent = StaticModel.from_pretrained(teacher)
    off = np.random.default_rng(9).standard_normal(parent.embedding.shape)
    fitted = StaticModel(
        (parent.embedding + noise * off).astype(np.float32), parent.tokenizer, normalize=True
    )
    fitted.save_pretrained(folder)
    card = {"teacher": {"fingerprint": load_encoder(teacher).info.fingerprint}}
    (folder / "card.json").write_text(json.dumps(card))
    return folder


def build_static_model(
    folder: Path,
    *,
    kind: str = "wordlevel",
    normalize: bool = True,
    max_length: int | None = 512,
    quantized: bool = False,
    dimension: int = DIMENSION,
    seed: int = 0,
) -> Path:
    """Write a small model in model2vec's format: a real tokenizer, a random table.

    Args:
        folder: Where to.
        kind: The tokenizer: ``"wordlevel"`` or ``"wordpiece"``.
        normalize: See model2vec.
        max_length: See model2vec.
        quantized: With a token mapping and weights, as vocabulary quantization makes them.
        dimension: Of the table.
        seed: Of the table.
    """
    from model2vec import StaticModel
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    words = list(VOCABULARY)
    if kind == "wordpiece":
        words += ["##s", "##ing", "##er", "un", "##fish"]
        model = models.WordPiece({w: i for i, w in enumerate(words)}, unk_token="[UNK]")  # noqa: S106
    else:
        model = models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="[UNK]")  # noqa: S106
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    generator = np.random.default_rng(seed)
    rows = 7 if quantized else len(words)
    built = StaticModel(
        generator.standard_normal((rows, dimension)).astype(np.float32),
        tokenizer,
        normalize=normalize,
        max_length=max_length,
        token_mapping=generator.integers(0, rows, len(words)) if quantized else None,
        weights=generator.random(len(words)).astype(np.float32) if quantized else None,
    )
    built.save_pretrained(folder)
    return folder


def write_jsonl(path: Path, records: Iterable[Any]) -> Path:
    """Records as JSON Lines; gzip where the name says so. A str or bytes is written as it is."""
    lines = [
        record if isinstance(record, bytes)
        else record.encode() if isinstance(record, str)
        else json.dumps(record).encode()
        for record in records
    ]  # fmt: skip
    content = b"".join(line + b"\n" for line in lines)
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """What a child process left."""

    code: int
    out: str
    err: str


def clean_environment() -> dict[str, str]:
    """The environment of a child: offline, 100 columns wide, nothing of the user's."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("QDRANT", "HF_", "PYTEST"))}
    return {**kept, "HF_HUB_OFFLINE": "1", "COLUMNS": "100", "PYTHONWARNINGS": "default"}


def run_cli(*arguments: str | Path, cwd: Path) -> Finished:
    """Run ``qdrant-static`` in a process of its own."""
    code = "from qdrant_static.cli import main; main()"
    return run_python(code, *arguments, cwd=cwd)


def run_python(code: str, *arguments: str | Path, cwd: Path, timeout_s: float = 120) -> Finished:
    """Run Python code in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        env=clean_environment(),
        timeout=timeout_s,
        check=False,
    )
    return Finished(code=done.returncode, out=done.stdout, err=done.stderr)
