"""Defines `Job`: a job file (TOML) that describes an ingest.

::

    collection = "articles"
    paths = ["articles/*.parquet"]
    db = "http://localhost:6333"
    encoder = "wordllama"

    [connect]               # arguments of connect()
    api_key = "${QDRANT_API_KEY}"

    [spec]                  # arguments of CollectionSpec.for_encoder()
    matryoshka = [128]

    [source]                # SourceOptions
    text = ["title", "abstract"]

    [passages]              # Passages
    tokens = 256

    [ingest]                # RunOptions
    sync = true
    max_rejects = "1%"

    [build]                 # BuildHere: build on this machine, and ship to the server
    shards = 4

Paths are relative to the file's folder, so that a scheduler may start it from anywhere. ``${NAME}``
in a string is replaced by the environment's variable.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from qdrant_static.errors import ArgumentError
from qdrant_static.ingestion.options import RunOptions
from qdrant_static.jobfile import job_data, job_values, placed
from qdrant_static.reading.options import Passages, SourceOptions
from qdrant_static.shipping.localbuild.buildhere import BuildHere

if TYPE_CHECKING:
    import threading

    from qdrant_static.clients.connect import Client
    from qdrant_static.encoders.base import Encoder, EncoderInfo
    from qdrant_static.ingestion.ingestreport import IngestReport, ProgressCallback

#: Before the path of a model, in the names of encoders.
_PATH_PREFIXES = ("onnx", "head")


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """Arguments of `qdrant_static.connect`; ``repr`` does not show the key.

    Attributes:
        api_key: For a server that asks for one.
        timeout_s: How long a server may take for one request, in seconds.
    """

    api_key: str | None = field(default=None, repr=False)
    timeout_s: int = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """An ingest that a file describes; ``repr`` shows no secrets.

    Attributes:
        name: The file.
        collection: The collection's name, or an alias.
        paths: The input, as `qdrant_static.ingest` takes it.
        db: A directory or a server's URL.
        encoder: Name or path of the encoder; None takes the collection's.
        query_encoder: Name or path of the encoder of queries (asymmetric search); None takes the
            collection's, or the spec's.
        connect: How a server is connected to.
        spec: The table of the spec, whose short form needs an encoder; None takes the spec of the
            collection, or the default.
        source: How the input is read.
        ingest: How the ingest runs.
        passages: How long texts are cut; None does not cut them.
        build: How the collection is built on this machine and shipped; None writes to ``db``.
    """

    name: str
    collection: str
    paths: tuple[str, ...]
    db: str = field(default="data", repr=False)
    encoder: str | None = None
    query_encoder: str | None = None
    connect: Connection = field(default_factory=Connection)
    spec: Mapping[str, Any] | None = None
    source: SourceOptions = field(default_factory=SourceOptions)
    ingest: RunOptions = field(default_factory=RunOptions)
    passages: Passages | None = None
    build: BuildHere | None = None

    @classmethod
    def load(
        cls, path: str | os.PathLike[str], environment: Mapping[str, str] | None = None
    ) -> Self:
        """Read a job file.

        Args:
            path: The file.
            environment: Variables for ``${NAME}`` in its strings; None takes the process's.

        Raises:
            ArgumentError: If a key is unknown or missing, or a value is wrong. It names the key by
                its path, and never shows a value.
        """
        file = Path(path).expanduser()
        data = job_data(file, environment)
        if isinstance(data.get("source"), str | list):
            raise ArgumentError(
                field=f"{file.name}: source",
                problem="is the table of how the input is read; name the input as `paths`",
            )
        values = job_values(cls, data, file, required=("collection", "paths"))
        if not values["paths"]:
            raise ArgumentError(field=f"{file.name}: paths", problem="is empty; name the input")
        _check_spec(values.get("spec"), file.name)
        return cls(name=str(file), **values)._placed(file)

    def _placed(self, file: Path) -> Self:
        """Return the job with its paths relative to the file's folder."""
        home, name = file.resolve().parent, file.name

        def place(path: Any, key: str) -> Any:
            return None if path is None else placed(os.fspath(path), home, f"{name}: {key}")

        run = self.ingest
        return replace(
            self,
            paths=tuple(place(path, "paths") for path in self.paths),
            db=place(self.db, "db"),
            encoder=encoder_beside(self.encoder, home, f"{name}: encoder"),
            query_encoder=encoder_beside(self.query_encoder, home, f"{name}: query_encoder"),
            spec=_with_queries(self.spec, home, f"{name}: spec.queries"),
            ingest=replace(
                run,
                state=place(run.state, "ingest.state"),
                rejects=place(run.rejects, "ingest.rejects"),
            ),
            build=None
            if self.build is None
            else replace(self.build, folder=place(self.build.folder, "build.folder")),
        )

    def run(
        self,
        *,
        progress: bool | ProgressCallback | None = None,
        stop: threading.Event | None = None,
        **changed: Any,
    ) -> IngestReport:
        """Run the job.

        Args:
            progress: As for `qdrant_static.ingest`.
            stop: As for `qdrant_static.ingest`.
            changed: Fields of `RunOptions` in place of the file's, such as ``force=True``.
        """
        from qdrant_static.clients.connect import connect
        from qdrant_static.collection.specfile import from_data
        from qdrant_static.encoders.base import EncoderInfo
        from qdrant_static.ingestion.pipeline import ingest

        label = self.ingest.job or Path(self.name).name
        run_options = replace(self.ingest, **{"job": label, **changed})
        client = connect(self.db, api_key=self.connect.api_key, timeout_s=self.connect.timeout_s)
        try:
            encoder = self._encoder_of(client, pinned=run_options.pinned)
            spec = None
            if self.spec is not None:
                spec = from_data(self.spec, encoder=encoder, where=f"{self.name}: spec")
            return ingest(
                client,
                self.collection,
                list(self.paths),
                encoder=self.encoder if isinstance(encoder, EncoderInfo) else encoder,
                query_encoder=self.query_encoder,
                spec=spec,
                source_options=self.source,
                run_options=run_options,
                passages=self.passages,
                build=self.build,
                progress=progress,
                stop=stop,
            )
        finally:
            client.close()

    def _encoder_of(self, client: Client, *, pinned: bool) -> Encoder | EncoderInfo:
        """Return the job's encoder; of an encoder of another generation, only its `EncoderInfo`.

        The model of a generation that was replaced may no longer exist.
        """
        from qdrant_static.collection.create import read_spec
        from qdrant_static.collection.migrationcheck import other_generations
        from qdrant_static.encoders.registry import load_encoder

        name = self.encoder
        if client.collection_exists(self.collection):
            present = read_spec(client, self.collection)
            name = name or present.encoder.name
            if name != present.encoder.name and not pinned:
                for spec in other_generations(client, self.collection):
                    if spec.encoder.name == name and self.query_encoder in (
                        None,
                        spec.query_encoder.name,
                    ):
                        return spec.encoder
        if name is None:
            raise ArgumentError(
                field=f"{self.name}: encoder",
                problem=f"collection {self.collection!r} is new: name an encoder",
            )
        return load_encoder(name)


def _check_spec(table: Mapping[str, Any] | None, name: str) -> None:
    """Refuse a wrong short form of a spec before anything is opened."""
    from qdrant_static.collection.specfile import is_long, short_form

    if table is not None and not is_long(table):
        short_form(table, f"{name}: spec")


def encoder_beside(name: str | None, home: Path, key: str) -> str | None:
    """Return an encoder's name, or the path of one beside the file."""
    kind, colon, path = (name or "").partition(":")
    if colon and kind in _PATH_PREFIXES:
        place = Path(placed(path, home, key)).resolve()
        return f"{kind}:{place}"  # as in the metadata of collections
    if name is not None and (name.startswith((".", "~")) or (home / name).is_dir()):
        return placed(name, home, key)
    return name


def _with_queries(spec: Mapping[str, Any] | None, home: Path, key: str) -> Mapping[str, Any] | None:
    """Return the table of a spec with the path of an encoder of queries that it names."""
    if spec is None or not isinstance(spec.get("queries"), str):
        return spec
    return {**spec, "queries": encoder_beside(spec["queries"], home, key)}
