"""What encodes texts again makes those that were encoded, or says by name why it cannot."""

from __future__ import annotations

import numpy as np
import pytest

from qdrant_static import CollectionSpec, LiveWriter, Migration, Record, ingest
from qdrant_static.clients.aliases import point_alias
from qdrant_static.collection.applydiff import apply
from qdrant_static.collection.create import read_spec
from qdrant_static.collection.diff import diff
from qdrant_static.collection.passes import default_plan
from qdrant_static.collection.spec import METADATA_KEY
from qdrant_static.collection.specfile import spec_from_toml, spec_to_toml
from qdrant_static.errors import ArgumentError, SpecMismatchError
from qdrant_static.ingestion.verify import verify
from qdrant_static.measuring.quantize import quantize
from qdrant_static.measuring.queries import of_points
from qdrant_static.migration.addvector import add_vector
from qdrant_static.reading.fromcollection import open_collection_source
from qdrant_static.reading.options import Passages, SourceOptions
from tests.fakes import FakeEncoder, grouped, write_jsonl

SAME, OTHER = FakeEncoder(), FakeEncoder(salt="other")
ROWS = [
    {"id": n, "title": f"row {n}", "meta": {"body": body}, "note": note, "year": 2000 + n}
    for n, (body, note) in enumerate(
        [("cat sea", "red"), ("dog moon", None), ("tide bread", " "), ("lava ash", "blue")]
    )
]
TEMPLATE = "of {note}: {meta.body}, as {title} has it {{sic}}"
TEXTS = [
    "of red: cat sea, as row 0 has it {sic}",
    "of : dog moon, as row 1 has it {sic}",
    "of : tide bread, as row 2 has it {sic}",
    "of blue: lava ash, as row 3 has it {sic}",
]
STORED = {
    "as it is": {},
    "renamed": {"rename": {"title": "head:line", "note": "meta_note"}},
    "its struct renamed": {"rename": {"meta": "about"}},
    "named": {"payload": ("title", "meta.body", "note")},
}
PART = SourceOptions(text=("title", "meta.body"), exclude=("meta",))
NOT_STORED = r"'a__v1' are made of title, meta\.body, and meta\.body is not stored"


@pytest.fixture
def source(tmp_path):
    return write_jsonl(tmp_path / "rows.jsonl", ROWS)


def fill(client, source, name="a__v1", *, sparse="bm25", options=None, **more):
    spec = CollectionSpec.for_encoder(SAME, sparse=sparse, quantization=None)
    report = ingest(
        client, name, source, **grouped(spec=spec, encoder=SAME, source_options=options, **more)
    )
    if name == "a__v1":
        point_alias(client, "a", name)
    return report


def vectors(client, name, vector="full"):
    points, _ = client.scroll(name, limit=100, with_vectors=[vector])
    if vector == "full":
        return {one.id: np.asarray(one.vector[vector]) for one in points}
    return {
        one.id: dict(zip(one.vector[vector].indices, one.vector[vector].values, strict=True))
        for one in points
    }


def assert_encoded(client, name, texts, encoder=SAME):
    expected = encoder.encode(texts)
    found = vectors(client, name)
    assert np.allclose([found[n] for n in range(len(texts))], expected, atol=1e-5)


def migrated(client, encoder=SAME, **options):
    """The gates of a migration that was built."""
    with Migration(client, "a", encoders=[SAME, OTHER]) as one:
        one.start(encoder, **options)
        return one.verify(queries=["cat"])


def forget(client, name):
    """Have the metadata as an earlier version wrote them."""
    described = read_spec(client, name).to_dict()
    fields = {part: described["fields"][part] for part in ("key", "text")}
    client.update_collection(name, metadata={METADATA_KEY: {**described, "fields": fields}})


# --- a template ----------------------------------------------------------------------------------


@pytest.mark.parametrize("stored", STORED)
@pytest.mark.parametrize("encoder", [SAME, OTHER], ids=["same encoder", "other encoder"])
def test_a_migration_encodes_by_the_template(client, source, stored, encoder):
    fill(client, source, options=SourceOptions(template=TEMPLATE, **STORED[stored]))
    assert_encoded(client, "a__v1", TEXTS)
    gates = migrated(client, encoder)
    assert gates.gate("vectors").verdict == "passed"
    assert ("compared with blue's" in gates.gate("vectors").words) == (encoder is SAME)
    assert_encoded(client, "a__v2", TEXTS, encoder)
    told = read_spec(client, "a__v2").fields
    assert told == read_spec(client, "a__v1").fields


def test_a_migration_from_files_takes_template_and_columns_as_the_collection_was_filled(
    client, source
):
    fill(client, source, options=SourceOptions(template=TEMPLATE))
    migrated(client, OTHER, source=source)
    assert_encoded(client, "a__v2", TEXTS, OTHER)


def test_bm25_that_is_added_is_that_of_an_ingest(client, source):
    options = SourceOptions(template=TEMPLATE, rename={"title": "head:line"})
    fill(client, source, options=options, sparse=None)
    fill(client, source, "expected", options=options)
    add_vector(client, "a", "bm25")
    assert vectors(client, "a__v1", "bm25") == vectors(client, "expected", "bm25")
    assert read_spec(client, "a__v1").fields == read_spec(client, "expected").fields


def test_a_ledger_that_is_made_anew_knows_the_texts(client, source):
    options = SourceOptions(template=TEMPLATE)
    fill(client, source, options=options)
    verify(client, "a__v1", anew=True)
    assert fill(client, source, options=options, sync=True).unchanged == len(ROWS)


def test_records_are_encoded_by_the_template(client, source):
    fill(client, source, options=SourceOptions(template=TEMPLATE))
    with LiveWriter(client, "a", encoders=[SAME]) as writer:
        row = {"title": "row 0", "meta": {"body": "fish"}, "year": 1}
        writer.upsert(Record(key=0, payload=row))
        writer.set_payload([1], {"note": "river"})
    assert_encoded(
        client, "a__v1",
        ["of : fish, as row 0 has it {sic}", "of river: dog moon, as row 1 has it {sic}"],
    )  # fmt: skip


def test_another_template_is_for_all_rows_or_nobody_knows_the_texts(client, source, tmp_path):
    other = SourceOptions(template="as {note} {meta.body} {title}")
    texts = ["as red cat sea row 0", "as  dog moon row 1"]
    fill(client, source, options=SourceOptions(template=TEMPLATE))
    one = write_jsonl(tmp_path / "one.jsonl", ROWS[:1])
    fill(client, one, options=other)
    assert read_spec(client, "a__v1").fields.mixed
    told = "made by different templates"
    with pytest.raises(ArgumentError, match=told):
        migrated(client)
    with (
        LiveWriter(client, "a", encoders=[SAME]) as writer,
        pytest.raises(ArgumentError, match=told),
    ):
        writer.upsert(Record(key=9, payload=ROWS[0]))
    fill(client, source, options=other, sync=True)
    assert not read_spec(client, "a__v1").fields.mixed
    migrated(client)
    assert_encoded(client, "a__v2", texts)


def test_other_columns_are_another_collection(client, source):
    fill(client, source, options=SourceOptions(template=TEMPLATE))
    for options in (
        SourceOptions(template="{title}: {meta.body} {note}"),
        SourceOptions(text=("meta.body", "title")),
    ):
        with pytest.raises(SpecMismatchError, match=r"template='of \{note\}"):
            fill(client, source, options=options)
    with pytest.raises(SpecMismatchError):
        fill(client, source, options=SourceOptions(template="{title}"))


def test_tuning_asks_with_texts_of_any_names(client, source):
    options = SourceOptions(template=TEMPLATE, rename={"title": "head:line"})
    fill(client, source, options=options)
    spec = read_spec(client, "a__v1")
    assert of_points(client, "a__v1", spec, default_plan(spec), 10, None)


def test_a_spec_with_a_template_is_read_again_from_toml(client, source):
    fill(client, source, options=SourceOptions(template=TEMPLATE, exclude=("note",)))
    spec = read_spec(client, "a__v1")
    again = spec_from_toml(spec_to_toml(spec))
    assert again == spec
    assert again.fields.is_complete
    assert (spec.fields.text, spec.fields.unstored) == (("meta.body", "title"), ("note",))


# --- columns of the text that are not stored -----------------------------------------------------


def test_a_migration_from_the_collection_is_refused_by_name(client, source):
    fill(client, source, options=PART)
    with pytest.raises(ArgumentError, match=NOT_STORED):
        migrated(client)
    assert not client.collection_exists("a__v2")


@pytest.mark.parametrize("encoder", [SAME, OTHER], ids=["same encoder", "other encoder"])
def test_a_migration_from_the_files_is_not(client, source, encoder):
    fill(client, source, options=PART)
    gates = migrated(client, encoder, source=source)
    assert_encoded(client, "a__v2", [f"{r['title']} {r['meta']['body']}" for r in ROWS], encoder)
    assert gates.gate("payloads").verdict == "passed"
    words = gates.gate("vectors").words
    told = "compared with blue's" if encoder is SAME else "not hold all of the text (meta.body)"
    assert told in words


def test_text_that_is_named_is_taken_all_the_same(client, source):
    fill(client, source, options=PART)
    (batch,) = open_collection_source(client, "a__v1", options=SourceOptions(text=("title",)))
    assert batch.texts.to_pylist() == [row["title"] for row in ROWS]


def test_bm25_is_not_filled_with_a_part_of_the_text(client, source):
    fill(client, source, options=PART, sparse=None)
    with pytest.raises(ArgumentError, match=NOT_STORED):
        add_vector(client, "a", "bm25")
    wanted = CollectionSpec.for_encoder(SAME, quantization=None)
    with pytest.raises(ArgumentError, match=NOT_STORED):
        apply(client, "a__v1", diff(client, "a__v1", wanted))
    assert "bm25" not in (client.get_collection("a__v1").config.params.sparse_vectors or {})


def test_quantize_does_not_fill_bm25_with_a_part_of_the_text(client, tmp_path):
    rows = [{"id": n, "title": f"row {n}", "text": "cat"} for n in range(130)]
    path = write_jsonl(tmp_path / "many.jsonl", rows)
    fill(client, path, options=SourceOptions(exclude=("text",)), sparse=None)
    with pytest.raises(ArgumentError, match="title, text, and text is not stored"):
        quantize(client, "a__v1", text=("title",), queries=2)


def test_writes_that_would_change_vectors_are_refused_and_others_are_not(client, source):
    fill(client, source, options=PART)
    before = vectors(client, "a__v1")
    with LiveWriter(client, "a", encoders=[SAME]) as writer:
        for write in (
            lambda: writer.upsert(Record(key=9, text="x", payload={"title": "x"})),
            lambda: writer.set_payload([1], {"title": "another"}),
            lambda: writer.overwrite_payload([1], {"title": "another"}),
            lambda: writer.delete_payload([1], ["title"]),
        ):
            with pytest.raises(ArgumentError, match=NOT_STORED):
                write()
        writer.set_payload([1], {"year": 1})
        writer.overwrite_payload([2], {"year": 2})
        writer.delete([3])
    after = vectors(client, "a__v1")
    assert {n: row.tolist() for n, row in after.items()} == {
        n: before[n].tolist() for n in (0, 1, 2)
    }


def test_a_ledger_that_is_made_anew_does_not_know_texts_that_are_not_stored(client, source):
    fill(client, source, options=PART)
    verify(client, "a__v1", anew=True)
    assert fill(client, source, options=PART, sync=True).stored == len(ROWS)


def test_a_job_that_stores_less_is_remembered_until_one_has_stored_all(client, source, tmp_path):
    whole = SourceOptions(text=("title", "meta.body"))
    fill(client, source, options=whole)
    one = write_jsonl(tmp_path / "one.jsonl", ROWS[:1])
    fill(client, one, options=PART)
    assert read_spec(client, "a__v1").fields.unstored == ("meta.body",)
    fill(client, one, options=whole)
    assert read_spec(client, "a__v1").fields.unstored == ("meta.body",)
    fill(client, source, options=whole)
    assert read_spec(client, "a__v1").fields.unstored == ()


# --- ready vectors, passages, and collections of earlier versions --------------------------------


@pytest.fixture
def ready(tmp_path):
    given = FakeEncoder(salt="given").encode([row["title"] for row in ROWS])
    rows = [{**row, "v": one.tolist()} for row, one in zip(ROWS, given, strict=True)]
    return write_jsonl(tmp_path / "ready.jsonl", rows)


@pytest.mark.parametrize("text", [("title",), ()])
def test_vectors_that_were_given_are_taken_along(client, ready, text):
    options = (
        SourceOptions(
            text=text, vectors="v", exclude=() if text else ("title",), rename={"title": "name"}
        )
        if text
        else SourceOptions(vectors="v", rename={"title": "name"}, payload=("meta",))
    )
    fill(client, ready, options=options)
    gates = migrated(client)
    assert gates.gate("vectors").verdict == "passed"
    blue, green = vectors(client, "a__v1"), vectors(client, "a__v2")
    assert all(np.allclose(blue[n], green[n], atol=1e-5) for n in blue)
    assert read_spec(client, "a__v2").fields.ready_vectors


def test_vectors_that_were_given_and_those_that_were_not_are_taken_along(client, source, ready):
    fill(client, source, options=SourceOptions(text=("title",)))
    first = vectors(client, "a__v1")[0]
    ingest(
        client,
        "a__v1",
        ready,
        encoder=SAME,
        source_options=SourceOptions(text=("title",), vectors="v", key=("id",)),
    )
    assert not np.allclose(vectors(client, "a__v1")[0], first)
    assert read_spec(client, "a__v1").fields.ready_vectors
    assert migrated(client).gate("vectors").verdict == "passed"


def test_vectors_of_uint8_are_taken_along_as_they_are(client, source):
    from dataclasses import replace

    spec = CollectionSpec.for_encoder(SAME, sparse=None, quantization=None)
    small = replace(spec.vectors[0], datatype="uint8", scale=300.0, distance="euclid")
    spec = replace(spec, vectors=(small,))
    ingest(client, "small", source, spec=spec, encoder=SAME)
    taken = open_collection_source(client, "small", options=SourceOptions(vectors="full"))
    ingest(client, "copy", taken, spec=spec, encoder=SAME)
    before, after = vectors(client, "small"), vectors(client, "copy")
    assert all(before[n].tolist() == after[n].tolist() for n in before)


def test_passages_are_encoded_again_as_they_were_cut(client, tmp_path, model_folder):
    from qdrant_static import load_encoder

    small = load_encoder(str(model_folder))
    rows = [{"id": n, "title": "cat dog", "text": "sea moon tide " * (n + 1)} for n in range(3)]
    path = write_jsonl(tmp_path / "long.jsonl", rows)
    ingest(
        client,
        "a__v1",
        path,
        encoder=small,
        passages=Passages(tokens=4, overlap=1),
        source_options=SourceOptions(template="{title}: {text}"),
    )
    point_alias(client, "a", "a__v1")
    with Migration(client, "a", encoders=[small]) as one:
        one.start(small)
        assert one.verify(queries=["cat"]).gate("vectors").verdict == "passed"
    blue, green = vectors(client, "a__v1"), vectors(client, "a__v2")
    assert len(blue) > 3
    assert all(np.allclose(blue[n], green[n], atol=1e-5) for n in blue)


def test_a_collection_of_an_earlier_version_takes_the_same_job_and_then_says_how(client, source):
    options = SourceOptions(template=TEMPLATE)
    fill(client, source, options=options)
    forget(client, "a__v1")
    assert not read_spec(client, "a__v1").fields.is_complete
    fill(client, source, options=options, sync=True)
    told = read_spec(client, "a__v1").fields
    assert told.is_complete
    assert str(told.template) == TEMPLATE


def test_the_gate_finds_texts_that_an_earlier_version_did_not_keep(client, source):
    fill(client, source, options=SourceOptions(template=TEMPLATE))
    forget(client, "a__v1")
    gate = migrated(client).gate("vectors")
    assert gate.verdict == "refused"
    assert "a template" in gate.words
