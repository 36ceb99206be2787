"""Turns a text and a plan into one request, and its answer into typed hits."""
