"""Counters of rows in OpenTelemetry, where its API is installed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qdrant_static.ledger.records import Totals

_COUNTED = ("read", "stored", "payload_updated", "unchanged", "superseded", "rejected")


class RowCounters:
    """``qdrant_static.rows.<what>``, each with the collection; nothing without OpenTelemetry.

    Args:
        collection: The collection.
        before: What was counted by earlier attempts.
    """

    def __init__(self, collection: str, before: Totals) -> None:
        self._attributes = {"collection": collection}
        self._told = before
        self._counters: dict[str, Any] = {}
        try:
            from opentelemetry import metrics
        except ImportError:
            return
        meter = metrics.get_meter("qdrant_static")
        self._counters = {
            name: meter.create_counter(f"qdrant_static.rows.{name}", unit="{row}")
            for name in _COUNTED
        }

    def tell(self, totals: Totals) -> None:
        """Count what has been added since the last time."""
        for name, counter in self._counters.items():
            more = getattr(totals, name) - getattr(self._told, name)
            if more > 0:
                counter.add(more, self._attributes)
        self._told = totals
