"""A collection spec as TOML: the long form that we print, and the short one that people write."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qdrant_static import plaindata
from qdrant_static.collection.spec import VERSION, CollectionSpec
from qdrant_static.encoders.base import EncoderInfo
from qdrant_static.encoders.registry import AnyEncoder
from qdrant_static.errors import ArgumentError

#: What the short form may say: `CollectionSpec.for_encoder`'s arguments.
SHORT = (
    "matryoshka", "quantization", "graph", "placement", "sparse", "late", "payload_indexes",
    "server", "plan",
)  # fmt: skip


def to_toml(spec: CollectionSpec) -> str:
    """The whole spec as TOML; `from_toml` reads it back as it was."""
    return dumps(spec.to_dict())


def read_spec_file(
    path: str | os.PathLike[str], *, encoder: AnyEncoder | EncoderInfo | None = None
) -> CollectionSpec:
    """Read the spec of a TOML file; arguments and errors are those of `from_toml`.

    Raises:
        ArgumentError: If the file cannot be read, or as `from_toml`; it names the file.
    """
    return from_data(plaindata.read_toml(Path(path)), encoder=encoder, where=str(path))


def from_toml(text: str, *, encoder: AnyEncoder | EncoderInfo | None = None) -> CollectionSpec:
    """Read a spec.

    Args:
        text: The long form (with ``version``), or the short form: the arguments of
            `CollectionSpec.for_encoder`, such as ``matryoshka = [256]``, ``quantization =
            "turbo4"``, ``[sparse]`` with ``language = "german"``.
        encoder: For the short form, which names none.

    Raises:
        ArgumentError: If it is not TOML, or says what cannot work.
    """
    return from_data(plaindata.parse_toml(text, "spec"), encoder=encoder)


def from_data(
    data: Mapping[str, Any],
    *,
    encoder: AnyEncoder | EncoderInfo | None = None,
    where: str = "spec",
) -> CollectionSpec:
    """Build a spec from a table in either form; as `from_toml`.

    Args:
        data: The table.
        encoder: For the short form, which names none.
        where: What errors call the table: ``"nightly.toml: spec"``.

    Raises:
        ArgumentError: If it says what cannot work; it names the key by its path.
    """
    with plaindata.placed(where):
        return _from_data(data, encoder, where)


def short_form(data: object, where: str) -> dict[str, Any]:
    """Type the short form; whether it can work depends on the encoder.

    Raises:
        ArgumentError: If a key is unknown or a value is of another type.
    """
    if isinstance(data, Mapping) and data.get("sparse") == "none":
        data = {**data, "sparse": None}
    return plaindata.arguments(CollectionSpec.for_encoder, data, where, known=SHORT)


def _from_data(
    data: Mapping[str, Any], encoder: AnyEncoder | EncoderInfo | None, where: str
) -> CollectionSpec:
    if is_long(data):
        long = {"sparse": None, "late": None, "payload_indexes": {}, "plan": None, **data}
        long.setdefault("version", VERSION)
        if isinstance(fields := data.get("fields", {}), Mapping):
            long["fields"] = {"key": None, "text": [], **fields}
        return CollectionSpec.from_dict(long, where)
    given = short_form(data, where)
    if encoder is None:
        raise ArgumentError(field="encoder", problem="the spec names no encoder; give one")
    return CollectionSpec.for_encoder(encoder, **given)


def is_long(data: Mapping[str, Any]) -> bool:
    """Whether a table is in the long form, which says everything."""
    return "vectors" in data or "version" in data


def dumps(data: Mapping[str, Any]) -> str:
    """Nested tables as TOML; what is None is left out, as TOML has no null."""
    return "\n".join(_table(data, ())).strip() + "\n"


def _table(data: Mapping[str, Any], path: tuple[str, ...]) -> list[str]:
    lines = []
    tables: list[tuple[str, Any]] = []
    for name, value in data.items():
        if value is None:
            # A graph that is left out would be the default one.
            if name == "hnsw":
                lines.append("hnsw = false")
        elif isinstance(value, Mapping) or _is_tables(value):
            tables.append((name, value))
        else:
            lines.append(f"{_key(name)} = {_value(value)}")
    for name, value in tables:
        inner = (*path, name)
        head = ".".join(map(_key, inner))
        if isinstance(value, Mapping):
            lines += ["", f"[{head}]", *_table(value, inner)]
        else:
            for one in value:
                lines += ["", f"[[{head}]]", *_table(one, inner)]
    return lines


def _is_tables(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(v, Mapping) for v in value)


def _key(name: str) -> str:
    bare = name.isascii() and name.replace("_", "").replace("-", "").isalnum()
    return name if bare else _value(name)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        # JSON's escapes are TOML's, but for DEL, which TOML wants escaped.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(_value(one) for one in value)}]"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{_key(k)} = {_value(v)}' for k, v in value.items())}}}"
    raise ArgumentError(field="spec", problem=f"{value!r} has no form in TOML")
