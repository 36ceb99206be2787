"""Into a server: points as bytes, several requests under way, retries, and its indexing."""
