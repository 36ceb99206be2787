"""Searches through an alias, without ever mixing two generations.

A search takes several requests: one for the collection's spec, then one with a query of its
encoder. An alias may move between the two. So the alias is resolved once per search, and all
requests go to that collection.
"""

from __future__ import annotations

import json
import os
import queue
import random
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from qdrant_static.clients.aliases import resolve_alias
from qdrant_static.collection.create import read_spec
from qdrant_static.collection.migrationstate import running_state
from qdrant_static.encoders.registry import by_fingerprint
from qdrant_static.errors import ArgumentError
from qdrant_static.files import make_private
from qdrant_static.querying.run import Searcher

if TYPE_CHECKING:
    from types import TracebackType

    from qdrant_client import models

    from qdrant_static.clients.connect import Client
    from qdrant_static.encoders.registry import AnyEncoder
    from qdrant_static.querying.answer import Hit
    from qdrant_static.querying.filters import FilterLike
    from qdrant_static.querying.run import PlanChoice

#: Sampled queries of applications, and the comparison of green's answers with blue's, as JSONL.
QUERIES, SHADOW = "queries.jsonl", "shadow.jsonl"
#: Sampled searches that wait for green; more are dropped, as no application waits for them.
_WAITING = 100
#: A file of samples is rotated beyond this size; the one before is kept.
_MAX_BYTES = 16 * 2**20
#: How often the shadow checks for a migration, in seconds.
_LOOK_S = 5.0


class LiveSearcher:
    """Searches through an alias, over any number of migrations.

    Thread-safe. No request is sent before the first search.

    Args:
        client: An `EdgeClient` or a `QdrantClient`.
        alias: An alias, or a collection without one.
        encoders: Encoders of queries that are loaded already, or their names; others are loaded by
            name.
        shadow: The share of searches, 0 to 1, that is sampled: their texts are kept in the state
            folder, and while a migration is under way green is searched too, in a background
            thread. The answer never waits for that; on a folder, both share one engine.
        state: The migration's state folder; the default is that of jobs.
        seed: The seed of the sample.
    """

    def __init__(
        self,
        client: Client,
        alias: str,
        *,
        encoders: Sequence[AnyEncoder] = (),
        shadow: float = 0.0,
        state: str | os.PathLike[str] | None = None,
        seed: int | None = None,
    ) -> None:
        if not 0 <= shadow <= 1:
            raise ArgumentError(field="shadow", problem=f"{shadow!r} is not within 0 and 1")
        self.alias = alias
        self._client = client
        self._encoders = by_fingerprint(encoders)
        self._opened: dict[str, Searcher] = {}
        self._guard = threading.Lock()
        self._share = shadow
        self._dice = random.Random(seed)  # noqa: S311
        self._shadow = _Shadow(self, _folder(client, alias, state)) if shadow else None

    def search(
        self,
        text: str,
        *,
        limit: int = 10,
        plan: PlanChoice = None,
        filter: FilterLike = None,  # noqa: A002
        query_filter: models.Filter | None = None,
    ) -> list[Hit]:
        """Search the collection that the alias points at now; see `qdrant_static.search`."""
        started = time.perf_counter()
        for last in (False, True):
            target = resolve_alias(self._client, self.alias)
            try:
                hits = self.opened(target).search(
                    text, limit=limit, plan=plan, filter=filter, query_filter=query_filter
                )
                break
            except Exception:
                # If the collection was retired since, the alias points elsewhere: try again there.
                with self._guard:
                    self._opened.pop(target, None)
                if last or resolve_alias(self._client, self.alias) == target:
                    raise
        if self._shadow is not None and self._dice.random() < self._share:
            seconds = time.perf_counter() - started
            options = {"limit": limit, "filter": filter, "query_filter": query_filter}
            self._shadow.offer(text, target, [one.id for one in hits], seconds, options)
        return hits

    def opened(self, collection: str) -> Searcher:
        """Return the searcher of a generation; its spec is read once."""
        with self._guard:
            known = self._opened.get(collection)
        if known is not None:
            return known
        spec = read_spec(self._client, collection)
        searcher = Searcher(
            self._client,
            collection,
            spec=spec,
            encoder=self._encoders.get(spec.query_encoder.fingerprint),
        )
        with self._guard:
            return self._opened.setdefault(collection, searcher)

    def green(self) -> str | None:
        """Return the new collection of a migration under way, once it is filled; else None."""
        state = running_state(self._client, self.alias)
        return None if state is None or state.phase == "building" else state.green

    def close(self) -> None:
        """Stop the shadow thread, after the sampled searches that wait."""
        if self._shadow is not None:
            self._shadow.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class _Shadow:
    """A thread that stores sampled queries and searches green for them, too."""

    def __init__(self, searcher: LiveSearcher, folder: Path) -> None:
        self._searcher = searcher
        self._folder = folder
        self._waiting: queue.Queue[Mapping[str, Any] | None] = queue.Queue(_WAITING)
        self._looked, self._green = -_LOOK_S, None
        self._thread = threading.Thread(target=self._run, name="shadow", daemon=True)
        self._thread.start()

    def offer(
        self, text: str, target: str, ids: list[Any], seconds: float, options: Mapping[str, Any]
    ) -> None:
        """Queue a search that was answered; it is dropped if too many wait."""
        try:
            self._waiting.put_nowait(
                {"text": text, "target": target, "ids": ids, "seconds": seconds, "options": options}
            )
        except queue.Full:
            return

    def close(self) -> None:
        """Process the queue, then end the thread."""
        self._waiting.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (search := self._waiting.get()) is not None:
            try:
                _append(self._folder / QUERIES, {"text": search["text"]})
                green = self._current()
                if green is not None and green != search["target"]:
                    _append(self._folder / SHADOW, self._compared(green, search))
            except OSError:  # the disk is full: do without the sample
                continue

    def _current(self) -> str | None:
        if time.monotonic() - self._looked >= _LOOK_S:
            self._looked = time.monotonic()
            try:
                self._green = self._searcher.green()  # type: ignore[assignment]
            except Exception:  # no application waits for it; the next check may succeed
                self._green = None
        return self._green

    def _compared(self, green: str, search: Mapping[str, Any]) -> dict[str, Any]:
        line: dict[str, Any] = {"green": green, "text": search["text"], "blue_s": search["seconds"]}
        started = time.perf_counter()
        try:
            hits = self._searcher.opened(green).search(search["text"], **search["options"])
        except Exception as error:
            return {**line, "error": f"{type(error).__name__}: {error}"}
        line["green_s"] = time.perf_counter() - started
        blue = set(search["ids"])
        line["overlap"] = sum(hit.id in blue for hit in hits) / len(blue) if blue else None
        return line


def read_shadow(folder: Path, green: str) -> list[dict[str, Any]]:
    """Return the shadow's comparisons with a collection; incomplete lines are left out."""
    path = folder / SHADOW
    if not path.exists():
        return []
    searches = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            search = json.loads(line)
        except ValueError:
            continue
        if search.get("green") == green:
            searches.append(search)
    return searches


def _folder(client: Client, alias: str, state: str | os.PathLike[str] | None) -> Path:
    from qdrant_static.clients.statefolder import state_folder

    return state_folder(state, client, alias)


def _append(path: Path, line: Mapping[str, Any]) -> None:
    make_private(path.parent)
    if path.exists() and path.stat().st_size > _MAX_BYTES:
        path.replace(path.with_suffix(".old.jsonl"))
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as file:
        file.write(json.dumps(line, ensure_ascii=False).encode() + b"\n")
