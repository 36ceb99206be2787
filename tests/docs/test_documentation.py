"""Documentation that cannot lie: its code runs, its --help is the real one.

A fenced block ``python`` is run where the line before its fence is ``<!-- run -->``; the blocks
of one file share their names, in order, in an empty directory. A fenced block that begins with
``$ qdrant-static ... --help`` must hold what that command prints.
"""

from __future__ import annotations

import ast
import doctest
import re
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import pytest

from tests.fakes import REPOSITORY, run_cli, run_python
from tests.onnxmodels import write_folder
from tests.server.ship_traps import table

FILES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]
BLOCK = re.compile(
    r"(?P<mark>^<!-- run -->[ \t]*\n)?^```(?P<kind>\w*)[^\n]*\n(?P<body>.*?)^```[ \t]*$",
    re.M | re.S,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A fenced block: the line its body starts at, its language, and whether it is to be run."""

    line: int
    kind: str
    body: str
    run: bool


def blocks(path: Path) -> list[Block]:
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    return [
        Block(
            line=text.count("\n", 0, match.start("body")) + 1,
            kind=match["kind"],
            body=match["body"],
            run=match["mark"] is not None,
        )
        for match in BLOCK.finditer(text)
    ]


def named(path: Path) -> str:
    return str(path.relative_to(REPOSITORY))


def code(path: Path) -> str:
    """The runnable blocks of a file, each at its own line, so that a trace points there."""
    lines: list[str] = []
    for block in blocks(path):
        if block.run:
            lines += [""] * (block.line - 1 - len(lines))
            lines += block.body.splitlines()
    return "\n".join(lines)


RUNNABLE = [path for path in FILES if code(path)]
HELP = re.compile(r"\$ qdrant-static\b.*(--help|-h)\s*$")


def test_the_readme_has_code_that_runs():
    readme = REPOSITORY / "README.md"
    if not readme.exists() or not readme.read_text().strip():
        pytest.skip("README.md is not written yet")
    assert any(block.run for block in blocks(readme))


@pytest.mark.parametrize("path", FILES, ids=named)
def test_every_mark_stands_before_a_block_of_python(path):
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    marked = [block for block in blocks(path) if block.run]
    assert len(marked) == len(re.findall(r"^<!-- run -->", text, re.M))
    assert {block.kind for block in marked} <= {"python"}


@pytest.mark.parametrize("path", FILES, ids=named)
def test_no_placeholder_is_left(path):
    assert not re.findall(r"@@\w+@@", path.read_text(encoding="utf-8") if path.exists() else "")


@pytest.mark.parametrize("path", FILES, ids=named)
def test_code_that_is_not_run_is_at_least_python(path):
    for block in blocks(path):
        if block.kind == "python":
            compile(block.body, f"{named(path)}:{block.line}", "exec")


@pytest.mark.parametrize("path", RUNNABLE, ids=named)
def test_the_code_of_a_page_runs(path, tmp_path, request):
    source = code(path)
    if "wordllama" in source:
        request.getfixturevalue("wordllama")
    script = tmp_path / "blocks.py"
    script.write_text(source, encoding="utf-8")
    work = tmp_path / "work"
    work.mkdir()
    if "onnx:bge-small" in source:
        write_folder(work / "bge-small", None)
    program = "import runpy, sys; runpy.run_path(sys.argv[1], run_name='__main__')"
    done = run_python(program, script, cwd=work)
    assert done.code == 0, done.err.replace(str(script), named(path))


@pytest.mark.parametrize("path", FILES, ids=named)
def test_help_in_the_documentation_is_the_real_help(path, tmp_path):
    for block in blocks(path):
        command, _, shown = block.body.partition("\n")
        if HELP.match(command):
            done = run_cli(*command.removeprefix("$ qdrant-static").split(), cwd=tmp_path)
            assert done.code == 0
            assert " ".join(done.out.split()) == " ".join(shown.split()), block.line


@pytest.mark.parametrize("path", FILES, ids=named)
def test_every_link_to_a_file_leads_somewhere(path):
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    for target in re.findall(r"\]\(([^)#\s]+)", BLOCK.sub("", text)):
        if "://" not in target and not target.startswith("mailto:"):
            assert (path.parent / target).exists(), target


OPTION = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]+")


@pytest.mark.parametrize("path", FILES, ids=named)
def test_every_command_line_shown_has_options_that_there_are(path, tmp_path):
    """A shell block's ``qdrant-static COMMAND --option``: the command and the option exist."""
    import typer

    from qdrant_static.cli import app

    group = typer.main.get_command(app)
    for block in blocks(path):
        if block.kind == "python":
            continue
        for line in re.findall(r"^\$? ?qdrant-static (.+)$", block.body, re.M):
            name = line.split()[0]
            if name.startswith("-"):
                continue
            assert name in group.commands, line
            command = group.commands[name]
            if hasattr(command, "commands"):  # a group of its own
                assert line.split()[1] in command.commands, line
                command = command.commands[line.split()[1]]
            known = {o for p in command.params for o in p.opts} | {"--help"}
            assert set(OPTION.findall(line)) <= known, line


PUBLIC = (
    "qdrant_static", "qdrant_static.errors", "qdrant_static.sources", "qdrant_static.testing",
    "qdrant_static.training",
)  # fmt: skip


@pytest.mark.parametrize(
    "path", [*FILES, *sorted((REPOSITORY / "examples").glob("*.py"))], ids=named
)
def test_only_public_names_are_imported(path):
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    bodies = (
        [text] if path.suffix == ".py" else [b.body for b in blocks(path) if b.kind == "python"]
    )
    for body in bodies:
        for node in ast.walk(ast.parse(body)):
            if isinstance(node, ast.Import):
                assert {one.name for one in node.names} & set(PUBLIC) or not any(
                    one.name.startswith("qdrant_static") for one in node.names
                )
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("qdrant_static"):
                assert node.module in PUBLIC, node.module
                known = import_module(node.module).__all__
                assert {one.name for one in node.names} <= set(known), node.module


def test_the_example_of_a_docstring_runs(tmp_path, monkeypatch, wordllama):
    from qdrant_static import Collection

    monkeypatch.chdir(tmp_path)
    found = doctest.DocTestFinder(recurse=False).find(Collection, "Collection", globs={})
    assert [one.name for one in found if one.examples] == ["Collection"]
    shown: list[str] = []
    failed, _ = doctest.DocTestRunner().run(found[0], out=shown.append)
    assert not failed, "".join(shown)


def test_the_traps_of_shipments_are_those_that_are_set_in_the_tests():
    assert table() in (REPOSITORY / "docs" / "ship.md").read_text(encoding="utf-8")
