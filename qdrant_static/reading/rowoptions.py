"""How rejected rows were read: written beside each of them, for whoever reads them again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

from qdrant_static.reading.options import SourceOptions
from qdrant_static.reading.passages import Passages

if TYPE_CHECKING:
    from qdrant_static.reading.sources import AnySource

#: A row that was read is no longer of a format.
_OF_FILES = ("format", "delimiter")
_PASSAGES = "passages"


def row_options(source: AnySource, passages: Passages | None) -> dict[str, Any]:
    """The options that a job's rows are read with, as JSON-like data; what is default is left out.

    Args:
        source: What the job reads; its columns are chosen, and named here also where nobody
            named them.
        passages: How its texts are cut.
    """
    chosen = source.selection
    given = getattr(source, "options", None) or SourceOptions()
    options = SourceOptions(
        key=chosen.keys,
        text=() if chosen.template is not None else chosen.text,
        template=None if chosen.template is None else str(chosen.template),
        payload=chosen.payload,
        exclude=tuple(one for one in chosen.exclude if one not in chosen.keys),
        rename=chosen.rename,
        vectors=chosen.vectors,
        types=given.types,
        max_text_bytes=chosen.max_text_bytes,
        max_payload_bytes=chosen.max_payload_bytes,
    )
    default = SourceOptions()
    found = {
        one.name: value
        for one in fields(SourceOptions)
        if one.name not in _OF_FILES
        and (value := getattr(options, one.name)) != getattr(default, one.name)
    }
    plain = {name: list(one) if isinstance(one, tuple) else one for name, one in found.items()}
    return plain | ({} if passages is None else {_PASSAGES: asdict(passages)})


def read_row_options(data: Mapping[str, Any]) -> tuple[SourceOptions, Passages | None]:
    """Read what `row_options` gave.

    Raises:
        ArgumentError: If it is damaged; it names the option.
    """
    own = {name: value for name, value in data.items() if name != _PASSAGES}
    passages = data.get(_PASSAGES)
    return SourceOptions.from_dict(own), None if passages is None else Passages(**passages)
