"""A transformer at ingest: one batch at a time, and a display that says what takes long."""

from __future__ import annotations

import pytest

from qdrant_static.encoders.loading import load_folder
from qdrant_static.encoders.threads import core_count
from qdrant_static.ingestion.loading import _why_slow
from qdrant_static.ingestion.pipeline import _threads
from tests.fakes import FakeEncoder


class Slow(FakeEncoder):
    uses_all_cores = True


@pytest.mark.parametrize("embedded", [True, False])
def test_an_encoder_that_uses_all_cores_gets_one_batch_at_a_time(embedded):
    assert _threads(Slow(), embedded=embedded) == 1


def test_any_other_encoder_gets_a_thread_for_each_core():
    assert _threads(FakeEncoder(), embedded=False) == core_count()
    assert _threads(FakeEncoder(), embedded=True) == max(1, core_count() - 1)


def test_the_display_names_what_takes_long(model_folder):
    assert _why_slow(Slow("onnx:bge")) == "encoding the first rows by onnx:bge ..."
    assert "kernels" in _why_slow(load_folder(model_folder))
