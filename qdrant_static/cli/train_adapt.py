"""``qdrant-static train adapt``: fits a static model to a corpus."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from qdrant_static.cli.fieldoptions import FieldOptions, expanded
from qdrant_static.cli.ingest import sizes as listed_sizes
from qdrant_static.cli.options import DEFAULT_DB, SOURCE, ApiKey, Db, Json
from qdrant_static.cli.reporting import reported, show_result
from qdrant_static.errors import ArgumentError
from qdrant_static.training.adaptoptions import AdaptOptions

ADAPT = FieldOptions(kind=AdaptOptions, omitted=("sizes",))


@reported
@expanded(
    source_options=SOURCE.only("text", "template", "format", "delimiter"),
    options=ADAPT,
)
def command(
    source: Annotated[
        list[str] | None,
        typer.Argument(help="Files, folders or URIs, as for ingest.", metavar="[SOURCE...]"),
    ] = None,
    *,
    teacher: Annotated[
        str,
        typer.Option(
            help="The encoder whose vectors are learned: onnx:FOLDER, fastembed:NAME, any other.",
            metavar="ENCODER",
        ),
    ],
    out: Annotated[str, typer.Option(help="The folder to write.", metavar="FOLDER")],
    source_options: dict[str, Any],
    options: dict[str, Any],
    sizes: Annotated[
        str | None,
        typer.Option(
            help="Prefixes of the vectors that are fitted as well (Matryoshka), such as "
            "256,128,64. [default: none]",
            metavar="A,B",
        ),
    ] = None,
    parent: Annotated[
        str | None,
        typer.Option(
            help="The static model to start from. [default: the teacher's token outputs]",
            metavar="ENCODER",
        ),
    ] = None,
    from_collection: Annotated[
        str | None,
        typer.Option(
            help="Learn from the texts of this collection, instead of files.", metavar="COLLECTION"
        ),
    ] = None,
    db: Db = DEFAULT_DB,
    api_key: ApiKey = None,
    as_json: Json = False,
) -> None:
    """Fit a static model to your texts, without PyTorch.

    A teacher encodes the texts once; its vectors are kept, so that an interrupted run continues.
    Then a table of token vectors is fitted to them in seconds.
    """
    from contextlib import closing

    from qdrant_static import connect
    from qdrant_static.reading.options import SourceOptions
    from qdrant_static.training.adaptation import adapt
    from qdrant_static.training.texts import TrainingTexts

    if bool(source) == (from_collection is not None):
        raise ArgumentError(field="source", problem="give files, or --from-collection NAME")
    chosen = AdaptOptions(sizes=listed_sizes(sizes), **options)
    columns = SourceOptions(**source_options)
    if from_collection is None:
        texts = TrainingTexts.read(source, source_options=columns)
    else:
        with closing(connect(db, api_key=api_key)) as client:
            texts = TrainingTexts.read_collection(client, from_collection, source_options=columns)
    report = adapt(
        texts,
        teacher=teacher,
        out=out,
        parent=parent,
        options=chosen,
        progress=sys.stderr.isatty() or not as_json,
    )
    show_result(report, as_json=as_json)
