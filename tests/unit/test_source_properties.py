"""Whatever a table holds: every row is in one batch, once, and the ranges tile the file."""

from __future__ import annotations

import datetime as dt
import gzip
import json
from collections import Counter

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qdrant_static.digests import payload_digest
from qdrant_static.errors import QdrantStaticError
from qdrant_static.reading import batch as batches
from qdrant_static.reading import tablebatches
from qdrant_static.reading.batch import Batch
from qdrant_static.reading.options import SourceOptions
from qdrant_static.reading.sources import open_source

words = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
moments = st.datetimes(dt.datetime(1600, 1, 1), dt.datetime(2900, 1, 1))
small = st.integers(-100, 100)

#: A type, and what its values are made of.
SIMPLE = [
    (pa.int8(), small),
    (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    (pa.uint64(), st.integers(0, 2**64 - 1)),
    (pa.float32(), st.floats(width=32)),
    (pa.float64(), st.floats()),
    (pa.bool_(), st.booleans()),
    (pa.string(), words),
    (pa.large_string(), words),
    (pa.binary(), st.binary(max_size=4)),
    (pa.date32(), st.dates(dt.date(1600, 1, 1), dt.date(2900, 1, 1))),
    (pa.time64("us"), st.times()),
    (pa.timestamp("us"), moments),
    (pa.timestamp("ms", "UTC"), moments.map(lambda at: at.replace(microsecond=0, tzinfo=dt.UTC))),
    (pa.duration("ms"), small.map(lambda count: dt.timedelta(milliseconds=count))),
    (pa.decimal128(20, 2), small.map(lambda count: count * 1)),
    (pa.null(), st.none()),
    (pa.dictionary(pa.int32(), pa.string()), words),
]


def nested(kind: pa.DataType, values: st.SearchStrategy):
    some = values | st.none()
    return st.sampled_from([
        (kind, values),
        (pa.list_(kind), st.lists(some, max_size=3)),
        (pa.list_(kind, 2), st.lists(some, min_size=2, max_size=2)),
        (pa.struct([("a", kind), ("b.c", pa.int8())]),
         st.fixed_dictionaries({"a": some, "b.c": small})),
        (pa.map_(pa.string(), kind), st.lists(st.tuples(words, some), max_size=2)),
    ])  # fmt: skip


def column(rows: int, kinds) -> st.SearchStrategy[pa.Array]:
    return kinds.flatmap(
        lambda one: st.lists(one[1] | st.none(), min_size=rows, max_size=rows).map(
            lambda values: pa.array(values, one[0])
        )
    )


any_kind = st.sampled_from(SIMPLE).flatmap(
    lambda one: st.just(one) if pa.types.is_dictionary(one[0]) else nested(*one)
)
key_kinds = st.sampled_from([
    (pa.int64(), st.integers(-3, 3)), (pa.string(), st.sampled_from(["a", "b", "c", ""])),
    (pa.dictionary(pa.int8(), pa.string()), st.sampled_from("ab")),
])  # fmt: skip
text_kinds = st.sampled_from([
    (pa.string(), words), (pa.large_string(), words),
    (pa.string(), st.sampled_from(["one", " ", "", "\u2003\n", "two words"])),
    (pa.dictionary(pa.int8(), pa.string()), words),
])  # fmt: skip
names = st.sampled_from(
    ["title", "a.b", "", "id.text", "{x}", "größe", "s", "parent", "meta", "\t"]
)


@st.composite
def tables(draw) -> pa.Table:
    rows = draw(st.integers(0, 12))
    arrays = {"text": draw(column(rows, text_kinds))}
    if draw(st.booleans()):
        arrays["id"] = draw(column(rows, key_kinds))
    for name in draw(st.lists(names, max_size=3, unique=True)):
        kinds = text_kinds if name == "title" else any_kind
        arrays[name] = draw(column(rows, kinds))
    shuffled = draw(st.permutations(list(arrays)))
    return pa.table([arrays[name] for name in shuffled], names=list(shuffled))


def write(table: pa.Table, path, piece: int) -> None:
    if path.suffix == ".parquet":
        pq.write_table(table, path, row_group_size=piece)
    elif path.suffix == ".arrow":
        with pa.ipc.new_file(path, table.schema) as writer:
            writer.write_table(table, max_chunksize=piece)
    elif path.suffix == ".arrows":
        with pa.ipc.new_stream(path, table.schema) as writer:
            writer.write_table(table, max_chunksize=piece)
    else:
        lines = (json.dumps(row, default=str).encode() + b"\n" for row in table.to_pylist())
        # Blank lines here and there: they are no rows, and lie in a range all the same.
        blank = b"\n" * (piece - 1)
        path.write_bytes(gzip.compress(blank + b"".join(line + blank for line in lines)))


def positions(items) -> list[int]:
    taken: list[int] = []
    for item in items:
        assert isinstance(item, Batch), item
        own = [*item.positions, *(one.position for one in item.rejects)]
        assert item.rows == len(own) == len(item) + len(item.rejects)
        assert all(item.start <= one < item.stop for one in own)
        assert len(item.texts) == len(item) == len(item.positions) == len(item.payload_rows())
        assert item.keys is None or len(item.keys) == len(item)
        taken += own
    return taken


def check_whole(items, expected: list[int], first: int) -> None:
    assert sorted(positions(items)) == expected
    ranges = [(item.start, item.stop) for item in items]
    assert all(start < stop for start, stop in ranges)
    assert [start for start, _ in ranges] == [first, *(stop for _, stop in ranges[:-1])][
        : len(ranges)
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("tables")


@pytest.mark.parametrize("ending", [".parquet", ".arrow", ".arrows", ".jsonl.gz"])
@settings(max_examples=60)
@given(table=tables(), piece=st.integers(1, 6), data=st.data())
def test_every_row_is_a_record_or_a_reject_once_and_ranges_tile(folder, ending, table, piece, data):
    path = folder / f"any{ending}"
    write(table, path, piece)
    try:
        source = open_source(path)
    except QdrantStaticError as error:
        assert table.num_rows == 0 or error.exit_code == 2  # noqa: PT017 (a column of a wrong type)
        return
    with pytest.MonkeyPatch.context() as patched:
        for module in (batches, tablebatches):
            patched.setattr(module, "MAX_BYTES", 60)
        items = list(source)
        first, step = (1, piece) if source.inputs[0].unit == "line" else (0, 1)
        offset = piece - 1 if first else 0
        expected = [first + offset + row * step for row in range(table.num_rows)]
        check_whole(items, expected, first)
        # What some batches accounted for is settled: what remains comes, and nothing twice.
        done = [item for item in items if data.draw(st.booleans())]
        settled = {str(path): [(item.start, item.stop) for item in done]}
        rest = list(source.batches(settled))
        assert sorted(positions(rest)) == sorted(set(expected) - set(positions(done)))
        for item in rest:
            assert not any(
                item.start < stop and start < item.stop for start, stop in settled[str(path)]
            )
        json.dumps([item.payload_rows() for item in items], allow_nan=False)
        for item in items:
            assert item.payload_digests() == [payload_digest(row) for row in item.payload_rows()]


@settings(max_examples=40)
@given(tables(), st.data())
def test_duplicate_rows_and_excluded_columns_lose_nothing(folder, table, data):
    """Whatever is chosen of the columns, rows and reasons stay the same."""
    path = folder / "chosen.parquet"
    pq.write_table(table, path)
    leave = [name for name in table.column_names if name not in ("id", "text", "title", "")]
    chosen = data.draw(st.lists(st.sampled_from(leave), unique=True)) if leave else []
    whole = list(open_source(path))
    part = list(open_source(path, options=SourceOptions(exclude=tuple(chosen))))

    def kinds(items):
        return Counter(one.reason for item in items for one in item.rejects)

    assert positions(whole) == positions(part)
    assert kinds(whole) == kinds(part)
    for item in part:
        for row in item.payload_rows():
            assert not set(row) & set(chosen)
