"""Measuring quality: metrics, how sure a figure is, and judged data sets. Pure; no client."""
