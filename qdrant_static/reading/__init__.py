"""Reads files, streams, tables in memory and collections as batches of records with addresses."""
