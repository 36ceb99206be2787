"""``qdrant-static delete``: a collection, with the files of its jobs."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from qdrant_static import rules
from qdrant_static.cli.options import DEFAULT_DB, ApiKey, Db, State
from qdrant_static.cli.reporting import fail, reported


@reported
def command(
    collection: Annotated[str, typer.Argument(help="The collection's name.")],
    db: Db = DEFAULT_DB,
    state: State = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    keep_state: Annotated[
        bool, typer.Option("--keep-state", help="Keep its ledger, rejects files and manifests.")
    ] = False,
    api_key: ApiKey = None,
) -> None:
    """Delete a collection and the files of its jobs.

    These are its ledger, rejects files and manifests. Refused while an alias points at it, while a
    migration needs it, and while a job or another process has it open.
    """
    from qdrant_static import connect
    from qdrant_static.migration.deletion import check_deletable, delete_collection

    with closing(connect(db, api_key=api_key)) as client:
        folder = None if state is None else Path(rules.place("--state", state)).expanduser()
        found = check_deletable(client, collection, state=folder)
        files = (
            "" if found.state is None or keep_state else f", and its jobs' files in {found.state}"
        )
        what = f"collection {collection!r} ({found.points:,} points){files}"
        if not yes:
            _ask(f"Delete {what}?")
        gone = delete_collection(client, found, keep_state=keep_state)
    typer.echo(f"deleted {what}")
    if not gone:
        typer.echo(f"kept {found.state}")


def _ask(question: str) -> None:
    try:
        agreed = typer.confirm(question, err=True)
    except typer.Abort:
        fail("there was no answer: nothing was deleted. Give --yes to delete without a question", 2)
    if not agreed:
        fail("nothing was deleted", 2)
