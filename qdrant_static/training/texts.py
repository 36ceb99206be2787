"""Defines `TrainingTexts`: the passages, titles and sentences that a model is fitted to.

A passage is a row's text as `ingest` encodes it. A title is the first of several text columns. The
sentences are those of the rest of the passage. Each text occurs once: a sentence that is the whole
passage is no text of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Self

from qdrant_static.collection.fields import value_at
from qdrant_static.errors import ArgumentError, TextInputError
from qdrant_static.measuring.judged import read_judged
from qdrant_static.reading.batch import Batch
from qdrant_static.reading.fromcollection import open_collection_source
from qdrant_static.reading.sources import open_data
from qdrant_static.training.sentences import is_long, normalized, pieces

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from qdrant_static.clients.connect import Client
    from qdrant_static.reading.options import SourceOptions
    from qdrant_static.reading.rejects import Reject
    from qdrant_static.reading.sources import AnySource

#: How many rows that could not be read a report shows.
_SHOWN = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingTexts:
    """The texts that a model is fitted to, each once.

    Attributes:
        source: Where they come from.
        passages: The texts as `ingest` encodes them.
        titles: The values of the first of several text columns.
        sentences: The sentences of the passages, without the titles.
        rows: Number of rows that were read, with those that could not be used.
        duplicates: Number of passages, titles and sentences that occurred before.
        short: Number of sentences that were too short.
        leaked: Number of texts that were left out, as they equal a test query.
        rejected: Number of rows without a usable text, and of files that could not be read.
        problems: The first of these, each with its place.
    """

    source: str
    passages: tuple[str, ...] = field(repr=False)
    titles: tuple[str, ...] = field(default=(), repr=False)
    sentences: tuple[str, ...] = field(default=(), repr=False)
    rows: int = 0
    duplicates: int = 0
    short: int = 0
    leaked: int = 0
    rejected: int = 0
    problems: tuple[str, ...] = ()

    @classmethod
    def read(cls, data: Any, *, source_options: SourceOptions | None = None) -> Self:
        """Read files, folders, or rows in memory, with the same options as `ingest`.

        Args:
            data: What `ingest` takes: paths, an Arrow table, dictionaries.
            source_options: Columns and formats.

        Raises:
            SourceNotFoundError: If a path names no file.
            ColumnNotFoundError: If a column does not exist.
            ArgumentError: If there is no text.
        """
        source = open_data(data, options=source_options)
        names = [str(one) for one in source.files]
        shown = ", ".join(names[:3]) + (f" and {len(names) - 3:,} more" if len(names) > 3 else "")
        return cls._collected(source, shown or "rows in memory")

    @classmethod
    def read_collection(
        cls, client: Client, collection: str, *, source_options: SourceOptions | None = None
    ) -> Self:
        """Read the texts of a collection's points from their payload.

        Args:
            client: An `EdgeClient` or a `QdrantClient`.
            collection: The collection's name.
            source_options: The text's fields; by default those that the collection was filled by.

        Raises:
            CollectionNotFoundError: If it does not exist.
            ArgumentError: If the text cannot be made from the payload, or there is none.
        """
        source = open_collection_source(client, collection, options=source_options)
        return cls._collected(source, source.name)

    @classmethod
    def of(cls, texts: Iterable[str], *, source: str = "texts in memory") -> Self:
        """Take texts as passages, and cut them into sentences.

        Raises:
            TextInputError: If one is not a string, or not Unicode.
            ArgumentError: If there is no text.
        """
        collector = _Collector()
        for row, text in enumerate(texts):
            if not isinstance(text, str):
                raise TextInputError(problem=f"a {type(text).__name__} is not a string", row=row)
            try:
                text.encode()
            except UnicodeEncodeError as error:
                raise TextInputError(problem="it has a lone surrogate", row=row) from error
            collector.add(text, "")
        return cls._of(collector, source)

    @classmethod
    def _collected(cls, source: AnySource, name: str) -> Self:
        collector = _Collector()
        for batch in source.batches():
            if isinstance(batch, Batch):
                titles = titles_of(source, batch)
                for text, title in zip(batch.texts.to_pylist(), titles, strict=True):
                    collector.add(text, title)
                for reject in batch.rejects:
                    collector.reject(reject)
            else:
                collector.reject(batch)
        return cls._of(collector, name)

    @classmethod
    def _of(cls, collector: _Collector, source: str) -> Self:
        collector.end()
        if not collector.passages:
            first = f": {collector.problems[0]}" if collector.problems else ""
            raise ArgumentError(
                field="source", problem=f"{source} has no text to learn from{first}"
            )
        return cls(
            source=source,
            passages=tuple(collector.passages),
            titles=tuple(collector.titles),
            sentences=tuple(collector.sentences),
            rows=collector.rows,
            duplicates=collector.duplicates,
            short=collector.short,
            rejected=collector.rejected,
            problems=tuple(collector.problems),
        )

    @property
    def all(self) -> list[str]:
        """The passages, the titles and the sentences, in this order; no text occurs twice."""
        return [*self.passages, *self.titles, *self.sentences]

    @property
    def digest(self) -> str:
        """32 hexadecimal digits that change when a text does, or the order of texts."""
        digest = blake2b(digest_size=16)
        for text in self.all:
            raw = text.encode()
            digest.update(b"%d:" % len(raw) + raw)
        return digest.hexdigest()

    def without_queries(
        self, judged: str | os.PathLike[str], *, split: str = "test", leave_out: bool = False
    ) -> Self:
        """Check that no text equals a test query of a judged set.

        Case, punctuation and white space do not count.

        Args:
            judged: A judged data set in BEIR's format.
            split: The split whose queries are the test.
            leave_out: Leave such texts out, instead of raising an error.

        Returns:
            The texts without them.

        Raises:
            ArgumentError: If there are such texts; it says how many, and shows one.
            SourceNotFoundError: If a file of the judged set is missing.
        """
        queries = {normalized(one.text) for one in read_judged(judged, split=split).queries}
        leaked = [text for text in self.all if normalized(text) in queries]
        if not leaked:
            return self
        if not leave_out:
            raise ArgumentError(
                field="judged",
                problem=f"{len(leaked):,} of the texts of {self.source} equal a query of the "
                f"split {split!r} of {judged}, such as {_cut(leaked[0])!r}: figures measured on "
                "these queries would be too good. Take them out of the input, or leave them out "
                "with leave_out_judged=True",
            )
        gone = set(leaked)
        return replace(
            self,
            passages=tuple(text for text in self.passages if text not in gone),
            titles=tuple(text for text in self.titles if text not in gone),
            sentences=tuple(text for text in self.sentences if text not in gone),
            leaked=self.leaked + len(leaked),
        )

    def __len__(self) -> int:
        return len(self.passages) + len(self.titles) + len(self.sentences)

    def __str__(self) -> str:
        dropped = [
            f"{count:,} {what}"
            for count, what in (
                (self.duplicates, "duplicates"),
                (self.short, "short sentences"),
                (self.leaked, "test queries"),
            )
            if count
        ]
        lines = [
            f"{self.source}: {len(self.passages):,} passages, {len(self.titles):,} titles, "
            f"{len(self.sentences):,} sentences"
            + (f" (left out: {', '.join(dropped)})" if dropped else "")
        ]
        if self.rejected:
            lines.append(f"{self.rejected:,} rows or files could not be used:")
            lines += [f"  {one}" for one in self.problems]
        return "\n".join(lines)


def _cut(text: str) -> str:
    return text if len(text) <= 100 else f"{text[:100]}…"


class _Collector:
    """Collects texts without duplicates, and counts what was left out."""

    def __init__(self) -> None:
        self.passages: dict[str, None] = {}
        self.titles: dict[str, None] = {}
        self.sentences: dict[str, None] = {}
        self.rows = self.duplicates = self.short = self.rejected = 0
        self.problems: list[str] = []

    def add(self, text: str, title: str) -> None:
        """Add a row: its text, and the part of it that is the title."""
        self.rows += 1
        text, title = text.strip(), title.strip()
        if not text:
            return
        if text in self.passages:
            self.duplicates += 1
            return
        self.passages[text] = None
        if title in self.titles:
            self.duplicates += 1
        elif title and title != text:
            self.titles[title] = None
        for piece in pieces(text.removeprefix(title)):
            if piece == text:
                continue
            if not is_long(piece):
                self.short += 1
            elif piece in self.sentences:
                self.duplicates += 1
            else:
                self.sentences[piece] = None

    def end(self) -> None:
        """Take out what is also a text of another kind: a passage goes before the others."""
        for kind, before in (
            (self.titles, (self.passages,)),
            (self.sentences, (self.passages, self.titles)),
        ):
            for text in [one for one in kind if any(one in other for other in before)]:
                del kind[text]
                self.duplicates += 1

    def reject(self, reject: Reject) -> None:
        """Count a row, or a file, that cannot be used."""
        self.rejected += 1
        if not reject.is_file:
            self.rows += 1
        if len(self.problems) < _SHOWN:
            place = "" if reject.position is None else f" {reject.unit} {reject.position:,}"
            self.problems.append(f"{reject.file}{place}: {reject.message}")


def titles_of(source: AnySource, batch: Batch) -> Iterator[str] | Sequence[str]:
    """Return the title of each row: the first of several text columns, if it is a string."""
    columns = source.selection.text
    stored = source.selection.stored_as(columns[0]) if len(columns) > 1 else None
    if stored is None:
        return [""] * len(batch)
    if batch.columns is not None and stored in batch.columns.schema.names:
        values = batch.columns.column(stored).to_pylist()
    else:
        values = [value_at(row, stored) for row in batch.payload_rows()]
    return [one if isinstance(one, str) else "" for one in values]
