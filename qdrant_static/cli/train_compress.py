"""``qdrant-static train compress``: shortens the vectors of a model, or ready ones, by SMEC."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qdrant_static.cli.fieldoptions import FieldOptions, expanded, listed
from qdrant_static.cli.options import DEFAULT_DB, ApiKey, Db, Json
from qdrant_static.cli.reporting import reported, show_result
from qdrant_static.training.smec.settings import SmecSettings

if TYPE_CHECKING:
    import numpy as np

SETTINGS = FieldOptions(kind=SmecSettings).only("memory", "neighbors", "alpha", "max_epochs")


@reported
@expanded(options=SETTINGS)
def command(
    options: dict[str, Any],
    out: Annotated[
        str,
        typer.Option(
            help="Where to write: a folder, for a static model, or a head (a JSON file and a "
            "matrix beside it), if it ends in .json."
        ),
    ],
    model: Annotated[
        str | None,
        typer.Argument(
            help="The encoder; with --vectors the one that made them, if it can be loaded.",
            metavar="MODEL",
        ),
    ] = None,
    sources: Annotated[
        list[str] | None,
        typer.Argument(help="Files or folders whose texts are encoded.", metavar="SOURCE"),
    ] = None,
    text: Annotated[
        str | None,
        typer.Option(help="Columns of the text. [default: title and text]", metavar="A,B"),
    ] = None,
    vectors: Annotated[
        str | None,
        typer.Option(
            help="Ready vectors: FILE:COLUMN, or with --from-collection the name of a vector.",
            metavar="FILE:COLUMN",
        ),
    ] = None,
    key: Annotated[
        str | None,
        typer.Option(help="Column of the key, for ready vectors in a file without texts."),
    ] = None,
    collection: Annotated[
        str | None,
        typer.Option(
            "--from-collection",
            help="Take the texts, or with --vectors the vectors, of a collection.",
            metavar="COLLECTION",
        ),
    ] = None,
    db: Db = DEFAULT_DB,
    sizes: Annotated[
        str, typer.Option(help="Sizes, in falling order; the first is the result's dimension.")
    ] = "128,64,32,16",
    pairs: Annotated[
        str | None,
        typer.Option(
            help="Queries and passages, as for `train pairs`: queries are then ranked by them. "
            "[default: no labels]",
            metavar="FILE",
        ),
    ] = None,
    cache: Annotated[
        str | None,
        typer.Option(help="Folder that keeps what the encoder encoded, for a repeat."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of everything that is drawn.")] = 0,
    api_key: ApiKey = None,
    as_json: Json = False,
) -> None:
    """Shorten vectors so that they rank passages as the full ones do.

    SMEC (Zhang et al., 2025) reduces size after size, without labels. The table of a static model
    is replaced by a shorter one; for the vectors of any other model the result is a head, which
    `ingest` and `search` apply: --encoder head:FILE.json.
    """
    from qdrant_static.cli import ingest
    from qdrant_static.errors import ArgumentError
    from qdrant_static.reading.options import SourceOptions
    from qdrant_static.training.compressing import compress
    from qdrant_static.training.texts import TrainingTexts

    given: Any = None
    texts: TrainingTexts | None = None
    if vectors is not None:
        given = _ready(vectors, collection, db, api_key, key)
    elif model is None:
        raise ArgumentError(field="MODEL", problem="is missing: the encoder of the texts")
    else:
        source_options = SourceOptions(text=tuple(listed(text) or ()))
        if collection is None:
            if not sources:
                raise ArgumentError(field="SOURCE", problem="name files, or a --from-collection")
            texts = TrainingTexts.read(sources, source_options=source_options)
        else:
            with _opened(db, api_key) as client:
                texts = TrainingTexts.read_collection(
                    client, collection, source_options=None if text is None else source_options
                )
    source: Any = model if given is None else given
    report = compress(
        source,
        texts,
        sizes=ingest.sizes(sizes),
        out=out,
        pairs=pairs,
        encoder=None if given is None else model,
        cache=cache,
        settings=SmecSettings(**options),
        seed=seed,
        progress=sys.stderr.isatty() or not as_json,
    )
    show_result(report, as_json=as_json)


def _ready(
    vectors: str, collection: str | None, db: str, api_key: str | None, key: str | None
) -> np.ndarray[Any, Any]:
    """Return the vectors that the options name."""
    from qdrant_static.errors import ArgumentError
    from qdrant_static.training.vectorsource import read_stored_vectors, read_vectors

    if collection is not None:
        with _opened(db, api_key) as client:
            return read_stored_vectors(client, collection, vectors)
    file, colon, column = vectors.rpartition(":")
    if not colon or not file or not column:
        raise ArgumentError(field="--vectors", problem=f"{vectors!r} is not FILE:COLUMN")
    return read_vectors(file, column, key=key)


def _opened(db: str, api_key: str | None) -> Any:
    from contextlib import closing

    from qdrant_static import connect

    return closing(connect(db, api_key=api_key))
