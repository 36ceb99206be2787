"""``qdrant-static ship``: a collection that was built here -> a server, indexes included."""

from __future__ import annotations

import json
import sys
from contextlib import closing
from typing import Annotated

import typer

from qdrant_static.cli.buildoptions import Alias, DiscardUnfinished, MaxMbS, Replicas, Untested
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
        str, typer.Argument(help="Its name in the folder.", metavar="COLLECTION")
    ],
    to: Annotated[str, typer.Option("--to", help="The server's URL.", metavar="URL")],
    db: Annotated[
        str, typer.Option("--db", help="The folder that holds it.", metavar="FOLDER")
    ] = DEFAULT_DB,
    name: Annotated[
        str | None,
        typer.Option("--as", help="Its name on the server. [default: the same]", metavar="NAME"),
    ] = None,
    alias: Alias = None,
    replicas: Replicas = None,
    peer: Peer = None,
    parallel: Annotated[int, typer.Option(min=1, help="Shards that are sent at a time.")] = 2,
    sample: Annotated[
        int, typer.Option(min=1, help="Points of each shard that are compared whole.")
    ] = 100,
    max_mb_s: MaxMbS = None,
    untested: Untested = False,
    discard_unfinished: DiscardUnfinished = False,
    api_key: ApiKey = None,
    timeout: Timeout = DEFAULT_TIMEOUT,
    as_json: Json = False,
) -> None:
    """Make an embedded collection a server's.

    It comes with its indexes: the server indexes nothing. What arrives is proved before any alias
    points at it: counts, ids, vectors, payloads, indexes, and that edits take. Exit code 4: a proof
    failed, and nothing is left behind. Repeat the command after an interruption.
    """
    from qdrant_static.shipping.push import ship

    peers = peers_of(peer)
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
            alias=alias,
            replicas=replicas,
            peers=peers or None,
            parallel=parallel,
            sample=sample,
            max_mb_s=max_mb_s or 0.0,
            untested=untested,
            discard_unfinished=discard_unfinished,
            progress=shown,
        )
    typer.echo(json.dumps(shipment.to_dict(), indent=2) if as_json else str(shipment))
