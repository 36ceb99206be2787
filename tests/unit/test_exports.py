"""The names that people type: few, held here, and cheap to import."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

import qdrant_static
from tests.fakes import REPOSITORY, run_python

NAMES = [
    "Bm25Encoder", "BuildHere", "Collection", "CollectionSpec", "CollectionSummary", "Corpus",
    "EdgeClient", "Encoder", "EncoderInfo", "Fields", "Hit", "IngestProgress", "IngestReport",
    "Job", "LateSpec", "LiveSearcher", "LiveWriter", "Machine", "Migration", "Passages",
    "QdrantStaticError", "Record", "RetrainJob", "RetryPolicy", "RunOptions", "SearchPlan",
    "Searcher", "SourceOptions", "SparseSpec", "TuneReport", "VectorSpec", "__version__",
    "add_vector", "apply", "build_filter", "capacity", "connect", "create_collection",
    "delete_collection", "diff", "ensure_collection", "foreign_spec", "ingest", "install",
    "list_collections", "load_encoder", "open_collection", "point_alias", "pull", "quantize",
    "replay", "retry_rejects", "search", "search_batch", "shard_of", "ship", "spec_from_toml",
    "spec_to_toml", "tune", "uninstall", "verify",
]  # fmt: skip
HEAVY = (
    "numpy", "pyarrow", "qdrant_client", "qdrant_edge", "model2vec", "tokenizers", "numba", "tqdm",
    "typer", "rich", "grpc", "pydantic", "fastembed", "huggingface_hub", "torch", "safetensors",
    "scipy", "onnxruntime",
)  # fmt: skip


def test_the_list_of_names_is_this_one_sorted():
    assert qdrant_static.__all__ == NAMES
    assert sorted(NAMES) == NAMES


def test_every_name_is_there_and_is_no_module():
    for name in NAMES:
        assert not inspect.ismodule(getattr(qdrant_static, name)), name


def test_dir_lists_the_public_names_and_nothing_else():
    assert dir(qdrant_static) == sorted([*NAMES, "errors", "sources", "testing", "training"])


def test_the_public_modules_are_attributes_before_they_are_imported(tmp_path):
    code = (
        "import qdrant_static\n"
        "assert qdrant_static.sources.__all__ and qdrant_static.errors.__all__\n"
        "assert qdrant_static.testing.__all__\n"
    )
    done = run_python(code, cwd=tmp_path)
    assert done.code == 0, done.err


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'serch'"):
        qdrant_static.serch  # noqa: B018
    with pytest.raises(AttributeError, match="did you mean 'search'"):
        qdrant_static.serch  # noqa: B018
    with pytest.raises(ImportError):
        from qdrant_static import serch  # noqa: F401


def test_a_renamed_error_names_its_present_class():
    with pytest.raises(ImportError, match="import ArgumentError"):
        from qdrant_static.errors import SpecError  # noqa: F401
    with pytest.raises(AttributeError, match="no attribute 'NoError'"):
        qdrant_static.errors.NoError  # noqa: B018


def test_star_import_gives_exactly_the_names():
    scope: dict = {}
    exec("from qdrant_static import *", scope)  # noqa: S102
    assert {name for name in scope if name not in ("__builtins__",)} == set(NAMES)


def test_no_name_hides_a_module_below():
    below = {path.stem for path in Path(qdrant_static.__file__).parent.iterdir()}
    assert not below & set(NAMES)


@pytest.mark.parametrize(
    "order",
    [
        "from qdrant_static import ingest, search, connect, ship",
        "import qdrant_static.ingestion.pipeline, qdrant_static.routing;"
        "from qdrant_static import connect, ship, search, ingest",
        "from qdrant_static import search, ship; import qdrant_static.collection.plan;"
        "from qdrant_static import ingest; import qdrant_static.reading.sources;"
        "from qdrant_static import connect;"
        "from qdrant_static.clients.connect import connect as again;"
        "assert again is connect",
        "from qdrant_static import ship; import qdrant_static.routing;"
        "from qdrant_static import connect, ingest, search;"
        "from qdrant_static.shipping.push import ship as again; assert again is ship",
    ],
)
def test_functions_stay_functions_in_every_order_of_imports(order, tmp_path):
    code = (
        f"{order}\nimport qdrant_static as package\n"
        "import qdrant_static.ingestion.pipeline, qdrant_static.querying.run\n"
        "import qdrant_static.shipping.push\n"
        "from types import FunctionType\n"
        "for name in ('ingest', 'search', 'connect', 'ship'):\n"
        "    assert type(getattr(package, name)) is FunctionType, name\n"
        "    assert globals()[name] is getattr(package, name), name\n"
        "from qdrant_static.reading import selection\n"
        "from qdrant_static.collection import plan\n"
        "assert selection.select and plan.SearchPlan\n"
    )
    done = run_python(code, cwd=tmp_path)
    assert done.code == 0, done.err


@pytest.mark.parametrize("module", ["qdrant_static", "qdrant_static.cli"])
def test_importing_it_imports_nothing_heavy(module, tmp_path):
    heavy = [name for name in HEAVY if not (module == "qdrant_static.cli" and name == "typer")]
    code = f"import sys, {module}\nprint(*sorted(set({heavy!r}) & set(sys.modules)))"
    done = run_python(code, cwd=tmp_path)
    assert (done.code, done.out.strip(), done.err) == (0, "", "")


def test_importing_everything_sets_no_environment_and_no_warning(tmp_path):
    code = (
        "import os\nbefore = dict(os.environ)\nfrom qdrant_static import *\n"
        "assert dict(os.environ) == before, set(os.environ) - set(before)\n"
    )
    done = run_python(code, cwd=tmp_path)
    assert (done.code, done.err) == (0, "")


def test_the_version_is_one_number_in_one_place():
    from qdrant_static._version import __version__

    assert qdrant_static.__version__ == __version__
    assert __version__ not in (REPOSITORY / "pyproject.toml").read_text().split("[build-system]")[0]


def test_the_names_of_training_are_sorted_and_none_hides_a_module():
    from qdrant_static import training

    assert training.__all__ == sorted(training.__all__) == dir(training)
    for name in training.__all__:
        assert not inspect.ismodule(getattr(training, name)), name
    below = {path.stem for path in Path(training.__file__).parent.iterdir()}
    assert not below & set(training.__all__)
