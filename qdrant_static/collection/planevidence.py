"""Binds measurements of a plan to the codes, graphs and candidates that it was measured with.

Recall that was measured with other codes means nothing. So evidence holds a fingerprint of the
plan's passes over dense vectors, and is dropped where the plan would make other passes now: after
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

#: The key of what was measured of the collection's own plan, where that sets its candidates.
OWN = "plan"
#: The key of the fingerprint in what was measured.
LAYOUT = "layout"
#: Hits for which the passes are counted.
_LIMIT = 10
_LOGGER = logging.getLogger("qdrant_static.querying")


def layout_fingerprint(plan: SearchPlan, spec: CollectionSpec) -> str:
    """Return a digest of a plan's passes over dense vectors, and of the encoder.

    Args:
        plan: A plan that the collection can serve.
        spec: The collection's spec, as the engine has it (`fromparams.actual`).
    """
    passes = [] if plan.kind == "bm25" else dense_passes(plan, spec, _LIMIT)
    content = {"encoder": spec.encoder.fingerprint, "passes": [_pass_data(one) for one in passes]}
    text = json.dumps(content, sort_keys=True)
    return blake2b(text.encode(), digest_size=8).hexdigest()


def layout_of(plan: SearchPlan, spec: CollectionSpec, info: models.CollectionInfo) -> str | None:
    """Return that digest for a live collection; None if it lacks a vector of the plan."""
    try:
        return layout_fingerprint(plan, fromparams.actual(spec, info, server=False))
    except ArgumentError:
        return None


def current(spec: CollectionSpec, info: models.CollectionInfo, collection: str) -> CollectionSpec:
    """Return the metadata's spec without what was measured on another layout.

    A plan that was set without evidence stays. So does what an earlier version wrote,
    which bound nothing.

    Args:
        spec: From the metadata.
        info: What `get_collection` gave.
        collection: The collection's name, for the log; empty: the caller warns.
    """
    found = spec
    if _outdated(spec.evidence, spec.plan, spec, info):
        if collection:
            _LOGGER.warning("collection %r: %s", collection, DROPPED)
        found = replace(found, plan=None, evidence=None)
    measured = dict(spec.measured or {})
    for side in [side for side, one in measured.items() if isinstance(one, Mapping)]:
        plan = spec.plan if side == OWN else side
        if _outdated(measured[side], plan, replace(spec, measured=None), info):
            del measured[side]
    if spec.measured is not None and measured != spec.measured:
        found = replace(found, measured=measured or None)
    return found


#: The warning about a plan that was tuned on another layout.
DROPPED = (
    "its plan was tuned with other codes, graphs or vectors: the plan and its evidence no longer "
    "count, and the default plan takes its place; `tune` finds a new one"
)


def _outdated(
    evidence: Mapping[str, Any] | None,
    plan: str | Mapping[str, Any] | None,
    spec: CollectionSpec,
    info: models.CollectionInfo,
) -> bool:
    """Return whether evidence is of passes that the plan no longer makes."""
    bound = None if evidence is None else evidence.get(LAYOUT)
    if bound is None or plan is None:
        return False
    try:
        return bool(bound != layout_of(SearchPlan.of(plan), spec, info))
    except ArgumentError:
        return True


def _pass_data(one: Pass) -> dict[str, Any]:
    vector = one.vector
    return {
        "name": vector.name,
        "size": vector.size,
        "distance": vector.distance,
        "datatype": vector.datatype,
        "scale": vector.scale,
        # A pass over what came before, or an exact one, has no use for either.
        "codes": quantizations.to_dict(vector.quantization) if one.codes else None,
        "graph": [vector.hnsw.m, vector.hnsw.ef_construct]
        if vector.hnsw is not None and one.first and not one.exact
        else None,
        "limit": one.limit,
        "oversampling": one.oversampling,
        "ef": one.ef,
    }
