"""``qdrant-static train pairs``: fits a static model to queries and their passages."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from qdrant_static.cli.fieldoptions import FieldOptions, expanded
from qdrant_static.cli.options import Json
from qdrant_static.cli.reporting import reported, show_result
from qdrant_static.training.pairoptions import PairOptions

PAIRS = FieldOptions(kind=PairOptions)


@reported
@expanded(options=PAIRS)
def command(
    pairs: Annotated[
        str,
        typer.Argument(
            help="Queries and passages: JSON Lines or Parquet with the columns query, passage and "
            "negatives (or anchor, positive, negative_1, ...).",
            metavar="PAIRS",
        ),
    ],
    encoder: Annotated[str, typer.Option(help="The static model to start from.")],
    out: Annotated[str, typer.Option(help="The folder of the model.", metavar="FOLDER")],
    options: dict[str, Any],
    sizes: Annotated[
        str | None,
        typer.Option(
            "--matryoshka", help="Sizes that count besides the full one: 128,64.", metavar="SIZES"
        ),
    ] = None,
    query_table: Annotated[
        bool,
        typer.Option(
            "--query-table",
            help="Fit a table of its own for queries; the documents' is written beside it.",
        ),
    ] = False,
    documents: Annotated[
        str | None,
        typer.Option(
            help="Encoder that the documents keep, of the same dimension: only the queries' table "
            "is fitted. [default: documents are fitted, too]",
            metavar="ENCODER",
        ),
    ] = None,
    judged: Annotated[
        str | None,
        typer.Option(
            help="A judged data set in BEIR's format: pairs with one of its test queries are an "
            "error.",
            metavar="FOLDER",
        ),
    ] = None,
    leave_out_judged: Annotated[
        bool, typer.Option("--leave-out-judged", help="Leave such pairs out instead.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Fit a static model to queries and their passages.

    A query's passage is ranked before those of all other queries, and before its hard negatives
    (`train mine` finds some). Some queries are kept aside: the epoch that ranks them best is kept.
    """
    from qdrant_static.cli import ingest
    from qdrant_static.training.pairs import fit_pairs

    fit = fit_pairs(
        encoder,
        pairs,
        out=out,
        sizes=ingest.sizes(sizes),
        query_table=query_table,
        documents=documents,
        options=PairOptions(**options),
        judged=judged,
        leave_out_judged=leave_out_judged,
        progress=sys.stderr.isatty() or not as_json,
    )
    show_result(fit, as_json=as_json)
