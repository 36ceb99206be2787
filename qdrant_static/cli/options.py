"""Options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

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
MaxRejects = Annotated[
    str | None,
    typer.Option(help="Stop, with exit code 3, if more rows are rejected: 100, or 1%."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")]

DEFAULT_DB = "./data"


def listed(value: str | None) -> tuple[str, ...] | None:
    """Split ``a,b``; None stays None."""
    if value is None:
        return None
    return tuple(part.strip() for part in value.split(",") if part.strip())
