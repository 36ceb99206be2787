"""Connects to Qdrant, retries requests, reads pages of points and aliases, waits for indexes."""
