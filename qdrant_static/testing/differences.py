"""Tests that the known clients do not pass, each with its reason.

A key is a test's name, with its parameter in brackets if only that one differs. Also a server
differs from the suite in some tests.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Difference:
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
_BY_CHANCE = Difference(
    "the request is refused, but points that the engine met before the bad one are stored",
    always=False,
)
_MISFITS = "test_upsert__misfits_are_refused_and_nothing_stored"
_FINITE = "test_upsert__numbers_that_are_not_finite_are_refused"
_NO_INDEXES = Difference("payload indexes have no effect", supported=False)
_NO_SETTINGS = Difference("settings have no effect", supported=False)
_NO_QUANTIZATION = Difference("quantization has no effect", supported=False)

#: EdgeClient. Every line is in docs/edge.md.
EDGE: Mapping[str, Difference] = MappingProxyType(
    {
        "test_create_collection__no_vectors": Difference(
            "the engine needs at least one vector", supported=False
        ),
    }
)
#: QdrantClient(":memory:").
MEMORY: Mapping[str, Difference] = MappingProxyType(
    {
        "test_scroll__ordering_needs_an_index": Difference("it sorts without an index"),
        "test_facet__needs_an_index": Difference("it counts without an index"),
        f"{_FINITE}[inf]": Difference("infinite numbers are stored"),
        "test_upsert__bad_ids_are_refused[-1]": Difference("negative ids are stored"),
        "test_update_vectors__a_missing_point_is_refused_and_nothing_changed": Difference(_PARTLY),
        "test_set_payload__a_missing_point_leaves_the_others": Difference(_PARTLY),
        "test_create_collection__quantizations": _NO_QUANTIZATION,
        "test_create_collection__hnsw_and_optimizers": _NO_SETTINGS,
        "test_update_collection__settings": _NO_SETTINGS,
        "test_create_payload_index__types": _NO_INDEXES,
        "test_create_payload_index__without_a_type_is_refused": _NO_INDEXES,
    }
)
_SERVER: Mapping[str, Difference] = MappingProxyType(
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
        f"{_FINITE}[1e+39]": Difference("it becomes infinite and is stored"),
        "test_update_vectors__a_missing_point_is_refused_and_nothing_changed": Difference(_PARTLY),
        "test_set_payload__a_missing_point_leaves_the_others": Difference(_PARTLY),
        "test_update_collection_aliases__all_or_none": Difference(
            "the actions before the one that fails stay"
        ),
        "test_update_collection_aliases__renaming_onto_a_collection_is_refused": Difference(
            "it reports success, and the alias is gone"
        ),
    }
)
#: QdrantClient and a server of 1.18, over REST.
REST = _SERVER
#: The same over gRPC.
GRPC: Mapping[str, Difference] = MappingProxyType(
    {
        **_SERVER,
        f"{_FINITE}[nan]": Difference("it is stored"),
        f"{_FINITE}[inf]": Difference("it is stored"),
        "test_query_points__not_a_number_is_refused": Difference("it is answered"),
    }
)
