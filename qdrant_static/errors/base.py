"""The base of all errors: a message from a template, the exit code, pickling."""

from __future__ import annotations

from typing import Any, ClassVar


def _restore(
    cls: type[QdrantStaticError], arguments: tuple[Any, ...], attributes: dict[str, Any]
) -> QdrantStaticError:
    """Make an error again from what `QdrantStaticError.__reduce__` pickled."""
    error = cls.__new__(cls, *arguments)
    error.__dict__.update(attributes)  # the fields, and notes if there are any
    return error


def listed(names: tuple[str, ...]) -> str:
    """Join names with commas; "none" for no name."""
    return ", ".join(names) if names else "none"


class _Values(dict[str, Any]):
    """The attributes of an error for `str.format_map`, with tuples as comma-separated text."""

    def __init__(self, error: QdrantStaticError) -> None:
        self._error = error

    def __missing__(self, name: str) -> Any:
        value = getattr(self._error, name)
        return listed(value) if isinstance(value, tuple) else value


class QdrantStaticError(Exception):
    """Base of all errors of this package.

    A subclass is a dataclass of the values that its message needs. Its ``template`` is the
    message, with the names of attributes or properties in braces, as in `str.format`.

    Attributes:
        retryable: Whether the same call may succeed later without any change.
        exit_code: The exit status of the command line.
        template: The message; empty in a base class, whose message are its arguments.
        report: The `IngestReport` of the ingest that raised the error, if there is one: what was
            stored, rejected and deleted before it.
    """

    retryable: ClassVar[bool] = False
    exit_code: ClassVar[int] = 1
    template: ClassVar[str] = ""
    report: Any = None

    @property
    def message(self) -> str:
        """The error in one sentence: what happened, where, and what to do."""
        if not self.template:
            return " ".join(str(argument) for argument in self.args)
        return self.template.format_map(_Values(self))

    def __str__(self) -> str:
        return self.message

    def __reduce__(self) -> tuple[Any, ...]:
        return (_restore, (type(self), self.args, dict(self.__dict__)))


class UsageError(QdrantStaticError):
    """Wrong usage or configuration: the same call fails again until something is changed."""

    exit_code: ClassVar[int] = 2
