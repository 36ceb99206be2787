"""``qdrant-static train distill``: model2vec's own distillation of a transformer."""

from __future__ import annotations

from typing import Annotated

import typer

from qdrant_static.cli.options import Json
from qdrant_static.cli.reporting import reported, show_result
from qdrant_static.cli.trainingsource import Register, register


@reported
def command(
    teacher: Annotated[
        str,
        typer.Argument(
            help="The transformer: a folder in Hugging Face's format, or a name on the hub.",
            metavar="TEACHER",
        ),
    ],
    out: Annotated[str, typer.Option(help="The folder to write.", metavar="FOLDER")],
    dimension: Annotated[
        int, typer.Option(min=1, help="PCA reduces the vectors to so many dimensions.")
    ] = 256,
    pooling: Annotated[
        str,
        typer.Option(help="How the vectors of a token's pieces become one: mean, last, first, "
        "pooler."),
    ] = "mean",
    name: Register = None,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Distill a transformer with model2vec, without texts.

    Needs the extra `train` (PyTorch): pip install "qdrant-static[train]". `train adapt` needs
    neither, and fits the model to your texts.
    """
    from qdrant_static.training.distillation import distill

    report = distill(teacher, out=out, dimension=dimension, pooling=pooling)
    show_result(report, as_json=as_json)
    register(report.path, name)
