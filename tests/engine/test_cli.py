"""The command line: exit codes for a scheduler, one sentence for a person, JSON for a program."""

from __future__ import annotations

import json
import re
import signal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from qdrant_client import models
from typer.testing import CliRunner

from qdrant_static import EdgeClient, __version__, ingest
from qdrant_static.cli import app
from qdrant_static.clients.aliases import point_alias
from qdrant_static.clients.statefolder import StateFolder
from qdrant_static.collection.create import read_spec
from qdrant_static.collection.migrationstate import MigrationState, write_state
from tests.fakes import build_static_model, run_cli, write_jsonl

ROWS = [
    {"id": n, "title": f"title {n}", "text": f"the {word} of the sea", "n": n}
    for n, word in enumerate(("cat", "dog", "fish", "moon", "tide", "bread", "yeast", "lava"))
]


@pytest.fixture
def place(tmp_path, monkeypatch, own_signals):
    """The working directory of a command that runs in this process."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    write_jsonl(tmp_path / "a.jsonl", ROWS)
    return tmp_path


@pytest.fixture
def run(place, model_folder):
    """Run a command in this process; ``ingest`` gets the small model unless it names another."""

    def invoke(*arguments, code: int = 0):
        given = [str(one) for one in arguments]
        if given[0] == "ingest":
            given += ["--collection", "c"]
            if "--encoder" not in given and not EdgeClient("data").collection_exists("c"):
                given += ["--encoder", str(model_folder)]
        done = CliRunner().invoke(app, given)
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        assert done.exit_code == code, (done.stdout, done.stderr)
        if code:
            assert "Traceback" not in done.stderr
        return done

    return invoke


def spec():
    with EdgeClient("data") as client:
        return read_spec(client, "c")


# --- ingest ----------------------------------------------------------------------------------


def test_ingest_prints_a_sum_and_what_was_taken(run):
    done = run("ingest", "a.jsonl")
    assert "read 8 = stored 8 + rejected 0" in done.stdout
    assert "key id; text title + text" in done.stdout
    assert "8 points (0 before)" in done.stdout


def test_json_is_alone_on_standard_output(run, tmp_path):
    write_jsonl(tmp_path / "b.jsonl", [*ROWS, "torn", {"id": 1}])
    done = run("ingest", "b.jsonl", "--json")
    report = json.loads(done.stdout)
    assert (report["read"], report["stored"], report["rejected"]) == (
        10, 8, {"no_text": 1, "not_json": 1},
    )  # fmt: skip
    assert report["read"] == report["stored"] + sum(report["rejected"].values())
    assert len((tmp_path / report["rejects_path"]).read_text().splitlines()) == 2


def test_rejects_alone_leave_the_exit_code_at_0(run, tmp_path):
    write_jsonl(tmp_path / "b.jsonl", ["torn"])
    assert "read 1 = stored 0 + rejected 1" in run("ingest", "b.jsonl").stdout


def test_an_empty_file_exits_0_and_says_so(run, tmp_path):
    (tmp_path / "b.jsonl").touch()
    done = run("ingest", "b.jsonl")
    assert "the input has no rows" in done.stdout
    assert "read 0 = stored 0 + rejected 0" in done.stdout


def test_an_unreadable_parquet_among_good_ones_is_said_and_the_others_go_on(run, tmp_path):
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "a.parquet")
    (tmp_path / "b.parquet").write_bytes(b"no parquet")
    done = run("ingest", "*.parquet", code=1)
    assert "read 8 = stored 8 + rejected 0" in done.stdout
    assert "files that could not be read to their end: 1" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("none.jsonl",), "error: no input at 'none.jsonl': there is no such file or folder"),
        (("none*.jsonl",), "error: no input at 'none*.jsonl': nothing matches"),
        (("empty",), "error: no input at 'empty': the folder has no file that ends in"),
        (("a.jsonl", "--key", "doi"), "its columns are: id, title, text, n"),
        (("a.jsonl", "--text", "title,body"), "no column 'body' in a.jsonl; its columns are: id,"),
        (("a.jsonl", "--payload", "year"), "no column 'year'"),
        (("p.parquet", "--text", "n"), "column 'n' in p.parquet is of type int64; needed: a str"),
        (("a.jsonl", "--matryoshka", "big"), "--matryoshka: 'big' is not a list of sizes"),
        (("a.jsonl", "--matryoshka", "64"), "matryoshka: sizes must fall and stay below"),
        (("a.jsonl", "--quantization", "int7"), "quantization: 'int7' is unknown; known: binary"),
        (("a.jsonl", "--sparse", "splade"), "--sparse: 'splade' is unknown; known: bm25, none"),
        (("a.jsonl", "--language", "klingon"), "klingon"),
        (("a.jsonl", "--index", "year"), "--index: 'year' is not FIELD:TYPE"),
        (("a.jsonl", "--index", "year:number"), "payload_indexes.year: 'number' is unknown"),
        (("a.jsonl", "--encoder", "nothing"), "error: no encoder 'nothing'"),
        (("a.jsonl", "--db", "localhost:6333"), "for a server write http://localhost:6333"),
    ],
)
def test_wrong_usage_exits_2_with_one_sentence_and_makes_nothing(run, place, arguments, told):
    (place / "empty").mkdir()
    pq.write_table(pa.Table.from_pylist(ROWS), place / "p.parquet")
    done = run("ingest", *arguments, code=2)
    assert done.stdout == ""
    said = done.stderr.splitlines()[-1]  # a progress bar may have begun before it
    assert said.startswith("error: ")
    assert told in said
    assert not (place / "data").exists()


@pytest.mark.parametrize(
    "arguments",
    [("ingest",), ("ingest", "a.jsonl", "--threads", "x"), ("ingest", "a.jsonl", "--nonsense"),
     ("search", "c"), ("search", "c", "moon", "--limit", "0"), ("serach",)],
)  # fmt: skip
def test_what_the_parser_refuses_exits_2(run, arguments):
    assert "Usage:" in run(*arguments, code=2).stderr


def test_options_become_the_spec(run):
    run(
        "ingest", "a.jsonl", "--matryoshka", "16, 8", "--quantization", "none",
        "--language", "german", "--index", "n:integer", "--index", "title:text",
        "--text", "text", "--payload", "n", "--threads", "1",
    )  # fmt: skip
    got = spec()
    assert [(v.name, v.quantization) for v in got.vectors] == [
        ("full", None), ("mrl_16", None), ("mrl_8", None),
    ]  # fmt: skip
    assert got.sparse.language == "german"
    assert dict(got.payload_indexes) == {"n": "integer", "title": "text"}
    assert (got.fields.key, got.fields.text) == ("id", ())


def test_sparse_none_leaves_bm25_out(run):
    run("ingest", "a.jsonl", "--sparse", "none")
    assert spec().sparse is None


def test_the_same_command_again_is_harmless(run):
    options = ("--matryoshka", "8", "--index", "n:integer")
    run("ingest", "a.jsonl", *options)
    assert "8 points (8 before)" in run("ingest", "a.jsonl", *options).stdout


def test_what_no_option_says_is_taken_from_the_collection(run, model_folder):
    run("ingest", "a.jsonl", "--matryoshka", "8", "--index", "n:integer", "--language", "german")
    before = spec()
    for options in ((), ("--encoder", model_folder), ("--matryoshka", "8"), ("--sparse", "bm25"),
                    ("--index", "n:integer"), ("--quantization", "turbo4")):  # fmt: skip
        assert "8 points (8 before)" in run("ingest", "a.jsonl", *options).stdout
    assert spec() == before


def test_what_an_option_says_must_be_what_is_there(run):
    run("ingest", "a.jsonl", "--matryoshka", "8")
    done = run("ingest", "a.jsonl", "--matryoshka", "16", code=2)
    assert "differs" in done.stderr
    assert "mrl_16: is absent" in done.stderr


def test_another_encoder_exits_2_and_names_both(run, model_folder, tmp_path):
    other = build_static_model(tmp_path / "other", seed=1)
    run("ingest", "a.jsonl")
    for done in (
        run("ingest", "a.jsonl", "--encoder", other, code=2),
        run("search", "c", "moon", "--encoder", other, code=2),
    ):
        assert str(model_folder) in done.stderr
        assert str(other) in done.stderr


def test_the_rejects_file_is_where_it_is_wanted(run, tmp_path):
    write_jsonl(tmp_path / "b.jsonl", ["torn"])
    run("ingest", "b.jsonl", "--rejects", "mine/r.jsonl")
    assert json.loads((tmp_path / "mine" / "r.jsonl").read_text())["line"] == 1


def test_a_place_that_is_a_file_is_one_sentence(run, place):
    (place / "file").touch()
    done = run("ingest", "a.jsonl", "--db", "file", code=2)
    last = done.stderr.splitlines()[-1]
    assert last == "error: --db: 'file' is a file; name a folder or a server's URL"


# --- search ----------------------------------------------------------------------------------


def test_search_prints_hits_to_read(run):
    run("ingest", "a.jsonl")
    done = run("search", "c", "a fish", "--limit", "2", "--plan", "exact")
    head, text, *_ = done.stdout.splitlines()
    assert re.fullmatch(r" \d\.\d{3}  2", head)
    assert text.strip() == "title 2 the fish of the sea"  # no terminal: nothing is bold
    assert done.stderr == ""


def test_search_prints_a_table(run):
    run("ingest", "a.jsonl")
    done = run("search", "c", "a fish", "--limit", "2", "--plan", "exact", "--table")
    head, first, _second = done.stdout.splitlines()
    assert head == "  score  key  text"
    assert first.split(maxsplit=2)[1:] == ["2", "title 2 the fish of the sea"]
    assert done.stderr == ""


def test_search_prints_json(run):
    run("ingest", "a.jsonl")
    hits = json.loads(run("search", "c", "a fish", "-n", "3", "--json").stdout)
    assert len(hits) == 3
    assert hits[0]["key"] == 2
    assert hits[0]["payload"] == ROWS[2]


def test_no_hits_are_said_and_exit_0(run):
    run("ingest", "a.jsonl")
    assert run("search", "c", "zebra").stdout == "no hits\n"
    assert json.loads(run("search", "c", "zebra", "--json").stdout) == []


@pytest.mark.parametrize(
    "condition",
    ["id=2", '{"must": [{"key": "id", "match": {"value": 2}}]}', "text=the moon of the sea"],
)
def test_a_filter_narrows_a_search(run, condition):
    run("ingest", "a.jsonl")
    wanted = {row["id"] for row in ROWS if _holds(row, condition)}
    hits = json.loads(run("search", "c", "a fish moon", "--filter", condition, "--json").stdout)
    assert {hit["key"] for hit in hits} == wanted


def _holds(row: dict, condition: str) -> bool:
    name, _, value = condition.partition("=")
    return row["id"] == 2 if condition.startswith("{") else str(row[name]) == value


def test_conditions_must_all_hold(run):
    run("ingest", "a.jsonl")
    both = ("--filter", "n>=2", "--filter", "n<4 and title!='title 3'", "--plan", "exact")
    hits = json.loads(run("search", "c", "the moon of the sea", *both, "--json").stdout)
    assert [hit["key"] for hit in hits] == [2]
    both = ("--filter", "id=2", "--filter", "id=3")
    assert run("search", "c", "moon", *both).stdout == "no hits\n"


def test_types_of_csv_columns_and_indexes_over_nothing(run, place):
    lines = ["id,text,n,price,a b"] + [f"{n},the cat,{n},{n}.5,{n}" for n in range(3)]
    (place / "a.csv").write_text("\n".join(lines) + "\n")
    indexes = ("--index", "n:integer", "--index", "prise:float", "--index", "a b:keyword")
    told = run("ingest", "a.csv", *indexes).stderr
    assert "warning: the index on 'n' (integer) holds 0 of 3 points: the values are texts" in told
    assert "--types n:integer" in told
    assert "warning: the index on 'prise' (float) holds 0 of 3 points: no point has" in told
    assert "did you mean 'price'?" in told
    assert told.count("warning: ") == 2
    done = run("search", "c", "cat", "--filter", "n>=1", code=2)
    assert "'n' holds texts: only = and != compare that" in done.stderr

    types = ("--types", "n:integer,price:float", "--types", "a b:integer")
    with EdgeClient("data") as client:
        client.delete_collection("c")
    indexes = ("--index", "n:integer", "--index", "a b:integer")
    assert "warning" not in run("ingest", "a.csv", *types, *indexes).stderr
    both = ("--filter", 'n>=1 and "a b"<2', "--filter", "price=1.5")
    hits = json.loads(run("search", "c", "the cat", "--plan", "exact", *both, "--json").stdout)
    assert [hit["payload"] for hit in hits] == [
        {"id": "1", "text": "the cat", "n": 1, "price": 1.5, "a b": 1}
    ]


@pytest.mark.parametrize(
    ("option", "told"),
    [("n", "'n' is not COLUMN:TYPE"), ("n:whole", "types.n"), ("m:integer", "no column 'm'")],
)
def test_types_that_cannot_be(run, place, option, told):
    (place / "a.csv").write_text("id,text,n\n1,the cat,1\n")
    assert told in run("ingest", "a.csv", "--types", option, code=2).stderr


@pytest.mark.parametrize("plan", ['{"kind": "dense", "ef": 50}', '{ kind = "dense", ef = 50 }'])
def test_a_plan_is_explained_and_not_run(run, plan):
    run("ingest", "a.jsonl")
    told = run("search", "c", "moon", "--plan", plan, "--explain").stdout
    assert told.startswith("1. 'full', 32-d: ")
    assert "in one request" in told
    data = json.loads(run("search", "c", "moon", "--plan", plan, "--explain", "--json").stdout)
    assert data["request"]["search_params"]["hnsw_ef"] == 50
    assert data["requests"] == 1


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("d", "moon"), "no collection 'd' in data; there are: c"),
        (("c", " "), "query: has no text"),
        (("c", "moon", "--plan", "fast"), "'fast' is unknown; known: exact, dense, cascade, bm25"),
        (("c", "moon", "--plan", "{kind"), "plan: is neither JSON nor a TOML table"),
        (("c", "moon", "--plan", '{"kind": "dense", "oversampling": 0}'), "plan.oversampling"),
        (("c", "moon", "--filter", "id"), "filter 'id', at character 1: after the field 'id'"),
        (("c", "moon", "--filter", "n>=x", "--explain"), "'n' holds integers, and 'x' is not"),
        (("c", "moon", "--filter", "titel=a"), "has a field 'titel': did you mean 'title'?"),
        (("c", "moon", "--filter", '{"must": 5}'), "is not a Qdrant filter: must"),
        (("c", "moon", "--encoder", "nothing"), "no encoder 'nothing'"),
        (("a/b", "moon"), "'a/b' cannot name a collection"),
        (("c", "moon \udcff", "--plan", "bm25"), ""),
        (("c", "moon \udcff", "--plan", "dense"), ""),
    ],
)
def test_a_search_that_cannot_be_exits_2_with_one_sentence(run, arguments, told):
    run("ingest", "a.jsonl")
    done = run("search", *arguments, code=2)
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert told in done.stderr
    assert done.stderr.count("\n") == 1


def test_searching_an_empty_directory_creates_nothing(run, place):
    run("search", "c", "moon", "--db", "nowhere", code=2)
    assert not (place / "nowhere").exists()


def test_an_encoder_that_has_moved_can_be_told(run, tmp_path):
    moved = build_static_model(tmp_path / "before")
    run("ingest", "a.jsonl", "--encoder", moved)
    moved.rename(tmp_path / "after")
    done = run("search", "c", "moon", code=2)
    assert str(moved) in done.stderr
    assert run("search", "c", "moon", "--encoder", "after", "--table").stdout.startswith("  score")


# --- the whole -------------------------------------------------------------------------------


def test_a_collection_is_deleted_with_the_files_of_its_jobs(run, place):
    run("ingest", "a.jsonl")
    state = place / "data/_state/c"
    assert "there was no answer" in run("delete", "c", code=2).stderr
    assert (state / "ledger.sqlite").exists()
    done = run("delete", "c", "--yes")
    assert "deleted collection 'c' (8 points), and its jobs' files in" in done.stdout
    assert not state.exists()
    assert "no collection 'c'" in run("delete", "c", "--yes", code=2).stderr


def test_the_files_of_jobs_can_stay_and_a_new_collection_begins_anew(run, place):
    run("ingest", "a.jsonl")
    (place / "data/_state/c/notes.txt").write_text("mine")
    assert "kept data/_state/c" in run("delete", "c", "-y", "--keep-state").stdout
    assert len(json.loads(run("runs", "c", "--json").stdout)) == 1
    assert "stored 8" in run("ingest", "a.jsonl").stdout
    assert "kept data/_state/c" in run("delete", "c", "-y").stdout  # of somebody else's file
    assert [one.name for one in (place / "data/_state/c").iterdir()] == ["notes.txt"]


def test_what_is_needed_is_not_deleted(run, place):
    run("ingest", "a.jsonl")
    with EdgeClient("data") as client:
        point_alias(client, "live", "c")
    assert "the alias 'live' points at it" in run("delete", "c", "-y", code=2).stderr
    assert "it is an alias, of 'c'" in run("delete", "live", "-y", code=2).stderr
    with EdgeClient("data") as client:
        client.update_collection_aliases([
            models.DeleteAliasOperation(delete_alias=models.DeleteAlias(alias_name="live"))
        ])  # fmt: skip
        state = MigrationState(
            alias="a", blue="c", green="c__v2", source={"kind": "collection"}, encoder={}
        )
        write_state(client, state)
    told = run("delete", "c", "-y", code=2).stderr
    assert "a migration of 'a' from 'c' to 'c__v2' is under way (phase building)" in told
    with EdgeClient("data") as client:
        assert client.count("c").count == 8
        write_state(client, state.at("retired"))
    with StateFolder(place / "data/_state/c", "c"):
        assert "a job of collection 'c' is running" in run("delete", "c", "-y", code=1).stderr
    run("delete", "c", "-y")


def test_past_runs_are_listed_and_old_files_go(run, place):
    write_jsonl(place / "a.jsonl", [*ROWS, {"id": 99}])
    for _ in range(3):
        run("ingest", "a.jsonl", "--again", "--keep-runs", "2")
    last, before, first = json.loads(run("runs", "c", "--json").stdout)
    assert (last["run"], before["run"], first["run"]) == (3, 2, 1)
    assert (last["totals"]["stored"], last["totals"]["rejected"]) == (8, 1)
    assert last["removed"] == before["removed"] == []
    assert [name.partition("-")[0] for name in first["removed"]] == ["rejects", "manifest"]
    assert len([*(place / "data/_state/c").glob("rejects-*")]) == 2
    told = run("runs", "c", "-n", "1").stdout
    assert "run 3: finished" in told
    assert "run 2" not in told
    assert "no ledger" in run("runs", "d", code=2).stderr
    with EdgeClient("data") as client:
        point_alias(client, "live", "c")
    assert "run 3: finished" in run("runs", "live").stdout
    with EdgeClient("data") as client:  # a job that names the alias has a ledger of its own
        ingest(client, "live", place / "a.jsonl")
    assert "run 3" not in run("runs", "live").stdout


def test_past_runs_of_a_server_that_is_away_are_listed(run, place):
    run("ingest", "a.jsonl", "--state", "qdrant-static-state/c")
    assert "run 1: finished" in run("runs", "c", "--db", "http://localhost:1").stdout
    done = run("runs", "d", "--db", "http://localhost:1", code=2)
    assert "cannot look up whether 'd' is an alias" in done.stderr


def test_the_version_is_printed(run):
    assert run("--version").stdout == f"qdrant-static {__version__}\n"


@pytest.mark.parametrize("arguments", [("--help",), ("-h",), ("ingest", "-h"), ("search", "--help"),
                                       ("demo", "--help")])  # fmt: skip
def test_help_exits_0(run, arguments):
    assert "Usage:" in run(*arguments).stdout


def test_a_process_prints_json_alone_and_exits_0(tmp_path, model_folder):
    write_jsonl(tmp_path / "a.jsonl", ROWS)
    done = run_cli(
        "ingest", "a.jsonl", "-c", "c", "--encoder", model_folder, "--json", cwd=tmp_path
    )
    assert (done.code, done.err) == (0, "")
    assert json.loads(done.out)["stored"] == 8


INGEST_SLOWLY = """
import sys, time
from qdrant_static.sinks import sink
store = sink.store
def slow(*arguments):
    refused = store(*arguments)
    time.sleep(0.05)
    return refused
sink.store = slow
from qdrant_static.cli import main
main()
"""


def begin(child, tmp_path, model_folder, *options):
    """A child that ingests 30,000 rows, with the first ones acknowledged."""
    write_jsonl(tmp_path / "a.jsonl", ({"id": n, "text": f"moon {n}"} for n in range(30_000)))
    process = child(
        INGEST_SLOWLY, "ingest", "a.jsonl", "-c", "c", "--encoder", model_folder, *options
    )
    shown = ""
    while not re.search("stored=[1-9]", shown):
        piece = process.stderr.read(1)
        assert piece, shown
        shown += piece
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_an_ingest_in_order(child, tmp_path, model_folder, number):
    process = begin(child, tmp_path, model_folder)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert "stopping after this batch" in err
    assert "interrupted: what is stored stays" in out
    sums = next(line for line in out.splitlines() if line.startswith("read "))
    read, stored, rejected = (int(w.replace(",", "")) for w in sums.split() if w[0].isdigit())
    assert read == stored + rejected
    assert 0 < stored < 30_000
    with EdgeClient(tmp_path / "data") as client:
        assert client.count("c").count == stored


def test_a_second_signal_ends_it_at_once_and_what_was_acknowledged_stays(
    child, tmp_path, model_folder
):
    process = begin(child, tmp_path, model_folder, "--threads", "8")
    process.send_signal(signal.SIGINT)
    shown = ""
    while "Ctrl-C again" not in shown:
        piece = process.stderr.read(1)
        assert piece, shown
        shown += piece
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in err
    if "interrupted:" not in out:  # the first signal may have been done with by then
        assert "error: interrupted" in err
    with EdgeClient(tmp_path / "data") as client:
        assert 0 < client.count("c").count < 30_000
