"""Partitions: columns whose values are in the names of folders, such as ``year=2021``."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import Any
from urllib.parse import unquote

import pyarrow as pa

from qdrant_static.reading.csvcells import CONVERTERS
from qdrant_static.reading.inputs import Input
from qdrant_static.reading.options import CellType

#: The name that Hive and Spark give to the folder of rows whose partition is null.
_NULL = "__HIVE_DEFAULT_PARTITION__"
_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,17}")


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionType:
    """The type of the values of a partition.

    Attributes:
        kind: The type.
        is_strict: Whether a folder with another value rejects its rows; else it stays a string.
    """

    kind: CellType
    is_strict: bool


def folders_of(path: str) -> dict[str, str | None]:
    """Return the values of all folders called ``column=value`` in a path.

    The whole path counts, so that the columns do not depend on which of the folders was named.

    Args:
        path: Where the file lies, from the root of its filesystem.
    """
    pairs = (step.partition("=") for step in PurePath(path).parts[:-1])
    return {
        unquote(name): None if value == _NULL else unquote(value)
        for name, sign, value in pairs
        if sign and name
    }


def with_types(inputs: Sequence[Input], types: Mapping[str, PartitionType]) -> list[Input]:
    """Return the same files, with partition values of these types.

    Args:
        inputs: The files.
        types: Column -> type; others are integers where every folder's value is one, else strings.
    """
    seen: dict[str, list[str]] = {}
    for one in inputs:
        for name, text in one.folders.items():
            seen.setdefault(name, []).extend([] if text is None else [text])
    known = {
        name: PartitionType(
            kind="integer" if all(map(_INTEGER.fullmatch, texts)) else "string", is_strict=False
        )
        for name, texts in seen.items()
    } | dict(types)
    return [_typed(one, known) if one.folders else one for one in inputs]


def _typed(file: Input, types: Mapping[str, PartitionType]) -> Input:
    values: dict[str, Any] = {}
    unfit: dict[str, str] = {}
    for name, text in file.folders.items():
        wanted = types[name]
        values[name] = text
        if text is None or (not wanted.is_strict and not _is_written_so(text, wanted.kind)):
            continue
        try:
            values[name] = CONVERTERS[wanted.kind](text)
        except ValueError:
            unfit[name] = f"the folder {name}={text} is not of type {wanted.kind}"
    return replace(file, partition=values, unfit=unfit)


def _is_written_so(text: str, kind: CellType) -> bool:
    """Return whether a text is a value of a type in its usual form: 01 is not 1."""
    if kind == "integer":
        return _INTEGER.fullmatch(text) is not None
    try:
        CONVERTERS[kind](text)
    except ValueError:
        return False
    return True


def with_partition(schema: pa.Schema, file: Input) -> pa.Schema:
    """Return a schema with the columns of the file's partition; a column of the file wins."""
    for name, value in file.partition.items():
        if schema.get_field_index(name) < 0:
            schema = schema.append(pa.field(name, constant(value).type))
    return schema


def constant(value: Any) -> pa.Scalar:
    """Return a partition's value as a scalar of Arrow."""
    if type(value) is int and value >= 2**63:
        return pa.scalar(value, pa.uint64())
    return pa.scalar(value, pa.string()) if value is None else pa.scalar(value)
