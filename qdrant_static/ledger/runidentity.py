"""Digests of what decides a run's outcome: to continue an unfinished run, and to notice changes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any

from qdrant_static.collection.spec import CollectionSpec
from qdrant_static.digests import DIGEST_BYTES

Files = Sequence[tuple[str, str]]


def identity(spec: CollectionSpec, encoder: str, options: Mapping[str, Any]) -> dict[str, str]:
    """Return digests of spec, encoder and options, which must agree to continue a run.

    Args:
        spec: The collection's, as far as it is known.
        encoder: The encoder's fingerprint.
        options: How the input is read and stored.
    """
    described = spec.to_dict()
    # What may change without any point being encoded again.
    for name in ("fields", "plan", "evidence", "measured", "queries"):
        described.pop(name, None)
    if isinstance(described.get("sparse"), dict):
        described["sparse"] = {**described["sparse"], "mean_length": None}
        for name in ("tokenizer", "sampled_length"):
            described["sparse"].pop(name, None)
    return {
        "encoder": encoder,
        "spec": _digest(described),
        "options": _digest(dict(options)),
    }


def encoding_key(spec: CollectionSpec) -> bytes:
    """Return a digest of what decides a row's vectors besides its text: encoder and vectors."""
    sparse = spec.to_dict()["sparse"]
    if sparse is not None and (sampled := sparse.pop("sampled_length", None)) is not None:
        sparse["mean_length"] = sampled  # correcting the weights of all rows changes no row
    parts = {
        "encoder": spec.encoder.fingerprint,
        "vectors": [[vector.name, vector.size] for vector in spec.vectors],
        "sparse": sparse,
    }
    return blake2b(json.dumps(parts, sort_keys=True).encode(), digest_size=DIGEST_BYTES).digest()


def differences(
    before: Mapping[str, Any], now: Mapping[str, Any], files_before: Files, files_now: Files
) -> list[str]:
    """Return what has changed between two runs, a phrase each; empty if nothing has."""
    changes = [f"another {name}" for name in now if before.get(name) != now[name]]
    old, new = dict(files_before), dict(files_now)
    changes += [f"{path} has changed" for path in new if path in old and old[path] != new[path]]
    changes += [f"{path} is new" for path in new if path not in old]
    changes += [f"{path} is gone" for path in old if path not in new]
    if not changes and list(files_before) != list(files_now):
        changes.append("the files come in another order")
    return changes


def _plain(value: Any) -> Any:
    """Convert a value that JSON cannot hold; sets are sorted, as every process orders them anew."""
    return sorted(value) if isinstance(value, set | frozenset) else str(value)


def _digest(data: Any) -> str:
    return blake2b(
        json.dumps(data, sort_keys=True, default=_plain).encode(), digest_size=8
    ).hexdigest()
