"""``qdrant-static pull``: a collection of a server -> a folder, indexes included."""

from __future__ import annotations

import sys
from contextlib import closing
from typing import Annotated, Any

import typer

from qdrant_static.cli.fieldoptions import expanded
from qdrant_static.cli.options import BUILD, DEFAULT_DB, DEFAULT_TIMEOUT, ApiKey, Json, Timeout
from qdrant_static.cli.reporting import reported, show_result
from qdrant_static.cli.transfer import folder, server_at


@reported
@expanded(peers=BUILD.only("peers"))
def command(
    collection: Annotated[
        str, typer.Argument(help="Its name on the server, or an alias.", metavar="COLLECTION")
    ],
    source: Annotated[str, typer.Option("--from", help="The server's URL.", metavar="URL")],
    peers: dict[str, Any],
    db: Annotated[
        str, typer.Option("--db", help="The folder to copy it to.", metavar="FOLDER")
    ] = DEFAULT_DB,
    name: Annotated[
        str | None,
        typer.Option("--as", help="Its name in the folder. [default: the same]", metavar="NAME"),
    ] = None,
    shard: Annotated[
        list[int] | None,
        typer.Option(help="Only this shard; repeatable. [default: all]", metavar="N"),
    ] = None,
    untested: Annotated[
        bool,
        typer.Option("--untested", help="Allow a server of a version that was not tested."),
    ] = False,
    api_key: ApiKey = None,
    timeout: Timeout = DEFAULT_TIMEOUT,
    as_json: Json = False,
) -> None:
    """Copy a server's collection into a folder.

    It includes the indexes: nothing is indexed again. The server is only read. A collection that
    exists in the folder is refused; a command that fails or is interrupted leaves nothing there.
    """
    from qdrant_static.shipping.pull import pull

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
            untested=untested,
            progress=shown,
            **peers,
        )
    show_result(pulled, as_json=as_json)
