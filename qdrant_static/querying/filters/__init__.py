"""Converts filters as text, such as ``year>=2000 and lang=en,de``, to Qdrant filters."""

from __future__ import annotations

from qdrant_static.querying.filters.build import FilterLike, build_filter, one_filter
from qdrant_static.querying.filters.stored import StoredFields, index_warnings

__all__ = ["FilterLike", "StoredFields", "build_filter", "index_warnings", "one_filter"]
