"""StaticEncoder's own face: inputs, widths, threads, statistics, memory maps, errors."""

from __future__ import annotations

import copy
import mmap
import pickle
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from qdrant_static.encoders.loading import from_model2vec
from qdrant_static.encoders.modelfiles import map_safetensors
from qdrant_static.encoders.static import StaticEncoder
from qdrant_static.encoders.statistics import EncodingStatistics
from qdrant_static.errors import ArgumentError, InvalidModelError, TextInputError
from tests.awkward_texts import AWKWARD, mixtures
from tests.small_tokenizers import wordpiece

TEXTS = AWKWARD + mixtures(300, seed=9)


def make(**keywords: Any) -> StaticEncoder:
    tokenizer = wordpiece(letters=False)
    rng = np.random.default_rng(1)
    parts: dict[str, Any] = {
        "table": rng.standard_normal((tokenizer.get_vocab_size(), 32), dtype=np.float32),
        "tokenizer": tokenizer,
        "name": "small",
        "normalize": True,
        "max_length": 512,
    }
    return StaticEncoder(**parts | keywords)


@pytest.fixture(scope="module")
def encoder() -> StaticEncoder:
    return make()


def test_arrow_and_lists_agree(encoder: StaticEncoder) -> None:
    expected = encoder.encode(TEXTS)
    arrays = [pa.array(TEXTS, kind) for kind in (pa.string(), pa.large_string(), pa.string_view())]
    for texts in (
        *arrays,
        arrays[0].dictionary_encode(),
        pa.chunked_array([TEXTS[:7], TEXTS[7:]]),
        tuple(TEXTS),
    ):
        assert np.array_equal(encoder.encode(texts), expected)
    assert np.array_equal(encoder.encode(arrays[0][5:50]), expected[5:50])


def test_nulls_and_nothing_give_zeros(encoder: StaticEncoder) -> None:
    vectors = encoder.encode(pa.array([None, "the", "", "\u0378", None]))
    assert (np.abs(vectors).sum(1) > 0).tolist() == [False, True, False, False, False]
    for nothing in ([], (), pa.array([], pa.string())):
        assert encoder.encode(nothing).shape == (0, 32)


@pytest.mark.parametrize("threads", [1, 2, 5, None])
def test_threads_do_not_change_a_bit(encoder: StaticEncoder, threads: int | None) -> None:
    texts = TEXTS * 9
    assert np.array_equal(encoder.encode(texts, threads=threads), make().encode(texts, threads=1))


def test_callers_in_many_threads() -> None:
    shared = make()
    texts = [mixtures(200, seed=seed) for seed in range(24)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda part: shared.encode(part, threads=2), texts))
    for part, vectors in zip(texts, found, strict=True):
        assert np.array_equal(vectors, make().encode(part, threads=1))


@pytest.mark.parametrize("normalize", [False, True])
def test_widths(normalize: bool) -> None:
    made = make(normalize=normalize)
    batch = made.encode_batch(TEXTS * 3, sizes=(16, 5), threads=2)
    assert sorted(batch.vectors) == [5, 16, 32]
    full = batch.vectors[32].astype(np.float64)
    assert np.array_equal(batch.vectors[32], make(normalize=normalize).encode(TEXTS * 3))
    for size in (16, 5):
        part = full[:, :size]
        norms = np.linalg.norm(part, axis=1, keepdims=True)
        assert np.abs(batch.vectors[size] - part / np.where(norms > 0, norms, 1)).max() < 1e-6


def test_the_plain_start_gives_the_same() -> None:
    texts = TEXTS[:60]
    for keywords in ({}, {"normalize": False}, {"pooling": "sum"}, {"keep_unknown": True}):
        early, late = make(**keywords), make(**keywords)
        late.compile_kernels()
        assert early._tokens._route is None
        first = early.encode_batch(texts, sizes=(8,), statistics=True)
        assert early._tokens._route is None
        second = late.encode_batch(texts, sizes=(8,), statistics=True)
        for width in (8, 32):
            scale = max(1.0, float(np.abs(second.vectors[width]).max()))
            assert np.abs(first.vectors[width] - second.vectors[width]).max() < 1e-6 * scale
        assert first.statistics is not None
        assert second.statistics is not None
        assert first.statistics.tokens == second.statistics.tokens
        assert first.statistics.unknown_tokens == second.statistics.unknown_tokens
        assert first.statistics.norm_mean == pytest.approx(second.statistics.norm_mean, rel=1e-5)


def test_a_query_needs_no_numba() -> None:
    here = Path(__file__).parents[2]
    code = (
        f"import sys; sys.path.insert(0, {str(here)!r})\n"
        "import numpy as np; from tests.small_tokenizers import wordpiece\n"
        "from qdrant_static.encoders.static import StaticEncoder\n"
        "t = wordpiece(); table = np.ones((t.get_vocab_size(), 4), np.float32)\n"
        "e = StaticEncoder(table=table, tokenizer=t, name='x', normalize=True)\n"
        "assert e.info.route == 'wordpiece'\n"
        "assert e.encode(['the cell']).shape == (1, 4)\n"
        "assert e.encode(['the cell', 'hello']).shape == (2, 4)\n"
        "assert 'numba' not in sys.modules and 'pyarrow' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_statistics(encoder: StaticEncoder) -> None:
    batch = make(normalize=False).encode_batch(TEXTS * 5, statistics=True, threads=3)
    seen, norms = batch.statistics, np.linalg.norm(batch.vectors[32].astype(np.float64), axis=1)
    assert seen is not None
    ids, pointers = encoder.tokenize(TEXTS * 5)
    filled = np.diff(pointers) > 0
    assert (seen.rows, seen.tokens) == (len(norms), len(ids))
    assert seen.empty_rows == np.count_nonzero(~filled)
    everything, _ = make(keep_unknown=True).tokenize(TEXTS * 5)
    assert seen.unknown_tokens == np.count_nonzero(everything == 1)
    assert seen.norm_mean == pytest.approx(norms[filled].mean(), rel=1e-5)
    assert seen.norm_deviation == pytest.approx(norms[filled].std(), rel=1e-4)
    assert sum(seen.norm_histogram) == np.count_nonzero(filled)
    assert encoder.encode_batch(TEXTS).statistics is None


def test_statistics_add_up(encoder: StaticEncoder) -> None:
    def seen(texts: list[str]) -> EncodingStatistics:
        found = encoder.encode_batch(texts, statistics=True, threads=1).statistics
        assert found is not None
        return found

    total = seen(TEXTS[:100]) + seen(TEXTS[100:]) + EncodingStatistics()
    whole = seen(TEXTS)
    assert (total.rows, total.tokens, total.norm_histogram) == (
        whole.rows,
        whole.tokens,
        whole.norm_histogram,
    )
    assert total.norm_mean == pytest.approx(whole.norm_mean)
    assert total.norm_squares == pytest.approx(whole.norm_squares)


def test_a_table_is_mapped_and_not_copied(tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save_file

    tokenizer = wordpiece()
    table = np.random.default_rng(0).standard_normal(
        (tokenizer.get_vocab_size(), 8), dtype=np.float32
    )
    save_file(
        {"embeddings": table, "other": np.arange(3, dtype=np.int64)}, tmp_path / "model.safetensors"
    )
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "config.json").write_text('{"normalize": true, "max_length": 7}')
    mapped = map_safetensors(tmp_path / "model.safetensors")
    for name, expected in load_file(tmp_path / "model.safetensors").items():
        assert np.array_equal(mapped[name], expected)
    loaded = from_model2vec(tmp_path)
    base: Any = loaded._table.table
    while isinstance(base, np.ndarray):
        base = base.base
    assert isinstance(base, mmap.mmap)
    assert loaded.info.max_length == 7
    assert loaded.encode(TEXTS).shape == (len(TEXTS), 8)


def test_info(encoder: StaticEncoder) -> None:
    info = encoder.info
    assert (info.name, info.dimension, info.route, info.reason) == ("small", 32, "wordpiece", "")
    assert (info.normalized, info.max_length, info.pooling, info.dtype) == (
        True,
        512,
        "mean",
        "float32",
    )


def test_the_caller_s_tokenizer_stays_as_it_is() -> None:
    tokenizer = wordpiece(letters=False)
    tokenizer.enable_truncation(3)
    tokenizer.enable_padding(length=10)
    before = tokenizer.to_str()
    made = make(tokenizer=tokenizer, max_length=None)
    made.encode(TEXTS)
    assert tokenizer.to_str() == before
    assert len(made.tokenize(["the of and in to"])[0]) == 5


@pytest.mark.parametrize(
    "keywords",
    [
        {},
        {
            "table": np.eye(7, 32, dtype=np.float16),
            "token_mapping": np.arange(500) % 7,
            "weights": np.linspace(0.5, 1, 500),
            "normalize": False,
            "pooling": "sum",
            "keep_unknown": True,
            "max_length": 9,
        },
    ],
)
def test_copies_give_the_same_vectors(keywords: dict[str, Any]) -> None:
    original = make(**keywords)
    expected = original.encode(TEXTS)  # what is compiled and borrowed stays behind
    for other in (
        copy.copy(original),
        copy.deepcopy(original),
        pickle.loads(pickle.dumps(original)),  # noqa: S301 - what was pickled here
        pickle.loads(pickle.dumps(make(**keywords))),  # noqa: S301 - likewise
    ):
        assert np.array_equal(other.encode(TEXTS), expected)
        assert other.info == original.info
        assert (other.info.route, other.info.dtype) == (original.info.route, original.info.dtype)
        assert not other._table.table.flags.writeable
    assert copy.deepcopy(original)._table.table is original._table.table


def test_a_process_that_is_started_anew_takes_an_encoder_as_an_argument() -> None:
    made = make()
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        assert np.array_equal(pool.submit(made.encode, TEXTS[:9]).result(), made.encode(TEXTS[:9]))


def test_a_tokenizer_without_a_token_for_the_unknown_is_refused() -> None:
    from tokenizers import Tokenizer, models

    letters, unknown = {"a": 0, "b": 1}, "[UNK]"
    kinds = (
        models.WordLevel(letters, unk_token=unknown),
        models.WordPiece(letters, unk_token=unknown),
        models.BPE(letters, [], unk_token=unknown),
        models.Unigram([("a", -1.0), ("b", -2.0)], None),
    )
    for model in kinds:
        for added in ([], [unknown]):  # an added token is not the model's own
            tokenizer = Tokenizer(model)
            tokenizer.add_special_tokens(added)
            with pytest.raises(InvalidModelError, match="'small': its tokenizer has no token for"):
                make(tokenizer=tokenizer)
    none = Tokenizer(models.BPE(letters, []))  # leaves out what it does not know
    made = make(tokenizer=none, table=np.eye(2, 4, dtype=np.float32))
    assert made.encode(["zab"]).tolist() == made.encode(["ab"]).tolist()


def test_progress_is_told() -> None:
    said: list[str] = []
    make().compile_kernels(said.append)
    assert len(said) == 1


@pytest.mark.parametrize(
    ("keywords", "problem"),
    [
        ({"table": np.zeros((3, 4), np.float32)}, "3 rows for"),
        ({"table": np.zeros(4, np.float32)}, "shape"),
        ({"table": np.zeros((200, 4), np.int32)}, "int32"),
        ({"token_mapping": np.zeros(3, np.int64)}, "mapping has the shape"),
        ({"token_mapping": np.full(500, 499)}, "leaves the table"),
        ({"weights": np.zeros(3)}, "weights has the shape"),
    ],
)
def test_parts_that_do_not_fit(keywords: dict[str, Any], problem: str) -> None:
    with pytest.raises(InvalidModelError, match=problem):
        make(**keywords)


def test_wrong_arguments(encoder: StaticEncoder) -> None:
    with pytest.raises(ArgumentError, match="pooling: 'max'"):
        make(pooling="max")
    with pytest.raises(ArgumentError, match="sizes: 33"):
        encoder.encode_batch(TEXTS, sizes=(33,))
    with pytest.raises(ArgumentError, match="threads: 0"):
        encoder.encode(TEXTS, threads=0)
    with pytest.raises(TextInputError, match="single str"):
        encoder.encode("the cell")


def test_invalid_utf8_in_arrow_names_the_row(encoder: StaticEncoder) -> None:
    offsets = pa.py_buffer(np.arange(0, 401, 2, dtype=np.int32).tobytes())
    data = pa.py_buffer(b"ok" * 150 + b"\xff\xfe" + b"ok" * 49)
    with pytest.raises(TextInputError, match="row 150: its bytes are not valid UTF-8"):
        encoder.encode(pa.StringArray.from_buffers(200, offsets, data))
