"""``qdrant-static capacity``: RAM, disk and machines that a collection will need."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qdrant_static.cli import quantities
from qdrant_static.cli.fieldoptions import pairs
from qdrant_static.cli.ingest import sizes
from qdrant_static.cli.options import Json
from qdrant_static.cli.reporting import REFUSED, reported
from qdrant_static.errors import ArgumentError

if TYPE_CHECKING:
    from qdrant_static.collection.capacity import Footprint
    from qdrant_static.collection.layouts import CapacityPlan, Layout
    from qdrant_static.encoders.base import EncoderInfo


@reported
def command(
    rows: Annotated[str, typer.Option(help="Number of points: 250K, 10M, 1.5B.", metavar="COUNT")],
    encoder: Annotated[
        str | None,
        typer.Option(
            help="The encoder of the vectors, as for ingest; either this or --dimension.",
            show_default=False,
        ),
    ] = None,
    dimension: Annotated[
        int | None, typer.Option(min=1, help="Dimension of the vectors, instead of --encoder.")
    ] = None,
    target_recall: Annotated[
        float, typer.Option(help="Minimum recall@10 against exact search.")
    ] = 0.95,
    memory: Annotated[
        str | None,
        typer.Option(
            help="RAM that one copy may take, such as 16GB. [default: no limit]", metavar="SIZE"
        ),
    ] = None,
    payload_bytes: Annotated[
        str, typer.Option(help="Mean size of a row's payload as JSON, in bytes.", metavar="SIZE")
    ] = "500",
    text_bytes: Annotated[
        str, typer.Option(help="Mean size of a row's text, in bytes, for BM25.", metavar="SIZE")
    ] = "500",
    matryoshka: Annotated[
        str | None,
        typer.Option(help="Sizes of truncated vectors to search first: 256,64.", metavar="SIZES"),
    ] = None,
    sparse: Annotated[str, typer.Option(help="bm25 or none.")] = "bm25",
    index: Annotated[
        list[str] | None,
        typer.Option(help="Payload index, field:type; repeatable.", metavar="FIELD:TYPE"),
    ] = None,
    integer_ids: Annotated[
        bool, typer.Option("--integer-ids", help="The ids are integers, not UUIDs.")
    ] = False,
    embedded: Annotated[
        bool, typer.Option("--embedded", help="For an embedded collection, not a server.")
    ] = False,
    machine_memory: Annotated[
        str, typer.Option(help="RAM of one machine.", metavar="SIZE")
    ] = "64GB",
    machine_disk: Annotated[
        str | None,
        typer.Option(help="Disk of one machine. [default: as needed]", metavar="SIZE"),
    ] = None,
    replicas: Annotated[int, typer.Option(min=1, help="Copies of each shard.")] = 1,
    as_json: Json = False,
) -> None:
    """Compute a collection's memory, disk and machines.

    Shows what each layout takes, which layout to choose, and why. Nothing is read or indexed. Exit
    code 4 if no layout reaches the target within the memory.
    """
    from qdrant_static.collection.capacity import Corpus
    from qdrant_static.collection.cluster import Machine
    from qdrant_static.collection.layouts import capacity
    from qdrant_static.collection.vectorspec import SparseSpec

    if sparse not in ("bm25", "none"):
        raise ArgumentError(field="--sparse", problem=f"{sparse!r} is unknown; known: bm25, none")
    disk = None if machine_disk is None else quantities.memory(machine_disk, "--machine-disk")
    made = capacity(
        _info(encoder, dimension),
        Corpus(
            rows=quantities.count(rows, "--rows"),
            payload_bytes=quantities.size(payload_bytes, "--payload-bytes"),
            text_bytes=quantities.size(text_bytes, "--text-bytes"),
            uuids=not integer_ids,
        ),
        target_recall=target_recall,
        memory=None if memory is None else quantities.memory(memory, "--memory"),
        machine=Machine(
            memory=quantities.memory(machine_memory, "--machine-memory"),
            disk=disk,
        ),
        replicas=replicas,
        matryoshka=sizes(matryoshka),
        sparse=SparseSpec() if sparse == "bm25" else None,
        payload_indexes=pairs("--index", index or (), "FIELD:TYPE"),
        embedded=embedded,
    )
    if as_json:
        typer.echo(json.dumps(to_dict(made, embedded=embedded), indent=2))
    else:
        limits = [] if memory is None else [f"{_size_text(memory)} of RAM a copy"]
        limits += [] if embedded else [f"machines of {_size_text(machine_memory)}"]
        typer.echo(table(made, embedded=embedded, limits=limits))
    if made.chosen is None:
        raise typer.Exit(REFUSED)


def _size_text(size: str) -> str:
    """Return a size as it was understood."""
    return quantities.size_text(quantities.size(size, ""))


def _info(encoder: str | None, dimension: int | None) -> EncoderInfo:
    from qdrant_static.encoders.base import EncoderInfo

    if (encoder is None) == (dimension is None):
        raise ArgumentError(field="--encoder", problem="give either an encoder or --dimension")
    if encoder is not None:
        from qdrant_static import load_encoder

        return load_encoder(encoder).info
    return EncoderInfo(name="any", dimension=dimension or 0, fingerprint="any")


def table(plan: CapacityPlan, *, embedded: bool, limits: Sequence[str] = ()) -> str:
    """Return a table of the layouts, then the choice, its parts and the reasons.

    Lines are at most 100 columns wide.

    Args:
        plan: What `capacity` returned.
        embedded: Whether it is for an embedded collection; else machines are shown.
        limits: The limits of memory that were given, in words.
    """
    from qdrant_static.collection.specfile import spec_to_toml

    corpus = plan.corpus
    head = (
        f"{quantities.count_text(corpus.rows)} rows of "
        f"{plan.layouts[0].spec.vectors[0].size} dimensions, {corpus.payload_bytes:g} bytes of "
        f"payload; target recall@10 {plan.target_recall:g}"
    )
    names = max(len(layout.name) for layout in plan.layouts)
    machines = "" if embedded else f"  {'machines x shards':>17}"
    lines = [
        head,
        *([", ".join(limits)] if limits else []),
        "",
        f"  {'layout':{names}} {'RAM':>9} {'disk':>9} {'recall from':>12}{machines}",
    ]
    for layout in plan.layouts:
        mark = "*" if layout is plan.chosen else " "
        place = "" if embedded else f"  {_machines(layout):>17}"
        note = "" if layout.fits else "  too large"
        lines.append(
            f"{mark} {layout.name:{names}} {quantities.size_text(layout.taken.ram):>9} "
            f"{quantities.size_text(layout.taken.disk):>9} {layout.expected.recall:>6.3f} "
            f"{layout.expected.candidates:>5}{place}{note}"
        )
    shown = plan.chosen or plan.layouts[0]
    lines += ["", f"{'a row of':28} {'RAM':>9} {'read':>9} {'disk':>9}   {shown.name}"]
    lines += _parts(shown.taken)
    if plan.chosen is None:
        lines += ["", "no layout will do:"]
    else:
        lines += ["", f"take {plan.chosen.name}:"]
    lines += [f"  {reason}" for reason in plan.reasons]
    if plan.chosen is not None:
        if not embedded:
            needed = plan.chosen.cluster
            lines.append(
                f"  each machine holds {quantities.size_text(needed.ram)} in RAM and needs "
                f"{quantities.size_text(needed.disk)} of disk, half of it to rewrite segments"
            )
        lines += ["", spec_to_toml(plan.chosen.spec, short=True).rstrip()]
    return "\n".join(lines)


def _machines(layout: Layout) -> str:
    needed = layout.cluster
    copies = "" if needed.replicas == 1 else f" ({needed.replicas} copies)"
    return f"{needed.machines} x {needed.shards}{copies}"


def _parts(taken: Footprint) -> list[str]:
    rows = taken.rows
    return [
        f"  {part.name:26} {part.ram / rows:9.1f} {part.cache / rows:9.1f} {part.disk / rows:9.1f}"
        f"   {part.source}"
        for part in taken.parts
        if max(part.ram, part.disk) / rows >= 0.05
    ]


def to_dict(plan: CapacityPlan, *, embedded: bool) -> dict[str, Any]:
    """Return the plan as JSON-like data; sizes are in bytes."""
    from qdrant_static.collection.specfile import spec_to_toml

    return {
        "rows": plan.corpus.rows,
        "target_recall": plan.target_recall,
        "chosen": None if plan.chosen is None else plan.chosen.name,
        "reasons": list(plan.reasons),
        "layouts": [
            {
                "name": layout.name,
                "ram": layout.taken.ram,
                "cache": layout.taken.cache,
                "disk": layout.taken.disk,
                "recall": layout.expected.recall,
                "candidates": layout.expected.candidates,
                "disk_reads": layout.disk_reads,
                "compared_bytes": layout.compared_bytes,
                "fits": layout.fits,
                **({} if embedded else {"cluster": _cluster(layout)}),
                "parts": [
                    {"name": p.name, "ram": p.ram, "cache": p.cache, "disk": p.disk,
                     "source": p.source}
                    for p in layout.taken.parts
                ],
                "spec": spec_to_toml(layout.spec, short=True),
            }
            for layout in plan.layouts
        ],
    }  # fmt: skip


def _cluster(layout: Layout) -> dict[str, int]:
    needed = layout.cluster
    return {
        "machines": needed.machines,
        "shards": needed.shards,
        "replicas": needed.replicas,
        "machine_ram": needed.ram,
        "machine_disk": needed.disk,
    }
