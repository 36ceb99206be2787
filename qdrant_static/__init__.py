"""From a Parquet or JSONL file to a searchable, quantized Qdrant collection, at CPU speed."""

from __future__ import annotations

import logging
from importlib import import_module
from typing import TYPE_CHECKING, Any

from qdrant_static._version import __version__

if TYPE_CHECKING:
    from qdrant_static.clients.connect import connect
    from qdrant_static.collection.create import create_collection
    from qdrant_static.collection.plan import SearchPlan
    from qdrant_static.collection.spec import CollectionSpec
    from qdrant_static.collectionhandle import Collection, open_collection
    from qdrant_static.edge import EdgeClient
    from qdrant_static.encoders.base import Encoder, EncoderInfo
    from qdrant_static.encoders.registry import load_encoder
    from qdrant_static.errors import QdrantStaticError
    from qdrant_static.ingestion.ingestreport import IngestReport
    from qdrant_static.ingestion.options import RunOptions
    from qdrant_static.ingestion.pipeline import ingest
    from qdrant_static.ingestion.progress import IngestProgress
    from qdrant_static.journal.changes import Record
    from qdrant_static.journal.livewriter import LiveWriter
    from qdrant_static.measuring.tune import tune
    from qdrant_static.measuring.tuning.tunereport import TuneReport
    from qdrant_static.migration.livesearcher import LiveSearcher
    from qdrant_static.migration.migration import Migration
    from qdrant_static.plugin import install, uninstall
    from qdrant_static.querying.run import Hit, search
    from qdrant_static.reading.options import SourceOptions
    from qdrant_static.shipping.localbuild.buildhere import BuildHere
    from qdrant_static.shipping.pull import pull
    from qdrant_static.shipping.push import ship

# The application decides what is shown of the loggers below "qdrant_static".
logging.getLogger(__name__).addHandler(logging.NullHandler())

#: Name -> the module that holds it; a module is imported when its name is first used.
_HOMES = {
    "BuildHere": "shipping.localbuild.buildhere",
    "Collection": "collectionhandle",
    "CollectionSpec": "collection.spec",
    "EdgeClient": "edge",
    "Encoder": "encoders.base",
    "EncoderInfo": "encoders.base",
    "Hit": "querying.run",
    "IngestProgress": "ingestion.progress",
    "IngestReport": "ingestion.ingestreport",
    "LiveSearcher": "migration.livesearcher",
    "LiveWriter": "journal.livewriter",
    "Migration": "migration.migration",
    "QdrantStaticError": "errors",
    "Record": "journal.changes",
    "RunOptions": "ingestion.options",
    "SearchPlan": "collection.plan",
    "SourceOptions": "reading.options",
    "TuneReport": "measuring.tuning.tunereport",
    "connect": "clients.connect",
    "create_collection": "collection.create",
    "ingest": "ingestion.pipeline",
    "install": "plugin",
    "load_encoder": "encoders.registry",
    "open_collection": "collectionhandle",
    "pull": "shipping.pull",
    "search": "querying.run",
    "ship": "shipping.push",
    "tune": "measuring.tune",
    "uninstall": "plugin",
}

__all__ = [
    "BuildHere",
    "Collection",
    "CollectionSpec",
    "EdgeClient",
    "Encoder",
    "EncoderInfo",
    "Hit",
    "IngestProgress",
    "IngestReport",
    "LiveSearcher",
    "LiveWriter",
    "Migration",
    "QdrantStaticError",
    "Record",
    "RunOptions",
    "SearchPlan",
    "SourceOptions",
    "TuneReport",
    "__version__",
    "connect",
    "create_collection",
    "ingest",
    "install",
    "load_encoder",
    "open_collection",
    "pull",
    "search",
    "ship",
    "tune",
    "uninstall",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"{__name__}.{home}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
