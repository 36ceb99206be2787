"""Turns a built shard into a shard snapshot for the target, streamed as a tar archive."""
