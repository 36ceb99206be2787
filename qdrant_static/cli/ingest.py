"""``qdrant-static ingest``: files -> a collection."""

from __future__ import annotations

import re
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import typer

from qdrant_static.cli.buildoptions import (
    Alias,
    Build,
    BuildFolder,
    DiscardUnfinished,
    KeepBuild,
    MaxMbS,
    Replicas,
    Shards,
    To,
    Untested,
    Workers,
    build_here,
)
from qdrant_static.cli.groups import GroupedCommand
from qdrant_static.cli.options import (
    DEFAULT_DB,
    DEFAULT_TIMEOUT,
    Again,
    ApiKey,
    Db,
    Force,
    Json,
    KeepRuns,
    MaxRejects,
    Peer,
    State,
    chosen,
    listed,
    peers_of,
)
from qdrant_static.cli.reporting import INTERRUPTED, fail, reported, show_report
from qdrant_static.errors import ArgumentError

if TYPE_CHECKING:
    from qdrant_static.clients.connect import Client
    from qdrant_static.collection.spec import CollectionSpec
    from qdrant_static.encoders.base import Encoder
    from qdrant_static.ingestion.ingestreport import IngestReport

#: Works without a network, so that the first command of a newcomer does.
DEFAULT_ENCODER = "wordllama"
#: So many files that could not be read are named in the last line.
_NAMED = 3


class Command(GroupedCommand):
    """``ingest`` with its many options in groups."""

    groups: ClassVar[Mapping[str, Sequence[str]]] = {
        "Collection": (
            "collection", "db", "api_key", "encoder", "matryoshka", "quantization", "sparse",
            "language", "tokenizer", "index",
        ),
        "Input": (
            "key", "text", "template", "payload", "exclude", "rename", "vectors", "format_",
            "delimiter", "types", "passages", "overlap",
        ),
        "Changes and rejects": (
            "sync", "delete_missing", "force", "again", "on_duplicate", "max_rejects", "rejects",
            "keep_runs", "state",
        ),
        "Build here, ship to a server": (
            "to", "build", "build_folder", "shards", "workers", "alias", "replicas", "peer",
            "max_mb_s", "keep_build", "untested", "discard_unfinished",
        ),
    }  # fmt: skip


@reported
def command(
    paths: Annotated[
        list[str],
        typer.Argument(
            help="Parquet, JSONL, CSV and Arrow files (.gz .zst .bz2 too), folders, globs, URIs; "
            "- is standard input.",
            metavar="PATH",
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
        typer.Option(
            help="Column of the key, or several, a,b. [default: id, _id, else a digest of the text]"
        ),
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
        str | None,
        typer.Option(
            help="auto (by size), binary, binary1.5, binary2, int8, turbo4, turbo2, ... or none. "
            "[default: auto]"
        ),
    ] = None,
    sparse: Annotated[str | None, typer.Option(help="bm25 or none. [default: bm25]")] = None,
    language: Annotated[
        str | None, typer.Option(help="Of BM25's stop words and stemming. [default: english]")
    ] = None,
    tokenizer: Annotated[
        str | None,
        typer.Option(
            help="Of BM25: word, multilingual (Chinese, Japanese, Thai), whitespace, ... "
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
    rejects: Annotated[
        str | None, typer.Option(help="File for rows that are not stored. [default: beside --db]")
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Encoding threads. [default: all processors]")
    ] = None,
    state: State = None,
    sync: Annotated[
        bool, typer.Option("--sync", help="Store only what has changed since the last run.")
    ] = False,
    delete_missing: Annotated[
        bool,
        typer.Option(
            "--delete-missing", help="With --sync: delete the points whose rows have vanished."
        ),
    ] = False,
    force: Force = False,
    again: Again = False,
    on_duplicate: Annotated[
        str,
        typer.Option(
            help="Which row of a key that comes twice is stored, and whether the others are "
            "rejects: reject, first, last.",
        ),
    ] = "reject",
    max_rejects: MaxRejects = None,
    keep_runs: KeepRuns = None,
    bulk: Annotated[
        bool, typer.Option("--bulk", help="Have a server index after the load, not during it.")
    ] = False,
    template: Annotated[
        str | None, typer.Option(help="The text, made of columns: '{title}. {abstract}'.")
    ] = None,
    exclude: Annotated[str | None, typer.Option(help="Columns not to store, a,b.")] = None,
    rename: Annotated[
        list[str] | None,
        typer.Option(help="Store a column under another name; repeatable.", metavar="OLD:NEW"),
    ] = None,
    vectors: Annotated[
        str | None,
        typer.Option(help="A column of ready vectors, which take the encoder's place."),
    ] = None,
    format_: Annotated[
        str | None,
        typer.Option(
            "--format",
            help="Of files whose ending does not tell, and of standard input: parquet, jsonl, "
            "csv, tsv, arrow.",
        ),
    ] = None,
    delimiter: Annotated[str | None, typer.Option(help="Between the cells of CSV.")] = None,
    types: Annotated[
        list[str] | None,
        typer.Option(
            help="Type of a CSV column's values (string, integer, float, boolean); "
            "without it all are strings. Repeatable, or a:integer,b:float.",
            metavar="COLUMN:TYPE",
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
    shards: Shards = None,
    workers: Workers = None,
    alias: Alias = None,
    replicas: Replicas = None,
    peer: Peer = None,
    build_folder: BuildFolder = None,
    max_mb_s: MaxMbS = None,
    keep_build: KeepBuild = False,
    untested: Untested = False,
    discard_unfinished: DiscardUnfinished = False,
    api_key: ApiKey = None,
    as_json: Json = False,
) -> None:
    """Read files, encode their texts and store every row.

    Every row is accounted for: stored, unchanged, or rejected with its reason. The collection is
    created if it is missing; if it is there, it must be what the options say, and what no option
    says is taken from it. Running the same command again is harmless; one that was cut short goes
    on where it was.
    """
    from qdrant_static import connect
    from qdrant_static import ingest as run
    from qdrant_static.ingestion.options import RunOptions
    from qdrant_static.reading.options import Passages, SourceOptions

    run_options = chosen(RunOptions, locals())
    given = {
        "key": listed(key),
        "text": listed(text),
        "payload": listed(payload),
        "exclude": listed(exclude),
        "rename": None if rename is None else _pairs("--rename", rename, "OLD:NEW"),
        "template": template,
        "vectors": vectors,
        "format": format_,
        "delimiter": delimiter,
        "types": None if types is None else _pairs("--types", _each(types), "COLUMN:TYPE"),
    }
    options = SourceOptions.from_dict({k: v for k, v in given.items() if v is not None})

    here = build_here(
        build,
        to,
        folder=build_folder,
        shards=shards,
        workers=workers,
        peers=peers_of(peer) or None,
        alias=alias,
        replicas=replicas,
        max_mb_s=max_mb_s,
        keep=keep_build,
        untested=untested,
        discard_unfinished=discard_unfinished,
    )

    client = connect(
        db if to is None else to, api_key=api_key, timeout_s=60 if here is None else DEFAULT_TIMEOUT
    )
    try:
        spec, loaded = _spec(
            client,
            collection,
            encoder,
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
            encoder=loaded,
            spec=spec,
            source_options=options,
            run_options=run_options,
            passages=None if passages is None else Passages(tokens=passages, overlap=overlap),
            build=here,
            progress=sys.stderr.isatty() or not as_json,
            stop=stop_on_signals(),
        )
    finally:
        client.close()
    show(report, as_json=as_json)


def _spec(
    client: Client,
    collection: str,
    encoder: str | None,
    *,
    matryoshka: str | None,
    quantization: str | None,
    sparse: str | None,
    language: str | None,
    tokenizer: str | None,
    index: list[str] | None,
) -> tuple[CollectionSpec, Encoder]:
    """The spec that the options ask for; what they leave open is as the collection has it."""
    from qdrant_static import CollectionSpec, load_encoder
    from qdrant_static.collection.create import read_spec
    from qdrant_static.collection.vectorspec import FULL, matryoshka_name

    there = read_spec(client, collection) if client.collection_exists(collection) else None
    loaded = load_encoder(
        encoder if encoder is not None else there.encoder.name if there else DEFAULT_ENCODER
    )
    if (
        there is not None
        and {matryoshka, quantization, sparse, language, tokenizer} == {None}
        and not index
    ):
        return there, loaded
    asked: dict[str, Any] = {
        "matryoshka": None if matryoshka is None else _sizes(matryoshka),
        "payload_indexes": None if index is None else _pairs("--index", index, "FIELD:TYPE"),
    }
    options: dict[str, Any] = {}
    if there is not None:
        options = {
            "matryoshka": [vector.size for vector in there.vectors[1:]],
            "quantization": {vector.name: vector.quantization for vector in there.vectors},
            "graph": [vector.name for vector in there.vectors if vector.hnsw is not None],
            "sparse": there.sparse,
            "payload_indexes": there.payload_indexes,
            "placement": there.vectors[0].placement,
            "late": there.late,
            "server": there.server,
        }
    options |= {name: value for name, value in asked.items() if value is not None}
    if there is not None and matryoshka is not None:  # the settings of those that stay
        names = {FULL, *map(matryoshka_name, options["matryoshka"])}
        options["quantization"] = {n: q for n, q in options["quantization"].items() if n in names}
        options["graph"] = [name for name in options["graph"] if name in names]
    if quantization is not None:
        options["quantization"] = quantization
    if (sparse, language, tokenizer) != (None, None, None):
        known = there.sparse.language if there is not None and there.sparse is not None else None
        options["sparse"] = _sparse(sparse, language or known, tokenizer)
    return CollectionSpec.for_encoder(loaded, **options), loaded


def _sizes(value: str | None) -> tuple[int, ...]:
    try:
        return tuple(int(size) for size in listed(value) or ())
    except ValueError as error:
        raise ArgumentError(
            field="--matryoshka", problem=f"{value!r} is no list of sizes"
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


def _each(values: list[str]) -> list[str]:
    """``["a:integer,b:float"]`` -> both; a column may have commas in its name, a type has none."""
    found: list[str] = []
    for value in values:
        pairs = re.findall(r"(.+?:\w+)(?:,\s*|$)", value)
        found += pairs if ",".join(pairs) == value.replace(", ", ",") else [value]
    return found


def _pairs(option: str, values: list[str], form: str) -> dict[str, str]:
    pairs = {}
    for value in values:
        left, colon, right = value.rpartition(":")
        if not colon or not left:
            raise ArgumentError(field=option, problem=f"{value!r} is not {form}")
        pairs[left] = right
    return pairs


def show(report: IngestReport, *, as_json: bool) -> None:
    """Print the account of a run, and exit as a scheduler expects it."""
    show_report(report, as_json=as_json)
    if report.interrupted:
        raise typer.Exit(INTERRUPTED)
    if report.unreadable:
        named = "; ".join(map(str, report.unreadable[:_NAMED]))
        more = len(report.unreadable) - _NAMED
        others = f"; and {more:,} more" if more > 0 else ""
        fail(f"what could be read is stored, and this could not be: {named}{others}", 1)


def stop_on_signals() -> threading.Event:
    """The first Ctrl-C (or a scheduler's SIGTERM) ends the run in order, the second at once."""
    stop = threading.Event()

    def ask(number: int, _frame: Any) -> None:
        stop.set()
        signal.signal(number, signal.default_int_handler)
        typer.echo("\nstopping after the batch in hand; once more to stop at once", err=True)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, ask)
    return stop
