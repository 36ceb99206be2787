"""``qdrant-static search``: a question -> hits to read, or a table of them."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from qdrant_static.cli.cells import clip, padded, width
from qdrant_static.cli.options import DEFAULT_DB, ApiKey, Db, Json
from qdrant_static.cli.reporting import reported

if TYPE_CHECKING:
    from qdrant_static.collection.spec import SparseSpec
    from qdrant_static.querying.run import Hit

_KEY_WIDTH = 48
#: Longer lines are hard to read.
_READING_WIDTH = 100
_INDENT = "        "


@reported
def command(
    collection: Annotated[str, typer.Argument(help="The collection's name.")],
    query: Annotated[str, typer.Argument(help="What to look for.")],
    db: Db = DEFAULT_DB,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="At most so many hits.")] = 10,
    plan: Annotated[
        str | None,
        typer.Option(
            help="exact, dense, cascade, bm25, hybrid, late, or a plan as JSON or a TOML table. "
            "[default: the collection's own]"
        ),
    ] = None,
    condition: Annotated[
        list[str] | None,
        typer.Option(
            "--filter",
            help="Such as 'year>=2000 and lang=en,de', 'title is not null', or Qdrant's own JSON; "
            "several must all hold.",
        ),
    ] = None,
    encoder: Annotated[
        str | None,
        typer.Option(
            help="Where to load the collection's encoder from, if it has moved; for a collection "
            "that others made, the one that filled it."
        ),
    ] = None,
    vector: Annotated[
        str | None,
        typer.Option(help="Of a collection that others made: the dense vector that is meant."),
    ] = None,
    text: Annotated[
        str | None,
        typer.Option(help="Of a collection that others made: the payload fields of the text, a,b."),
    ] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Tell what the search would do and cost; no search.")
    ] = False,
    as_table: Annotated[
        bool, typer.Option("--table", help="One line a hit: score, key, beginning of the text.")
    ] = False,
    api_key: ApiKey = None,
    as_json: Json = False,
) -> None:
    """Search a collection by its name alone.

    It knows its encoder and its best plan. Every hit is shown with the passage of its text that has
    most words of the query; on a terminal these are bold, unless the environment sets NO_COLOR.
    """
    from qdrant_static import connect, load_encoder
    from qdrant_static.cli.conditions import named_spec, plan_of
    from qdrant_static.querying.run import Searcher

    chosen = None if plan is None else plan_of(plan)
    client = connect(db, api_key=api_key)
    try:
        loaded = None if encoder is None else load_encoder(encoder)
        spec = named_spec(client, collection, loaded, vector=vector, text=text)
        opened = Searcher(client, collection, spec=spec, encoder=loaded)
        if explain:
            opened.filter(condition)
            explanation = opened.explain(chosen, limit=limit)
            typer.echo(json.dumps(explanation.to_dict(), indent=2) if as_json else str(explanation))
            return
        hits = opened.search(query, limit=limit, plan=chosen, filter=condition)
    finally:
        client.close()
    if as_json:
        typer.echo(as_json_text(hits))
    elif as_table:
        typer.echo(table(hits))
    else:
        typer.echo(passages(hits, query, opened.spec.sparse))


def as_json_text(hits: Sequence[Hit]) -> str:
    """The hits as a JSON list."""
    rows = [
        {
            "id": hit.id,
            "key": hit.key,
            "score": hit.score,
            "text": hit.text,
            "payload": dict(hit.payload),
        }
        for hit in hits
    ]
    return json.dumps(rows, indent=2, ensure_ascii=False)


def passages(
    hits: Sequence[Hit],
    query: str,
    sparse: SparseSpec | None,
    *,
    lines: int = 3,
    columns: int | None = None,
    marked: bool | None = None,
) -> str:
    """Score and key of every hit, and the lines of its text that the query matches best.

    Args:
        hits: What was found.
        query: The question.
        sparse: The collection's BM25, whose terms are marked; None takes that of English.
        lines: Of a text, at most.
        columns: As wide as that; None: as the terminal, up to a width that can be read.
        marked: Whether the query's words are bold; None: on a terminal.
    """
    from qdrant_static.cli.excerpts import Terms, excerpt
    from qdrant_static.collection.bm25 import bm25_encoder
    from qdrant_static.collection.vectorspec import SparseSpec

    if not hits:
        return "no hits"
    columns = columns or min(_READING_WIDTH, shutil.get_terminal_size().columns)
    marked = takes_bold() if marked is None else marked
    terms = Terms(query, bm25_encoder(sparse or SparseSpec()))
    room = max(20, columns - len(_INDENT))
    shown = []
    for hit in hits:
        key = clip(_key_text(hit.key), room)
        found = excerpt(hit.text, terms, columns=room, lines=lines, marked=marked).lines
        text = found or (clip("(no text in the payload)", room),)
        shown.append("\n".join([f"{hit.score:6.3f}  {key}", *(_INDENT + one for one in text)]))
    return "\n".join(shown)


def takes_bold() -> bool:
    """Whether standard output is a terminal on which words can be made bold."""
    plainly = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return sys.stdout.isatty() and not plainly


def table(hits: Sequence[Hit], *, columns: int | None = None) -> str:
    """Score, key and the beginning of the text, one line a hit, as wide as the terminal."""
    if not hits:
        return "no hits"
    columns = columns or shutil.get_terminal_size().columns
    keys = [clip(_key_text(hit.key), _KEY_WIDTH) for hit in hits]
    column = max(len("key"), *map(width, keys))
    room = max(20, columns - column - 11)
    lines = [f"{'score':>7}  {padded('key', column)}  text"]
    for hit, key in zip(hits, keys, strict=True):
        lines.append(f"{hit.score:7.3f}  {padded(key, column)}  {clip(hit.text, room)}".rstrip())
    return "\n".join(lines)


def _key_text(key: object) -> str:
    return ", ".join(map(str, key)) if isinstance(key, tuple) else str(key)
