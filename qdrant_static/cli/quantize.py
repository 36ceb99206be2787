"""``qdrant-static quantize``: quantizes a live collection if searches still find enough."""

from __future__ import annotations

from typing import Annotated

import typer

from qdrant_static.cli.fieldoptions import listed
from qdrant_static.cli.options import DEFAULT_DB, ApiKey, Db, Json
from qdrant_static.cli.reporting import REFUSED, reported, show_result
from qdrant_static.errors import ArgumentError


@reported
def command(
    collection: Annotated[
        str,
        typer.Argument(
            help="The collection's name; it may be made without qdrant-static.",
            metavar="COLLECTION",
        ),
    ],
    db: Db = DEFAULT_DB,
    quantization: Annotated[
        str,
        typer.Option(help="auto (by size), binary, binary2, int8, turbo4, turbo2, ... or none."),
    ] = "auto",
    vector: Annotated[
        str | None,
        typer.Option(
            help="The dense vector, '' for the unnamed one. [default: the only one, or full]",
            show_default=False,
        ),
    ] = None,
    target_recall: Annotated[
        float,
        typer.Option(
            help="Minimum recall@10 against exact search; below it, the codes are removed again."
        ),
    ] = 0.97,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Change nothing; predict from a sample.")
    ] = False,
    bm25: Annotated[
        bool, typer.Option("--bm25", help="Also add BM25, from the payload fields of --text.")
    ] = False,
    text: Annotated[
        str | None,
        typer.Option(help="Payload fields of the text. [default: as ingested]", metavar="A,B"),
    ] = None,
    language: Annotated[
        str | None,
        typer.Option(help="Language of BM25's stop words and stemming. [default: english]"),
    ] = None,
    api_key: ApiKey = None,
    as_json: Json = False,
) -> None:
    """Quantize a live collection, and measure what it costs.

    Recall is measured before and after, and the codes are kept only if it stays high enough. Exit
    code 4: it did not, and the collection is as it was.
    """
    from qdrant_static import connect
    from qdrant_static.collection.foreign import carried_spec
    from qdrant_static.collection.vectorspec import SparseSpec
    from qdrant_static.measuring.quantize import quantize

    if not bm25 and (text or language):
        raise ArgumentError(field="--text, --language", problem="are for --bm25")
    client = connect(db, api_key=api_key)
    try:
        fields = listed(text) or ()
        if bm25 and not fields:
            carried = carried_spec(client, collection)
            fields = carried.fields.all_columns if carried is not None else ()
            if not fields:
                raise ArgumentError(field="--text", problem="name the payload fields of the text")
        report = quantize(
            client,
            collection,
            quantization=quantization,
            vector=vector,
            target_recall=target_recall,
            text=fields,
            sparse=SparseSpec(language=language) if language else None,
            dry_run=dry_run,
            notify=lambda message: typer.echo(message, err=True),
        )
    finally:
        client.close()
    show_result(report, as_json=as_json)
    if not report.reached and quantization != "none":
        raise typer.Exit(REFUSED)
