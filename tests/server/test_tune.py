"""tune on a real server: the plan reaches its target, is stored there, and is used."""

from __future__ import annotations

import os
from uuid import uuid4

import numpy as np
import pytest

from qdrant_static import CollectionSpec, SearchPlan, connect, create_collection, search, tune
from qdrant_static.collection.create import read_spec
from tests.fakes import FakeEncoder

pytestmark = pytest.mark.server


def test_tune_on_a_server():
    encoder = FakeEncoder(dimension=64)
    spec = CollectionSpec.for_encoder(encoder, matryoshka=(16,), quantization="binary", sparse=None)
    generator = np.random.default_rng(1)
    words = [f"w{n}" for n in range(80)]
    rows = encoder.encode([" ".join(generator.choice(words, 8)) for _ in range(1000)])
    name = f"tune-{uuid4().hex[:8]}"
    client = connect(os.environ["QDRANT_URL"])
    try:
        create_collection(client, name, spec)
        short = rows[:, :16] / np.linalg.norm(rows[:, :16], axis=1, keepdims=True)
        vectors = {"full": rows, "mrl_16": short}
        client.upload_collection(name, vectors, ids=range(1000), wait=True)
        report = tune(client, name, target_recall=0.9, sample=100, cost="bytes")
        assert report.reached
        assert report.stored
        assert report.exact.value == 1
        assert report.engine.startswith("qdrant")
        assert SearchPlan.of(read_spec(client, name).plan) == report.choice.plan
        assert len(search(client, name, "w1 w2 w3", encoder=encoder)) == 10
    finally:
        client.delete_collection(name)
        client.close()
