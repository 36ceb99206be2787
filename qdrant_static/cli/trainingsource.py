"""Options that the commands of ``train`` share: where texts come from, and where a model goes."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qdrant_static.errors import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from qdrant_static.training.texts import TrainingTexts

Register = Annotated[
    str | None,
    typer.Option(
        "--register",
        help="Also add the model to the models folder, as the next version of NAME.",
        metavar="NAME",
    ),
]
FromCollection = Annotated[
    str | None,
    typer.Option(
        "--from-collection",
        help="Learn from the texts of this collection, instead of files.",
        metavar="COLLECTION",
    ),
]


def training_texts(
    source: Sequence[str] | None,
    columns: Mapping[str, Any],
    *,
    from_collection: str | None,
    db: str,
    api_key: str | None,
) -> TrainingTexts:
    """Read the texts that a command is given: of files, or of a collection.

    Args:
        source: Files, folders or URIs.
        columns: Fields of `SourceOptions` that were given.
        from_collection: The collection's name.
        db: Where the collection is.
        api_key: The server's API key.

    Raises:
        ArgumentError: If both are given, or neither.
    """
    from qdrant_static import connect
    from qdrant_static.reading.options import SourceOptions
    from qdrant_static.training.texts import TrainingTexts

    if bool(source) == (from_collection is not None):
        raise ArgumentError(field="source", problem="give files, or --from-collection NAME")
    options = SourceOptions(**columns)
    if from_collection is None:
        return TrainingTexts.read(source, source_options=options)
    with closing(connect(db, api_key=api_key)) as client:
        return TrainingTexts.read_collection(client, from_collection, source_options=options)


def register(folder: str, name: str | None) -> None:
    """Add a model to the models folder if a name is given; say which version it is."""
    if name is None:
        return
    from qdrant_static.encoders.modelregistry import register_model

    added = register_model(folder, name)
    in_use = " (in use)" if added.current else f"; to use it: models use {added.reference}"
    typer.echo(f"added as {added.reference}{in_use}", err=True)
