"""Reading texts: lists and every layout of Arrow strings give the same UTF-8."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from qdrant_static.encoders.textblocks import BLOCK_ROWS, read_texts
from qdrant_static.errors import TextInputError

TEXTS = ["the cells", "", "caf\u00e9 \u4e16\u754c", " ", "\U0001f600", "x" * 300, "a\x00b"]


def rows(texts: Any) -> list[str]:
    source = read_texts(texts)
    read = []
    for start, stop in source.ranges():
        block = source.block(start, stop)
        assert block.first_row == start
        assert not block.data.flags.writeable
        read += [block.text(row) for row in range(len(block))]
    assert len(read) == len(source)
    return read


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.string_view()], ids=str)
def test_arrow_layouts(kind: Any) -> None:
    array = pa.array([None, *TEXTS, None, *TEXTS], kind)
    expected = ["", *TEXTS, "", *TEXTS]
    assert rows(array) == expected
    assert rows(array[3:9]) == expected[3:9]
    chunked = pa.chunked_array([array[2:5], array[:0], array[5:], array[:1]])
    assert rows(chunked) == [*expected[2:], ""]
    assert rows(pa.chunked_array([], kind)) == []
    assert rows(array[:0]) == []


def test_dictionary_arrays() -> None:
    array = pa.array(["b", None, "a", "b", ""]).dictionary_encode()
    assert rows(array) == ["b", "", "a", "b", ""]
    assert rows(array[2:]) == ["a", "b", ""]
    with_null = pa.DictionaryArray.from_arrays(pa.array([0, 1, None]), pa.array(["a", None]))
    assert rows(with_null) == ["a", "", ""]


def test_bytes_under_a_null_are_not_read() -> None:
    validity = pa.py_buffer(bytes([0b101]))
    offsets = pa.py_buffer(np.array([0, 1, 4, 5], np.int32).tobytes())
    array = pa.StringArray.from_buffers(3, offsets, pa.py_buffer(b"aXYZb"), validity)
    assert rows(array) == ["a", "", "b"]


def test_all_null_array() -> None:
    assert rows(pa.nulls(3)) == ["", "", ""]


def test_objects_with_the_arrow_interface() -> None:
    class Column:
        def __arrow_c_stream__(self, schema: Any = None) -> Any:
            return pa.chunked_array([TEXTS]).__arrow_c_stream__(schema)

    assert rows(Column()) == TEXTS


@pytest.mark.parametrize("make", [list, tuple, lambda texts: np.array(texts, object)])
def test_sequences(make: Any) -> None:
    assert rows(make(TEXTS)) == TEXTS


def test_blocks_are_bounded() -> None:
    many = ["x"] * (BLOCK_ROWS * 2 + 5)
    assert [b - a for a, b in read_texts(many).ranges()] == [BLOCK_ROWS, BLOCK_ROWS, 5]
    assert [b - a for a, b in read_texts(pa.array(many)).ranges(1000)] == [1000, 1000, 53]
    large = ["x" * 3_000_000, "y", "z" * 3_000_000]
    assert list(read_texts(large).ranges()) == [(0, 1), (1, 3)]
    assert list(read_texts(pa.array(large)).ranges()) == [(0, 1), (1, 3)]
    assert list(read_texts(large, max_characters=100).ranges()) == [(0, 3)]


@pytest.mark.parametrize(
    ("texts", "problem"),
    [
        ("text", "a single str was given; give a list"),
        (b"text", "a single bytes"),
        (["a", None], "row 1: it is a NoneType"),
        (["a", 3], "row 1: it is a int"),
        (["a", b"b"], "row 1: it is a bytes"),
        (["a"] * 1500 + ["\ud800"], "row 1500: it has the lone surrogate"),
        (pa.array([1, 2]), "an Arrow array of int64"),
        (pa.array([b"x"]), "an Arrow array of binary"),
        ((text for text in TEXTS), "a generator was given"),
        (7, "a int was given"),
    ],
)
def test_what_is_no_text_is_refused(texts: Any, problem: str) -> None:
    with pytest.raises(TextInputError, match=problem):
        rows(texts)


def test_invalid_utf8_names_the_row() -> None:
    offsets = pa.py_buffer(np.array([0, 1, 3], np.int32).tobytes())
    array = pa.StringArray.from_buffers(2, offsets, pa.py_buffer(b"a\xff\xfe"))
    with pytest.raises(TextInputError, match="row 1: its bytes are not valid UTF-8"):
        rows(array)
