"""Jobs while a migration is under way, on the embedded engine."""

from __future__ import annotations

from tests.migration_jobs import MigrationJobsSuite


class TestEdge(MigrationJobsSuite):
    """All of it, on a folder."""
