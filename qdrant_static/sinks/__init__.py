"""Encodes batches of records and writes them to a collection: in the process, or on a server."""
