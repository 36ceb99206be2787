"""CSV: every record is read or rejected, whatever its quotes do."""

from __future__ import annotations

import csv
import gzip
import io
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qdrant_static.errors import ArgumentError, ColumnNotFoundError
from qdrant_static.reading import csvcells, csvfile
from qdrant_static.reading.batchbuilder import BatchBuilder
from qdrant_static.reading.inputs import Input
from qdrant_static.reading.options import SourceOptions
from qdrant_static.reading.rejects import Reject
from qdrant_static.reading.selection import Selection
from qdrant_static.reading.sources import open_source

SELECTION = Selection(key="id", text=("text",), payload=None)
HEAD = b"id,text,n\n"


def read(path, content: bytes, *, delimiter: str = ",", types=None, settled=()):
    path.write_bytes(content)
    records, rejects = [], []
    file = Input(name=str(path), path=str(path), format="csv", delimiter=delimiter)
    for item in csvfile.read(file, SELECTION, settled, types):
        if isinstance(item, Reject):
            rejects.append(item)
            continue
        records += zip(item.positions, item.texts.to_pylist(), item.payloads, strict=True)
        rejects += item.rejects
    return records, rejects


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.csv"


@pytest.mark.parametrize(
    ("line", "cells"),
    [
        (b"k,one,5", ["k", "one", "5"]),
        (b"k,one,", ["k", "one", None]),
        (b'k,"a,b",5', ["k", "a,b", "5"]),
        (b'k,"say ""hi""",5', ["k", 'say "hi"', "5"]),
        (b'k,"two\nlines\n\nor more",5', ["k", "two\nlines\n\nor more", "5"]),
        (b'k,a 5" pipe,7" or 8"', ["k", 'a 5" pipe', '7" or 8"']),
        (b'k,"quoted" and more,5', ["k", "quoted and more", "5"]),
        (b'"k","""",""', ["k", '"', None]),
        ("k,größe €,\u2028".encode(), ["k", "größe €", "\u2028"]),
        (b"k, spaces stay ,5", ["k", " spaces stay ", "5"]),
    ],
)
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b""])
def test_cells_are_read_as_they_are_quoted(path, line, cells, end):
    records, rejects = read(path, HEAD + line + end)
    assert rejects == []
    ((position, text, payload),) = records
    assert (position, text) == (2, cells[1])
    assert payload == dict(zip(("id", "text", "n"), cells, strict=True))


@pytest.mark.parametrize(
    ("line", "reason", "told"),
    [
        (b"2,two", "not_csv", "2 cells, the header has 3"),
        (b"2,two,3,4", "not_csv", "4 cells, the header has 3"),
        (b'2,"open,3', "not_csv", "a quote is not closed"),
        (b"2,\xff,3", "not_unicode", "not UTF-8"),
        (b",two,3", "null_key", "no key in 'id'"),
        (b"2,,3", "no_text", "no text in text"),
        (b'2," \t",3', "no_text", "no text in text"),
    ],
)
def test_a_bad_line_is_rejected_alone(path, line, reason, told):
    content = HEAD + b"1,one,x\n" + line + b"\n3,three,y\n4,four,z\n"
    records, rejects = read(path, content)
    assert [(position, text) for position, text, _ in records] == [
        (2, "one"), (4, "three"), (5, "four"),
    ]  # fmt: skip
    assert [(one.reason, one.position, one.unit) for one in rejects] == [(reason, 3, "line")]
    assert told in rejects[0].message


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
@pytest.mark.parametrize(
    ("lines", "read_at"),
    [
        ([b'1,"open,x', b"2,two,x", b'3,"three",x', b"4,four,x"], [3, 4, 5]),
        ([b'1,"open,x', b"2,two,x", b'3,three,"y"', b"4,four,x"], [3, 4, 5]),
        ([b'1,"open,x', b'2,"two ""quoted""",x', b"", b"4,four,x"], [3, 5]),
        ([b'1,"open,x', b'2,two,""', b'3,"three, 3",x', b'4,"four', b'lines",x', b"6,six,x"],
         [3, 4, 5, 7]),
        ([b'"1,open,x', b'"2",two,x', b"3,three,x"], [3, 4]),
        ([b'1,open,"x', b"2,two,x", b'3,"three",x'], [3, 4]),
        ([b'1,"open, a ""word"",x', b"2,two,x", b'3,"three",x'], [3, 4]),
        ([b'1,"open,x', b"2,two,x"], [3]),
    ],
)  # fmt: skip
def test_an_open_quote_costs_its_own_line_alone(path, lines, read_at, end):
    """The quote that closes its cell opens another, so that text follows it."""
    records, rejects = read(path, HEAD + end.join(lines) + end)
    assert [(one.reason, one.position) for one in rejects] == [("not_csv", 2)]
    assert rejects[0].message == "a quote is not closed"
    assert [position for position, *_ in records] == read_at
    assert [int(payload["id"]) for *_, payload in records] == [at - 1 for at in read_at]


def test_a_record_of_several_lines_with_other_cells_than_the_header_is_read_line_by_line(path):
    records, rejects = read(path, HEAD + b'1,"one,x\n2,two"\n3,three,y\n')
    assert [position for position, *_ in records] == [4]
    assert [(one.reason, one.position) for one in rejects] == [("not_csv", 2), ("not_csv", 3)]


def test_space_after_the_quote_of_a_cell_of_several_lines_is_no_text(path):
    records, rejects = read(path, HEAD + b'1,"one\nmore" \t,x\n')
    assert ([text for _, text, _ in records], rejects) == (["one\nmore \t"], [])


def test_no_record_goes_on_over_lines_that_are_settled(path):
    """Read alone, a batch must give what it gave in the midst of the others."""
    content = HEAD + b'1,"open,x\n2,two,x\n3,"three",x\n4,four,x\n5,five",x\n'
    whole, rejects = read(path, content)
    rest, again = read(path, content, settled=[(4, 6)])
    assert [(one.position, one.message) for one in again] == [(2, rejects[0].message)]
    assert [one for one in whole if one[0] in (3, 6)] == rest


def test_a_file_that_breaks_off_in_a_quoted_cell_gives_the_lines_before(tmp_path):
    rows = b"".join(b"%d,%d,x\n" % (n, n * 7919 % 100_003) for n in range(20_000))
    packed = gzip.compress(HEAD + b'1,"open,x\n' + rows)
    path = tmp_path / "a.csv.gz"
    path.write_bytes(packed[: len(packed) // 2])
    *batches, broken = csvfile.read(
        Input(name="a", path=str(path), format="csv", compression="gzip"), SELECTION
    )
    assert broken.reason == "unreadable_file"
    assert [one.position for one in batches[0].rejects] == [2]
    positions = [place for batch in batches for place in batch.positions]
    assert positions == list(range(3, batches[-1].stop))
    assert len(positions) > 5000


def test_a_record_over_the_bound_is_rejected(path, monkeypatch):
    monkeypatch.setattr(csvcells, "MAX_RECORD_BYTES", 50)
    long = b"2," + b"a" * 60 + b",x\n"
    quoted = b'3,"' + b"a\n" * 40 + b'",x\n'
    records, rejects = read(path, HEAD + b"1,one,x\n" + long + quoted + b"4,four,y\n")
    assert [text for _, text, _ in records] == ["one", "four"]
    assert [(one.reason, one.position) for one in rejects][:2] == [("too_long", 3), ("not_csv", 4)]


@pytest.mark.parametrize("size", [131_071, 131_073, 1_000_000])
def test_a_cell_may_be_longer_than_pythons_reader_takes(path, size):
    records, rejects = read(path, HEAD + b'1,"' + b"a" * size + b'",x\n')
    assert ([len(text) for _, text, _ in records], rejects) == ([size], [])


def test_types_are_those_that_are_named(path):
    types = {"n": "integer", "id": "integer"}
    records, rejects = read(path, HEAD + b"1,one, 5 \n2,two,x\n3,three,\n4,four,1e3\n", types=types)
    assert [payload for *_, payload in records] == [
        {"id": 1, "text": "one", "n": 5}, {"id": 3, "text": "three", "n": None},
    ]  # fmt: skip
    assert [one.message for one in rejects] == [
        "'n' is 'x', not of type integer", "'n' is '1e3', not of type integer",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        (
            "float",
            {"1.5": 1.5, "-2": -2.0, "+.5e-3": 0.0005, "7.": 7.0, " 1\t": 1.0, "1E5": 1e5},
            [
                "nan",
                "inf",
                "x",
                "1_000",
                "\u0661",
                "0x10",
                "1e",
                ".",
                "1e999",
                "1 0",
                "1\u00a0",
                "\u066b5",
            ],
        ),
        (
            "boolean",
            {"true": True, "FALSE": False, "1": True, "0": False},
            ["yes", "2", "true\u00a0"],
        ),
        (
            "integer",
            {"-7": -7, str(2**64 - 1): 2**64 - 1},
            [str(2**64), "1.0", "1_000", "\u0661", "0x1", "--1", "9" * 5000],
        ),
        ("string", {"007": "007"}, []),
    ],
)
def test_a_type_takes_its_own_values_alone(path, kind, good, bad):
    lines = "".join(f"k{n},t,{cell}\n" for n, cell in enumerate([*good, *bad]))
    records, rejects = read(path, HEAD + lines.encode(), types={"n": kind})
    assert [payload["n"] for *_, payload in records] == list(good.values())
    assert [one.reason for one in rejects] == ["wrong_type"] * len(bad)


def test_a_type_of_a_column_that_is_not_there_is_an_error(path):
    path.write_bytes(HEAD + b"1,one,x\n")
    with pytest.raises(ColumnNotFoundError, match="'year'"):
        open_source(path, options=SourceOptions(types={"year": "integer"}))


def test_types_where_nothing_is_read_as_text_are_an_error(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"id": 1, "text": "a", "n": "5"}')
    with pytest.raises(ArgumentError, match=r"types\.n: .*a\.jsonl has types of its own"):
        open_source(tmp_path / "a.jsonl", options=SourceOptions(types={"n": "integer"}))


@pytest.mark.parametrize("content", [b"id,\xff\n", b'id,"text\n'])
def test_a_header_that_names_no_columns_is_an_error(path, content):
    path.write_bytes(content)
    with pytest.raises(ArgumentError, match=r"^header: "):
        open_source(path)


def test_a_header_cell_without_a_name_is_called_by_its_place(path):
    path.write_bytes(b",id,text\n0,a,b\n")
    (batch,) = open_source(path)
    assert batch.payloads == [{"column_0": "0", "id": "a", "text": "b"}]


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xef\xbb\xbf", HEAD, b"\xef\xbb\xbf" + HEAD])
def test_a_file_without_records_has_none(path, content):
    path.write_bytes(content)
    assert list(open_source(path)) == []


def test_tabs_and_other_delimiters(tmp_path):
    (tmp_path / "a.tsv").write_text('id\ttext\nk\ta, "b"\n')
    (batch,) = open_source(tmp_path / "a.tsv")
    assert batch.texts.to_pylist() == ['a, "b"']
    (tmp_path / "b.csv").write_text("id;text\nk;a, b\n")
    (batch,) = open_source(tmp_path / "b.csv", options=SourceOptions(delimiter=";"))
    assert batch.texts.to_pylist() == ["a, b"]


def test_ranges_tile_the_header_and_blank_lines_too(path):
    path.write_bytes(HEAD + b'\n1,"a\nb",x\n\n' + b"".join(b"%d,t,\n" % n for n in range(2500)))
    items = list(open_source(path))
    ranges = [(item.start, item.stop) for item in items]
    assert ranges[0][0] == 1
    assert ranges[-1][1] == 2500 + 6
    assert [stop for _, stop in ranges[:-1]] == [start for start, _ in ranges[1:]]
    assert sum(item.rows for item in items) == 2501
    settled = {str(path): [ranges[0], ranges[2]]}
    rest = list(open_source(path).batches(settled))
    assert [(item.start, item.stop) for item in rest] == [ranges[1]]
    assert rest[0].keys == items[1].keys
    assert list(open_source(path).batches({str(path): [(1, ranges[-1][1])]})) == []


cells = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"), max_size=8)


@given(st.lists(st.tuples(cells, cells), max_size=6))
def test_what_pythons_writer_writes_comes_back(tmp_path_factory, rows):
    path = tmp_path_factory.getbasetemp() / "python.csv"
    written = io.StringIO()
    csv.writer(written, lineterminator="\n", quoting=csv.QUOTE_ALL).writerows(
        [
            ("id", "text", "n"),
            *((f"k{at}", "t" + text, more) for at, (text, more) in enumerate(rows)),
        ]
    )
    records, rejects = read(path, written.getvalue().encode())
    assert rejects == []
    assert [payload for *_, payload in records] == [
        {"id": f"k{at}", "text": "t" + text, "n": more or None}
        for at, (text, more) in enumerate(rows)
    ]


@given(st.lists(st.text('a,"\n \r', max_size=12), max_size=6))
def test_every_line_of_any_csv_is_in_a_range_once(tmp_path_factory, lines):
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_bytes(HEAD + "\n".join(lines).encode())
    file = Input(name="f", path=str(path), format="csv")
    at = 1
    for item in csvfile.read(file, SELECTION):
        assert item.start == at
        places = [*item.positions, *(one.position for one in item.rejects)]
        assert len(set(places)) == len(places) == item.rows
        assert all(item.start <= one < item.stop for one in places)
        at = item.stop


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_a_header_that_is_one_column_suggests_its_delimiter(path, delimiter):
    path.write_bytes(delimiter.join(["id", "name"]).encode() + b"\n")
    with pytest.raises(ColumnNotFoundError) as caught:
        open_source(path, text="name")
    assert f"separated by {delimiter!r}, name the delimiter" in caught.value.message


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_so_it_does_where_no_column_is_named(path, delimiter):
    path.write_text(f"id{delimiter}text\n1{delimiter}the sea\n")
    with pytest.raises(ArgumentError) as caught:
        open_source(path)
    assert f"separated by {delimiter!r}, name the delimiter" in caught.value.message


def test_a_column_that_comes_twice_may_be_left_out(path):
    path.write_text("id,text,lang,lang\n1,the sea,en,de\n")
    with pytest.raises(ArgumentError, match="column 'lang' twice: exclude it, or rename one"):
        open_source(path)
    for options in (SourceOptions(exclude=("lang",)), SourceOptions(payload=("text",))):
        (batch,) = open_source(path, options=options)
        assert batch.payload_rows() == [{"id": "1", "text": "the sea"}]


def test_a_column_of_a_later_file_that_comes_twice_is_an_error(tmp_path):
    (tmp_path / "a.csv").write_text("id,text\n1,the sea\n")
    (tmp_path / "b.csv").write_text("id,text,text\n2,the moon,the sun\n")
    with pytest.raises(ArgumentError, match=r"b\.csv has the column 'text' twice: rename one"):
        list(open_source(tmp_path))


@settings(max_examples=60)
@given(st.lists(st.text('a1,"\n ', max_size=9), max_size=12), st.data())
def test_what_is_settled_changes_nothing_of_what_is_read_again(tmp_path_factory, lines, data):
    path = tmp_path_factory.getbasetemp() / "settled.csv"
    path.write_bytes(HEAD + "\n".join(lines).encode())
    file = Input(name="f", path=str(path), format="csv")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(csvfile, "BatchBuilder", partial(BatchBuilder, max_rows=2))
        batches = list(csvfile.read(file, SELECTION))
        done = [batch for batch in batches if data.draw(st.booleans())]
        rest = list(csvfile.read(file, SELECTION, [(one.start, one.stop) for one in done]))

    def contents(items):
        return [
            *(row for one in items for row in zip(one.positions, one.payloads, strict=True)),
            *(reject for one in items for reject in one.rejects),
        ]

    assert contents(rest) == contents([batch for batch in batches if batch not in done])
