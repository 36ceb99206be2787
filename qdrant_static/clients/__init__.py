"""Connects to Qdrant, retries calls, reads versions and aliases, waits for indexes."""
