"""Static models in qdrant-client's own inference: texts where a client wants vectors.

pip install "qdrant-static[offline]"
python examples/plugin.py
"""

import tempfile

from qdrant_client import QdrantClient, models

import qdrant_static

TEXTS = [
    "Moon and sun raise the sea twice a day.",
    "Wild yeast leavens the bread.",
    "Magma breaks out of the earth as lava and ash.",
    "Whales sing to each other over hundreds of miles.",
]
QUESTIONS = ["Why is there a tide?", "How does dough rise?", "volcanic eruption"]


def dense(text: str, dimensions: int | None = None) -> models.Document:
    options = None if dimensions is None else {"dimensions": dimensions}
    return models.Document(text=text, model="wordllama", options=options)


def show(client: QdrantClient) -> None:
    """What any program does that knows qdrant-client; nothing here is ours."""
    client.create_collection(
        "texts",
        {
            "full": models.VectorParams(size=256, distance=models.Distance.COSINE),
            "mrl_64": models.VectorParams(size=64, distance=models.Distance.COSINE),
        },
    )
    client.upsert(
        "texts",
        [
            models.PointStruct(
                id=number,
                vector={"full": dense(text), "mrl_64": dense(text, 64)},
                payload={"text": text},
            )
            for number, text in enumerate(TEXTS)
        ],
    )
    for question in QUESTIONS:
        (hit,) = client.query_points(
            "texts",
            query=dense(question),
            using="full",
            prefetch=models.Prefetch(query=dense(question, 64), using="mrl_64", limit=2),
            limit=1,
        ).points
        print(f"  {question:22s} {hit.score:.2f}  {hit.payload['text']}")


names = qdrant_static.install()
print(f"{len(names)} static models, among them {names[-1]}")

print("QdrantClient, in memory; with a URL, on a server:")
show(QdrantClient(":memory:"))

print("EdgeClient, on a folder:")
with tempfile.TemporaryDirectory() as folder, qdrant_static.EdgeClient(folder) as embedded:
    show(embedded)

qdrant_static.uninstall()
