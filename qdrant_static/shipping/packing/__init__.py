"""A built shard -> a stream: its segments in the words of the target, and a tar."""
