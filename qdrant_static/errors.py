"""Every error that this package raises on purpose.

    QdrantStaticError
    ├── UsageError                     wrong usage or configuration: exit 2
    │   ├── ArgumentError              an argument, option, spec or plan that cannot work
    │   ├── FilterError                a filter that cannot be read, or does not fit the fields
    │   ├── FieldNotFoundError         no point of the collection has the field
    │   ├── SpecMismatchError          the collection is there, and differs
    │   ├── EncoderMismatchError       not the encoder that the collection was made with
    │   ├── EncoderNotFoundError       no encoder of that name
    │   ├── InvalidModelError          a model's files or parts do not fit together
    │   ├── MissingExtraError          an optional package is not installed
    │   ├── IncompatiblePackageError   a version of a package that we cannot work with
    │   ├── TextInputError             texts of a type that cannot be encoded
    │   ├── SourceNotFoundError        no input file
    │   ├── ColumnNotFoundError        a column is not in the input
    │   ├── ColumnTypeError            a column is of the wrong type
    │   ├── LedgerNotFoundError        no job of the collection has run there
    │   ├── KeyTypeError               a record key of a type that has no point id
    │   ├── CollectionNotFoundError
    │   ├── CollectionExistsError
    │   ├── CollectionInUseError       it cannot be deleted: something points at it
    │   ├── CollectionNameError
    │   ├── AliasNotFoundError
    │   ├── AliasExistsError           the name is a collection's, or already an alias
    │   ├── PointNotFoundError         a query names a point that is not there
    │   ├── NotAPlannedCollectionError no metadata of ours in the collection
    │   ├── NotSupportedByEdgeError    a server's feature that the embedded engine lacks
    │   ├── ClientClosedError          the embedded client was closed
    │   ├── ClientForkedError          the embedded client is a parent process's
    │   ├── AccessDeniedError          the server does not let this key do this
    │   ├── MigrationNotFoundError     no migration of this alias is under way
    │   ├── MigrationStepError         this step cannot come now: it says which can
    │   ├── AliasMovedError            somebody else re-pointed the alias
    │   ├── CannotShipError            this collection cannot go to this server as it is built
    │   └── CannotPullError            this collection cannot come from this server
    ├── EncoderUnavailableError        the model could not be had (network): safe to repeat
    ├── CollectionLockedError          another process has it open: safe to repeat
    ├── JobRunningError                another job of the collection runs: safe to repeat
    ├── MigrationRunningError          another migration of the alias is under way
    ├── MigrationWritesError           what would be written would miss a generation
    ├── GateRefusedError               green was not proved as good: exit 4
    ├── ShipmentRefusedError           a proof of a shipment failed: exit 4
    ├── TooManyRejectsError            the input is rubbish: exit 3
    ├── DeletionRefusedError           a job would delete too much: exit 4
    ├── JobStoppedError                a job was to stop while it waited for its input: exit 130
    ├── ServerUnavailableError         the server did not answer for too long: safe to repeat
    ├── EngineError                    the engine refused or failed
    ├── EveryPointRefusedError         the server takes no point of the batch, whichever it is
    ├── PointError                     a point that does not fit its collection, or is not in it
    ├── StorageError                   the disk refused: safe to repeat
    └── VerificationError              the counts do not agree

Fields are attributes, the sentence is made from them, ``retryable`` and ``exit_code`` belong to
the type, and every error survives pickling, so that a worker can send its own error home.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar
from uuid import UUID

from qdrant_static.suggestions import other_delimiter, question, suggestion

#: So much of a filter is shown in an error, in characters.
_SHOWN = 200


def _rebuild(
    cls: type[QdrantStaticError], arguments: tuple[Any, ...], state: dict[str, Any]
) -> QdrantStaticError:
    error = cls.__new__(cls, *arguments)
    error.__dict__.update(state)  # the fields, and notes if any
    return error


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) if names else "none"


class QdrantStaticError(Exception):
    """Base of all errors of this package.

    Attributes:
        retryable: Whether the same call may succeed later, with nothing changed.
        exit_code: What the command line exits with.
        report: The account of the ingest that raised it (`IngestReport`), where there is one: what
            was stored, rejected and deleted until then.
    """

    retryable: ClassVar[bool] = False
    exit_code: ClassVar[int] = 1
    report: Any = None

    @property
    def message(self) -> str:
        """The error in one sentence: what, where, and what to do."""
        return " ".join(str(argument) for argument in self.args)

    def __str__(self) -> str:
        return self.message

    def __reduce__(self) -> tuple[Any, ...]:
        return (_rebuild, (type(self), self.args, dict(self.__dict__)))


class UsageError(QdrantStaticError):
    """Wrong usage or configuration; repeating it changes nothing."""

    exit_code: ClassVar[int] = 2


@dataclass(eq=False)
class ArgumentError(UsageError):
    """A spec, a plan or an option that cannot work."""

    field: str
    problem: str

    @property
    def message(self) -> str:
        return f"{self.field}: {self.problem}"

    @classmethod
    def of_choice(cls, name: str, value: object, valid: str) -> ArgumentError:
        """An argument that is none of the valid values."""
        near = suggestion(value, valid.split(", "))
        return cls(field=name, problem=f"{value!r} is not valid; valid: {valid}{near}")


@dataclass(eq=False)
class FilterError(UsageError):
    """A filter that cannot be read, or that does not fit the collection's fields.

    ``character`` is the place in the text, from 1; None where the whole is meant.
    """

    filter: str
    problem: str
    character: int | None = None

    @property
    def message(self) -> str:
        shown = self.filter if len(self.filter) <= _SHOWN else f"{self.filter[:_SHOWN]}…"
        where = "" if self.character is None else f", at character {self.character}"
        return f"filter {shown!r}{where}: {self.problem}"


@dataclass(eq=False)
class FieldNotFoundError(UsageError):
    """No point of the collection has this payload field."""

    field: str
    collection: str
    fields: tuple[str, ...]
    near: tuple[str, ...] = ()

    @property
    def message(self) -> str:
        return (
            f"no point of collection {self.collection!r} has a field {self.field!r}: "
            f"{question(self.near)}Its fields are: {_listed(self.fields)}"
        )


@dataclass(eq=False)
class SpecMismatchError(UsageError):
    """The collection is there and differs from what was asked for."""

    collection: str
    differences: tuple[str, ...]

    @property
    def message(self) -> str:
        return (
            f"collection {self.collection!r} differs from what was asked for "
            f"({'; '.join(self.differences)}). Nothing was changed: use another collection name, "
            "or ask for what is there"
        )


@dataclass(eq=False)
class EncoderMismatchError(UsageError):
    """The encoder is not the one that the collection was made with."""

    collection: str
    expected: str
    expected_fingerprint: str
    given: str
    given_fingerprint: str

    @property
    def message(self) -> str:
        return (
            f"collection {self.collection!r} was made with the encoder {self.expected!r} "
            f"({self.expected_fingerprint}), not with {self.given!r} ({self.given_fingerprint}). "
            "Vectors of two encoders cannot be compared: use the collection's encoder, "
            "or another collection"
        )


@dataclass(eq=False)
class EncoderNotFoundError(UsageError):
    """No encoder of that name, or nothing usable at that path."""

    name: str
    problem: str
    known: tuple[str, ...] = ()

    @property
    def message(self) -> str:
        known = f"one of: {_listed(self.known)}" if self.known else "'wordllama'"
        return (
            f"no encoder {self.name!r}: {self.problem}. Give a model2vec folder, a hub name "
            f"such as 'minishlab/potion-base-8M', or {known}{suggestion(self.name, self.known)}"
        )


@dataclass(eq=False)
class InvalidModelError(UsageError):
    """The parts of a static model do not fit together, or its files cannot be read."""

    model: str
    problem: str

    @property
    def message(self) -> str:
        return f"static model {self.model!r}: {self.problem}"


@dataclass(eq=False)
class MissingExtraError(UsageError):
    """An optional package is not installed."""

    package: str
    extra: str
    purpose: str

    @property
    def message(self) -> str:
        return (
            f"{self.purpose} needs the package {self.package!r}: "
            f'pip install "qdrant-static[{self.extra}]"'
        )


@dataclass(eq=False)
class IncompatiblePackageError(UsageError):
    """An installed package is not as it was when this one was written."""

    package: str
    version: str
    problem: str

    @property
    def message(self) -> str:
        return (
            f"cannot work with {self.package} {self.version}: {self.problem}. "
            "Install another version of it, or a newer qdrant-static"
        )


@dataclass(eq=False)
class TextInputError(UsageError):
    """Texts that cannot be encoded: not strings, or not Unicode; rows are counted from 0."""

    problem: str
    row: int | None = None

    @property
    def message(self) -> str:
        where = "" if self.row is None else f" row {self.row}"
        return f"cannot encode{where}: {self.problem}"


@dataclass(eq=False)
class SourceNotFoundError(UsageError):
    """A path, folder or glob that gives no input file."""

    path: str
    problem: str

    @property
    def message(self) -> str:
        return f"no input at {self.path!r}: {self.problem}"


@dataclass(eq=False)
class ColumnNotFoundError(UsageError):
    """A column that is not in the input."""

    column: str
    columns: tuple[str, ...]
    source: str

    @property
    def message(self) -> str:
        return (
            f"no column {self.column!r} in {self.source}; its columns are: "
            f"{_listed(self.columns)}{suggestion(self.column, self.columns)}"
            f"{other_delimiter(self.columns)}"
        )


@dataclass(eq=False)
class ColumnTypeError(UsageError):
    """A column whose type cannot serve."""

    column: str
    given: str
    wanted: str
    source: str

    @property
    def message(self) -> str:
        return (
            f"column {self.column!r} in {self.source} is of type {self.given}; needed: "
            f"{self.wanted}"
        )


@dataclass(eq=False)
class LedgerNotFoundError(UsageError):
    """No ledger where a collection's jobs would have left one."""

    path: str

    @property
    def message(self) -> str:
        return (
            f"there is no ledger {self.path}: no job of this collection has run with this folder "
            "for its state. Check its name, and where it is (--db, --state)"
        )


@dataclass(eq=False)
class KeyTypeError(UsageError):
    """A record key that is neither an integer, a string nor a UUID."""

    given: str

    @property
    def message(self) -> str:
        return f"a key must be an integer, a string or a UUID, not {self.given}"


@dataclass(eq=False)
class CollectionNotFoundError(UsageError):
    """No collection of that name."""

    collection: str
    where: str
    collections: tuple[str, ...]

    @property
    def message(self) -> str:
        if not self.collections:
            return f"no collection {self.collection!r} in {self.where}, where there is none at all"
        return (
            f"no collection {self.collection!r} in {self.where}; there are: "
            f"{_listed(self.collections)}{suggestion(self.collection, self.collections)}"
        )


@dataclass(eq=False)
class CollectionExistsError(UsageError):
    """The collection is there already."""

    collection: str
    where: str

    @property
    def message(self) -> str:
        return f"collection {self.collection!r} is already in {self.where}; nothing was changed"


@dataclass(eq=False)
class CollectionInUseError(UsageError):
    """A collection that something needs; it was not deleted."""

    collection: str
    problem: str

    @property
    def message(self) -> str:
        return f"{self.collection!r} is not deleted: {self.problem}. Nothing was changed"


@dataclass(eq=False)
class CollectionNameError(UsageError):
    """A name that cannot be a collection's."""

    name: str
    problem: str

    @property
    def message(self) -> str:
        return (
            f"{self.name!r} cannot name a collection or an alias: {self.problem}. Allowed are 1 "
            "to 255 bytes of UTF-8 that do not start with a dot or '_state' nor end with a dot or "
            'a space, without control characters and without any of / \\ < > : " | ? *'
        )


@dataclass(eq=False)
class AliasNotFoundError(UsageError):
    """No alias of that name."""

    alias: str
    aliases: tuple[str, ...]

    @property
    def message(self) -> str:
        near = suggestion(self.alias, self.aliases)
        return f"no alias {self.alias!r}; there are: {_listed(self.aliases)}{near}"


@dataclass(eq=False)
class AliasExistsError(UsageError):
    """A name that would be both an alias and a collection."""

    alias: str
    collection: str | None = None

    @property
    def message(self) -> str:
        if self.collection is None:
            return f"{self.alias!r} is a collection, so it cannot be an alias; nothing was changed"
        return (
            f"{self.alias!r} is an alias of {self.collection!r}, so it cannot be a collection; "
            "nothing was changed"
        )


@dataclass(eq=False)
class PointNotFoundError(UsageError):
    """A query names a point that is not there, or that lacks the vector it is named for."""

    point: int | str
    collection: str
    vector: str | None = None

    @property
    def message(self) -> str:
        if self.vector is None:
            return f"no point {self.point!r} in collection {self.collection!r}"
        return (
            f"point {self.point!r} of collection {self.collection!r} has no vector {self.vector!r}"
        )


@dataclass(eq=False)
class NotAPlannedCollectionError(UsageError):
    """The collection carries no description of ours."""

    collection: str

    @property
    def message(self) -> str:
        return (
            f"collection {self.collection!r} was not made by qdrant-static: its metadata names no "
            "encoder. Name the one that filled it (encoder=, --encoder), or make a collection "
            "with ingest()"
        )


@dataclass(eq=False)
class NotSupportedByEdgeError(UsageError):
    """A request that the embedded engine cannot serve."""

    what: str
    why: str

    @property
    def message(self) -> str:
        return f"{self.what} is not supported on an embedded collection: {self.why}"


@dataclass(eq=False)
class ClientClosedError(UsageError):
    """The embedded client was closed; what it wrote is there."""

    where: str

    @property
    def message(self) -> str:
        return f"this client of {self.where} was closed: make another, EdgeClient({self.where!r})"


@dataclass(eq=False)
class ClientForkedError(UsageError):
    """An embedded client was made in another process, of which this one is a fork."""

    where: str
    opener: int

    @property
    def message(self) -> str:
        return (
            f"this client of {self.where} belongs to process {self.opener}, of which this one is a "
            "fork: the engine's threads are not in it. Start the child with multiprocessing's "
            '"spawn" or "forkserver", or make an EdgeClient of its own in it (a collection has one '
            "opener at a time)"
        )


@dataclass(eq=False)
class AccessDeniedError(UsageError):
    """The server refuses the key, or lets it read only."""

    where: str
    problem: str

    @property
    def message(self) -> str:
        return (
            f"{self.where} refuses access: {self.problem}. Give a key that may write to the "
            "collection, for example in the environment as QDRANT_API_KEY"
        )


@dataclass(eq=False)
class EncoderUnavailableError(QdrantStaticError):
    """The model exists or may exist, but could not be fetched."""

    retryable: ClassVar[bool] = True

    name: str
    problem: str

    @property
    def message(self) -> str:
        return (
            f"cannot fetch the model {self.name!r}: {self.problem}. Check the name and the "
            "network; or give the path of a folder that holds it; or work without a network: "
            'pip install "qdrant-static[offline]" and use the encoder "wordllama"'
        )


@dataclass(eq=False)
class CollectionLockedError(QdrantStaticError):
    """Another process, or another client of this one, has the collection open."""

    retryable: ClassVar[bool] = True

    collection: str
    where: str
    owner: str

    @property
    def message(self) -> str:
        return (
            f"collection {self.collection!r} in {self.where} is open in {self.owner}: an embedded "
            "collection has one opener at a time. Close it there, or run a server"
        )


@dataclass(eq=False)
class JobRunningError(QdrantStaticError):
    """Another job of the same collection is running."""

    retryable: ClassVar[bool] = True

    collection: str
    state: str
    owner: str

    @property
    def message(self) -> str:
        return (
            f"a job of collection {self.collection!r} is running in {self.owner}, which holds "
            f"{self.state}: wait for it, or end it"
        )


@dataclass(eq=False)
class TooManyRejectsError(QdrantStaticError):
    """More rows were rejected than the job allows; what was stored stays."""

    exit_code: ClassVar[int] = 3

    rejected: int
    read: int
    limit: str
    rejects: str
    unreadable: tuple[str, ...] = ()

    @property
    def message(self) -> str:
        if self.unreadable:
            more = len(self.unreadable) - 1
            others = f" (and {more:,} more)" if more else ""
            return (
                f"{self.unreadable[0]}{others}: a file that cannot be read exceeds any limit of "
                f"rejects ({self.limit}); {self.rejected:,} of {self.read:,} rows were rejected: "
                f"see {self.rejects}. What was stored stays; mend the input, or leave the limit "
                "out to store what can be read"
            )
        return (
            f"{self.rejected:,} of {self.read:,} rows were rejected, and the limit is "
            f"{self.limit}: see {self.rejects}. What was stored stays; the same command, with a "
            "higher limit, goes on from it"
        )


@dataclass(eq=False)
class DeletionRefusedError(QdrantStaticError):
    """A job would delete more points than it may; none was deleted."""

    exit_code: ClassVar[int] = 4

    collection: str
    vanished: int
    points: int
    problem: str

    @property
    def message(self) -> str:
        return (
            f"{self.vanished:,} of the {self.points:,} points of collection {self.collection!r} "
            f"are not in the input: {self.problem}. None was deleted, all else is done; if that is "
            "meant, repeat it with force=True"
        )


@dataclass(eq=False)
class JobStoppedError(QdrantStaticError):
    """A job was asked to stop while it waited for its input; what was stored stays."""

    exit_code: ClassVar[int] = 130

    waited_for: str

    @property
    def message(self) -> str:
        return f"stopped while it waited for rows from {self.waited_for}; what was stored stays"


@dataclass(eq=False)
class ServerUnavailableError(QdrantStaticError):
    """The server did not take a request within the time that the job gives it."""

    retryable: ClassVar[bool] = True

    where: str
    problem: str
    tried: int
    waited_s: float

    @property
    def message(self) -> str:
        return (
            f"{self.where} did not take a request, tried {self.tried} times within "
            f"{self.waited_s:.1f} s ({self.problem}). What it acknowledged is "
            "stored; repeat the job for the rest when the server is back"
        )


@dataclass(eq=False)
class EngineError(QdrantStaticError):
    """The engine refused a request or failed."""

    operation: str
    problem: str

    @property
    def message(self) -> str:
        return f"{self.operation}: {self.problem}"


@dataclass(eq=False)
class EveryPointRefusedError(QdrantStaticError):
    """The server refuses points that have nothing in common, all for the same reason."""

    collection: str
    problem: str

    @property
    def message(self) -> str:
        return (
            f"the server takes no point into collection {self.collection!r}: {self.problem}. "
            "Was the collection changed while the job ran, or is it full? What was acknowledged "
            "is stored"
        )


@dataclass(eq=False)
class PointError(QdrantStaticError):
    """A point that cannot be stored or changed; nothing of its request was."""

    point: int | str | UUID
    problem: str

    @property
    def message(self) -> str:
        return f"point {self.point!r}: {self.problem}"


@dataclass(eq=False)
class StorageError(QdrantStaticError):
    """A file could not be read or written."""

    retryable: ClassVar[bool] = True

    path: str
    problem: str

    @property
    def message(self) -> str:
        return f"{self.path}: {self.problem}"


@dataclass(eq=False)
class VerificationError(QdrantStaticError):
    """What was stored is not what was sent."""

    collection: str
    problem: str

    @property
    def message(self) -> str:
        return f"collection {self.collection!r}: {self.problem}"


@dataclass(eq=False)
class MigrationNotFoundError(UsageError):
    """No migration of this alias is under way."""

    alias: str
    where: str

    @property
    def message(self) -> str:
        return (
            f"no migration of {self.alias!r} is under way in {self.where}: begin one with "
            f"`qdrant-static migrate start {self.alias}`"
        )


@dataclass(eq=False)
class MigrationStepError(UsageError):
    """A step that cannot come now; nothing was changed."""

    alias: str
    step: str
    phase: str
    problem: str

    @property
    def message(self) -> str:
        return (
            f"{self.step} of {self.alias!r} is refused in phase {self.phase!r}: {self.problem}. "
            "Nothing was changed"
        )


@dataclass(eq=False)
class AliasMovedError(UsageError):
    """Somebody else re-pointed the alias while a migration, or a shipment, was under way."""

    alias: str
    expected: str
    found: str
    shipped: str | None = None

    @property
    def message(self) -> str:
        if self.shipped is not None:
            return (
                f"the alias {self.alias!r} points at {self.found!r}, and pointed at "
                f"{self.expected!r} when the shipment began: somebody else re-pointed it, and it "
                f"was left alone. {self.shipped!r} is there, whole and proved: repeat the command "
                "if the alias is to point at it all the same"
            )
        return (
            f"the alias {self.alias!r} points at {self.found!r}, and this migration left it at "
            f"{self.expected!r}: somebody else re-pointed it. Nothing was changed: find out who, "
            f"then point it back at {self.expected!r}, or give this migration up with `migrate "
            "abort`"
        )


@dataclass(eq=False)
class MigrationRunningError(QdrantStaticError):
    """Another migration of the same alias is under way, or another process is at this one."""

    retryable: ClassVar[bool] = True

    alias: str
    green: str
    phase: str
    owner: str

    @property
    def message(self) -> str:
        return (
            f"a migration of {self.alias!r} to {self.green!r} is under way (phase {self.phase}), "
            f"in the hands of {self.owner}: wait for it, go on with it, or end it with `migrate "
            "abort`"
        )


@dataclass(eq=False)
class MigrationWritesError(QdrantStaticError):
    """A collection is part of a migration, and a write would not reach both generations."""

    retryable: ClassVar[bool] = True

    collection: str
    alias: str
    blue: str
    green: str
    phase: str
    problem: str

    @property
    def message(self) -> str:
        return (
            f"{self.collection!r} is part of the migration of {self.alias!r} ({self.blue} -> "
            f"{self.green}, phase {self.phase}): {self.problem}"
        )


@dataclass(eq=False)
class GateRefusedError(QdrantStaticError):
    """Gates refused a green collection; it stays as it is, and so does the alias."""

    exit_code: ClassVar[int] = 4

    alias: str
    green: str
    gates: tuple[str, ...]
    problem: str

    @property
    def message(self) -> str:
        return (
            f"{self.green!r} does not take over {self.alias!r}: refused by {_listed(self.gates)} "
            f"({self.problem}). The alias is where it was, and {self.green!r} stays"
        )


@dataclass(eq=False)
class CannotShipError(UsageError):
    """A built collection cannot become this server's; nothing was sent."""

    collection: str
    where: str
    problem: str

    @property
    def message(self) -> str:
        return (
            f"{self.collection!r} cannot be shipped to {self.where}: {self.problem}. Nothing was "
            "sent. The ordinary way is open: qdrant-static ingest --db URL, without --build here"
        )


@dataclass(eq=False)
class CannotPullError(UsageError):
    """A server's collection cannot become an embedded one; nothing was left here."""

    collection: str
    where: str
    problem: str

    @property
    def message(self) -> str:
        return (
            f"{self.collection!r} cannot be pulled from {self.where}: {self.problem}. Nothing was "
            "left here, and nothing changed there. The other way is to read its points one by one: "
            "ingest() of a CollectionSource"
        )


@dataclass(eq=False)
class ShipmentRefusedError(QdrantStaticError):
    """A shipment arrived and one of its proofs failed; no alias points at it."""

    exit_code: ClassVar[int] = 4

    collection: str
    where: str
    proof: str
    problem: str
    left: str

    @property
    def message(self) -> str:
        return (
            f"the shipment of {self.collection!r} to {self.where} was refused by the proof "
            f"{self.proof!r}: {self.problem}. {self.left}"
        )
