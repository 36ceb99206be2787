"""Entry point of ``python -m qdrant_static.edge ROOT NAME``, which builds an index."""

import sys

from qdrant_static.edge.indexbuild import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
