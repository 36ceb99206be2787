"""The nightly loop: a model is fitted again, and serves only if it is better beyond chance."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest

from qdrant_static import CollectionSpec, connect, ingest, load_encoder, point_alias
from qdrant_static.errors import ArgumentError
from qdrant_static.retrainjob import RetrainJob
from tests.fakes import VOCABULARY, build_static_model, run_cli, write_jsonl

JOB = """
collection = "articles"
db = "db"

[retrain]
teacher = "./teacher"
judged = "judged"
accept = ["latency", "recall"]

[adapt]
epochs = 1
"""
TEXTS = [" ".join(words) for words in itertools.combinations(VOCABULARY[6:16], 4)]


def blur(folder) -> None:
    """Make all rows of a model the same, so that it finds nothing."""
    from safetensors.numpy import load_file, save_file

    tensors = load_file(folder / "model.safetensors")
    tensors["embeddings"] = np.ones_like(tensors["embeddings"])
    save_file(tensors, folder / "model.safetensors")


@pytest.fixture
def served(tmp_path, request):
    """A folder with a job, judged queries, a teacher, and a collection with a poor model.

    The model is poor unless the test asks for a good one.
    """
    build_static_model(tmp_path / "serving")
    if getattr(request, "param", "poor") == "poor":
        blur(tmp_path / "serving")
    build_static_model(tmp_path / "teacher", seed=1)
    rows = [{"_id": f"d{n}", "text": text} for n, text in enumerate(TEXTS)]
    judged = tmp_path / "judged"
    (judged / "qrels").mkdir(parents=True)
    write_jsonl(judged / "corpus.jsonl", rows)
    asked = [" ".join(words) for words in itertools.combinations(VOCABULARY[6:16], 3)][::4]
    write_jsonl(
        judged / "queries.jsonl", [{"_id": f"q{n}", "text": text} for n, text in enumerate(asked)]
    )
    lines = [
        f"q{query}\td{n}\t1"
        for query, wanted in enumerate(asked)
        for n, text in enumerate(TEXTS)
        if set(wanted.split()) <= set(text.split())
    ]
    (judged / "qrels" / "test.tsv").write_text(
        "\n".join(["query-id\tcorpus-id\tscore", *lines]) + "\n"
    )
    (tmp_path / "retrain.toml").write_text(JOB)
    encoder = load_encoder(tmp_path / "serving")
    client = connect(tmp_path / "db")
    spec = CollectionSpec.for_encoder(encoder, sparse=None)
    ingest(client, "articles__v1", rows, spec=spec, encoder=encoder)
    point_alias(client, "articles", "articles__v1")
    client.close()
    return tmp_path


def serving(folder) -> tuple[str, list[str]]:
    client = connect(folder / "db")
    alias = {one.alias_name: one.collection_name for one in client.get_aliases().aliases}
    names = sorted(one.name for one in client.get_collections().collections)
    client.close()
    return alias["articles"], names


def test_a_better_model_is_moved_to_and_the_same_one_is_not_again(served):
    report = RetrainJob.load(served / "retrain.toml").run()
    assert report.moved, str(report)
    assert report.serving == "articles__v2"
    assert "NDCG@10" in report.reason
    assert serving(served) == ("articles__v2", ["articles__v1", "articles__v2"])
    assert load_encoder(report.model).info.fingerprint == report.adaptation["fingerprint"]
    text = (served / "retrain.toml").read_text()
    (served / "retrain.toml").write_text(text.replace("accept", "retire_after_s = 0\naccept"))
    again = RetrainJob.load(served / "retrain.toml").run()
    assert not again.moved
    assert again.reason == "the new model is the one in use"
    assert serving(served) == ("articles__v2", ["articles__v2"])


@pytest.mark.parametrize("served", ["good"], indirect=True)
def test_a_model_that_is_no_better_is_not_moved_to_and_leaves_no_collection(served):
    # Fitted to itself, the model is about what it was.
    text = (served / "retrain.toml").read_text()
    (served / "retrain.toml").write_text(text.replace("./teacher", "./serving"))
    done = run_cli("run", "retrain.toml", "--json", cwd=served)
    assert done.code == 0, done.err
    report = json.loads(done.out)
    assert not report["moved"]
    assert "refused by ndcg" in report["reason"]
    assert serving(served) == ("articles__v1", ["articles__v1"])


def test_a_collection_without_an_alias_and_wrong_keys_are_errors(served):
    job = served / "retrain.toml"
    job.write_text(JOB.replace('"articles"', '"articles__v1"'))
    with pytest.raises(ArgumentError, match="migrate adopt articles__v1"):
        RetrainJob.load(job).run()
    job.write_text(JOB.replace("judged =", "juged ="))
    with pytest.raises(ArgumentError, match=r"retrain.toml: retrain.juged"):
        RetrainJob.load(job)
    job.write_text(JOB.replace('"recall"', '"ndcg"'))
    with pytest.raises(ArgumentError, match="decides whether"):
        RetrainJob.load(job)
