"""``qdrant-static collections|show|diff|apply|delete``: collections and their specs."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qdrant_static import rules
from qdrant_static.cli.cells import padded, width
from qdrant_static.cli.options import DEFAULT_DB, ApiKey, Db, Json, State, Yes
from qdrant_static.cli.reporting import REFUSED, fail, reported, show_result

if TYPE_CHECKING:
    from qdrant_static.clients.connect import Client
    from qdrant_static.collection.spec import CollectionSpec

Name = Annotated[str, typer.Argument(help="The collection's name.", metavar="COLLECTION")]
Spec = Annotated[
    Path,
    typer.Option(
        "--spec", help="A TOML file, as `show` prints it or in the short form.", metavar="FILE"
    ),
]
_HEADS = ("collection", "alias", "encoder", "created", "rows", "size", "migration")


@reported
def list_(db: Db = DEFAULT_DB, api_key: ApiKey = None, as_json: Json = False) -> None:
    """List all collections.

    Shows the aliases, encoder, time of creation, rows, size and migration of each.
    """
    from qdrant_static import connect
    from qdrant_static.migration.catalog import list_collections

    with closing(connect(db, api_key=api_key)) as client:
        found = list_collections(client)
    if as_json:
        typer.echo(json.dumps([line.to_dict() for line in found], indent=2))
        return
    rows = [
        (
            line.name,
            ", ".join(line.aliases) or "-",
            line.encoder or "-",
            line.created or "-",
            "in use" if line.rows is None else f"{line.rows:,}",
            "-" if line.disk_bytes is None else f"{line.disk_bytes / 1e6:,.0f} MB",
            line.migration or "-",
        )
        for line in found
    ]
    widths = [max(width(row[column]) for row in [_HEADS, *rows]) for column in range(len(_HEADS))]
    for row in [_HEADS, *rows]:
        cells = (padded(cell, room) for cell, room in zip(row, widths, strict=True))
        typer.echo("  ".join(cells).rstrip())


@reported
def show(
    collection: Name, db: Db = DEFAULT_DB, api_key: ApiKey = None, as_json: Json = False
) -> None:
    """Print a collection's spec as TOML.

    For a collection that was made without this package, it shows what the engine reports.
    """
    from qdrant_static import connect
    from qdrant_static.collection.foreign import described_spec
    from qdrant_static.collection.specfile import spec_to_toml

    with closing(connect(db, api_key=api_key)) as client:
        spec = described_spec(client, collection)
    typer.echo(json.dumps(spec.to_dict(), indent=2) if as_json else spec_to_toml(spec).rstrip())


@reported
def diff(
    collection: Name,
    spec: Spec,
    db: Db = DEFAULT_DB,
    api_key: ApiKey = None,
    as_json: Json = False,
) -> None:
    """Compare a collection with a spec.

    Prints what differs and what it takes to change that; changes nothing. Exit code 0 if nothing
    differs, else 4.
    """
    from qdrant_static import connect
    from qdrant_static.collection.diff import diff as compare

    with closing(connect(db, api_key=api_key)) as client:
        found = compare(client, collection, _spec(client, collection, spec))
    show_result(found, as_json=as_json)
    if found:
        raise typer.Exit(REFUSED)


@reported
def apply(
    collection: Name,
    spec: Spec,
    db: Db = DEFAULT_DB,
    api_key: ApiKey = None,
    as_json: Json = False,
) -> None:
    """Change a live collection to match a spec.

    Only what needs no migration can be changed: if anything needs one, nothing is changed.
    """
    from qdrant_static import connect
    from qdrant_static.clients.indexing import wait_until_indexed
    from qdrant_static.collection.applydiff import apply as change
    from qdrant_static.collection.create import read_spec
    from qdrant_static.collection.diff import diff as compare
    from qdrant_static.measuring.assess import assess
    from qdrant_static.querying.filters import index_warnings

    with closing(connect(db, api_key=api_key)) as client:
        found = compare(client, collection, _spec(client, collection, spec))
        change(client, collection, found, notify=lambda line: typer.echo(line, err=True))
        if found:
            wait_until_indexed(client, collection)
        if found.changes_layout:
            measured = assess(client, collection, read_spec(client, collection), by="apply")
            for line in [] if measured is None else measured.lines():
                typer.echo(line, err=True)
        for warning in index_warnings(client, collection):
            typer.echo(f"warning: {warning}", err=True)
    show_result(found, as_json=as_json)


@reported
def delete(
    collection: Name,
    db: Db = DEFAULT_DB,
    state: State = None,
    yes: Yes = False,
    keep_state: Annotated[
        bool, typer.Option("--keep-state", help="Keep its ledger, rejects files and manifests.")
    ] = False,
    api_key: ApiKey = None,
) -> None:
    """Delete a collection and the files of its jobs.

    These are its ledger, rejects files and manifests. Refused while an alias points at it, while a
    migration needs it, and while a job or another process has it open.
    """
    from qdrant_static import connect
    from qdrant_static.migration.catalog import check_deletable, delete_collection

    with closing(connect(db, api_key=api_key)) as client:
        folder = None if state is None else Path(rules.location("--state", state)).expanduser()
        found = check_deletable(client, collection, state=folder)
        files = (
            "" if found.state is None or keep_state else f", and its jobs' files in {found.state}"
        )
        what = f"collection {collection!r} ({found.points:,} points){files}"
        if not yes:
            _confirm(f"Delete {what}?")
        state_deleted = delete_collection(client, collection, state=folder, keep_state=keep_state)
    typer.echo(f"deleted {what}")
    if not state_deleted:
        typer.echo(f"kept {found.state}")


def _confirm(question: str) -> None:
    try:
        agreed = typer.confirm(question, err=True)
    except typer.Abort:
        fail("there was no answer: nothing was deleted. Give --yes to delete without a question", 2)
    if not agreed:
        fail("nothing was deleted", 2)


def _spec(client: Client, collection: str, path: Path) -> CollectionSpec:
    """Read the file's spec; where the short form names no encoders it takes the collection's."""
    from qdrant_static.collection.create import read_spec
    from qdrant_static.collection.specfile import read_spec_file

    present = read_spec(client, collection)
    return read_spec_file(path, encoder=present.encoder, queries=present.queries)
