"""``qdrant-static tune``: which search plan is the cheapest that is good enough here."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

from qdrant_static.cli.options import DEFAULT_DB, ApiKey, Db, Json, listed
from qdrant_static.cli.reporting import REFUSED, reported


@reported
def command(
    collection: Annotated[str, typer.Argument(help="The collection's name.")],
    db: Db = DEFAULT_DB,
    target_recall: Annotated[
        float,
        typer.Option(
            help="Of the nearest by exact search, so many must be found, with 95% confidence."
        ),
    ] = 0.99,
    k: Annotated[int, typer.Option("--limit", "-n", min=1, help="Hits that count: recall@n.")] = 10,
    queries: Annotated[
        str | None,
        typer.Option(
            help="Real queries: JSON Lines with 'text', or one a line. [default: points ask]",
            metavar="FILE",
        ),
    ] = None,
    sample: Annotated[
        int, typer.Option(min=1, help="So many queries choose; half as many check.")
    ] = 500,
    judged: Annotated[
        str | None,
        typer.Option(
            help="A data set in BEIR's form whose corpus the collection holds: tunes NDCG.",
            metavar="FOLDER",
        ),
    ] = None,
    plan: Annotated[
        str | None,
        typer.Option(
            help="The plan to start from: its kind stays. [default: the collection's own]"
        ),
    ] = None,
    condition: Annotated[
        list[str] | None,
        typer.Option(
            "--filter",
            help="A condition that all queries have, such as 'year>=2000 and lang=en,de', or "
            "Qdrant's own JSON; several must all hold.",
        ),
    ] = None,
    cost: Annotated[
        str, typer.Option(help="What makes a plan cheap: time (measured here), or bytes (read).")
    ] = "time",
    budget: Annotated[float, typer.Option(help="Seconds that it may take.")] = 300.0,
    encoder: Annotated[
        str | None,
        typer.Option(
            help="The encoder of a collection that others made, for --queries; or where the "
            "collection's own is, if it has moved."
        ),
    ] = None,
    vector: Annotated[
        str | None,
        typer.Option(
            help="Of a collection that others made: which dense vector, '' for the unnamed one.",
            show_default=False,
        ),
    ] = None,
    text: Annotated[
        str | None, typer.Option(help="Likewise: the payload fields of the text, a,b.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Measure and recommend; store nothing.")
    ] = False,
    api_key: ApiKey = None,
    as_json: Json = False,
) -> None:
    """Measure search plans and make the best one the default.

    On the collection's own data: the cheapest plan that finds what exact search finds becomes the
    collection's own, with the evidence. Exit code 4: no plan was shown to reach the target, and
    nothing was stored.
    """
    from qdrant_static import connect, load_encoder
    from qdrant_static import tune as run
    from qdrant_static.cli.conditions import plan_of
    from qdrant_static.collection.foreign import carried_spec, foreign_spec
    from qdrant_static.errors import ArgumentError

    if cost not in ("time", "bytes"):
        raise ArgumentError.of_choice("--cost", cost, "time, bytes")
    client = connect(db, api_key=api_key)
    try:
        loaded = None if encoder is None else load_encoder(encoder)
        carried = carried_spec(client, collection)
        spec = None
        if carried is None or not carried.planned:
            spec = foreign_spec(
                client, collection, encoder=loaded, vector=vector, text=listed(text)
            )
        report = run(
            client,
            collection,
            target_recall=target_recall,
            k=k,
            queries=queries,
            sample=sample,
            judged=judged,
            plan=None if plan is None else plan_of(plan),
            filter=condition,
            cost="time" if cost == "time" else "bytes",
            budget_s=budget,
            spec=spec,
            encoder=loaded,
            store=not dry_run,
            progress=sys.stderr.isatty() or not as_json,
        )
    finally:
        client.close()
    typer.echo(json.dumps(report.to_dict(), indent=2) if as_json else str(report))
    if not report.reached:
        raise typer.Exit(REFUSED)
