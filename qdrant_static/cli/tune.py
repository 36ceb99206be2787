"""``qdrant-static tune``: finds the cheapest search plan that is good enough."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from qdrant_static.cli.fieldoptions import listed
from qdrant_static.cli.options import DEFAULT_DB, ApiKey, Db, Json, plan_of
from qdrant_static.cli.reporting import REFUSED, reported, show_result


@reported
def command(
    collection: Annotated[str, typer.Argument(help="The collection's name.", metavar="COLLECTION")],
    db: Db = DEFAULT_DB,
    target_recall: Annotated[
        float,
        typer.Option(help="Minimum recall@n against exact search, with 95% confidence."),
    ] = 0.99,
    k: Annotated[int, typer.Option("--limit", "-n", min=1, help="The n of recall@n.")] = 10,
    queries: Annotated[
        str | None,
        typer.Option(
            help="Real queries: JSON Lines with 'text', or plain text with one query per line. "
            "[default: vectors of points]",
            metavar="FILE",
        ),
    ] = None,
    sample: Annotated[
        int,
        typer.Option(
            min=1, help="Number of queries that choose the plan; half as many others check it."
        ),
    ] = 500,
    judged: Annotated[
        str | None,
        typer.Option(
            help="A judged data set in BEIR's format whose corpus the collection holds: tunes "
            "NDCG.",
            metavar="FOLDER",
        ),
    ] = None,
    plan: Annotated[
        str | None,
        typer.Option(
            help="The plan to start from: its kind is kept. [default: the collection's own]"
        ),
    ] = None,
    condition: Annotated[
        list[str] | None,
        typer.Option(
            "--filter",
            metavar="CONDITION",
            help="A condition on the hits of all queries, such as 'year>=2000 and lang=en,de', or "
            "Qdrant's own JSON. Repeatable: all must hold.",
        ),
    ] = None,
    cost: Annotated[
        str, typer.Option(help="Cost of a plan: time (measured here), or bytes (that it reads).")
    ] = "time",
    budget: Annotated[float, typer.Option(help="Time limit, in seconds.")] = 300.0,
    encoder: Annotated[
        str | None,
        typer.Option(
            help="Where the encoder of the queries is, if it has moved; for a collection made "
            "without qdrant-static and --queries, the encoder that filled it."
        ),
    ] = None,
    vector: Annotated[
        str | None,
        typer.Option(
            help="The dense vector, for a collection made without qdrant-static; '' is the unnamed "
            "one.",
            show_default=False,
        ),
    ] = None,
    text: Annotated[
        str | None,
        typer.Option(
            help="The payload fields of the text, for a collection made without qdrant-static.",
            metavar="A,B",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Measure and recommend, but store nothing.")
    ] = False,
    api_key: ApiKey = None,
    as_json: Json = False,
) -> None:
    """Measure search plans and make the best one the default.

    Measures on the collection's own data. The cheapest plan that finds what exact search finds
    becomes the collection's default, stored with the evidence. Exit code 4: no plan was shown to
    reach the target, and nothing was stored.
    """
    from qdrant_static import connect, load_encoder
    from qdrant_static import tune as run
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
    show_result(report, as_json=as_json)
    if not report.reached:
        raise typer.Exit(REFUSED)
