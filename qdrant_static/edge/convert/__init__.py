"""Converts qdrant_client.models to the types of qdrant_edge, and results back.

The conversion is data: a table per model (`modeltables.Table`), applied by `convert_model`. A field
that the engine lacks raises an error that names it; no field is dropped.
"""

from qdrant_static.edge.convert.bounds import check_number, check_vectors
from qdrant_static.edge.convert.collections import (
    HNSW_DEFAULTS,
    create_vector_name,
    edge_config,
    hnsw_config,
    optimizers_config,
    quantization_config,
    sparse_vector_params,
    vector_params,
)
from qdrant_static.edge.convert.dicts import (
    parsed,
    parsed_collection,
    parsed_points,
    parsed_request,
    parsed_stages,
    parsed_vectors,
)
from qdrant_static.edge.convert.filters import condition, filter_, narrowed, optional_filter
from qdrant_static.edge.convert.formula import expression, formula
from qdrant_static.edge.convert.indexes import (
    payload_index_back,
    payload_schema,
    payload_schema_back,
    stemmer,
    stopwords,
)
from qdrant_static.edge.convert.modeltables import NOT_EXPRESSIBLE, reason
from qdrant_static.edge.convert.points import (
    DenseValues,
    named_vector,
    named_vectors,
    point,
    point_vectors,
    record_back,
    requested_vectors,
    scored_point_back,
    vectors_back,
    with_payload,
    with_vectors,
)
from qdrant_static.edge.convert.queries import DEFAULT_LIMIT, order_by, query
from qdrant_static.edge.convert.queryvectors import Resolve, average, referenced_ids
from qdrant_static.edge.convert.requests import (
    Resolver,
    listed,
    prefetches,
    query_request,
    search_params,
)
from qdrant_static.edge.convert.updates import update_mode, update_operation

__all__ = [
    "DEFAULT_LIMIT",
    "HNSW_DEFAULTS",
    "NOT_EXPRESSIBLE",
    "DenseValues",
    "Resolve",
    "Resolver",
    "average",
    "check_number",
    "check_vectors",
    "condition",
    "create_vector_name",
    "edge_config",
    "expression",
    "filter_",
    "formula",
    "hnsw_config",
    "listed",
    "named_vector",
    "named_vectors",
    "narrowed",
    "optimizers_config",
    "optional_filter",
    "order_by",
    "parsed",
    "parsed_collection",
    "parsed_points",
    "parsed_request",
    "parsed_stages",
    "parsed_vectors",
    "payload_index_back",
    "payload_schema",
    "payload_schema_back",
    "point",
    "point_vectors",
    "prefetches",
    "quantization_config",
    "query",
    "query_request",
    "reason",
    "record_back",
    "referenced_ids",
    "requested_vectors",
    "scored_point_back",
    "search_params",
    "sparse_vector_params",
    "stemmer",
    "stopwords",
    "update_mode",
    "update_operation",
    "vector_params",
    "vectors_back",
    "with_payload",
    "with_vectors",
]
