"""Which columns are the key, the text and the payload of a record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from qdrant_static.collection.spec import Fields
from qdrant_static.errors import ColumnNotFoundError, SpecError

#: Taken as the key, the first that is there, where none is named.
KEY_COLUMNS = ("id", "_id")
#: Taken as the text, those that are there, where none is named.
TEXT_COLUMNS = ("title", "text")


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The columns of a job.

    Attributes:
        key: The key's column; None: the key is a digest of the text.
        text: The text's columns, joined by one space.
        payload: The payload's columns; None: all.
    """

    key: str | None
    text: tuple[str, ...]
    payload: tuple[str, ...] | None

    @property
    def fields(self) -> Fields:
        """Where the payload holds key and text."""
        kept = self.text if self.payload is None else (n for n in self.text if n in self.payload)
        return Fields(key=self.key, text=tuple(kept))

    @property
    def needed(self) -> tuple[str, ...]:
        """The columns that must be there."""
        key = () if self.key is None else (self.key,)
        return tuple(dict.fromkeys((*key, *self.text, *(self.payload or ()))))

    def keeps(self, column: str) -> bool:
        """Whether the payload has the column; a key always stays, so that hits can be named."""
        return self.payload is None or column == self.key or column in self.payload


def select(
    columns: Sequence[str],
    source: str,
    *,
    key: str | None,
    text: Sequence[str] | str | None,
    payload: Sequence[str] | None,
) -> Selection:
    """Choose the columns of a job, and check that they are there.

    Args:
        columns: What the input has; empty if it has no rows.
        source: Where that was read, for errors.
        key: The key's column; None takes ``id`` or ``_id`` if there is one.
        text: The text's columns; None takes ``title`` and ``text`` as far as they are there.
        payload: The payload's columns; None takes all.

    Raises:
        ColumnNotFoundError: If one is not there; it lists those that are.
        SpecError: If no text column is named and none is found.
    """
    named_text = (text,) if isinstance(text, str) else tuple(text or ())
    chosen = Selection(
        key=key if key else next((name for name in KEY_COLUMNS if name in columns), None),
        text=named_text or tuple(name for name in TEXT_COLUMNS if name in columns),
        payload=None if payload is None else tuple(payload),
    )
    if not columns:
        return chosen
    for name in chosen.needed:
        if name not in columns:
            raise ColumnNotFoundError(column=name, columns=tuple(columns), source=source)
    if not chosen.text:
        raise SpecError(
            field="text",
            problem=f"{source} has neither 'title' nor 'text'; name the text's columns, "
            f"of: {', '.join(columns)}",
        )
    return chosen
