"""``qdrant-static demo``: ingests and searches real text, without a download."""

from __future__ import annotations

import platform
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qdrant_static import rules
from qdrant_static.cli.ingest import DEFAULT_ENCODER
from qdrant_static.cli.reporting import reported

if TYPE_CHECKING:
    from qdrant_static.cli.demo_corpus import DocEntry
    from qdrant_static.clients.connect import Client
    from qdrant_static.encoders.base import Encoder

COLLECTION = "python_docs"
QUESTIONS = (
    "parse command line arguments",
    "run something in another process",
    "compress a file",
    "wait for several threads to finish",
    "how far apart are two dates",
    "read a table from a Parquet file",
)


@reported
def command(
    folder: Annotated[
        str, typer.Option("--dir", help="Folder for the demo's files.")
    ] = "qdrant-static-demo",
    encoder: Annotated[
        str, typer.Option(help="A model2vec folder, a hub name, onnx:FOLDER, or 'wordllama'.")
    ] = DEFAULT_ENCODER,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="Hits per query.")] = 4,
) -> None:
    """Index this Python's documentation and search it.

    The texts are on every machine: docstrings of the standard library and of the installed
    packages. Nothing is downloaded. Running it again replaces the collection.
    """
    started = time.perf_counter()
    from qdrant_static import connect, load_encoder
    from qdrant_static.edge.directory import bytes_on_disk

    place = Path(rules.location("--dir", folder))
    loaded = load_encoder(encoder)
    typer.echo(f"encoder {loaded.info.name}: {loaded.info.dimension} dimensions", err=True)
    parquet = place / "python_docs.parquet"
    _write(_collect(), parquet)
    client = connect(place / "db")
    try:
        _ingest(client, parquet, loaded)
        typer.echo(f"on disk: {bytes_on_disk(place / 'db' / COLLECTION) / 1e6:,.0f} MB\n")
        _ask(client, loaded, limit)
    finally:
        client.close()
    typer.echo(f"done in {time.perf_counter() - started:.1f} s. Next:")
    typer.echo(f'  qdrant-static search {COLLECTION} "open a web page" --db {place / "db"}')
    typer.echo(f"  qdrant-static ingest YOUR.parquet --db {place / 'db'} --collection yours")


def _collect() -> list[DocEntry]:
    from qdrant_static.cli.demo_corpus import collect

    started = time.perf_counter()
    typer.echo("collecting docstrings ...", err=True)
    entries = collect()
    packages = len({entry.package for entry in entries})
    typer.echo(
        f"collected {len(entries):,} docstrings of {packages:,} packages and top-level modules "
        f"(Python {platform.python_version()}) in {time.perf_counter() - started:.1f} s"
    )
    return entries


def _write(entries: list[DocEntry], path: Path) -> None:
    from dataclasses import asdict

    import pyarrow as pa
    import pyarrow.parquet as pq

    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist([asdict(entry) for entry in entries]), path)
    typer.echo(f"wrote {path} ({path.stat().st_size / 1e6:.1f} MB)")


def _ingest(client: Client, parquet: Path, encoder: Encoder) -> None:
    from qdrant_static import CollectionSpec, ingest

    if client.collection_exists(COLLECTION):
        typer.echo("replacing the collection of the demo's last run")
        client.delete_collection(COLLECTION)
    spec = CollectionSpec.for_encoder(
        encoder,
        matryoshka=(64,) if encoder.info.dimension > 64 else (),
        payload_indexes={"kind": "keyword", "package": "keyword"},
    )
    report = ingest(
        client,
        COLLECTION,
        parquet,
        spec=spec,
        encoder=encoder,
        key="name",
        text=("doc", "name"),
        progress=True,
    )
    typer.echo(str(report))


def _ask(client: Client, encoder: Encoder, limit: int) -> None:
    from qdrant_static import search
    from qdrant_static.cli.search import passages
    from qdrant_static.collection.create import read_spec

    sparse = read_spec(client, COLLECTION).sparse
    for question in QUESTIONS:
        started = time.perf_counter()
        hits = search(client, COLLECTION, question, limit=limit, encoder=encoder)
        took = (time.perf_counter() - started) * 1e3
        shown = passages(hits, question, sparse, lines=2)
        typer.echo(f"{question}?  ({took:.1f} ms)\n{shown}\n")
