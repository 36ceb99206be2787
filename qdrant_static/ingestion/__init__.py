"""Reads, encodes and stores rows, and accounts for each of them."""
