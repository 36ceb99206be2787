"""``qdrant-static migrate``: builds a new generation and checks it before the alias moves."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qdrant_static.cli import inplace
from qdrant_static.cli.fieldoptions import expanded
from qdrant_static.cli.ingest import stop_on_signals
from qdrant_static.cli.options import (
    BUILD,
    DEFAULT_DB,
    RUN,
    SOURCE,
    ApiKey,
    Build,
    Db,
    Json,
    QueryEncoder,
    Yes,
    build_here,
)
from qdrant_static.cli.reporting import INTERRUPTED, REFUSED, confirm, reported, show_result

if TYPE_CHECKING:
    from qdrant_static.migration.migration import Migration

app = typer.Typer(
    help="Replace a collection by a new one without downtime.\n\nBlue/green: create another "
    "generation beside it, check it, move the alias.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Alias = Annotated[str, typer.Argument(help="The alias that applications use.", metavar="ALIAS")]
Journal = Annotated[
    str | None,
    typer.Option(
        help="The journal of the applications' LiveWriter: a file, or collection:NAME. [default: "
        "beside --db; for a server in ./qdrant-static-state]",
        metavar="PLACE",
    ),
]


@app.command("start")
@reported
@expanded(
    source_options=SOURCE.only("key", "text", otherwise="as the collection was filled"),
    run_options=RUN.only("max_rejects"),
    build_options=BUILD.only("folder", "workers", "peers", "max_mb_s", "untested"),
)
def start(
    alias: Alias,
    encoder: Annotated[
        str, typer.Option(help="The new encoder: a model's folder or name, as for ingest.")
    ],
    source_options: dict[str, Any],
    run_options: dict[str, Any],
    build_options: dict[str, Any],
    query_encoder: QueryEncoder = None,
    db: Db = DEFAULT_DB,
    from_source: Annotated[
        list[str] | None, typer.Option(help="Files to read; repeatable.", metavar="FILE")
    ] = None,
    from_collection: Annotated[
        bool, typer.Option("--from-collection", help="Read the texts of the points in use.")
    ] = False,
    spec: Annotated[
        str | None,
        typer.Option(help="The new spec, as TOML. [default: the present one]", metavar="FILE"),
    ] = None,
    max_rate: Annotated[
        float | None,
        typer.Option(
            help="Maximum number of rows to read per second. [default: no limit]",
        ),
    ] = None,
    freeze_writes: Annotated[
        bool,
        typer.Option(
            "--freeze-writes",
            help="The applications promise not to write until the cut-over. What they write "
            "anyway is missing from the new generation, and verify finds it.",
        ),
    ] = False,
    build: Build = None, journal: Journal = None, api_key: ApiKey = None, as_json: Json = False,
) -> None:  # fmt: skip
    """Create and fill the next generation. Repeat it after an interruption."""
    from qdrant_static import load_encoder
    from qdrant_static.collection.specfile import read_spec_file
    from qdrant_static.errors import ArgumentError
    from qdrant_static.ingestion.options import RunOptions
    from qdrant_static.reading.options import SourceOptions

    if bool(from_source) == from_collection:
        raise ArgumentError(field="source", problem="give --from-source FILE or --from-collection")
    here = build_here(build, None, build_options)
    loaded = load_encoder(encoder)
    wanted = None if spec is None else read_spec_file(spec, encoder=loaded.info)
    with _migration(alias, db, api_key, journal) as migration:
        report = migration.start(
            loaded,
            query_encoder=query_encoder,
            spec=wanted,
            source=from_source or None,
            source_options=SourceOptions(**source_options) if source_options else None,
            max_rate=max_rate,
            frozen=freeze_writes,
            progress=sys.stderr.isatty() or not as_json,
            stop=stop_on_signals(),
            build=here,
            run_options=RunOptions(**run_options),
        )
        state = migration.state()
    if as_json:
        found = {"alias": alias, "green": state.green, "phase": state.phase}
        typer.echo(json.dumps({**found, "ingest": report.to_dict()}, indent=2, default=str))
    else:
        typer.echo(str(report))
        typer.echo(f"\nnext: {state.what_next}")
    if report.interrupted:
        raise typer.Exit(INTERRUPTED)


@app.command("status")
@reported
def status(
    alias: Alias, db: Db = DEFAULT_DB, journal: Journal = None, api_key: ApiKey = None,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Show the phase, the lag, the gates and the next step. Changes nothing."""
    with _migration(alias, db, api_key, journal) as migration:
        show_result(migration.status(), as_json=as_json)


@app.command("verify")
@reported
def verify(
    alias: Alias, db: Db = DEFAULT_DB, *,
    queries: Annotated[str | None, typer.Option(
        help="Real queries: JSON Lines with 'text', or plain text with one query per line. "
        "[default: queries that LiveSearcher sampled, else vectors of points]", metavar="FILE",
    )] = None,
    judged: Annotated[str | None, typer.Option(
        help="A judged data set in BEIR's format whose corpus the collection holds.",
        metavar="FOLDER",
    )] = None,
    accept: Annotated[list[str] | None, typer.Option(
        help="The name of a quality gate that may refuse; repeatable.", metavar="GATE"
    )] = None,
    min_recall: Annotated[float, typer.Option(
        help="Minimum recall@10 against exact search."
    )] = 0.95,
    min_overlap: Annotated[float, typer.Option(
        help="Minimum mean overlap with the present hits, from 0 to 1."
    )] = 0.85,
    min_ranks: Annotated[float, typer.Option(
        help="Minimum mean rank correlation, up to 1."
    )] = 0.80,
    margin: Annotated[float, typer.Option(help="Maximum loss of NDCG@10.")] = 0.01,
    better: Annotated[bool, typer.Option(help="Require a higher NDCG@10, beyond chance.")] = False,
    max_latency: Annotated[float, typer.Option(
        help="Maximum p95 latency, as a multiple of the present one."
    )] = 2.0,
    sample: Annotated[int, typer.Option(min=1, help="Points that are compared whole.")] = 1000,
    journal: Journal = None, api_key: ApiKey = None, as_json: Json = False,
) -> None:  # fmt: skip
    """Check the new generation. Exit code 4: a gate refused it; nothing was moved.

    A lower --min-overlap also lowers, in proportion, what the median, the 5th percentile and the
    worst query must reach.
    """
    from dataclasses import replace

    from qdrant_static.migration.gates import Thresholds

    usual = Thresholds()
    share = min(1.0, min_overlap / usual.overlap_mean)
    thresholds = replace(
        usual, recall=min_recall, ranks=min_ranks, ndcg_margin=margin, latency_factor=max_latency,
        better=better,        overlap_mean=min_overlap, overlap_median=usual.overlap_median * share,
        overlap_p5=usual.overlap_p5 * share, overlap_min=usual.overlap_min * share,
    )  # fmt: skip
    with _migration(alias, db, api_key, journal) as migration:
        found = migration.verify(
            queries=queries, judged=judged, thresholds=thresholds, accept=accept or (),
            sample=sample,
        )  # fmt: skip
    show_result(found, as_json=as_json)
    if not found.passed:
        raise typer.Exit(REFUSED)


@app.command("cutover")
@reported
def cutover(
    alias: Alias, db: Db = DEFAULT_DB, journal: Journal = None, api_key: ApiKey = None,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Move the alias to the new generation.

    First applies every change of the journal; then moves it in one request, all or nothing. Exit
    code 4: the number of points is not as expected any more, and nothing was moved.
    """
    with _migration(alias, db, api_key, journal) as migration:
        show_result(migration.cutover(hand_over=True), as_json=as_json)
    _next(alias, "migrate status, then migrate retire, or migrate rollback", as_json)


@app.command("rollback")
@reported
def rollback(
    alias: Alias, db: Db = DEFAULT_DB, journal: Journal = None, api_key: ApiKey = None,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Move the alias back. The old generation has all that LiveWriter wrote."""
    with _migration(alias, db, api_key, journal) as migration:
        show_result(migration.rollback(hand_over=True), as_json=as_json)
    _next(alias, "migrate abort, or migrate verify and cutover once more", as_json)


@app.command("retire")
@reported
def retire(
    alias: Alias, db: Db = DEFAULT_DB, *,
    after: Annotated[
        float, typer.Option(help="Minimum time since the cut-over, in seconds.")
    ] = 3600.0,
    yes: Yes = False, journal: Journal = None, api_key: ApiKey = None, as_json: Json = False,
) -> None:  # fmt: skip
    """Delete the old generation.

    There is no rollback after that. Asks for confirmation.
    """
    with _migration(alias, db, api_key, journal) as migration:
        state = migration.state()
        state.check("retire")  # before asking, so that a yes is for what will be deleted
        confirm(f"Delete {state.blue!r}? There is no rollback after that.", yes=yes)
        deleted = migration.retire(after_s=after)
    text = f"{deleted} is deleted; the migration is over"
    typer.echo(json.dumps({"deleted": deleted}) if as_json else text)


@app.command("abort")
@reported
def abort(
    alias: Alias, db: Db = DEFAULT_DB, yes: Yes = False, journal: Journal = None,
    api_key: ApiKey = None, as_json: Json = False,
) -> None:  # fmt: skip
    """End the migration and delete the new generation.

    The alias stays where it is. Asks for confirmation.
    """
    with _migration(alias, db, api_key, journal) as migration:
        state = migration.state()
        state.check("abort")
        confirm(f"Delete {state.green!r}?", yes=yes)
        deleted = migration.abort()
    text = f"{deleted} is deleted; {alias} stays"
    typer.echo(json.dumps({"deleted": deleted}) if as_json else text)


@contextmanager
def _migration(
    alias: str, db: str, api_key: str | None, journal: str | None
) -> Iterator[Migration]:
    """Open the migration of an alias; explain what to do if another process has it open."""
    from qdrant_static import connect
    from qdrant_static.errors import CollectionLockedError
    from qdrant_static.migration.migration import Migration

    with (
        closing(connect(db, api_key=api_key)) as client,
        Migration(client, alias, journal=journal) as migration,
    ):
        try:
            yield migration
        except CollectionLockedError as error:
            typer.echo(
                f"this step reads {error.collection!r}, which only one process at a time can "
                "open in a folder: stop the application meanwhile, or take this step in its "
                f"process, with qdrant_static.Migration(client, {alias!r})",
                err=True,
            )
            raise


def _next(alias: str, what: str, as_json: bool) -> None:
    if not as_json:
        typer.echo(f"next for {alias}: {what}")


app.command("adopt")(inplace.adopt)
app.command("add-vector")(inplace.add_vector)
