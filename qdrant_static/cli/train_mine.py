"""``qdrant-static train mine``: mines hard negatives from a collection."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from qdrant_static.cli.fieldoptions import FieldOptions, expanded
from qdrant_static.cli.options import DEFAULT_DB, ApiKey, Db, Json, plan_of
from qdrant_static.cli.reporting import reported, show_result
from qdrant_static.training.pairoptions import MiningOptions

MINING = FieldOptions(kind=MiningOptions)


@reported
@expanded(options=MINING)
def command(
    collection: Annotated[str, typer.Argument(help="The collection's name.", metavar="COLLECTION")],
    pairs: Annotated[
        str,
        typer.Argument(
            help="Queries and passages: JSON Lines or Parquet with the columns query and passage "
            "(or anchor and positive).",
            metavar="PAIRS",
        ),
    ],
    out: Annotated[str, typer.Option(help="The file to write; of the format pylate, the folder.")],
    options: dict[str, Any],
    db: Db = DEFAULT_DB,
    form: Annotated[
        str,
        typer.Option(
            "--format", help="Format of the result: pairs, sentence-transformers or pylate."
        ),
    ] = "pairs",
    teacher: Annotated[
        str | None,
        typer.Option(
            help="Encoder whose scores find false negatives. [default: the collection's]",
            metavar="ENCODER",
        ),
    ] = None,
    plan: Annotated[
        str | None, typer.Option(help="Plan of the searches. [default: the collection's]")
    ] = None,
    encoder: Annotated[
        str | None, typer.Option(help="Where the collection's encoder is, if it has moved.")
    ] = None,
    api_key: ApiKey = None,
    as_json: Json = False,
) -> None:
    """Mine hard negatives and a teacher's scores for pairs.

    The collection is searched for each query. Hits that the teacher scores about as high as the
    query's passage are left out, since they probably answer the query too; the next ones are the
    hard negatives.
    """
    from qdrant_static import connect
    from qdrant_static.training.mining import mine_negatives

    client = connect(db, api_key=api_key)
    try:
        report = mine_negatives(
            client,
            collection,
            pairs,
            out=out,
            teacher=teacher,
            form=form,
            plan=None if plan is None else plan_of(plan),
            encoder=encoder,
            options=MiningOptions(**options),
            progress=sys.stderr.isatty() or not as_json,
        )
    finally:
        client.close()
    show_result(report, as_json=as_json)
