"""``python -m qdrant_static``: the command line."""

from __future__ import annotations

from qdrant_static.cli import main

if __name__ == "__main__":
    main()
