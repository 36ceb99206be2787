"""Every error that this package raises on purpose, as one tree by kind.

    QdrantStaticError
    ├── UsageError                       wrong usage or configuration: exit 2
    │   ├── ArgumentError                an argument, option, spec or plan that cannot work
    │   ├── FilterError                  a filter that cannot be parsed or does not fit the fields
    │   ├── CollectionNameError          a name that no collection or alias can have
    │   ├── KeyTypeError                 a record key of a type that no point id is made from
    │   ├── TextInputError               texts that cannot be encoded
    │   ├── ColumnTypeError              a column of the wrong type
    │   ├── InvalidModelError            model files that are unreadable or do not fit together
    │   ├── MissingExtraError            an optional package is not installed
    │   ├── IncompatiblePackageError     an installed package has an unsupported version
    │   ├── NotSupportedByEdgeError      a server feature that the embedded engine lacks
    │   ├── NotAPlannedCollectionError   the collection was not made by this package
    │   ├── CannotShipError              this collection cannot go to this server
    │   ├── CannotPullError              this collection cannot come from this server
    │   ├── AccessDeniedError            the server refuses the API key, or lets it read only
    │   ├── ClientClosedError            the embedded client was closed
    │   ├── ClientForkedError            the embedded client belongs to a parent process
    │   ├── NotFoundError                what was named does not exist
    │   │   ├── AliasNotFoundError
    │   │   ├── CollectionNotFoundError
    │   │   ├── ColumnNotFoundError
    │   │   ├── EncoderNotFoundError
    │   │   ├── FieldNotFoundError       no point of the collection has the payload field
    │   │   ├── LedgerNotFoundError      no job of the collection has run with this state folder
    │   │   ├── MigrationNotFoundError   no migration of the alias is running
    │   │   ├── PointNotFoundError       a query names a point that is not stored
    │   │   └── SourceNotFoundError      no input file
    │   └── ConflictError                what exists, or its state, contradicts the request
    │       ├── AliasExistsError         the name is that of a collection, or already an alias
    │       ├── AliasMovedError          another client re-pointed the alias
    │       ├── CollectionExistsError
    │       ├── CollectionInUseError     an alias or a migration needs the collection
    │       ├── EncoderMismatchError     the collection was made with another encoder
    │       ├── EncoderPairError         the encoders of documents and queries do not fit
    │       ├── MigrationStepError       the step is not possible in this phase
    │       ├── ModelInUseError          a version of a model that is in use
    │       └── SpecMismatchError        the collection differs from the spec
    ├── BusyError                        another process holds it: retryable
    │   ├── CollectionLockedError        another process or client has the collection open
    │   ├── JobRunningError              another job of the collection is running
    │   ├── MigrationRunningError        another migration of the alias is running
    │   └── MigrationWritesError         the write would miss a generation of a migration
    │   └── ModelLockedError             another process changes the model's versions
    ├── UnreachableError                 no answer over the network: retryable
    │   ├── EncoderUnavailableError      the model could not be fetched
    │   └── ServerUnavailableError       the server did not answer within the retry time
    ├── RefusedError                     a limit, gate or proof refused: exit 4
    │   ├── DeletionRefusedError         a job would delete too many points
    │   ├── GateRefusedError             a gate refused the new collection of a migration
    │   ├── ShipmentRefusedError         a proof of a shipment failed
    │   └── TooManyRejectsError          more rejected rows than the limit allows: exit 3
    ├── EngineError                      the engine refused a request or failed
    ├── EveryPointRefusedError           the server refuses every point of a batch
    ├── JobStoppedError                  the job was stopped while it waited for input: exit 130
    ├── PointError                       a point that cannot be stored or changed
    ├── StorageError                     a file could not be read or written: retryable
    ├── TeacherFailedError               an encoder failed in a training: retryable
    └── VerificationError                what is stored is not what was sent

The values of an error are attributes and its message is formatted from them. ``retryable`` and
``exit_code`` belong to the class. Errors survive pickling, so that a worker process can send its
own error to its parent.
"""

from __future__ import annotations

from typing import Any

from qdrant_static.errors.base import QdrantStaticError, UsageError
from qdrant_static.errors.conflict import (
    AliasExistsError,
    AliasMovedError,
    CollectionExistsError,
    CollectionInUseError,
    ConflictError,
    EncoderMismatchError,
    EncoderPairError,
    MigrationStepError,
    ModelInUseError,
    SpecMismatchError,
)
from qdrant_static.errors.failures import (
    EngineError,
    EveryPointRefusedError,
    JobStoppedError,
    PointError,
    StorageError,
    TeacherFailedError,
    VerificationError,
)
from qdrant_static.errors.notfound import (
    AliasNotFoundError,
    CollectionNotFoundError,
    ColumnNotFoundError,
    EncoderNotFoundError,
    FieldNotFoundError,
    LedgerNotFoundError,
    MigrationNotFoundError,
    NotFoundError,
    PointNotFoundError,
    SourceNotFoundError,
)
from qdrant_static.errors.refused import (
    DeletionRefusedError,
    GateRefusedError,
    RefusedError,
    ShipmentRefusedError,
    TooManyRejectsError,
)
from qdrant_static.errors.retryable import (
    BusyError,
    CollectionLockedError,
    EncoderUnavailableError,
    JobRunningError,
    MigrationRunningError,
    MigrationWritesError,
    ModelLockedError,
    ServerUnavailableError,
    UnreachableError,
)
from qdrant_static.errors.usage import (
    AccessDeniedError,
    ArgumentError,
    CannotPullError,
    CannotShipError,
    ClientClosedError,
    ClientForkedError,
    CollectionNameError,
    ColumnTypeError,
    FilterError,
    IncompatiblePackageError,
    InvalidModelError,
    KeyTypeError,
    MissingExtraError,
    NotAPlannedCollectionError,
    NotSupportedByEdgeError,
    TextInputError,
)

__all__ = [
    "AccessDeniedError",
    "AliasExistsError",
    "AliasMovedError",
    "AliasNotFoundError",
    "ArgumentError",
    "BusyError",
    "CannotPullError",
    "CannotShipError",
    "ClientClosedError",
    "ClientForkedError",
    "CollectionExistsError",
    "CollectionInUseError",
    "CollectionLockedError",
    "CollectionNameError",
    "CollectionNotFoundError",
    "ColumnNotFoundError",
    "ColumnTypeError",
    "ConflictError",
    "DeletionRefusedError",
    "EncoderMismatchError",
    "EncoderNotFoundError",
    "EncoderPairError",
    "EncoderUnavailableError",
    "EngineError",
    "EveryPointRefusedError",
    "FieldNotFoundError",
    "FilterError",
    "GateRefusedError",
    "IncompatiblePackageError",
    "InvalidModelError",
    "JobRunningError",
    "JobStoppedError",
    "KeyTypeError",
    "LedgerNotFoundError",
    "MigrationNotFoundError",
    "MigrationRunningError",
    "MigrationStepError",
    "MigrationWritesError",
    "MissingExtraError",
    "ModelInUseError",
    "ModelLockedError",
    "NotAPlannedCollectionError",
    "NotFoundError",
    "NotSupportedByEdgeError",
    "PointError",
    "PointNotFoundError",
    "QdrantStaticError",
    "RefusedError",
    "ServerUnavailableError",
    "ShipmentRefusedError",
    "SourceNotFoundError",
    "SpecMismatchError",
    "StorageError",
    "TeacherFailedError",
    "TextInputError",
    "TooManyRejectsError",
    "UnreachableError",
    "UsageError",
    "VerificationError",
]


def __getattr__(name: str) -> Any:
    """Name the present class for `SpecError`.

    Raises:
        ImportError: For `SpecError`; ``from ... import`` hides the message of an `AttributeError`.
        AttributeError: For any other name.
    """
    if name == "SpecError":
        raise ImportError("SpecError was renamed: import ArgumentError from qdrant_static.errors")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


# A traceback names the module that users import from, not the file of the class.
for _name in __all__:
    globals()[_name].__module__ = __name__
