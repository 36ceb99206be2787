"""An `EdgeClient` and a `Journal` that die, or refuse, where a test wants them to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qdrant_static import EdgeClient
from qdrant_static.errors import ServerUnavailableError
from qdrant_static.journal.sqlitejournal import Journal


class Killed(BaseException):
    """What stands for the end of the process: nothing catches it."""


class Faults:
    """Where to die next, and which collections do not answer."""

    def __init__(self) -> None:
        self.countdown: int | None = None
        self.away: set[str] = set()

    def arm(self, steps: int) -> None:
        """Die at the step of that number from now; 0 is the next."""
        self.countdown = steps

    def disarm(self) -> bool:
        """Die no more; whether it was still to come."""
        armed, self.countdown = self.countdown is not None, None
        return armed

    def step(self) -> None:
        if self.countdown is None:
            return
        if self.countdown == 0:
            self.countdown = None
            raise Killed
        self.countdown -= 1


class FaultyEdge(EdgeClient):
    """Dies before or after a write; refuses what goes to a collection that is away."""

    def __init__(self, path: Any, faults: Faults) -> None:
        super().__init__(path)
        self.faults = faults

    def _write(self, name: str, call: Callable[[], Any]) -> Any:
        if name in self.faults.away:
            raise ServerUnavailableError(where="here", problem="away", tried=1, waited_s=0.0)
        self.faults.step()
        done = call()
        self.faults.step()
        return done

    def upsert(self, collection_name: str, *given: Any, **named: Any) -> Any:
        call = super().upsert
        return self._write(collection_name, lambda: call(collection_name, *given, **named))

    def upsert_matrices(self, collection_name: str, *given: Any, **named: Any) -> Any:
        call = super().upsert_matrices
        return self._write(collection_name, lambda: call(collection_name, *given, **named))

    def delete(self, collection_name: str, *given: Any, **named: Any) -> Any:
        call = super().delete
        return self._write(collection_name, lambda: call(collection_name, *given, **named))

    def batch_update_points(self, collection_name: str, *given: Any, **named: Any) -> Any:
        call = super().batch_update_points
        return self._write(collection_name, lambda: call(collection_name, *given, **named))


class FaultyJournal(Journal):
    """Dies before or after it writes down or marks."""

    def __init__(self, path: Any, faults: Faults) -> None:
        super().__init__(path, patience_s=20)
        self.faults = faults

    def append(self, changes: Any) -> Any:
        self.faults.step()
        done = super().append(changes)
        self.faults.step()
        return done

    def advance(self, name: str, seq: int) -> None:
        self.faults.step()
        super().advance(name, seq)
        self.faults.step()
