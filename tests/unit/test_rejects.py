"""The rejects file, and a batch that sets records apart."""

from __future__ import annotations

import json
from dataclasses import replace

import pyarrow as pa

from qdrant_static.reading.batch import Batch
from qdrant_static.reading.options import Passages, SourceOptions
from qdrant_static.reading.rejects import Reject, RejectsFile
from qdrant_static.reading.selection import read_row_options, row_options, select


def reject(**changes) -> Reject:
    values = {"reason": "no_text", "message": "m", "file": "a.jsonl", "unit": "line"}
    return Reject(**{**values, "position": 3, "row": {"id": 1}, **changes})


def test_a_line_says_reason_message_address_and_value(tmp_path):
    with RejectsFile(tmp_path / "deep" / "r.jsonl") as file:
        file.add(reject())
        file.add(reject(unit="row", position=0, file="b.parquet"))
    lines = [json.loads(line) for line in file.path.read_text().splitlines()]
    assert lines == [
        {"reason": "no_text", "message": "m", "file": "a.jsonl", "line": 3, "value": {"id": 1}},
        {"reason": "no_text", "message": "m", "file": "b.parquet", "row": 0, "value": {"id": 1}},
    ]


def test_nothing_is_made_where_nothing_is_rejected(tmp_path):
    with RejectsFile(tmp_path / "deep" / "r.jsonl") as file:
        pass
    assert not file
    assert list(tmp_path.iterdir()) == []


def test_what_a_crash_left_behind_the_settled_part_is_cut_off(tmp_path):
    with RejectsFile(tmp_path / "r.jsonl") as file:
        file.add(reject(position=1), reject(position=2))
        settled = file.bytes
        file.add(reject(position=3))
    with RejectsFile(tmp_path / "r.jsonl", kept_bytes=settled) as again:
        assert again
        again.add(reject(position=4))
    lines = [json.loads(line) for line in again.path.read_text().splitlines()]
    assert [line["line"] for line in lines] == [1, 2, 4]
    assert again.bytes == again.path.stat().st_size


def test_a_file_is_there_as_soon_as_a_reject_is(tmp_path):
    with RejectsFile(tmp_path / "r.jsonl") as file:
        file.add(reject())
        assert len(file.path.read_text().splitlines()) == 1


def test_another_runs_file_is_replaced(tmp_path):
    (tmp_path / "r.jsonl").write_text("old")
    with RejectsFile(tmp_path / "r.jsonl") as file:
        file.add(reject())
    assert "old" not in file.path.read_text()


def test_what_is_no_unicode_and_what_is_no_json_is_still_readable(tmp_path):
    with RejectsFile(tmp_path / "r.jsonl") as file:
        file.add(reject(row={"text": "\ud800", "other": {1, 2}}))
    raw = file.path.read_bytes()
    assert raw.isascii()
    assert json.loads(raw)["value"]["text"] == "\ud800"


def test_every_line_is_strict_json(tmp_path):
    def refuse(name):
        raise AssertionError(f"{name} is no JSON")

    with RejectsFile(tmp_path / "r.jsonl") as file:
        file.add(reject(row={"x": float("inf"), "y": float("nan")}))
    json.loads(file.path.read_text(), parse_constant=refuse)


def test_a_value_nested_as_deep_as_json_reads_it_can_be_written(tmp_path):
    value = json.loads("[" * 900 + "]" * 900)
    with RejectsFile(tmp_path / "r.jsonl") as file:
        file.add(reject(row={"deep": value}))
    assert file.path.read_text().startswith('{"reason": "no_text"')


def test_text_is_written_as_people_read_it(tmp_path):
    with RejectsFile(tmp_path / "r.jsonl") as file:
        file.add(reject(row={"text": "möön 月\n\u2028\x85", "half": "\udc80"}))
    raw = file.path.read_text(encoding="utf-8")
    assert "möön 月" in raw
    (line,) = raw.splitlines()
    assert json.loads(line)["value"] == {"text": "möön 月\n\u2028\x85", "half": "\udc80"}


def test_options_and_what_the_folders_say_are_beside_the_row(tmp_path):
    with RejectsFile(tmp_path / "r.jsonl", options={"key": ["id"]}) as file:
        file.add(reject(row="torn {", partition={"year": 1990}))
    line = json.loads(file.path.read_text())
    assert (line["options"], line["partition"]) == ({"key": ["id"]}, {"year": 1990})


def test_options_are_read_again_as_they_were():
    options = SourceOptions(
        key=("a", "b.c"), template="{t}: {u}", payload=("a",), exclude=("x",), rename={"t": "w"},
        types={"n": "integer"}, max_text_bytes=9, max_payload_bytes=8,
    )  # fmt: skip
    given = replace(options, delimiter=";", format="csv")
    cut = Passages(tokens=7, overlap=1, parent="of")
    written = row_options(select((), "x", options), given, cut)
    assert read_row_options(json.loads(json.dumps(written))) == (options, cut)


def test_a_key_that_is_excluded_by_its_default_name_is_no_error():
    options = SourceOptions(exclude=("id",))
    written = row_options(select(("id", "text"), "x", options), options, None)
    assert written == {"key": ["id"], "text": ["text"]}


def batch() -> Batch:
    return Batch(
        file="a.jsonl",
        unit="line",
        positions=[1, 2, 4],
        keys=["a", "b", "c"],
        texts=pa.array(["x", "y", "z"], pa.large_string()),
        payloads=[{"n": 1}, {"n": 2}, {"n": 3}],
        rejects=[reject()],
    )


def test_a_batch_accounts_for_its_records_and_its_rejects():
    assert len(batch()) == 3
    assert batch().rows == 4


def test_taking_some_records_keeps_their_addresses_and_the_rejects():
    part = batch().take([0, 2])
    assert (part.positions, part.keys, part.payloads) == ([1, 4], ["a", "c"], [{"n": 1}, {"n": 3}])
    assert part.texts.to_pylist() == ["x", "z"]
    assert len(part.rejects) == 1
    assert len(batch().take([])) == 0


def test_a_record_is_rejected_with_its_own_address():
    one = batch().reject(2, "duplicate_key", "again")
    assert one == Reject(
        reason="duplicate_key", message="again", file="a.jsonl", unit="line", position=4,
        row={"n": 3},
    )  # fmt: skip
