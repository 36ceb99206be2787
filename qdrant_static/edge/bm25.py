"""Computes the model ``qdrant/bm25`` of ``models.Document`` as a server does."""

from __future__ import annotations

from typing import Any

import numpy as np
import qdrant_edge as edge
from pydantic import ValidationError
from qdrant_client import models

from qdrant_static.edge import convert
from qdrant_static.encoders.sparse import DEFAULT_AVG_LEN, Bm25Encoder
from qdrant_static.errors import ArgumentError

BM25 = "qdrant/bm25"


class Bm25:
    """BM25 vectors of documents and of queries, which a server computes differently.

    Args:
        config: Checked options.

    Raises:
        ArgumentError: If one is out of its range, or the engine does not know the language.
    """

    def __init__(self, config: models.Bm25Config) -> None:
        self._engine: edge.Bm25 | None = None
        settings: dict[str, Any] = {
            "avg_len": DEFAULT_AVG_LEN if config.avg_len is None else config.avg_len,
            "k": 1.2 if config.k is None else config.k,
            "b": 0.75 if config.b is None else config.b,
            "lowercase": True if config.lowercase is None else config.lowercase,
            "ascii_folding": bool(config.ascii_folding),
            "min_token_len": config.min_token_len,
            "max_token_len": config.max_token_len,
        }
        language = config.language or "english"
        if config.stopwords is None and config.stemmer is None:
            tokenizer = "word" if config.tokenizer is None else config.tokenizer.value
            self._fast = Bm25Encoder(
                language=None if language == "none" else language, tokenizer=tokenizer, **settings
            )
            return
        # Lists of stop words by language, and stemmers of another language, are the engine's own.
        engine_config = edge.Bm25Config(
            language=language,
            tokenizer=None
            if config.tokenizer is None
            else getattr(edge.TokenizerType, config.tokenizer.value.capitalize()),
            stopwords=None if config.stopwords is None else convert.stopwords(config.stopwords),
            stemmer=None if config.stemmer is None else convert.stemmer(config.stemmer),
            **settings,
        )
        try:
            self._engine = edge.Bm25(engine_config)
        except ValueError as error:
            raise ArgumentError(
                field=f"options of the model {BM25!r}", problem=str(error)
            ) from error

    def documents(self, texts: list[str]) -> list[models.SparseVector]:
        """Return the vectors of documents: terms with their saturated frequencies."""
        if self._engine is not None:
            return [_sparse_vector(self._engine.embed_document(text)) for text in texts]
        rows = self._fast.encode_documents(texts)
        return [_sparse_vector(rows.row(number)) for number in range(len(texts))]

    def queries(self, texts: list[str]) -> list[models.SparseVector]:
        """Return the vectors of queries, in which every term weighs 1, as on a server."""
        if self._engine is not None:
            return [_sparse_vector(self._engine.embed_query(text)) for text in texts]
        return [
            _sparse_vector(self._fast.encode_query(text, repeated_terms="one")) for text in texts
        ]


def bm25_config(options: Any) -> models.Bm25Config:
    """Return the checked options of a ``models.Document``.

    Raises:
        ArgumentError: If an option is unknown, or of the wrong type; names it.
    """
    if isinstance(options, models.Bm25Config):
        return options
    try:
        return models.Bm25Config(**options)
    except ValidationError as error:
        first = error.errors()[0]
        valid = ", ".join(models.Bm25Config.model_fields)
        name = ".".join(map(str, first["loc"]))
        raise ArgumentError(
            field=f"{name} of the model {BM25!r}",
            problem=f"{first['msg']}; valid options: {valid}",
        ) from error


def _sparse_vector(vector: Any) -> models.SparseVector:
    return models.SparseVector.model_construct(
        indices=np.asarray(vector.indices).tolist(), values=np.asarray(vector.values).tolist()
    )
