"""``train adapt`` on an embedded collection, and after a process that was killed."""

from __future__ import annotations

import json
from itertools import product

import numpy as np

from qdrant_static import EdgeClient, ingest, load_encoder, search
from qdrant_static.training.teachervectors import TeacherVectors
from tests.fakes import REPOSITORY, FakeEncoder, build_static_model, run_cli

ROWS = [
    {"id": a + b + c, "title": f"the {a} and the {b}", "text": f"a {c} {a} of the {b} in the sea"}
    for a, b, c in product(("cat", "dog", "whale"), ("moon", "tide", "ash"), ("red", "blue", "fast",
                                                                              "slow", "one", "two"))
]  # fmt: skip


def test_a_model_is_fitted_to_a_collection_and_searches_another(tmp_path):
    teacher = build_static_model(tmp_path / "teacher", kind="wordpiece")
    with EdgeClient(tmp_path / "db") as client:
        ingest(client, "old", ROWS, text=("title", "text"), encoder=load_encoder(teacher))
    arguments = ("train", "adapt", "--from-collection", "old", "--db", "db", "--teacher", "teacher",
                 "--out", "models/new", "--dimension", "16", "--prune")  # fmt: skip
    done = run_cli(*arguments, "--json", cwd=tmp_path)
    assert done.code == 0, done.err
    report = json.loads(done.out)
    assert report["dimension"] == 16
    assert report["corpus"].startswith("collection:old: 54 passages, 9 titles, 54 sentences")
    model = load_encoder(tmp_path / "models" / "new")
    with EdgeClient(tmp_path / "db") as client:
        ingest(client, "new", ROWS, text=("title", "text"), encoder=model)
        hits = search(client, "new", "the whale and the tide", encoder=model, limit=6)
    assert {hit.key[:9] for hit in hits} == {"whaletide"}

    again = run_cli(*arguments, cwd=tmp_path)  # the teacher has nothing left to do
    assert again.code == 0, again.err
    assert f"fingerprint {report['fingerprint']}" in again.out
    assert "next: qdrant-static ingest FILES --encoder" in again.out

    job = tmp_path / "adapt.toml"
    job.write_text(
        'collection = "old"\ndb = "db"\n[adapt]\nteacher = "teacher"\nout = "models/job"\n'
        "dimension = 16\nprune = true\n"
    )
    done = run_cli("run", "adapt.toml", "--json", cwd=tmp_path)
    assert done.code == 0, done.err
    assert json.loads(done.out)["fingerprint"] == report["fingerprint"]
    wrong = run_cli("run", "adapt.toml", "--force", cwd=tmp_path)
    assert wrong.code == 2
    assert "--force: is for the job of an ingest" in wrong.err


KILLED = """
import sys, time
sys.path.insert(0, sys.argv[2])
from qdrant_static.training.teachervectors import TeacherVectors
from tests.fakes import FakeEncoder

class Slow(FakeEncoder):
    def encode(self, texts):
        print(len(texts), flush=True)  # the parent kills this process within a later call
        time.sleep(0.05)
        return super().encode(texts)

with TeacherVectors(sys.argv[1], Slow()) as cache:
    cache.encode([f"text number {n} of the sea" for n in range(20_000)])
"""


def test_a_run_that_is_killed_continues_where_it_stopped(tmp_path, child):
    process = child(KILLED, tmp_path / "cache", REPOSITORY)
    for _ in range(4):
        assert process.stdout.readline()
    process.kill()
    process.wait()
    texts = [f"text number {n} of the sea" for n in range(20_000)]
    teacher = FakeEncoder()
    with TeacherVectors(tmp_path / "cache", teacher) as cache:
        kept = len(cache)
        assert 16 <= kept < 20_000
        assert cache.has(texts).sum() == kept
        stored = [text for text, has in zip(texts, cache.has(texts), strict=True) if has]
        assert np.array_equal(cache.vectors(stored), teacher.encode(stored))
        cache.encode(texts)
        assert cache.has(texts).all()
