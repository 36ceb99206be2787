"""``qdrant-static train make-pairs``: makes queries of titles, headings and sentences."""

from __future__ import annotations

from typing import Annotated

import typer

from qdrant_static.cli.fieldoptions import listed
from qdrant_static.cli.options import DEFAULT_DB, ApiKey, Db, Json
from qdrant_static.cli.reporting import reported, show_result


@reported
def command(
    out: Annotated[str, typer.Option(help="The file to write (JSON Lines).", metavar="FILE")],
    paths: Annotated[
        list[str] | None,
        typer.Argument(
            help="Parquet, JSONL, CSV and Arrow files, folders, globs. [default: a collection]",
            metavar="PATH",
            show_default=False,
        ),
    ] = None,
    text: Annotated[
        str | None,
        typer.Option(
            help="Columns of the text, the title's first. [default: title and text, as far as "
            "they exist]",
            metavar="A,B",
        ),
    ] = None,
    kinds: Annotated[
        str,
        typer.Option(
            help="What becomes a query, of these, or first: the first sentence alone.",
            metavar="A,B",
        ),
    ] = "title,heading,sentence",
    collection: Annotated[
        str | None,
        typer.Option(
            "--collection", "-c", help="The collection whose texts are taken.", show_default=False
        ),
    ] = None,
    db: Db = DEFAULT_DB,
    api_key: ApiKey = None,
    as_json: Json = False,
) -> None:
    """Make pairs of queries and passages from texts alone.

    A title is a query of the text below it, a Markdown heading of its section, a sentence of the
    rest of the text. `train pairs` and `train mine` take the result.
    """
    from qdrant_static import SourceOptions, connect
    from qdrant_static.errors import ArgumentError
    from qdrant_static.training.madepairs import MadePairs

    chosen = listed(kinds) or ()
    if bool(paths) == (collection is not None):
        raise ArgumentError(field="paths", problem="name either files or a --collection")
    if collection is None:
        options = None if text is None else SourceOptions(text=listed(text) or ())
        made = MadePairs.read(paths, source_options=options, kinds=chosen)
    else:
        client = connect(db, api_key=api_key)
        try:
            made = MadePairs.read_collection(client, collection, kinds=chosen)
        finally:
            client.close()
    made.write(out)
    show_result(made, as_json=as_json)
