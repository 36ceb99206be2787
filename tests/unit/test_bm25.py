"""BM25: shapes, routes, counts and errors; parity with the engine is in tests/reference."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest

from qdrant_static.encoders.sparse import Bm25Encoder
from qdrant_static.errors import ArgumentError, TextInputError

pytest.importorskip("qdrant_edge")

TEXTS = ["The cell membranes of cells", "", "the of and", "IL-2 il-2 (IL-2)", "naïve café"]


def test_arrays_and_sums() -> None:
    rows = Bm25Encoder(avg_len=3.0).encode_documents(TEXTS * 40)
    dtypes = [str(array.dtype) for array in (rows.indices, rows.values, rows.pointers)]
    assert dtypes == ["uint32", "float32", "int64"]
    assert len(rows) == 200
    assert rows.pointers[0] == 0
    assert rows.pointers[-1] == len(rows.indices) == len(rows.values)
    assert np.diff(rows.pointers).tolist() == [2, 0, 0, 2, 2] * 40
    assert rows.n_terms == 40 * (3 + 0 + 0 + 6 + 2)
    assert rows.mean_length == pytest.approx(11 / 5)
    assert np.all(np.diff(rows.row(0).indices.astype(np.int64)) > 0)


def test_the_weight_is_the_published_formula() -> None:
    rows = Bm25Encoder(avg_len=4.0, k=1.5, b=0.5).encode_documents(["cell cell membrane"] * 100)
    norm = 1.5 * (1 - 0.5 + 0.5 * 3 / 4.0)
    assert sorted(rows.row(7).values.tolist()) == pytest.approx(
        [2.5 / (1 + norm), 2 * 2.5 / (2 + norm)]
    )


def test_counts_beyond_the_common_ones() -> None:
    texts = [" ".join(["cell"] * n + ["membrane"] * (n % 3)) for n in range(100)]
    encoder = Bm25Encoder(avg_len=1.0, b=0.0, k=1e6)
    rows = encoder.encode_documents(texts)
    counts = [sorted(np.round(rows.row(n).values).astype(int).tolist()) for n in range(100)]
    assert counts == [sorted(c for c in (n, n % 3) if c) for n in range(100)]


def test_nothing_to_encode() -> None:
    rows = Bm25Encoder(avg_len=1.0).encode_documents([])
    assert (len(rows), rows.n_terms, rows.mean_length, rows.pointers.tolist()) == (0, 0, 0.0, [0])
    assert Bm25Encoder(avg_len=1.0).mean_length([]) == 0.0


def test_threads_and_repeats_change_nothing() -> None:
    texts = [f"term{i} term{i * 7 % 500} cell" for i in range(3000)]
    encoder = Bm25Encoder(avg_len=3.0)
    one, four = (
        encoder.encode_documents(texts, threads=1),
        encoder.encode_documents(texts, threads=4),
    )
    fresh = Bm25Encoder(avg_len=3.0).encode_documents(texts, threads=4)
    for rows in (four, fresh):
        assert np.array_equal(one.indices, rows.indices)
        assert np.array_equal(one.values, rows.values)
        assert np.array_equal(one.pointers, rows.pointers)


def test_arrow_and_nulls() -> None:
    pa = pytest.importorskip("pyarrow")
    encoder = Bm25Encoder(avg_len=3.0)
    rows = encoder.encode_documents(pa.array(["cell", None, "cell wall"] * 50))
    same = encoder.encode_documents(["cell", "", "cell wall"] * 50)
    assert np.array_equal(rows.indices, same.indices)
    assert np.array_equal(rows.pointers, same.pointers)


@pytest.mark.parametrize(
    ("repeated", "weight"), [("sqrt", math.sqrt(3)), ("one", 1.0), ("count", 3.0)]
)
def test_repeated_query_terms(repeated: str, weight: float) -> None:
    encoder = Bm25Encoder(avg_len=3.0)
    query = encoder.encode_query("cell cells the wall Cell", repeated_terms=repeated)  # type: ignore[arg-type]
    assert sorted(query.values.tolist()) == pytest.approx(sorted([1.0, weight]))
    document = encoder.encode_documents(["wall cell"])
    assert query.indices.tolist() == document.indices.tolist()
    assert len(encoder.encode_query("").indices) == 0


def test_mean_length_is_the_avg_len_that_the_rows_want() -> None:
    encoder = Bm25Encoder(avg_len=100.0)
    assert (
        encoder.mean_length(TEXTS)
        == encoder.encode_documents(TEXTS).mean_length
        == pytest.approx(11 / 5)
    )


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"avg_len": 0.0}, "avg_len"),
        ({"avg_len": math.nan}, "avg_len"),
        ({"avg_len": 1.0, "k": -1.0}, "k: "),
        ({"avg_len": 1.0, "b": 1.5}, "b: "),
        ({"avg_len": 1.0, "language": "klingon"}, "english"),
        ({"avg_len": 1.0, "tokenizer": "words"}, "whitespace"),
        ({"avg_len": 1.0, "stopwords": "the"}, "stopwords"),
        ({"avg_len": 1.0, "max_bytes": 3}, "max_bytes"),
    ],
)
def test_wrong_settings_are_errors_that_name_the_valid_ones(
    settings: dict[str, float], name: str
) -> None:
    with pytest.raises(ArgumentError, match=name):
        Bm25Encoder(**settings)  # type: ignore[arg-type]


def test_wrong_input_is_an_error() -> None:
    encoder = Bm25Encoder(avg_len=1.0)
    with pytest.raises(TextInputError):
        encoder.encode_documents("one text")
    with pytest.raises(TextInputError, match="surrogate"):
        encoder.encode_documents(["fine", "\ud800"])
    with pytest.raises(ArgumentError, match="repeated_terms"):
        encoder.encode_query("cell", repeated_terms="squared")  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="threads"):
        encoder.encode_documents(["cell"], threads=0)


def test_a_search_does_not_load_numba() -> None:
    code = (
        "import sys; from qdrant_static.encoders.sparse import Bm25Encoder\n"
        "e = Bm25Encoder(avg_len=9.0)\n"
        "e.encode_query('cell wall'); e.mean_length(['a b'])\n"
        "rows = e.encode_documents(['cell wall', 'the'])\n"
        "assert rows.n_terms == 2 and rows.pointers.tolist() == [0, 2, 2]\n"
        "assert 'numba' not in sys.modules and 'pyarrow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
