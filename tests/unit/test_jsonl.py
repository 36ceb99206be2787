"""JSON Lines: every line is a record or a reject, and lines are never lost."""

from __future__ import annotations

import gzip
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qdrant_static.reading import jsonl
from qdrant_static.reading.batch import Batch
from qdrant_static.reading.rejects import Reject
from qdrant_static.reading.selection import Selection

SELECTION = Selection(key="id", text=("title", "text"), payload=None)
GOOD = b'{"id": 1, "text": "one"}'


def read(path, content: bytes | None = None, selection: Selection = SELECTION):
    """All batches as one list of (position, key, text, payload), and all rejects."""
    if content is not None:
        path.write_bytes(content)
    records, rejects = [], []
    for item in jsonl.read(path, selection):
        if isinstance(item, Reject):
            rejects.append(item)
            continue
        keys = item.keys or [None] * len(item)
        texts = item.texts.to_pylist()
        records += zip(item.positions, keys, texts, item.payloads, strict=True)
        rejects += item.rejects
    return records, rejects


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.jsonl"


def test_a_line_becomes_a_record_with_its_number_key_text_and_payload(path):
    records, rejects = read(path, b'{"id": "k", "title": "A", "text": "b", "n": [1.5, null]}\n')
    payload = {"id": "k", "title": "A", "text": "b", "n": [1.5, None]}
    assert records == [(1, "k", "A b", payload)]
    assert rejects == []


@pytest.mark.parametrize(
    ("line", "reason", "told"),
    [
        (b'{"id": 1, "text": "a"', "not_json", "not JSON"),
        (b"hello", "not_json", "not JSON"),
        (b'{"id": 1, "text": "a"} {}', "not_json", "Extra data"),
        (b'{"id": 1, "text": "a", "x": NaN}', "not_json", "NaN"),
        (b'{"id": 1, "text": "a", "x": -Infinity}', "not_json", "-Infinity"),
        (b"{'id': 1}", "not_json", "not JSON"),
        (b'{"id": 1, "text": "a\x00b"}', "not_json", "control character"),
        (b"[" * 100_000, "wrong_type", "nested deeper"),
        (
            b'{"id": 1, "text": "a", "x": ' + b"[" * 5000 + b"]" * 5000 + b"}",
            "wrong_type",
            "nested",
        ),
        (b"[1, 2]", "not_an_object", "a list, not an object"),
        (b'"text"', "not_an_object", "a string, not an object"),
        (b"17", "not_an_object", "a number, not an object"),
        (b"null", "not_an_object", "a null, not an object"),
        (b"true", "not_an_object", "a boolean, not an object"),
        (b'{"id": 1, "text": "\xff"}', "not_unicode", "UTF-8"),
        (b'{"id": 1, "text": "\xed\xa0\x80"}', "not_unicode", "UTF-8"),
        (b'{"id": 1, "text": "\\ud800"}', "not_unicode", "surrogate"),
        (b'{"id": 1, "text": "a", "x": {"\\uDfff": 1}}', "not_unicode", "surrogate"),
        (b'{"id": 1}', "no_text", "no text in title, text"),
        (b'{"id": 1, "text": null}', "no_text", "no text"),
        (b'{"id": 1, "text": " \\t\\u00a0\\n", "title": ""}', "no_text", "no text"),
        (b'{"text": "a"}', "null_key", "no key in 'id'"),
        (b'{"id": null, "text": "a"}', "null_key", "no key in 'id'"),
        (b'{"id": 1.0, "text": "a"}', "wrong_type", "'id' is a number"),
        (b'{"id": true, "text": "a"}', "wrong_type", "'id' is a boolean"),
        (b'{"id": ["a"], "text": "a"}', "wrong_type", "'id' is a list"),
        (b'{"id": 1, "text": 5}', "wrong_type", "'text' is a number"),
        (b'{"id": 1, "text": "a", "title": {}}', "wrong_type", "'title' is an object"),
        (b'{"id": 1180591620717411303424, "text": "a"}', "wrong_type", "more than 64 bits"),
        (b'{"id": 1, "text": "a", "x": [{"y": -9223372036854775809}]}', "wrong_type", "64 bits"),
        (b'{"id": 1, "text": "a", "x": 1e999}', "wrong_type", "1e999|inf|finite|64 bits"),
        (b'{"id": 1, "text": "a", "x": 1E+400}', "wrong_type", "beyond"),
        (b'{"id": 1, "text": "a", "x": ' + b"9" * 5000 + b"}", "not_json", "not JSON"),
        (b'{"id": 1, "text": "a", "id": 1}', "not_json", "the name 'id' twice"),
        (b'{"id": 1, "text": "a", "x": [{"y" : 1, "\\u0079": 2}]}', "not_json", "'y' twice"),
    ],
)
def test_a_bad_line_is_rejected_with_its_reason_and_number_and_the_rest_is_read(
    path, line, reason, told
):
    records, rejects = read(path, GOOD + b"\n" + line + b"\n" + b'{"id": 2, "text": "two"}\n')
    assert [record[:3] for record in records] == [(1, 1, "one"), (3, 2, "two")]
    (reject,) = rejects
    assert (reject.reason, reject.unit, reject.position, reject.file) == (
        reason, "line", 2, str(path),
    )  # fmt: skip
    assert any(part in reject.message for part in told.split("|"))
    json.dumps(reject.to_dict())


@pytest.mark.parametrize("depth", [130, 480, 500, 900, 975])
@pytest.mark.parametrize(
    "inside", [b"1", b"1234567890123456789", b"12345678901234567890123", b'"\\ud83d\\ude00"']
)
def test_nesting_of_any_depth_is_a_record_or_a_reject_and_never_ends_the_run(path, depth, inside):
    line = b'{"id": 9, "text": "a", "x": ' + b"[" * depth + inside + b"]" * depth + b"}"
    records, rejects = read(path, line + b"\n" + GOOD + b"\n")
    assert len(records) + len(rejects) == 2
    assert records[-1][:2] == (2, 1)


def test_a_line_with_a_name_twice_is_shown_as_it_is_and_the_next_is_judged_by_itself(path):
    line = b'{"id": 1, "text": "a", "n": 1, "n": 12345678901234567890}'
    records, (reject,) = read(path, line + b"\n" + GOOD + b"\n")
    assert reject.row == line.decode()
    assert [record[:2] for record in records] == [(2, 1)]


def test_digits_in_a_text_and_an_exponent_that_fits_are_no_large_numbers(path):
    line = b'{"id": 1, "text": "1e999 and 123456789012345678901234567890", "n": [1e-999, 1e308]}'
    ((*_, payload),), rejects = read(path, line)
    assert (payload["n"], rejects) == ([0.0, 1e308], [])


def test_pairs_of_surrogates_are_characters(path):
    records, rejects = read(path, b'{"id": 1, "text": "\\ud83d\\ude00"}\n')
    assert (records[0][2], rejects) == ("\N{GRINNING FACE}", [])


def test_integers_of_64_bits_stay(path):
    line = b'{"id": 18446744073709551615, "text": "a", "n": -9223372036854775808}\n'
    ((_, key, _, payload),), rejects = read(path, line)
    assert (key, payload["n"], rejects) == (2**64 - 1, -(2**63), [])


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("last", [True, False])
def test_any_end_of_line_will_do_and_the_last_line_needs_none(path, end, last):
    content = end.join([GOOD, b'{"id": 2, "text": "two"}']) + (end if last else b"")
    records, rejects = read(path, content)
    assert ([record[:3] for record in records], rejects) == ([(1, 1, "one"), (2, 2, "two")], [])


def test_a_torn_last_line_is_rejected(path):
    records, rejects = read(path, GOOD + b'\n{"id": 2, "te')
    assert len(records) == 1
    assert [(one.reason, one.position) for one in rejects] == [("not_json", 2)]


def test_blank_lines_are_no_rows_but_count_as_lines(path):
    records, rejects = read(path, b"\n  \r\n\t\n" + GOOD + b"\n\n")
    assert ([record[0] for record in records], rejects) == ([4], [])


def test_a_byte_order_mark_is_no_part_of_the_first_line(path):
    records, rejects = read(path, b"\xef\xbb\xbf" + GOOD + b"\n")
    assert ([record[1] for record in records], rejects) == ([1], [])
    assert jsonl.columns(path) == ("id", "text")


def test_a_byte_order_mark_alone_is_an_empty_file(path):
    assert read(path, b"\xef\xbb\xbf") == ([], [])


@pytest.mark.parametrize("content", [b"", b"\n\n"])
def test_an_empty_file_has_no_rows_and_no_columns(path, content):
    assert read(path, content) == ([], [])
    assert jsonl.columns(path) == ()


def test_a_batch_is_bounded_by_rows(path):
    path.write_bytes(b"".join(b'{"id": %d, "text": "a"}\n' % n for n in range(2500)))
    batches = list(jsonl.read(path, SELECTION))
    assert [len(batch) for batch in batches] == [1000, 1000, 500]
    assert [p for batch in batches for p in batch.positions] == list(range(1, 2501))


def test_rejects_fill_a_batch_too(path):
    path.write_bytes(b"x\n" * 2500)
    assert [batch.rows for batch in jsonl.read(path, SELECTION)] == [1000, 1000, 500]


def test_a_batch_is_bounded_by_bytes(path, monkeypatch):
    monkeypatch.setattr(jsonl, "MAX_BYTES", 100)
    path.write_bytes(b"".join(b'{"id": %d, "text": "%s"}\n' % (n, b"a" * 40) for n in range(5)))
    assert [len(batch) for batch in jsonl.read(path, SELECTION)] == [2, 2, 1]


def test_a_row_larger_than_a_batch_is_a_batch_of_its_own(path, monkeypatch):
    monkeypatch.setattr(jsonl, "MAX_BYTES", 100)
    long = b'{"id": 7, "text": "%s"}' % (b"a" * 500)
    path.write_bytes(b"\n".join([long, GOOD]))
    batches = list(jsonl.read(path, SELECTION))
    assert [batch.keys for batch in batches] == [[7], [1]]


@pytest.mark.parametrize("last", [True, False])
@pytest.mark.parametrize("extra", [0, 1, 2, 3, 250])
def test_a_line_over_the_bound_is_rejected_whole(path, monkeypatch, extra, last):
    monkeypatch.setattr(jsonl, "MAX_LINE_BYTES", 100)
    start, end = b'{"id": 2, "text": "', b'"}'
    line = start + b"a" * (101 - len(start) - len(end) + extra) + end
    content = GOOD + b"\n" + line + (b"" if last else b"\n" + b'{"id": 3, "text": "three"}')
    records, rejects = read(path, content)
    assert [(one.reason, one.position) for one in rejects] == [("too_long", 2)]
    assert [record[:2] for record in records] == ([(1, 1)] if last else [(1, 1), (3, 3)])


def test_gzip_is_read_by_its_ending_in_any_case(tmp_path):
    for name in ("a.jsonl.gz", "b.JSONL.GZ"):
        path = tmp_path / name
        records, rejects = read(path, gzip.compress(GOOD + b"\n"))
        assert ([record[1] for record in records], rejects) == ([1], []), name


def test_a_truncated_gzip_gives_what_was_readable_and_a_file_reject_last(tmp_path):
    path = tmp_path / "a.jsonl.gz"
    lines = [json.dumps({"id": n, "text": f"row {n * 7919 % 1000}"}) for n in range(5000)]
    packed = gzip.compress("\n".join(lines).encode())
    path.write_bytes(packed[: len(packed) // 2])
    items = list(jsonl.read(path, SELECTION))
    assert all(isinstance(item, Batch) for item in items[:-1])
    stored = sum(len(item) for item in items[:-1])
    assert 0 < stored < 5000
    assert (items[-1].reason, items[-1].is_file, items[-1].position) == (
        "unreadable_file", True, None,
    )  # fmt: skip
    assert f"after line {stored}" in items[-1].message


@pytest.mark.parametrize("content", [b"no gzip at all", b"", gzip.compress(GOOD)[:5]])
def test_a_gzip_that_is_none_is_a_file_reject(tmp_path, content):
    path = tmp_path / "a.jsonl.gz"
    records, rejects = read(path, content)
    assert records == []
    assert [one.reason for one in rejects] == ["unreadable_file"]
    assert jsonl.columns(path) == ()


def test_without_a_key_column_there_are_no_keys(path):
    path.write_bytes(GOOD + b"\n")
    (batch,) = jsonl.read(path, Selection(key=None, text=("text",), payload=None))
    assert batch.keys is None


def test_the_payload_is_what_was_chosen(path):
    selection = Selection(key="id", text=("text",), payload=("n",))
    records, _ = read(path, b'{"id": 1, "text": "a", "n": 2, "m": 3}\n', selection)
    assert records[0][3] == {"id": 1, "n": 2}


def test_columns_are_those_of_the_first_lines_in_order_bad_lines_aside(path):
    path.write_bytes(b'x\n{"b": 1}\n{"a": 1, "b": 2}\n[]\n')
    assert jsonl.columns(path) == ("b", "a")
    assert jsonl.columns(path, records=1) == ("b",)


@given(st.lists(st.binary(max_size=60)))
def test_every_line_that_is_not_blank_is_in_exactly_one_place(tmp_path_factory, lines):
    path = tmp_path_factory.getbasetemp() / "any.jsonl"
    content = b"\n".join(line.replace(b"\n", b"") for line in lines)
    expected = [
        number for number, line in enumerate(content.split(b"\n"), 1)
        if (line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line).strip()
    ]  # fmt: skip
    records, rejects = read(path, content)
    positions = [record[0] for record in records] + [one.position for one in rejects]
    assert sorted(positions) == expected


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner),
    max_leaves=8,
)  # fmt: skip


@given(json_values, st.booleans())
def test_any_json_value_comes_through_as_it_is(tmp_path_factory, value, ascii_only):
    path = tmp_path_factory.getbasetemp() / "value.jsonl"
    record = {"id": 1, "text": "a", "value": value}
    line = json.dumps(record, ensure_ascii=ascii_only).encode()
    records, rejects = read(path, line)
    assert ([r[3] for r in records], rejects) == ([record], [])
