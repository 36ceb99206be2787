"""EdgeClient: the interface of QdrantClient over the embedded engine Qdrant Edge."""

from qdrant_static.edge.client import EdgeClient

__all__ = ["EdgeClient"]
