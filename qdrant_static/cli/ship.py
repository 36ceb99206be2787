"""``qdrant-static ship``: a collection of a folder -> a server, indexes included."""

from __future__ import annotations

import sys
from contextlib import closing
from typing import Annotated, Any

import typer

from qdrant_static.cli.fieldoptions import expanded
from qdrant_static.cli.options import BUILD, DEFAULT_DB, DEFAULT_TIMEOUT, ApiKey, Json, Timeout
from qdrant_static.cli.reporting import reported, show_result
from qdrant_static.cli.transfer import folder, server_at

#: The options that `ship` shares with an ingest that builds here.
_SHIPPING = BUILD.only("alias", "replicas", "peers", "max_mb_s", "untested", "discard_unfinished")


@reported
@expanded(shipping=_SHIPPING)
def command(
    collection: Annotated[
        str, typer.Argument(help="Its name in the folder.", metavar="COLLECTION")
    ],
    to: Annotated[str, typer.Option("--to", help="The server's URL.", metavar="URL")],
    shipping: dict[str, Any],
    db: Annotated[
        str, typer.Option("--db", help="The folder that holds it.", metavar="FOLDER")
    ] = DEFAULT_DB,
    name: Annotated[
        str | None,
        typer.Option("--as", help="Its name on the server. [default: the same]", metavar="NAME"),
    ] = None,
    workers: Annotated[
        int, typer.Option(min=1, help="Number of shards that are sent at the same time.")
    ] = 2,
    sample: Annotated[
        int,
        typer.Option(min=1, help="Number of points of each shard that are compared completely."),
    ] = 100,
    api_key: ApiKey = None,
    timeout: Timeout = DEFAULT_TIMEOUT,
    as_json: Json = False,
) -> None:
    """Copy an embedded collection to a server.

    It includes the indexes: the server indexes nothing. What arrives is checked before any alias
    points at it: counts, ids, vectors, payloads, indexes, and that it can be edited. Exit code 4: a
    check failed, and nothing is left behind. Repeat the command after an interruption.
    """
    from qdrant_static.shipping.push import ship

    shown = sys.stderr.isatty() or not as_json
    with (
        closing(folder(db, "--db")) as local,
        closing(server_at(to, "--to", api_key, timeout)) as server,
    ):
        shipment = ship(
            local,
            collection,
            server,
            name=name,
            workers=workers,
            sample=sample,
            progress=shown,
            **shipping,
        )
    show_result(shipment, as_json=as_json)
