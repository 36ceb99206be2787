"""``python -m qdrant_static.edge ROOT NAME``: build an index in a process of its own."""

import sys

from qdrant_static.edge.indexbuild import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
