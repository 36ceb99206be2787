"""What a collection is: its spec, its vectors, its search plan; created, compared, changed."""
