"""What ``--help`` shows, and the ways to the command line."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest
import typer
from typer.testing import CliRunner

from qdrant_static.cli import app, ingest
from qdrant_static.cli.fieldoptions import FieldOptions, help_of


def shown(*arguments: str) -> list[str]:
    done = CliRunner().invoke(app, [*arguments, "--help"], env={"COLUMNS": "80"})
    assert done.exit_code == 0
    return done.stdout.splitlines()


@pytest.mark.parametrize("group", [(), ("migrate",), ("models",), ("train",)])
def test_a_command_is_told_in_a_whole_sentence_on_one_line(group):
    lines = shown(*group)
    told = lines[lines.index("Commands:") + 1 :]
    assert told
    for line in told:
        assert len(line) <= 80
        assert line.endswith("."), line
        assert not line.endswith(".."), line
        assert line.split(maxsplit=1)[1][0].isupper(), line  # it was not wrapped


def test_the_options_of_ingest_are_in_groups():
    lines = shown("ingest")
    titles = [line.removesuffix(":") for line in lines if line[:1].isalpha() and line[-1] == ":"]
    assert titles == ["Arguments", *ingest.Command.groups, "Options"]
    rest = lines[lines.index("Options:") + 1 :]
    names = [line.split()[0] for line in rest if line.startswith("  -")]
    assert names == ["--json", "-h,"]


def test_a_group_names_no_option_that_is_not_there():
    command = typer.main.get_command(app).commands["ingest"]
    known = {param.name for param in command.params}
    named = [name for names in ingest.Command.groups.values() for name in names]
    assert set(named) <= known
    assert len(named) == len(set(named))


def test_the_package_runs_as_a_module(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["qdrant_static", "--version"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("qdrant_static", run_name="__main__")
    assert ended.value.code in (0, None)
    assert capsys.readouterr().out.startswith("qdrant-static ")


@pytest.mark.parametrize(
    ("old", "new"),
    [("collection", "show"), ("plan", "capacity"), ("add-vector", "migrate add-vector")],
)
def test_a_command_that_was_renamed_names_its_successor(old, new):
    done = CliRunner().invoke(app, [old, "c"])
    assert done.exit_code == 2
    assert f"No such command '{old}': " in done.stderr
    assert f"qdrant-static {new}" in done.stderr


def test_every_option_of_every_command_has_a_help():
    def commands(group):
        for command in group.commands.values():
            yield from commands(command) if hasattr(command, "commands") else (command,)

    missing = [
        (command.name, param.name)
        for command in commands(typer.main.get_command(app))
        for param in command.params
        if not param.help or param.help == "."
    ]
    assert missing == []


def test_an_option_of_a_field_has_the_name_type_default_and_help_of_the_field():
    @dataclass
    class Kind:
        """A kind.

        Attributes:
            keep_runs: How many runs stay; None takes the last
                number. More is said here.
            also: With ``keep_runs``: names.
            pairs: Old -> new.
        """

        keep_runs: int | None = None
        also: tuple[str, ...] = ()
        pairs: Mapping[str, str] = field(default_factory=dict)

    options = FieldOptions(kind=Kind, named={"also": "too"}, metavars={"pairs": "OLD:NEW"})
    assert options.parameters == {"keep_runs": "keep_runs", "too": "also", "pairs": "pairs"}
    assert help_of(Kind, "keep_runs") == "How many runs stay. [default: the last number]"
    assert help_of(Kind, "keep_runs", "1") == "How many runs stay. [default: 1]"
    assert help_of(Kind, "also") == "With --keep-runs: names."
    given = {"keep_runs": 3, "too": "a, b", "pairs": ["x:y", "p:q:r"]}
    assert options.values(given) == {
        "keep_runs": 3, "also": ("a", "b"), "pairs": {"x": "y", "p:q": "r"},
    }  # fmt: skip
    assert options.values({"keep_runs": None, "too": None, "pairs": None}) == {}
    assert options.only("also").parameters == {"too": "also"}
