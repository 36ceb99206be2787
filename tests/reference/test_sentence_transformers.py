"""StaticEncoder against sentence-transformers' own StaticEmbedding, where it is installed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from qdrant_static import load_encoder
from tests.awkward_texts import AWKWARD, mixtures
from tests.small_tokenizers import wordpiece

sentence_transformers = pytest.importorskip(
    "sentence_transformers", reason="sentence-transformers is not installed: it needs torch"
)
# The library's own imports warn of what it will change.
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.mark.parametrize("normalize", [False, True])
def test_a_saved_model_gives_the_librarys_vectors(tmp_path: Path, normalize: bool) -> None:
    from sentence_transformers.models import Normalize, StaticEmbedding

    tokenizer = wordpiece(letters=False)
    table = np.random.default_rng(2).standard_normal((tokenizer.get_vocab_size(), 48))
    modules = [StaticEmbedding(tokenizer, embedding_weights=table.astype(np.float32))]
    if normalize:
        modules.append(Normalize())
    library = sentence_transformers.SentenceTransformer(modules=modules, device="cpu")
    library.save_pretrained(str(tmp_path))

    texts = [text for text in AWKWARD if text] + mixtures(200, seed=11)
    expected = library.encode(texts, convert_to_numpy=True)
    encoder = load_encoder(tmp_path)
    scale = max(1.0, float(np.abs(expected).max()))
    assert np.abs(encoder.encode(texts) - expected).max() <= 1e-6 * scale
