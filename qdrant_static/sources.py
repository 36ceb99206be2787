"""Sources of rows, for programs that read input without ingesting it.

`open_source` opens files, `open_collection_source` the points of a collection; both are iterated in
batches. `SourceOptions` describes how an input is read, `Passages` how long texts are cut, and
`split` cuts the texts of a source so, as `ingest` does.
"""

from qdrant_static.reading.fromcollection import open_collection_source
from qdrant_static.reading.options import Passages, SourceOptions
from qdrant_static.reading.passagecuts import token_offsets
from qdrant_static.reading.passages import split
from qdrant_static.reading.sources import AnySource, open_source

__all__ = [
    "AnySource", "Passages", "SourceOptions", "open_collection_source", "open_source", "split",
    "token_offsets",
]  # fmt: skip
