"""Candidate layouts of a collection, what each takes and finds, and which to take.

The recommendation is the cheapest layout that is expected to reach the target: fewest machines,
then fewest reads from disk in a search, then fewest bytes compared, then least RAM and disk.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from qdrant_static.collection.capacity import (
    Corpus,
    Footprint,
    footprint,
    is_indexed,
)
from qdrant_static.collection.cluster import MAX_ROWS_PER_SHARD, Cluster, Machine, cluster
from qdrant_static.collection.evidence import CASCADES, CODES, Expected, expected, expected_cascade
from qdrant_static.collection.presets import preset
from qdrant_static.collection.quantization import SHORT_NAMES
from qdrant_static.collection.spec import CollectionSpec, ServerSpec
from qdrant_static.collection.vectorspec import (
    FULL,
    Hnsw,
    LateSpec,
    Placement,
    SparseSpec,
    VectorSpec,
    matryoshka_name,
)
from qdrant_static.encoders.base import EncoderInfo
from qdrant_static.errors import ArgumentError

#: Rows whose vectors a search by graph compares: about ef = 100 candidates, each with its links.
_VISITED = 2_000
#: Terms of a query, each with a list of postings.
_QUERY_TERMS = 5
_PLACES: tuple[tuple[Placement, str], ...] = (("cached", "in RAM"), ("disk", "on disk"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """A candidate.

    Attributes:
        name: Such as ``"full turbo4, originals on disk"``.
        spec: The collection's spec.
        taken: What one copy takes.
        expected: What it finds, from how many candidates.
        cluster: Machines and shards.
        disk_reads: Reads from disk in a search for 10 hits, where no cache helps.
        compared_bytes: Bytes of codes and vectors that such a search compares.
        fits: Whether it fits the memory that was given.
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
        """Whether the target recall may be expected."""
        return self.expected.recall >= target


@dataclass(frozen=True, slots=True, kw_only=True)
class CapacityPlan:
    """All candidates, and the choice.

    Attributes:
        corpus: What is in the collection.
        target_recall: recall@10 that is wanted.
        layouts: In order of preference; those that miss the target, or do not fit, come last.
        chosen: The first of them if it reaches the target and fits; else None.
        reasons: Why, one sentence each.
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
    """What a collection would take in each layout, and the cheapest that finds enough.

    Args:
        encoder: Whose vectors; its dimension counts.
        corpus: Rows and their mean sizes.
        target_recall: recall@10 against exact search that the codes must keep.
        memory: Bytes that one copy may hold in RAM, all machines together; None: no limit.
        machine: What a machine of a server has.
        replicas: Copies of each shard.
        matryoshka: Sizes that a short vector may have to find what the full one then orders.
        sparse: The BM25 vector, or None.
        late: The late-interaction vector, or None.
        payload_indexes: Payload field -> type.
        embedded: With Qdrant Edge: one shard, one machine.

    Raises:
        ArgumentError: If it cannot work; it names the field.
    """
    if not 0 < target_recall <= 1:
        raise ArgumentError(field="target_recall", problem=f"{target_recall} is not within 0 to 1")
    if memory is not None and memory < 1:
        raise ArgumentError(field="memory", problem=f"{memory} is below 1 byte")
    host = machine or Machine()
    layouts = []
    for one in _candidates(encoder.dimension, matryoshka, target_recall, sparse=sparse is not None):
        spec = CollectionSpec(
            encoder=encoder,
            vectors=one.vectors,
            sparse=None if sparse is None else replace(sparse, placement=one.postings),
            late=late,
            payload_indexes=payload_indexes or {},
        )
        taken = footprint(
            spec,
            corpus,
            embedded=embedded,
            rows_per_segment=None if embedded else MAX_ROWS_PER_SHARD,
        )
        needed = cluster(taken, machine=host, replicas=replicas)
        fits = memory is None or taken.ram <= memory
        if embedded:
            fits = fits and needed.machines == 1
        else:
            server = ServerSpec(shards=needed.shards, replicas=replicas, on_disk_payload=True)
            spec = replace(spec, server=server)
        layouts.append(
            Layout(
                name=one.name,
                spec=spec,
                taken=taken,
                expected=one.expected,
                cluster=needed,
                disk_reads=one.disk_reads,
                compared_bytes=_compared(one.vectors, one.expected),
                fits=fits,
            )
        )
    layouts.sort(key=lambda one: _price(one, target_recall))
    best = layouts[0]
    chosen = best if best.fits and best.reaches(target_recall) else None
    return CapacityPlan(
        corpus=corpus,
        target_recall=target_recall,
        layouts=tuple(layouts),
        chosen=chosen,
        reasons=tuple(_reasons(layouts, chosen, corpus, target_recall, memory, embedded=embedded)),
    )


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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Candidate:
    """A layout before it is sized."""

    name: str
    vectors: tuple[VectorSpec, ...]
    expected: Expected
    disk_reads: int
    postings: Placement = "ram"


def _candidates(
    size: int, matryoshka: Sequence[int], target: float, *, sparse: bool
) -> Iterator[_Candidate]:
    """Every layout: its vectors, and what it is expected to find."""
    for place, told in _PLACES:
        for codes in ("none", *CODES):
            if codes == "none" and place == "disk":
                continue  # every step through the graph would read from disk
            name = "full" if codes == "none" else f"full {codes}"
            found = expected(size, codes, target)
            one = _Candidate(
                name=f"{name}, originals {told}",
                vectors=(_dense(FULL, size, place, codes, graph=True),),
                expected=found,
                disk_reads=found.candidates if place == "disk" else 0,
            )
            yield one
            if sparse and place == "disk":
                yield replace(
                    one,
                    name=f"{name}, originals, BM25 {told}",
                    disk_reads=one.disk_reads + _QUERY_TERMS,
                    postings="disk",
                )
        for short in matryoshka:
            for codes in CASCADES:
                if codes == "none" and place == "disk":
                    continue
                name = matryoshka_name(short)
                found = expected_cascade(short, size, codes, target)
                yield _Candidate(
                    name=(name if codes == "none" else f"{name} {codes}") + f", then full {told}",
                    vectors=(
                        _dense(FULL, size, place, "none", graph=False),
                        _dense(name, short, place, codes, graph=True),
                    ),
                    expected=found,
                    # The short vector is rescored too, from twice as many.
                    disk_reads=3 * found.candidates if place == "disk" else 0,
                )


def _dense(name: str, size: int, place: Placement, codes: str, *, graph: bool) -> VectorSpec:
    return VectorSpec(
        name=name,
        size=size,
        placement=place,
        hnsw=Hnsw() if graph else None,
        quantization=SHORT_NAMES.get(codes),
    )


def _compared(vectors: tuple[VectorSpec, ...], found: Expected) -> int:
    full, walked = vectors[0], vectors[-1]
    rescored = 0 if len(vectors) == 1 and full.quantization is None else found.candidates
    return round(_VISITED * walked.compared_bytes + rescored * full.bytes)


def _reasons(
    layouts: Sequence[Layout],
    chosen: Layout | None,
    corpus: Corpus,
    target: float,
    memory: int | None,
    *,
    embedded: bool,
) -> Iterator[str]:
    if chosen is None:
        yield from _failures(layouts, target, memory, embedded=embedded)
        return
    found = chosen.expected
    codes = found.candidates > 10 or chosen.spec.vectors[-1].quantized
    yield (
        f"it is expected to keep {found.recall:.3f} of the exact top ten"
        + (f" from {found.candidates} candidates" if codes else "")
        + f" (target {target:g})"
    )
    able = [one for one in layouts if one.fits and one.reaches(target)]
    machines = {one.cluster.machines for one in able}
    if not embedded and len(machines) > 1:
        yield f"it needs {chosen.cluster.machines} machines; others need up to {max(machines)}"
    if chosen.disk_reads:
        yield (
            f"a search reads from disk {chosen.disk_reads} times: with all in RAM "
            + (
                "it would not fit the memory"
                if any(not one.fits and not one.disk_reads for one in layouts)
                else "it would take more machines"
            )
        )
    else:
        yield "originals are in RAM: no search waits for the disk"
    if not is_indexed(chosen.spec, corpus):
        yield "so few rows are searched one by one: the engine builds no graph below 10 MB"
        return
    slower = [one for one in able if one.compared_bytes > 1.2 * chosen.compared_bytes]
    if slower:
        most = max(one.compared_bytes for one in slower)
        yield (
            f"a search compares about {chosen.compared_bytes / 1000:,.0f} kB; without its codes "
            f"or sizes up to {most / 1000:,.0f} kB"
        )
    usual = preset(chosen.spec.vectors[0].size).quantization
    if chosen.spec.vectors[0].quantization == usual:
        yield "these codes are the preset for this dimension"


def _failures(
    layouts: Sequence[Layout], target: float, memory: int | None, *, embedded: bool
) -> Iterator[str]:
    if not any(one.fits for one in layouts):
        least = min(layouts, key=lambda one: one.taken.ram)
        limit = "one machine" if memory is None else _gb(memory)
        yield f"nothing fits {limit}: the smallest, {least.name!r}, holds {_gb(least.taken.ram)}"
        if embedded:
            yield "an embedded collection is one process on one machine; a server can be sharded"
        return
    able = [one for one in layouts if one.fits]
    best = max(able, key=lambda one: one.expected.recall)
    yield (
        f"nothing that fits is expected to reach {target:g}: the best, {best.name!r}, keeps "
        f"{best.expected.recall:.3f}"
    )
    enough = [one for one in layouts if one.reaches(target)]
    if enough:
        least = min(enough, key=lambda one: one.taken.ram)
        yield f"{least.name!r} reaches it with {_gb(least.taken.ram)}"


def _gb(count: float) -> str:
    return f"{count / 1e9:.2f} GB"
