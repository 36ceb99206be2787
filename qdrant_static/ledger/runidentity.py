"""What must agree for an unfinished run to be continued, and what to say where it does not."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any

from qdrant_static.collection.spec import CollectionSpec

Files = Sequence[tuple[str, str]]


def identity(spec: CollectionSpec, encoder: str, options: Mapping[str, Any]) -> dict[str, str]:
    """Digests of spec, encoder and options, each by its name.

    Args:
        spec: The collection's, as far as it is known.
        encoder: The encoder's fingerprint.
        options: How the input is read, and what is done about it.
    """
    described = spec.to_dict()
    for found_out in ("fields", "plan", "evidence", "measured"):
        described.pop(found_out, None)
    if isinstance(described.get("sparse"), dict):
        described["sparse"] = {**described["sparse"], "mean_length": None}
        for later in ("tokenizer", "sampled_length"):
            described["sparse"].pop(later, None)
    return {
        "encoder": encoder,
        "spec": _digest(described),
        "options": _digest(dict(options)),
    }


def differences(
    before: Mapping[str, Any], now: Mapping[str, Any], files_before: Files, files_now: Files
) -> list[str]:
    """What has changed between two runs, in words; empty if nothing has."""
    told = [f"another {name}" for name in now if before.get(name) != now[name]]
    old, new = dict(files_before), dict(files_now)
    told += [f"{path} has changed" for path in new if path in old and old[path] != new[path]]
    told += [f"{path} is new" for path in new if path not in old]
    told += [f"{path} is gone" for path in old if path not in new]
    if not told and list(files_before) != list(files_now):
        told.append("the files come in another order")
    return told


def _plain(value: Any) -> Any:
    """What JSON has no form for; the order of a set is another in every process."""
    return sorted(value) if isinstance(value, set | frozenset) else str(value)


def _digest(data: Any) -> str:
    return blake2b(
        json.dumps(data, sort_keys=True, default=_plain).encode(), digest_size=8
    ).hexdigest()
