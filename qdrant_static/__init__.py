"""From a Parquet or JSONL file to a searchable, quantized Qdrant collection, at CPU speed."""

from __future__ import annotations

import logging
import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

from qdrant_static._version import __version__

if TYPE_CHECKING:
    from qdrant_static.collection.build import create_collection
    from qdrant_static.collection.spec import CollectionSpec
    from qdrant_static.connect import connect
    from qdrant_static.edge import EdgeClient
    from qdrant_static.encoders.base import Encoder, EncoderInfo
    from qdrant_static.encoders.registry import load_encoder
    from qdrant_static.errors import QdrantStaticError
    from qdrant_static.ingest.pipeline import ingest
    from qdrant_static.ingest.report import IngestReport
    from qdrant_static.migrate.livesearcher import LiveSearcher
    from qdrant_static.migrate.livewriter import LiveWriter
    from qdrant_static.migrate.machine import Migration
    from qdrant_static.migrate.record import Record
    from qdrant_static.plugin import install, uninstall
    from qdrant_static.search.plan import SearchPlan
    from qdrant_static.search.run import Hit, search
    from qdrant_static.search.tune import tune
    from qdrant_static.search.tuning.report import TuneReport
    from qdrant_static.ship.options import BuildHere
    from qdrant_static.ship.pull import pull
    from qdrant_static.ship.push import ship

# The application decides what is shown of the loggers below "qdrant_static".
logging.getLogger(__name__).addHandler(logging.NullHandler())

#: Name -> the module that holds it; a module is imported when its name is first used.
_HOMES = {
    "BuildHere": "ship.options",
    "CollectionSpec": "collection.spec",
    "EdgeClient": "edge",
    "Encoder": "encoders.base",
    "EncoderInfo": "encoders.base",
    "Hit": "search.run",
    "IngestReport": "ingest.report",
    "LiveSearcher": "migrate.livesearcher",
    "LiveWriter": "migrate.livewriter",
    "Migration": "migrate.machine",
    "QdrantStaticError": "errors",
    "Record": "migrate.record",
    "SearchPlan": "search.plan",
    "TuneReport": "search.tuning.report",
    "connect": "connect",
    "create_collection": "collection.build",
    "ingest": "ingest.pipeline",
    "install": "plugin",
    "load_encoder": "encoders.registry",
    "pull": "ship.pull",
    "search": "search.run",
    "ship": "ship.push",
    "tune": "search.tune",
    "uninstall": "plugin",
}

__all__ = [
    "BuildHere",
    "CollectionSpec",
    "EdgeClient",
    "Encoder",
    "EncoderInfo",
    "Hit",
    "IngestReport",
    "LiveSearcher",
    "LiveWriter",
    "Migration",
    "QdrantStaticError",
    "Record",
    "SearchPlan",
    "TuneReport",
    "__version__",
    "connect",
    "create_collection",
    "ingest",
    "install",
    "load_encoder",
    "pull",
    "search",
    "ship",
    "tune",
    "uninstall",
]


class _Package(ModuleType):
    """This module, with names that its own subpackages cannot take.

    ``ingest``, ``search``, ``ship`` and ``connect`` name a function here and a subpackage or module
    below. The import system binds that to its parent's attribute as soon as anything imports it;
    here the function stays. What is below is reached as ever:
    ``from qdrant_static.ingest import ...``.
    """

    def __getattr__(self, name: str) -> Any:
        home = _HOMES.get(name)
        if home is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(f"{__name__}.{home}"), name)
        super().__setattr__(name, value)
        return value

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _HOMES and isinstance(value, ModuleType)):
            super().__setattr__(name, value)

    def __dir__(self) -> list[str]:
        return sorted({*self.__dict__, *__all__})


sys.modules[__name__].__class__ = _Package
