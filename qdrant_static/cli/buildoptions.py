"""Options of commands that build a collection in this machine and ship it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from qdrant_static.errors import ArgumentError

if TYPE_CHECKING:
    from qdrant_static.shipping.localbuild.buildhere import BuildHere

To = Annotated[
    str | None,
    typer.Option("--to", help="The server that what is built goes to.", metavar="URL"),
]
Build = Annotated[
    str | None,
    typer.Option(
        "--build",
        help="here: build the collection in this machine and ship it, indexes included; the "
        "server must not have it, or have it empty.",
        metavar="here",
    ),
]
BuildFolder = Annotated[
    str | None, typer.Option(help="Where it is built. [default: build, in the state's folder]")
]
Shards = Annotated[
    int | None,
    typer.Option(min=1, help="Shards of what is built. [default: as the server has it, or 1]"),
]
Workers = Annotated[
    int | None,
    typer.Option(min=1, help="Processes that build, a shard each. [default: all processors]"),
]
Replicas = Annotated[
    int | None, typer.Option(min=1, help="Copies of each shard that the server keeps.")
]
Alias = Annotated[
    str | None, typer.Option(help="Point this alias at it, once the server has proved it.")
]
MaxMbS = Annotated[
    float | None,
    typer.Option(
        "--max-mb-s",
        min=0,
        help="Megabytes a second that are sent at most. [default: as fast as it goes]",
    ),
]
KeepBuild = Annotated[
    bool, typer.Option("--keep-build", help="Leave the built folder where it is.")
]
Untested = Annotated[
    bool, typer.Option("--untested", help="Also to a server of a version that was never tried.")
]
DiscardUnfinished = Annotated[
    bool,
    typer.Option(
        "--discard-unfinished", help="Remove a shipment that was begun and has died elsewhere."
    ),
]
#: Fields of `BuildHere` -> options, where these are not called the same.
_CALLED = {"keep": "keep-build", "folder": "build-folder", "peers": "peer"}


def build_here(build: str | None, to: str | None, **options: Any) -> BuildHere | None:
    """What ``--build here`` and its options say.

    Raises:
        ArgumentError: If it is something else, or if an option is given that means nothing without
            it.
    """
    from qdrant_static.shipping.localbuild.buildhere import BuildHere

    if build is None:
        given = [
            name for name, value in {"to": to, **options}.items() if value not in (None, False)
        ]
        if given:
            option = _CALLED.get(given[0], given[0].replace("_", "-"))
            raise ArgumentError(
                field=f"--{option}", problem="it needs --build here; without, a server is the --db"
            )
        return None
    if build != "here":
        raise ArgumentError.of_choice("--build", build, "here")
    # What is not given is as `BuildHere` has it.
    return BuildHere(**{name: value for name, value in options.items() if value is not None})
