"""``qdrant-static ingest``: files -> a collection."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import typer

from qdrant_static.cli.fieldoptions import expanded, listed, pairs
from qdrant_static.cli.options import (
    BUILD,
    DEFAULT_DB,
    DEFAULT_TIMEOUT,
    RUN,
    SOURCE,
    ApiKey,
    Build,
    Db,
    GroupedCommand,
    Json,
    QueryEncoder,
    To,
    build_here,
)
from qdrant_static.cli.reporting import INTERRUPTED, fail, reported, show_result
from qdrant_static.errors import ArgumentError

if TYPE_CHECKING:
    from qdrant_static.clients.connect import Client
    from qdrant_static.collection.spec import CollectionSpec
    from qdrant_static.encoders.base import Encoder
    from qdrant_static.ingestion.ingestreport import IngestReport

#: Works without a network, so that the first command of a newcomer does.
DEFAULT_ENCODER = "wordllama"
#: How many of the files that could not be read the last line names.
_NAMED = 3


class Command(GroupedCommand):
    """``ingest`` with its many options in groups."""

    groups: ClassVar[Mapping[str, Sequence[str]]] = {
        "Collection": (
            "collection", "db", "api_key", "encoder", "query_encoder", "matryoshka",
            "quantization", "sparse", "language", "tokenizer", "index",
        ),
        "Input": (*SOURCE.parameters, "passages", "overlap"),
        "Run": tuple(RUN.parameters),
        "Build here, ship to a server": ("to", "build", *BUILD.parameters),
    }  # fmt: skip


@reported
@expanded(source_options=SOURCE, run_options=RUN, build_options=BUILD)
def command(
    *,
    paths: Annotated[
        list[str],
        typer.Argument(
            help="Parquet, JSONL, CSV and Arrow files (.gz .zst .bz2 too), folders, globs, URIs; "
            "- is standard input.",
            metavar="PATH",
        ),
    ],
    collection: Annotated[str, typer.Option("--collection", "-c", help="The collection's name.")],
    source_options: dict[str, Any],
    run_options: dict[str, Any],
    db: Db = DEFAULT_DB,
    encoder: Annotated[
        str | None,
        typer.Option(
            help="A model2vec folder, a hub name, onnx:FOLDER, fastembed:NAME, or 'wordllama' (the "
            "default; offline).",
            show_default=False,
        ),
    ] = None,
    query_encoder: QueryEncoder = None,
    matryoshka: Annotated[
        str | None,
        typer.Option(
            help="Sizes of further, truncated vectors, in falling order: 256,64.", metavar="SIZES"
        ),
    ] = None,
    quantization: Annotated[
        str | None,
        typer.Option(
            help="auto (by size), binary, binary1.5, binary2, int8, turbo4, turbo2, ... or none. "
            "[default: auto]"
        ),
    ] = None,
    sparse: Annotated[str | None, typer.Option(help="bm25 or none. [default: bm25]")] = None,
    language: Annotated[
        str | None,
        typer.Option(help="Language of BM25's stop words and stemming. [default: english]"),
    ] = None,
    tokenizer: Annotated[
        str | None,
        typer.Option(
            help="Tokenizer of BM25: word, multilingual (Chinese, Japanese, Thai), whitespace, ... "
            "[default: by the texts' scripts]"
        ),
    ] = None,
    index: Annotated[
        list[str] | None,
        typer.Option(
            help="Payload index, field:type (keyword, integer, float, bool, datetime, ...); "
            "repeatable.",
            metavar="FIELD:TYPE",
        ),
    ] = None,
    passages: Annotated[
        int | None,
        typer.Option(min=1, help="Cut texts into passages of so many tokens.", metavar="TOKENS"),
    ] = None,
    overlap: Annotated[
        int, typer.Option(min=0, help="Tokens that a passage shares with the one before.")
    ] = 0,
    to: To = None,
    build: Build = None,
    build_options: dict[str, Any],
    api_key: ApiKey = None,
    as_json: Json = False,
) -> None:
    """Read files, encode their texts and store every row.

    Every row is accounted for: stored, unchanged, or rejected with its reason. The collection is
    created if it is missing. If it exists, it must match the options; an option that is not given
    is taken from it. Running the same command again is harmless; one that was interrupted
    continues where it stopped.
    """
    from qdrant_static import connect
    from qdrant_static import ingest as run
    from qdrant_static.ingestion.options import RunOptions
    from qdrant_static.reading.options import Passages, SourceOptions

    chosen = {
        "source_options": SourceOptions.from_dict(source_options),
        "run_options": RunOptions(**run_options),
        "passages": None if passages is None else Passages(tokens=passages, overlap=overlap),
        "build": build_here(build, to, build_options),
    }
    client = connect(
        db if to is None else to,
        api_key=api_key,
        timeout_s=60 if chosen["build"] is None else DEFAULT_TIMEOUT,
    )
    try:
        spec, loaded = _spec(
            client,
            collection,
            encoder,
            query_encoder=query_encoder,
            matryoshka=matryoshka,
            quantization=quantization,
            sparse=sparse,
            language=language,
            tokenizer=tokenizer,
            index=index,
        )
        report = run(
            client,
            collection,
            list(paths),
            spec=spec,
            encoder=loaded,
            progress=sys.stderr.isatty() or not as_json,
            stop=stop_on_signals(),
            **chosen,  # type: ignore[arg-type]
        )
    finally:
        client.close()
    show(report, as_json=as_json)


def _spec(
    client: Client,
    collection: str,
    encoder: str | None,
    *,
    query_encoder: str | None,
    matryoshka: str | None,
    quantization: str | None,
    sparse: str | None,
    language: str | None,
    tokenizer: str | None,
    index: list[str] | None,
) -> tuple[CollectionSpec, Encoder]:
    """Return the spec that the options describe; an option that is None is as the collection."""
    from qdrant_static import CollectionSpec, load_encoder
    from qdrant_static.collection.create import read_spec
    from qdrant_static.collection.vectorspec import FULL, matryoshka_name

    present = read_spec(client, collection) if client.collection_exists(collection) else None
    loaded = load_encoder(
        encoder if encoder is not None else present.encoder.name if present else DEFAULT_ENCODER
    )
    if (
        present is not None
        and {query_encoder, matryoshka, quantization, sparse, language, tokenizer} == {None}
        and not index
    ):
        return present, loaded
    changed: dict[str, Any] = {
        "matryoshka": None if matryoshka is None else sizes(matryoshka),
        "payload_indexes": None if index is None else pairs("--index", index, "FIELD:TYPE"),
        "queries": query_encoder,
    }
    options: dict[str, Any] = {}
    if present is not None:
        options = {
            "matryoshka": [vector.size for vector in present.vectors[1:]],
            "quantization": {vector.name: vector.quantization for vector in present.vectors},
            "graph": [vector.name for vector in present.vectors if vector.hnsw is not None],
            "sparse": present.sparse,
            "payload_indexes": present.payload_indexes,
            "placement": present.vectors[0].placement,
            "late": present.late,
            "server": present.server,
            "queries": present.queries,
        }
    options |= {name: value for name, value in changed.items() if value is not None}
    if present is not None and matryoshka is not None:  # keep the settings of vectors that stay
        names = {FULL, *map(matryoshka_name, options["matryoshka"])}
        options["quantization"] = {n: q for n, q in options["quantization"].items() if n in names}
        options["graph"] = [name for name in options["graph"] if name in names]
    if quantization is not None:
        options["quantization"] = quantization
    if (sparse, language, tokenizer) != (None, None, None):
        known = present.sparse.language if present is not None and present.sparse else None
        options["sparse"] = _sparse(sparse, language or known, tokenizer)
    return CollectionSpec.for_encoder(loaded, **options), loaded


def sizes(value: str | None) -> tuple[int, ...]:
    """Read ``256,64``, the value of ``--matryoshka``."""
    try:
        return tuple(int(size) for size in listed(value) or ())
    except ValueError as error:
        raise ArgumentError(
            field="--matryoshka", problem=f"{value!r} is not a list of sizes"
        ) from error


def _sparse(value: str | None, language: str | None, tokenizer: str | None) -> Any:
    from qdrant_static.collection.spec import SparseSpec

    if value not in (None, "bm25", "none"):
        raise ArgumentError(field="--sparse", problem=f"{value!r} is unknown; known: bm25, none")
    if value == "none":
        return None
    if language is None:
        return SparseSpec(tokenizer=tokenizer)
    return SparseSpec(language=language, tokenizer=tokenizer)


def show(report: IngestReport, *, as_json: bool) -> None:
    """Print the account of a run, and exit with the code that a scheduler expects."""
    show_result(report, as_json=as_json)
    if report.interrupted:
        raise typer.Exit(INTERRUPTED)
    if report.unreadable:
        named = "; ".join(map(str, report.unreadable[:_NAMED]))
        more = len(report.unreadable) - _NAMED
        others = f"; and {more:,} more" if more > 0 else ""
        fail(f"what could be read is stored, and this could not be read: {named}{others}", 1)


def stop_on_signals() -> threading.Event:
    """Return an event that the first Ctrl-C or SIGTERM sets; the second ends the process."""
    stop = threading.Event()

    def ask(number: int, _frame: Any) -> None:
        stop.set()
        signal.signal(number, signal.default_int_handler)
        typer.echo("\nstopping after this batch; press Ctrl-C again to stop at once", err=True)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, ask)
    return stop
