"""``qdrant-static migrate adopt|add-vector``: changes of a collection without a new generation."""

from __future__ import annotations

import json
from contextlib import closing
from typing import Annotated

import typer

from qdrant_static.cli.options import DEFAULT_DB, ApiKey, Db, Json, Yes
from qdrant_static.cli.reporting import confirm, reported, show_result


@reported
def adopt(
    collection: Annotated[
        str, typer.Argument(help="A collection without an alias.", metavar="COLLECTION")
    ],
    db: Db = DEFAULT_DB,
    as_name: Annotated[
        str | None, typer.Option("--as", help="Create this alias for it.", metavar="NAME")
    ] = None,
    keep_name: Annotated[
        bool,
        typer.Option("--keep-name", help="Copy it, and make its own name an alias of the copy."),
    ] = False,
    yes: Yes = False,
    api_key: ApiKey = None,
    as_json: Json = False,
) -> None:
    """Put an alias in front of a collection that has none. Without an option, list the ways."""
    from qdrant_static import connect
    from qdrant_static.errors import ArgumentError
    from qdrant_static.migration import adopt as adopting

    if as_name and keep_name:
        raise ArgumentError(field="adopt", problem="give --as NAME or --keep-name, not both")
    with closing(connect(db, api_key=api_key)) as client:
        if as_name:
            show_result(adopting.adopt_as(client, collection, as_name), as_json=as_json)
        elif keep_name:
            question = f"Copy {collection!r}, then delete it? Nothing may write to it meanwhile."
            confirm(question, yes=yes)
            show_result(adopting.keep_name(client, collection), as_json=as_json)
        else:
            typer.echo(adopting.describe_choices(client, collection))


@reported
def add_vector(
    collection: Annotated[
        str, typer.Argument(help="A collection or an alias.", metavar="COLLECTION")
    ],
    vector: Annotated[
        str, typer.Argument(help="The vector to add: mrl_<size>, or bm25.", metavar="VECTOR")
    ],
    db: Db = DEFAULT_DB,
    api_key: ApiKey = None,
    as_json: Json = False,
) -> None:
    """Add a vector of the same encoder to a live collection.

    It is added in place, and filled from what the collection holds.
    """
    from dataclasses import asdict

    from qdrant_static import connect
    from qdrant_static.migration.addvector import add_vector as add

    with closing(connect(db, api_key=api_key)) as client:
        added = add(client, collection, vector)
    typer.echo(json.dumps(asdict(added), indent=2) if as_json else str(added))
