"""``qdrant-static pull``: a server's collection -> a folder, indexes included."""

from __future__ import annotations

import json
import sys
from contextlib import closing
from typing import Annotated

import typer

from qdrant_static.cli.options import (
    DEFAULT_DB,
    DEFAULT_TIMEOUT,
    ApiKey,
    Json,
    Peer,
    Timeout,
    peers_of,
)
from qdrant_static.cli.reporting import reported
from qdrant_static.cli.transfer import folder, server_at


@reported
def command(
    collection: Annotated[
        str, typer.Argument(help="Its name on the server, or an alias.", metavar="COLLECTION")
    ],
    source: Annotated[str, typer.Option("--from", help="The server's URL.", metavar="URL")],
    db: Annotated[
        str, typer.Option("--db", help="The folder that it comes into.", metavar="FOLDER")
    ] = DEFAULT_DB,
    name: Annotated[
        str | None,
        typer.Option("--as", help="Its name in the folder. [default: the same]", metavar="NAME"),
    ] = None,
    shard: Annotated[
        list[int] | None,
        typer.Option(help="Only this shard; repeatable. [default: all]", metavar="N"),
    ] = None,
    peer: Peer = None,
    untested: Annotated[
        bool,
        typer.Option("--untested", help="Pull also from a version that was never tried."),
    ] = False,
    api_key: ApiKey = None,
    timeout: Timeout = DEFAULT_TIMEOUT,
    as_json: Json = False,
) -> None:
    """Make a server's collection an embedded one.

    It comes with its indexes: nothing is built anew. The server is only read. A collection that is
    in the folder already is refused, and what ends the command sooner leaves nothing there.
    """
    from qdrant_static.shipping.pull import pull

    peers = peers_of(peer)
    shown = sys.stderr.isatty() or not as_json
    with (
        closing(folder(db, "--db")) as local,
        closing(server_at(source, "--from", api_key, timeout)) as server,
    ):
        pulled = pull(
            server,
            collection,
            local,
            name=name,
            shards=shard or None,
            peers=peers or None,
            untested=untested,
            progress=shown,
        )
    typer.echo(json.dumps(pulled.to_dict(), indent=2) if as_json else str(pulled))
