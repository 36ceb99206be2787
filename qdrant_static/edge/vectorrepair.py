"""Files of a shard of which a death left some with a vector, and some without.

The engine adds a vector to one segment after the other and to its own settings, and drops it so.
When it opens a shard, it refuses files that differ. What has been written of such a vector was
acknowledged to nobody: it is taken out of all of them, and the change is carried out anew.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from qdrant_static.files import replace_file, sync_folder

_KINDS = ("vector_data", "sparse_vector_data", "vectors", "sparse_vectors")


def level(shard: Path, vector_name: str) -> bool:
    """Take a vector out of the files that tell of it, if there are others that do not.

    Args:
        shard: The shard's folder; nobody may have it open.
        vector_name: The vector whose change was cut short.

    Returns:
        Whether something was taken out.
    """
    files = sorted([*shard.glob("edge_config.json"), *shard.glob("segments/*/segment.json")])
    states = {file: dict(json.loads(file.read_bytes())) for file in files}
    having = [file for file, state in states.items() if _vectors(state, vector_name)]
    if len(having) in (0, len(states)):
        return False
    for file in having:
        for vectors in _vectors(states[file], vector_name):
            del vectors[vector_name]
        # First it is no longer told of, then it goes: a death between leaves files of nobody.
        replace_file(file, json.dumps(states[file]).encode())
        for what in ("vector_storage", "vector_index"):
            shutil.rmtree(file.parent / f"{what}-{vector_name}", ignore_errors=True)
        sync_folder(file.parent)
    return True


def _vectors(state: dict[str, Any], vector_name: str) -> list[dict[str, Any]]:
    """Where a file tells of the vector: a segment below ``config``, the settings at their top."""
    config = state.get("config", state)
    kinds = (config.get(kind) or {} for kind in _KINDS)
    return [vectors for vectors in kinds if vector_name in vectors]
