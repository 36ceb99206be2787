"""``python -m qdrant_static.shipping.build``: build one shard, in a process of its own."""

import sys

from qdrant_static.shipping.build.shardchild import main

if __name__ == "__main__":
    sys.exit(main())
