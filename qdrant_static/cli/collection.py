"""``qdrant-static collection show|diff|apply``: what a collection is, and what it should be."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qdrant_static.cli.options import DEFAULT_DB, ApiKey, Db, Json
from qdrant_static.cli.reporting import reported

if TYPE_CHECKING:
    from qdrant_static.clients.connect import Client
    from qdrant_static.collection.spec import CollectionSpec

app = typer.Typer(
    help="Show a collection's spec, compare it, or change it.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
#: What `diff` exits with where something differs: a gate refused.
DIFFERS = 4

Name = Annotated[str, typer.Argument(help="The collection's name.", metavar="COLLECTION")]
Spec = Annotated[
    Path,
    typer.Option(
        "--spec", help="A TOML file, as `show` prints it or in the short form.", metavar="FILE"
    ),
]


@app.command("show")
@reported
def show(
    collection: Name, db: Db = DEFAULT_DB, api_key: ApiKey = None, as_json: Json = False
) -> None:
    """Print a collection's spec as TOML.

    Of a collection that others made, it shows what the engine knows.
    """
    from qdrant_static import connect
    from qdrant_static.collection.foreign import carried_spec, foreign_spec
    from qdrant_static.collection.specfile import to_toml

    with closing(connect(db, api_key=api_key)) as client:
        spec = carried_spec(client, collection)
        if spec is None or not spec.planned:
            spec = foreign_spec(client, collection)
    text = json.dumps(spec.to_dict(), indent=2) if as_json else to_toml(spec).rstrip()
    typer.echo(text)


@app.command("diff")
@reported
def diff(
    collection: Name,
    spec: Spec,
    db: Db = DEFAULT_DB,
    api_key: ApiKey = None,
    as_json: Json = False,
) -> None:
    """Compare a collection with a spec.

    Tells what differs and what it takes to change that; changes nothing. Exits with 0 if nothing
    differs, else with 4.
    """
    from qdrant_static import connect
    from qdrant_static.collection.diff import diff as compare

    with closing(connect(db, api_key=api_key)) as client:
        found = compare(client, collection, _spec(client, collection, spec))
    typer.echo(json.dumps(found.to_dict(), indent=2) if as_json else str(found))
    if found:
        raise typer.Exit(DIFFERS)


@app.command("apply")
@reported
def apply(
    collection: Name,
    spec: Spec,
    db: Db = DEFAULT_DB,
    api_key: ApiKey = None,
    as_json: Json = False,
) -> None:
    """Make a live collection what a spec says.

    As far as that needs no migration. If anything needs one, nothing is changed.
    """
    from qdrant_static import connect
    from qdrant_static.collection.create import read_spec
    from qdrant_static.collection.diff import apply as change
    from qdrant_static.collection.diff import diff as compare
    from qdrant_static.measuring.assess import assess
    from qdrant_static.measuring.ownvectors import settle
    from qdrant_static.querying.filters import index_warnings

    with closing(connect(db, api_key=api_key)) as client:
        found = compare(client, collection, _spec(client, collection, spec))
        change(client, collection, found, say=lambda line: typer.echo(line, err=True))
        if found:
            settle(client, collection)
        if found.changes_layout:
            measured = assess(client, collection, read_spec(client, collection), by="apply")
            for line in [] if measured is None else measured.lines():
                typer.echo(line, err=True)
        for warning in index_warnings(client, collection):
            typer.echo(f"warning: {warning}", err=True)
    typer.echo(json.dumps(found.to_dict(), indent=2) if as_json else str(found))


def _spec(client: Client, collection: str, path: Path) -> CollectionSpec:
    """The file's spec; the short form names no encoder, and takes the collection's."""
    from qdrant_static.collection.create import read_spec
    from qdrant_static.collection.specfile import read_spec_file

    return read_spec_file(path, encoder=read_spec(client, collection).encoder)
