"""Errors -> one sentence and an exit code."""

from __future__ import annotations

import json
import re
from typing import Annotated

import pytest
import typer

from qdrant_static.cli import reporting
from qdrant_static.cli.fieldoptions import listed
from qdrant_static.cli.options import Json
from qdrant_static.cli.reporting import framed, reported
from qdrant_static.errors import ArgumentError, DeletionRefusedError, EngineError, StorageError
from tests.unit.test_report import report


def outcome(error: BaseException, capsys) -> tuple[int, str, str]:
    @reported
    def command():
        raise error

    with pytest.raises(typer.Exit) as caught:
        command()
    out, err = capsys.readouterr()
    return caught.value.exit_code, out, err


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (ArgumentError(field="size", problem="5 is too much"), 2, "error: size: 5 is too much\n"),
        (EngineError(operation="counting", problem="failed"), 1, "error: counting: failed\n"),
        (StorageError(path="p", problem="full"), 1, "error: p: full\n"),
        (KeyboardInterrupt(), 130, "error: interrupted\n"),
        (PermissionError(13, "Permission denied", "a.jsonl"), 1,
         "error: Permission denied: a.jsonl\n"),
        (OSError("disk on fire"), 1, "error: disk on fire\n"),
    ],
)  # fmt: skip
def test_an_error_is_one_sentence_on_standard_error_and_a_code(error, code, told, capsys):
    assert outcome(error, capsys) == (code, "", told)


@pytest.mark.parametrize("error", [ZeroDivisionError("a defect"), BrokenPipeError(), KeyError(1)])
def test_a_defect_keeps_its_trace(error):
    @reported
    def command():
        raise error

    with pytest.raises(type(error)):
        command()


def test_what_a_command_returns_comes_back():
    assert reported(lambda a, *, b: (a, b))(1, b=2) == (1, 2)


def test_the_name_and_documentation_of_a_command_stay():
    def command():
        """Do it."""

    assert (reported(command).__name__, reported(command).__doc__) == ("command", "Do it.")


def test_a_server_that_refuses_is_one_sentence(capsys):
    from httpx import Headers
    from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

    refused = UnexpectedResponse(
        status_code=403, reason_phrase="Forbidden", content=b"no key\xff", headers=Headers()
    )
    assert outcome(refused, capsys) == (
        1,
        "",
        "error: the server refused: 403 Forbidden no key\ufffd\n",
    )
    lost = ResponseHandlingException(ConnectionError("refused"))
    assert outcome(lost, capsys) == (1, "", "error: the server cannot be reached: refused\n")


def test_a_server_is_named_without_its_secrets(capsys):
    from qdrant_client.http.exceptions import ResponseHandlingException

    @reported
    def command(*, db):
        raise ResponseHandlingException(ConnectionError("refused"))

    with pytest.raises(typer.Exit):
        command(db="http://user:pw@db.example:6333?key=s")
    told = "error: the server http://db.example:6333 cannot be reached: refused\n"
    assert capsys.readouterr().err == told


def test_a_server_behind_grpc_is_one_sentence(capsys):
    import grpc

    class Failure(grpc.RpcError, grpc.Call):
        def __init__(self, code):
            self._code = code

        def code(self):
            return self._code

        def details(self):
            return "told"

        def __getattr__(self, name):
            raise AttributeError(name)

        add_callback = cancel = initial_metadata = is_active = time_remaining = None
        trailing_metadata = None

    code, _, err = outcome(Failure(grpc.StatusCode.UNAVAILABLE), capsys)
    assert (code, err) == (
        1, "error: the server cannot be reached over gRPC (port 6334 by default): told\n",
    )  # fmt: skip
    code, _, err = outcome(Failure(grpc.StatusCode.PERMISSION_DENIED), capsys)
    assert (code, err) == (1, "error: the server refused: PERMISSION_DENIED told\n")


def test_the_exit_code_of_an_interruption_is_the_shells():
    assert reporting.INTERRUPTED == 130


@pytest.mark.parametrize(
    ("value", "expected"),
    [(None, None), ("a,b", ("a", "b")), (" a , b ,", ("a", "b")), ("", ()), ("a", ("a",))],
)
def test_a_list_is_split_at_commas(value, expected):
    assert listed(value) == expected


def failing(error: BaseException):
    @reported
    def command(
        force: Annotated[bool, typer.Option("--force")] = False, as_json: Json = False,
        max_rejects: Annotated[str | None, typer.Option(help="")] = None,
        k: Annotated[int, typer.Option("--limit", "-n")] = 1,
    ):  # fmt: skip
        raise error

    return command


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ArgumentError(field="max_rejects", problem="no"), "error: --max-rejects: no\n"),
        (ArgumentError(field="k", problem="no"), "error: --limit: no\n"),
        (ArgumentError(field="a", problem="needs force=True"), "error: a: needs --force\n"),
        (
            ArgumentError(field="a", problem="sync=True"),
            "error: a: sync=True\n",
        ),  # not an option here
    ],
)
def test_arguments_are_named_as_the_command_has_them(error, told, capsys):
    with pytest.raises(typer.Exit):
        failing(error)()
    assert capsys.readouterr().err == told


@pytest.mark.parametrize("as_json", [False, True])
def test_an_error_with_an_account_prints_it(as_json, capsys):
    error = DeletionRefusedError(collection="c", vanished=9, points=10, problem="too many")
    error.report = report()
    with pytest.raises(typer.Exit) as caught:
        failing(error)(as_json=as_json)
    out, err = capsys.readouterr()
    assert caught.value.exit_code == 4
    assert "repeat it with --force" in err
    if as_json:
        assert json.loads(out)["read"] == 1500
    else:
        assert out.startswith("read 1,500 = stored 1,400 + rejected 100\n")


def test_a_log_has_the_beginning_and_the_end_of_a_job(capsys):
    @framed("job")
    @reported
    def command(job: str, as_json: Json = False):
        raise EngineError(operation="counting", problem="failed")

    with pytest.raises(typer.Exit):
        command(job="jobs/nightly.toml")
    first, told, last = capsys.readouterr().err.splitlines()
    assert first.endswith("Z nightly.toml: started")
    assert told == "error: counting: failed"
    assert re.search(r"Z nightly\.toml: ended with exit code 1 after 0\.\d s$", last)
    with pytest.raises(typer.Exit):
        command(job="jobs/nightly.toml", as_json=True)
    assert capsys.readouterr().err == "error: counting: failed\n"
