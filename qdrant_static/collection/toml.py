"""A collection spec as TOML: the long form that we print, and the short one that people write."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from typing import Any

from qdrant_static.collection.spec import VERSION, CollectionSpec, ServerSpec
from qdrant_static.collection.vectorspec import LateSpec, SparseSpec
from qdrant_static.encoders.base import Encoder, EncoderInfo
from qdrant_static.errors import SpecError

#: What the short form may say: `CollectionSpec.for_encoder`'s arguments.
SHORT = (
    "matryoshka", "quantization", "graph", "placement", "sparse", "late", "payload_indexes",
    "server", "plan",
)  # fmt: skip


def to_toml(spec: CollectionSpec) -> str:
    """The whole spec as TOML; `from_toml` reads it back as it was."""
    return dumps(spec.to_dict())


def from_toml(text: str, *, encoder: Encoder | EncoderInfo | None = None) -> CollectionSpec:
    """Read a spec.

    Args:
        text: The long form (with ``version``), or the short form: the arguments of
            `CollectionSpec.for_encoder`, such as ``matryoshka = [256]``, ``quantization =
            "turbo4"``, ``[sparse]`` with ``language = "german"``.
        encoder: For the short form, which names none.

    Raises:
        SpecError: If it is no TOML, or says what cannot work.
    """
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SpecError(field="spec", problem=f"is no TOML: {error}") from error
    if "vectors" in data or "version" in data:
        long = {"sparse": None, "late": None, "payload_indexes": {}, "plan": None, **data}
        long.setdefault("version", VERSION)
        fields = data.get("fields", {})
        long["fields"] = {"key": fields.get("key"), "text": fields.get("text", [])}
        return CollectionSpec.from_dict(long)
    if unknown := sorted(set(data) - set(SHORT)):
        raise SpecError(field=unknown[0], problem=f"is unknown; known: {', '.join(SHORT)}")
    if encoder is None:
        raise SpecError(field="encoder", problem="the spec names no encoder; give one")
    if isinstance(data.get("sparse"), Mapping):
        data["sparse"] = SparseSpec.from_dict(data["sparse"])
    if data.get("sparse") == "none":
        data["sparse"] = None
    if isinstance(data.get("late"), Mapping):
        data["late"] = LateSpec.from_dict(data["late"])
    if isinstance(data.get("server"), Mapping):
        if unknown := sorted(set(data["server"]) - set(ServerSpec.__slots__)):
            known = ", ".join(ServerSpec.__slots__)
            raise SpecError(field=f"server.{unknown[0]}", problem=f"is unknown; known: {known}")
        data["server"] = ServerSpec(**data["server"])
    return CollectionSpec.for_encoder(encoder, **data)


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
    raise SpecError(field="spec", problem=f"{value!r} has no form in TOML")
