"""EdgeClient's methods are QdrantClient's: names, order and defaults of the parameters."""

from __future__ import annotations

import inspect

import pytest
from qdrant_client import QdrantClient

from qdrant_static import EdgeClient
from qdrant_static.edge.unsupported import REASONS
from qdrant_static.errors import NotSupportedByEdgeError

METHODS = (
    "create_collection", "recreate_collection", "update_collection", "delete_collection",
    "collection_exists", "get_collection", "get_collections", "create_vector_name",
    "delete_vector_name", "create_payload_index", "delete_payload_index", "upsert",
    "upload_points", "upload_collection", "update_vectors", "delete_vectors", "delete",
    "set_payload", "overwrite_payload", "delete_payload", "clear_payload", "batch_update_points",
    "retrieve", "scroll", "count", "facet", "query_points", "query_batch_points",
    "query_points_groups", "update_collection_aliases", "get_aliases", "get_collection_aliases",
    "search_matrix_pairs", "search_matrix_offsets", "info", "close", "get_embedding_size",
    "list_text_models", "list_image_models",
    "list_sparse_models", "list_late_interaction_text_models",
    "list_late_interaction_multimodal_models",
)  # fmt: skip
#: Parameters that only one of the two has, each with its reason.
ONLY_OURS = {
    ("create_collection", "wal"): "the engine can do without a write-ahead log",
    ("recreate_collection", "wal"): "the engine can do without a write-ahead log",
}
ONLY_THEIRS = {"kwargs": "the client asserts that it is empty; an unknown argument is a TypeError"}
#: EdgeClient's own methods.
OURS = {
    "flush", "optimize", "release", "path", "index_after_load", "upsert_matrices",
    "shard_folders", "receiving", "shard_counts", "sample_points", "shard_ids", "nearest",
}  # fmt: skip
#: Names of later clients that an older one lacks; the oldest that is supported has no such name.
LATER = {"create_vector_name", "delete_vector_name"}


def _parameters(client: type, method: str) -> dict[str, inspect.Parameter]:
    return dict(inspect.signature(getattr(client, method)).parameters)


@pytest.mark.parametrize("method", METHODS)
def test_parameters_are_the_clients(method: str) -> None:
    if method in LATER and not hasattr(QdrantClient, method):
        pytest.skip("this version of the client has no such method")
    ours, theirs = _parameters(EdgeClient, method), _parameters(QdrantClient, method)
    ours = {name: one for name, one in ours.items() if (method, name) not in ONLY_OURS}
    theirs = {name: one for name, one in theirs.items() if name not in ONLY_THEIRS}
    assert list(ours) == list(theirs)
    assert {name: one.default for name, one in ours.items()} == {
        name: one.default for name, one in theirs.items()
    }


def test_every_method_of_the_client_is_there_or_says_why_not() -> None:
    theirs = {name for name in dir(QdrantClient) if not name.startswith("_") and name.islower()}
    assert theirs <= {*METHODS, *REASONS}


def test_nothing_else_is_public() -> None:
    public = {name for name in vars(EdgeClient) if not name.startswith("_")}
    assert public - set(METHODS) <= OURS


@pytest.mark.parametrize("name", sorted(REASONS))
def test_what_is_not_supported_says_why(name: str) -> None:
    with pytest.raises(NotSupportedByEdgeError, match=name):
        getattr(EdgeClient("nowhere"), name)("any", argument=1)


def test_an_unknown_argument_is_an_error() -> None:
    with pytest.raises(TypeError):
        EdgeClient("nowhere").count("any", exakt=True)  # type: ignore[call-arg]


def test_an_unknown_attribute_is_an_error() -> None:
    assert not hasattr(EdgeClient("nowhere"), "upserd")
