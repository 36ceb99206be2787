"""``qdrant-static runs``: what past jobs of a collection did."""

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
    collection: Annotated[str, typer.Argument(help="The collection's name, or an alias.")],
    db: Db = DEFAULT_DB,
    state: State = None,
    api_key: ApiKey = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="At most so many runs.")] = 10,
    as_json: Json = False,
) -> None:
    """List past runs of a collection, the last one first.

    When they began and ended, how, their sums and their rejects. They are read from the ledger,
    also while a job is running; the collection is not opened.
    """
    from qdrant_static import connect
    from qdrant_static.clients.statefolder import default_state
    from qdrant_static.ledger.history import past_runs

    if state is not None:
        folder = Path(rules.location("--state", state)).expanduser()
    else:
        with closing(connect(db, api_key=api_key)) as client:
            folder = default_state(client, collection)  # of jobs that name it so, alias or not
            if not (folder / "ledger.sqlite").exists():
                folder = default_state(client, _behind(client, collection))
    found = past_runs(folder / "ledger.sqlite", limit=limit)
    if as_json:
        typer.echo(json.dumps([one.to_dict() for one in found], indent=2))
    else:
        typer.echo("\n".join(map(str, found)) or "no runs")


def _behind(client: Client, name: str) -> str:
    """The collection that a name stands for; the name itself where nobody can be asked."""
    from qdrant_static.clients.aliases import target_of

    try:
        return target_of(client, name)
    except Exception as error:  # a server that is away, whose ledgers are here all the same
        typer.echo(f"whether {name!r} is an alias is not known: {error}", err=True)
        return name
