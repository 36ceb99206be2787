"""Translates segment.json to the configuration of a target collection, and names what differs.

Edge and server write the same files. The JSON of equal settings may differ: newer engines
configure the placement of data with three tiers (``"memory": "pinned"``), older ones with flags
(``"always_ram": true``, ``"on_disk": false``), and a server rewrites every segment whose JSON is
not literally its own. So a segment's settings are translated before it is sent. Placement can be
translated, because the files are the same; what would need other files is reported as a
difference.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_IN_RAM = frozenset({"Memory", "InRamChunkedMmap", "InRamMmap"})
_ON_DISK = frozenset({"Mmap", "ChunkedMmap"})
#: Settings that change a graph's links or files, with their defaults.
_GRAPH_DEFAULTS: Mapping[str, Any] = {
    "m": 16,
    "ef_construct": 100,
    "full_scan_threshold": 10_000,
    "payload_m": None,
    "inline_storage": False,
}
#: Settings that do not affect the files: their placement, and the number of threads.
_GRAPH_IGNORED = frozenset({"max_indexing_threads", "on_disk", "memory"})
_CODES_DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "scalar": {"type": "int8", "quantile": None},
    "product": {"compression": None},
    "binary": {"encoding": "one_bit", "query_encoding": "default"},
    "turbo": {"bits": "bits4"},
}
_CODES_IGNORED = frozenset({"always_ram", "memory"})
#: Quantizations that a segment has from its first point on.
_APPENDABLE = frozenset({"binary", "turbo"})
_SPARSE_FULL_SCAN = 5_000
_PAYLOADS = {"mmap": "disk", "in_ram_mmap": "ram"}
#: The settings that this module can compare; any other is reported as a difference.
_KNOWN = {
    "config": {"vector_data", "sparse_vector_data", "payload_storage_type", "id_tracker_memory"},
    "vector": {
        "size", "distance", "storage_type", "index", "quantization_config", "multivector_config",
        "datatype",
    },
    "sparse": {"index", "storage_type", "modifier"},
    "sparse index": {"full_scan_threshold", "index_type", "datatype", "memory"},
}  # fmt: skip


def translated_state(
    target: Mapping[str, Any], state: Mapping[str, Any]
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Translate a segment's state to what the target's server would have written.

    Args:
        target: The ``config`` of a server's answer to ``GET /collections/{name}``, as JSON.
        state: The content of a ``segment.json``.

    Returns:
        The translated state, and the differences in meaning, each as ``path: built X, target Y``.
        If there is a difference, the state cannot be used.
    """
    config = state["config"]
    params = target["params"]
    differences: list[str] = []
    _require_known(config, "config", "", differences)
    dense, sparse = _dense_params(params), params.get("sparse_vectors") or {}
    built_dense, built_sparse = config.get("vector_data", {}), config.get("sparse_vector_data", {})
    _same_names("vectors", built_dense, dense, differences)
    _same_names("sparse_vectors", built_sparse, sparse, differences)
    new: dict[str, Any] = {
        "vector_data": {
            name: _Dense(name, built, dense[name], target, differences).translated()
            for name, built in built_dense.items()
            if name in dense
        }
    }
    if built_sparse:
        new["sparse_vector_data"] = {
            name: _sparse(name, built, sparse[name], differences)
            for name, built in built_sparse.items()
            if name in sparse
        }
    new["payload_storage_type"] = _payload(config["payload_storage_type"], params, differences)
    _ids(config.get("id_tracker_memory"), params, new, differences)
    return {**state, "config": new}, tuple(differences)


def _dense_params(params: Mapping[str, Any]) -> Mapping[str, Mapping[str, Any]]:
    vectors = params.get("vectors") or {}
    return {"": vectors} if isinstance(vectors.get("size"), int) else vectors


def _same_names(
    what: str, built: Mapping[str, Any], wanted: Mapping[str, Any], differences: list[str]
) -> None:
    for name in sorted(built.keys() ^ wanted.keys()):
        sides = ("present", "missing") if name in built else ("missing", "present")
        differences.append(f"{what}.{name}: built {sides[0]}, target {sides[1]}")


def _require_known(built: Mapping[str, Any], what: str, path: str, differences: list[str]) -> None:
    for name in sorted(built.keys() - _KNOWN[what]):
        if built[name] is not None:
            differences.append(f"{path}{name}: built {_shown(built[name])}, which is unknown")


def _compare(path: str, built: Any, wanted: Any, differences: list[str]) -> None:
    if built != wanted:
        differences.append(f"{path}: built {_shown(built)}, target {_shown(wanted)}")


def _shown(value: Any) -> str:
    return "none" if value is None else value if isinstance(value, str) else json.dumps(value)


def _without_nulls(config: Mapping[str, Any] | None) -> dict[str, Any]:
    return {name: value for name, value in (config or {}).items() if value is not None}


def _placement(config: Mapping[str, Any], flag: str, otherwise: str, *, means: str) -> str:
    """Return ``"ram"`` or ``"disk"``, by the memory tier, or by a flag that means one of them."""
    if config.get("memory") is not None:
        return "disk" if config["memory"] == "cold" else "ram"
    if config.get(flag) is not None:
        other = "ram" if means == "disk" else "disk"
        return means if config[flag] else other
    return otherwise


def _inherited(whole: Mapping[str, Any] | None, own: Mapping[str, Any] | None) -> dict[str, Any]:
    """Merge a vector's settings with its collection's; any placement replaces the inherited one."""
    base, over = _without_nulls(whole), _without_nulls(own)
    if over.keys() & {"memory", "on_disk"}:
        base = {name: value for name, value in base.items() if name not in ("memory", "on_disk")}
    return {**base, **over}


@dataclass(slots=True)
class _Dense:
    """One dense vector, as it was built and as the target configures it."""

    name: str
    built: Mapping[str, Any]
    wanted: Mapping[str, Any]
    target: Mapping[str, Any]
    differences: list[str]

    def translated(self) -> dict[str, Any]:
        built, wanted = self.built, self.wanted
        _require_known(built, "vector", f"{self._path}.", self.differences)
        for field in ("size", "distance"):
            self._compare(field, built[field], wanted[field])
        self._compare(
            "datatype", built.get("datatype") or "float32", wanted.get("datatype") or "float32"
        )
        self._compare(
            "multivector_config",
            _without_nulls(built.get("multivector_config")) or None,
            _without_nulls(wanted.get("multivector_config")) or None,
        )
        placement = self._storage()
        return {
            **built,
            "index": self._index(),
            "quantization_config": self._codes(placement),
        }

    @property
    def _path(self) -> str:
        return f"vectors.{self.name}" if self.name else "vectors"

    def _compare(self, field: str, built: Any, wanted: Any) -> None:
        _compare(f"{self._path}.{field}", built, wanted, self.differences)

    def _storage(self) -> str:
        kind = self.built["storage_type"]
        wanted = _placement(self.wanted, "on_disk", "ram", means="disk")
        if kind == "Empty":  # no point has this vector
            return wanted
        if kind not in _IN_RAM | _ON_DISK:
            self.differences.append(f"{self._path}.storage: built {kind}, which is unknown")
            return wanted
        built = "ram" if kind in _IN_RAM else "disk"
        self._compare("placement", built, wanted)
        return wanted

    def _index(self) -> Any:
        index = self.built["index"]
        if index["type"] == "plain":
            return index
        built = _without_nulls(index["options"])
        wanted = _inherited(self.target["hnsw_config"], self.wanted.get("hnsw_config"))
        for field in sorted(built.keys() - _GRAPH_DEFAULTS.keys() - _GRAPH_IGNORED):
            self._compare(f"hnsw.{field}", built[field], wanted.get(field))
        for field, default in _GRAPH_DEFAULTS.items():
            self._compare(f"hnsw.{field}", built.get(field, default), wanted.get(field, default))
        self._compare(
            "hnsw.placement",
            _placement(built, "on_disk", "ram", means="disk"),
            _placement(wanted, "on_disk", "ram", means="disk"),
        )
        return {**index, "options": wanted}

    def _codes(self, placement: str) -> Any:
        built = self.built.get("quantization_config")
        wanted = self.wanted.get("quantization_config") or self.target.get("quantization_config")
        if built is None and wanted is None:
            return None
        built_kind, built_codes = _codes_of(built)
        kind, codes = _codes_of(wanted)
        if built is None and self.built["index"]["type"] == "plain" and kind not in _APPENDABLE:
            return None  # such codes are made together with the graph
        if built_kind != kind:
            self._compare("quantization", built_kind, kind)
            return wanted
        defaults = _CODES_DEFAULTS.get(kind, {})
        for field in sorted((built_codes.keys() | defaults.keys()) - _CODES_IGNORED):
            default = defaults.get(field)
            self._compare(
                f"quantization.{field}", built_codes.get(field, default), codes.get(field, default)
            )
        self._compare(
            "quantization.placement",
            _placement(built_codes, "always_ram", placement, means="ram"),
            _placement(codes, "always_ram", placement, means="ram"),
        )
        return {kind: codes}


def _codes_of(config: Mapping[str, Any] | None) -> tuple[str, dict[str, Any]]:
    if config is None:
        return "none", {}
    ((kind, codes),) = config.items()
    return kind, _without_nulls(codes)


def _sparse(
    name: str, built: Mapping[str, Any], wanted: Mapping[str, Any], differences: list[str]
) -> dict[str, Any]:
    path = f"sparse_vectors.{name}"
    index, target = built["index"], _without_nulls(wanted.get("index"))
    _require_known(built, "sparse", f"{path}.", differences)
    _require_known(index, "sparse index", f"{path}.index.", differences)
    _compare(
        f"{path}.modifier",
        built.get("modifier") or "none",
        wanted.get("modifier") or "none",
        differences,
    )
    for field, default in (("datatype", "float32"), ("full_scan_threshold", _SPARSE_FULL_SCAN)):
        _compare(
            f"{path}.index.{field}",
            index.get(field) or default,
            target.get(field) or default,
            differences,
        )
    kind = index["index_type"]
    if kind != "MutableRam":
        placement = _placement(target, "on_disk", "ram", means="disk")
        as_built = _placement(index, "on_disk", "disk" if kind == "Mmap" else "ram", means="disk")
        _compare(f"{path}.index.placement", as_built, placement, differences)
        # Without tiers, "in RAM" means that the file is copied to RAM: it is the same file.
        if "memory" not in target:
            kind = "Mmap" if placement == "disk" else "ImmutableRam"
    settings = {"full_scan_threshold": target.get("full_scan_threshold"), "index_type": kind}
    settings |= {field: target[field] for field in ("datatype", "memory") if field in target}
    return {**built, "index": settings}


def _payload(
    built: Mapping[str, Any], params: Mapping[str, Any], differences: list[str]
) -> dict[str, Any]:
    """Translate the placement of payloads: it is the server's choice, as the files are the same."""
    if built.get("type") not in _PAYLOADS:
        differences.append(f"payload: built as {_shown(dict(built))}, which is unknown")
    wanted = {
        **_without_nulls(params.get("payload")),
        "on_disk_payload": params.get("on_disk_payload"),
    }
    placement = _placement(wanted, "on_disk_payload", "disk", means="disk")
    return {"type": next(name for name, place in _PAYLOADS.items() if place == placement)}


def _ids(
    built: str | None, params: Mapping[str, Any], new: dict[str, Any], differences: list[str]
) -> None:
    """Compare the placement of ids: those that are not pinned have other files."""
    wanted = _without_nulls(params.get("id_tracker")).get("memory")
    _compare("id_tracker.memory", built or "pinned", wanted or "pinned", differences)
    if wanted is not None:
        new["id_tracker_memory"] = wanted
