"""``qdrant-static verify``: compares a collection with its ledger."""

from __future__ import annotations

from typing import Annotated

import typer

from qdrant_static.cli.options import DEFAULT_DB, ApiKey, Db, Json, State
from qdrant_static.cli.reporting import reported, show_result


@reported
def command(
    collection: Annotated[str, typer.Argument(help="The collection's name.", metavar="COLLECTION")],
    db: Db = DEFAULT_DB,
    state: State = None,
    sample: Annotated[
        int, typer.Option(min=0, help="Number of points whose payloads are compared.")
    ] = 1000,
    repair: Annotated[
        bool,
        typer.Option("--repair", help="Make the next ingest --sync store again what is missing."),
    ] = False,
    anew: Annotated[
        bool,
        typer.Option("--anew", help="First rebuild a lost ledger from the collection."),
    ] = False,
    api_key: ApiKey = None,
    as_json: Json = False,
) -> None:
    """Compare a collection with its ledger.

    Looks up every point of the ledger, and compares the payloads of a random sample. Names what is
    missing, which includes input that no run could read; exit code 1 if anything is.
    """
    from qdrant_static import connect
    from qdrant_static.ingestion.verify import verify

    client = connect(db, api_key=api_key)
    try:
        found = verify(client, collection, state=state, sample=sample, repair=repair, anew=anew)
    finally:
        client.close()
    show_result(found, as_json=as_json)
    if not found.is_sound:
        raise typer.Exit(1)
