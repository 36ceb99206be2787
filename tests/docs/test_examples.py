"""Every example runs, as it is, in an empty directory."""

from __future__ import annotations

import pytest

from tests.fakes import REPOSITORY, run_python
from tests.onnxmodels import write_folder

EXAMPLES = sorted((REPOSITORY / "examples").glob("*.py"))


def test_there_are_examples():
    assert EXAMPLES


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_an_example_runs(path, tmp_path, request):
    if "wordllama" in path.read_text():
        request.getfixturevalue("wordllama")
    if "bge-small" in path.read_text():
        write_folder(tmp_path / "bge-small", None)
    program = (
        "import runpy, sys; sys.argv = sys.argv[1:]\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    done = run_python(program, path, cwd=tmp_path)
    assert done.code == 0, done.err
    assert done.out
