"""``python -m qdrant_static.ingest.shares``: build one shard, in a process of its own."""

import sys

from qdrant_static.ingest.shares.child import main

if __name__ == "__main__":
    sys.exit(main())
