"""IngestReport: figures that add up, for a person and for a program."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from qdrant_static import IngestReport
from qdrant_static.collection.spec import Fields
from qdrant_static.ledger.records import UnreadableFile

TORN = (UnreadableFile(file="a.jsonl.gz", problem="cut off"),)


def report(**changes) -> IngestReport:
    values = {
        "collection": "c", "encoder": "fake", "fields": Fields(key="id", text=("title", "text")),
        "files": 2, "unreadable_files": 0, "read": 1500, "stored": 1400,
        "rejected": {"no_text": 60, "null_key": 40}, "rejects_path": Path("r.jsonl"),
        "left_out": (), "points_before": 0, "points_after": 1400,
        "seconds": {"load": 2.0, "index": 0.5},
    }  # fmt: skip
    return IngestReport(**{**values, **changes})


def test_the_summary_shows_the_sum():
    assert "read 1,500 = stored 1,400 + rejected 100" in str(report())


def test_the_summary_says_what_was_taken_and_where_the_rejects_are():
    text = str(report())
    for part in ("key id", "text title + text", "encoder fake", "1,400 points (0 before)",
                 "no_text 60, null_key 40", "details: r.jsonl", "750 rows/s"):  # fmt: skip
        assert part in text, part


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"read": 0, "stored": 0, "rejected": {}}, "the input has no rows"),
        ({"interrupted": True}, "interrupted: what is stored stays"),
        ({"unreadable_files": 2}, "files that could not be read to their end: 2"),
        ({"unreadable": TORN, "unreadable_files": 1}, "\n  a.jsonl.gz: cut off\n"),
        ({"not_deleted": 7}, "nothing was deleted: the 7 points"),
        ({"left_out": ("cover", "blob")}, "left out of the payload: cover, blob"),
        ({"fields": Fields(key=None, text=("t",))}, "digest of the text"),
        ({"seconds": {"load": 0.0}}, "index 0.0 s"),
    ],
)
def test_the_summary_says_what_is_out_of_the_ordinary(changes, part):
    assert part not in str(report())
    assert part in str(report(**changes))


def test_a_run_that_was_stopped_before_its_first_row_does_not_speak_of_an_empty_input():
    stopped = report(read=0, stored=0, rejected={}, interrupted=True)
    assert "has no rows" not in str(stopped)


def test_a_clean_run_speaks_of_no_rejects():
    text = str(report(read=5, stored=5, rejected={}, rejects_path=None))
    assert "read 5 = stored 5 + rejected 0" in text
    for part in ("rejected:", "details", "interrupted", "left out"):
        assert part not in text


def test_json_has_every_figure():
    data = json.loads(json.dumps(report(left_out=("b",)).to_dict()))
    assert data["read"] == data["stored"] + sum(data["rejected"].values())
    assert data["rejects_path"] == "r.jsonl"
    assert data["fields"] == {"key": "id", "text": ["title", "text"], "unstored": []}
    assert data["left_out"] == ["b"]
    assert data["interrupted"] is False
    assert json.loads(json.dumps(report(rejects_path=None).to_dict()))["rejects_path"] is None


BUILT = {"stored": 0, "built": 1400, "points_before": 0}


def test_what_is_built_and_not_shipped_is_not_called_stored():
    text = str(report(**BUILT, interrupted=True))
    for part in ("read 1,500 = built 1,400 + rejected 100", "built collection 'c': 1,400 points",
                 "what is built stays"):  # fmt: skip
        assert part in text, part
    assert "stored" not in text


def test_a_report_is_read_back_from_what_a_manifest_holds():
    given = report(**BUILT, shipment={"points": 3}, manifest=Path("m.json"), left_out=("b",),
                   notes=("n",))  # fmt: skip
    data = json.loads(json.dumps({**given.to_dict(), "version": 1, "inputs": []}))
    assert IngestReport.from_dict(data) == given


def test_the_summary_tells_of_the_shipment():
    shipment = {"sent_bytes": 2_500_000, "proofs": [{"name": "count"}, {"name": "ids"}]}
    text = str(report(seconds={"load": 2.0, "ship": 3.5}, shipment=shipment))
    assert "ship 3.5 s" in text
    assert "shipped: 2.5 MB; proved: count, ids" in text
    assert "shipped: it was there already" in str(report(shipment={"sent_bytes": 0}))
    assert "ship" not in str(report())


def test_notes_are_in_the_summary_and_in_json():
    noted = report(notes=("a column is gone",))
    assert "note: a column is gone" in str(noted)
    assert noted.to_dict()["notes"] == ["a column is gone"]
    assert "note" not in str(report())


def test_a_manifest_of_an_earlier_version_has_no_notes():
    data = report().to_dict()
    del data["notes"]
    assert IngestReport.from_dict(data).notes == ()


def test_the_rate_is_of_this_attempts_rows():
    assert "100 rows/s" in str(report(earlier=1300))
    told = str(report(earlier=1500))
    assert "rows/s" not in told
    assert "load 2.0 s; index" in told
