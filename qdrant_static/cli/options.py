"""Options that several commands share.

How an input is read, how an ingest runs and how a collection is built here and shipped are declared
once, as dataclasses: their fields are the options of the commands, the tables of a job file and the
arguments of the functions.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import typer
from typer.core import TyperCommand

from qdrant_static.cli.fieldoptions import FieldOptions, help_of
from qdrant_static.errors import ArgumentError
from qdrant_static.ingestion.options import RunOptions
from qdrant_static.reading.options import SourceOptions
from qdrant_static.shipping.options import BuildOptions

if TYPE_CHECKING:
    from qdrant_static.shipping.localbuild.buildhere import BuildHere

SOURCE = FieldOptions(
    kind=SourceOptions,
    metavars={"rename": "OLD:NEW", "types": "COLUMN:TYPE"},
    omitted=("max_text_bytes", "max_payload_bytes"),
)
RUN = FieldOptions(kind=RunOptions, metavars={"keep_runs": "RUNS"}, omitted=("pinned", "job"))
BUILD = FieldOptions(
    kind=BuildOptions,
    named={"folder": "build-folder", "keep": "keep-build", "peers": "peer"},
    metavars={"peers": "ID=URL"},
)

Db = Annotated[
    str,
    typer.Option(
        "--db", help="A directory for an embedded collection, or a server's URL.", metavar="PLACE"
    ),
]
ApiKey = Annotated[
    str | None,
    typer.Option(
        "--api-key", envvar="QDRANT_API_KEY", show_envvar=True, help="The API key, for a "
        "server that requires one.", show_default=False,
    ),
]  # fmt: skip
QueryEncoder = Annotated[
    str | None,
    typer.Option(
        help="The encoder of queries, a fast model that was fitted to --encoder, which then "
        "encodes the documents alone (asymmetric search).",
        metavar="MODEL",
    ),
]
State = Annotated[str | None, typer.Option("--state", help=help_of(RunOptions, "state"))]
To = Annotated[
    str | None,
    typer.Option("--to", help="The server to ship the collection to.", metavar="URL"),
]
Build = Annotated[
    str | None,
    typer.Option(
        "--build",
        help="Build the collection on this machine, then ship it to the server, indexes included. "
        "On the server it must not exist, or be empty. The only value is: here.",
        metavar="here",
    ),
]
Timeout = Annotated[
    int,
    typer.Option(min=1, help="How long the server may take for one request, in seconds."),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")]

DEFAULT_DB = "./data"
#: In seconds. A server takes over a whole shard within one request.
DEFAULT_TIMEOUT = 600


def plan_of(text: str) -> str | Mapping[str, Any]:
    """Read the value of ``--plan``: a plan's name, JSON, or a TOML inline table.

    Raises:
        ArgumentError: If it begins like a table but is neither JSON nor TOML.
    """
    if not text.lstrip().startswith("{"):
        return text
    try:
        found: Mapping[str, Any] = json.loads(text)
    except ValueError:
        try:
            found = tomllib.loads(f"plan = {text}")["plan"]
        except tomllib.TOMLDecodeError as error:
            raise ArgumentError(
                field="plan", problem=f"is neither JSON nor a TOML table: {error}"
            ) from error
    return found


def build_here(build: str | None, to: str | None, options: Mapping[str, Any]) -> BuildHere | None:
    """Return what ``--build here`` and its options describe; None without it.

    Args:
        build: The value of ``--build``.
        to: The value of ``--to``.
        options: Fields of `BuildOptions` that were given.

    Raises:
        ArgumentError: If the value is not ``here``, or an option is given that needs it.
    """
    from qdrant_static.shipping.localbuild.buildhere import BuildHere

    if build is None:
        given = [*(() if to is None else ("to",)), *options]
        if given:
            option = BUILD.named.get(given[0], given[0].replace("_", "-"))
            raise ArgumentError(
                field=f"--{option}",
                problem="it needs --build here; without it, --db names the server",
            )
        return None
    if build != "here":
        raise ArgumentError.of_choice("--build", build, "here")
    return BuildHere(**options)


class GroupedCommand(TyperCommand):
    """A command whose ``--help`` shows its options in groups; a subclass names them.

    Typer groups options itself only through rich, whose import takes longer than all the rest of
    ``--help``.
    """

    #: Title -> names of parameters, in the order in which they are shown.
    groups: ClassVar[Mapping[str, Sequence[str]]] = {}

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the arguments, the groups, and the options that are in no group."""
        title_of = {name: title for title, names in self.groups.items() for name in names}
        sections: dict[str, list[tuple[str, str]]] = {
            title: [] for title in ("Arguments", *self.groups, "Options")
        }
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None:
                is_option = param.param_type_name == "option"
                title = title_of.get(param.name or "", "Options") if is_option else "Arguments"
                sections[title].append(record)
        for title, records in sections.items():
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)
