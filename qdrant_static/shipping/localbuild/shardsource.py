"""One shard's share of an input.

Each process reads the whole input and keeps the rows whose points lie on its shard, before their
digests, payloads and vectors are made. A key has one id, and an id one shard, so that keys which
come twice are decided here as they are in one process. Rows that the reader rejects have no id;
they are the first shard's. A file that breaks off is told by every process, as it may break for one
of them only.
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
        source: The source.
        shard: The shard.
        of: How many there are.
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
        """Nobody knows how many there are before they are read."""
        return None

    @property
    def files(self) -> tuple[Path, ...]:
        """The files, by name."""
        return self.source.files

    def batches(self, settled: SettledRanges | None = None) -> Iterator[Batch | Reject]:
        """The source's batches, addresses and all, with the rows of this shard."""
        for item in self.source.batches(settled):
            yield item if isinstance(item, Reject) else self._own(item)

    def fingerprints(self) -> dict[str, Fingerprint]:
        """File name -> what changes when the file does."""
        return self.source.fingerprints()

    def _own(self, batch: Batch) -> Batch:
        keys = batch.keys
        if keys is None:
            keys = [text_key(text) for text in batch.texts.to_pylist()]
        shards = shard_of([point_id(key) for key in keys], self.of)
        own = batch.take(np.flatnonzero(shards == self.shard).tolist())
        return own if self.shard == 0 else replace(own, rejects=[])
