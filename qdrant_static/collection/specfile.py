"""Reads and writes a collection spec as TOML, in a long and a short form.

The long form is the complete spec; `spec_to_toml` writes it. The short form has the arguments of
`CollectionSpec.for_encoder` and is written by hand.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomli_w

from qdrant_static import plaindata
from qdrant_static.collection.quantization import SHORT_NAMES
from qdrant_static.collection.spec import VERSION, CollectionSpec
from qdrant_static.encoders.base import EncoderInfo
from qdrant_static.encoders.registry import AnyEncoder
from qdrant_static.errors import ArgumentError

#: Keys of the short form: arguments of `CollectionSpec.for_encoder`.
SHORT = (
    "matryoshka", "quantization", "graph", "placement", "sparse", "late", "payload_indexes",
    "server", "plan", "queries",
)  # fmt: skip


def spec_to_toml(spec: CollectionSpec, *, short: bool = False) -> str:
    """Write a spec as TOML.

    Args:
        spec: The spec.
        short: Write only the arguments of `CollectionSpec.for_encoder`, without the encoder. Else
            everything is written, and `spec_from_toml` reads an equal spec.
    """
    return dumps(_short(spec) if short else spec.to_dict())


def _short(spec: CollectionSpec) -> dict[str, Any]:
    names = {value: name for name, value in SHORT_NAMES.items()}
    data: dict[str, Any] = {
        "matryoshka": [vector.size for vector in spec.vectors[1:]],
        "graph": next(vector.name for vector in spec.vectors if vector.hnsw is not None),
        "placement": spec.vectors[0].placement,
        "quantization": {
            vector.name: "none" if vector.quantization is None else names[vector.quantization]
            for vector in spec.vectors
        },
        "payload_indexes": dict(spec.payload_indexes),
        "server": spec.server.to_dict(),
        "sparse": {"placement": spec.sparse.placement} if spec.sparse else "none",
        "queries": None if spec.queries is None else spec.queries.name,
    }
    return {name: value for name, value in data.items() if value}


def read_spec_file(
    path: str | os.PathLike[str],
    *,
    encoder: AnyEncoder | EncoderInfo | None = None,
    queries: AnyEncoder | EncoderInfo | None = None,
) -> CollectionSpec:
    """Read a spec from a TOML file; arguments and errors are those of `spec_from_toml`.

    A folder that ``queries`` names may be relative to the file's.

    Raises:
        ArgumentError: If the file cannot be read, or as `spec_from_toml`; it names the file.
    """
    file = Path(path)
    data = plaindata.read_toml(file)
    name = data.get("queries")
    if isinstance(name, str) and (file.parent / name).is_dir():
        data["queries"] = str((file.parent / name).resolve())
    return from_data(data, encoder=encoder, queries=queries, where=str(path))


def spec_from_toml(
    text: str,
    *,
    encoder: AnyEncoder | EncoderInfo | None = None,
    queries: AnyEncoder | EncoderInfo | None = None,
) -> CollectionSpec:
    """Read a spec from TOML text.

    Args:
        text: The long form (with ``version``), or the short form: the arguments of
            `CollectionSpec.for_encoder`, such as ``matryoshka = [256]``, ``quantization =
            "turbo4"``, ``[sparse]`` with ``language = "german"``.
        encoder: For the short form, which names none.
        queries: The encoder of queries, for the short form where that names none.

    Raises:
        ArgumentError: If it is not TOML, or a value is impossible.
        EncoderPairError: If the encoder of queries was not fitted to that of the documents.
    """
    return from_data(plaindata.parse_toml(text, "spec"), encoder=encoder, queries=queries)


def from_data(
    data: Mapping[str, Any],
    *,
    encoder: AnyEncoder | EncoderInfo | None = None,
    queries: AnyEncoder | EncoderInfo | None = None,
    where: str = "spec",
) -> CollectionSpec:
    """Make a spec from a parsed table in either form.

    Args:
        data: The table.
        encoder: For the short form, which names none.
        queries: The encoder of queries, for the short form where that names none.
        where: The table's name in errors: ``"nightly.toml: spec"``.

    Raises:
        ArgumentError: If a value is impossible; the error names the path of the key.
    """
    with plaindata.placed(where):
        return _from_data(data, encoder, queries, where)


def short_form(data: object, where: str) -> dict[str, Any]:
    """Convert the short form to typed arguments; the encoder is needed to check them further.

    Raises:
        ArgumentError: If a key is unknown or a value is of another type.
    """
    if isinstance(data, Mapping) and data.get("sparse") == "none":
        data = {**data, "sparse": None}
    return plaindata.arguments(CollectionSpec.for_encoder, data, where, known=SHORT)


def _from_data(
    data: Mapping[str, Any],
    encoder: AnyEncoder | EncoderInfo | None,
    queries: AnyEncoder | EncoderInfo | None,
    where: str,
) -> CollectionSpec:
    if is_long(data):
        long = {"sparse": None, "late": None, "payload_indexes": {}, "plan": None, **data}
        long.setdefault("version", VERSION)
        if isinstance(fields := data.get("fields", {}), Mapping):
            long["fields"] = {"key": None, "text": [], **fields}
        return CollectionSpec.from_dict(long, where)
    arguments = short_form(data, where)
    if encoder is None:
        raise ArgumentError(field="encoder", problem="the spec names no encoder; give one")
    return CollectionSpec.for_encoder(encoder, **{"queries": queries, **arguments})


def is_long(data: Mapping[str, Any]) -> bool:
    """Return whether a table is in the long form."""
    return "vectors" in data or "version" in data


def dumps(data: Mapping[str, Any]) -> str:
    """Write nested tables as TOML; keys with None are omitted, since TOML has no null."""
    return tomli_w.dumps(_without_none(data))


def _without_none(data: Mapping[str, Any]) -> dict[str, Any]:
    tables: dict[str, Any] = {}
    for name, value in data.items():
        if value is None:
            # A missing graph would be read as the default graph.
            if name == "hnsw":
                tables[name] = False
        elif isinstance(value, Mapping):
            tables[name] = _without_none(value)
        elif isinstance(value, list):
            tables[name] = [_without_none(v) if isinstance(v, Mapping) else v for v in value]
        else:
            tables[name] = value
    return tables
