"""Prints results, and turns errors into a message and an exit code, for every command."""

from __future__ import annotations

import functools
import json
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, ParamSpec, TypeVar, get_type_hints

import typer
from typer.models import OptionInfo

from qdrant_static.bars import print_line
from qdrant_static.errors import ArgumentError, QdrantStaticError

P = ParamSpec("P")
R = TypeVar("R")

#: Exit code of a command that did its work, with a result that is not good enough.
REFUSED = 4
INTERRUPTED = 130
#: An argument of a function in a message, such as ``force=True``.
_ARGUMENT = re.compile(r"\b([a-z_]+)=True\b")


def reported(command: Callable[P, R]) -> Callable[P, R]:
    """Turn what a command raises into a message on standard error and an exit code.

    Errors of this package, of the disk and of the server are handled so. Any other exception is a
    defect and keeps its traceback.
    """

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except QdrantStaticError as error:
            if error.report is not None:
                show_result(error.report, as_json=bool(kwargs.get("as_json")))
            fail(_with_notes(_as_typed(error, command), error), error.exit_code)
        except KeyboardInterrupt as error:
            fail(_with_notes("interrupted", error), INTERRUPTED)
        except (
            BrokenPipeError
        ):  # the reader of standard output is gone: no failure, though an OSError
            raise
        except OSError as error:
            fail(f"{error.strerror or error}: {error.filename or ''}".rstrip(": "), 1)
        except Exception as error:
            problem = _of_server(error, str(kwargs.get("db") or kwargs.get("to") or ""))
            if problem is None:
                raise
            fail(_with_notes(problem, error), 1)

    return run


def framed(argument: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Log when a command began, when it ended, and its exit code.

    Args:
        argument: The command's argument whose value names the job.
    """

    def frame(command: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(command)
        def run(*args: P.args, **kwargs: P.kwargs) -> R:
            if sys.stderr.isatty() or kwargs.get("as_json"):
                return command(*args, **kwargs)
            started, name = time.monotonic(), Path(str(kwargs[argument])).name
            code = 1
            print_line(f"{name}: started")
            try:
                result = command(*args, **kwargs)
                code = 0
            except typer.Exit as ended:
                code = ended.exit_code
                raise
            finally:
                took = time.monotonic() - started
                print_line(f"{name}: ended with exit code {code} after {took:,.1f} s")
            return result

        return run

    return frame


def fail(message: str, code: int) -> NoReturn:
    """Print an error and exit."""
    typer.echo(f"error: {message}", err=True)
    raise typer.Exit(code)


def show_result(result: Any, *, as_json: bool) -> None:
    """Print a result that has ``to_dict``, as text or as JSON."""
    typer.echo(json.dumps(result.to_dict(), indent=2, default=str) if as_json else str(result))


def confirm(question: str, *, yes: bool) -> None:
    """Ask a question on standard error, unless the answer was given; no aborts the command."""
    if not yes:
        typer.confirm(question, abort=True, err=True)


def _as_typed(error: QdrantStaticError, command: Callable[..., Any]) -> str:
    """Return the message of an error, with options in the place of Python's arguments.

    Errors name arguments as the field of an `ArgumentError`, or as ``force=True``.
    """
    known = _options(command)
    message = error.message
    if isinstance(error, ArgumentError) and error.field in known:
        message = f"{known[error.field]}: {error.problem}"
    return _ARGUMENT.sub(lambda match: known.get(match[1], match[0]), message)


def _options(command: Callable[..., Any]) -> dict[str, str]:
    """Return the option of a command for each argument's name."""
    known: dict[str, str] = {}
    for name, hint in get_type_hints(command, include_extras=True).items():
        for option in getattr(hint, "__metadata__", ()):
            if isinstance(option, OptionInfo):
                # In an annotation, Typer takes the first name for the default value.
                spellings = [str(one) for one in (option.default, *(option.param_decls or ()))]
                usual = f"--{name.replace('_', '-')}"
                typed = next((text for text in spellings if text.startswith("--")), usual)
                known |= {name: typed, typed[2:].replace("-", "_"): typed}
    if "db" in known:
        known["target"] = known["db"]  # what `connect` calls it
    return known


def _with_notes(message: str, error: BaseException) -> str:
    """Return a message and the notes that were added to the error, each on its own line."""
    return "\n".join([message, *getattr(error, "__notes__", ())])


def _of_server(error: Exception, place: str) -> str | None:
    """Return the message for an error of qdrant-client; None for any other error.

    Args:
        error: What was raised.
        place: The server's URL, if an option of the command names it.
    """
    if "qdrant_client" not in sys.modules:
        return None
    from qdrant_static.redaction import public_uri

    server = f"the server {public_uri(place)}" if "://" in place else "the server"
    import grpc
    from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

    if isinstance(error, grpc.RpcError) and isinstance(error, grpc.Call):
        detail = error.details() or ""
        if error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
            return f"{server} cannot be reached over gRPC (port 6334 by default): {detail}"
        return f"{server} refused: {error.code().name} {detail}"
    if isinstance(error, ResponseHandlingException):
        return f"{server} cannot be reached: {error.source}"
    if isinstance(error, UnexpectedResponse):
        body = (error.content or b"").decode("utf-8", "replace")[:300]
        return f"{server} refused: {error.status_code} {error.reason_phrase} {body}"
    return None
