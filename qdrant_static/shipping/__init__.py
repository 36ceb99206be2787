"""Builds a collection on this machine, ships it to a server, and pulls one back."""
