"""StaticEncoder: a token table and a tokenizer; a text is the mean of its tokens' rows."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from qdrant_static.encoders.base import EncoderInfo
from qdrant_static.errors import (
    EncoderNotFoundError,
    EncoderUnavailableError,
    MissingExtraError,
    TextInputError,
)
from qdrant_static.vectors import fingerprint, normalize

if TYPE_CHECKING:
    from model2vec import StaticModel
    from tokenizers import Tokenizer


class StaticEncoder:
    """Encodes texts with a static embedding model, as `model2vec.StaticModel.encode` does.

    A text is cut to ``max_length * median_token_length`` characters, tokenized, cut to
    ``max_length`` tokens, its unknown tokens are dropped, and the rows of the rest are averaged.

    Args:
        model: A loaded model; it is read, never changed.
        name: What `load_encoder` takes to load it again.
        revision: The commit of the hub's repository, where it is known.
    """

    def __init__(self, model: StaticModel, *, name: str, revision: str | None = None) -> None:
        from tokenizers import Tokenizer

        definition = model.tokenizer.to_str()
        self._tokenizer: Tokenizer = Tokenizer.from_str(definition)
        self._tokenizer.no_padding()
        if model.max_length is None:
            self._tokenizer.no_truncation()
        else:
            self._tokenizer.enable_truncation(model.max_length)
        self._table: NDArray[Any] = model.embedding
        self._weights = model.weights
        self._mapping = model.token_mapping
        self._unknown: int | None = model.unk_token_id
        self._normalize: bool = model.normalize
        self._max_characters = (
            None if model.max_length is None else model.max_length * model.median_token_length
        )
        self._info = EncoderInfo(
            name=name,
            dimension=int(model.dim),
            revision=revision,
            fingerprint=fingerprint(
                "static", definition, str(model.max_length), str(model.normalize), self._table,
                *(part for part in (self._weights, self._mapping) if part is not None),
            ),
        )  # fmt: skip

    @property
    def info(self) -> EncoderInfo:
        """Name, dimension and fingerprint."""
        return self._info

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Encode texts.

        Args:
            texts: n strings.

        Returns:
            float32 ``(n, dimension)``; a text without a known token is a row of zeros.

        Raises:
            TextInputError: If ``texts`` is one string, or holds something else than strings, or
                a string that is not valid Unicode.
        """
        if isinstance(texts, str):
            raise TextInputError(problem="one string given; pass a list of strings")
        rows = np.zeros((len(texts), self._info.dimension), dtype=np.float32)
        if not len(texts):
            return rows
        if not all(isinstance(text, str) for text in texts):
            raise _unfit(texts)
        cut = [text[: self._max_characters] for text in texts]
        try:
            encodings = self._tokenizer.encode_batch_fast(cut, add_special_tokens=False)
        except (TypeError, UnicodeEncodeError) as error:
            raise _unfit(texts) from error
        for row, encoding in enumerate(encodings):
            ids = [token for token in encoding.ids if token != self._unknown]
            if ids:
                rows[row] = self._rows_of(ids).mean(axis=0, dtype=np.float32)
        return normalize(rows) if self._normalize else rows

    def _rows_of(self, ids: list[int]) -> NDArray[Any]:
        rows = self._table[ids if self._mapping is None else self._mapping[ids]]
        return rows if self._weights is None else rows * self._weights[ids][:, None]


def _unfit(texts: Sequence[Any]) -> TextInputError:
    """Name the first text that no tokenizer takes."""
    for row, text in enumerate(texts):
        if not isinstance(text, str):
            return TextInputError(problem=f"a {type(text).__name__} is not a string", row=row)
        try:
            text.encode()
        except UnicodeEncodeError:
            return TextInputError(problem="a lone surrogate is not valid Unicode", row=row)
    return TextInputError(problem="the tokenizer refused the texts")


def load_folder(path: str) -> StaticEncoder:
    """Load a folder in model2vec's format.

    Raises:
        EncoderNotFoundError: If the folder does not hold such a model.
    """
    from model2vec import StaticModel

    try:
        model = StaticModel.from_pretrained(path)
    except Exception as error:  # the libraries below raise bare exceptions of many types
        raise EncoderNotFoundError(
            name=path, problem=f"the folder does not hold a model2vec model ({error})"
        ) from error
    return StaticEncoder(model, name=str(Path(path).resolve()))


def load_hub(name: str) -> StaticEncoder:
    """Load a model from the hub, or from the hub's cache on this machine.

    Raises:
        EncoderUnavailableError: If it is neither cached nor to be fetched.
    """
    from model2vec import StaticModel

    try:
        model = StaticModel.from_pretrained(name, force_download=False)
    except Exception as error:  # huggingface_hub, requests and the file formats, each its own
        raise EncoderUnavailableError(name=name, problem=_first_line(error)) from error
    return StaticEncoder(model, name=name, revision=_cached_revision(name))


def load_wordllama() -> StaticEncoder:
    """The weights that the package ``wordllama`` carries: 256 dimensions, nothing truncated.

    Its own loader needs the network, and importing it configures logging, so the two files are
    taken from the installed package without importing it.

    Raises:
        MissingExtraError: If the package is not installed.
    """
    package = find_spec("wordllama")
    if package is None or not package.submodule_search_locations:
        raise MissingExtraError(
            package="wordllama", extra="offline", purpose="the offline encoder 'wordllama'"
        )
    from model2vec import StaticModel
    from safetensors.numpy import load_file
    from tokenizers import Tokenizer

    folder = Path(package.submodule_search_locations[0])
    (table,) = load_file(folder / "weights" / "l2_supercat_256.safetensors").values()
    tokenizer = Tokenizer.from_file(
        str(folder / "tokenizers" / "l2_supercat_tokenizer_config.json")
    )
    model = StaticModel(table.astype(np.float32), tokenizer, normalize=True, max_length=None)
    return StaticEncoder(model, name="wordllama")


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _cached_revision(name: str) -> str | None:
    """The commit that the hub's cache holds for the name's main branch."""
    from huggingface_hub.constants import HF_HUB_CACHE

    reference = Path(HF_HUB_CACHE) / f"models--{name.replace('/', '--')}" / "refs" / "main"
    return reference.read_text().strip() if reference.is_file() else None
