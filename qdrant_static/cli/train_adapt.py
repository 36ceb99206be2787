"""``qdrant-static train adapt``: fits a static model to a corpus."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from qdrant_static.cli.fieldoptions import FieldOptions, expanded
from qdrant_static.cli.options import DEFAULT_DB, SOURCE, ApiKey, Db, Json
from qdrant_static.cli.reporting import reported, show_result
from qdrant_static.cli.trainingsource import FromCollection, Register, register, training_texts
from qdrant_static.training.adaptoptions import AdaptOptions

ADAPT = FieldOptions(kind=AdaptOptions)


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
    parent: Annotated[
        str | None,
        typer.Option(
            help="The static model to start from. [default: the teacher's token outputs]",
            metavar="ENCODER",
        ),
    ] = None,
    name: Register = None,
    from_collection: FromCollection = None,
    db: Db = DEFAULT_DB,
    api_key: ApiKey = None,
    as_json: Json = False,
) -> None:
    """Fit a static model to your texts, without PyTorch.

    A teacher encodes the texts once; its vectors are kept, so that an interrupted run continues.
    Then a table of token vectors is fitted to them in seconds.
    """
    from qdrant_static.training.adaptation import adapt

    chosen = AdaptOptions(**options)
    texts = training_texts(
        source, source_options, from_collection=from_collection, db=db, api_key=api_key
    )
    report = adapt(
        texts,
        teacher=teacher,
        out=out,
        parent=parent,
        options=chosen,
        progress=sys.stderr.isatty() or not as_json,
    )
    show_result(report, as_json=as_json)
    register(report.path, name)
