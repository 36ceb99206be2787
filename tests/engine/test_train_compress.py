"""`train compress` on files and on a collection's own vectors."""

from __future__ import annotations

import numpy as np
import pytest

from qdrant_static import connect, ingest, load_encoder
from qdrant_static.errors import ArgumentError
from qdrant_static.training import load_head, read_stored_vectors
from tests.fakes import VOCABULARY, build_static_model, run_cli, write_jsonl

QUICK = ("--max-epochs", "1", "--sizes", "8,4", "--neighbors", "8")


@pytest.fixture(scope="module")
def texts():
    words = [word for word in VOCABULARY if not word.startswith("[")]
    generator = np.random.default_rng(1)
    return sorted({" ".join(generator.choice(words, 6)) for _ in range(160)})


def test_a_static_model_becomes_a_folder(tmp_path, texts):
    model = build_static_model(tmp_path / "model")
    rows = write_jsonl(
        tmp_path / "rows.jsonl", [{"id": n, "body": text} for n, text in enumerate(texts)]
    )
    done = run_cli(
        "train", "compress", model, rows, "--text", "body", "--out", "short", *QUICK, cwd=tmp_path
    )
    assert done.code == 0, done.err
    assert "--matryoshka 4" in done.out
    assert load_encoder(tmp_path / "short").info.dimension == 8


def test_the_vectors_of_a_collection_get_a_head(tmp_path, texts):
    encoder = load_encoder(build_static_model(tmp_path / "model"))
    rows = [{"id": n, "text": text} for n, text in enumerate(texts)]
    with connect(tmp_path / "data") as client:
        ingest(client, "c", rows, encoder=encoder)
        stored = read_stored_vectors(client, "c", "full")
        assert np.allclose(
            np.sort(stored, axis=0), np.sort(encoder.encode(texts), axis=0), atol=1e-6
        )
        with pytest.raises(ArgumentError, match="none"):
            read_stored_vectors(client, "c", "none")
    done = run_cli(
        "train", "compress", tmp_path / "model", "--vectors", "full", "--from-collection", "c",
        "--db", "data", "--out", "h.json", *QUICK, cwd=tmp_path,
    )  # fmt: skip
    assert done.code == 0, done.err
    assert load_head(tmp_path / "h.json").encoder_fingerprint == encoder.info.fingerprint
    assert load_encoder(f"head:{tmp_path / 'h.json'}").encode(texts[:2]).shape == (2, 8)


def test_what_is_missing_is_named(tmp_path):
    done = run_cli("train", "compress", "--out", "h.json", cwd=tmp_path)
    assert done.code == 2
    assert "MODEL" in done.err
