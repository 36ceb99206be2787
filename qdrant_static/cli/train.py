"""``qdrant-static train``: makes a model for a corpus; each command has a module of its own."""

from __future__ import annotations

import typer

from qdrant_static.cli import (
    train_adapt,
    train_compress,
    train_distill,
    train_make_pairs,
    train_mine,
    train_pairs,
    train_rotate,
)

app = typer.Typer(
    help="Fit a static model to a corpus.\n\nEach command writes a folder that `--encoder` "
    "takes, with a card of what it was made of.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.callback()
def _group() -> None:
    """Keep ``train`` a group, however many commands it has."""


app.command("adapt")(train_adapt.command)
app.command("compress")(train_compress.command)
app.command("distill")(train_distill.command)
app.command("make-pairs")(train_make_pairs.command)
app.command("mine")(train_mine.command)
app.command("pairs")(train_pairs.command)
app.command("rotate")(train_rotate.command)
