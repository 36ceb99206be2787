"""The second step of a migration: compare the new generation with the one that serves."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from qdrant_static.collection.migrationstate import MigrationState, Phase, write_state
from qdrant_static.errors import ArgumentError
from qdrant_static.ids import plain_id
from qdrant_static.measuring.judged import read_queries
from qdrant_static.measuring.queries import QuerySet, beginning, of_texts
from qdrant_static.migration.comparison import ExpectedVectors, draw
from qdrant_static.migration.gates import Gate, Thresholds, at_most, check_accepted
from qdrant_static.migration.integrity import Integrity
from qdrant_static.migration.livesearcher import QUERIES, read_shadow
from qdrant_static.migration.migrationreport import Verified
from qdrant_static.migration.quality import ComparedGeneration, Quality, of_shadow
from qdrant_static.querying.run import Searcher
from qdrant_static.sinks.sink import build_index

if TYPE_CHECKING:
    from pathlib import Path

    from qdrant_static.clients.connect import Client
    from qdrant_static.collection.spec import CollectionSpec
    from qdrant_static.ids import PointId
    from qdrant_static.measuring.judged import JudgedSet
    from qdrant_static.migration.session import MigrationSession


#: With so many sampled queries of applications, none are made of points.
_ENOUGH_SAMPLED = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Checks:
    """What a verification compares; see `Migration.verify`."""

    queries: Sequence[str] | str | os.PathLike[str] | None
    judged: JudgedSet | str | os.PathLike[str] | None
    thresholds: Thresholds
    accept: Sequence[str]
    sample: int
    query_count: int


def verify(session: MigrationSession, checks: Checks) -> Verified:
    """Evaluate all gates and store them with the migration; see `Migration.verify`."""
    accepted = check_accepted(checks.accept)
    started = time.perf_counter()
    with session.step("verify") as state:
        session.require_serving(state.blue)
        if session.catch_up(state.green):
            build_index(session.client, state.green)
        gates, low = _evaluate(session, state, checks)
        gates = [one.accepted() if one.name in accepted else one for one in gates]
        verified = Verified(
            alias=session.alias,
            blue=state.blue,
            green=state.green,
            gates=tuple(gates),
            low=tuple(low),
            seconds=time.perf_counter() - started,
        )
        phase: Phase = "verified" if verified.passed else "replaying"
        if state.phase == "rolled_back" and not verified.passed:
            phase = "rolled_back"
        write_state(session.client, state.at(phase, gates=tuple(one.to_dict() for one in gates)))
    return verified


def _evaluate(
    session: MigrationSession, state: MigrationState, checks: Checks
) -> tuple[list[Gate], list[Mapping[str, Any]]]:
    """Return the gates, and the queries on which both generations agree least."""
    client, blue, green = session.client, state.blue, state.green
    blue_spec, green_spec = session.spec(blue), session.spec(green)
    integrity = Integrity(
        client=client,
        blue=blue,
        green=green,
        spec=green_spec,
        encoder=session.encoder(green),
        expected=ExpectedVectors(blue=blue_spec, green=green_spec),
        writes_paused=lambda: session.writes_paused(blue, green),
        sample=checks.sample,
    )
    gates = [*_jobs(session, state), integrity.counts(), integrity.keys()]
    gates += integrity.payloads_and_vectors()
    gates.append(integrity.indexed())
    queries = _choose_queries(client, blue, blue_spec, checks, session.folder / QUERIES)
    sides = [
        ComparedGeneration.of(
            client,
            name,
            Searcher(client, name, spec=session.spec(name), encoder=session.query_encoder(name)),
        )
        for name in (blue, green)
    ]
    quality = Quality(
        blue=sides[0],
        green=sides[1],
        queries=queries,
        thresholds=checks.thresholds,
        same_encoder=all(
            one.fingerprint == other.fingerprint
            for one, other in (
                (blue_spec.encoder, green_spec.encoder),
                (blue_spec.query_encoder, green_spec.query_encoder),
            )
        ),
        judged=checks.judged,
    )
    gates += quality.gates()
    if searches := read_shadow(session.folder, green):
        gates.append(of_shadow(searches))
    return gates, quality.low


def _jobs(session: MigrationSession, state: MigrationState) -> list[Gate]:
    """Check that no job has written to blue directly since green was filled from it."""
    if state.writers is None:
        return []
    late = session.late_writers(state)
    words = "jobs that wrote past the journal since green was filled"
    if late:
        words += f": {'; '.join(late)}: repeat `migrate start`"
    return [at_most("jobs", len(late), 0, words)]


def _choose_queries(
    client: Client, blue: str, spec: CollectionSpec, checks: Checks, sampled: Path
) -> QuerySet:
    """Choose queries: those given, else sampled ones, else the beginnings of points' texts.

    Raises:
        ArgumentError: If there are none.
    """
    if checks.queries is not None:
        queries = checks.queries
        if not isinstance(queries, str | os.PathLike):
            queries = [one for one in queries if one.strip()]
        return of_texts(queries, checks.query_count, seed=0)
    if sampled.exists():
        texts = read_queries(sampled)
        if len(set(texts)) >= _ENOUGH_SAMPLED:
            return replace(of_texts(texts, checks.query_count, seed=0), source="of applications")
    own: dict[str, PointId] = {}
    points = draw(client, blue, 2 * checks.query_count)
    for number in np.random.default_rng(0).permutation(len(points)):
        point = points[number]
        if words := beginning(spec.fields.text_of(point.payload or {})):
            own.setdefault(words, plain_id(point.id))
        if len(own) >= checks.query_count:
            break
    if not own:
        raise ArgumentError(
            field="queries",
            problem=f"no point of {blue!r} has a text to make a query of: give queries",
        )
    return QuerySet(
        texts=list(own),
        own=list(own.values()),
        source="made of the beginnings of points, each left out of its answer",
    )
