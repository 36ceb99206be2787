"""``qdrant-static search``: a question -> a table of hits."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from qdrant_static.cli.options import DEFAULT_DB, ApiKey, Db, Json
from qdrant_static.cli.reporting import reported

if TYPE_CHECKING:
    from qdrant_static.search.run import Hit

_KEY_WIDTH = 48


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
    api_key: ApiKey = None,
    as_json: Json = False,
) -> None:
    """Search a collection by its name alone: it knows its encoder and its best plan."""
    from qdrant_static import connect, load_encoder
    from qdrant_static.cli.conditions import named_spec, plan_of
    from qdrant_static.search.run import open_collection

    chosen = None if plan is None else plan_of(plan)
    client = connect(db, api_key=api_key)
    try:
        loaded = None if encoder is None else load_encoder(encoder)
        spec = named_spec(client, collection, loaded, vector=vector, text=text)
        opened = open_collection(client, collection, spec=spec, encoder=loaded)
        if explain:
            opened.filter(condition)
            told = opened.explain(chosen, limit=limit)
            typer.echo(json.dumps(told.to_dict(), indent=2) if as_json else str(told))
            return
        hits = opened.search(query, limit=limit, plan=chosen, filter=condition)
    finally:
        client.close()
    typer.echo(as_json_text(hits) if as_json else table(hits))


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


def table(hits: Sequence[Hit], *, width: int | None = None) -> str:
    """Score, key and the beginning of the text, one line a hit, as wide as the terminal."""
    if not hits:
        return "no hits"
    width = width or shutil.get_terminal_size().columns
    keys = [_clip(str(hit.key), _KEY_WIDTH) for hit in hits]
    column = max(len("key"), *map(len, keys))
    room = max(20, width - column - 11)
    lines = [f"{'score':>7}  {'key':<{column}}  text"]
    for hit, key in zip(hits, keys, strict=True):
        lines.append(f"{hit.score:7.3f}  {key:<{column}}  {_clip(hit.text, room)}".rstrip())
    return "\n".join(lines)


def _clip(text: str, room: int) -> str:
    """One line of printable characters, at most so long."""
    # Four times the room is enough, whatever white space it holds; texts may be megabytes long.
    line = " ".join(text.lstrip()[: 4 * room].split())
    line = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in line)
    return line if len(line) <= room else line[: room - 1] + "…"
