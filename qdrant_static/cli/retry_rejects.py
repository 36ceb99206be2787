"""``qdrant-static retry-rejects``: stores rows that an earlier run rejected."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from qdrant_static.cli.fieldoptions import expanded
from qdrant_static.cli.ingest import show, stop_on_signals
from qdrant_static.cli.options import DEFAULT_DB, RUN, SOURCE, ApiKey, Db, Json
from qdrant_static.cli.reporting import reported


@reported
@expanded(
    columns=SOURCE.only("key", "text", otherwise="as the job read them"),
    run_options=RUN.only("state", "max_rejects"),
)
def command(
    rejects: Annotated[str, typer.Argument(help="A rejects file.", metavar="REJECTS.jsonl")],
    collection: Annotated[str, typer.Option("--collection", "-c", help="The collection's name.")],
    columns: dict[str, Any],
    run_options: dict[str, Any],
    db: Db = DEFAULT_DB,
    keep: Annotated[
        bool,
        typer.Option(
            "--keep",
            help="Do not let a later ingest --sync --delete-missing delete these rows if its input "
            "lacks them.",
        ),
    ] = False,
    api_key: ApiKey = None,
    as_json: Json = False,
) -> None:
    """Store the rows of a rejects file, as far as possible.

    The values in it may have been corrected by hand; they are read with the options of the job that
    rejected them. A row whose key belongs to another row is left out.
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
            **columns,
            run_options=RunOptions(**run_options),
            notify=lambda line: typer.echo(line, err=True),
            progress=sys.stderr.isatty() or not as_json,
            stop=stop_on_signals(),
        )
    finally:
        client.close()
    for reason, count in left.items():
        typer.echo(f"left out: {reason} {count:,}", err=True)
    show(report, as_json=as_json)
