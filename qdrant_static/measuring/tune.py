"""Finds the cheapest search plan that reaches a target, measured on the user's own data."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from qdrant_static import rules
from qdrant_static._version import __version__
from qdrant_static.clients.connect import check_client
from qdrant_static.clock import now
from qdrant_static.collection.create import info_of, write_spec
from qdrant_static.collection.foreign import carried_spec, foreign_spec
from qdrant_static.collection.plan import SearchPlan
from qdrant_static.collection.planevidence import LAYOUT, layout_of
from qdrant_static.errors import ArgumentError
from qdrant_static.measuring.tuning.judgements import ByJudgements
from qdrant_static.measuring.tuning.race import Cost
from qdrant_static.measuring.tuning.recall import ByRecall
from qdrant_static.measuring.tuning.tuneclock import Clock, TuneProgress
from qdrant_static.measuring.tuning.tunereport import TuneReport
from qdrant_static.querying.run import Searcher

if TYPE_CHECKING:
    from qdrant_client import models

    from qdrant_static.clients.connect import Client
    from qdrant_static.collection.spec import CollectionSpec
    from qdrant_static.encoders.registry import AnyEncoder
    from qdrant_static.measuring.judged import JudgedSet
    from qdrant_static.querying.filters import FilterLike


def tune(
    client: Client,
    collection: str,
    *,
    target_recall: float = 0.99,
    k: int = 10,
    queries: Sequence[str] | str | os.PathLike[str] | None = None,
    sample: int = 500,
    judged: JudgedSet | str | os.PathLike[str] | None = None,
    plan: str | Mapping[str, Any] | SearchPlan | None = None,
    filter: FilterLike = None,  # noqa: A002
    query_filter: models.Filter | None = None,
    cost: Cost = "time",
    budget_s: float = 300.0,
    spec: CollectionSpec | None = None,
    encoder: AnyEncoder | None = None,
    late_encoder: Any = None,
    store: bool = True,
    progress: bool | Callable[[TuneProgress], None] | None = None,
    seed: int = 0,
) -> TuneReport:
    """Find the cheapest search plan that is good enough, and make it the collection's own.

    Without judgements, the measure is recall@k against exact search: a plan qualifies if the whole
    95% interval of its recall lies at the target or above. The kind of search is kept (a hybrid
    stays one; its dense side is tuned), since recall cannot show which kind is better. A third of
    the queries is not used for the choice, and measures the recall of the choice afterwards.

    With judgements, the measure is NDCG@k of all kinds of plans, their weights and feedback. The
    choice is the cheapest plan within 0.5% of the best on one half of the queries, if it is
    significantly better than the previous plan, or clearly cheaper and not worse. The reported
    figures are of the other half, and a choice that is significantly worse there than the
    previous plan is refused.

    Nothing is stored before the end; interrupting it changes nothing.

    Args:
        client: An `EdgeClient` or a `QdrantClient`.
        collection: The collection's name.
        target_recall: The recall@k to reach, above 0 and below 1.
        k: Depth of recall and NDCG.
        queries: Texts, or a file of them (JSON Lines with ``text``, or one per line). None takes
            vectors of the collection, each point left out of its own answer. Such queries are
            easier than real ones.
        sample: Number of queries for the choice; half as many more check it, if there are enough.
        judged: A data set in BEIR's form whose corpus the collection holds.
        plan: The plan to start from; None: the collection's own.
        filter: A filter for all queries, as in `search`.
        query_filter: The same as a `models.Filter`.
        cost: The cost to minimize: the median ``"time"`` of a query, measured one at a time and
            warm, or the ``"bytes"`` that a query reads, as computed from the plan.
        budget_s: Time limit, in seconds.
        spec: The spec of a collection that was made without this package (`foreign_spec`).
        encoder: The collection's encoder or its name; only texts need one.
        late_encoder: The encoder of the late-interaction vector; only texts need one.
        store: Whether the choice becomes the collection's own plan.
        progress: True shows progress on standard error; a function is called with a
            `TuneProgress`.
        seed: Seed of the order of the queries.

    Returns:
        The measurements, the choice, and whether it was stored.

    Raises:
        CollectionNotFoundError: If there is no such collection.
        ArgumentError: If there are too few points or queries to show that recall, the budget is too
            small, or an argument is impossible.
    """
    check_client(client, "tune(client, collection)")
    _check(target_recall=target_recall, k=k, sample=sample, budget_s=budget_s, cost=cost)
    if queries is not None and judged is not None:
        raise ArgumentError(field="judged", problem="has its own queries; omit `queries`")
    if spec is None:
        spec = carried_spec(client, collection) or foreign_spec(client, collection, encoder=encoder)
    searcher = Searcher(client, collection, spec=spec, encoder=encoder, late_encoder=late_encoder)
    base = searcher.plan(plan)
    info = info_of(client, collection)
    narrowed = searcher.filter(filter, query_filter)
    with Clock(budget_s, progress=progress, collection=collection) as clock:
        arguments = (client, collection, searcher, base, k, narrowed, cost, clock)
        run: ByRecall | ByJudgements
        if judged is not None:
            run = ByJudgements(*arguments)
            run.run(judged, seed)
        else:
            run = ByRecall(*arguments)
            run.run(queries, sample, target_recall, seed)
    storing = store and run.reached and run.choice is not None
    report = run.report(target=None if judged is not None else target_recall, stored=storing)
    if storing and report.choice is not None:
        # Read again: a tuning takes minutes, and another process may have changed it meanwhile.
        stored = carried_spec(client, collection)
        now = spec if stored is None or not stored.planned else stored
        write_spec(
            client,
            collection,
            replace(
                now,
                plan=report.choice.plan.to_dict(),
                evidence={**evidence(report), LAYOUT: layout_of(report.choice.plan, now, info)},
            ),
        )
    return report


def evidence(report: TuneReport) -> dict[str, Any]:
    """Return the evidence that is stored with a plan: the figures, the engine and the date."""
    choice = report.choice
    return {
        "by": f"qdrant-static {__version__} tune",
        "date": now(),
        "engine": report.engine,
        "points": report.points,
        "filtered": report.filtered,
        "metric": report.metric,
        "target": report.target,
        "source": report.source,
        "queries": report.queries,
        **({} if choice is None else {
            "value": choice.value, "low": choice.low, "high": choice.high,
            "p50_ms": choice.p50_ms, "p95_ms": choice.p95_ms, "bytes_read": choice.bytes_read,
        }),
        "exact_p50_ms": None if report.exact is None else report.exact.p50_ms,
        "fresh": None if report.fresh is None else asdict(report.fresh),
    }  # fmt: skip


def _check(*, target_recall: float, k: int, sample: int, budget_s: float, cost: str) -> None:
    if not 0 < target_recall < 1:
        raise ArgumentError(
            field="target_recall",
            problem=f"{target_recall!r} is not above 0 and below 1; no sample can show 1: for "
            "that, search by the plan 'exact'",
        )
    for name, value in (("k", k), ("sample", sample)):
        rules.check_integer(name, value)
    if not budget_s > 0:
        raise ArgumentError(
            field="budget_s", problem=f"{budget_s!r} seconds are not enough to measure anything"
        )
    if cost not in ("time", "bytes"):
        raise ArgumentError.of_choice("cost", cost, "time, bytes")
