"""Makes pairs from texts alone: titles, headings and sentences are the queries.

A row's text begins with its title, where it has several text columns. Its pairs are::

    title             -> the text without the title
    heading           -> the title, and the section below the heading (Markdown)
    sentence          -> the title, and the rest of the text

No label is needed, so that any corpus has pairs; they teach which words stand for which others in
it. Queries made of the text were proposed as pre-training for retrieval by Chang et al., 2020
(arXiv:2002.03932).
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, get_args

from qdrant_static import rules
from qdrant_static.errors import ArgumentError
from qdrant_static.files import replace_file
from qdrant_static.measuring.judged import read_judged
from qdrant_static.reading.batch import Batch
from qdrant_static.reading.fromcollection import open_collection_source
from qdrant_static.reading.sources import open_data
from qdrant_static.training.pairset import Pair
from qdrant_static.training.sentences import is_long, normalized, pieces
from qdrant_static.training.texts import titles_of

if TYPE_CHECKING:
    from qdrant_static.clients.connect import Client
    from qdrant_static.reading.options import SourceOptions
    from qdrant_static.reading.sources import AnySource

PairKind = Literal["title", "heading", "sentence", "first"]
KINDS: tuple[PairKind, ...] = get_args(PairKind)
#: What becomes a query if nothing is said. All sentences of a text include its first.
USUAL: tuple[PairKind, ...] = ("title", "heading", "sentence")
#: Sentences of a text that become queries, evenly spread: each has a passage of its own.
_MOST_SENTENCES = 8
_HEADING = re.compile(r"^ {0,3}#{1,6}[ \t]+(.+?)[ \t#]*$", re.M)


@dataclass(frozen=True, slots=True, kw_only=True)
class MadePairs:
    """Pairs that were made from texts.

    Attributes:
        source: Where the texts come from.
        pairs: The pairs.
        rows: Rows that were read.
        made: Kind -> number of pairs.
        without: Rows that gave no pair: they have neither a title nor a second sentence.
        rejected: Rows without a usable text, and files that could not be read.
    """

    source: str
    pairs: tuple[Pair, ...] = field(repr=False)
    rows: int
    made: dict[str, int]
    without: int
    rejected: int

    @classmethod
    def read(
        cls,
        data: Any,
        *,
        source_options: SourceOptions | None = None,
        kinds: Sequence[str] = USUAL,
    ) -> Self:
        """Make pairs from files, folders, or rows in memory, with the same options as `ingest`.

        Args:
            data: What `ingest` takes: paths, an Arrow table, dictionaries.
            source_options: Columns and formats.
            kinds: What becomes a query: ``"title"``, ``"heading"``, ``"sentence"`` (up to eight
                of a text), or ``"first"``, the first sentence alone.

        Raises:
            SourceNotFoundError: If a path names no file.
            ColumnNotFoundError: If a column does not exist.
            ArgumentError: If no text gives a pair.
        """
        source = open_data(data, options=source_options)
        names = ", ".join(str(one) for one in source.files[:3])
        return cls._of(source, names or "rows in memory", kinds)

    @classmethod
    def read_collection(
        cls, client: Client, collection: str, *, kinds: Sequence[str] = USUAL
    ) -> Self:
        """Make pairs from the texts in the payload of a collection's points.

        Args:
            client: An `EdgeClient` or a `QdrantClient`.
            collection: The collection's name.
            kinds: As for `read`.

        Raises:
            CollectionNotFoundError: If it does not exist.
            ArgumentError: If the payload does not hold the text, or no text gives a pair.
        """
        source = open_collection_source(client, collection)
        return cls._of(source, source.name, kinds)

    @classmethod
    def _of(cls, source: AnySource, name: str, kinds: Sequence[str]) -> Self:
        for kind in kinds:
            rules.check_choice("kinds", kind, KINDS)
        counts, made = Counter[str](), Counter[str](dict.fromkeys(kinds, 0))
        pairs: list[Pair] = []
        for batch in source.batches():
            if not isinstance(batch, Batch):
                counts["rejected"] += 1
                continue
            counts["rejected"] += len(batch.rejects)
            counts["rows"] += len(batch) + len(batch.rejects)
            titles = titles_of(source, batch)
            for text, title in zip(batch.texts.to_pylist(), titles, strict=True):
                found = list(pairs_of_text(text, title, kinds))
                counts["without"] += not found
                made.update(kind for kind, _ in found)
                pairs += [pair for _, pair in found]
        if not pairs:
            raise ArgumentError(
                field="source",
                problem=f"the {counts['rows']:,} rows of {name} give no pair: none has a title, "
                "a heading or a second sentence. Name the title's column first "
                '(text=("title", "body"), --text title,body)',
            )
        return cls(
            source=name,
            pairs=tuple(pairs),
            rows=counts["rows"],
            made=dict(made),
            without=counts["without"],
            rejected=counts["rejected"],
        )

    def write(self, out: str | os.PathLike[str]) -> Path:
        """Write the pairs as JSON Lines, as `read_pairs` reads them; return the file."""
        place = Path(rules.location("out", out)).expanduser()
        lines = (
            json.dumps({"query": pair.query, "passage": pair.passage}, ensure_ascii=False) + "\n"
            for pair in self.pairs
        )
        place.parent.mkdir(parents=True, exist_ok=True)
        replace_file(place, "".join(lines).encode())
        return place

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-like data, without the pairs."""
        return {
            "source": self.source,
            "pairs": len(self.pairs),
            "rows": self.rows,
            "made": self.made,
            "without": self.without,
            "rejected": self.rejected,
        }

    def __str__(self) -> str:
        made = ", ".join(f"{count:,} of a {kind}" for kind, count in self.made.items())
        return (
            f"{self.source}: {len(self.pairs):,} pairs of {self.rows:,} rows ({made}); "
            f"{self.without:,} rows without a pair, {self.rejected:,} rejected"
        )


def pairs_of_text(
    text: str, title: str = "", kinds: Sequence[str] = USUAL
) -> Iterator[tuple[PairKind, Pair]]:
    """Yield the pairs of a text, with their kinds.

    Args:
        text: The text as it is encoded; it may begin with the title.
        title: Its title; empty if it has none.
        kinds: What becomes a query.
    """
    title = title.strip()
    body = text.strip().removeprefix(title).strip()
    if not body:
        return
    if title and "title" in kinds:
        yield "title", Pair(query=title, passage=body)
    parts = _HEADING.split(body)  # text, heading, text, heading, text
    for heading, section in zip(parts[1::2], parts[2::2], strict=True):
        if section.strip() and "heading" in kinds:
            yield "heading", Pair(query=heading, passage=f"{title} {section.strip()}".strip())
    plain = " ".join(part.strip() for part in parts[::2])
    sentences = pieces(plain)
    places = [place for place, one in enumerate(sentences) if is_long(one)]
    step = max(1, -(-len(places) // _MOST_SENTENCES))
    wanted: dict[PairKind, list[int]] = {"sentence": places[::step], "first": places[:1]}
    for kind, chosen in wanted.items():
        for place in chosen if kind in kinds else ():
            rest = " ".join([*sentences[:place], *sentences[place + 1 :]])
            if is_long(rest):
                yield kind, Pair(query=sentences[place], passage=f"{title} {rest}".strip())


def without_queries(
    pairs: Iterable[Pair], judged: str | os.PathLike[str], *, leave_out: bool = False
) -> tuple[Pair, ...]:
    """Check that no query and no passage equals a test query of a judged set.

    Case, punctuation and white space do not count.

    Args:
        pairs: The pairs.
        judged: A judged data set in BEIR's format, with the split ``test``.
        leave_out: Leave such pairs out, instead of raising an error.

    Returns:
        The pairs without them.

    Raises:
        ArgumentError: If there are such pairs; it says how many, and shows one.
        SourceNotFoundError: If a file of the judged set is missing.
    """
    given = tuple(pairs)
    queries = {normalized(one.text) for one in read_judged(judged).queries}
    kept = tuple(
        one
        for one in given
        if normalized(one.query) not in queries and normalized(one.passage) not in queries
    )
    if len(kept) < len(given) and not leave_out:
        unused = set(kept)
        leaked = next(one for one in given if one not in unused)
        raise ArgumentError(
            field="judged",
            problem=f"{len(given) - len(kept):,} of {len(given):,} pairs have a test query of "
            f"{os.fspath(judged)}, such as {leaked.query[:100]!r}: figures measured on these "
            "queries would be too good. Take them out, or leave them out with "
            "leave_out_judged=True",
        )
    return kept
