"""Compares layouts of a collection by size and expected recall, and recommends one.

The recommendation is the cheapest layout that is expected to reach the target: fewest machines,
then fewest reads from disk in a search, then fewest bytes compared, then least RAM and disk.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from qdrant_static.collection import capacityfigures as figures
from qdrant_static.collection.capacity import (
    Corpus,
    Footprint,
    footprint,
    is_indexed,
)
from qdrant_static.collection.cluster import Cluster, Machine, cluster
from qdrant_static.collection.layoutcandidates import Expected, candidates, compared_bytes
from qdrant_static.collection.presets import preset
from qdrant_static.collection.serverspec import ServerSpec
from qdrant_static.collection.spec import CollectionSpec
from qdrant_static.collection.vectorspec import (
    LateSpec,
    SparseSpec,
)
from qdrant_static.encoders.base import EncoderInfo
from qdrant_static.errors import ArgumentError


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """A layout of a collection, with its size and its expected recall.

    Attributes:
        name: Such as ``"full turbo4, originals on disk"``.
        spec: The collection's spec.
        taken: Footprint of one copy.
        expected: Expected recall, and the candidates for it.
        cluster: Machines and shards.
        disk_reads: Reads from disk in a search for 10 hits, where no cache helps.
        compared_bytes: Bytes of codes and vectors that such a search compares.
        fits: Whether it fits the `memory` argument of `capacity`.
    """

    name: str
    spec: CollectionSpec
    taken: Footprint
    expected: Expected
    cluster: Cluster
    disk_reads: int
    compared_bytes: int
    fits: bool

    def reaches(self, target: float) -> bool:
        """Return whether the target recall can be expected."""
        return self.expected.recall >= target


@dataclass(frozen=True, slots=True, kw_only=True)
class CapacityPlan:
    """All layouts, and the recommended one.

    Attributes:
        corpus: The rows of the collection.
        target_recall: recall@10 that is wanted.
        layouts: In order of preference; those that miss the target, or do not fit, come last.
        chosen: The first of them if it reaches the target and fits; else None.
        reasons: Reasons for the choice, one sentence each.
    """

    corpus: Corpus
    target_recall: float
    layouts: tuple[Layout, ...]
    chosen: Layout | None
    reasons: tuple[str, ...]


def capacity(
    encoder: EncoderInfo,
    corpus: Corpus,
    *,
    target_recall: float = 0.95,
    memory: int | None = None,
    machine: Machine | None = None,
    replicas: int = 1,
    matryoshka: Sequence[int] = (),
    sparse: SparseSpec | None = None,
    late: LateSpec | None = None,
    payload_indexes: Mapping[str, str] | None = None,
    embedded: bool = False,
) -> CapacityPlan:
    """Compute the size of a collection in each layout, and choose the cheapest of enough recall.

    Args:
        encoder: The encoder; only its dimension matters.
        corpus: Rows and their mean sizes.
        target_recall: recall@10 against exact search that the codes must keep.
        memory: Bytes that one copy may hold in RAM, all machines together; None: no limit.
        machine: Memory and disk of a server's machine.
        replicas: Copies of each shard.
        matryoshka: Sizes that a short vector may have, whose candidates the full one rescores.
        sparse: The BM25 vector, or None.
        late: The late-interaction vector, or None.
        payload_indexes: Payload field -> type.
        embedded: With Qdrant Edge: one shard, one machine.

    Raises:
        ArgumentError: If an argument is impossible.
    """
    if not 0 < target_recall <= 1:
        raise ArgumentError(field="target_recall", problem=f"{target_recall} is not within 0 to 1")
    if memory is not None and memory < 1:
        raise ArgumentError(field="memory", problem=f"{memory} is below 1 byte")
    host = machine or Machine()
    layouts = []
    for candidate in candidates(
        encoder.dimension, matryoshka, target_recall, sparse=sparse is not None
    ):
        spec = CollectionSpec(
            encoder=encoder,
            vectors=candidate.vectors,
            sparse=None if sparse is None else replace(sparse, placement=candidate.postings),
            late=late,
            payload_indexes=payload_indexes or {},
        )
        one_copy = footprint(
            spec,
            corpus,
            embedded=embedded,
            rows_per_segment=None if embedded else figures.MAX_ROWS_PER_SHARD,
        )
        needed = cluster(one_copy, machine=host, replicas=replicas)
        fits = memory is None or one_copy.ram <= memory
        if embedded:
            fits = fits and needed.machines == 1
        else:
            server = ServerSpec(shards=needed.shards, replicas=replicas, on_disk_payload=True)
            spec = replace(spec, server=server)
        layouts.append(
            Layout(
                name=candidate.name,
                spec=spec,
                taken=one_copy,
                expected=candidate.expected,
                cluster=needed,
                disk_reads=candidate.disk_reads,
                compared_bytes=compared_bytes(candidate),
                fits=fits,
            )
        )
    layouts.sort(key=lambda layout: _price(layout, target_recall))
    best = layouts[0]
    chosen = best if best.fits and best.reaches(target_recall) else None
    reasons = (
        _failures(layouts, target_recall, memory, embedded=embedded)
        if chosen is None
        else _reasons(layouts, chosen, corpus, target_recall, embedded=embedded)
    )
    return CapacityPlan(
        corpus=corpus, target_recall=target_recall, layouts=tuple(layouts), chosen=chosen,
        reasons=tuple(reasons),
    )  # fmt: skip


def _price(layout: Layout, target: float) -> tuple[float, ...]:
    return (
        not layout.fits,
        not layout.reaches(target),
        layout.cluster.machines,
        layout.disk_reads > 0,
        layout.disk_reads,
        layout.compared_bytes,
        layout.taken.ram,
        layout.taken.disk,
    )


def _reasons(
    layouts: Sequence[Layout],
    chosen: Layout,
    corpus: Corpus,
    target: float,
    *,
    embedded: bool,
) -> Iterator[str]:
    """Yield why a layout was chosen, one sentence each."""
    expectation = chosen.expected
    rescored = expectation.candidates > 10 or chosen.spec.vectors[-1].quantized
    source = f" from {expectation.candidates} candidates" if rescored else ""
    yield (
        f"it is expected to keep {expectation.recall:.3f} of the exact top ten{source} "
        f"(target {target:g})"
    )
    able = [layout for layout in layouts if layout.fits and layout.reaches(target)]
    machines = {layout.cluster.machines for layout in able}
    if not embedded and len(machines) > 1:
        yield f"it needs {chosen.cluster.machines} machines; others need up to {max(machines)}"
    if chosen.disk_reads:
        too_large = any(not layout.fits and not layout.disk_reads for layout in layouts)
        instead = "not fit the memory" if too_large else "take more machines"
        times = chosen.disk_reads
        yield f"a search reads from disk {times} times: with all in RAM it would {instead}"
    else:
        yield "originals are in RAM: no search waits for the disk"
    if not is_indexed(chosen.spec, corpus):
        yield "the engine builds no graph below 10 MB: so few rows are compared one by one"
        return
    most = max((layout.compared_bytes for layout in able), default=0)
    if most > 1.2 * chosen.compared_bytes:
        yield (
            f"a search compares about {chosen.compared_bytes / 1000:,.0f} kB; without its codes "
            f"or sizes up to {most / 1000:,.0f} kB"
        )
    full = chosen.spec.vectors[0]
    if full.quantization == preset(full.size).quantization:
        yield "these codes are the preset for this dimension"


def _failures(
    layouts: Sequence[Layout], target: float, memory: int | None, *, embedded: bool
) -> Iterator[str]:
    """Yield why no layout was chosen, one sentence each."""
    able = [layout for layout in layouts if layout.fits]
    if not able:
        least = min(layouts, key=lambda layout: layout.taken.ram)
        limit = "one machine" if memory is None else _gb(memory)
        yield f"nothing fits {limit}: the smallest, {least.name!r}, holds {_gb(least.taken.ram)}"
        if embedded:
            yield "an embedded collection is one process on one machine; a server can be sharded"
        return
    best = max(able, key=lambda layout: layout.expected.recall)
    yield (
        f"nothing that fits is expected to reach {target:g}: the best, {best.name!r}, keeps "
        f"{best.expected.recall:.3f}"
    )
    if enough := [layout for layout in layouts if layout.reaches(target)]:
        least = min(enough, key=lambda layout: layout.taken.ram)
        yield f"{least.name!r} reaches it with {_gb(least.taken.ram)}"


def _gb(count: float) -> str:
    return f"{count / 1e9:.2f} GB"
