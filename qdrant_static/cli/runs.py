"""``qdrant-static runs``: lists past runs of a collection."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qdrant_static import rules
from qdrant_static.cli.options import DEFAULT_DB, ApiKey, Db, Json, State
from qdrant_static.cli.reporting import reported

if TYPE_CHECKING:
    from qdrant_static.clients.connect import Client


@reported
def command(
    collection: Annotated[
        str, typer.Argument(help="The collection's name, or an alias.", metavar="COLLECTION")
    ],
    db: Db = DEFAULT_DB,
    state: State = None,
    api_key: ApiKey = None,
    limit: Annotated[
        int, typer.Option("--limit", "-n", min=1, help="Maximum number of runs.")
    ] = 10,
    as_json: Json = False,
) -> None:
    """List past runs of a collection, newest first.

    Shows when and how each ended, its sums and its rejects. They are read from the ledger, also
    while a job is running; the collection is not opened.
    """
    from qdrant_static import connect
    from qdrant_static.clients.statefolder import default_state
    from qdrant_static.ledger.history import past_runs

    if state is not None:
        folder = Path(rules.location("--state", state)).expanduser()
    else:
        with closing(connect(db, api_key=api_key)) as client:
            folder = default_state(client, collection)  # jobs may have been given an alias
            if not (folder / "ledger.sqlite").exists():
                folder = default_state(client, _behind(client, collection))
    past = past_runs(folder / "ledger.sqlite", limit=limit)
    if as_json:
        typer.echo(json.dumps([run.to_dict() for run in past], indent=2))
    else:
        typer.echo("\n".join(map(str, past)) or "no runs")


def _behind(client: Client, name: str) -> str:
    """Return the target of an alias; the name itself if the server does not answer."""
    from qdrant_static.clients.aliases import resolve_alias

    try:
        return resolve_alias(client, name)
    except Exception as error:  # the ledgers are here, even if the server is unreachable
        typer.echo(f"cannot look up whether {name!r} is an alias: {error}", err=True)
        return name
