"""``qdrant-static collections``: all of them, with aliases, generations and encoders."""

from __future__ import annotations

import json
from contextlib import closing

import typer

from qdrant_static.cli.cells import padded, width
from qdrant_static.cli.options import DEFAULT_DB, ApiKey, Db, Json
from qdrant_static.cli.reporting import reported

_HEADS = ("collection", "alias", "encoder", "created", "rows", "size", "migration")


@reported
def command(db: Db = DEFAULT_DB, api_key: ApiKey = None, as_json: Json = False) -> None:
    """List all collections.

    With their aliases, encoder, when they were made, rows, size and migrations.
    """
    from qdrant_static import connect
    from qdrant_static.migration.listing import list_collections

    with closing(connect(db, api_key=api_key)) as client:
        found = list_collections(client)
    if as_json:
        typer.echo(json.dumps([one.to_dict() for one in found], indent=2))
        return
    rows = [
        (
            one.name,
            ", ".join(one.aliases) or "-",
            one.encoder or "-",
            one.created or "-",
            "in use" if one.rows is None else f"{one.rows:,}",
            "-" if one.disk_bytes is None else f"{one.disk_bytes / 1e6:,.0f} MB",
            one.migration or "-",
        )
        for one in found
    ]
    widths = [max(width(row[column]) for row in [_HEADS, *rows]) for column in range(len(_HEADS))]
    for row in [_HEADS, *rows]:
        cells = (padded(cell, room) for cell, room in zip(row, widths, strict=True))
        typer.echo("  ".join(cells).rstrip())
