"""The main path, end to end: files in, points out, and a sum that adds up."""

from __future__ import annotations

import json
import signal
import threading

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from qdrant_static import (
    CollectionSpec,
    EdgeClient,
    IngestReport,
    Migration,
    RunOptions,
    SourceOptions,
    create_collection,
    ingest,
    load_encoder,
    search,
)
from qdrant_static.clients.aliases import point_alias
from qdrant_static.clients.indexing import IndexProgress
from qdrant_static.collection.create import read_spec
from qdrant_static.collection.spec import Fields, SparseSpec
from qdrant_static.edge import indexbuild
from qdrant_static.encoders.sparse import Bm25Encoder
from qdrant_static.errors import (
    ArgumentError,
    CollectionNameError,
    ColumnNotFoundError,
    EncoderMismatchError,
    PointError,
    SourceNotFoundError,
    SpecMismatchError,
    VerificationError,
)
from qdrant_static.ids import point_id, text_key
from qdrant_static.ingestion import finishing
from qdrant_static.journal.changes import Record
from qdrant_static.journal.livewriter import LiveWriter
from qdrant_static.reading.options import Passages
from qdrant_static.sinks import sink
from qdrant_static.vectors import truncate
from tests.fakes import FakeEncoder, build_static_model, write_jsonl


def adds_up(report: IngestReport) -> bool:
    return report.read == report.stored + sum(report.rejected.values())


def rejects(report: IngestReport) -> list[dict]:
    return [json.loads(line) for line in report.rejects_path.read_text().splitlines()]


def everything(client, collection="c", **options) -> dict:
    records, offset = client.scroll(collection, limit=10_000, **options)
    assert offset is None
    return {record.id: record for record in records}


def rows(count: int, start: int = 0) -> list[dict]:
    return [{"id": n, "title": f"title {n}", "text": f"the text of row {n % 7}", "n": n}
            for n in range(start, start + count)]  # fmt: skip


# --- what is stored --------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["jsonl", "gz", "parquet", "folder", "glob"])
def test_every_form_of_input_gives_the_same_points(client, encoder, tmp_path, kind):
    (tmp_path / "in").mkdir()
    if kind == "parquet":
        given = tmp_path / "in" / "a.parquet"
        pq.write_table(pa.Table.from_pylist(rows(2500)), given, row_group_size=800)
    elif kind in ("folder", "glob"):
        write_jsonl(tmp_path / "in" / "a.jsonl", rows(1000))
        write_jsonl(tmp_path / "in" / "b.ndjson.gz", rows(1000, 1000))
        pq.write_table(pa.Table.from_pylist(rows(500, 2000)), tmp_path / "in" / "c.parquet")
        given = tmp_path / "in" if kind == "folder" else f"{tmp_path}/in/*"
    else:
        name = "a.jsonl.gz" if kind == "gz" else "a.jsonl"
        given = write_jsonl(tmp_path / "in" / name, rows(2500))
    spec = CollectionSpec.for_encoder(encoder, matryoshka=(8,))
    report = ingest(
        client, "c", given, spec=spec, encoder=encoder, run_options=RunOptions(threads=3)
    )

    assert (report.read, report.stored, dict(report.rejected)) == (2500, 2500, {})
    assert (report.points_before, report.points_after, report.interrupted) == (0, 2500, False)
    assert (report.files, report.unreadable_files) == (3 if kind in ("folder", "glob") else 1, 0)
    assert report.rejects_path is None
    assert report.fields == Fields(key="id", text=("title", "text"))
    state = tmp_path / "db" / "_state" / "c"
    assert {file.name for file in state.iterdir()} == {"ledger.sqlite", "lock", "manifest-1.json"}

    stored = everything(client, with_vectors=True)
    assert set(stored) == set(range(2500))
    texts = [f"title {n} the text of row {n % 7}" for n in range(2500)]
    full = encoder.encode(texts)
    small = truncate(full, 8)
    terms = Bm25Encoder(avg_len=read_spec(client, "c").sparse.mean_length)
    for n in (0, 1, 999, 1000, 2499):
        record = stored[n]
        assert record.payload == rows(1, n)[0]
        assert np.allclose(record.vector["full"], full[n], atol=1e-6)
        assert np.allclose(record.vector["mrl_8"], small[n], atol=1e-6)
        (expected,) = terms.encode_documents([texts[n]])
        assert dict(
            zip(record.vector["bm25"].indices, record.vector["bm25"].values, strict=True)
        ) == pytest.approx(dict(zip(expected.indices, expected.values, strict=True)))


def test_point_ids_are_made_from_the_keys(client, encoder, tmp_path):
    keys = [5, -5, "5", "a", "3f0c9d2e-6a57-5b0e-9f43-7f1f0d1c5a11", 2**64 - 1]
    path = write_jsonl(tmp_path / "a.jsonl", [{"id": key, "text": "x"} for key in keys])
    report = ingest(client, "c", path, encoder=encoder)
    assert report.stored == len(keys)
    stored = everything(client)
    assert {one: record.payload["id"] for one, record in stored.items()} == {
        point_id(key): key for key in keys
    }


def test_without_a_key_the_text_is_the_key(client, encoder, tmp_path):
    path = write_jsonl(tmp_path / "a.jsonl", [{"text": "one"}, {"text": "two"}, {"text": "one"}])
    report = ingest(client, "c", path, encoder=encoder)
    assert (report.stored, dict(report.rejected)) == (2, {"duplicate_key": 1})
    assert set(everything(client)) == {point_id(text_key("one")), point_id(text_key("two"))}
    assert report.fields == Fields(key=None, text=("text",))


def test_the_payload_is_what_was_asked_for_and_the_key_always(client, encoder, tmp_path):
    path = write_jsonl(tmp_path / "a.jsonl", [{"doi": "a", "body": "x", "n": 1, "m": 2}])
    report = ingest(
        client,
        "c",
        path,
        encoder=encoder,
        key="doi",
        text="body",
        source_options=SourceOptions(payload=("n",)),
    )
    assert [r.payload for r in everything(client).values()] == [{"doi": "a", "n": 1}]
    assert report.fields == Fields(key="doi", columns=("body",), unstored=("body",))


def test_binary_columns_are_left_out_and_said(client, encoder, tmp_path, capsys):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"id": [1], "text": ["x"], "cover": [b"\x00"]}), path)
    report = ingest(client, "c", path, encoder=encoder, progress=True)
    assert report.left_out == ("cover",)
    assert [r.payload for r in everything(client).values()] == [{"id": 1, "text": "x"}]
    assert capsys.readouterr().err.count("'cover' is binary") == 1


def test_a_text_without_known_words_or_terms_is_stored_all_the_same(client, encoder, tmp_path):
    path = write_jsonl(tmp_path / "a.jsonl", [{"id": 1, "text": "the"}, {"id": 2, "text": "!"}])
    report = ingest(client, "c", path, encoder=encoder)
    assert report.stored == 2
    assert set(everything(client)) == {1, 2}


def test_the_mean_length_is_measured_once_and_kept(client, encoder, tmp_path):
    first = write_jsonl(tmp_path / "a.jsonl", [{"id": 1, "text": "moon tide sea"}])
    second = write_jsonl(tmp_path / "b.jsonl", [{"id": 2, "text": "ash " * 50}])
    ingest(client, "c", first, encoder=encoder)
    assert read_spec(client, "c").sparse.mean_length == 3.0
    ingest(client, "c", second, encoder=encoder)
    assert read_spec(client, "c").sparse.mean_length == 3.0


def test_progress_goes_to_standard_error_and_announces_the_index(client, encoder, tmp_path, capsys):
    path = write_jsonl(tmp_path / "a.jsonl", rows(10))
    ingest(client, "c", path, encoder=encoder, progress=True)
    out, err = capsys.readouterr()
    assert out == ""
    assert "stored=10" in err
    assert "index: building it for 10 new rows" in err
    ingest(client, "c", path, encoder=encoder)
    assert capsys.readouterr() == ("", "")


# --- what is not stored ----------------------------------------------------------------------

BAD = [
    (b'{"id": "torn", "text": "a', "not_json"),
    (b'{"id": "nan", "text": "a", "x": NaN}', "not_json"),
    (b'{"id": "deep", "text": "a", "x": ' + b"[" * 5000 + b"]" * 5000 + b"}", "wrong_type"),
    (b'["a", "list"]', "not_an_object"),
    (b'{"id": "latin", "text": "caf\xe9"}', "not_unicode"),
    (b'{"id": "half", "text": "\\ud800"}', "not_unicode"),
    (b'{"id": "none"}', "no_text"),
    (b'{"id": "null", "text": null}', "no_text"),
    (b'{"id": "blank", "text": "  \\t"}', "no_text"),
    (b'{"text": "without a key"}', "null_key"),
    (b'{"id": null, "text": "null key"}', "null_key"),
    (b'{"id": 1.5, "text": "a float"}', "wrong_type"),
    (b'{"id": "number", "text": 17}', "wrong_type"),
    (b'{"id": "big", "text": "a", "x": 1180591620717411303424}', "wrong_type"),
    (b'{"id": 7, "text": "a key that came before"}', "duplicate_key"),
]


def test_a_thousand_good_lines_and_one_of_each_bad_kind_add_up(client, encoder, tmp_path):
    """The issue's "Must show", no. 4; the lines over 64 MiB are in unit/test_jsonl.py."""
    lines = [json.dumps(row) for row in rows(1000)]
    where = {}
    for number, (line, reason) in enumerate(BAD):
        position = 30 + 60 * number
        lines.insert(position, line)
        where[position + 1] = reason
    path = write_jsonl(tmp_path / "a.jsonl", lines)
    report = ingest(client, "c", path, encoder=encoder)

    assert (report.read, report.stored) == (1015, 1000)
    assert dict(report.rejected) == {
        "duplicate_key": 1, "no_text": 3, "not_an_object": 1, "not_json": 2, "not_unicode": 2,
        "null_key": 2, "wrong_type": 4,
    }  # fmt: skip
    assert adds_up(report)
    assert report.unreadable_files == 0
    assert client.count("c", exact=True).count == report.points_after == 1000
    assert "read 1,015 = stored 1,000 + rejected 15" in str(report)

    assert report.rejects_path.parent == tmp_path / "db" / "_state" / "c"
    assert {one["line"]: one["reason"] for one in rejects(report)} == where
    for one in rejects(report):
        assert set(one) == {"reason", "message", "file", "line", "value", "options"}
        assert one["file"] == str(path)
        assert one["message"]
    duplicate = next(one for one in rejects(report) if one["reason"] == "duplicate_key")
    assert duplicate["value"] == {"id": 7, "text": "a key that came before"}
    assert everything(client)[7].payload["text"] == "the text of row 0"


def test_the_rejects_of_parquet_have_their_rows(client, encoder, tmp_path):
    path = tmp_path / "a.parquet"
    table = pa.table(
        {"id": pa.array([1, None, 3, 1]), "text": ["a", "b", " ", "again"], "n": [1, 2, 3, 4]}
    )
    pq.write_table(table, path)
    report = ingest(
        client,
        "c",
        path,
        encoder=encoder,
        run_options=RunOptions(rejects=tmp_path / "mine" / "r.jsonl"),
    )
    assert (report.read, report.stored) == (4, 1)
    assert report.rejects_path == tmp_path / "mine" / "r.jsonl"
    assert [(one["row"], one["reason"]) for one in rejects(report)] == [
        (1, "null_key"), (2, "no_text"), (3, "duplicate_key"),
    ] or sorted((one["row"], one["reason"]) for one in rejects(report)) == [
        (1, "null_key"), (2, "no_text"), (3, "duplicate_key"),
    ]  # fmt: skip
    assert adds_up(report)


def test_a_key_is_a_duplicate_across_files_and_batches(client, encoder, tmp_path):
    first = write_jsonl(tmp_path / "a.jsonl", rows(1500))
    second = write_jsonl(tmp_path / "b.jsonl", rows(10, 1495))
    report = ingest(client, "c", [first, second], encoder=encoder)
    assert (report.read, report.stored, dict(report.rejected)) == (1510, 1505, {"duplicate_key": 5})
    assert {one["file"] for one in rejects(report)} == {str(second)}


def test_the_number_and_the_string_of_it_are_two_keys(client, encoder, tmp_path):
    path = write_jsonl(tmp_path / "a.jsonl", [{"id": 1, "text": "x"}, {"id": "1", "text": "x"}])
    assert ingest(client, "c", path, encoder=encoder).stored == 2


def test_a_row_that_the_engine_refuses_is_rejected_alone(client, encoder, tmp_path, monkeypatch):
    def picky(name):
        method = getattr(client, name)

        def call(collection, points, **options):
            for one in points:
                if (identity := getattr(one, "id", one)) in (3, 5):
                    raise PointError(point=identity, problem="too odd")
            return method(collection, points, **options)

        monkeypatch.setattr(client, name, call)

    picky("upsert")
    picky("upsert_matrices")
    report = ingest(client, "c", write_jsonl(tmp_path / "a.jsonl", rows(10)), encoder=encoder)
    assert (report.read, report.stored, dict(report.rejected)) == (10, 8, {"refused": 2})
    assert set(everything(client)) == {0, 1, 2, 4, 6, 7, 8, 9}
    assert [(one["line"], one["message"]) for one in rejects(report)] == [
        (4, "too odd"), (6, "too odd"),
    ]  # fmt: skip


@pytest.mark.parametrize("depth", [130, 480, 900, 975])
def test_a_deeply_nested_row_does_not_spoil_the_collection(client, encoder, tmp_path, depth):
    deep = b'{"id": 1, "text": "moon", "x": ' + b"[" * depth + b"]" * depth + b"}"
    path = write_jsonl(tmp_path / "a.jsonl", [deep, deep, {"id": 2, "text": "moon tide"}])
    report = ingest(client, "c", path, encoder=encoder)
    assert adds_up(report)
    assert report.read == 3
    assert 2 in everything(client)


def test_files_that_cannot_be_read_are_outside_the_sum_and_the_others_go_on(
    client, encoder, tmp_path
):
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.parquet").write_bytes(b"PAR1 nothing")
    write_jsonl(folder / "b.jsonl", rows(5))
    torn = write_jsonl(folder / "c.jsonl.gz", rows(3000, 100))
    torn.write_bytes(torn.read_bytes()[:-2000])
    pq.write_table(pa.Table.from_pylist(rows(5, 10_000)), folder / "d.parquet")
    report = ingest(client, "c", folder, encoder=encoder)
    assert adds_up(report)
    assert report.unreadable_files == 2
    assert report.stored == report.points_after > 10
    assert {0, 4, 10_000, 10_004} <= set(everything(client))
    told = [one for one in rejects(report) if one["reason"] == "unreadable_file"]
    assert [one["file"] for one in told] == [str(folder / "a.parquet"), str(folder / "c.jsonl.gz")]


@pytest.mark.parametrize("content", ["", "\n\n"])
def test_an_empty_file_is_no_row_and_no_error(client, encoder, tmp_path, content):
    (tmp_path / "a.jsonl").write_text(content)
    report = ingest(client, "c", tmp_path / "a.jsonl", encoder=encoder)
    assert (report.read, report.stored, report.points_after) == (0, 0, 0)
    assert "the input has no rows" in str(report)
    assert client.collection_exists("c")


def test_a_collection_that_began_empty_takes_what_comes_later(client, encoder, tmp_path):
    (tmp_path / "a.jsonl").touch()
    ingest(client, "c", tmp_path / "a.jsonl", encoder=encoder)
    path = write_jsonl(tmp_path / "b.jsonl", [{"_id": 1, "text": "moon tide"}])
    ingest(client, "c", path, encoder=encoder)
    spec = read_spec(client, "c")
    assert (spec.fields, spec.sparse.mean_length) == (Fields(key="_id", text=("text",)), 2.0)


# --- again -----------------------------------------------------------------------------------


def test_running_it_again_is_harmless(client, encoder, tmp_path):
    path = write_jsonl(tmp_path / "a.jsonl", [*rows(1200), "torn"])
    first = ingest(client, "c", path, encoder=encoder)
    before = everything(client, with_vectors=True)
    again = ingest(client, "c", path, encoder=encoder, run_options=RunOptions(again=True))
    assert (again.points_before, again.points_after) == (1200, 1200)
    assert (again.read, again.stored, again.rejected) == (first.read, first.stored, first.rejected)
    after = everything(client, with_vectors=True)
    assert {k: (v.payload, v.vector["full"]) for k, v in after.items()} == {
        k: (v.payload, v.vector["full"]) for k, v in before.items()
    }


def test_changed_rows_replace_those_there_and_new_ones_come_beside(client, encoder, tmp_path):
    ingest(client, "c", write_jsonl(tmp_path / "a.jsonl", rows(10)), encoder=encoder)
    changed = [{"id": 3, "title": "new", "text": "words"}, {"id": 99, "title": "x", "text": "y"}]
    report = ingest(client, "c", write_jsonl(tmp_path / "b.jsonl", changed), encoder=encoder)
    assert (report.points_before, report.points_after) == (10, 11)
    assert everything(client)[3].payload == changed[0]


def test_a_collection_that_was_created_beforehand_is_filled(client, encoder, tmp_path):
    spec = CollectionSpec.for_encoder(encoder, sparse=None, payload_indexes={"n": "integer"})
    create_collection(client, "c", spec)
    path = write_jsonl(tmp_path / "a.jsonl", rows(3))
    ingest(client, "c", path, encoder=encoder)
    assert read_spec(client, "c") == spec.with_source(
        fields=Fields(key="id", text=("title", "text")), mean_length=None
    )
    ingest(client, "c", path, spec=spec, encoder=encoder)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"matryoshka": (16,)}, "vector mrl_16: is absent, wanted 16-d"),
        (
            {"matryoshka": ()},
            "vector mrl_8: is 8-d float32, turbo4, no graph, cached, wanted absent",
        ),
        (
            {"quantization": None},
            "vector full: quantization is turbo4, wanted none",
        ),
        ({"sparse": None}, "bm25: is english, stop words the language's own, ram, wanted absent"),
        (
            {"sparse": SparseSpec(language="german")},
            "bm25: language is english, wanted german",
        ),
        ({"payload_indexes": {"n": "integer"}}, "payload index n: is absent, wanted integer"),
    ],
)
def test_a_difference_to_what_is_there_is_named_and_nothing_changes(
    client, encoder, tmp_path, options, told
):
    path = write_jsonl(tmp_path / "a.jsonl", rows(3))
    spec = CollectionSpec.for_encoder(encoder, matryoshka=(8,))
    ingest(client, "c", path, spec=spec, encoder=encoder)
    before = read_spec(client, "c")
    other = CollectionSpec.for_encoder(encoder, **{"matryoshka": (8,), **options})
    more = write_jsonl(tmp_path / "b.jsonl", rows(3, 100))
    with pytest.raises(SpecMismatchError) as caught:
        ingest(client, "c", more, spec=other, encoder=encoder)
    assert told in caught.value.message
    assert "Nothing was changed" in caught.value.message
    assert read_spec(client, "c") == before
    assert client.count("c").count == 3


def test_all_differences_are_named_at_once(client, encoder, tmp_path):
    path = write_jsonl(tmp_path / "a.jsonl", rows(3))
    ingest(client, "c", path, encoder=encoder)
    other = CollectionSpec.for_encoder(encoder, matryoshka=(8,), sparse=None, quantization=None)
    with pytest.raises(SpecMismatchError) as caught:
        ingest(client, "c", path, spec=other, encoder=encoder)
    assert len(caught.value.differences) == 3


def test_other_text_columns_are_a_difference(client, encoder, tmp_path):
    path = write_jsonl(tmp_path / "a.jsonl", rows(3))
    ingest(client, "c", path, encoder=encoder)
    with pytest.raises(SpecMismatchError, match="filled from: is key=id text=title,text"):
        ingest(client, "c", path, encoder=encoder, text="title")


def test_another_encoder_is_an_error_that_names_both(client, encoder, tmp_path):
    path = write_jsonl(tmp_path / "a.jsonl", rows(3))
    ingest(client, "c", path, encoder=encoder)
    other = FakeEncoder("theirs", salt="x")
    for spec in (None, CollectionSpec.for_encoder(other)):
        with pytest.raises(EncoderMismatchError, match=r"'fake' \(.*'theirs' \("):
            ingest(client, "c", path, spec=spec, encoder=other)
    assert client.count("c").count == 3


def test_the_same_encoder_under_another_name_is_welcome(client, encoder, tmp_path):
    path = write_jsonl(tmp_path / "a.jsonl", rows(3))
    ingest(client, "c", path, encoder=encoder)
    assert ingest(client, "c", path, encoder=FakeEncoder("moved")).stored == 3


def test_a_new_collection_without_an_encoder_is_an_error(client, tmp_path):
    path = write_jsonl(tmp_path / "a.jsonl", rows(3))
    with pytest.raises(ArgumentError, match="is new: name an encoder"):
        ingest(client, "c", path)


def test_a_collections_own_encoder_is_loaded_by_its_name(client, model_folder, tmp_path):
    from qdrant_static import load_encoder

    path = write_jsonl(tmp_path / "a.jsonl", rows(3))
    ingest(client, "c", path, encoder=load_encoder(model_folder))
    assert ingest(client, "c", path).encoder == str(model_folder)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"source": "none.jsonl"}, SourceNotFoundError),
        ({"key": "doi"}, ColumnNotFoundError),
        ({"text": "body"}, ColumnNotFoundError),
        ({"collection": "a/b"}, CollectionNameError),
        ({"encoder": FakeEncoder("theirs", salt="x")}, EncoderMismatchError),
    ],
)
def test_wrong_usage_is_an_error_before_anything_is_made(client, encoder, tmp_path, options, error):
    arguments = {
        "source": write_jsonl(tmp_path / "a.jsonl", rows(3)), "client": client, "collection": "c",
        "spec": CollectionSpec.for_encoder(encoder), "encoder": encoder, **options,
    }  # fmt: skip
    with pytest.raises(error):
        ingest(**arguments)
    assert not (tmp_path / "db").exists()


def test_an_input_is_never_overwritten_by_the_rejects(client, encoder, tmp_path):
    path = write_jsonl(tmp_path / "a.jsonl", [*rows(3), "torn"])
    before = path.read_bytes()
    with pytest.raises(ArgumentError, match="rejects"):
        ingest(
            client,
            "c",
            path,
            encoder=encoder,
            run_options=RunOptions(rejects=tmp_path / "in" / ".." / "a.jsonl"),
        )
    assert path.read_bytes() == before


def test_the_payload_may_be_one_name_as_the_text_may(client, encoder, tmp_path):
    path = write_jsonl(tmp_path / "a.jsonl", rows(1))
    ingest(client, "c", path, encoder=encoder, source_options=SourceOptions(payload="n"))
    assert everything(client)[0].payload == {"id": 0, "n": 0}


def test_a_language_that_bm25_does_not_know_is_an_error_before_anything_is_made(
    client, encoder, tmp_path
):
    spec = CollectionSpec.for_encoder(encoder, sparse=SparseSpec(language="klingon"))
    path = write_jsonl(tmp_path / "a.jsonl", rows(3))
    with pytest.raises(ArgumentError, match="klingon"):
        ingest(client, "c", path, spec=spec, encoder=encoder)
    assert not client.collection_exists("c")


# --- stopped, broken -------------------------------------------------------------------------


class SettingEncoder(FakeEncoder):
    """Sets an event at its n-th batch."""

    def __init__(self, event: threading.Event, batch: int) -> None:
        super().__init__()
        self._event = event
        self._left = batch
        self._guard = threading.Lock()

    def encode(self, texts):
        with self._guard:
            self._left -= 1
            if not self._left:
                self._event.set()
        return super().encode(texts)


def test_a_stop_ends_the_run_with_a_sum_that_adds_up(client, tmp_path):
    stop = threading.Event()
    path = write_jsonl(tmp_path / "a.jsonl", [*["torn"] * 10, *rows(12_000)])
    report = ingest(
        client,
        "c",
        path,
        encoder=SettingEncoder(stop, 3),
        stop=stop,
        run_options=RunOptions(threads=1),
    )
    assert report.interrupted
    assert 0 < report.stored < 12_000
    assert adds_up(report)
    assert report.rejected == {"not_json": 10}
    assert report.stored == report.points_after == client.count("c").count
    assert "interrupted: what is stored stays" in str(report)
    assert [one.name for one in threading.enumerate() if one.name.startswith(("enc", "read"))] == []

    rest = ingest(client, "c", path, encoder=FakeEncoder())
    assert (rest.interrupted, rest.points_after) == (False, 12_000)


def test_a_stop_before_the_start_stores_nothing(client, encoder, tmp_path):
    stop = threading.Event()
    stop.set()
    path = write_jsonl(tmp_path / "a.jsonl", rows(5000))
    report = ingest(client, "c", path, encoder=encoder, stop=stop)
    assert (report.interrupted, report.read, report.stored) == (True, 0, 0)


class BrokenEncoder(FakeEncoder):
    def encode(self, texts):
        if "row 5" in " ".join(texts) and "title 2005 " in " ".join(texts):
            raise RuntimeError("the encoder broke")
        return super().encode(texts)


def test_an_error_of_the_encoder_comes_out_and_what_was_acknowledged_stays(client, tmp_path):
    path = write_jsonl(tmp_path / "a.jsonl", rows(5000))
    with pytest.raises(RuntimeError, match="the encoder broke"):
        ingest(client, "c", path, encoder=BrokenEncoder(), run_options=RunOptions(threads=2))
    assert client.count("c").count == 2000
    assert [one.name for one in threading.enumerate() if one.name.startswith(("enc", "read"))] == []
    assert ingest(client, "c", path, encoder=FakeEncoder()).points_after == 5000


def test_another_writers_deletion_is_found_by_the_exact_count(
    client, encoder, tmp_path, monkeypatch
):
    path = write_jsonl(tmp_path / "a.jsonl", rows(10))

    def build_and_lose(client, collection, **_options):
        client.delete(collection, [3])

    monkeypatch.setattr(finishing, "build_index", build_and_lose)
    with pytest.raises(VerificationError, match="9 points after 0 before and 10 acknowledged"):
        ingest(client, "c", path, encoder=encoder)


def test_rows_are_never_all_in_memory(client, tmp_path, monkeypatch):
    """At most one batch per thread is encoded, one waits per thread, and two are in hands."""
    made = written = most = 0
    from qdrant_static.reading import jsonl

    read = jsonl.read

    def counting(*arguments):
        nonlocal made, most
        for item in read(*arguments):
            made += 1
            most = max(most, made - written)
            yield item

    store = sink.store

    def slow(*arguments):
        nonlocal written
        refused = store(*arguments)
        written += 1
        return refused

    monkeypatch.setattr(jsonl, "read", counting)
    monkeypatch.setattr(sink, "store", slow)
    monkeypatch.setattr(jsonl, "MAX_ROWS", 20)
    spec = CollectionSpec.for_encoder(FakeEncoder(), sparse=None)
    path = write_jsonl(tmp_path / "a.jsonl", rows(2000))
    report = ingest(
        client, "c", path, spec=spec, encoder=FakeEncoder(), run_options=RunOptions(threads=2)
    )
    assert (report.stored, made) == (2000, 100)
    assert most <= 10


@pytest.mark.parametrize("threads", [0, -1])
def test_a_number_of_threads_that_cannot_be_is_an_error_that_names_it(
    client, encoder, tmp_path, threads
):
    path = write_jsonl(tmp_path / "a.jsonl", rows(3))
    with pytest.raises(ArgumentError, match="threads"):
        ingest(client, "c", path, encoder=encoder, run_options=RunOptions(threads=threads))


@pytest.mark.filterwarnings(  # the client's own, about its imitation of a server
    "ignore:Local mode performs exact:UserWarning", "ignore:Payload indexes have no effect"
)
def test_a_client_in_memory_takes_it_too(tmp_path, encoder, monkeypatch):
    from qdrant_static import connect, search

    monkeypatch.chdir(tmp_path)
    client = connect(":memory:")
    spec = CollectionSpec.for_encoder(encoder, quantization=None)
    path = write_jsonl(tmp_path / "a.jsonl", [*rows(20), "torn"])
    report = ingest(client, "c", path, spec=spec, encoder=encoder)
    assert (report.stored, report.points_after) == (20, 20)
    assert report.rejects_path.parts[0] == "qdrant-static-state"
    hits = search(client, "c", "title 7", encoder=encoder, plan="exact", limit=1)
    assert hits[0].key == 7
    client.close()


def test_one_client_can_be_used_for_several_collections(encoder, tmp_path):
    path = write_jsonl(tmp_path / "a.jsonl", rows(3))
    with EdgeClient(tmp_path / "db") as client:
        for name in ("a", "b"):
            ingest(client, name, path, encoder=encoder)
        assert [client.count(name).count for name in ("a", "b")] == [3, 3]


def test_a_watched_build_happens_in_another_process_and_is_shown(
    client, encoder, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(finishing, "WATCHED_BUILD_ROWS", 1)
    path = write_jsonl(tmp_path / "a.jsonl", rows(50))
    report = ingest(client, "c", path, encoder=encoder, progress=True)
    assert (report.stored, report.points_after, report.interrupted) == (50, 50, False)
    assert "MB on disk" in capsys.readouterr().err


def test_a_stop_ends_the_building_of_an_index_and_the_next_run_builds_it(
    client, encoder, tmp_path, monkeypatch
):
    monkeypatch.setattr(finishing, "WATCHED_BUILD_ROWS", 1)
    stop = threading.Event()
    monkeypatch.setattr(indexbuild, "_POLL_S", 0.001)
    given = []

    def begun(*_args, **_options):
        given.append(popen(*_args, **_options))
        stop.set()
        return given[-1]

    popen = indexbuild.subprocess.Popen
    monkeypatch.setattr(indexbuild.subprocess, "Popen", begun)
    path = write_jsonl(tmp_path / "a.jsonl", rows(5))
    report = ingest(client, "c", path, encoder=encoder, stop=stop)
    assert (report.stored, report.points_after, report.interrupted) == (5, 5, True)
    assert given[0].returncode == -signal.SIGKILL
    monkeypatch.undo()
    report = ingest(client, "c", path, encoder=encoder)
    assert (report.stored, report.attempts, report.interrupted) == (5, 2, False)
    assert report.seconds["index"] > 0


def test_a_stop_ends_the_waiting_for_a_servers_indexes(client, encoder, tmp_path, monkeypatch):
    stop = threading.Event()

    def waited_for(*_args, waiting, **_options):
        waiting(IndexProgress(ready=False, status="yellow"))
        stop.set()
        waiting(IndexProgress(ready=False, status="yellow"))
        raise AssertionError("it went on")

    monkeypatch.setattr(finishing, "build_index", waited_for)
    path = write_jsonl(tmp_path / "a.jsonl", rows(5))
    report = ingest(client, "c", path, encoder=encoder, stop=stop)
    assert (report.stored, report.interrupted) == (5, True)


def test_what_is_to_stop_does_not_begin_an_index(client, encoder, tmp_path):
    stop = threading.Event()
    path = write_jsonl(tmp_path / "a.jsonl", rows(5))

    def late(finish, *args):
        stop.set()
        return original(finish, *args)

    original = finishing.Finish.build_index
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(finishing.Finish, "build_index", late)
        patch.setattr(finishing, "build_index", None)  # calling it would fail
        assert ingest(client, "c", path, encoder=encoder, stop=stop).interrupted


def test_a_stop_while_another_process_builds_is_an_interruption_and_no_error(
    client, encoder, tmp_path, monkeypatch
):
    from qdrant_static.errors import EngineError

    stop = threading.Event()

    def killed(*_args, **_options):
        stop.set()
        raise EngineError(operation="building", problem="it ended with code -2")

    monkeypatch.setattr(finishing, "build_index", killed)
    path = write_jsonl(tmp_path / "a.jsonl", rows(5))
    report = ingest(client, "c", path, encoder=encoder, stop=stop)
    assert (report.stored, report.points_after, report.interrupted) == (5, 5, True)


def test_an_encoder_may_be_given_by_its_name_everywhere(client, tmp_path, model_folder):
    name = str(model_folder)
    path = write_jsonl(tmp_path / "a.jsonl", [{"id": n, "text": "the cat " * n} for n in (1, 2, 3)])
    spec = CollectionSpec.for_encoder(name, quantization=None)
    assert spec.encoder.dimension == 32
    ingest(client, "c__v1", path, encoder=name, spec=spec)
    assert search(client, "c__v1", "cat", encoder=name, plan="exact")[0].score > 0.5
    point_alias(client, "c", "c__v1")
    with Migration(client, "c", encoders=name) as migration:
        assert migration.start(name, frozen=True).stored == 3
    with LiveWriter(client, "c", encoders=[name]) as writer:
        assert writer.upsert(Record(key=9, text="the dog")) == 1
    with pytest.raises(ArgumentError, match="an object of type dict is not an encoder"):
        ingest(client, "d", path, encoder={})


def test_passages_hold_no_more_than_the_encoder_reads(client, tmp_path):
    folder = build_static_model(tmp_path / "m", max_length=16)
    encoder = load_encoder(folder)
    text = "zebra the cat " + "x" * 200 + " of the sea" * 30  # unknown words count, and are long
    path = write_jsonl(tmp_path / "a.jsonl", [{"id": 1, "text": text}])
    report = ingest(client, "c", path, encoder=encoder, passages=Passages(tokens=100))
    told = f"passages have 16 tokens, not 100: {str(folder)!r} reads no more of a text"
    assert report.notes[0] == told
    stored = sorted(everything(client).values(), key=lambda one: one.payload["passage"])
    texts = [one.payload["text"] for one in stored]
    assert "".join(texts) == text
    assert max(map(len, texts)) <= encoder.max_characters
    for one in texts:
        assert len(encoder.tokenizer.encode(one, add_special_tokens=False).ids) <= 16
    again = ingest(
        client,
        "c",
        path,
        encoder=encoder,
        passages=Passages(tokens=100),
        run_options=RunOptions(sync=True),
    )
    assert again.unchanged == 1


def test_texts_without_spaces_are_found_by_their_words(client, encoder, tmp_path):
    texts = [
        "\u6211\u559c\u6b22\u5403\u82f9\u679c",
        "\u6708\u306f\u6d77\u3092\u6301\u3061\u4e0a\u3052\u308b",
    ]
    path = write_jsonl(
        tmp_path / "a.jsonl", [{"id": n, "text": text} for n, text in enumerate(texts)]
    )
    for name, sparse in (("e", SparseSpec()), ("c", SparseSpec(language="chinese"))):
        spec = CollectionSpec.for_encoder(encoder, sparse=sparse)
        report = ingest(client, name, path, encoder=encoder, spec=spec)
        assert "BM25 uses the tokenizer 'multilingual'" in " ".join(report.notes)
        assert read_spec(client, name).sparse.tokenizer == "multilingual"
        (hit,) = search(client, name, "\u82f9\u679c", plan="bm25")
        assert hit.key == 0
        (hit,) = search(client, name, "\u6d77", plan="bm25")
        assert hit.key == 1
    again = ingest(client, "c", path, encoder=encoder, spec=spec, run_options=RunOptions(sync=True))
    assert again.unchanged == 2
    asked = CollectionSpec.for_encoder(encoder, sparse=SparseSpec(tokenizer="word"))
    with pytest.raises(SpecMismatchError, match="bm25: tokenizer is multilingual, wanted word"):
        ingest(client, "e", path, encoder=encoder, spec=asked)


def test_a_title_that_comes_after_the_first_records_is_told_once(client, encoder, tmp_path):
    write_jsonl(tmp_path / "a.jsonl", [{"id": 1, "text": "one"}])
    for number, name in ((2, "b"), (3, "c")):
        write_jsonl(tmp_path / f"{name}.jsonl", [{"id": number, "text": "t", "title": "T"}])
    report = ingest(client, "c", tmp_path, encoder=encoder)
    (note,) = (note for note in report.notes if "title" in note)
    assert f"{tmp_path / 'b.jsonl'}, line 1, has 'title'" in note
