"""The command line: one module per command, each imported with nothing heavy at its top."""

from __future__ import annotations

import warnings

import typer

from qdrant_static._version import __version__
from qdrant_static.cli import (
    collection,
    collections,
    delete,
    demo,
    ingest,
    migrate,
    plan,
    pull,
    quantize,
    retry_rejects,
    run,
    runs,
    search,
    ship,
    tune,
    verify,
)

app = typer.Typer(
    name="qdrant-static",
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
app.command("plan")(plan.command)
app.command("quantize")(quantize.command)
app.add_typer(collection.app, name="collection")
app.command("collections")(collections.command)
app.command("delete")(delete.command)
app.add_typer(migrate.app, name="migrate")
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
    """Print a warning as a sentence, without the line of code that gave it."""
    typer.echo(f"warning: {message}", err=True)
