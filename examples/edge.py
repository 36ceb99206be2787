"""EdgeClient: the client that you know, on a folder, with the real engine in the process.

python examples/edge.py
"""

import tempfile

import numpy as np
from qdrant_client import models

from qdrant_static import EdgeClient

SIZE = 256
random = np.random.default_rng(0)
matrix = random.standard_normal((20_000, SIZE), dtype=np.float32)

with tempfile.TemporaryDirectory() as folder, EdgeClient(folder) as client:
    # A version of the collection under a name of its own; programs use the alias.
    client.create_collection(
        "articles-1",
        {
            "full": models.VectorParams(
                size=SIZE,
                distance=models.Distance.COSINE,
                quantization_config=models.BinaryQuantization(
                    binary=models.BinaryQuantizationConfig()
                ),
            )
        },
        metadata={"made by": "examples/edge.py"},
    )
    client.create_payload_index("articles-1", "year", models.PayloadSchemaType.INTEGER)

    # A matrix goes to the engine without becoming lists.
    client.upload_collection(
        "articles-1",
        {"full": matrix},
        ids=range(len(matrix)),
        payload=({"year": 2000 + number % 25} for number in range(len(matrix))),
        batch_size=500,
    )
    print("stored:", client.count("articles-1").count)

    # The index is built in another process: threads of this one could go on serving.
    client.optimize("articles-1", another_process=True)
    print("indexed:", client.get_collection("articles-1").indexed_vectors_count)

    client.update_collection_aliases(
        [
            models.CreateAliasOperation(
                create_alias=models.CreateAlias(alias_name="articles", collection_name="articles-1")
            )
        ]
    )

    hits = client.query_points(
        "articles",
        query=matrix[42],
        using="full",
        query_filter=models.Filter(
            must=[models.FieldCondition(key="year", range=models.Range(gte=2010))]
        ),
        search_params=models.SearchParams(
            quantization=models.QuantizationSearchParams(rescore=True, oversampling=4.0)
        ),
        limit=3,
    ).points
    for hit in hits:
        print(f"{hit.id:5} {hit.score:.3f} {hit.payload}")
    assert hits[0].id == 42
