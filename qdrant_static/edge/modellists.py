"""Which models ``models.Document`` may name."""

from __future__ import annotations

from typing import Any

from qdrant_client import models
from qdrant_client.fastembed_common import FastEmbedMisc

from qdrant_static.encoders.registry import known_encoders
from qdrant_static.errors import EncoderNotFoundError


class ModelLists:
    """Which models there are: `QdrantClient`'s methods of the same names, the same answers."""

    @classmethod
    def list_text_models(cls) -> dict[str, tuple[int, models.Distance]]:
        """Dense text models: their dimensions and distances."""
        return FastEmbedMisc.list_text_models()

    @classmethod
    def list_image_models(cls) -> dict[str, tuple[int, models.Distance]]:
        """Image models: their dimensions and distances."""
        return FastEmbedMisc.list_image_models()

    @classmethod
    def list_late_interaction_text_models(cls) -> dict[str, tuple[int, models.Distance]]:
        """Late-interaction models of texts: their dimensions and distances."""
        return FastEmbedMisc.list_late_interaction_text_models()

    @classmethod
    def list_late_interaction_multimodal_models(cls) -> dict[str, tuple[int, models.Distance]]:
        """Late-interaction models of texts and images: their dimensions and distances."""
        return FastEmbedMisc.list_late_interaction_multimodal_models()

    @classmethod
    def list_sparse_models(cls) -> dict[str, dict[str, Any]]:
        """Sparse text models and their descriptions."""
        return FastEmbedMisc.list_sparse_models()

    def get_embedding_size(self, model_name: str) -> int:
        """Length of a model's vectors.

        Raises:
            EncoderNotFoundError: If no model of that name has vectors of one length.
        """
        for listed in (
            self.list_text_models,
            self.list_image_models,
            self.list_late_interaction_text_models,
            self.list_late_interaction_multimodal_models,
        ):
            for name, (size, _) in listed().items():
                if name == model_name:
                    return size
        raise EncoderNotFoundError(
            name=model_name,
            problem="fastembed knows no dense model of that name",
            known=known_encoders(),
        )
