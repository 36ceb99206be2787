"""SMEC: sequential Matryoshka embedding compression.

Source: Zhang et al., SMEC: Rethinking Matryoshka Representation Learning for Retrieval Embedding
Compression, EMNLP 2025 (arXiv:2510.12474).
"""
