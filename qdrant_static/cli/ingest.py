"""``qdrant-static ingest``: files -> a collection."""

from __future__ import annotations

import json
import signal
import sys
import threading
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from qdrant_static.cli.options import DEFAULT_DB, ApiKey, Db, Json, listed
from qdrant_static.cli.reporting import INTERRUPTED, reported
from qdrant_static.errors import SpecError

if TYPE_CHECKING:
    from qdrant_static.collection.spec import CollectionSpec
    from qdrant_static.connect import Client
    from qdrant_static.encoders.base import Encoder

#: Works without a network, so that the first command of a newcomer does.
DEFAULT_ENCODER = "wordllama"


@reported
def command(
    paths: Annotated[
        list[str],
        typer.Argument(
            help="Parquet and JSONL files (.gz too), folders and globs.", metavar="PATH"
        ),
    ],
    collection: Annotated[str, typer.Option("--collection", "-c", help="Its name.")],
    db: Db = DEFAULT_DB,
    encoder: Annotated[
        str | None,
        typer.Option(
            help="A model2vec folder, a hub name, or 'wordllama' (the default; offline).",
            show_default=False,
        ),
    ] = None,
    key: Annotated[
        str | None,
        typer.Option(help="Column of the key. [default: id, _id, else a digest of the text]"),
    ] = None,
    text: Annotated[
        str | None, typer.Option(help="Columns of the text, a,b. [default: title,text]")
    ] = None,
    payload: Annotated[
        str | None, typer.Option(help="Columns to store beside the vectors, a,b. [default: all]")
    ] = None,
    matryoshka: Annotated[
        str | None,
        typer.Option(help="Sizes of further, truncated vectors, falling: 256,64.", metavar="SIZES"),
    ] = None,
    quantization: Annotated[
        str | None, typer.Option(help="binary or none. [default: binary]")
    ] = None,
    sparse: Annotated[str | None, typer.Option(help="bm25 or none. [default: bm25]")] = None,
    language: Annotated[
        str | None, typer.Option(help="Of BM25's stop words and stemming. [default: english]")
    ] = None,
    index: Annotated[
        list[str] | None,
        typer.Option(
            help="Payload index, field:type (keyword, integer, float, bool, datetime, ...); "
            "repeatable.",
            metavar="FIELD:TYPE",
        ),
    ] = None,
    rejects: Annotated[
        str | None, typer.Option(help="File for rows that are not stored. [default: beside --db]")
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Encoding threads. [default: all processors]")
    ] = None,
    api_key: ApiKey = None,
    as_json: Json = False,
) -> None:
    """Read files, encode their texts, store them in a collection, and account for every row.

    The collection is created if it is missing; if it is there, it must be what the options say,
    and what no option says is taken from it. Running the same command again is harmless.
    """
    from qdrant_static import connect
    from qdrant_static import ingest as run

    client = connect(db, api_key=api_key)
    try:
        spec, loaded = _spec(
            client,
            collection,
            encoder,
            matryoshka=matryoshka,
            quantization=quantization,
            sparse=sparse,
            language=language,
            index=index,
        )
        report = run(
            list(paths),
            client,
            collection,
            spec=spec,
            encoder=loaded,
            key=key,
            text=listed(text),
            payload=listed(payload),
            rejects=rejects,
            threads=threads,
            progress=sys.stderr.isatty() or not as_json,
            stop=_stop_on_signals(),
        )
    finally:
        client.close()
    typer.echo(json.dumps(report.to_dict(), indent=2) if as_json else str(report))
    if report.interrupted:
        raise typer.Exit(INTERRUPTED)


def _spec(
    client: Client, collection: str, encoder: str | None, **options: Any
) -> tuple[CollectionSpec | None, Encoder | None]:
    """The spec that the options ask for, and its encoder.

    Where the collection is there and no option speaks of its layout, there is nothing to ask for.
    """
    from qdrant_static import CollectionSpec, load_encoder
    from qdrant_static.collection.build import read_spec

    exists = client.collection_exists(collection)
    if exists and all(not value for value in options.values()):
        if encoder is None:
            return None, None
        return None, load_encoder(encoder)
    name = encoder
    if name is None:
        name = read_spec(client, collection).encoder.name if exists else DEFAULT_ENCODER
    loaded = load_encoder(name)
    return CollectionSpec.for_encoder(
        loaded,
        matryoshka=_sizes(options["matryoshka"]),
        quantization=_choice("quantization", options["quantization"], "binary"),
        sparse=_sparse(options["sparse"], options["language"]),
        payload_indexes=_indexes(options["index"]),
    ), loaded


def _sizes(value: str | None) -> tuple[int, ...]:
    try:
        return tuple(int(size) for size in listed(value) or ())
    except ValueError as error:
        raise SpecError(field="--matryoshka", problem=f"{value!r} is no list of sizes") from error


def _choice(option: str, value: str | None, known: Literal["binary", "bm25"]) -> Any:
    if value not in (None, known, "none"):
        raise SpecError(field=f"--{option}", problem=f"{value!r} is unknown; known: {known}, none")
    return None if value == "none" else known


def _sparse(value: str | None, language: str | None) -> Any:
    from qdrant_static.collection.spec import SparseSpec

    chosen = _choice("sparse", value, "bm25")
    if chosen is None or language is None:
        return chosen
    return SparseSpec(language=language)


def _indexes(values: list[str] | None) -> dict[str, str]:
    indexes = {}
    for value in values or ():
        field, colon, kind = value.rpartition(":")
        if not colon or not field:
            raise SpecError(field="--index", problem=f"{value!r} is not FIELD:TYPE")
        indexes[field] = kind
    return indexes


def _stop_on_signals() -> threading.Event:
    """The first Ctrl-C (or a scheduler's SIGTERM) ends the run in order, the second at once."""
    stop = threading.Event()

    def ask(number: int, _frame: Any) -> None:
        stop.set()
        signal.signal(number, signal.default_int_handler)
        typer.echo("\nstopping after the batch in hand; once more to stop at once", err=True)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, ask)
    return stop
