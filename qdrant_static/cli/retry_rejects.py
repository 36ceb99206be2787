"""``qdrant-static retry-rejects``: rows that were rejected, once more."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from qdrant_static.cli.ingest import show, stop_on_signals
from qdrant_static.cli.options import DEFAULT_DB, ApiKey, Db, Json, MaxRejects, State, listed
from qdrant_static.cli.reporting import reported


@reported
def command(
    rejects: Annotated[str, typer.Argument(help="A rejects file.", metavar="REJECTS.jsonl")],
    collection: Annotated[str, typer.Option("--collection", "-c", help="Its name.")],
    db: Db = DEFAULT_DB,
    key: Annotated[
        str | None, typer.Option(help="Column of the key. [default: as the job did]")
    ] = None,
    text: Annotated[
        str | None, typer.Option(help="Columns of the text, a,b. [default: as the job did]")
    ] = None,
    keep: Annotated[
        bool,
        typer.Option(
            "--keep",
            help="Keep what is stored here when an ingest --sync --delete-missing reads an input "
            "without it.",
        ),
    ] = False,
    state: State = None,
    max_rejects: MaxRejects = None,
    api_key: ApiKey = None,
    as_json: Json = False,
) -> None:
    """Store the rows of a rejects file, as far as possible.

    Its values may have been corrected by hand; they are read with the options of the job that
    rejected them. Rows whose key another row has are left alone.
    """
    from qdrant_static import connect
    from qdrant_static.ingestion.options import RunOptions
    from qdrant_static.ingestion.retrying import retry_rejects

    client = connect(db, api_key=api_key)
    try:
        report, left = retry_rejects(
            client,
            collection,
            rejects,
            keep=keep,
            key=listed(key),
            text=listed(text),
            run_options=RunOptions(state=state, max_rejects=max_rejects),
            notify=lambda line: typer.echo(line, err=True),
            progress=sys.stderr.isatty() or not as_json,
            stop=stop_on_signals(),
        )
    finally:
        client.close()
    for reason, count in left.items():
        typer.echo(f"left alone: {reason} {count:,}", err=True)
    show(report, as_json=as_json)
