"""``python -m qdrant_static.shipping.localbuild``: build one shard, in a process of its own."""

import sys

from qdrant_static.shipping.localbuild.shardchild import main

if __name__ == "__main__":
    sys.exit(main())
