"""Builds a collection in a local folder, with one process for each shard."""
