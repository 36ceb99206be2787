"""Rejects that are tried again are read as the job read them, and may be kept."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from qdrant_static import RunOptions, ingest
from qdrant_static.errors import ArgumentError
from qdrant_static.ingestion.retrying import retry_rejects
from qdrant_static.reading import rejects as rejects_module
from qdrant_static.reading.options import Passages, SourceOptions
from tests.fakes import FakeEncoder, run_cli, write_jsonl

ENCODER = FakeEncoder()
GIVEN = FakeEncoder(salt="given").encode(["given"])[0].tolist()
ROWS = [
    {"id": 1, "title": "tide", "text": "the tide", "email": "a@x", "year": "1", "v": GIVEN},
    {"id": None, "title": "möön", "text": "the moon", "email": "b@x", "year": "2", "v": GIVEN},
]
OPTIONS = {
    "exclude and template": {"exclude": ("email", "v"), "template": "About {title}: {text}"},
    "text not stored": {"text": ("title", "text"), "exclude": ("text", "email", "v")},
    "rename": {"rename": {"title": "headline", "year": "in"}, "exclude": ("v",)},
    "payload": {"payload": ("title",)},
    "nothing stored": {"payload": ()},
    "ready vectors": {"vectors": "v", "text": ("title",)},
    "another key": {"key": ("id", "year"), "exclude": ("v",)},
}


def lines(path):
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def mended(report, tmp_path, mend):
    """The rejects of a run, corrected by hand."""
    found = lines(report.rejects_path)
    for one in found:
        mend(one)
    path = tmp_path / "mended.jsonl"
    path.write_bytes(b"".join(json.dumps(one).encode() + b"\n" for one in found))
    return path


def stored(client, name):
    points, _ = client.scroll(name, limit=100, with_vectors=["full"])
    return {str(one.id): (one.payload, np.round(one.vector["full"], 5).tolist()) for one in points}


def write(kind, folder, rows):
    path = folder / f"in.{kind}"
    if kind == "jsonl":
        return write_jsonl(path, rows)
    if kind == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
        return path
    import csv

    with path.open("w", newline="") as file:
        writer = csv.DictWriter(
            file, [name for name in rows[0] if name != "v"], extrasaction="ignore"
        )
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.mark.parametrize("kind", ["jsonl", "parquet", "csv"])
@pytest.mark.parametrize("asked", OPTIONS)
def test_a_row_that_is_mended_is_stored_as_if_it_had_been_right(client, tmp_path, kind, asked):
    given = dict(OPTIONS[asked])
    if kind == "csv":
        if "vectors" in given:
            pytest.skip("cells hold no vectors")
        given["exclude"] = tuple(one for one in given.get("exclude", ()) if one != "v")
        given["types"] = {"id": "integer", "year": "integer"}
    options = SourceOptions(**given)
    right = [ROWS[0], {**ROWS[1], "id": 2}]
    (tmp_path / "right").mkdir()
    ingest(
        client,
        "right",
        write(kind, tmp_path / "right", right),
        encoder=ENCODER,
        source_options=options,
    )
    report = ingest(
        client, "c", write(kind, tmp_path, ROWS), encoder=ENCODER, source_options=options
    )
    assert report.rejected == {"null_key": 1}

    path = mended(report, tmp_path, lambda one: one["value"].update(id=2))
    again, left = retry_rejects(client, "c", path, encoder=ENCODER)
    assert (again.read, again.stored, left) == (1, 1, {})
    assert stored(client, "c") == stored(client, "right")


def test_types_of_cells_hold_for_what_was_mended(client, tmp_path):
    rows = [{"id": "1", "text": "a", "year": "1990"}, {"id": "2", "text": "b", "year": "MCM"}]
    options = SourceOptions(types={"year": "integer", "id": "integer"})
    report = ingest(
        client, "c", write("csv", tmp_path, rows), encoder=ENCODER, source_options=options
    )
    assert report.rejected == {"wrong_type": 1}
    same, _ = retry_rejects(client, "c", report.rejects_path, encoder=ENCODER)
    assert same.rejected == {"wrong_type": 1}
    path = mended(report, tmp_path, lambda one: one["value"].update(year="1900"))
    retry_rejects(client, "c", path, encoder=ENCODER)
    assert client.retrieve("c", [2])[0].payload["year"] == 1900


def test_passages_are_cut_and_limits_hold_as_in_the_job(client, tmp_path, model_folder):
    from qdrant_static import load_encoder

    small = load_encoder(str(model_folder))
    rows = [{"id": 1, "text": "sea moon tide cat dog"}, {"text": "cat dog sea moon tide"},
            {"id": 3, "text": "x" * 200}]  # fmt: skip
    options = SourceOptions(max_text_bytes=100)
    cut = Passages(tokens=2, overlap=1, parent="of")
    path = write_jsonl(tmp_path / "a.jsonl", rows)
    report = ingest(client, "c", path, encoder=small, passages=cut, source_options=options)
    assert report.rejected == {"null_key": 1, "too_long": 1}
    told = lines(report.rejects_path)[0]["options"]
    assert (told["passages"]["tokens"], told["max_text_bytes"]) == (2, 100)
    path = mended(report, tmp_path, lambda one: one["value"].setdefault("id", 2))
    again, _ = retry_rejects(client, "c", path, encoder=small)
    assert (again.stored, again.rejected) == (1, {"too_long": 1})
    found = [one.payload for one in client.scroll("c", limit=100)[0]]
    assert len([one for one in found if one["of"] == 2]) == len(
        [one for one in found if one["of"] == 1]
    )


def test_a_line_that_was_no_record_gets_what_its_folder_says(client, tmp_path):
    folder = tmp_path / "year=1990"
    folder.mkdir()
    write_jsonl(folder / "a.jsonl", [{"id": 1, "text": "cat"}, '{"id": 2, "text": "dog"'])
    report = ingest(client, "c", tmp_path / "year=1990", encoder=ENCODER)
    path = mended(report, tmp_path, lambda one: one.update(value=one["value"] + "}"))
    retry_rejects(client, "c", path, encoder=ENCODER)
    assert client.retrieve("c", [2])[0].payload == {"id": 2, "text": "dog", "year": 1990}


def test_a_line_that_was_mended_is_judged_as_any_other(client, tmp_path):
    table = [{"id": 1, "text": "cat"}, '{"id": 2, "text": "dog"', '{"id": 3, "text": "x", "id": 4}']
    report = ingest(client, "c", write_jsonl(tmp_path / "a.jsonl", table), encoder=ENCODER)
    assert report.rejected == {"not_json": 2}
    path = mended(report, tmp_path, lambda one: one["line"] == 2 and one.update(value='{"a": 1}'))
    again, _ = retry_rejects(client, "c", path, encoder=ENCODER)
    assert again.rejected == {"not_json": 1, "null_key": 1}


@pytest.mark.parametrize("text", [True, False])
def test_names_with_dots_are_names(client, tmp_path, text):
    row = {"id": None, "text": "moon", "user": "u", "user.name": "Ann"}
    table = [{**row, "id": 1}, json.dumps(row)[:-1] if text else row]
    options = SourceOptions(exclude=("user",))
    path = write_jsonl(tmp_path / "a.jsonl", table)
    report = ingest(client, "c", path, encoder=ENCODER, source_options=options)
    right = {**row, "id": 2}
    path = mended(
        report, tmp_path, lambda one: one.update(value=json.dumps(right) if text else right)
    )
    retry_rejects(client, "c", path, encoder=ENCODER)
    found = client.retrieve("c", [1, 2])
    assert found[0].payload == {"id": 1, "text": "moon", "user.name": "Ann"}
    assert found[1].payload == {**found[0].payload, "id": 2}


def test_what_the_engine_refuses_is_written_whole(client, tmp_path, monkeypatch):
    path = write_jsonl(tmp_path / "a.jsonl", [ROWS[0], {**ROWS[0], "title": "again"}])
    options = SourceOptions(exclude=("email", "v"), rename={"title": "headline"})
    report = ingest(client, "c", path, encoder=ENCODER, source_options=options)
    assert report.rejected == {"duplicate_key": 1}
    assert lines(report.rejects_path)[0]["value"] == {**ROWS[0], "title": "again"}


def test_rejects_are_read_by_people(client, tmp_path):
    row = {"text": "möön 月 \u2028 \x85 \ud800"}
    content = json.dumps(row, ensure_ascii=False).encode("utf-8", "surrogatepass")
    table = [{"id": 1, "text": "x"}, {"id": None, "text": "möön 月"}, json.dumps(row)]
    path = write_jsonl(tmp_path / "a.jsonl", [*table, content])
    report = ingest(client, "c", path, encoder=ENCODER, text="text", key="id")
    raw = report.rejects_path.read_bytes()
    assert "möön 月".encode() in raw
    assert b"\\u00f6" not in raw
    found = [json.loads(line) for line in raw.decode().splitlines()]
    assert [one["reason"] for one in found] == ["null_key", "not_unicode", "not_unicode"]
    assert found[1]["value"] == row
    again, _ = retry_rejects(client, "c", report.rejects_path, encoder=ENCODER)
    assert (again.stored, again.read) == (0, 3)


def test_rows_that_are_not_written_whole_are_named_and_not_retried(client, tmp_path, monkeypatch):
    monkeypatch.setattr(rejects_module, "_WHOLE", 5_000)
    rows = [{"id": 1, "text": "a"}, {"id": None, "text": "word " * 2_000}, "torn " * 2_000,
            {"id": None, "text": "short"}]  # fmt: skip
    report = ingest(client, "c", write_jsonl(tmp_path / "a.jsonl", rows), encoder=ENCODER)
    found = lines(report.rejects_path)
    assert [one.get("cut", False) for one in found] == [True, True, False]
    path = mended(report, tmp_path, lambda one: isinstance(one["value"], dict)
                  and one["value"].update(id=2))  # fmt: skip
    said: list[str] = []
    again, left = retry_rejects(client, "c", path, encoder=ENCODER, notify=said.append)
    assert (again.stored, left) == (1, {"not_whole": 2})
    assert "a.jsonl, line 2)" in said[0]
    assert "a.jsonl, line 3)" in said[1]


def test_a_file_of_an_earlier_version_is_read_as_the_collection_was_filled(client, tmp_path):
    options = SourceOptions(template="About {title}: {text}")
    ingest(
        client,
        "c",
        write_jsonl(tmp_path / "a.jsonl", ROWS),
        encoder=ENCODER,
        source_options=options,
    )
    row = {**ROWS[1], "id": 2}
    old = [
        {"reason": "null_key", "message": "m", "file": "a.jsonl", "line": 2, "value": row},
        {"reason": "too_long", "message": "m", "file": "a.jsonl", "line": 3, "value": row},
        {"reason": "not_json", "message": "m", "file": "a.jsonl", "line": 4, "value": "x" * 2000},
    ]
    report, left = retry_rejects(
        client, "c", write_jsonl(tmp_path / "old.jsonl", old), encoder=ENCODER, notify=print
    )
    assert (report.stored, left) == (1, {"not_whole": 2})
    expected = ENCODER.encode(["About möön: the moon"])[0]
    assert np.allclose(stored(client, "c")["2"][1], expected, atol=1e-4)


def test_rows_that_were_read_with_different_options_are_refused(client, tmp_path):
    found = []
    for options in (SourceOptions(), SourceOptions(max_payload_bytes=9_999)):
        path = write_jsonl(tmp_path / "a.jsonl", ROWS)
        report = ingest(client, "c", path, encoder=ENCODER, source_options=options)
        found += lines(report.rejects_path)
    path = write_jsonl(tmp_path / "both.jsonl", found)
    with pytest.raises(ArgumentError, match="lines 1 and 2, were read with different options"):
        retry_rejects(client, "c", path, encoder=ENCODER)


def test_points_of_a_collection_are_mended_there(client, tmp_path):
    row = {"reason": "no_text", "message": "m", "file": "collection:old", "row": 1, "value": {}}
    ingest(client, "c", write_jsonl(tmp_path / "a.jsonl", ROWS), encoder=ENCODER)
    with pytest.raises(ArgumentError, match="a point of 'collection:old'"):
        retry_rejects(client, "c", write_jsonl(tmp_path / "r.jsonl", [row]), encoder=ENCODER)


# --- and are they kept -------------------------------------------------------------------------


@pytest.mark.parametrize("keep", [True, False])
def test_what_was_mended_is_deleted_by_the_next_job_unless_it_is_kept(client, tmp_path, keep):
    rows = [*({"id": n, "text": f"cat {n}"} for n in range(10)), {"id": None, "text": "moon"}]
    path = write_jsonl(tmp_path / "a.jsonl", rows)

    def sync():
        return ingest(
            client,
            "c",
            path,
            encoder=ENCODER,
            run_options=RunOptions(sync=True, delete_missing=True),
        )

    rejected = mended(sync(), tmp_path, lambda one: one["value"].update(id=99))
    said: list[str] = []
    retry_rejects(client, "c", rejected, encoder=ENCODER, keep=keep, notify=said.append)
    assert ["--keep" in one for one in said] == ([] if keep else [True])
    assert sync().deleted == (0 if keep else 1)
    assert sync().deleted == 0
    assert bool(client.retrieve("c", [99])) is keep
    if not keep:
        return
    # Once the input has it, the input decides.
    write_jsonl(path, [*rows[:10], {"id": 99, "text": "moon"}])
    assert sync().deleted == 0
    write_jsonl(path, rows[:10])
    assert sync().deleted == 1


def test_the_command_says_it_and_keeps(tmp_path, model_folder):
    write_jsonl(tmp_path / "a.jsonl", [{"id": 1, "text": "cat"}, {"id": None, "text": "dog"}])
    run_cli("ingest", "a.jsonl", "-c", "c", "--db", "d", "--encoder", model_folder, "--rejects",
            "r.jsonl", cwd=tmp_path)  # fmt: skip
    content = (tmp_path / "r.jsonl").read_text()
    (tmp_path / "r.jsonl").write_text(content.replace('"id": null', '"id": 2'))
    done = run_cli("retry-rejects", "r.jsonl", "-c", "c", "--db", "d", cwd=tmp_path)
    assert (done.code, "--keep" in done.err) == (0, True)
    done = run_cli("retry-rejects", "r.jsonl", "-c", "c", "--db", "d", "--keep", cwd=tmp_path)
    assert (done.code, "--keep" in done.err) == (0, False)


def test_lines_of_csv_that_were_no_record_are_corrected_as_csv(client, tmp_path):
    folder = tmp_path / "lang=en"
    folder.mkdir()
    path = folder / "in.csv"
    path.write_bytes(
        b'id;text;year\n1;"a quote stays open;1\n2;b;2\n3;c;d;3\n'
        b"4;caf\xe9;4\n5;e;f;5\n6;caf\xe9;6\n"
    )
    options = SourceOptions(delimiter=";", types={"year": "integer"})
    report = ingest(client, "c", tmp_path, encoder=ENCODER, source_options=options)
    assert report.rejected == {"not_csv": 3, "not_unicode": 2}
    found = {one["line"]: one for one in lines(report.rejects_path)}
    found[2]["value"] = '1;"now closed\nin two lines";1'
    found[4]["value"] = '3;"c;d";3'
    found[5]["value"] = ["4", "café", "4"]
    again = tmp_path / "mended.jsonl"
    again.write_text("\n".join(json.dumps(one) for one in found.values()))
    said = []
    report, left = retry_rejects(client, "c", again, encoder=ENCODER, notify=said.append)
    assert (report.stored, left) == (3, {"not_csv": 2})
    points = {point.payload["id"]: point.payload for point in client.scroll("c")[0]}
    assert points["1"] == {"id": "1", "text": "now closed\nin two lines", "year": 1, "lang": "en"}
    assert points["3"] == {"id": "3", "text": "c;d", "year": 3, "lang": "en"}
    assert points["4"] == {"id": "4", "text": "café", "year": 4, "lang": "en"}
    cells, shown = (line for line in said if line.startswith("not retried"))
    assert "line 4: 4 cells, the header has 3 (id, text, year). Correct the value" in cells
    assert "line 5: it still has bytes that are no text" in shown


def test_a_row_with_a_number_that_is_not_finite_is_in_the_rejects_file_as_json(client, tmp_path):
    path = tmp_path / "in.jsonl"
    path.write_text('{"id": 1, "text": "a"}\n{"id": 2, "text": "it\'s b", "v": 1e400}\n')
    report = ingest(client, "c", path, encoder=ENCODER)
    mend = lambda one: one.update(value=one["value"].replace("Infinity", "1.5"))  # noqa: E731
    report, _ = retry_rejects(client, "c", mended(report, tmp_path, mend), encoder=ENCODER)
    assert report.stored == 1
    assert client.retrieve("c", [2])[0].payload == {"id": 2, "text": "it's b", "v": 1.5}
