"""Prepares the collection on the server that a shipment fills, and points the alias at it."""
