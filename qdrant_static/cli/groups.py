"""A command whose ``--help`` shows its options in groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from typer.core import TyperCommand

if TYPE_CHECKING:
    Records = list[tuple[str, str]]

#: What is in no group.
_REST = "Options"


class GroupedCommand(TyperCommand):
    """A command with groups; a subclass names them.

    Typer groups options by itself only through rich, whose import takes longer than all the rest of
    ``--help``.
    """

    #: Title -> names of parameters, in the order in which they are shown.
    groups: ClassVar[Mapping[str, Sequence[str]]] = {}

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the arguments, the groups, and what is in none."""
        title_of = {name: title for title, names in self.groups.items() for name in names}
        sections: dict[str, Records] = {
            "Arguments": [], **{title: [] for title in self.groups}, _REST: [],
        }  # fmt: skip
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None:
                is_option = param.param_type_name == "option"
                title = title_of.get(param.name or "", _REST) if is_option else "Arguments"
                sections[title].append(record)
        for title, records in sections.items():
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)
