"""What an application searches through: the alias is followed, generations are never mixed.

A search takes several requests: what the collection is, then the question in its encoder's
vectors. Between the two an alias may move. Here the alias is resolved once per search, and all
of it goes to one collection.
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

from qdrant_static.clients.aliases import target_of
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

#: Queries that applications really asked, and what a green collection answered, one a line.
QUERIES, SHADOW = "queries.jsonl", "shadow.jsonl"
#: Searches that wait for green; more are dropped, because nobody waits for these.
_WAITING = 100
#: A file of samples is begun anew beyond this; the one before stays beside it.
_MAX_BYTES = 16 * 2**20
#: How often the shadow looks whether a migration is under way, in seconds.
_LOOK_S = 5.0


class LiveSearcher:
    """Searches through an alias, over any number of migrations.

    Safe to use from several threads. Nothing is asked before the first search.

    Args:
        client: An `EdgeClient` or a `QdrantClient`.
        alias: An alias, or a collection without one.
        encoders: Encoders that are loaded already, or their names; others are loaded by name.
        shadow: The share of searches, 0 to 1, that is sampled: its text is kept in the state
            folder, and while a migration is under way green is asked too, in a thread of its
            own. The answer never waits for that; on a folder, both share one engine.
        state: The migration's state folder; by default as for jobs.
        seed: Which searches are sampled.
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
        """Search for a text in the collection that the alias points at now; see `search`."""
        started = time.perf_counter()
        for last in (False, True):
            target = target_of(self._client, self.alias)
            try:
                hits = self.opened(target).search(
                    text, limit=limit, plan=plan, filter=filter, query_filter=query_filter
                )
                break
            except Exception:
                # Retired since: the alias points elsewhere by now. Anything else is an error.
                with self._guard:
                    self._opened.pop(target, None)
                if last or target_of(self._client, self.alias) == target:
                    raise
        if self._shadow is not None and self._dice.random() < self._share:
            seconds = time.perf_counter() - started
            asked = {"limit": limit, "filter": filter, "query_filter": query_filter}
            self._shadow.offer(text, target, [one.id for one in hits], seconds, asked)
        return hits

    def opened(self, collection: str) -> Searcher:
        """A generation, opened; what it is is read once per generation."""
        with self._guard:
            found = self._opened.get(collection)
        if found is not None:
            return found
        spec = read_spec(self._client, collection)
        made = Searcher(
            self._client,
            collection,
            spec=spec,
            encoder=self._encoders.get(spec.encoder.fingerprint),
        )
        with self._guard:
            return self._opened.setdefault(collection, made)

    def green(self) -> str | None:
        """The collection that a migration under way is building or has just put in place."""
        state = running_state(self._client, self.alias)
        return None if state is None or state.phase == "building" else state.green

    def close(self) -> None:
        """End the shadow; what waits for it is asked first."""
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
    """A thread that keeps sampled queries and asks green the same."""

    def __init__(self, searcher: LiveSearcher, folder: Path) -> None:
        self._searcher = searcher
        self._folder = folder
        self._waiting: queue.Queue[Mapping[str, Any] | None] = queue.Queue(_WAITING)
        self._looked, self._green = -_LOOK_S, None
        self._thread = threading.Thread(target=self._run, name="shadow", daemon=True)
        self._thread.start()

    def offer(
        self, text: str, target: str, ids: list[Any], seconds: float, asked: Mapping[str, Any]
    ) -> None:
        """A search that was answered; dropped if too many wait."""
        try:
            self._waiting.put_nowait(
                {"text": text, "target": target, "ids": ids, "seconds": seconds, "asked": asked}
            )
        except queue.Full:
            return

    def close(self) -> None:
        """Ask what waits, then end."""
        self._waiting.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (one := self._waiting.get()) is not None:
            try:
                _append(self._folder / QUERIES, {"text": one["text"]})
                green = self._current()
                if green is not None and green != one["target"]:
                    _append(self._folder / SHADOW, self._asked(green, one))
            except OSError:  # the disk is full: samples are worth nothing then
                continue

    def _current(self) -> str | None:
        if time.monotonic() - self._looked >= _LOOK_S:
            self._looked = time.monotonic()
            try:
                self._green = self._searcher.green()  # type: ignore[assignment]
            except Exception:  # it is looked for again soon; nobody waits
                self._green = None
        return self._green

    def _asked(self, green: str, one: Mapping[str, Any]) -> dict[str, Any]:
        told: dict[str, Any] = {"green": green, "text": one["text"], "blue_s": one["seconds"]}
        started = time.perf_counter()
        try:
            hits = self._searcher.opened(green).search(one["text"], **one["asked"])
        except Exception as error:
            return {**told, "error": f"{type(error).__name__}: {error}"}
        told["green_s"] = time.perf_counter() - started
        there = set(one["ids"])
        told["overlap"] = sum(hit.id in there for hit in hits) / len(there) if there else None
        return told


def read_shadow(folder: Path, green: str) -> list[dict[str, Any]]:
    """What a shadow saw of a collection; lines that a crash tore are left out."""
    path = folder / SHADOW
    if not path.exists():
        return []
    found = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            one = json.loads(line)
        except ValueError:
            continue
        if one.get("green") == green:
            found.append(one)
    return found


def _folder(client: Client, alias: str, state: str | os.PathLike[str] | None) -> Path:
    from qdrant_static.clients.statefolder import state_folder

    return state_folder(state, client, alias)


def _append(path: Path, line: Mapping[str, Any]) -> None:
    make_private(path.parent)
    if path.exists() and path.stat().st_size > _MAX_BYTES:
        path.replace(path.with_suffix(".old.jsonl"))
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as file:
        file.write(json.dumps(line, ensure_ascii=False).encode() + b"\n")
