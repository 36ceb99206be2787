"""A built collection -> a server, without indexing there; and back."""
