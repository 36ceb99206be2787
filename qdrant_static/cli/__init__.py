"""The command line: one module per command, or per family of commands.

A module imports nothing heavy at its top: what a command needs is imported when it runs.
"""

from __future__ import annotations

import warnings
from typing import Any, ClassVar

import typer
from typer.core import TyperGroup

from qdrant_static._version import __version__
from qdrant_static.cli import (
    capacity,
    collections,
    demo,
    ingest,
    migrate,
    models,
    pull,
    quantize,
    retry_rejects,
    run,
    runs,
    search,
    ship,
    train,
    tune,
    verify,
)


class Commands(TyperGroup):
    """The commands; one that was renamed is an error that names its successor."""

    renamed: ClassVar[dict[str, str]] = {
        "collection": "show, diff and apply are commands of their own: qdrant-static show NAME",
        "plan": "the command is called capacity: qdrant-static capacity",
        "add-vector": "it belongs to migrate: qdrant-static migrate add-vector",
        "list": "the command is called collections: qdrant-static collections",
    }

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the command that the first argument names."""
        if args and args[0] in self.renamed and args[0] not in self.commands:
            ctx.fail(f"No such command {args[0]!r}: {self.renamed[args[0]]}")
        return super().resolve_command(ctx, args)


app = typer.Typer(
    name="qdrant-static",
    cls=Commands,
    help="From a Parquet or JSONL file to a searchable, quantized Qdrant collection.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # importing rich takes longer than all the rest of --help
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("ingest", cls=ingest.Command)(ingest.command)
app.command("search")(search.command)
app.command("run")(run.command)
app.command("runs")(runs.command)
app.command("verify")(verify.command)
app.command("retry-rejects")(retry_rejects.command)
app.command("collections")(collections.list_)
app.command("show")(collections.show)
app.command("diff")(collections.diff)
app.command("apply")(collections.apply)
app.command("delete")(collections.delete)
app.command("capacity")(capacity.command)
app.command("quantize")(quantize.command)
app.add_typer(migrate.app, name="migrate")
app.add_typer(train.app, name="train")
app.add_typer(models.app, name="models")
app.command("pull")(pull.command)
app.command("ship")(ship.command)
app.command("tune")(tune.command)
app.command("demo")(demo.command)


@app.callback()
def _options(
    version: bool = typer.Option(
        False, "--version", help="Show the version and exit.", is_eager=True
    ),
) -> None:
    if version:
        typer.echo(f"qdrant-static {__version__}")
        raise typer.Exit


# With a callback, click wants a command even where an eager option has done the work.
app.info.invoke_without_command = True


def main() -> None:
    """Entry point of the command."""
    warnings.showwarning = _show_warning
    app()


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    """Print a warning without the line of code that it came from."""
    typer.echo(f"warning: {message}", err=True)
