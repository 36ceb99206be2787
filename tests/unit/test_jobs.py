"""Job files: what is in them, what is wrong with them, and that they show no secret."""

from __future__ import annotations

import pytest

from qdrant_static.adaptjob import AdaptJob, AdaptStep
from qdrant_static.errors import ArgumentError
from qdrant_static.ingestion.options import RunOptions
from qdrant_static.jobs import Connection, Job
from qdrant_static.reading.options import Passages, SourceOptions
from qdrant_static.shipping.localbuild.buildhere import BuildHere

WHOLE = """
collection = "articles"
paths = ["in/*.parquet", "s3://bucket/x.parquet", "-"]
db = "https://${HOST}:6333"
encoder = "wordllama"

[connect]
api_key = "${QDRANT_API_KEY}"

[spec]
matryoshka = [128]

[source]
text = ["title", "abstract"]

[passages]
tokens = 100

[ingest]
sync = true
max_rejects = "1%"
state = "state"
threads = 2
"""
SECRET = "s3cr3t-value"  # noqa: S105


def job(tmp_path, text: str, **environment: str) -> Job:
    path = tmp_path / "nightly.toml"
    path.write_text(text)
    return Job.load(path, environment)


def test_a_job_file_is_read(tmp_path):
    found = job(tmp_path, WHOLE, HOST="db", QDRANT_API_KEY=SECRET)
    assert found.db == "https://db:6333"
    assert found.paths == (f"{tmp_path}/in/*.parquet", "s3://bucket/x.parquet", "-")
    assert (found.collection, found.encoder) == ("articles", "wordllama")
    assert found.connect == Connection(api_key=SECRET)
    assert found.spec == {"matryoshka": [128]}
    assert found.source == SourceOptions(text=("title", "abstract"))
    assert found.passages == Passages(tokens=100)
    assert found.ingest == RunOptions(
        sync=True, max_rejects="1%", state=f"{tmp_path}/state", threads=2
    )


def test_a_secret_is_in_no_text_of_it(tmp_path):
    found = job(tmp_path, WHOLE, HOST="db", QDRANT_API_KEY=SECRET)
    assert SECRET not in repr(found)
    assert SECRET not in str(found)


def test_the_little_that_is_needed(tmp_path):
    found = job(tmp_path, 'collection = "c"\npaths = "a.jsonl"\n')
    assert found.paths == (f"{tmp_path}/a.jsonl",)
    assert found.db == f"{tmp_path}/data"
    assert (found.encoder, found.spec, found.passages) == (None, None, None)


def test_a_build_is_as_the_file_says(tmp_path):
    text = (
        'collection = "c"\npaths = "a.jsonl"\ndb = "http://db:6333"\n'
        '[build]\nfolder = "b"\nshards = 2\nkeep = true\n[build.peers]\n7 = "http://node:6333"\n'
    )
    found = job(tmp_path, text).build
    assert found == BuildHere(
        folder=f"{tmp_path}/b", shards=2, keep=True, peers={"7": "http://node:6333"}
    )
    assert job(tmp_path, 'collection = "c"\npaths = "a.jsonl"\n').build is None


def test_an_encoder_beside_the_file_is_found_from_anywhere(tmp_path):
    (tmp_path / "model").mkdir()
    text = 'collection = "c"\npaths = "a.jsonl"\nencoder = "model"\n'
    assert job(tmp_path, text).encoder == f"{tmp_path}/model"


BASE = 'collection = "c"\npaths = ["a"]\n'


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('paths = ["a"]', "nightly.toml: collection: is missing"),
        ('collection = "c"', "nightly.toml: paths: is missing"),
        (f"{BASE}colection = 1", "nightly.toml: colection: is unknown; known: collection, paths"),
        (f"{BASE}db = 5", "nightly.toml: db: is not a string"),
        ('collection = "c"\npaths = [1]', "nightly.toml: paths[0]: is not a string"),
        ('collection = "c"\npaths = []', "nightly.toml: paths: is empty; name the input"),
        (f"{BASE}name = 'n'", "nightly.toml: name: is unknown; known: collection, paths"),
        (f"{BASE}[ingest]\nsynk = true", "nightly.toml: ingest.synk: is unknown; known: sync, del"),
        (f"{BASE}[ingest]\nsync = 1", "nightly.toml: ingest.sync: is not true or false"),
        (f"{BASE}[ingest]\nthreads = true", "nightly.toml: ingest.threads: is not an integer"),
        (f"{BASE}[build]\nshard = 2", "nightly.toml: build.shard: is unknown; known: folder, "),
        (f'{BASE}[build]\npeers = "p"', "nightly.toml: build.peers: is not a table"),
        (f"{BASE}[passages]\ntokens = 1.5", "nightly.toml: passages.tokens: is not an integer"),
        (f"{BASE}source = 'a.jsonl'", "nightly.toml: source: is the table of how the input is rea"),
        (f"{BASE}ingest = 5", "nightly.toml: ingest: is not a table"),
        (f'{BASE}[connect]\napi_key = "${{NONE}}"', "connect.api_key: the environment has no vari"),
        (f'{BASE}[connect]\napi_key = "${{QDRANT_API_KEY}}"\nkey = "${{QDRANT_API_KEY}}"',
         "connect.key: is unknown"),
        ("a = ", "is not valid TOML"),
    ],
)  # fmt: skip
def test_an_error_names_the_key_by_its_path_and_shows_no_value(tmp_path, text, told):
    with pytest.raises(ArgumentError) as caught:
        job(tmp_path, text, QDRANT_API_KEY=SECRET)
    assert told in caught.value.message
    assert SECRET not in caught.value.message


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(ArgumentError, match="cannot be read: No such file"):
        Job.load(tmp_path / "none.toml")


@pytest.mark.parametrize("kind", ["onnx", "head"])
def test_the_path_of_a_transformer_or_a_head_is_relative_to_the_file(tmp_path, kind, monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    text = 'collection = "a"\npaths = "x.jsonl"\nencoder = "%s"\n'
    for given, placed in (
        (f"{kind}:models/m", f"{kind}:{tmp_path}/models/m"),
        (f"{kind}:../m.toml", f"{kind}:{tmp_path.parent}/m.toml"),
        (f"{kind}:~/m", f"{kind}:/home/me/m"),
        (f"{kind}:/models/m", f"{kind}:/models/m"),
        ("fastembed:BAAI/bge-small-en-v1.5", "fastembed:BAAI/bge-small-en-v1.5"),
    ):
        assert job(tmp_path, text % given).encoder == placed
    with pytest.raises(ArgumentError, match=r"nightly\.toml: encoder: is empty"):
        job(tmp_path, text % f"{kind}:")


def test_a_job_may_fit_a_model_instead(tmp_path):
    path = tmp_path / "adapt.toml"
    path.write_text(
        'paths = "in/*.parquet"\n[source]\ntext = ["title"]\n[adapt]\nteacher = "onnx:teacher"\n'
        'out = "models/new"\ndimension = 64\nteacher_minutes = 10\ncache = "${CACHE}"\n'
    )
    found = AdaptJob.load(path, {"CACHE": "/tmp/vectors"})  # noqa: S108
    assert found.paths == (f"{tmp_path}/in/*.parquet",)
    assert found.source == SourceOptions(text=("title",))
    assert found.adapt == AdaptStep(
        teacher=f"onnx:{tmp_path}/teacher", out=f"{tmp_path}/models/new", dimension=64,
        teacher_minutes=10, cache="/tmp/vectors",  # noqa: S108
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('[adapt]\nteacher = "t"\nout = "o"\n', "paths: name files, or a collection"),
        ('paths = ["a"]\ncollection = "c"\n[adapt]\nteacher = "t"\nout = "o"\n', "and not both"),
        ('paths = ["a"]\n[adapt]\nout = "o"\n', "adapt.teacher"),
        ('paths = ["a"]\n[adapt]\nteacher = "t"\nout = "o"\ngrow = -1\n', "adapt.grow"),
        ('paths = ["a"]\n[adapt]\nteacher = "t"\nout = "o"\nsize = [1]\n', "adapt.size"),
    ],
)
def test_a_wrong_job_of_a_fit_names_the_key(tmp_path, text, problem):
    path = tmp_path / "adapt.toml"
    path.write_text(text)
    with pytest.raises(ArgumentError, match=problem):
        AdaptJob.load(path, {})
