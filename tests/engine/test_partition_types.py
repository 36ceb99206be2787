"""Columns that come from folders' names keep the types that the collection has."""

from __future__ import annotations

import pytest

from qdrant_static import CollectionSpec, RunOptions, ingest
from qdrant_static.reading.options import SourceOptions
from tests.fakes import write_jsonl


@pytest.fixture
def lake(tmp_path):
    return tmp_path / "lake"


def put(lake, folder: str, key: int) -> None:
    (lake / folder).mkdir(parents=True)
    write_jsonl(lake / folder / "a.jsonl", [{"id": key, "text": f"text {key}"}])


def field(client, name: str = "n") -> dict:
    points, _ = client.scroll("c", limit=100)
    return {point.id: point.payload.get(name) for point in points}


def test_syncing_one_folder_keeps_its_column(client, encoder, lake):
    put(lake, "n=1", 1)
    put(lake, "n=2", 2)
    ingest(client, "c", lake, encoder=encoder)
    report = ingest(client, "c", lake / "n=2", encoder=encoder, run_options=RunOptions(sync=True))
    assert (report.unchanged, report.payload_updated) == (1, 0)
    assert field(client) == {1: 1, 2: 2}


@pytest.mark.parametrize("when", ["at once", "later"])
def test_under_an_index_a_folder_of_another_type_rejects_its_rows(client, encoder, lake, when):
    put(lake, "n=1", 1)
    spec = CollectionSpec.for_encoder(encoder, payload_indexes={"n": "integer"})
    if when == "later":
        ingest(client, "c", lake, spec=spec, encoder=encoder)
    put(lake, "n=unknown", 2)
    put(lake, "n=03", 3)
    report = ingest(
        client, "c", lake, spec=spec, encoder=encoder, run_options=RunOptions(sync=True)
    )
    assert report.rejected == {"wrong_type": 1}
    assert field(client) == {1: 1, 3: 3}


def test_without_an_index_a_new_folder_changes_no_other(client, encoder, lake):
    put(lake, "n=1", 1)
    ingest(client, "c", lake, encoder=encoder)
    put(lake, "n=unknown", 2)
    report = ingest(client, "c", lake, encoder=encoder, run_options=RunOptions(sync=True))
    assert (report.unchanged, report.stored) == (1, 1)
    assert field(client) == {1: 1, 2: "unknown"}


def test_strings_stay_strings_under_a_new_name_too(client, encoder, lake):
    put(lake, "n=1", 1)
    put(lake, "n=x", 2)
    options = SourceOptions(rename={"n": "of"})
    ingest(client, "c", lake, encoder=encoder, source_options=options)
    ingest(
        client,
        "c",
        lake / "n=1",
        encoder=encoder,
        source_options=options,
        run_options=RunOptions(sync=True),
    )
    assert field(client, "of") == {1: "1", 2: "x"}
