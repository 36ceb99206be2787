"""``qdrant-static train rotate``: rotates a static model's vectors for a corpus."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from qdrant_static.cli.fieldoptions import expanded
from qdrant_static.cli.options import DEFAULT_DB, SOURCE, ApiKey, Db, Json
from qdrant_static.cli.reporting import reported, show_result
from qdrant_static.cli.trainingsource import FromCollection, Register, register, training_texts


@reported
@expanded(source_options=SOURCE.only("text", "template", "format", "delimiter"))
def command(
    model: Annotated[
        str,
        typer.Argument(help="The static model: a folder, a version, a name.", metavar="MODEL"),
    ],
    source: Annotated[
        list[str] | None,
        typer.Argument(help="Files, folders or URIs, as for ingest.", metavar="[SOURCE...]"),
    ] = None,
    *,
    out: Annotated[str, typer.Option(help="The folder to write.", metavar="FOLDER")],
    source_options: dict[str, Any],
    for_: Annotated[
        str,
        typer.Option(
            "--for",
            help="prefixes: the first dimensions carry most. binary: codes of one bit do.",
        ),
    ] = "prefixes",
    dimension: Annotated[
        int | None, typer.Option(help="Keep so many dimensions. [default: all]", min=2)
    ] = None,
    whiten: Annotated[
        float,
        typer.Option(
            help="0 to 1: how far to scale down what differs inside passages. Changes the whole "
            "vectors; 0.75 helps most models that were not fitted to the corpus."
        ),
    ] = 0.0,
    sif: Annotated[
        float | None,
        typer.Option(
            help="Weigh tokens by SIF / (SIF + their share of the corpus), and take out what all "
            "passages share. Changes the whole vectors; usual is 0.001.",
            show_default=False,
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of what is drawn by chance.")] = 0,
    name: Register = None,
    from_collection: FromCollection = None,
    db: Db = DEFAULT_DB,
    api_key: ApiKey = None,
    as_json: Json = False,
) -> None:
    """Rotate a model so that prefixes, or codes of one bit, keep more.

    The rotation is multiplied into the table, and changes no cosine of whole vectors. It needs no
    labels and no teacher, and takes seconds.
    """
    from qdrant_static.training.rotation import rotate

    texts = training_texts(
        source, source_options, from_collection=from_collection, db=db, api_key=api_key
    )
    report = rotate(
        model,
        texts,
        out=out,
        for_=for_,
        dimension=dimension,
        whiten=whiten,
        sif=sif,
        seed=seed,
    )
    show_result(report, as_json=as_json)
    register(report.path, name)
