"""load_encoder: a name or a path -> an encoder, or a sentence that says what to do."""

from __future__ import annotations

from importlib.metadata import EntryPoint, EntryPoints

import pytest

from qdrant_static import Encoder, load_encoder
from qdrant_static.encoders import loading, registry
from qdrant_static.errors import (
    ArgumentError,
    EncoderNotFoundError,
    EncoderUnavailableError,
    MissingExtraError,
)
from tests.fakes import FakeEncoder, build_static_model, run_python

LOADED: list[str] = []


def make_mine() -> Encoder:
    LOADED.append("mine")
    return FakeEncoder("mine")


@pytest.fixture
def entry_points(monkeypatch):
    """Two registered encoders; the second one's module cannot be imported."""
    group = registry.ENTRY_POINT_GROUP
    points = EntryPoints(
        [
            EntryPoint("mine", f"{__name__}:make_mine", group),
            EntryPoint("broken", "no.such.module:make", group),
            EntryPoint("other", "x:y", "another.group"),
        ]
    )
    monkeypatch.setattr(registry, "entry_points", lambda **wanted: points.select(**wanted))
    # importlib mode does not put this module where EntryPoint.load looks for it.
    import sys

    monkeypatch.setitem(sys.modules, __name__, sys.modules.get(__name__) or _this_module())
    LOADED.clear()


def _this_module():
    import types

    module = types.ModuleType(__name__)
    module.make_mine = make_mine
    return module


def test_a_distribution_adds_an_encoder_by_an_entry_point(entry_points):
    assert load_encoder("mine").info.name == "mine"
    assert LOADED == ["mine"]


def test_known_encoders_are_listed_without_importing_one(entry_points):
    assert registry.known_encoders() == ("broken", "mine", "wordllama")
    assert LOADED == []


def test_a_broken_registration_does_not_break_the_others(entry_points):
    assert load_encoder("mine").info.name == "mine"
    with pytest.raises(ImportError):
        load_encoder("broken")


def test_an_unknown_name_is_an_error_that_lists_the_known_ones(entry_points):
    with pytest.raises(EncoderNotFoundError, match="broken, mine, wordllama"):
        load_encoder("word-lama")


def test_a_folder_in_model2vecs_format_is_loaded(model_folder):
    encoder = load_encoder(model_folder)
    assert isinstance(encoder, Encoder)
    assert (encoder.info.dimension, encoder.info.name) == (32, str(model_folder))
    assert encoder.encode(["the cat", "zzz", ""]).shape == (3, 32)


def test_a_relative_folder_is_remembered_by_its_absolute_path(model_folder, monkeypatch):
    monkeypatch.chdir(model_folder.parent)
    assert load_encoder(model_folder.name).info.name == str(model_folder)


@pytest.mark.parametrize("content", [None, "{}"])
def test_a_folder_without_a_model_is_an_error_that_says_so(tmp_path, content):
    if content is not None:
        (tmp_path / "config.json").write_text(content)
    with pytest.raises(EncoderNotFoundError, match="holds no static model"):
        load_encoder(tmp_path)


def test_a_file_is_no_model(tmp_path):
    (tmp_path / "model.bin").touch()
    with pytest.raises(EncoderNotFoundError, match="it is a file; a model is a folder"):
        load_encoder(tmp_path / "model.bin")


@pytest.mark.parametrize("name", ["./no/model", "../model", "/no/such/model", "a/b/c", "~/model"])
def test_a_path_that_is_not_there_is_never_asked_of_a_hub(name, monkeypatch):
    monkeypatch.setattr(loading, "load_hub", lambda name: pytest.fail(f"asked a hub for {name}"))
    with pytest.raises(EncoderNotFoundError, match="no such folder"):
        load_encoder(name)


def test_an_owner_and_a_model_are_asked_of_the_hub(monkeypatch):
    monkeypatch.setattr(loading, "load_hub", FakeEncoder)
    assert load_encoder("owner/model").info.name == "owner/model"


def test_a_hub_that_cannot_be_reached_is_an_error_that_may_be_retried(monkeypatch):
    import huggingface_hub

    def fail(*_args, **_options):
        raise OSError("We couldn't connect\nto the hub")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fail)
    with pytest.raises(EncoderUnavailableError) as caught:
        load_encoder("owner/model")
    assert caught.value.retryable
    assert isinstance(caught.value.__cause__, OSError)
    assert "'owner/model': We couldn't connect." in caught.value.message
    assert "qdrant-static[offline]" in caught.value.message


def test_wordllama_that_is_not_installed_is_an_error_with_the_line_to_install_it(monkeypatch):
    monkeypatch.setattr(loading, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r'pip install "qdrant-static\[offline\]"'):
        load_encoder("wordllama")


def test_wordllama_is_loaded_whole_without_importing_its_package(wordllama, tmp_path):
    """Importing it would configure logging; other tests of this process may have done so."""
    code = (
        "import sys\nfrom qdrant_static import load_encoder\n"
        f"encoder = load_encoder({wordllama!r})\n"
        "assert (encoder.info.name, encoder.info.dimension) == ('wordllama', 256)\n"
        "assert encoder.encode(['moon ' * 2000]).shape == (1, 256)\n"
        "assert 'wordllama' not in sys.modules\n"
    )
    done = run_python(code, cwd=tmp_path)
    assert done.code == 0, done.err


def test_the_fingerprint_is_of_what_decides_the_vectors(tmp_path):
    def of(name, **options):
        return load_encoder(build_static_model(tmp_path / name, **options)).info.fingerprint

    plain = of("plain")
    assert of("copy") == plain
    changed = {
        of("seed", seed=1), of("length", max_length=None), of("normalize", normalize=False),
        of("tokenizer", kind="wordpiece"), of("quantized", quantized=True),
    }  # fmt: skip
    assert len(changed) == 5
    assert plain not in changed


@pytest.mark.parametrize("given", [5, None, ["wordllama"], object()])
def test_what_is_no_encoder_is_refused_before_anything_is_asked_of_it(given):
    with pytest.raises(ArgumentError, match="is not an encoder: give an encoder"):
        registry.as_encoder(given)


def test_encoders_may_be_given_by_name_and_a_single_one_alone(model_folder):
    loaded = load_encoder(model_folder)
    for given in (loaded, str(model_folder), model_folder, [loaded], [str(model_folder)]):
        assert list(registry.by_fingerprint(given)) == [loaded.info.fingerprint]
    assert registry.by_fingerprint(()) == {}
