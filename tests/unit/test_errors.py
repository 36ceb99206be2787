"""The error tree: sentences, fields, exit codes, and the way home from a worker."""

from __future__ import annotations

import copy
import inspect
import pickle
import re
from dataclasses import fields, is_dataclass
from uuid import UUID

import pytest

from qdrant_static import errors
from qdrant_static.errors import QdrantStaticError, UsageError

EXAMPLES: dict[str, dict] = {
    "ArgumentError": {"field": "size", "problem": "too small"},
    "FilterError": {"filter": "year>=", "problem": "a value is missing", "character": 7},
    "FieldNotFoundError": {
        "field": "yaer", "collection": "c", "fields": ("lang", "year"), "near": ("year",),
    },
    "SpecMismatchError": {"collection": "c", "differences": ("vector full: 1, 2", "bm25: a")},
    "EncoderMismatchError": {
        "collection": "c", "expected": "ours", "expected_fingerprint": "f1", "given": "theirs",
        "given_fingerprint": "f2", "side": "queries",
    },
    "EncoderPairError": {
        "documents": "d", "documents_fingerprint": "f1", "queries": "q", "fitted_to": ("f2",),
    },
    "EncoderNotFoundError": {"name": "n", "problem": "nowhere", "known": ("wordllama",)},
    "InvalidModelError": {"model": "m", "problem": "it has no table"},
    "MissingExtraError": {"package": "p", "extra": "offline", "purpose": "this"},
    "IncompatiblePackageError": {"package": "p", "version": "9.9", "problem": "no list"},
    "TeacherFailedError": {"teacher": "t", "problem": "no memory", "kept": "7 are stored"},
    "TextInputError": {"problem": "an int is not a string", "row": 3},
    "SourceNotFoundError": {"path": "a.jsonl", "problem": "not there"},
    "ColumnNotFoundError": {"column": "c", "columns": ("a", "b"), "source": "x.parquet"},
    "ColumnTypeError": {"column": "c", "given": "int", "wanted": "a string", "source": "x"},
    "LedgerNotFoundError": {"path": "data/_state/c/ledger.sqlite"},
    "KeyTypeError": {"given": "a boolean"},
    "CollectionNotFoundError": {"collection": "c", "where": "db", "collections": ("a",)},
    "CollectionInUseError": {"collection": "c", "problem": "an alias points at it"},
    "CollectionExistsError": {"collection": "c", "where": "db"},
    "CollectionNameError": {"name": "a/b", "problem": "it contains '/'"},
    "AliasNotFoundError": {"alias": "a", "aliases": ("b",)},
    "AliasExistsError": {"alias": "a", "collection": "c"},
    "PointNotFoundError": {"point": 7, "collection": "c", "vector": "full"},
    "NotAPlannedCollectionError": {"collection": "c"},
    "ClientClosedError": {"where": "db"},
    "ClientForkedError": {"where": "db", "opener": 12},
    "NotSupportedByEdgeError": {"what": "int as a query", "why": "not yet"},
    "EncoderUnavailableError": {"name": "o/m", "problem": "no network"},
    "CollectionLockedError": {"collection": "c", "where": "db", "owner": "process 12"},
    "JobRunningError": {"collection": "c", "state": "db/_state/c", "owner": "process 12"},
    "TooManyRejectsError": {
        "rejected": 7, "read": 9, "limit": "10%", "rejects": "r.jsonl", "unreadable": ("a: torn",),
    },
    "JobStoppedError": {"waited_for": "/dev/stdin"},
    "DeletionRefusedError": {
        "collection": "c", "vanished": 5, "points": 9, "problem": "more than 20%",
    },
    "AccessDeniedError": {"where": "http://db", "problem": "Invalid API key"},
    "ServerUnavailableError": {
        "where": "http://db", "problem": "connection refused", "tried": 4, "waited_s": 300.0,
    },
    "MigrationNotFoundError": {"alias": "a", "where": "db"},
    "MigrationStepError": {
        "alias": "a", "step": "cutover", "phase": "building", "problem": "verify comes first",
    },
    "AliasMovedError": {"alias": "a", "expected": "a__v1", "found": "a__v9", "shipped": "a__v2"},
    "MigrationRunningError": {
        "alias": "a", "green": "a__v2", "phase": "building", "owner": "process 12 on host",
    },
    "MigrationWritesError": {
        "collection": "a__v1", "alias": "a", "blue": "a__v1", "green": "a__v2",
        "phase": "building", "problem": "its journal is not here",
    },
    "ModelInUseError": {"model": "m@2", "problem": "it is current"},
    "ModelLockedError": {"model": "m", "owner": "process 12"},
    "GateRefusedError": {
        "alias": "a", "green": "a__v2", "gates": ("keys", "recall"), "problem": "3 are missing",
    },
    "CannotShipError": {"collection": "c", "where": "http://h", "problem": "it is not empty"},
    "CannotPullError": {"collection": "c", "where": "http://h", "problem": "it is of 1.9"},
    "ShipmentRefusedError": {
        "collection": "c", "where": "http://h", "proof": "count", "problem": "3 of 4",
        "left": "The target was removed",
    },
    "EveryPointRefusedError": {"collection": "c", "problem": "expected dim: 8, got 4"},
    "EngineError": {"operation": "counting", "problem": "it failed"},
    "PointError": {"point": UUID(int=5), "problem": "wrong"},
    "StorageError": {"path": "p", "problem": "full"},
    "VerificationError": {"collection": "c", "problem": "3 of 4"},
}  # fmt: skip
CLASSES = [
    one for _, one in inspect.getmembers(errors, inspect.isclass)
    if issubclass(one, QdrantStaticError)
]  # fmt: skip
LEAVES = [one for one in CLASSES if is_dataclass(one)]
BASES = [one for one in CLASSES if not is_dataclass(one)]
RETRYABLE = {
    "EncoderUnavailableError", "CollectionLockedError", "JobRunningError",
    "MigrationRunningError", "MigrationWritesError", "ModelLockedError", "ServerUnavailableError",
    "StorageError", "TeacherFailedError",
}  # fmt: skip
#: What a scheduler can tell apart from a failure.
EXIT_CODES = {
    "TooManyRejectsError": 3, "DeletionRefusedError": 4, "GateRefusedError": 4,
    "ShipmentRefusedError": 4, "JobStoppedError": 130,
}  # fmt: skip


def example(kind: type[QdrantStaticError]) -> QdrantStaticError:
    return kind(**EXAMPLES[kind.__name__])


#: What users catch, and how many kinds of error each catches.
FAMILIES = {
    "NotFoundError": 9, "ConflictError": 9, "BusyError": 5, "UnreachableError": 2,
    "RefusedError": 4,
}  # fmt: skip


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_catches_its_errors(family):
    caught = [kind for kind in LEAVES if issubclass(kind, getattr(errors, family))]
    assert len(caught) == FAMILIES[family]


def test_every_error_is_imported_from_one_module_and_named_by_it():
    assert sorted(kind.__name__ for kind in CLASSES) == sorted(errors.__all__)
    assert {kind.__module__ for kind in CLASSES} == {"qdrant_static.errors"}


def test_every_error_has_an_example_here():
    assert {kind.__name__ for kind in LEAVES} == set(EXAMPLES)


@pytest.mark.parametrize("kind", LEAVES)
def test_the_message_is_one_sentence_with_every_field_in_it(kind):
    error = example(kind)
    assert str(error) == error.message
    assert "\n" not in error.message
    for value in EXAMPLES[kind.__name__].values():
        for part in value if isinstance(value, tuple) else (value,):
            assert str(part) in error.message, part


@pytest.mark.parametrize("kind", LEAVES)
@pytest.mark.parametrize("again", [lambda e: pickle.loads(pickle.dumps(e)), copy.copy])  # noqa: S301
def test_an_error_survives_pickling_and_copying_with_its_fields(kind, again):
    error = example(kind)
    back = again(error)
    assert type(back) is kind
    assert {f.name: getattr(back, f.name) for f in fields(kind)} == EXAMPLES[kind.__name__]
    assert back.message == error.message


@pytest.mark.parametrize("kind", LEAVES)
def test_an_error_with_a_note_survives_pickling(kind):
    error = example(kind)
    error.add_note("in worker 3")
    back = pickle.loads(pickle.dumps(error))  # noqa: S301
    assert back.message == error.message
    assert back.__notes__ == ["in worker 3"]


@pytest.mark.parametrize("kind", BASES)
def test_the_bases_keep_their_message_when_pickled(kind):
    assert str(pickle.loads(pickle.dumps(kind("boom", 3)))) == "boom 3"  # noqa: S301


@pytest.mark.parametrize("kind", LEAVES)
def test_wrong_usage_exits_2_and_nearly_all_else_1(kind):
    expected = 2 if issubclass(kind, UsageError) else EXIT_CODES.get(kind.__name__, 1)
    assert kind.exit_code == expected


def test_exactly_what_may_succeed_later_is_retryable():
    assert {kind.__name__ for kind in LEAVES if kind.retryable} == RETRYABLE


def test_no_wrong_usage_is_retryable():
    assert not any(kind.retryable for kind in LEAVES if issubclass(kind, UsageError))


def test_errors_are_raised_caught_and_chained_like_any_other():
    with pytest.raises(QdrantStaticError, match="counting: it failed") as caught:
        raise example(errors.EngineError) from ValueError("cause")
    assert isinstance(caught.value.__cause__, ValueError)
    assert len({example(errors.EngineError), example(errors.EngineError)}) == 2  # hashable


def test_the_tree_in_the_docstring_is_the_tree_of_the_classes():
    drawn: dict[str, str] = {}
    parents = ["QdrantStaticError"]
    for line in (errors.__doc__ or "").splitlines():
        match = re.match(r"    ((?:│   |    )*)[├└]── (\w+)", line)
        if match:
            depth = len(match[1]) // 4
            parents = [*parents[: depth + 1], match[2]]
            drawn[match[2]] = parents[depth]
    actual = {k.__name__: k.__base__.__name__ for k in CLASSES if k is not QdrantStaticError}
    assert drawn == actual


def test_the_mismatch_of_encoders_names_both():
    message = example(errors.EncoderMismatchError).message
    assert "'ours' (f1)" in message
    assert "'theirs' (f2)" in message


def test_a_missing_extra_prints_the_line_to_install_it():
    assert 'pip install "qdrant-static[offline]"' in example(errors.MissingExtraError).message


def test_an_unavailable_model_says_what_to_do():
    message = example(errors.EncoderUnavailableError).message
    for advice in ("network", "path of a folder", 'pip install "qdrant-static[offline]"'):
        assert advice in message
