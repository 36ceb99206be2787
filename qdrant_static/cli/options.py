"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Annotated, Any, TypeVar

import typer

from qdrant_static.errors import ArgumentError

T = TypeVar("T")

Db = Annotated[
    str,
    typer.Option(
        "--db", help="A directory for an embedded collection, or a server's URL.", metavar="PLACE"
    ),
]
ApiKey = Annotated[
    str | None,
    typer.Option(
        "--api-key", envvar="QDRANT_API_KEY", show_envvar=True, help="For a server that wants one.",
        show_default=False,
    ),
]  # fmt: skip
State = Annotated[
    str | None,
    typer.Option(
        help="Folder for ledger, rejects and manifest. [default: beside --db; for a server "
        "./qdrant-static-state]"
    ),
]
Force = Annotated[
    bool, typer.Option("--force", help="Delete also where that is more than a fifth of all.")
]
Again = Annotated[
    bool,
    typer.Option("--again", help="Write again what the last run wrote, although it is unchanged."),
]
MaxRejects = Annotated[
    str | None,
    typer.Option(help="Stop, with exit code 3, if more rows are rejected: 100, or 1%."),
]
KeepRuns = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Keep the rejects files and manifests of the last RUNS runs. [default: as in the last "
        "run, else 20]",
        metavar="RUNS",
    ),
]
Peer = Annotated[
    list[str] | None,
    typer.Option(
        "--peer",
        help="Where a node of the cluster is reached from here, if not at the address that the "
        "cluster's own list gives: its peer id, or its address in that list; repeatable.",
        metavar="ID=URL",
    ),
]
Timeout = Annotated[
    int,
    typer.Option(min=1, help="How long the server may take for one request, in seconds."),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")]

DEFAULT_DB = "./data"
#: Within one request a server takes over a whole shard.
DEFAULT_TIMEOUT = 600


def listed(value: str | None) -> tuple[str, ...] | None:
    """Split ``a,b``; None stays None."""
    if value is None:
        return None
    return tuple(part.strip() for part in value.split(",") if part.strip())


def chosen(kind: type[T], parameters: Mapping[str, Any]) -> T:
    """Build a dataclass of options from the parameters of a command that have its fields' names.

    Args:
        kind: The dataclass; a field without a parameter keeps its default.
        parameters: The command's parameters, as ``locals()`` gives them.
    """
    names = {field.name for field in fields(kind)}  # type: ignore[arg-type]
    return kind(**{name: value for name, value in parameters.items() if name in names})


def peers_of(values: list[str] | None) -> dict[str, str]:
    """``["ID=URL", ...]`` as a mapping; an id may be an address, which holds no ``=``."""
    found: dict[str, str] = {}
    for value in values or ():
        name, equals, url = (part.strip() for part in value.partition("="))
        if not (name and equals and url.startswith(("http://", "https://"))):
            raise ArgumentError(field="--peer", problem=f"{value!r} is not ID=URL")
        if found.setdefault(name, url) != url:
            raise ArgumentError(field="--peer", problem=f"{name!r} is given twice")
    return found
