"""From a Parquet or JSONL file to a searchable, quantized Qdrant collection, at CPU speed.

::

    from qdrant_static import open_collection

    with open_collection("./data", "articles", encoder="wordllama") as articles:
        articles.ingest("articles/*.parquet", key="doi", text=("title", "abstract"))
        hits = articles.search("mRNA vaccine durability", limit=10)

Public are the names in ``__all__`` here, and those in the ``__all__`` of `qdrant_static.errors`,
`qdrant_static.sources`, `qdrant_static.testing` and `qdrant_static.training`. All other modules
are private: they may change in any version.
"""

from __future__ import annotations

import logging
from importlib import import_module
from typing import TYPE_CHECKING, Any

from qdrant_static._version import __version__

if TYPE_CHECKING:
    from qdrant_static.clients.aliases import point_alias
    from qdrant_static.clients.connect import connect
    from qdrant_static.clients.retry import RetryPolicy
    from qdrant_static.collection.applydiff import apply, ensure_collection
    from qdrant_static.collection.capacity import Corpus
    from qdrant_static.collection.cluster import Machine
    from qdrant_static.collection.create import create_collection
    from qdrant_static.collection.diff import diff
    from qdrant_static.collection.fields import Fields
    from qdrant_static.collection.foreign import foreign_spec
    from qdrant_static.collection.layouts import capacity
    from qdrant_static.collection.plan import SearchPlan
    from qdrant_static.collection.spec import CollectionSpec
    from qdrant_static.collection.specfile import spec_from_toml, spec_to_toml
    from qdrant_static.collection.vectorspec import LateSpec, SparseSpec, VectorSpec
    from qdrant_static.collectionhandle import Collection, open_collection
    from qdrant_static.collectionsummary import CollectionSummary
    from qdrant_static.edge import EdgeClient
    from qdrant_static.encoders.base import Encoder, EncoderInfo
    from qdrant_static.encoders.registry import load_encoder
    from qdrant_static.encoders.sparse import Bm25Encoder
    from qdrant_static.errors import QdrantStaticError
    from qdrant_static.ingestion.ingestreport import IngestProgress, IngestReport
    from qdrant_static.ingestion.options import RunOptions
    from qdrant_static.ingestion.pipeline import ingest
    from qdrant_static.ingestion.retrying import retry_rejects
    from qdrant_static.ingestion.verify import verify
    from qdrant_static.jobs import Job
    from qdrant_static.journal.changes import Record
    from qdrant_static.journal.livewriter import LiveWriter
    from qdrant_static.journal.replay import replay
    from qdrant_static.measuring.quantize import quantize
    from qdrant_static.measuring.tune import tune
    from qdrant_static.measuring.tuning.tunereport import TuneReport
    from qdrant_static.migration.addvector import add_vector
    from qdrant_static.migration.catalog import delete_collection, list_collections
    from qdrant_static.migration.livesearcher import LiveSearcher
    from qdrant_static.migration.migration import Migration
    from qdrant_static.plugin import install, uninstall
    from qdrant_static.querying.filters import build_filter
    from qdrant_static.querying.run import Hit, Searcher, search, search_batch
    from qdrant_static.reading.options import Passages, SourceOptions
    from qdrant_static.retrainjob import RetrainJob
    from qdrant_static.routing import shard_of
    from qdrant_static.shipping.localbuild.buildhere import BuildHere
    from qdrant_static.shipping.pull import pull
    from qdrant_static.shipping.push import ship

# The application decides what is shown of the loggers below "qdrant_static".
logging.getLogger(__name__).addHandler(logging.NullHandler())

#: Name -> the module that holds it; a module is imported when its name is first used.
_HOMES = {
    "Bm25Encoder": "encoders.sparse",
    "BuildHere": "shipping.localbuild.buildhere",
    "Collection": "collectionhandle",
    "CollectionSpec": "collection.spec",
    "CollectionSummary": "collectionsummary",
    "Corpus": "collection.capacity",
    "EdgeClient": "edge",
    "Encoder": "encoders.base",
    "EncoderInfo": "encoders.base",
    "Fields": "collection.fields",
    "Hit": "querying.run",
    "IngestProgress": "ingestion.ingestreport",
    "IngestReport": "ingestion.ingestreport",
    "Job": "jobs",
    "LateSpec": "collection.vectorspec",
    "LiveSearcher": "migration.livesearcher",
    "LiveWriter": "journal.livewriter",
    "Machine": "collection.cluster",
    "Migration": "migration.migration",
    "Passages": "reading.options",
    "QdrantStaticError": "errors",
    "Record": "journal.changes",
    "RetrainJob": "retrainjob",
    "RetryPolicy": "clients.retry",
    "RunOptions": "ingestion.options",
    "SearchPlan": "collection.plan",
    "Searcher": "querying.run",
    "SourceOptions": "reading.options",
    "SparseSpec": "collection.vectorspec",
    "TuneReport": "measuring.tuning.tunereport",
    "VectorSpec": "collection.vectorspec",
    "add_vector": "migration.addvector",
    "apply": "collection.applydiff",
    "build_filter": "querying.filters",
    "capacity": "collection.layouts",
    "connect": "clients.connect",
    "create_collection": "collection.create",
    "delete_collection": "migration.catalog",
    "diff": "collection.diff",
    "ensure_collection": "collection.applydiff",
    "foreign_spec": "collection.foreign",
    "ingest": "ingestion.pipeline",
    "install": "plugin",
    "list_collections": "migration.catalog",
    "load_encoder": "encoders.registry",
    "open_collection": "collectionhandle",
    "point_alias": "clients.aliases",
    "pull": "shipping.pull",
    "quantize": "measuring.quantize",
    "replay": "journal.replay",
    "retry_rejects": "ingestion.retrying",
    "search": "querying.run",
    "search_batch": "querying.run",
    "shard_of": "routing",
    "ship": "shipping.push",
    "spec_from_toml": "collection.specfile",
    "spec_to_toml": "collection.specfile",
    "tune": "measuring.tune",
    "uninstall": "plugin",
    "verify": "ingestion.verify",
}

_PUBLIC_MODULES = ("errors", "sources", "testing", "training")

__all__ = [
    "Bm25Encoder",
    "BuildHere",
    "Collection",
    "CollectionSpec",
    "CollectionSummary",
    "Corpus",
    "EdgeClient",
    "Encoder",
    "EncoderInfo",
    "Fields",
    "Hit",
    "IngestProgress",
    "IngestReport",
    "Job",
    "LateSpec",
    "LiveSearcher",
    "LiveWriter",
    "Machine",
    "Migration",
    "Passages",
    "QdrantStaticError",
    "Record",
    "RetrainJob",
    "RetryPolicy",
    "RunOptions",
    "SearchPlan",
    "Searcher",
    "SourceOptions",
    "SparseSpec",
    "TuneReport",
    "VectorSpec",
    "__version__",
    "add_vector",
    "apply",
    "build_filter",
    "capacity",
    "connect",
    "create_collection",
    "delete_collection",
    "diff",
    "ensure_collection",
    "foreign_spec",
    "ingest",
    "install",
    "list_collections",
    "load_encoder",
    "open_collection",
    "point_alias",
    "pull",
    "quantize",
    "replay",
    "retry_rejects",
    "search",
    "search_batch",
    "shard_of",
    "ship",
    "spec_from_toml",
    "spec_to_toml",
    "tune",
    "uninstall",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC_MODULES:
        return import_module(f"{__name__}.{name}")
    home = _HOMES.get(name)
    if home is None:
        from qdrant_static.suggestions import suggestion

        raise AttributeError(
            f"module {__name__!r} has no attribute {name!r}{suggestion(name, __all__)}"
        )
    value = globals()[name] = getattr(import_module(f"{__name__}.{home}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*__all__, *_PUBLIC_MODULES})
