"""A source with the rows of one shard.

Each process reads the whole input and keeps the rows whose points lie on its shard, before it
computes their digests, payloads and vectors. A key has one id, and an id one shard, so that
duplicate keys are decided as in a single process. Rows that the reader rejects have no id; the
first shard has them. Every process reports a file that cannot be read, as it may fail for one of
them only.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from qdrant_static.ids import point_id, text_key
from qdrant_static.reading.batch import Batch, SettledRanges
from qdrant_static.reading.rejects import Reject
from qdrant_static.reading.sources import AnySource
from qdrant_static.routing import shard_of

if TYPE_CHECKING:
    from qdrant_static.reading.inputs import Fingerprint
    from qdrant_static.reading.selection import Selection


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """The rows of a source whose points lie on one shard; itself a source.

    Attributes:
        source: The whole source.
        shard: The shard.
        of: Number of shards.
    """

    source: AnySource
    shard: int
    of: int

    @property
    def selection(self) -> Selection:
        """The columns."""
        return self.source.selection

    @property
    def left_out(self) -> tuple[str, ...]:
        """Columns that no payload can hold."""
        return self.source.left_out

    @property
    def total_rows(self) -> int | None:
        """Always None: the number is not known before they are read."""
        return None

    @property
    def files(self) -> tuple[Path, ...]:
        """The names of the files."""
        return self.source.files

    def batches(self, settled: SettledRanges | None = None) -> Iterator[Batch | Reject]:
        """Yield the source's batches, with their addresses, and the rows of this shard."""
        for item in self.source.batches(settled):
            yield item if isinstance(item, Reject) else self._own(item)

    def fingerprints(self) -> dict[str, Fingerprint]:
        """Return file name -> what changes when the file does."""
        return self.source.fingerprints()

    def _own(self, batch: Batch) -> Batch:
        keys = batch.keys
        if keys is None:
            keys = [text_key(text) for text in batch.texts.to_pylist()]
        shards = shard_of([point_id(key) for key in keys], self.of)
        own = batch.take(np.flatnonzero(shards == self.shard).tolist())
        return own if self.shard == 0 else replace(own, rejects=[])
