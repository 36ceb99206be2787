"""``qdrant-static search``: a query -> hits as passages, as a table or as JSON."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from qdrant_static.cli.cells import clip, padded, width
from qdrant_static.cli.fieldoptions import listed
from qdrant_static.cli.options import DEFAULT_DB, ApiKey, Db, Json, plan_of
from qdrant_static.cli.reporting import reported

if TYPE_CHECKING:
    from qdrant_static.clients.connect import Client
    from qdrant_static.collection.spec import CollectionSpec, SparseSpec
    from qdrant_static.encoders.base import Encoder
    from qdrant_static.querying.run import Hit

_KEY_WIDTH = 48
#: Longer lines are hard to read.
_READING_WIDTH = 100
_INDENT = "        "


@reported
def command(
    collection: Annotated[str, typer.Argument(help="The collection's name.", metavar="COLLECTION")],
    query: Annotated[str, typer.Argument(help="What to look for.", metavar="QUERY")],
    db: Db = DEFAULT_DB,
    limit: Annotated[
        int, typer.Option("--limit", "-n", min=1, help="Maximum number of hits.")
    ] = 10,
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
            metavar="CONDITION",
            help="Return only points that meet a condition such as 'year>=2000 and lang=en,de' or "
            "'title is not null', or Qdrant's own JSON. Repeatable: all must hold.",
        ),
    ] = None,
    encoder: Annotated[
        str | None,
        typer.Option(
            help="Where the encoder of the queries is, if it has moved; for a collection made "
            "without qdrant-static, the encoder that filled it."
        ),
    ] = None,
    vector: Annotated[
        str | None,
        typer.Option(help="The dense vector, for a collection made without qdrant-static."),
    ] = None,
    text: Annotated[
        str | None,
        typer.Option(
            help="The payload fields of the text, for a collection made without qdrant-static.",
            metavar="A,B",
        ),
    ] = None,
    explain: Annotated[
        bool,
        typer.Option("--explain", help="Show what the search would do and cost; do not search."),
    ] = False,
    as_table: Annotated[
        bool,
        typer.Option("--table", help="Print one line per hit: score, key, beginning of the text."),
    ] = False,
    api_key: ApiKey = None,
    as_json: Json = False,
) -> None:
    """Search a collection by its name.

    The collection knows its encoder and its search plan. Each hit is shown with the passage of its
    text that has most words of the query; on a terminal these are bold, unless NO_COLOR is set.
    """
    from qdrant_static import connect, load_encoder
    from qdrant_static.querying.run import Searcher

    chosen = None if plan is None else plan_of(plan)
    client = connect(db, api_key=api_key)
    try:
        loaded = None if encoder is None else load_encoder(encoder)
        spec = _foreign(client, collection, loaded, vector=vector, text=text)
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


def _foreign(
    client: Client,
    collection: str,
    encoder: Encoder | None,
    *,
    vector: str | None,
    text: str | None,
) -> CollectionSpec | None:
    """Return the spec of a collection whose parts --vector and --text name; None without them."""
    from qdrant_static.collection.foreign import foreign_spec

    if vector is None and text is None:
        return None
    return foreign_spec(client, collection, encoder=encoder, vector=vector, text=listed(text))


def as_json_text(hits: Sequence[Hit]) -> str:
    """Return the hits as a JSON list."""
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
    """Return score and key of each hit, and the lines of its text that match the query best.

    Args:
        hits: The hits.
        query: The query.
        sparse: The collection's BM25, whose terms are marked; None takes that of English.
        lines: The largest number of lines of a text.
        columns: The width; None takes the terminal's, up to one that is easy to read.
        marked: Whether the query's words are bold; None makes them bold on a terminal.
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
        shown.append("\n".join([f"{hit.score:6.3f}  {key}", *(_INDENT + line for line in text)]))
    return "\n".join(shown)


def takes_bold() -> bool:
    """Return whether standard output is a terminal that shows bold words."""
    plainly = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return sys.stdout.isatty() and not plainly


def table(hits: Sequence[Hit], *, columns: int | None = None) -> str:
    """Return one line per hit: score, key and the beginning of the text."""
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
