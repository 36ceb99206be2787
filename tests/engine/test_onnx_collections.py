"""Collections of a transformer that every command loads by name, here and in other processes."""

from __future__ import annotations

import numpy as np
import pytest
from typer.testing import CliRunner

from qdrant_static import EdgeClient, Job, Searcher, ingest, load_encoder, verify
from qdrant_static.cli import app
from qdrant_static.clients.aliases import point_alias
from qdrant_static.collection.create import read_spec
from tests.builds import COLLECTION, build, watch, write_input
from tests.fakes import run_python, write_jsonl
from tests.onnxmodels import TOKENS, write_folder

WORDS = TOKENS[4:-5]
SETTINGS = 'pooling = "mean"\nquery_prefix = "query : "\npassage_prefix = "passage : "\n'
QUERY = "the whale in the sea"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_folder(tmp_path_factory.mktemp("onnx") / "tiny", SETTINGS)


@pytest.fixture
def source(tmp_path):
    random = np.random.default_rng(3)
    rows = [
        {"id": n, "text": " ".join(random.choice(WORDS, int(random.integers(1, 40))))}
        for n in range(120)
    ]
    return write_jsonl(tmp_path / "rows.jsonl", rows)


def best(client, encoder, collection: str = "a") -> list[int]:
    records, _ = client.scroll(collection, limit=1000, with_vectors=["full"])
    vectors = np.array([record.vector["full"] for record in records])
    scores = vectors @ encoder.encode_queries([QUERY])[0]
    return [records[row].id for row in np.argsort(-scores)[:5]]


@pytest.mark.parametrize("dynamic", [False, True])
def test_documents_and_queries_have_their_prefixes_and_samples_agree(
    tmp_path, client, source, dynamic
):
    name = f"onnx:{write_folder(tmp_path / 'm', SETTINGS, dynamic=dynamic)}"
    report = ingest(client, "a", source, encoder=name)
    assert report.stored == 120
    encoder = load_encoder(name)
    spec = read_spec(client, "a")
    assert (spec.encoder.name, spec.encoder.fingerprint) == (name, encoder.info.fingerprint)
    record = client.retrieve("a", [7], with_vectors=True)[0]
    wanted = encoder.encode([record.payload["text"]])[0]
    np.testing.assert_allclose(record.vector["full"], wanted, atol=1e-5)
    for searcher in (Searcher(client, "a"), Searcher(client, "a", encoder=encoder)):
        hits = searcher.search(QUERY, plan="exact", limit=5)
        assert [hit.id for hit in hits] == best(client, encoder)
    assert verify(client, "a").is_sound


def test_the_command_line_takes_it_by_name_from_ingest_to_cut_over(
    tmp_path, folder, source, monkeypatch, own_signals
):
    monkeypatch.chdir(folder.parent)
    runner = CliRunner()

    def run(*arguments: object) -> str:
        found = runner.invoke(app, [str(one) for one in arguments])
        assert found.exit_code == 0, (found.output, found.exception)
        return found.output

    db = ("--db", tmp_path / "db")
    other = write_folder(tmp_path / "other", 'pooling = "cls"\n')
    name = f"onnx:{folder.name}"
    run("ingest", source, "--collection", "a__v1", "--encoder", name, *db)
    with EdgeClient(tmp_path / "db") as client:
        assert read_spec(client, "a__v1").encoder.name == f"onnx:{folder}"
        point_alias(client, "a", "a__v1")
    assert "whale" in run("search", "a", QUERY, "--plan", "exact", *db)
    queries = tmp_path / "queries.txt"
    queries.write_text("\n".join(f"{one} {two}" for one in WORDS[4:14] for two in WORDS[:10]))
    run("tune", "a", "--encoder", name, "--queries", queries, "--sample", "60", *db)
    loose = (
        "--min-overlap",
        "0",
        "--min-ranks",
        "0",
        "--max-latency",
        "1000",
        "--min-recall",
        ".5",
    )
    run("migrate", "start", "a", "--encoder", f"onnx:{other}", "--from-collection", *db)
    run("migrate", "verify", "a", *loose, "--accept", "empty", *db)
    run("migrate", "cutover", "a", *db)
    assert "whale" in run("search", "a", QUERY, "--plan", "exact", *db)
    with EdgeClient(tmp_path / "db") as client:
        assert read_spec(client, "a").encoder.name == f"onnx:{other}"


def test_a_job_file_names_it_by_a_path_beside_itself(tmp_path, folder, source):
    write_folder(tmp_path / "models" / "tiny", SETTINGS)
    file = tmp_path / "nightly.toml"
    file.write_text(
        f'collection = "a"\npaths = "{source.name}"\ndb = "db"\nencoder = "onnx:models/tiny"\n'
    )
    assert Job.load(file).run().stored == 120
    assert Job.load(file).run().stored == 0
    with EdgeClient(tmp_path / "db") as client:
        assert read_spec(client, "a").encoder.name == f"onnx:{tmp_path}/models/tiny"


def test_processes_that_build_shards_load_it_by_name(tmp_path, folder):
    given = write_input(tmp_path / "given", 100)
    encoder = load_encoder(f"onnx:{folder}")
    started: list[int] = []
    with pytest.MonkeyPatch.context() as patch:
        watch(lambda shard, pid, said: started.append(pid), patch.setattr)
        report = build(given, tmp_path, shards=2, workers=2, encoder=encoder)
    assert len(set(started)) == 2
    with EdgeClient(tmp_path / "db") as client:
        records, _ = client.scroll(COLLECTION, limit=1000, with_vectors=["full"])
    assert len(records) == report.built > 0
    texts = [f"{one.payload['title']}\n{one.payload['text']}" for one in records]
    vectors = np.array([one.vector["full"] for one in records])
    np.testing.assert_allclose(vectors, encoder.encode(texts), atol=1e-5)


def test_a_forked_and_a_spawned_process_encode_as_this_one(folder, tmp_path):
    code = (
        "import multiprocessing, pickle, sys, warnings\n"
        "from qdrant_static import load_encoder\n"
        "warnings.simplefilter('ignore')\n"
        "def work(encoder, send):\n"
        "    send.send_bytes(encoder.encode(['the cat', 'moon', 'a']).tobytes())\n"
        "if __name__ == '__main__':\n"
        "    encoder = load_encoder(sys.argv[1])\n"
        "    here = encoder.encode(['the cat', 'moon', 'a']).tobytes()\n"
        "    for method in ('fork', 'spawn'):\n"
        "        context = multiprocessing.get_context(method)\n"
        "        take, send = context.Pipe(False)\n"
        "        process = context.Process(target=work, args=(encoder, send))\n"
        "        process.start()\n"
        "        assert take.poll(60) and take.recv_bytes() == here, method\n"
        "        process.join(60)\n"
        "        assert process.exitcode == 0\n"
    )
    script = tmp_path / "script.py"
    script.write_text(code)
    runner = "import runpy, sys; del sys.argv[0]; runpy.run_path(sys.argv[0], run_name='__main__')"
    done = run_python(runner, script, f"onnx:{folder}", cwd=tmp_path)
    assert done.code == 0, done.err
