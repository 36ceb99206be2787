"""Makes options of a command from the fields of a dataclass, so that each is declared once.

A field's name becomes the option's name, its type the option's type, and the first sentence of its
text under ``Attributes:`` the option's help. ``; None takes the id.`` is shown as
``[default: the id]``. Values are given back as the dataclass takes them.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Annotated, Any, Literal, Self, get_args, get_origin, get_type_hints

import typer

from qdrant_static.errors import ArgumentError

#: An entry of a Google docstring's section, with the lines that belong to it.
_ENTRY = re.compile(r"^    (\w+): (.*(?:\n {5,}.*)*)", re.M)
#: What stands for the default in a field's text, up to the end of the sentence.
_DEFAULT = re.compile(r"[;,] (?:None|empty|0|by default)(?: takes| makes| is|:)? (.+)")
#: Where a field's first sentence ends.
_SENTENCE_END = re.compile(r"\.\s+(?=[A-Z`])")


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldOptions:
    """The options that the fields of a dataclass become.

    Attributes:
        kind: The dataclass.
        named: Field -> name of its option, where that is not the field's.
        metavars: Field -> what stands for its value in the help. ``A:B`` and ``A=B`` also say how
            the two sides of a mapping are separated.
        omitted: Fields without an option.
        otherwise: What is shown as the default of all, in the place of that of their texts.
    """

    kind: type[Any]
    named: Mapping[str, str] = field(default_factory=dict)
    metavars: Mapping[str, str] = field(default_factory=dict)
    omitted: Sequence[str] = ()
    otherwise: str | None = None

    @property
    def parameters(self) -> dict[str, str]:
        """Return the field of each parameter of the command, in the order of the dataclass."""
        return {
            self.named.get(each.name, each.name).replace("-", "_"): each.name
            for each in fields(self.kind)
            if each.name not in self.omitted
        }

    def only(self, *names: str, otherwise: str | None = None) -> Self:
        """Return the options of these fields alone."""
        omitted = [each.name for each in fields(self.kind) if each.name not in names]
        return replace(self, omitted=omitted, otherwise=otherwise)

    def annotation(self, name: str) -> Any:
        """Return the annotation of a command's parameter for a field."""
        option = typer.Option(
            f"--{self.named.get(name, name).replace('_', '-')}",
            help=help_of(self.kind, name, self.otherwise)
            + (" Repeatable." if get_origin(self._hint(name)) is Mapping else ""),
            metavar=self.metavars.get(name, "A,B" if _is_list(self._hint(name)) else None),
        )
        return Annotated[_typed(self._hint(name)), option]

    def default(self, name: str) -> Any:
        """Return what a parameter is if its option is not given."""
        default = next(each.default for each in fields(self.kind) if each.name == name)
        # The help explains other defaults, and an option that is not given stays None.
        return default if isinstance(default, bool | str) else None

    def values(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the fields whose options were given, each as the dataclass takes it.

        Args:
            given: Parameter -> what was typed.

        Raises:
            ArgumentError: If a pair lacks its separator; it names the option.
        """
        return {
            name: self._parsed(name, given[parameter])
            for parameter, name in self.parameters.items()
            if given.get(parameter) not in (None, self.default(name))
        }

    def _parsed(self, name: str, value: Any) -> Any:
        if isinstance(value, list):
            option = f"--{self.named.get(name, name).replace('_', '-')}"
            literals = get_origin(get_args(self._hint(name))[-1]) is Literal
            return pairs(option, _each(value) if literals else value, self.metavars[name])
        return listed(value) if _is_list(self._hint(name)) else value

    def _hint(self, name: str) -> Any:
        """Return the type of a field, without None."""
        hint = get_type_hints(self.kind)[name]
        choices = [choice for choice in get_args(hint) if choice is not type(None)]
        return choices[0] if len(choices) == 1 and type(None) in get_args(hint) else hint


def expanded(**groups: FieldOptions) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Replace parameters of a command by the options of a dataclass's fields.

    The command receives each as a dictionary of the fields that were given.

    Args:
        groups: Parameter -> the options in its place.
    """

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        signature = inspect.signature(command)
        hints = get_type_hints(command, include_extras=True)
        shown: list[inspect.Parameter] = []
        for parameter in signature.parameters.values():
            group = groups.get(parameter.name)
            if group is None:
                shown.append(parameter.replace(annotation=hints[parameter.name]))
                continue
            shown += [
                inspect.Parameter(
                    name,
                    inspect.Parameter.KEYWORD_ONLY,
                    annotation=group.annotation(field_name),
                    default=group.default(field_name),
                )
                for name, field_name in group.parameters.items()
            ]

        @functools.wraps(command)
        def run(**given: Any) -> Any:
            for name, group in groups.items():
                values = {field_name: given.pop(field_name) for field_name in group.parameters}
                given[name] = group.values(values)
            return command(**given)

        run.__signature__ = signature.replace(  # type: ignore[attr-defined]
            parameters=[
                parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in shown
            ]
        )
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in shown}
        return run

    return decorate


def help_of(kind: type[Any], name: str, otherwise: str | None = None) -> str:
    """Return the help of a field's option: the first sentence of its docstring's entry.

    Args:
        kind: The dataclass.
        name: The field.
        otherwise: The default that is shown; None takes that of the sentence.
    """
    entries = dict(_ENTRY.findall(inspect.cleandoc(kind.__doc__ or "").partition("Attributes:")[2]))
    text = " ".join(entries.get(name, "").split())
    for each in fields(kind):  # a field in the text is an option here
        text = text.replace(f"``{each.name}``", f"--{each.name.replace('_', '-')}")
    sentence = _SENTENCE_END.split(text)[0].removesuffix(".").replace("`", "").replace('"', "")
    default = _DEFAULT.search(sentence)
    if default is not None:
        sentence, otherwise = sentence[: default.start()], otherwise or default[1]
    return f"{sentence}." if otherwise is None else f"{sentence}. [default: {otherwise}]"


def listed(value: str | None) -> tuple[str, ...] | None:
    """Split ``a,b``; None stays None."""
    if value is None:
        return None
    return tuple(part.strip() for part in value.split(",") if part.strip())


def pairs(option: str, values: Sequence[str], form: str) -> dict[str, str]:
    """Read repeated ``A:B`` or ``A=B`` as a mapping.

    Args:
        option: The option, for errors.
        values: What was typed.
        form: What a value must look like. The last ``:`` separates, as a column's name may have
            one; the first ``=``, as a URL may have one.

    Raises:
        ArgumentError: If a value has another form, or a name is given twice with two values.
    """
    found: dict[str, str] = {}
    for value in values:
        name, mark, text = value.partition("=") if "=" in form else value.rpartition(":")
        if not (mark and name.strip()) or (
            form.endswith("URL") and not text.strip().startswith(("http://", "https://"))
        ):
            raise ArgumentError(field=option, problem=f"{value!r} is not {form}")
        if found.setdefault(name.strip(), text.strip()) != text.strip():
            raise ArgumentError(field=option, problem=f"{name.strip()!r} is given twice")
    return found


def _each(values: Sequence[str]) -> list[str]:
    """Split ``a:integer,b:float``; a column may have commas in its name, a type has none."""
    found: list[str] = []
    for value in values:
        several = re.findall(r"(.+?:\w+)(?:,\s*|$)", value)
        found += several if ",".join(several) == value.replace(", ", ",") else [value]
    return found


def _is_list(hint: Any) -> bool:
    return get_origin(hint) in (tuple, Sequence)


def _typed(hint: Any) -> Any:
    """Return the type of the option of a field of a type."""
    if hint in (bool, int, float):
        return hint if hint is bool else hint | None
    return list[str] | None if get_origin(hint) is Mapping else str | None
