"""``qdrant-static run``: a job file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from qdrant_static.cli.fieldoptions import expanded
from qdrant_static.cli.ingest import show, stop_on_signals
from qdrant_static.cli.options import RUN, Json
from qdrant_static.cli.reporting import REFUSED, framed, reported, show_result
from qdrant_static.errors import ArgumentError, QdrantStaticError


@framed("job")
@reported
@expanded(changed=RUN.only("force", "again"))
def command(
    job: Annotated[str, typer.Argument(help="The job file.", metavar="JOB.toml")],
    changed: dict[str, Any],
    as_json: Json = False,
) -> None:
    """Run a job file, for schedulers.

    A job is an ingest with all its options; with a table [adapt] it fits a model, and with
    [retrain] it also moves the alias to it if it is better. Exit codes: 0 done; 1 failed, or
    a part of the input could not be read (safe to repeat); 2 wrong configuration; 3 more rejects
    than allowed; 4 too many deletions (--force allows them), or a gate refused the new model's
    collection for another reason than quality; 130 interrupted.
    """
    from qdrant_static import plaindata
    from qdrant_static.jobs import Job
    from qdrant_static.redaction import public_uri

    tables = plaindata.read_toml(Path(job).expanduser())
    if "retrain" in tables or "adapt" in tables:
        if changed:
            raise ArgumentError(field=next(iter(changed)), problem="is for the job of an ingest")
        run = _retrain if "retrain" in tables else _adapt
        run(job, as_json=as_json)
        return
    loaded = Job.load(job)
    try:
        report = loaded.run(
            progress=sys.stderr.isatty() or not as_json, stop=stop_on_signals(), **changed
        )
    except QdrantStaticError:
        raise
    except Exception as error:
        error.add_note(f"job {job}, db {public_uri(loaded.db)}")
        raise
    show(report, as_json=as_json)


def _adapt(job: str, *, as_json: bool) -> None:
    """Run the fit of a model."""
    from qdrant_static.adaptjob import AdaptJob

    report = AdaptJob.load(job).run(progress=sys.stderr.isatty() or not as_json)
    show_result(report, as_json=as_json)


def _retrain(job: str, *, as_json: bool) -> None:
    """Run a retraining; a model that is no better is a result, not a failure."""
    from qdrant_static.retrainjob import RetrainJob

    report = RetrainJob.load(job).run(progress=sys.stderr.isatty() or not as_json)
    show_result(report, as_json=as_json)
    if set((report.verified or {}).get("refused", ())) - {"ndcg"}:
        raise typer.Exit(REFUSED)
