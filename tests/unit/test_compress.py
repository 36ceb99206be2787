"""compress: a static model's table or a head, and what it refuses."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from qdrant_static import load_encoder
from qdrant_static.errors import ArgumentError
from qdrant_static.training import (
    HeadEncoder,
    Pair,
    SmecSettings,
    compress,
    load_head,
    read_vectors,
)
from qdrant_static.vectors import normalize, truncate
from tests.fakes import DIMENSION, VOCABULARY, FakeEncoder, build_static_model

QUICK = SmecSettings(batch=32, neighbors=8, max_epochs=2, selection_epochs=1)
WORDS = [word for word in VOCABULARY if not word.startswith("[")]


def passages(count: int = 150) -> list[str]:
    generator = np.random.default_rng(0)
    return [" ".join([*generator.choice(WORDS, 5), f"word{row}"]) for row in range(count)]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return build_static_model(tmp_path_factory.mktemp("model") / "parent", kind="wordpiece")


@pytest.fixture(scope="module")
def texts():
    generator = np.random.default_rng(1)
    return sorted({" ".join(generator.choice(WORDS, 6)) for _ in range(160)})


def test_the_table_of_a_static_model_becomes_shorter(tmp_path, model, texts):
    report = compress(str(model), texts, sizes=(16, 8), out=tmp_path / "short", settings=QUICK)
    encoder = load_encoder(tmp_path / "short")
    assert encoder.info.dimension == 16
    assert encoder.info.fingerprint == report.fingerprint
    head = compress(str(model), texts, sizes=(16, 8), out=tmp_path / "h.json", settings=QUICK)
    assert head.encoder == f"head:{tmp_path / 'h.json'}"
    folded, applied = encoder.encode(texts[:9]), load_encoder(head.encoder).encode(texts[:9])
    assert np.allclose(folded, applied, atol=1e-5)
    assert np.allclose(truncate(folded, 8), truncate(applied, 8), atol=1e-5)


def test_the_whole_size_is_a_rotation(tmp_path, model, texts):
    compress(str(model), texts, sizes=(DIMENSION, 8), out=tmp_path / "w", settings=QUICK)
    whole, turned = (load_encoder(path).encode(texts[:20]) for path in (model, tmp_path / "w"))
    assert np.allclose(whole @ whole.T, turned @ turned.T, atol=1e-5)


def test_the_report_measures_every_size(tmp_path, model, texts):
    report = compress(str(model), texts, sizes=(16, 8), out=tmp_path / "a", settings=QUICK)
    assert [one.size for one in report.sizes] == [16, 8]
    assert report.labels == "similarity"
    for one in report.sizes:
        assert 0 <= one.prefix <= 1
        assert one.rotation > one.size / 100
        assert one.steps > 0
        assert 0 <= one.achievement <= 1
        assert 0 < one.ware <= 1
    shown = str(report)
    assert "compressed" in shown
    assert "--matryoshka 8" in shown
    assert report.to_dict()["sizes"][0]["size"] == 16


def test_vectors_of_another_model_get_a_head(tmp_path):
    texts = passages()
    inner = FakeEncoder()
    report = compress(
        inner.encode(texts), sizes=(8, 4), out=tmp_path / "h.json", encoder=inner, settings=QUICK
    )
    head = load_head(tmp_path / "h.json")
    assert head.encoder == "fake"
    assert head.encoder_fingerprint == inner.info.fingerprint
    assert head.card["recipe"]["method"] == "SMEC"
    encoder = HeadEncoder(tmp_path / "h.json", inner)
    assert encoder.encode(texts[:3]).shape == (3, 8)
    assert report.fingerprint == encoder.info.fingerprint
    unknown = compress(inner.encode(texts), sizes=(8,), out=tmp_path / "u.json", settings=QUICK)
    assert unknown.model == ""
    assert load_head(tmp_path / "u.json").encoder is None


def test_pairs_teach_what_is_relevant(tmp_path):
    texts = passages(200)
    pairs = [(f"{text.split()[0]} {text.split()[1]}", text, 2.0) for text in texts[:60]]
    report = compress(
        FakeEncoder(), texts, sizes=(8,), out=tmp_path / "h.json", pairs=pairs, settings=QUICK
    )
    assert report.labels == "pairs"
    plain = [Pair(query=query, passage=text) for query, text, _ in pairs]
    again = compress(
        FakeEncoder(), texts, sizes=(8,), out=tmp_path / "g.json", pairs=plain, settings=QUICK
    )
    assert again.rows == 200


def test_the_same_seed_gives_the_same_model(tmp_path, model, texts):
    prints = [
        compress(
            str(model), texts, sizes=(8,), out=tmp_path / f"{n}", settings=QUICK, seed=seed
        ).fingerprint
        for n, seed in enumerate((3, 3, 4))
    ]
    assert prints[0] == prints[1] != prints[2]


def test_what_an_encoder_made_is_kept_for_a_repeat(tmp_path):
    class Counting(FakeEncoder):
        count = 0

        def encode(self, texts):
            Counting.count += len(texts)
            return super().encode(texts)

    texts = passages()
    for _ in range(2):
        compress(
            Counting(), texts, sizes=(8,), out=tmp_path / "h.json",
            settings=QUICK, cache=tmp_path / "cache",
        )  # fmt: skip
    assert Counting.count == len(texts)


def test_what_cannot_be_learned_is_said(tmp_path, model, texts):
    vectors = FakeEncoder().encode(passages())

    def refused(match, *given, **more):
        more = {"sizes": (8,), "out": tmp_path / "x.json", "settings": QUICK, **more}
        with pytest.raises(ArgumentError, match=match):
            compress(*given, **more)
        assert not (tmp_path / "x.json").exists()

    refused("9 passages are too few", str(model), texts[:9])
    refused("texts: are missing", str(model))
    refused(r"does not end in \.json", vectors, out=tmp_path / "folder")
    refused("sizes: 64 is above 32", vectors, sizes=(64, 8))
    refused("do not fall", vectors, sizes=(8, 16))
    refused("vectors were given", vectors, texts)
    refused("makes 16 dimensions", vectors, encoder=FakeEncoder(dimension=16))
    refused("not above 0", FakeEncoder(), texts, pairs=[("a", "b", 0.0)])
    refused(r"not \(n, D\)", np.full((200, 4), np.nan, np.float32), sizes=(2,))


def test_ready_vectors_are_read_from_a_file_and_sampled(tmp_path):
    rows = normalize(np.random.default_rng(0).standard_normal((500, 8)))
    table = pa.table({"id": range(500), "openai": rows.tolist()})
    pq.write_table(table, tmp_path / "a.parquet")
    assert np.allclose(read_vectors(tmp_path / "a.parquet", "openai"), rows)
    some = read_vectors(tmp_path / "a.parquet", "openai", most=50, seed=1)
    assert some.shape == (50, 8)
    assert np.array_equal(some, read_vectors(tmp_path / "a.parquet", "openai", most=50, seed=1))
