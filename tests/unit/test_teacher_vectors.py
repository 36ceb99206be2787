"""The teacher's cache: nothing is encoded twice, nothing is lost, teachers never mix."""

from __future__ import annotations

import time

import numpy as np
import pytest
from scipy.sparse import csr_array

from qdrant_static.errors import InvalidModelError, StorageError, TeacherFailedError
from qdrant_static.training.teachersample import encode_within
from qdrant_static.training.teachervectors import TeacherVectors, other_teachers
from tests.fakes import FakeEncoder

TEXTS = [f"text number {n} of the sea" for n in range(50)]


class Counting(FakeEncoder):
    """Counts the texts, and fails at one of them."""

    def __init__(self, fails_at: str = "", **options) -> None:
        super().__init__(**options)
        self.seen: list[str] = []
        self.fails_at = fails_at

    def encode(self, texts):
        if self.fails_at in texts:
            raise MemoryError("no room")
        self.seen += texts
        return super().encode(texts)

    def encode_queries(self, texts):
        return -super().encode(texts)


def test_every_text_is_encoded_once_and_comes_back_exactly(tmp_path):
    teacher = Counting()
    with TeacherVectors(tmp_path, teacher) as cache:
        cache.encode(TEXTS[:20])
        cache.encode(TEXTS + TEXTS)
        assert sorted(teacher.seen) == sorted(TEXTS)
        assert cache.has([TEXTS[3], "another"]).tolist() == [True, False]
        found = cache.vectors(TEXTS)
    assert found.dtype == np.float32
    assert np.array_equal(found, FakeEncoder().encode(TEXTS))
    with TeacherVectors(tmp_path, teacher) as cache:
        assert len(cache) == 50
        assert np.array_equal(cache.vectors(TEXTS[7:9]), found[7:9])
        assert cache.vectors([]).shape == (0, 32)


def test_teachers_and_kinds_never_mix(tmp_path):
    first, second = Counting(), Counting(salt="other", name="second")
    with TeacherVectors(tmp_path, first) as one, TeacherVectors(tmp_path, second) as other:
        one.encode(TEXTS)
        other.encode(TEXTS)
        assert not np.array_equal(one.vectors(TEXTS), other.vectors(TEXTS))
    with TeacherVectors(tmp_path, first, kind="queries") as queries:
        assert len(queries) == 0
        queries.encode(TEXTS)
        assert np.array_equal(queries.vectors(TEXTS), -FakeEncoder().encode(TEXTS))
    assert other_teachers(tmp_path, first) == ["second"]


@pytest.mark.parametrize("kept", [(17, 16), (16, 17), (16, 16)])
def test_a_torn_end_is_cut_off(tmp_path, kept):
    """As after kill -9: vectors without keys, or a part of either."""
    with TeacherVectors(tmp_path, Counting()) as cache:
        cache.encode(TEXTS)
    (vectors,) = tmp_path.glob("*.vectors")
    (keys,) = tmp_path.glob("*.keys")
    with vectors.open("r+b") as file:
        file.truncate(kept[0] * 128 + 5)
    with keys.open("r+b") as file:
        file.truncate(kept[1] * 16 + 3)
    teacher = Counting()
    with TeacherVectors(tmp_path, teacher) as cache:
        assert len(cache) == 16
        cache.encode(TEXTS)
        assert np.array_equal(cache.vectors(TEXTS), FakeEncoder().encode(TEXTS))
    assert len(teacher.seen) == 34


def test_a_teacher_that_fails_leaves_what_it_made(tmp_path):
    by_length = sorted(TEXTS, key=len, reverse=True)
    failing = Counting(by_length[-1])
    with (
        TeacherVectors(tmp_path, failing) as cache,
        pytest.raises(TeacherFailedError, match=r"MemoryError: no room; \d+ vectors are stored"),
    ):
        cache.encode(TEXTS)
    kept = len(failing.seen)
    assert kept
    teacher = Counting()
    with TeacherVectors(tmp_path, teacher) as cache:
        cache.encode(TEXTS)
    assert len(teacher.seen) == 50 - kept


def test_wrong_vectors_are_refused(tmp_path):
    class Broken(FakeEncoder):
        def encode(self, texts):
            return super().encode(texts) * np.nan

    class Short(FakeEncoder):
        def encode(self, texts):
            return super().encode(texts)[1:]

    for teacher, message in ((Broken(), "not finite"), (Short(), r"shape \(15, 32\) for 16")):
        with (
            TeacherVectors(tmp_path, teacher) as cache,
            pytest.raises(InvalidModelError, match=message),
        ):
            cache.encode(TEXTS)
    assert not len(cache)


def test_one_process_at_a_time_writes(tmp_path):
    with (
        TeacherVectors(tmp_path, Counting()),
        pytest.raises(StorageError, match=r"process .* is encoding texts by the same teacher"),
        TeacherVectors(tmp_path, Counting()),
    ):
        pass
    with TeacherVectors(tmp_path, Counting()) as cache:
        cache.encode(TEXTS)


def test_time_that_is_up_ends_the_work_and_progress_is_told(tmp_path):
    shown = []
    with TeacherVectors(tmp_path, Counting()) as cache:
        assert cache.encode(TEXTS, until=time.monotonic() - 1) == 0
        cache.encode(TEXTS, progress=shown.append)
    assert [one.done for one in shown][-1] == shown[-1].total == 50
    assert shown[0].done == 16
    assert shown[-1].left_s == 0
    assert str(shown[-1]) == "50 of 50 texts, 0:00 left"


def test_a_time_limit_takes_all_where_it_can_and_nothing_where_it_is_over(tmp_path):
    counts = csr_array(np.eye(len(TEXTS), dtype=np.float32))
    with TeacherVectors(tmp_path, Counting()) as cache:
        assert not encode_within(cache, TEXTS, counts, minutes=0).any()
        assert encode_within(cache, TEXTS, counts, minutes=10).all()
        assert encode_within(cache, TEXTS, counts, minutes=0).all()  # they are stored


def test_a_time_limit_ends_within_a_choice(tmp_path, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])

    class Slow(Counting):
        def encode(self, texts):
            clock[0] += len(texts)  # one second for each text
            return super().encode(texts)

    texts = [f"text number {n} of the sea" for n in range(100, 900)]
    counts = csr_array(np.eye(len(texts), dtype=np.float32))
    with TeacherVectors(tmp_path, Slow()) as cache:
        have = encode_within(cache, texts, counts, minutes=5)
        assert 300 <= have.sum() <= 400
        assert have.sum() == len(cache)
