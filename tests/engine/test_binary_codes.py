"""What a rotation for binary codes rests on: the engine's codes of one bit are signs."""

from __future__ import annotations

import numpy as np
import pytest
from qdrant_client import models

from qdrant_static.vectors import normalize


@pytest.mark.parametrize("shift", [0.0, 0.3])
def test_codes_of_one_bit_are_the_signs_of_the_numbers_as_they_are(client, shift):
    """Nothing is centered: with a shift, bits that are set for nearly all points tell nothing."""
    random = np.random.default_rng(0)
    rows = normalize(random.standard_normal((300, 128)) + shift)
    client.create_collection(
        "c",
        models.VectorParams(
            size=128,
            distance=models.Distance.COSINE,
            quantization_config=models.BinaryQuantization(
                binary=models.BinaryQuantizationConfig(
                    query_encoding=models.BinaryQuantizationQueryEncoding.BINARY
                )
            ),
        ),
    )
    client.upload_collection("c", vectors=rows, ids=range(300))
    signs = np.where(rows > 0, 1, -1)
    for query in range(5):
        hits = client.query_points(
            "c",
            query=rows[query].tolist(),
            limit=300,
            search_params=models.SearchParams(
                exact=False, quantization=models.QuantizationSearchParams(rescore=False)
            ),
        ).points
        agreement = signs @ signs[query]
        found = [int(agreement[int(hit.id)]) for hit in hits]
        assert found == sorted(agreement.tolist(), reverse=True)[: len(found)]
        assert len(found) > 250
