"""Ask one collection by several plans, and see what each would read.

python examples/plans.py
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from qdrant_static import CollectionSpec, Searcher, connect, ingest, load_encoder

TEXTS = [
    "The moon raises the tide twice a day.",
    "Sourdough is leavened by wild yeast.",
    "Lava cools and becomes basalt.",
    "A storm surge adds to the tide.",
    "Whales cross an ocean every year.",
]
PLANS = {
    "every vector": "exact",
    "codes, then originals": "dense",
    "64, then 256 dimensions": {
        "kind": "cascade",
        "stages": [{"vector": "mrl_64", "limit": 100}, {"vector": "full"}],
    },
    "terms": "bm25",
    "both, fused": "hybrid",
}

with tempfile.TemporaryDirectory() as folder:
    file = Path(folder) / "texts.jsonl"
    file.write_text("\n".join(json.dumps({"id": n, "text": t}) for n, t in enumerate(TEXTS)))
    client = connect(Path(folder) / "db")
    encoder = load_encoder("wordllama")
    spec = CollectionSpec.for_encoder(encoder, matryoshka=(64,))
    ingest(client, "texts", file, spec=spec, encoder=encoder)

    texts = Searcher(client, "texts", encoder=encoder)
    for name, plan in PLANS.items():
        best = texts.search("why does the sea rise", plan=plan, limit=1)
        print(f"{name}: {best[0].text if best else 'nothing'}")
        print(texts.explain(plan), end="\n\n")
    client.close()
