"""What goes wrong between a client and a server, as data."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class What(Enum):
    """What happens to an upsert."""

    DELAY = "it takes `seconds` longer"
    LOST = "it never arrives; the connection says UNAVAILABLE"
    UNACKNOWLEDGED = "it is carried out; its answer is lost, UNAVAILABLE"
    BREAK = "the connections break before it is carried out, and are back after `seconds`"
    BREAK_AFTER = "the connections break after it was carried out"
    RESTART = "the server dies before it is carried out, and is back after `seconds`"
    RESTART_AFTER = "the server dies after it was carried out"
    EXHAUSTED = "RESOURCE_EXHAUSTED, with `retry_after_s` if that is set"
    INTERNAL = "INTERNAL: the server failed"
    DENIED = "PERMISSION_DENIED"
    NO_COLLECTION = "the collection is deleted before it is carried out"
    OTHER_SIZE = "the collection is made anew with vectors of another size before"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """At upserts ``at`` to ``at + times - 1``, counted from 1 as they arrive."""

    at: int
    what: What
    times: int = 1
    seconds: float = 0.0
    retry_after_s: int | None = None

    def strikes(self, number: int) -> bool:
        return self.at <= number < self.at + self.times
