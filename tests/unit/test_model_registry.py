"""The models folder: versions that are never reused, the one in use, two processes at once."""

from __future__ import annotations

import json
import multiprocessing
import shutil
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from qdrant_static import load_encoder
from qdrant_static.cli import app
from qdrant_static.encoders import modelregistry
from qdrant_static.encoders.modelversions import is_reference, models_folder
from qdrant_static.errors import (
    ArgumentError,
    EncoderNotFoundError,
    EncoderUnavailableError,
    ModelInUseError,
    ModelLockedError,
)
from qdrant_static.files import LockFile
from qdrant_static.training import (
    find_model,
    list_models,
    register_model,
    remove_model,
    use_model,
)
from tests.fakes import build_static_model


@pytest.fixture
def models(tmp_path, monkeypatch) -> Path:
    folder = tmp_path / "models"
    monkeypatch.setenv("QDRANT_STATIC_MODELS", str(folder))
    return folder


@pytest.fixture
def two(tmp_path) -> list[Path]:
    return [build_static_model(tmp_path / f"m{seed}", seed=seed) for seed in (1, 2)]


def test_a_version_is_a_copy_that_load_encoder_takes_by_name(models, two):
    added = register_model(two[0], "articles")
    assert (added.reference, added.current) == ("articles@1", True)
    assert added.folder == models / "articles" / "1"
    source = load_encoder(two[0])
    shutil.rmtree(two[0])
    loaded = load_encoder("articles@1")
    assert loaded.info.name == "articles@1"
    assert loaded.info.fingerprint == added.fingerprint == source.info.fingerprint
    assert added.dimension == loaded.info.dimension
    assert added.origin == str(two[0])
    assert (loaded.encode(["the cat"]) == source.encode(["the cat"])).all()


def test_the_folder_can_be_read_by_a_person(models, two):
    register_model(two[0], "articles")
    register_model(two[1], "articles")
    home = models / "articles"
    assert {one.name for one in home.iterdir()} == {"1", "2", "current", "latest", "lock"}
    assert ((home / "current").read_text(), (home / "latest").read_text()) == ("1\n", "2\n")
    record = json.loads((home / "2" / "version.json").read_text())
    assert set(record) == {"fingerprint", "dimension", "added", "origin"}


def test_current_is_resolved_when_it_is_loaded(models, two):
    register_model(two[0], "articles")
    second = register_model(two[1], "articles")
    assert load_encoder("articles@current").info.name == "articles@1"
    assert use_model("articles@2").current
    assert load_encoder("articles@current").info.name == "articles@2"
    assert load_encoder("articles@current").info.fingerprint == second.fingerprint
    assert [one.current for one in list_models()] == [False, True]
    assert register_model(two[0], "articles", use=True).current
    assert find_model("articles").reference == "articles@3"


def test_a_number_is_never_given_again(models, two):
    for _ in range(3):
        register_model(two[0], "articles")
    remove_model("articles@3")
    remove_model("articles@1", force=True)
    remove_model("articles@2")
    assert list_models() == ()
    again = register_model(two[0], "articles")
    assert (again.version, again.current) == (4, True)


def test_a_number_is_not_reused_where_the_files_were_copied_by_hand(models, two):
    shutil.copytree(two[0], models / "articles" / "7")
    found = find_model("articles@7")
    assert (found.fingerprint, found.added, found.current) == ("", "", False)
    assert load_encoder("articles@7").info.name == "articles@7"
    remove_model("articles@7")
    assert register_model(two[0], "articles").version == 8


def test_the_version_in_use_is_removed_by_force_only(models, two):
    register_model(two[0], "articles")
    with pytest.raises(ModelInUseError, match=r"articles@1.*force=True"):
        remove_model("articles@current")
    assert load_encoder("articles@1")
    remove_model("articles@current", force=True)
    with pytest.raises(EncoderNotFoundError):
        load_encoder("articles@1")
    register_model(two[0], "articles")
    register_model(two[0], "articles")
    (models / "articles" / "current").unlink()
    with pytest.raises(EncoderNotFoundError, match="no version of 'articles' is in use"):
        load_encoder("articles@current")


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("articles@9", "has the versions 1, 2 of 'articles'"),
        ("articles@main", "has the versions 1, 2"),
        ("articles@", "has the versions 1, 2"),
        ("articles@-1", "has the versions 1, 2"),
        ("artikles@1", "has no model 'artikles'"),
        ("articles", "no such folder and no such name"),
    ],
)
def test_an_unknown_version_is_an_error_that_lists_what_there_is(models, two, name, problem):
    register_model(two[0], "articles")
    register_model(two[1], "articles")
    with pytest.raises(EncoderNotFoundError, match=problem) as caught:
        load_encoder(name)
    assert {"articles@1", "articles@2"} <= set(caught.value.known)


def test_a_hub_name_with_a_revision_is_no_version(monkeypatch):
    assert not is_reference("owner/model@main")
    assert not is_reference("owner/model@3")
    assert not is_reference("./articles@3")
    assert not is_reference("fastembed:x@1")
    assert is_reference("articles@3")
    import huggingface_hub

    def no_network(*_, **__):
        raise OSError("no network")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", no_network)
    with pytest.raises(EncoderUnavailableError):
        load_encoder("owner/model@3")


def test_a_folder_whose_name_has_an_at_sign_is_given_as_a_path(models, tmp_path, monkeypatch):
    build_static_model(tmp_path / "articles@3")
    monkeypatch.chdir(tmp_path)
    assert load_encoder("./articles@3").info.name == str(tmp_path / "articles@3")
    with pytest.raises(EncoderNotFoundError, match=r"write \./articles@3"):
        load_encoder("articles@3")


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a@1", "-a", "a b", "ä", "x" * 101])
def test_a_name_that_no_folder_should_have_is_refused(models, two, name):
    with pytest.raises(ArgumentError, match="cannot name a model"):
        register_model(two[0], name)
    assert not models.exists()


def test_what_is_no_model_is_not_added(models, tmp_path):
    with pytest.raises(EncoderNotFoundError, match="no such folder"):
        register_model(tmp_path / "nowhere", "articles")
    with pytest.raises(EncoderNotFoundError, match="holds no static model"):
        register_model(tmp_path, "articles")
    assert list_models() == ()


def test_an_addition_that_fails_leaves_nothing(models, two, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    register_model(two[0], "articles")
    monkeypatch.setattr(modelregistry.shutil, "copytree", full)
    with pytest.raises(OSError, match="No space"):
        register_model(two[1], "articles")
    monkeypatch.undo()
    monkeypatch.setenv("QDRANT_STATIC_MODELS", str(models))
    assert [one.reference for one in list_models()] == ["articles@1"]
    leftover = models / "articles" / ".9.1.tmp"  # of a process that was killed
    leftover.mkdir()
    assert register_model(two[1], "articles").version == 3
    assert not leftover.exists()


def test_a_locked_model_is_busy(models, two, monkeypatch):
    register_model(two[0], "articles")
    monkeypatch.setattr(modelregistry, "_WAIT_S", 0.0)
    with (
        LockFile(models / "articles" / "lock").held("a test"),
        pytest.raises(ModelLockedError, match="a test"),
    ):
        register_model(two[1], "articles")


def _register(folder: str, models: str) -> None:
    register_model(folder, "articles", models=models)


def test_two_processes_add_versions_of_their_own(models, two):
    context = multiprocessing.get_context("spawn")
    processes = [
        context.Process(target=_register, args=(str(folder), str(models))) for folder in two
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    found = list_models()
    assert [one.version for one in found] == [1, 2]
    assert {one.fingerprint for one in found} == {load_encoder(f).info.fingerprint for f in two}
    assert [one.current for one in found].count(True) == 1


def test_the_default_folder_is_below_home(monkeypatch, tmp_path):
    monkeypatch.delenv("QDRANT_STATIC_MODELS", raising=False)
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    assert models_folder() == tmp_path / ".local" / "share" / "qdrant-static" / "models"
    assert list_models() == ()


def test_another_models_folder_can_be_given(models, two, tmp_path):
    register_model(two[0], "articles", models=tmp_path / "elsewhere")
    assert not models.exists()
    assert len(list_models(models=tmp_path / "elsewhere")) == 1


@pytest.fixture
def run():
    def invoke(*arguments, code: int = 0) -> str:
        done = CliRunner().invoke(app, ["models", *map(str, arguments)])
        assert done.exit_code == code, (done.stdout, done.stderr)
        return done.stdout if code == 0 else done.stderr

    return invoke


def test_the_commands(models, two, run):
    assert run("list") == f"no models in {models}\n"
    card = {"parent": "wordllama", "figures": {"ndcg": 0.5}, "corpus": ["a.jsonl"]}
    (two[0] / "card.json").write_text(json.dumps(card))
    shown = run("add", "articles", two[0])
    for part in ("articles@1 (in use)", "parent", "wordllama", "figures.ndcg", "0.5", "a.jsonl"):
        assert part in shown
    run("add", "articles", two[1])
    run("add", "other", two[1])
    lines = run("list").splitlines()
    assert [line.split()[0] for line in lines] == ["model", "articles@1", "articles@2", "other@1"]
    assert len(run("list", "articles").splitlines()) == 3
    assert [one["reference"] for one in json.loads(run("list", "--json"))] == [
        "articles@1", "articles@2", "other@1",
    ]  # fmt: skip
    assert json.loads(run("show", "articles@1", "--json"))["card"] == card
    assert "--force" in run("remove", "articles@1", code=2)
    assert run("use", "articles@2") == "articles@current is articles@2\n"
    assert run("remove", "articles@1") == "removed articles@1\n"
    assert "articles@2" in run("show", "articles@1", code=2)


def test_a_version_has_a_dimension_and_a_size(models, two):
    found = register_model(two[0], "articles")
    files = [path for path in found.folder.rglob("*") if path.is_file()]
    assert found.disk_bytes == sum(path.stat().st_size for path in files)
    assert found.dimension == len(load_encoder("articles@1").encode(["cat"])[0])
    assert np.isfinite(found.disk_bytes)
