"""Errors -> one sentence and an exit code; the same for every command."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import NoReturn, ParamSpec, TypeVar

import typer

from qdrant_static.errors import QdrantStaticError

P = ParamSpec("P")
R = TypeVar("R")

#: A gate refused: the command did its work, and the result is not good enough.
REFUSED = 4
INTERRUPTED = 130


def reported(command: Callable[P, R]) -> Callable[P, R]:
    """Turn what a command raises into a sentence on standard error and an exit code.

    What is neither ours nor a known failure of disk or server is a defect and keeps its trace.
    """

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except QdrantStaticError as error:
            fail(_told(error.message, error), error.exit_code)
        except KeyboardInterrupt as error:
            fail(_told("interrupted", error), INTERRUPTED)
        except BrokenPipeError:  # the reader of our output has gone; an OSError, but no failure
            raise
        except OSError as error:
            fail(f"{error.strerror or error}: {error.filename or ''}".rstrip(": "), 1)
        except Exception as error:
            problem = _of_server(error)
            if problem is None:
                raise
            fail(problem, 1)

    return run


def fail(message: str, code: int) -> NoReturn:
    """Say what went wrong, and exit."""
    typer.echo(f"error: {message}", err=True)
    raise typer.Exit(code)


def _told(message: str, error: BaseException) -> str:
    """A message and, in lines of their own, what was noted on the error's way: what is left."""
    return "\n".join([message, *getattr(error, "__notes__", ())])


def _of_server(error: Exception) -> str | None:
    """The sentence for an error of the client's; None for any other."""
    if "qdrant_client" not in sys.modules:
        return None
    import grpc
    from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

    if isinstance(error, grpc.RpcError) and isinstance(error, grpc.Call):
        detail = error.details() or ""
        if error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
            return f"the server cannot be reached over gRPC (port 6334 by default): {detail}"
        return f"the server refused: {error.code().name} {detail}"
    if isinstance(error, ResponseHandlingException):
        return f"the server cannot be reached: {error.source}"
    if isinstance(error, UnexpectedResponse):
        body = (error.content or b"").decode("utf-8", "replace")[:300]
        return f"the server refused: {error.status_code} {error.reason_phrase} {body}"
    return None
