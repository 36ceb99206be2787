"""The part of a ledger that names files which could not be read."""

from __future__ import annotations

from qdrant_static.ledger.ledgerfile import LedgerFile
from qdrant_static.ledger.records import UnreadableFile


class UnreadableFiles(LedgerFile):
    """A ledger's files that could not be opened, or read to their end."""

    def unreadable(self, run: int) -> tuple[UnreadableFile, ...]:
        """The files of a run that could not be opened, or read to their end."""
        found = self.query(
            "SELECT path, max(message) FROM broken WHERE run = ? GROUP BY path ORDER BY path", run
        )
        return tuple(UnreadableFile(file=path, problem=message) for path, message in found)

    def never_read(self) -> tuple[UnreadableFile, ...]:
        """The files that no run has read since a run could not.

        A file is taken off the list by a run that ended and has read it, or that has read some
        other file of the same input: then the file is no longer part of that.
        """
        found = self.query(
            "SELECT path, message FROM broken AS part WHERE NOT EXISTS ("
            "SELECT 1 FROM runs JOIN files ON files.run = runs.id WHERE runs.id > part.run "
            "AND runs.state = 'finished' AND (files.path = part.path OR files.path IN "
            "(SELECT path FROM files WHERE run = part.run))) ORDER BY path, run"
        )
        return tuple(
            UnreadableFile(file=path, problem=message) for path, message in dict(found).items()
        )

    def forget_unreadable(self, before: int | None = None) -> None:
        """Take for read what earlier runs could not: their collection is gone, or is as it is.

        Args:
            before: Only what runs before this one could not read; None: all.
        """
        with self._transaction():
            self._db.execute("DELETE FROM broken WHERE run < coalesce(?, run + 1)", (before,))

    def is_broken(self, run: int, path: str, message: str) -> bool:
        """Enter a file that could not be read; whether that was known before."""
        with self._errors():
            self._open_transaction()
            cursor = self._db.execute(
                "INSERT OR IGNORE INTO broken VALUES (?, ?, ?)", (run, path, message)
            )
        return cursor.rowcount == 0
