"""Measures what a collection finds: sampled queries, exact answers, recall, latency, bytes."""
