"""Shards that a server gives away, on their way into a folder."""
