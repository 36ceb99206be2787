"""QdrantClient's interface over Qdrant Edge, the engine in the process, on a directory."""

from qdrant_static.edge.client import EdgeClient

__all__ = ["EdgeClient"]
