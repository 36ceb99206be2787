"""Reads job files: variables in strings, the fields of a kind of job, and paths beside the file."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from qdrant_static import plaindata, rules
from qdrant_static.errors import ArgumentError

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


def job_data(file: Path, environment: Mapping[str, str] | None) -> dict[str, Any]:
    """Read a job file: variables in its strings are replaced, and a single path becomes a list.

    Args:
        file: The file.
        environment: Variables for ``${NAME}``; None takes the process's.

    Raises:
        ArgumentError: If it is no TOML, or a variable is missing.
    """
    variables = os.environ if environment is None else environment
    data: dict[str, Any] = _with_variables(plaindata.read_toml(file), (), file.name, variables)
    if isinstance(data.get("paths"), str):
        data["paths"] = [data["paths"]]
    return data


def job_values(
    kind: type, data: Mapping[str, Any], file: Path, *, required: Sequence[str]
) -> dict[str, Any]:
    """Convert the data of a job file to the fields of a job, without its name.

    Args:
        kind: The class of the job, a dataclass.
        data: What `job_data` returned.
        file: The file, for messages.
        required: Keys that must be there.

    Raises:
        ArgumentError: If a key is unknown or missing, or a value is of another type.
    """
    keys = [each.name for each in fields(kind) if each.name != "name"]
    values = plaindata.arguments(kind, data, f"{file.name}: ", known=keys)
    for key in required:
        if key not in values:
            raise ArgumentError(field=f"{file.name}: {key}", problem="is missing")
    return values


def placed(path: str, home: Path, key: str) -> str:
    """Return a path relative to a folder; URIs and standard input stay as they are."""
    rules.location(key, path)
    if "://" in path or path in ("-", ":memory:"):
        return path
    return str(home / Path(path).expanduser())


def _with_variables(
    value: Any, path: tuple[str, ...], name: str, environment: Mapping[str, str]
) -> Any:
    """Return a value with the variables in its strings replaced."""
    if isinstance(value, dict):
        return {
            key: _with_variables(inner, (*path, key), name, environment)
            for key, inner in value.items()
        }
    if isinstance(value, list):
        return [_with_variables(inner, path, name, environment) for inner in value]
    if not isinstance(value, str):
        return value

    def variable(match: re.Match[str]) -> str:
        if match[1] not in environment:
            raise ArgumentError(
                field=f"{name}: {'.'.join(path)}",
                problem=f"the environment has no variable {match[1]}",
            )
        return environment[match[1]]

    return _VARIABLE.sub(variable, value)
