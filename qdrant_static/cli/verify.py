"""``qdrant-static verify``: is everything in?"""

from __future__ import annotations

import json
from typing import Annotated

import typer

from qdrant_static.cli.options import DEFAULT_DB, ApiKey, Db, Json, State
from qdrant_static.cli.reporting import reported


@reported
def command(
    collection: Annotated[str, typer.Argument(help="Its name.")],
    db: Db = DEFAULT_DB,
    state: State = None,
    sample: Annotated[int, typer.Option(min=0, help="Payloads to compare.")] = 1000,
    repair: Annotated[
        bool,
        typer.Option("--repair", help="Have the next ingest --sync store again what is missing."),
    ] = False,
    anew: Annotated[
        bool,
        typer.Option("--anew", help="Make a ledger that was lost from the collection first."),
    ] = False,
    api_key: ApiKey = None,
    as_json: Json = False,
) -> None:
    """Compare a collection with its ledger.

    What is missing is named; exit code 1 if anything is. Input that a run could not read, and no
    run has read since, is missing too. Every point is looked up; of some, chosen by chance, the
    payload is compared.
    """
    from qdrant_static import connect
    from qdrant_static.ingestion.verify import verify

    client = connect(db, api_key=api_key)
    try:
        found = verify(client, collection, state=state, sample=sample, repair=repair, anew=anew)
    finally:
        client.close()
    typer.echo(json.dumps(found.to_dict(), indent=2) if as_json else str(found))
    if not found.is_sound:
        raise typer.Exit(1)
