"""``qdrant-static models list|show|add|use|remove``: the versions of models on this machine."""

from __future__ import annotations

import json
from contextlib import closing
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qdrant_static.cli.cells import padded, width
from qdrant_static.cli.options import ApiKey, Json
from qdrant_static.cli.reporting import reported

if TYPE_CHECKING:
    from qdrant_static.encoders.modelversions import ModelVersion

Models = Annotated[
    str | None,
    typer.Option(
        "--models",
        help="The models folder. [default: QDRANT_STATIC_MODELS, else "
        "~/.local/share/qdrant-static/models]",
        metavar="FOLDER",
        show_default=False,
    ),
]
Reference = Annotated[
    str, typer.Argument(help="A version: NAME@3, or NAME@current.", metavar="NAME@VERSION")
]
UsingDb = Annotated[
    str | None,
    typer.Option(
        "--db",
        help="Also look which collections were made with it: a directory, or a server's URL.",
        metavar="PLACE",
    ),
]
_HEADS = ("model", "in use", "dimension", "size", "added", "parent")

app = typer.Typer(
    help="Keep versions of models by name.\n\nWhere an encoder is named, NAME@3 is version 3 of a "
    "model, and NAME@current the one in use. A collection keeps the version it was made with.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command("list")
@reported
def list_(
    name: Annotated[
        str | None, typer.Argument(help="List this model only.", metavar="[NAME]")
    ] = None,
    models: Models = None,
    as_json: Json = False,
) -> None:
    """List all versions of all models."""
    from qdrant_static.encoders.modelversions import list_models, models_folder

    found = list_models(name, models=models)
    if as_json:
        typer.echo(json.dumps([one.to_dict() for one in found], indent=2))
        return
    if not found:
        typer.echo(f"no models in {models_folder(models)}")
        return
    rows = [
        (
            one.reference,
            "*" if one.current else "",
            str(one.dimension or "-"),
            f"{one.disk_bytes / 1e6:,.1f} MB",
            one.added or "-",
            str(one.card.get("parent") or "-"),
        )
        for one in found
    ]
    widths = [max(width(row[column]) for row in [_HEADS, *rows]) for column in range(len(_HEADS))]
    for row in [_HEADS, *rows]:
        cells = (padded(cell, room) for cell, room in zip(row, widths, strict=True))
        typer.echo("  ".join(cells).rstrip())


@app.command("show")
@reported
def show(
    reference: Reference,
    db: UsingDb = None,
    models: Models = None,
    api_key: ApiKey = None,
    as_json: Json = False,
) -> None:
    """Print what is known of a version.

    Its fingerprint, size, parent and corpus, how it was made, and what was measured.
    """
    from qdrant_static.encoders.modelversions import find_model

    found = find_model(reference, models=models)
    using = _collections(db, found, api_key)
    _print(found, {} if using is None else {"collections": using}, as_json=as_json)


@app.command("add")
@reported
def add(
    name: Annotated[str, typer.Argument(help="The model's name.", metavar="NAME")],
    folder: Annotated[
        str,
        typer.Argument(
            help="A folder with a static model, such as train writes.", metavar="FOLDER"
        ),
    ],
    use: Annotated[bool, typer.Option("--use", help="Make it the version in use.")] = False,
    models: Models = None,
    as_json: Json = False,
) -> None:
    """Add a folder as the next version of a model.

    The folder is copied. The first version of a model is the one in use until another is chosen.
    """
    from qdrant_static.encoders.modelregistry import register_model

    _print(register_model(folder, name, use=use, models=models), {}, as_json=as_json)


@app.command("use")
@reported
def use(reference: Reference, models: Models = None, as_json: Json = False) -> None:
    """Choose the version that NAME@current loads."""
    from qdrant_static.encoders.modelregistry import use_model

    found = use_model(reference, models=models)
    if as_json:
        typer.echo(json.dumps(found.to_dict(), indent=2))
    else:
        typer.echo(f"{found.name}@current is {found.reference}")


@app.command("remove")
@reported
def remove(
    reference: Reference,
    db: UsingDb = None,
    force: Annotated[
        bool,
        typer.Option("--force", help="Remove it even if it is in use."),
    ] = False,
    models: Models = None,
    api_key: ApiKey = None,
    as_json: Json = False,
) -> None:
    """Delete a version. Its number is not given again.

    Refused for the version in use and, with --db, for one that a collection was made with.
    """
    from qdrant_static.encoders.modelregistry import remove_model
    from qdrant_static.encoders.modelversions import find_model
    from qdrant_static.errors import ModelInUseError

    using = _collections(db, find_model(reference, models=models), api_key) or []
    if using and not force:
        raise ModelInUseError(
            model=reference,
            problem=f"collections in {db} were made with it: {', '.join(using)}. They could no "
            "longer be searched by text; give force=True to remove it anyway",
        )
    found = remove_model(reference, force=force, models=models)
    if as_json:
        typer.echo(json.dumps({**found.to_dict(), "collections": using}, indent=2))
    else:
        typer.echo(f"removed {found.reference}")


def _collections(db: str | None, model: ModelVersion, api_key: str | None) -> list[str] | None:
    """Return the collections that were made with a model; None if no place was named."""
    if db is None:
        return None
    from qdrant_static import connect
    from qdrant_static.collection.encodersinuse import made_with

    with closing(connect(db, api_key=api_key)) as client:
        return made_with(client, model.fingerprint)


def _print(found: ModelVersion, more: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({**found.to_dict(), **more}, indent=2))
        return
    lines = {
        "model": found.reference + (" (in use)" if found.current else ""),
        "folder": str(found.folder),
        "fingerprint": found.fingerprint or "-",
        "dimension": str(found.dimension or "-"),
        "size": f"{found.disk_bytes / 1e6:,.1f} MB",
        "added": found.added or "-",
    }
    for key, value in found.card.items():
        if key in lines or key == "format":
            continue
        if isinstance(value, dict):
            lines |= {f"{key}.{inner}": _plain(one) for inner, one in value.items()}
        else:
            lines[key] = _plain(value)
    lines |= {key: ", ".join(value) or "none" for key, value in more.items()}
    room = max(map(len, lines))
    for key, value in lines.items():
        typer.echo(f"{key:{room}}  {value}")


def _plain(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
