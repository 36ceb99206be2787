"""Tests that the known clients do not pass, each with its reason.

A key is a test's name, with its parameter in brackets if only that one differs. Also a server
differs from the suite in some tests.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Deviation:
    """The reason why a client does not pass a test.

    Attributes:
        reason: What it does instead.
        supported: False if it lacks the feature.
        always: False if the result depends on chance.
    """

    reason: str
    supported: bool = True
    always: bool = True


_PARTLY = "the existing points are changed before the missing one is noticed"
_BY_CHANCE = Deviation(
    "the request is refused, but points that the engine met before the bad one are stored",
    always=False,
)
_MISFITS = "test_upsert__misfits_are_refused_and_nothing_stored"
_FINITE = "test_upsert__numbers_that_are_not_finite_are_refused"
_NO_INDEXES = Deviation("payload indexes have no effect", supported=False)
_NO_SETTINGS = Deviation("settings have no effect", supported=False)
_NO_QUANTIZATION = Deviation("quantization has no effect", supported=False)

#: EdgeClient. Every line is in docs/edge.md.
EDGE: Mapping[str, Deviation] = MappingProxyType(
    {
        "test_create_collection__no_vectors": Deviation(
            "the engine needs at least one vector", supported=False
        ),
    }
)
#: QdrantClient(":memory:").
MEMORY: Mapping[str, Deviation] = MappingProxyType(
    {
        "test_scroll__ordering_needs_an_index": Deviation("it sorts without an index"),
        "test_facet__needs_an_index": Deviation("it counts without an index"),
        f"{_FINITE}[inf]": Deviation("infinite numbers are stored"),
        "test_upsert__bad_ids_are_refused[-1]": Deviation("negative ids are stored"),
        "test_update_vectors__a_missing_point_is_refused_and_nothing_changed": Deviation(_PARTLY),
        "test_set_payload__a_missing_point_leaves_the_others": Deviation(_PARTLY),
        "test_create_collection__quantizations": _NO_QUANTIZATION,
        "test_create_collection__hnsw_and_optimizers": _NO_SETTINGS,
        "test_update_collection__settings": _NO_SETTINGS,
        "test_create_payload_index__types": _NO_INDEXES,
        "test_create_payload_index__without_a_type_is_refused": _NO_INDEXES,
    }
)
_SERVER: Mapping[str, Deviation] = MappingProxyType(
    {
        **{
            f"{_MISFITS}[{case}]": _BY_CHANCE
            for case in (
                "unknown name",
                "unnamed",
                "multi for a single one",
                "dense for sparse",
                "sparse",
            )
        },
        f"{_FINITE}[1e+39]": Deviation("it becomes infinite and is stored"),
        "test_update_vectors__a_missing_point_is_refused_and_nothing_changed": Deviation(_PARTLY),
        "test_set_payload__a_missing_point_leaves_the_others": Deviation(_PARTLY),
        "test_update_collection_aliases__all_or_none": Deviation(
            "the actions before the one that fails stay"
        ),
        "test_update_collection_aliases__renaming_onto_a_collection_is_refused": Deviation(
            "it reports success, and the alias is gone"
        ),
    }
)
#: QdrantClient and a server of 1.18, over REST.
REST = _SERVER
#: The same over gRPC.
GRPC: Mapping[str, Deviation] = MappingProxyType(
    {
        **_SERVER,
        f"{_FINITE}[nan]": Deviation("it is stored"),
        f"{_FINITE}[inf]": Deviation("it is stored"),
        "test_query_points__not_a_number_is_refused": Deviation("it is answered"),
    }
)
