"""Transformers in ONNX as encoders: vectors, batches, prefixes, fingerprints, bad folders."""

from __future__ import annotations

import pickle
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from qdrant_static import Encoder, load_encoder
from qdrant_static.encoders.base import QueryEncoder
from qdrant_static.encoders.onnx import OnnxEncoder, load_onnx
from qdrant_static.encoders.onnxmodel import is_quantized_by_batch, model_files
from qdrant_static.encoders.onnxsettings import OnnxSettings
from qdrant_static.encoders.queries import encode_queries
from qdrant_static.encoders.readinglimit import ReadingLimit
from qdrant_static.errors import (
    ArgumentError,
    EncoderNotFoundError,
    InvalidModelError,
    TextInputError,
)
from tests.fakes import FakeEncoder, run_python
from tests.onnxmodels import DIMENSION, TOKENS, table, write_folder, write_model

WORDS = TOKENS[4:-5]
MEAN = 'pooling = "mean"\n'


def texts(count: int = 60, most: int = 40) -> list[str]:
    """Texts of mixed lengths, in no order of length."""
    random = np.random.default_rng(1)
    return [" ".join(random.choice(WORDS, length)) for length in random.integers(0, most, count)]


def expected(text: str, pooling: str, *, normalize: bool = True) -> np.ndarray:
    """The vector of a text, from the table alone."""
    ids = [2, *(TOKENS.index(word) for word in text.split()), 3]
    rows = table()[ids]
    tokens = np.tanh(rows + rows.sum(0))
    vector = tokens[0] if pooling == "cls" else tokens.mean(0)
    return vector / np.linalg.norm(vector) if normalize else vector


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return write_folder(tmp_path_factory.mktemp("onnx") / "tiny")


@pytest.mark.parametrize("pooling", ["cls", "mean"])
@pytest.mark.parametrize("normalize", [True, False])
def test_vectors_are_those_of_the_formula_in_the_order_of_the_texts(tmp_path, pooling, normalize):
    settings = f'pooling = "{pooling}"\nnormalize = {str(normalize).lower()}\n'
    encoder = load_encoder(f"onnx:{write_folder(tmp_path / 'm', settings)}")
    given = texts()
    vectors = encoder.encode(given)
    assert vectors.dtype == np.float32
    assert vectors.shape == (len(given), DIMENSION)
    wanted = np.array([expected(text, pooling, normalize=normalize) for text in given])
    np.testing.assert_allclose(vectors, wanted, atol=1e-5)
    assert encoder.info.normalized is normalize


@pytest.mark.parametrize("budget", [1, 50, 400, 100_000])
@pytest.mark.parametrize("threads", [1, 3])
def test_batches_give_the_vectors_of_texts_alone(folder, budget, threads):
    encoder = load_onnx(str(folder), threads=threads, token_budget=budget)
    given = texts()
    alone = np.vstack([encoder.encode([text]) for text in given])
    np.testing.assert_allclose(encoder.encode(given), alone, atol=1e-5)
    np.testing.assert_allclose(encoder.encode(given[::-1]), alone[::-1], atol=1e-5)


def test_it_is_an_encoder_with_queries_of_its_own(folder):
    encoder = load_encoder(f"onnx:{folder}")
    assert isinstance(encoder, Encoder)
    assert isinstance(encoder, QueryEncoder)
    assert not isinstance(FakeEncoder(), QueryEncoder)
    assert (encoder.info.name, encoder.info.dimension) == (f"onnx:{folder}", DIMENSION)
    assert encoder.info.max_length == 510  # two of 512 are special


def test_input_may_be_arrow_with_nulls_and_chunks_or_nothing(folder):
    encoder = load_encoder(f"onnx:{folder}")
    rows = encoder.encode(["the cat", "", "moon"])
    chunked = pa.chunked_array([["the cat", None], ["moon"]])
    np.testing.assert_array_equal(encoder.encode(chunked), rows)
    assert rows[1].any()  # [CLS] [SEP]
    assert encoder.encode([]).shape == (0, DIMENSION)
    with pytest.raises(TextInputError):
        encoder.encode(["a", None])  # type: ignore[list-item]
    with pytest.raises(TextInputError):
        encoder.encode("a text")


def test_prefixes_are_put_before_queries_and_before_texts(tmp_path, folder):
    settings = MEAN + 'query_prefix = "query : "\npassage_prefix = "passage : "\n'
    encoder = load_encoder(f"onnx:{write_folder(tmp_path / 'm', settings)}")
    plain = load_encoder(f"onnx:{folder}")
    given = ["the cat", "moon", ""]
    np.testing.assert_allclose(
        encoder.encode(given), plain.encode([f"passage : {one}" for one in given]), atol=1e-6
    )
    queries = plain.encode([f"query : {one}" for one in given])
    np.testing.assert_allclose(encoder.encode_queries(given), queries, atol=1e-6)
    np.testing.assert_allclose(encode_queries(encoder, given), queries, atol=1e-6)
    np.testing.assert_array_equal(encode_queries(FakeEncoder(), given), FakeEncoder().encode(given))


def test_texts_are_cut_to_max_length_with_prefix_and_special_tokens(tmp_path, folder):
    settings = MEAN + 'passage_prefix = "passage : "\nmax_length = 6\n'
    encoder = load_encoder(f"onnx:{write_folder(tmp_path / 'm', settings)}")
    plain = load_encoder(f"onnx:{folder}")
    np.testing.assert_allclose(
        encoder.encode(["cat dog fish sea"]), plain.encode(["passage : cat dog"]), atol=1e-6
    )
    limit = ReadingLimit.of(encoder)
    assert limit is not None
    assert (limit.tokens, limit.own_tokens) == (4, 2)


def test_a_text_without_any_token_is_zeros(tmp_path):
    folder = write_folder(tmp_path / "m")
    path = folder / "tokenizer.json"
    from tokenizers import Tokenizer, processors

    made = Tokenizer.from_file(str(path))
    made.post_processor = processors.Sequence([])
    made.save(str(path))
    rows = load_encoder(f"onnx:{folder}").encode(["", "cat", ""])
    assert not rows[[0, 2]].any()
    assert rows[1].any()
    assert load_encoder(f"onnx:{folder}").encode([""]).shape == (1, DIMENSION)


def test_a_model_with_one_vector_per_text_needs_no_pooling(tmp_path):
    folder = write_folder(tmp_path / "m", 'pooling = "cls"\nnormalize = false\n', output="texts")
    row = load_encoder(f"onnx:{folder}").encode(["the cat", "a"])[0]
    ids = [2, TOKENS.index("the"), TOKENS.index("cat"), 3]
    np.testing.assert_allclose(row, table()[ids].sum(0), atol=1e-5)


def test_a_model_may_take_int32(tmp_path, folder):
    other = load_encoder(f"onnx:{write_folder(tmp_path / 'm', integers=6)}")
    given = texts(5)
    np.testing.assert_allclose(
        other.encode(given), load_encoder(f"onnx:{folder}").encode(given), atol=1e-6
    )


@pytest.mark.parametrize("model", [{"dynamic": True}, {"masked": False}])
def test_where_texts_of_a_batch_change_each_other_each_runs_alone(tmp_path, model):
    folder = write_folder(tmp_path / "m", **model)
    encoder = load_onnx(str(folder))
    given = texts(30)
    alone = np.vstack([encoder.encode([text]) for text in given])
    np.testing.assert_array_equal(encoder.encode(given), alone)
    encoder._budget = 2048  # what would be without
    assert np.abs(encoder.encode(given) - alone).max() > 1e-3


def test_dynamic_quantization_is_recognized_by_its_operator(tmp_path):
    write_model(tmp_path / "plain.onnx")
    write_model(tmp_path / "int8.onnx", dynamic=True)
    assert not is_quantized_by_batch(tmp_path / "plain.onnx")
    assert is_quantized_by_batch(tmp_path / "int8.onnx")


# --- names and settings --------------------------------------------------------------------------


def test_a_toml_file_elsewhere_describes_a_folder(tmp_path, folder):
    bare = write_folder(tmp_path / "models" / "bare", None)
    toml = tmp_path / "tiny.toml"
    toml.write_text(MEAN + 'folder = "models/bare"\n')
    encoder = load_encoder(f"onnx:{toml}")
    same = load_encoder(f"onnx:{folder}")
    assert encoder.info.name == f"onnx:{toml}"
    assert encoder.info.fingerprint == same.info.fingerprint  # a path does not count
    assert load_encoder(encoder.info.name).info == encoder.info
    toml.write_text(MEAN + f"folder = '{bare}'\n")
    assert load_encoder(f"onnx:{toml}").info.fingerprint == same.info.fingerprint


def test_the_model_may_have_another_name(tmp_path, folder):
    moved = write_folder(tmp_path / "m", MEAN + 'model = "onnx/other.onnx"\n')
    (moved / "onnx").mkdir()
    (moved / "model.onnx").rename(moved / "onnx" / "other.onnx")
    same = load_encoder(f"onnx:{folder}").info.fingerprint
    assert load_encoder(f"onnx:{moved}").info.fingerprint == same


def test_names_are_absolute_whatever_was_given(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    monkeypatch.setenv("HOME", str(folder.parent))
    for given in (f"onnx:{folder.name}", f"onnx:./{folder.name}/", f"onnx:~/{folder.name}"):
        assert load_encoder(given).info.name == f"onnx:{folder}"


def test_the_fingerprint_is_of_what_determines_vectors(tmp_path):
    def of(name: str, settings: str = MEAN, **model: Any) -> str:
        found = load_encoder(f"onnx:{write_folder(tmp_path / name, settings, **model)}")
        return found.info.fingerprint

    plain = of("plain")
    assert of("copy") == plain
    assert of("said", MEAN + "normalize = true\nmax_length = 512\n") == plain
    other = write_folder(tmp_path / "tokenizer")
    text = (other / "tokenizer.json").read_text().replace('"whale"', '"narwhal"')
    (other / "tokenizer.json").write_text(text)
    changed = {
        of("seed", seed=1), of("cls", 'pooling = "cls"\n'),
        of("raw", MEAN + "normalize = false\n"),
        of("query", MEAN + 'query_prefix = "query : "\n'), of("length", MEAN + "max_length = 9\n"),
        of("passage", MEAN + 'passage_prefix = "query : "\n'),
        load_encoder(f"onnx:{other}").info.fingerprint,
    }  # fmt: skip
    assert len(changed) == 7
    assert plain not in changed


@pytest.mark.parametrize("file", ["model.onnx_data", "w" * 150])
def test_weights_in_another_file_count_too(tmp_path, folder, file):
    apart = write_folder(tmp_path / "m", external=file)
    assert model_files(apart / "model.onnx") == [apart / "model.onnx", apart / file]
    encoder = load_encoder(f"onnx:{apart}")
    rows = load_encoder(f"onnx:{folder}").encode(["the cat"])
    np.testing.assert_allclose(encoder.encode(["the cat"]), rows, atol=1e-6)
    (apart / file).write_bytes(np.roll(table(), 1)[: len(TOKENS) - 1].tobytes())
    assert load_encoder(f"onnx:{apart}").info.fingerprint != encoder.info.fingerprint


# --- processes and threads -----------------------------------------------------------------------


def test_several_threads_may_use_one(folder):
    encoder = load_onnx(str(folder), threads=2, token_budget=100)
    parts = [texts()[start::8] for start in range(8)]
    alone = [encoder.encode(part) for part in parts]
    ready = threading.Barrier(8)

    def work(part: list[str]) -> np.ndarray:
        ready.wait(timeout=60)
        return encoder.encode(part)

    with ThreadPoolExecutor(8) as pool:
        for one, other in zip(pool.map(work, parts), alone, strict=True):
            np.testing.assert_array_equal(one, other)


def test_it_is_pickled_by_its_files_and_settings(folder):
    encoder = load_onnx(str(folder), threads=1, token_budget=64)
    again = pickle.loads(pickle.dumps(encoder))  # noqa: S301
    assert isinstance(again, OnnxEncoder)
    assert again.info == encoder.info
    np.testing.assert_array_equal(again.encode(["the cat"]), encoder.encode(["the cat"]))


def test_another_process_loads_the_same_by_name_and_prints_nothing(folder, tmp_path):
    encoder = load_encoder(f"onnx:{folder}")
    code = (
        "import sys; from qdrant_static import load_encoder\n"
        "encoder = load_encoder(sys.argv[1]); print(encoder.info.fingerprint)\n"
    )
    done = run_python(code, encoder.info.name, cwd=tmp_path)
    assert (done.code, done.err, done.out) == (0, "", encoder.info.fingerprint + "\n")


# --- what is wrong -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ("normalize = true\n", r"encoder.toml: pooling: is missing"),
        (MEAN + 'prefix = "x"\n', r"encoder.toml: prefix: is unknown; known: pooling"),
        ('pooling = "max"\n', r"encoder.toml: pooling: is unknown; known: cls, mean"),
        (MEAN + 'normalize = "yes"\n', r"normalize: is not true or false; found a string"),
        (MEAN + "max_length = 0\n", r"max_length: 0 is not an integer of at least 1"),
        (MEAN + "max_length = 2\n", r"max_length: 2 leaves no room for text"),
        ('pooling = "mean\n', r"encoder.toml: is not valid TOML"),
        (MEAN + 'model = ""\n', r"model: is empty"),
    ],
)
def test_a_wrong_setting_is_an_error_that_names_the_file_and_the_key(tmp_path, settings, problem):
    folder = write_folder(tmp_path / "m", settings)
    with pytest.raises(ArgumentError, match=problem):
        load_encoder(f"onnx:{folder}")


@pytest.mark.parametrize(
    ("break_it", "problem"),
    [
        (lambda folder: (folder / "model.onnx").unlink(), r"there is no .*model\.onnx"),
        (lambda folder: (folder / "model.onnx").write_bytes(b""), r"there is no .*model\.onnx"),
        (lambda folder: (folder / "model.onnx").write_bytes(b"no model"), r"model\.onnx: .*"),
        (lambda folder: (folder / "tokenizer.json").unlink(), r"it has no tokenizer\.json"),
        (lambda folder: (folder / "tokenizer.json").write_text("{"), r"tokenizer\.json: "),
        (lambda folder: (folder / "encoder.toml").unlink(), r"write .*encoder\.toml with the"),
        (lambda folder: write_model(folder / "model.onnx", other_input="position_ids"),
         r"has the input 'position_ids' of type tensor\(int64\); known: input_ids"),
        (lambda folder: write_model(folder / "model.onnx", output="turned"),
         r"'out' has the shape \(3, 1, 24\) for 1 texts of 3 tokens"),
        (lambda folder: write_model(folder / "model.onnx", output="one"), r"shape \(1, 1\)"),
    ],
)  # fmt: skip
def test_a_folder_that_does_not_hold_a_bi_encoder_is_refused(tmp_path, break_it, problem):
    folder = write_folder(tmp_path / "m")
    break_it(folder)
    with pytest.raises(InvalidModelError, match=problem) as caught:
        load_encoder(f"onnx:{folder}")
    assert str(folder) in caught.value.message
    assert "\n" not in caught.value.message


def test_missing_external_weights_are_an_error(tmp_path):
    folder = write_folder(tmp_path / "m", external="model.onnx_data")
    (folder / "model.onnx_data").unlink()
    with pytest.raises(InvalidModelError, match=r"model\.onnx"):
        load_encoder(f"onnx:{folder}")


def test_a_runtime_that_fails_is_an_error_of_ours_and_prints_nothing(folder, capfd):
    encoder = load_encoder(f"onnx:{folder}")
    with pytest.raises(InvalidModelError, match=r"failed on 2 texts of up to 4 tokens") as caught:
        encoder.encode(["the far", "cat"])
    assert "out of data bounds" in caught.value.message
    assert caught.value.__cause__ is not None
    assert capfd.readouterr() == ("", "")


def test_a_number_that_is_not_finite_is_an_error_that_names_the_text(folder):
    encoder = load_encoder(f"onnx:{folder}")
    with pytest.raises(InvalidModelError, match="not finite for text 2"):
        encoder.encode(["the", "cat", "bad dog", "a"])


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("onnx:", "name a folder or a TOML file after it"),
        ("onnx: ", "name a folder or a TOML file after it"),
        ("onnx:/no/such/folder", "no such folder and no such TOML file"),
        ("onnx:/no/such.toml", "no such folder and no such TOML file"),
        ("onnx:owner/model", "no such folder and no such TOML file"),
    ],
)
def test_a_name_that_leads_nowhere_is_an_error(name, problem):
    with pytest.raises(EncoderNotFoundError, match=problem):
        load_encoder(name)


def test_files_that_are_no_folder_of_a_model_say_what_to_give(tmp_path, folder):
    with pytest.raises(EncoderNotFoundError, match="it is a file; give the folder"):
        load_encoder(f"onnx:{folder / 'model.onnx'}")
    with pytest.raises(EncoderNotFoundError, match=f"it holds one in ONNX: 'onnx:{folder}'"):
        load_encoder(folder)
    toml = tmp_path / "m.toml"
    toml.write_text(MEAN + 'folder = "nowhere"\n')
    with pytest.raises(InvalidModelError, match="folder is 'nowhere'; there is no"):
        load_encoder(f"onnx:{toml}")


@pytest.mark.parametrize("options", [{"threads": 0}, {"token_budget": 0}, {"threads": 1.5}])
def test_wrong_arguments_are_refused(folder, options):
    with pytest.raises(ArgumentError, match=next(iter(options))):
        OnnxEncoder(folder, OnnxSettings(pooling="mean"), name="m", **options)


def test_settings_are_checked_where_they_are_made():
    with pytest.raises(ArgumentError, match="pooling"):
        OnnxSettings(pooling="max")  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="normalize"):
        OnnxSettings(pooling="cls", normalize=1)  # type: ignore[arg-type]


def test_a_folder_that_is_copied_is_the_same_encoder(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "copy")
    assert (
        load_encoder(f"onnx:{copy}").info.fingerprint
        == load_encoder(f"onnx:{folder}").info.fingerprint
    )
