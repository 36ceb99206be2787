"""``qdrant-static migrate``: another generation, proved before an alias points at it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qdrant_static.cli.buildoptions import (
    Build,
    BuildFolder,
    MaxMbS,
    Untested,
    Workers,
    build_here,
)
from qdrant_static.cli.options import (
    DEFAULT_DB,
    ApiKey,
    Db,
    Json,
    MaxRejects,
    Peer,
    listed,
    peers_of,
)
from qdrant_static.cli.reporting import REFUSED, reported

if TYPE_CHECKING:
    from qdrant_static.migration.migration import Migration

app = typer.Typer(
    help="Replace a collection by a new one without downtime.\n\nBlue/green: build another "
    "generation beside it, prove it, move the alias.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Alias = Annotated[str, typer.Argument(help="What applications ask.", metavar="ALIAS")]
Journal = Annotated[
    str | None,
    typer.Option(
        help="The applications' journal: a file, or collection:NAME. [default: beside --db; for "
        "a server ./qdrant-static-state]",
        metavar="PLACE",
    ),
]


@app.command("start")
@reported
def start(
    alias: Alias,
    encoder: Annotated[str, typer.Option(help="The new encoder: a name, or a model's folder.")],
    db: Db = DEFAULT_DB,
    from_source: Annotated[
        list[str] | None,
        typer.Option(help="Files to build from; repeat it for several.", metavar="FILE"),
    ] = None,
    from_collection: Annotated[
        bool, typer.Option("--from-collection", help="Build from the texts of its points.")
    ] = False,
    spec: Annotated[
        str | None,
        typer.Option(help="TOML of the new layout. [default: as it is now]", metavar="FILE"),
    ] = None,
    key: Annotated[
        str | None, typer.Option(help="The files' key column. [default: as it was filled]")
    ] = None,
    text: Annotated[
        str | None, typer.Option(help="The text's columns, a,b. [default: as it was filled]")
    ] = None,
    max_rate: Annotated[
        float | None, typer.Option(help="Rows a second that are read at most.")
    ] = None,
    freeze_writes: Annotated[
        bool,
        typer.Option(
            "--freeze-writes",
            help="Applications promise not to write; what they write all the same is lost to the "
            "new generation, and verify finds it.",
        ),
    ] = False,
    max_rejects: MaxRejects = None,
    build: Build = None,
    build_folder: BuildFolder = None,
    workers: Workers = None,
    peer: Peer = None,
    max_mb_s: MaxMbS = None,
    untested: Untested = False,
    journal: Journal = None,
    api_key: ApiKey = None,
    as_json: Json = False,
) -> None:
    """Build the next generation beside the one in use. Repeat it to go on after an interruption."""
    import signal
    import threading

    from qdrant_static import load_encoder
    from qdrant_static.collection.specfile import read_spec_file
    from qdrant_static.errors import ArgumentError
    from qdrant_static.ingestion.options import RunOptions
    from qdrant_static.reading.options import SourceOptions

    if bool(from_source) == from_collection:
        raise ArgumentError(field="source", problem="give --from-source FILE or --from-collection")
    here = build_here(
        build,
        None,
        folder=build_folder,
        workers=workers,
        peers=peers_of(peer) or None,
        max_mb_s=max_mb_s,
        untested=untested,
    )
    loaded = load_encoder(encoder)
    wanted = None
    if spec is not None:
        wanted = read_spec_file(spec, encoder=loaded.info)
    options = None
    if key is not None or text is not None:
        options = SourceOptions().with_columns(key=listed(key), text=listed(text))
    stop = threading.Event()
    for one in (signal.SIGINT, signal.SIGTERM):
        signal.signal(one, lambda *_: stop.set())
    with _migration(alias, db, api_key, journal) as migration:
        report = migration.start(
            loaded,
            spec=wanted,
            source=from_source or None,
            options=options,
            max_rate=max_rate,
            frozen=freeze_writes,
            progress=sys.stderr.isatty() or not as_json,
            stop=stop,
            build=here,
            run_options=RunOptions(max_rejects=max_rejects),
        )
        state = migration.state()
    if as_json:
        found = {"alias": alias, "green": state.green, "phase": state.phase}
        typer.echo(json.dumps({**found, "ingest": report.to_dict()}, indent=2, default=str))
    else:
        typer.echo(str(report))
        typer.echo(f"\nnext: {state.what_next}")
    if report.interrupted:
        raise typer.Exit(130)


@app.command("status")
@reported
def status(
    alias: Alias,
    db: Db = DEFAULT_DB,
    journal: Journal = None,
    api_key: ApiKey = None,
    as_json: Json = False,
) -> None:
    """Tell the phase, the lag, the gates and what to do next. Changes nothing."""
    with _migration(alias, db, api_key, journal) as migration:
        _tell(migration.status(), as_json)


@app.command("verify")
@reported
def verify(
    alias: Alias,
    db: Db = DEFAULT_DB,
    queries: Annotated[
        str | None,
        typer.Option(
            help="Real queries: JSON Lines with 'text', or one a line. [default: those that were "
            "sampled, else points ask]",
            metavar="FILE",
        ),
    ] = None,
    judged: Annotated[
        str | None,
        typer.Option(help="A data set in BEIR's form whose corpus it holds.", metavar="FOLDER"),
    ] = None,
    accept: Annotated[
        list[str] | None,
        typer.Option(help="A gate of quality that may refuse; repeat it for several."),
    ] = None,
    min_recall: Annotated[float, typer.Option(help="Least recall@10 against exact search.")] = 0.95,
    min_overlap: Annotated[
        float, typer.Option(help="Least mean overlap with the answers of now.")
    ] = 0.85,
    min_ranks: Annotated[float, typer.Option(help="Least mean rank correlation.")] = 0.80,
    margin: Annotated[float, typer.Option(help="So much lower may NDCG@10 be.")] = 0.01,
    max_latency: Annotated[
        float, typer.Option(help="Most that p95 may be of what it is now.")
    ] = 2.0,
    sample: Annotated[int, typer.Option(min=1, help="Points that are compared whole.")] = 1000,
    journal: Journal = None,
    api_key: ApiKey = None,
    as_json: Json = False,
) -> None:
    """Put the new generation through the gates. Exit code 4: refused; nothing was moved.

    A lower --min-overlap lowers what the median, the 5th percentile and the worst query must
    reach in the same proportion.
    """
    from dataclasses import replace

    from qdrant_static.migration.gates import Thresholds

    usual = Thresholds()
    share = min(1.0, min_overlap / usual.overlap_mean)
    thresholds = replace(
        usual,
        recall=min_recall,
        overlap_mean=min_overlap,
        overlap_median=usual.overlap_median * share,
        overlap_p5=usual.overlap_p5 * share,
        overlap_min=usual.overlap_min * share,
        ranks=min_ranks,
        ndcg_margin=margin,
        latency_factor=max_latency,
    )
    with _migration(alias, db, api_key, journal) as migration:
        found = migration.verify(
            queries=queries, judged=judged, thresholds=thresholds, accept=accept or (),
            sample=sample,
        )  # fmt: skip
    _tell(found, as_json)
    if not found.passed:
        raise typer.Exit(REFUSED)


@app.command("cutover")
@reported
def cutover(
    alias: Alias,
    db: Db = DEFAULT_DB,
    journal: Journal = None,
    api_key: ApiKey = None,
    as_json: Json = False,
) -> None:
    """Move the alias to the new generation.

    When that has every change; in one request, all or nothing. Exit code 4: the points are not as
    many any more; nothing was moved.
    """
    with _migration(alias, db, api_key, journal) as migration:
        _tell(migration.cutover(hand_over=True), as_json)
    _next(alias, "migrate status, then migrate retire, or migrate rollback", as_json)


@app.command("rollback")
@reported
def rollback(
    alias: Alias,
    db: Db = DEFAULT_DB,
    journal: Journal = None,
    api_key: ApiKey = None,
    as_json: Json = False,
) -> None:
    """Move the alias back. The old generation has missed nothing that LiveWriter wrote."""
    with _migration(alias, db, api_key, journal) as migration:
        _tell(migration.rollback(hand_over=True), as_json)
    _next(alias, "migrate abort, or migrate verify and cutover once more", as_json)


@app.command("retire")
@reported
def retire(
    alias: Alias,
    db: Db = DEFAULT_DB,
    after: Annotated[
        float, typer.Option(help="It stays for so many seconds after the cut-over at least.")
    ] = 3600.0,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    journal: Journal = None,
    api_key: ApiKey = None,
    as_json: Json = False,
) -> None:
    """Delete the old generation.

    From then on there is no way back. Asks first.
    """
    with _migration(alias, db, api_key, journal) as migration:
        state = migration.state()
        state.check("retire")  # what is asked about must be what would be deleted
        _ask(f"Delete {state.blue!r}? There is no rollback after that.", yes)
        gone = migration.retire(after_s=after)
    typer.echo(json.dumps({"deleted": gone}) if as_json else f"{gone} is deleted; it is over")


@app.command("abort")
@reported
def abort(
    alias: Alias,
    db: Db = DEFAULT_DB,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    journal: Journal = None,
    api_key: ApiKey = None,
    as_json: Json = False,
) -> None:
    """Give the migration up and delete the new generation.

    The alias stays where it is. Asks first.
    """
    with _migration(alias, db, api_key, journal) as migration:
        state = migration.state()
        state.check("abort")
        _ask(f"Delete {state.green!r}?", yes)
        gone = migration.abort()
    typer.echo(json.dumps({"deleted": gone}) if as_json else f"{gone} is deleted; {alias} stays")


@app.command("adopt")
@reported
def adopt(
    collection: Annotated[str, typer.Argument(help="A collection without an alias.")],
    db: Db = DEFAULT_DB,
    as_name: Annotated[
        str | None, typer.Option("--as", help="Make this alias for it.", metavar="NAME")
    ] = None,
    keep_name: Annotated[
        bool,
        typer.Option("--keep-name", help="Copy it, and make its own name an alias of the copy."),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    api_key: ApiKey = None,
    as_json: Json = False,
) -> None:
    """Put an alias in front of a collection that has none. Without an option it tells the ways."""
    from qdrant_static import connect
    from qdrant_static.errors import ArgumentError
    from qdrant_static.migration import adopt as adopting

    if as_name and keep_name:
        raise ArgumentError(field="adopt", problem="give --as NAME or --keep-name, not both")
    with closing(connect(db, api_key=api_key)) as client:
        if as_name:
            _tell(adopting.adopt_as(client, collection, as_name), as_json)
        elif keep_name:
            _ask(f"Copy {collection!r}, then delete it? Nobody may write meanwhile.", yes)
            _tell(adopting.keep_name(client, collection), as_json)
        else:
            typer.echo(adopting.ways(client, collection))


@app.command("add-vector")
@reported
def add_vector(
    collection: Annotated[str, typer.Argument(help="A collection or an alias.")],
    vector: Annotated[str, typer.Argument(help="mrl_<size>, or bm25.")],
    db: Db = DEFAULT_DB,
    api_key: ApiKey = None,
    as_json: Json = False,
) -> None:
    """Add a vector of the same encoder to a live collection.

    In place; it is filled.
    """
    from dataclasses import asdict

    from qdrant_static import connect
    from qdrant_static.migration.inplace import add_vector as add

    with closing(connect(db, api_key=api_key)) as client:
        found = add(client, collection, vector)
    typer.echo(json.dumps(asdict(found), indent=2) if as_json else str(found))


@contextmanager
def _migration(
    alias: str, db: str, api_key: str | None, journal: str | None
) -> Iterator[Migration]:
    """The migration of an alias; says what to do where an application has a folder open."""
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
                f"{error.collection!r} must be read for this, and on a folder one process at a "
                "time can: end the application for as long as this takes, or take this step in "
                "its own process, with qdrant_static.migration.migration.Migration(client, "
                f"{alias!r})",
                err=True,
            )
            raise


def _ask(question: str, yes: bool) -> None:
    if not yes:
        typer.confirm(question, abort=True, err=True)


def _tell(found: Any, as_json: bool) -> None:
    typer.echo(json.dumps(found.to_dict(), indent=2, default=str) if as_json else str(found))


def _next(alias: str, what: str, as_json: bool) -> None:
    if not as_json:
        typer.echo(f"next for {alias}: {what}")
