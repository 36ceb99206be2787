"""A job file (TOML) -> an ingest.

::

    collection = "articles"
    paths = ["articles/*.parquet"]
    db = "http://localhost:6333"
    encoder = "wordllama"

    [connect]
    api_key = "${QDRANT_API_KEY}"

    [spec]                  # as for CollectionSpec.for_encoder
    matryoshka = [128]

    [source]                # as SourceOptions
    text = ["title", "abstract"]

    [ingest]                # as RunOptions
    sync = true
    max_rejects = "1%"

    [build]                 # as BuildHere: build in this machine, and ship it to the server
    shards = 4

Paths are relative to the file's folder, so that a scheduler may start it from anywhere.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from qdrant_static import plaindata, rules
from qdrant_static.errors import ArgumentError
from qdrant_static.suggestions import suggestion

if TYPE_CHECKING:
    import threading

    from qdrant_static.clients.connect import Client
    from qdrant_static.encoders.base import Encoder, EncoderInfo
    from qdrant_static.ingestion.ingestreport import IngestReport
    from qdrant_static.ingestion.progress import ProgressCallback

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_TOP: Mapping[str, Any] = {"collection": str, "paths": (str, list), "db": str, "encoder": str}
_TABLES: Mapping[str, Mapping[str, Any]] = {"connect": {"api_key": str, "timeout_s": int}}
#: Tables that become objects of these types.
_OBJECTS = ("ingest", "spec", "source", "passages", "build")
_TOLD = {
    str: "a string", int: "an integer", float: "a number", bool: "true or false",
    list: "a list of strings", dict: "a table",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What a job file says; secrets are not shown by ``repr``.

    Attributes:
        name: The file.
        collection: The collection.
        paths: Its input.
        db: A directory or a server's URL.
        encoder: Name or path of the encoder; None takes the collection's.
        connect: Arguments of `qdrant_static.clients.connect.connect`.
        spec: The table of the spec; None takes what is there, or the default.
        source: Arguments of `SourceOptions`.
        ingest: Arguments of `RunOptions`.
        passages: Arguments of `Passages`; None: rows are not cut.
        build: Arguments of `BuildHere`; None: the server builds its indexes itself.
    """

    name: str
    collection: str
    paths: tuple[str, ...]
    db: str = field(repr=False)
    encoder: str | None = None
    connect: Mapping[str, Any] = field(default_factory=dict, repr=False)
    spec: Mapping[str, Any] | None = None
    source: Mapping[str, Any] = field(default_factory=dict)
    ingest: Mapping[str, Any] = field(default_factory=dict)
    passages: Mapping[str, Any] | None = None
    build: Mapping[str, Any] | None = None

    @classmethod
    def load(
        cls, path: str | os.PathLike[str], environment: Mapping[str, str] | None = None
    ) -> Self:
        """Read a job file.

        Args:
            path: The file.
            environment: Where ``${NAME}`` in its strings is looked up; None for the process's.

        Raises:
            ArgumentError: If something in it is unknown, missing or wrong; it names the key by its
                path, and never shows a value.
        """
        file = Path(path).expanduser()
        data = plaindata.read_toml(file)
        found = os.environ if environment is None else environment
        data = _filled(data, (), file.name, found)
        _check(data, file.name)
        _check_objects(data, file.name)
        home = file.resolve().parent
        paths = [data["paths"]] if isinstance(data["paths"], str) else data["paths"]
        options = {
            name: _placed(value, home, f"{file.name}: ingest.{name}")
            if name in ("state", "rejects")
            else value
            for name, value in data.get("ingest", {}).items()
        }
        return cls(
            name=str(file),
            collection=data["collection"],
            paths=tuple(_placed(one, home, f"{file.name}: paths") for one in paths),
            db=_placed(data.get("db", "data"), home, f"{file.name}: db"),
            encoder=_encoder(data.get("encoder"), home, file.name),
            connect=data.get("connect", {}),
            spec=data.get("spec"),
            source=data.get("source", {}),
            ingest=options,
            passages=data.get("passages"),
            build=_build(data.get("build"), home, file.name),
        )

    def run(
        self,
        *,
        progress: bool | ProgressCallback = False,
        stop: threading.Event | None = None,
        **changed: Any,
    ) -> IngestReport:
        """Carry the job out.

        Args:
            progress: As for `ingest`.
            stop: As for `ingest`.
            changed: Fields of `RunOptions` in place of the file's, such as ``force=True``.
        """
        from qdrant_static.clients.connect import connect
        from qdrant_static.collection.specfile import from_data
        from qdrant_static.encoders.base import EncoderInfo
        from qdrant_static.ingestion.options import RunOptions
        from qdrant_static.ingestion.pipeline import ingest
        from qdrant_static.reading.options import Passages, SourceOptions
        from qdrant_static.shipping.localbuild.buildhere import BuildHere

        source_options = SourceOptions.from_dict(self.source)
        run_options = RunOptions(**{"job": Path(self.name).name, **self.ingest, **changed})
        passages = None if self.passages is None else Passages(**self.passages)
        build = None if self.build is None else BuildHere(**self.build)
        client = connect(self.db, **self.connect)
        try:
            encoder: Encoder | EncoderInfo = self._encoder_of(client, pinned=run_options.pinned)
            spec = (
                None
                if self.spec is None
                else from_data(self.spec, encoder=encoder, where=f"{self.name}: spec")
            )
            return ingest(
                client,
                self.collection,
                list(self.paths),
                encoder=self.encoder if isinstance(encoder, EncoderInfo) else encoder,
                spec=spec,
                source_options=source_options,
                run_options=run_options,
                passages=passages,
                build=build,
                progress=progress,
                stop=stop,
            )
        finally:
            client.close()

    def _encoder_of(self, client: Client, *, pinned: bool) -> Encoder | EncoderInfo:
        """The job's encoder; what is known of it where it is that of another generation.

        The model of a generation that was replaced need not be there any more.
        """
        from qdrant_static.collection.create import read_spec
        from qdrant_static.collection.migrationcheck import other_generations
        from qdrant_static.encoders.registry import load_encoder

        name = self.encoder
        if client.collection_exists(self.collection):
            there = read_spec(client, self.collection)
            name = name or there.encoder.name
            if name != there.encoder.name and not pinned:
                for one in other_generations(client, self.collection):
                    if one.encoder.name == name:
                        return one.encoder
        if name is None:
            raise ArgumentError(
                field=f"{self.name}: encoder",
                problem=f"collection {self.collection!r} is new: name an encoder",
            )
        return load_encoder(name)


def _filled(value: Any, path: tuple[str, ...], name: str, environment: Mapping[str, str]) -> Any:
    """A value with the variables in its strings replaced."""
    if isinstance(value, dict):
        return {key: _filled(one, (*path, key), name, environment) for key, one in value.items()}
    if isinstance(value, list):
        return [_filled(one, path, name, environment) for one in value]
    if not isinstance(value, str):
        return value

    def found(match: re.Match[str]) -> str:
        if match[1] not in environment:
            raise ArgumentError(
                field=f"{name}: {'.'.join(path)}",
                problem=f"the environment has no variable {match[1]}",
            )
        return environment[match[1]]

    return _VARIABLE.sub(found, value)


def _check(data: Mapping[str, Any], name: str) -> None:
    """Refuse what is unknown, missing or of another type."""
    known = (*_TOP, *_TABLES, *_OBJECTS)
    for key, value in data.items():
        if key in _TOP:
            _check_kind(f"{name}: {key}", value, _TOP[key])
        elif key in (*_TABLES, *_OBJECTS):
            if not isinstance(value, dict):
                raise ArgumentError(field=f"{name}: {key}", problem="is not a table")
            if key in _TABLES:
                _check_table(f"{name}: {key}", value, _TABLES[key])
        else:
            raise ArgumentError(
                field=f"{name}: {key}",
                problem=f"is unknown; known: {', '.join(known)}{suggestion(key, known)}",
            )
    for key in ("collection", "paths"):
        if key not in data:
            raise ArgumentError(field=f"{name}: {key}", problem="is missing")


def _check_objects(data: Mapping[str, Any], name: str) -> None:
    """Refuse what the objects that tables stand for refuse, before anything is opened."""
    from qdrant_static.collection.specfile import is_long, short_form
    from qdrant_static.ingestion.options import RunOptions
    from qdrant_static.reading.options import Passages, SourceOptions
    from qdrant_static.shipping.localbuild.buildhere import BuildHere

    with plaindata.placed(f"{name}: source"):
        SourceOptions.from_dict(data.get("source", {}), f"{name}: source")
    plaindata.build(RunOptions, data.get("ingest", {}), f"{name}: ingest")
    if "passages" in data:
        plaindata.build(Passages, data["passages"], f"{name}: passages")
    if "build" in data:
        plaindata.build(BuildHere, data["build"], f"{name}: build")
    if "spec" in data and not is_long(data["spec"]):
        short_form(data["spec"], f"{name}: spec")


def _check_table(place: str, table: Mapping[str, Any], known: Mapping[str, Any]) -> None:
    for key, value in table.items():
        if key not in known:
            raise ArgumentError(
                field=f"{place}.{key}",
                problem=f"is unknown; known: {', '.join(known)}{suggestion(key, known)}",
            )
        _check_kind(f"{place}.{key}", value, known[key])


def _check_kind(place: str, value: Any, wanted: Any) -> None:
    kinds = wanted if isinstance(wanted, tuple) else (wanted,)
    right = type(value) in kinds  # a boolean is no integer here
    if right and isinstance(value, list):
        right = bool(value) and all(isinstance(one, str) for one in value)
    if not right:
        told = " or ".join(_TOLD[kind] for kind in kinds)
        raise ArgumentError(field=place, problem=f"is not {told}")


def _placed(path: str, home: Path, key: str) -> str:
    """A path as seen from the file's folder; URIs and standard input are left alone."""
    rules.location(key, path)
    if "://" in path or path in ("-", ":memory:"):
        return path
    return str(home / Path(path).expanduser())


def _build(table: Mapping[str, Any] | None, home: Path, name: str) -> Mapping[str, Any] | None:
    """A table of `BuildHere`, its folder as seen from the file's."""
    if table is None or "folder" not in table:
        return table
    return {**table, "folder": _placed(table["folder"], home, f"{name}: build.folder")}


def _encoder(name: str | None, home: Path, file: str) -> str | None:
    """An encoder's name, or the path of one that lies beside the file."""
    if name is not None and (name.startswith((".", "~")) or (home / name).is_dir()):
        return _placed(name, home, f"{file}: encoder")
    return name
