"""Defines `Collection`: client, name, spec and encoder of one collection in one object.

Every method delegates to the function of the same name, ``verb(client, collection, ...)``, and
has its parameters; what the object knows already is not asked for again.
"""

from __future__ import annotations

import os
import threading
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any, Never, Self

from qdrant_static import rules
from qdrant_static.errors import ArgumentError, ClientClosedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from types import TracebackType

    from qdrant_client import QdrantClient, models

    from qdrant_static.clients.connect import Client
    from qdrant_static.clients.retry import RetryPolicy
    from qdrant_static.collection.capacity import Corpus
    from qdrant_static.collection.cluster import Machine
    from qdrant_static.collection.diff import CollectionDiff
    from qdrant_static.collection.layouts import CapacityPlan
    from qdrant_static.collection.quantization import Quantization
    from qdrant_static.collection.spec import CollectionSpec, SparseSpec
    from qdrant_static.collectionsummary import CollectionSummary
    from qdrant_static.edge import EdgeClient
    from qdrant_static.encoders.base import Encoder
    from qdrant_static.encoders.registry import AnyEncoder
    from qdrant_static.ingestion.ingestreport import IngestReport, ProgressCallback
    from qdrant_static.ingestion.options import RunOptions
    from qdrant_static.ingestion.runspec import Builder
    from qdrant_static.ingestion.verify import Verification
    from qdrant_static.journal.writejournal import WriteJournal
    from qdrant_static.measuring.judged import JudgedSet
    from qdrant_static.measuring.quantizereport import QuantizeReport
    from qdrant_static.measuring.tuning.race import Cost
    from qdrant_static.measuring.tuning.tuneclock import TuneProgress
    from qdrant_static.measuring.tuning.tunereport import TuneReport
    from qdrant_static.migration.migration import Migration
    from qdrant_static.querying.explain import Explanation
    from qdrant_static.querying.filters import FilterLike
    from qdrant_static.querying.run import Hit, PlanChoice, Searcher
    from qdrant_static.reading.find import PathLike
    from qdrant_static.reading.inmemory import ArrowStream
    from qdrant_static.reading.options import Passages, SourceOptions
    from qdrant_static.reading.sources import AnySource
    from qdrant_static.shipping.progress import PullProgress, ShipProgress
    from qdrant_static.shipping.reports import Pulled, Shipment

#: A server takes over a whole shard in one request of `ship` and `pull`, which takes minutes.
_TRANSFER_TIMEOUT_S = 600


class Collection:
    """One collection: fill it, search it, measure it, move it.

    >>> from qdrant_static import open_collection
    >>> rows = [
    ...     {"id": "a1", "title": "Tides", "text": "The moon raises the sea twice a day."},
    ...     {"id": "a2", "title": "Bread", "text": "Wild yeast leavens the dough."},
    ... ]
    >>> with open_collection("./data", "articles", encoder="wordllama") as articles:
    ...     stored = articles.ingest(rows).stored
    ...     best = articles.search("what makes dough rise", limit=1)[0]
    >>> stored, best.key
    (2, 'a2')

    A later process needs the name alone, since a collection's metadata hold its spec, its default
    search plan and the name of its encoder: ``open_collection("./data", "articles")``.

    The constructor does no I/O: the client is opened, and the spec read, by the first method that
    needs it. Leaving a ``with`` block, or `close`, closes the client if it was opened here; a
    client that was given stays open. An embedded collection can be open in one process at a time.

    What the collection is (spec, plan, target of an alias) is read once and read again after a
    method that changes it. Where another process changes it, call `refresh`.

    Args:
        target: A directory, a server's URL, or a client.
        name: The collection's name, or an alias.
        encoder: The encoder or its name. A collection that exists needs none: the one in its
            metadata is loaded by name. A new collection, or one that was made without this
            package, needs one.
        query_encoder: The encoder of queries or its name, for asymmetric search: a fast model that
            was fitted to ``encoder``, which then encodes the documents alone. None: the
            collection's, or else ``encoder`` does both.
        spec: What `ingest` creates; None takes the default for the encoder. For a collection that
            was made without this package, the spec that says which vector and which text fields
            are meant (`foreign_spec`).
        late_encoder: The encoder of the late-interaction vector; None loads it by name.
        cross_encoder: Reorders the top hits of a plan that asks for it, by
            ``scores(query, texts)``; None loads the plan's by name.
        api_key: For a server that asks for one.
        timeout_s: How long a server may take for one request, in seconds.

    Raises:
        ArgumentError: If the target is neither a path, a URL nor a client, or the name is empty.
    """

    def __init__(
        self,
        target: str | os.PathLike[str] | Client,
        name: str,
        *,
        encoder: AnyEncoder | None = None,
        query_encoder: AnyEncoder | None = None,
        spec: CollectionSpec | None = None,
        late_encoder: Any = None,
        cross_encoder: Any = None,
        api_key: str | None = None,
        timeout_s: int = 60,
    ) -> None:
        self._client: Client | None = None
        if isinstance(target, str | os.PathLike):
            self._target = rules.location("target", target)
        elif hasattr(target, "query_points"):
            self._target, self._client = "", target
        else:
            kind = type(target).__name__
            raise ArgumentError(
                field="target", problem=f"{kind} is neither a path, a URL nor a client"
            )
        if not isinstance(name, str) or not name:
            raise ArgumentError(field="name", problem="is empty; name the collection")
        self._name = name
        self._encoder = encoder
        self._query_encoder = query_encoder
        self._spec = spec
        self._late_encoder = late_encoder
        self._cross_encoder = cross_encoder
        self._connection = {"api_key": api_key, "timeout_s": timeout_s}
        self._opened_here = self._client is None
        self._closed = False
        self._searcher: Searcher | None = None
        self._guard = threading.RLock()

    # --- what it holds -------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The name that was given: the collection's, or an alias."""
        return self._name

    @property
    def client(self) -> Client:
        """The client; opened now if it was not.

        Raises:
            ClientClosedError: If this object was closed.
        """
        from qdrant_static.clients.connect import connect

        with self._guard:
            if self._closed:
                raise ClientClosedError(where=self._place)
            if self._client is None:
                self._client = connect(self._target, **self._connection)  # type: ignore[arg-type]
            return self._client

    @property
    def spec(self) -> CollectionSpec:
        """What the collection is, or what it will be if it does not exist yet.

        Raises:
            CollectionNotFoundError: If there is no such collection, and no spec was given.
        """
        from qdrant_static.collection.foreign import carried_spec, foreign_spec

        if self._spec is not None and (not self._spec.planned or not self.exists()):
            return self._spec
        carried = carried_spec(self.client, self._name)
        if carried is not None and carried.planned:
            return carried
        return foreign_spec(self.client, self._name, encoder=self._encoder)

    @property
    def encoder(self) -> Encoder:
        """The encoder of the documents, and of the queries too unless the search is asymmetric.

        It is loaded now if it was not.

        Raises:
            EncoderMismatchError: If it is not the one that filled the collection.
            CollectionNotFoundError: If there is no such collection, and no encoder was given.
        """
        from qdrant_static.collection.create import check_encoder
        from qdrant_static.encoders.registry import as_encoder

        if self._encoder is None or self.exists():
            spec = self.spec
            if spec.queries is None:
                return self._opened().encoder
            self._encoder = as_encoder(self._encoder or spec.encoder.name)
            check_encoder(self._name, spec.encoder, self._encoder.info)
        self._encoder = as_encoder(self._encoder)
        return self._encoder

    @property
    def query_encoder(self) -> Encoder:
        """The encoder of the queries, loaded now if it was not.

        Raises:
            EncoderMismatchError: If it is not that of the collection's queries.
            CollectionNotFoundError: If there is no such collection, and no encoder was given.
        """
        from qdrant_static.encoders.registry import as_encoder

        if self.exists():
            return self._opened().encoder
        return self.encoder if self._query_encoder is None else as_encoder(self._query_encoder)

    def exists(self) -> bool:
        """Return whether the collection exists."""
        return bool(self.client.collection_exists(self._name))

    def count(self, filter: FilterLike = None) -> int:  # noqa: A002
        """Count points, exactly.

        Args:
            filter: A condition on the payload, as `search` takes it; None counts all.
        """
        narrowed = None if filter is None else self._opened().filter(filter)
        return int(self.client.count(self._name, count_filter=narrowed, exact=True).count)

    def info(self) -> CollectionSummary:
        """Describe the collection: points, encoder, vectors, indexes, search plan, size on disk.

        The result prints as a text and shows as a table in a notebook.

        Raises:
            CollectionNotFoundError: If there is no such collection.
        """
        from qdrant_static.collectionsummary import summarize

        return summarize(self.client, self._name)

    def __repr__(self) -> str:
        return f"Collection({self._place!r}, {self._name!r})"

    # --- filling -------------------------------------------------------------------------------

    def ingest(
        self,
        source: PathLike
        | Sequence[PathLike]
        | AnySource
        | ArrowStream
        | Iterable[Mapping[str, Any]],
        *,
        key: Sequence[str] | str | None = None,
        text: Sequence[str] | str | None = None,
        source_options: SourceOptions | None = None,
        run_options: RunOptions | None = None,
        passages: Passages | None = None,
        build: Builder | None = None,
        progress: bool | ProgressCallback | None = None,
        stop: threading.Event | None = None,
        **unknown: Never,
    ) -> IngestReport:
        """Read files or rows, encode their texts and store every row; see `qdrant_static.ingest`.

        ::

            articles.ingest("articles/*.parquet", key="doi", text=("title", "abstract"))
        """
        from qdrant_static.ingestion.pipeline import ingest

        with self._changing():
            return ingest(
                self.client, self._name, source, key=key, text=text, encoder=self._encoder,
                query_encoder=self._query_encoder, late_encoder=self._late_encoder,
                spec=self._spec, source_options=source_options, run_options=run_options,
                passages=passages, build=build, progress=progress, stop=stop, **unknown,
            )  # fmt: skip

    def verify(
        self,
        *,
        state: PathLike | None = None,
        sample: int = 1000,
        repair: bool = False,
        anew: bool = False,
    ) -> Verification:
        """Compare the collection with its ledger; see `qdrant_static.verify`."""
        from qdrant_static.ingestion.verify import verify

        return verify(self.client, self._name, state=state, sample=sample, repair=repair, anew=anew)

    # --- searching -----------------------------------------------------------------------------

    def search(
        self,
        text: str,
        *,
        limit: int = 10,
        plan: PlanChoice = None,
        filter: FilterLike = None,  # noqa: A002
        query_filter: models.Filter | None = None,
    ) -> list[Hit]:
        """Search for a text; return hits, best first; see `qdrant_static.search`.

        ::

            articles.search("mRNA vaccine durability", limit=10, filter="year>=2020")
        """
        return self._opened().search(
            text, limit=limit, plan=plan, filter=filter, query_filter=query_filter
        )

    def search_batch(
        self,
        texts: Sequence[str],
        *,
        limit: int = 10,
        plan: PlanChoice = None,
        filter: FilterLike = None,  # noqa: A002
        query_filter: models.Filter | None = None,
    ) -> list[list[Hit]]:
        """Search for several texts at once; return the hits of each; see `search_batch`."""
        return self._opened().search_batch(
            texts, limit=limit, plan=plan, filter=filter, query_filter=query_filter
        )

    def explain(self, plan: PlanChoice = None, *, limit: int = 10) -> Explanation:
        """Describe what a search does, stage by stage, and what it costs; nothing is searched."""
        return self._opened().explain(plan, limit=limit)

    # --- measuring -----------------------------------------------------------------------------

    def tune(
        self,
        *,
        target_recall: float = 0.99,
        k: int = 10,
        queries: Sequence[str] | str | os.PathLike[str] | None = None,
        sample: int = 500,
        judged: JudgedSet | str | os.PathLike[str] | None = None,
        plan: PlanChoice = None,
        filter: FilterLike = None,  # noqa: A002
        query_filter: models.Filter | None = None,
        cost: Cost = "time",
        budget_s: float = 300.0,
        store: bool = True,
        progress: bool | Callable[[TuneProgress], None] | None = None,
        seed: int = 0,
    ) -> TuneReport:
        """Make the cheapest plan that finds enough the default one; see `qdrant_static.tune`."""
        from qdrant_static.measuring.tune import tune

        with self._changing():
            return tune(
                self.client, self._name, target_recall=target_recall, k=k, queries=queries,
                sample=sample, judged=judged, plan=plan, filter=filter, query_filter=query_filter,
                cost=cost, budget_s=budget_s, spec=self._foreign,
                encoder=self._encoder_of_queries(), late_encoder=self._late_encoder, store=store,
                progress=progress, seed=seed,
            )  # fmt: skip

    def quantize(
        self,
        *,
        quantization: str | Quantization | None = "auto",
        vector: str | None = None,
        target_recall: float = 0.97,
        text: Sequence[str] = (),
        sparse: SparseSpec | None = None,
        queries: int = 200,
        dry_run: bool = False,
        notify: Callable[[str], None] | None = None,
    ) -> QuantizeReport:
        """Quantize the vectors and keep the codes if they find enough; see `quantize`."""
        from qdrant_static.measuring.quantize import quantize

        with self._changing():
            return quantize(
                self.client, self._name, quantization=quantization, vector=vector,
                target_recall=target_recall, text=text, sparse=sparse, queries=queries,
                dry_run=dry_run, notify=notify, encoder=self._encoder_of_queries(),
            )  # fmt: skip

    def capacity(
        self,
        rows: int | Corpus,
        *,
        target_recall: float = 0.95,
        memory: int | None = None,
        machine: Machine | None = None,
        replicas: int = 1,
    ) -> CapacityPlan:
        """Compute the memory, disk and machines that this collection needs with so many rows.

        Args:
            rows: The number of rows, or a `Corpus`, which also holds the mean sizes of a row.
            target_recall: The least recall@10 against exact search.
            memory: Bytes of RAM that one copy may hold; None is no limit.
            machine: What one machine of a server has.
            replicas: Copies of each shard.
        """
        from qdrant_static.clients.connect import is_remote
        from qdrant_static.collection.capacity import Corpus
        from qdrant_static.collection.layouts import capacity

        spec = self.spec
        return capacity(
            spec.encoder, Corpus(rows=rows) if isinstance(rows, int) else rows,
            target_recall=target_recall, memory=memory, machine=machine, replicas=replicas,
            matryoshka=[vector.size for vector in spec.vectors[1:]] if spec.planned else (),
            sparse=spec.sparse, late=spec.late, payload_indexes=spec.payload_indexes, embedded=not
            is_remote(self.client),
        )  # fmt: skip

    # --- changing ------------------------------------------------------------------------------

    def diff(self, spec: CollectionSpec) -> CollectionDiff:
        """Compare the collection with a spec; nothing is changed; see `qdrant_static.diff`."""
        from qdrant_static.collection.diff import diff

        return diff(self.client, self._name, spec)

    def apply(self, spec: CollectionSpec | CollectionDiff) -> CollectionDiff:
        """Make the live collection what a spec says, as far as that needs no migration.

        Args:
            spec: The spec, or what `diff` returned for it.

        Returns:
            What was changed.
        """
        from qdrant_static.collection.applydiff import apply
        from qdrant_static.collection.diff import CollectionDiff

        found = spec if isinstance(spec, CollectionDiff) else self.diff(spec)
        with self._changing():
            apply(self.client, self._name, found)
        return found

    def migrate(
        self,
        *,
        journal: WriteJournal | str | os.PathLike[str] | None = None,
        state: str | os.PathLike[str] | None = None,
    ) -> Migration:
        """Return the `Migration` that replaces the collection behind this alias without downtime.

        ::

            with articles.migrate() as migration:
                migration.start("wordllama")
                migration.verify()
                migration.cutover()
            articles.refresh()

        Args:
            journal: The journal that the applications' `LiveWriter` has; by default the same.
            state: The folder for the lock and the sampled queries; by default as for jobs.
        """
        from qdrant_static.migration.migration import Migration

        given = (self._encoder, self._query_encoder)
        encoders = tuple(encoder for encoder in given if encoder is not None)
        return Migration(self.client, self._name, journal=journal, encoders=encoders, state=state)

    # --- moving --------------------------------------------------------------------------------

    def ship(
        self,
        server: str | QdrantClient,
        *,
        name: str | None = None,
        alias: str | None = None,
        replicas: int | None = None,
        peers: Mapping[str, str] | None = None,
        workers: int = 2,
        sample: int = 100,
        max_mb_s: float = 0.0,
        untested: bool = False,
        discard_unfinished: bool = False,
        retry: RetryPolicy | None = None,
        progress: bool | Callable[[ShipProgress], None] | None = None,
    ) -> Shipment:
        """Send this embedded collection to a server, indexes included; see `qdrant_static.ship`.

        The server is a URL, or a client of it, which may hold an API key.
        """
        from qdrant_static.clients.connect import connect
        from qdrant_static.shipping.push import ship

        arguments: dict[str, Any] = {
            "name": name, "alias": alias, "replicas": replicas, "peers": peers,
            "workers": workers, "sample": sample, "max_mb_s": max_mb_s, "untested": untested,
            "discard_unfinished": discard_unfinished, "retry": retry, "progress": progress,
        }  # fmt: skip
        local: Any = self.client
        if not isinstance(server, str):
            return ship(local, self._name, server, **arguments)
        with closing(connect(server, timeout_s=_TRANSFER_TIMEOUT_S)) as opened:
            return ship(local, self._name, opened, **arguments)  # type: ignore[arg-type]

    def pull(
        self,
        folder: str | os.PathLike[str] | EdgeClient,
        *,
        name: str | None = None,
        shards: Sequence[int] | None = None,
        peers: Mapping[str, str] | None = None,
        untested: bool = False,
        retry: RetryPolicy | None = None,
        progress: bool | Callable[[PullProgress], None] | None = None,
    ) -> Pulled:
        """Copy this collection of a server into a folder, indexes included; see `pull`.

        The folder is a directory of embedded collections, or its client.
        """
        from qdrant_static.clients.connect import connect
        from qdrant_static.shipping.pull import pull

        arguments: dict[str, Any] = {
            "name": name, "shards": shards, "peers": peers, "untested": untested, "retry": retry,
            "progress": progress,
        }  # fmt: skip
        server: Any = self.client
        if not isinstance(folder, str | os.PathLike):
            return pull(server, self._name, folder, **arguments)
        with closing(connect(folder)) as opened:
            return pull(server, self._name, opened, **arguments)  # type: ignore[arg-type]

    # --- opening and closing -------------------------------------------------------------------

    def refresh(self) -> None:
        """Forget what was read of the collection, so that the next method reads it again."""
        with self._guard:
            self._searcher = None

    def close(self) -> None:
        """Close the client if it was opened here; the object cannot be used afterwards."""
        with self._guard:
            opened, self._closed, self._searcher = self._client, True, None
            if self._opened_here and opened is not None:
                self._client = None
                opened.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # --- inside --------------------------------------------------------------------------------

    @property
    def _place(self) -> str:
        from qdrant_static.redaction import public_uri

        return public_uri(self._target) if self._target else type(self._client).__name__

    @property
    def _foreign(self) -> CollectionSpec | None:
        """The given spec, if it describes a collection that was made without this package."""
        return None if self._spec is None or self._spec.planned else self._spec

    def _encoder_of_queries(self) -> AnyEncoder | None:
        """Return what was given as the encoder of queries; None to load the collection's.

        The encoder of the documents is not even loaded where another encodes the queries.
        """
        from qdrant_static.collection.foreign import carried_spec

        if self._query_encoder is not None or self._encoder is None:
            return self._query_encoder
        if self._foreign is not None:
            return self._encoder
        carried = carried_spec(self.client, self._name)
        return self._encoder if carried is None or carried.queries is None else None

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Forget what was read of the collection when the block ends, however it ends."""
        try:
            yield
        finally:
            self.refresh()

    def _opened(self) -> Searcher:
        from qdrant_static.querying.run import Searcher

        client = self.client
        with self._guard:
            if self._searcher is None:
                self._searcher = Searcher(
                    client, self._name, spec=self._foreign, encoder=self._encoder_of_queries(),
                    late_encoder=self._late_encoder, cross_encoder=self._cross_encoder,
                )  # fmt: skip
            return self._searcher


def open_collection(
    target: str | os.PathLike[str] | Client,
    name: str,
    *,
    encoder: AnyEncoder | None = None,
    query_encoder: AnyEncoder | None = None,
    spec: CollectionSpec | None = None,
    late_encoder: Any = None,
    cross_encoder: Any = None,
    api_key: str | None = None,
    timeout_s: int = 60,
) -> Collection:
    """Open a collection in a directory, on a server or of a client; nothing is created.

    Args and errors are those of `Collection`.
    """
    return Collection(
        target, name, encoder=encoder, query_encoder=query_encoder, spec=spec,
        late_encoder=late_encoder, cross_encoder=cross_encoder, api_key=api_key,
        timeout_s=timeout_s,
    )  # fmt: skip
