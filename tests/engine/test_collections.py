"""Specs, diffs, collections of others and `quantize` on the embedded engine."""

from __future__ import annotations

from tests.collection_suite import CollectionSuite


class TestEdge(CollectionSuite):
    embedded = True
