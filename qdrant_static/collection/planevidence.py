"""Binds measurements of a plan to the codes, graphs and candidates that it was measured with.

Recall that was measured with other codes does not apply. So evidence holds a fingerprint of the
plan's passes over dense vectors, and is dropped when these passes have changed: after
`quantize`, `apply`, or a change through the client alone. A vector that the plan does not use may
be added or removed.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import replace
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from qdrant_static.collection import fromparams
from qdrant_static.collection import quantization as quantizations
from qdrant_static.collection.passes import dense_passes
from qdrant_static.collection.plan import SearchPlan
from qdrant_static.errors import ArgumentError

if TYPE_CHECKING:
    from qdrant_client import models

    from qdrant_static.collection.passes import Pass
    from qdrant_static.collection.spec import CollectionSpec

#: The key, in `measured`, of the collection's own plan, if that sets its candidates.
OWN = "plan"
#: The key of the fingerprint in a measurement.
LAYOUT = "layout"
#: Number of hits for which the passes are computed.
_LIMIT = 10
_LOGGER = logging.getLogger("qdrant_static.querying")


def layout_fingerprint(plan: SearchPlan, spec: CollectionSpec) -> str:
    """Return a digest of a plan's passes over dense vectors, and of the encoders.

    Args:
        plan: A plan that the collection can serve.
        spec: The collection's spec, as the engine has it (`fromparams.actual`).
    """
    passes = [] if plan.kind == "bm25" else dense_passes(plan, spec, _LIMIT)
    content = {
        "encoder": spec.encoder.fingerprint,
        "passes": [_pass_data(dense_pass) for dense_pass in passes],
        # Recall is that of the queries' vectors; digests of earlier versions know one encoder.
        **({} if spec.queries is None else {"queries": spec.queries.fingerprint}),
    }
    text = json.dumps(content, sort_keys=True)
    return blake2b(text.encode(), digest_size=8).hexdigest()


def layout_of(plan: SearchPlan, spec: CollectionSpec, info: models.CollectionInfo) -> str | None:
    """Return that digest for a live collection; None if it lacks a vector of the plan."""
    try:
        return layout_fingerprint(plan, fromparams.actual(spec, info, server=False))
    except ArgumentError:
        return None


def current(spec: CollectionSpec, info: models.CollectionInfo, collection: str) -> CollectionSpec:
    """Return the stored spec without measurements that were made on another layout.

    A plan that was set without evidence stays, and so does evidence of an earlier version,
    which has no fingerprint.

    Args:
        spec: The spec in the metadata.
        info: What `get_collection` returned.
        collection: The collection's name, for the log; if empty, nothing is logged.
    """
    checked = spec
    if _outdated(spec.evidence, spec.plan, spec, info):
        if collection:
            _LOGGER.warning("collection %r: %s", collection, DROPPED)
        checked = replace(checked, plan=None, evidence=None)
    measured = dict(spec.measured or {})
    for side in [side for side, figures in measured.items() if isinstance(figures, Mapping)]:
        plan = spec.plan if side == OWN else side
        if _outdated(measured[side], plan, replace(spec, measured=None), info):
            del measured[side]
    if spec.measured is not None and measured != spec.measured:
        checked = replace(checked, measured=measured or None)
    return checked


#: The warning about a plan that was tuned on another layout.
DROPPED = (
    "its plan was tuned with other codes, graphs, vectors or queries: the plan and its evidence no "
    "longer count, and the default plan takes its place; `tune` finds a new one"
)


def _outdated(
    evidence: Mapping[str, Any] | None,
    plan: str | Mapping[str, Any] | None,
    spec: CollectionSpec,
    info: models.CollectionInfo,
) -> bool:
    """Return whether evidence is about passes that the plan no longer makes."""
    bound = None if evidence is None else evidence.get(LAYOUT)
    if bound is None or plan is None:
        return False
    try:
        return bool(bound != layout_of(SearchPlan.of(plan), spec, info))
    except ArgumentError:
        return True


def _pass_data(dense_pass: Pass) -> dict[str, Any]:
    vector = dense_pass.vector
    return {
        "name": vector.name,
        "size": vector.size,
        "distance": vector.distance,
        "datatype": vector.datatype,
        "scale": vector.scale,
        # A later pass, or an exact one, uses neither codes nor graph.
        "codes": quantizations.to_dict(vector.quantization) if dense_pass.codes else None,
        "graph": [vector.hnsw.m, vector.hnsw.ef_construct]
        if vector.hnsw is not None and dense_pass.first and not dense_pass.exact
        else None,
        "limit": dense_pass.limit,
        "oversampling": dense_pass.oversampling,
        "ef": dense_pass.ef,
    }
