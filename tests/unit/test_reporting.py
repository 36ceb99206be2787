"""Errors -> one sentence and an exit code."""

from __future__ import annotations

import pytest
import typer

from qdrant_static.cli import reporting
from qdrant_static.cli.options import listed
from qdrant_static.cli.reporting import reported
from qdrant_static.errors import EngineError, SpecError, StorageError


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
        (SpecError(field="size", problem="5 is too much"), 2, "error: size: 5 is too much\n"),
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
