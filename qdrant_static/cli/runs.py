"""``qdrant-static runs``: what past jobs of a collection did."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from qdrant_static.cli.options import DEFAULT_DB, Db, Json, State
from qdrant_static.cli.reporting import reported


@reported
def command(
    collection: Annotated[str, typer.Argument(help="The collection's name.")],
    db: Db = DEFAULT_DB,
    state: State = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="At most so many runs.")] = 10,
    as_json: Json = False,
) -> None:
    """List past runs of a collection, the last one first.

    When they began and ended, how, their sums and their rejects. They are read from the ledger,
    also while a job is running; the collection is not opened.
    """
    from qdrant_static import connect
    from qdrant_static.ingest.accounting.history import past_runs
    from qdrant_static.ingest.accounting.state import default_state

    with closing(connect(db)) as client:
        folder = default_state(client, collection) if state is None else Path(state).expanduser()
    found = past_runs(folder / "ledger.sqlite", limit=limit)
    if as_json:
        typer.echo(json.dumps([one.to_dict() for one in found], indent=2))
    else:
        typer.echo("\n".join(map(str, found)) or "no runs")
