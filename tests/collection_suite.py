"""What holds of specs, diffs, foreign collections and `quantize` on any engine.

A subclass gives the fixture ``client``; the collections' names are new for every test.
"""

from __future__ import annotations

from dataclasses import replace
from uuid import uuid4

import numpy as np
import pytest
from qdrant_client import models

from qdrant_static import CollectionSpec, create_collection
from qdrant_static.clients.indexing import wait_until_indexed
from qdrant_static.collection.applydiff import apply, ensure_collection
from qdrant_static.collection.bm25 import bm25_encoder
from qdrant_static.collection.create import check_spec, read_spec, write_spec
from qdrant_static.collection.diff import diff
from qdrant_static.collection.foreign import carried_spec, foreign_spec, spec_of
from qdrant_static.collection.quantization import Binary, Product, Scalar, Turbo
from qdrant_static.collection.spec import Fields
from qdrant_static.collection.updates import FILLING_KEY
from qdrant_static.collection.vectorspec import Hnsw, LateSpec, SparseSpec
from qdrant_static.errors import (
    ArgumentError,
    CollectionNotFoundError,
    EncoderMismatchError,
    NotAPlannedCollectionError,
    SpecMismatchError,
)
from qdrant_static.measuring.quantize import quantize
from qdrant_static.vectors import truncate
from tests.fakes import FakeEncoder

WORDS = "cat dog fish sea moon tide bread yeast lava ash book ship whale river red blue".split()
ENCODER = FakeEncoder(dimension=32)
COUNT = 60


def texts(count: int = COUNT) -> list[str]:
    random = np.random.default_rng(3)
    return [" ".join(random.choice(WORDS, 5)) for _ in range(count)]


def spec_with(**options) -> CollectionSpec:
    spec = CollectionSpec.for_encoder(ENCODER, **{"quantization": "turbo4", **options})
    if spec.sparse is not None:
        spec = replace(spec, sparse=replace(spec.sparse, mean_length=4.0))
    return replace(spec, fields=Fields(key="id", text=("text",)))


def fill(client, name, spec) -> np.ndarray:
    """Store points as an ingest would; returns the full vectors."""
    rows = ENCODER.encode(texts())
    terms = (
        None if spec.sparse is None else list(bm25_encoder(spec.sparse).encode_documents(texts()))
    )
    points = []
    for number, (row, text) in enumerate(zip(rows, texts(), strict=True)):
        vector = {one.name: truncate(row[None], one.size)[0].tolist() for one in spec.vectors}
        if terms is not None:
            vector["bm25"] = models.SparseVector(
                indices=terms[number].indices.tolist(), values=terms[number].values.tolist()
            )
        payload = {"id": number, "text": text, "n": number % 7}
        points.append(models.PointStruct(id=number, vector=vector, payload=payload))
    client.upsert(name, points, wait=True)
    return rows


def found(client, name, query, using, limit=5) -> list:
    return [
        one.id for one in client.query_points(name, query=query, using=using, limit=limit).points
    ]


def vectors(spec, name="full", /, **values) -> CollectionSpec:
    changed = tuple(replace(v, **values) if v.name == name else v for v in spec.vectors)
    return replace(spec, vectors=changed)


def clustered(count: int, size: int) -> np.ndarray:
    """Unit vectors of ten overlapping clusters."""
    random = np.random.default_rng(5)
    centers = random.standard_normal((10, size))
    rows = centers[random.integers(0, 10, count)] + random.standard_normal((count, size))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


class CollectionSuite:
    """The tests; a server's client and an embedded one pass them alike."""

    embedded = False

    @pytest.fixture
    def name(self, client):
        name = f"suite-{uuid4().hex}"
        yield name
        client.delete_collection(name)

    # --- create, diff, apply ------------------------------------------------------------------

    @pytest.mark.parametrize(
        "options",
        [
            {},
            {"matryoshka": (16, 8), "graph": ("full", "mrl_8"), "placement": "disk"},
            {"quantization": {"kind": "binary", "bits": 1.5, "query_bits": 4}},
            {"quantization": "int8", "sparse": None, "late": LateSpec(encoder="c", size=8)},
            {"quantization": "product16", "sparse": SparseSpec(placement="disk", mean_length=4.0)},
            {"quantization": None, "payload_indexes": {"n": "integer", "text": "text"}},
        ],
    )
    def test_what_was_created_is_no_difference(self, client, name, options):
        spec = spec_with(**options)
        assert not ensure_collection(client, name, spec)
        assert diff(client, name, spec).differences == ()
        assert not ensure_collection(client, name, spec)
        assert str(diff(client, name, spec)) == f"{name}: no difference"

    @pytest.mark.parametrize(
        ("change", "fields"),
        [
            (lambda s: vectors(s, quantization=Binary(bits=2)), "vectors.full.quantization"),
            (lambda s: vectors(s, quantization=Scalar()), "vectors.full.quantization"),
            (lambda s: vectors(s, quantization=Product()), "vectors.full.quantization"),
            (lambda s: vectors(s, quantization=None), "vectors.full.quantization"),
            (lambda s: vectors(s, hnsw=None), "vectors.full.hnsw"),
            (lambda s: vectors(s, hnsw=Hnsw(m=8, placement="disk")), "vectors.full.hnsw"),
            (lambda s: vectors(s, "mrl_8", hnsw=Hnsw()), "vectors.mrl_8.hnsw"),
            (lambda s: vectors(s, placement="disk"), "vectors.full.placement"),
            (lambda s: vectors(s, codes="disk"), "vectors.full.codes"),
            (
                lambda s: replace(s, sparse=replace(s.sparse, placement="disk")),
                "sparse.placement",
            ),
            (lambda s: replace(s, payload_indexes={"n": "float"}), "payload_indexes.n"),
            (lambda s: replace(s, payload_indexes={}), "payload_indexes.n"),
            (lambda s: replace(s, plan="bm25"), "plan"),
        ],
    )
    def test_what_can_be_changed_in_place_is(self, client, name, change, fields):
        spec = spec_with(matryoshka=(8,), payload_indexes={"n": "integer"}, plan="dense")
        create_collection(client, name, spec)
        rows = fill(client, name, spec)
        wanted = change(spec)
        difference = diff(client, name, wanted)
        assert [one.field for one in difference.differences] == fields.split()
        assert difference.needing("in place") == difference.differences
        with pytest.raises(SpecMismatchError, match="Nothing was changed"):
            ensure_collection(client, name, wanted)
        assert diff(client, name, spec).differences == ()
        heard: list[str] = []
        apply(client, name, difference, notify=heard.append)
        assert heard == [str(one) for one in difference.differences]
        wait_until_indexed(client, name)
        assert diff(client, name, wanted).differences == ()
        assert read_spec(client, name) == wanted
        assert client.count(name).count == COUNT
        assert found(client, name, rows[3].tolist(), "full", 1) == [3]
        assert ensure_collection(client, name, spec, apply=True)
        assert diff(client, name, spec).differences == ()

    def test_settings_changed_behind_our_back_are_seen(self, client, name):
        spec = spec_with()
        create_collection(client, name, spec)
        off = models.VectorParamsDiff(quantization_config=models.Disabled.DISABLED)
        client.update_collection(name, vectors_config={"full": off})
        client.create_payload_index(name, "n", models.PayloadSchemaType.INTEGER)
        told = diff(client, name, spec)
        assert [str(one) for one in told.differences] == [
            "vector full: quantization is none, wanted turbo4",
            "payload index n: is integer, wanted absent",
        ]
        assert "the metadata says turbo4: it was changed since" in told.differences[0].reason
        as_it_is = vectors(replace(spec, payload_indexes={"n": "integer"}), quantization=None)
        followed = diff(client, name, as_it_is)
        assert {one.remedy for one in followed.differences} == {"in place"}
        assert all("only the metadata changes" in one.reason for one in followed.differences)
        apply(client, name, followed)
        assert read_spec(client, name) == as_it_is
        assert diff(client, name, as_it_is).differences == ()

    def test_codes_that_all_vectors_inherit_are_taken_from_one(self, client, name):
        codes = models.ScalarQuantization(
            scalar=models.ScalarQuantizationConfig(type=models.ScalarType.INT8)
        )
        spec = vectors(spec_with(matryoshka=(8,), quantization=None), codes="cached")
        client.create_collection(
            name,
            {
                one.name: models.VectorParams(size=one.size, distance=models.Distance.COSINE)
                for one in spec.vectors
            },
            quantization_config=codes,
        )
        write_spec(client, name, replace(spec, sparse=None))
        wanted = vectors(replace(spec, sparse=None), "mrl_8", quantization=Scalar(quantile=None))
        told = diff(client, name, wanted)
        assert "vector full: quantization is scalar quantile=None, wanted none" in map(
            str, told.differences
        )
        apply(client, name, told)
        assert {one.field for one in diff(client, name, wanted).differences} <= {
            "vectors.mrl_8.codes"
        }

    def test_a_new_size_is_filled_with_prefixes(self, client, name):
        spec = spec_with()
        create_collection(client, name, spec)
        rows = fill(client, name, spec)
        wanted = spec_with(matryoshka=(8,))
        told = diff(client, name, wanted)
        assert [one.remedy for one in told.differences] == ["new vector"]
        apply(client, name, told)
        wait_until_indexed(client, name)
        assert diff(client, name, wanted).differences == ()
        assert read_spec(client, name) == wanted
        stored = client.retrieve(name, [4, 9], with_vectors=["mrl_8"])
        for one in stored:
            expected = truncate(rows[one.id][None], 8)[0]
            np.testing.assert_allclose(one.vector["mrl_8"], expected, atol=1e-6)
        assert found(client, name, truncate(rows[7][None], 8)[0].tolist(), "mrl_8", 1) == [7]

    def test_new_bm25_is_filled_from_the_texts(self, client, name):
        spec = spec_with(sparse=None)
        create_collection(client, name, spec)
        fill(client, name, spec)
        wanted = replace(spec, sparse=SparseSpec())
        apply(client, name, diff(client, name, wanted))
        settled = read_spec(client, name)
        assert settled.sparse.mean_length == pytest.approx(5.0)
        encoder = bm25_encoder(settled.sparse)
        (one,) = client.retrieve(name, [11], with_vectors=["bm25"])
        (expected,) = encoder.encode_documents([texts()[11]])
        assert dict(zip(one.vector["bm25"].indices, one.vector["bm25"].values, strict=True)) == (
            pytest.approx(
                dict(zip(expected.indices.tolist(), expected.values.tolist(), strict=True))
            )
        )
        assert diff(client, name, wanted).differences == ()
        assert client.get_collection(name).config.metadata[FILLING_KEY] == ""

    def test_a_new_late_vector_is_empty_and_said_to_be(self, client, name):
        spec = spec_with()
        create_collection(client, name, spec)
        fill(client, name, spec)
        wanted = replace(spec, late=LateSpec(encoder="colbert", size=8, placement="cached"))
        told = diff(client, name, wanted)
        assert "empty until the records are ingested again" in str(told)
        apply(client, name, told)
        kept = [one for one in diff(client, name, wanted).differences if one.remedy != "in place"]
        assert kept == []
        client.update_vectors(name, [models.PointVectors(id=1, vector={"late": [[0.1] * 8] * 2})])
        assert client.retrieve(name, [1], with_vectors=["late"])[0].vector["late"]

    def test_bm25_without_known_texts_cannot_be_added(self, client, name):
        spec = replace(spec_with(sparse=None), fields=Fields())
        create_collection(client, name, spec)
        with pytest.raises(ArgumentError, match=r"fields\.text"):
            apply(client, name, diff(client, name, replace(spec, sparse=SparseSpec())))

    def test_a_fill_that_died_is_taken_up(self, client, name):
        spec = spec_with(sparse=None)
        create_collection(client, name, spec)
        fill(client, name, spec)
        client.update_collection(name, metadata={FILLING_KEY: "bm25"})
        client.create_vector_name(
            name,
            "bm25",
            models.SparseVectorNameConfig(sparse=models.SparseVectorConfig(modifier="idf")),
        )
        wanted = replace(spec, sparse=SparseSpec())
        told = diff(client, name, wanted)
        assert [one.remedy for one in told.differences] == ["new vector"]
        apply(client, name, told)
        assert diff(client, name, wanted).differences == ()

    @pytest.mark.parametrize(
        "change",
        [
            lambda s: CollectionSpec.for_encoder(FakeEncoder("theirs", salt="x", dimension=32)),
            lambda s: vectors(s, distance="dot"),
            lambda s: vectors(s, datatype="float16"),
            lambda s: replace(s, sparse=None),
            lambda s: replace(s, sparse=replace(s.sparse, language="german")),
            lambda s: replace(s, vectors=s.vectors[:1]),
            lambda s: replace(s, fields=Fields(key="id", text=("title",))),
        ],
    )
    def test_what_needs_a_migration_changes_nothing(self, client, name, change):
        spec = spec_with(matryoshka=(8,))
        create_collection(client, name, spec)
        fill(client, name, spec)
        wanted = change(spec)
        wanted = vectors(wanted, quantization=None)  # something that could be done too
        told = diff(client, name, wanted)
        assert told.needing("migration")
        with pytest.raises(SpecMismatchError, match="migration") as caught:
            apply(client, name, told)
        assert "quantization" not in caught.value.message
        with pytest.raises(SpecMismatchError):
            ensure_collection(client, name, wanted, apply=True)
        assert diff(client, name, spec).differences == ()
        assert client.count(name).count == COUNT

    def test_a_dropped_first_vector_is_told(self, client, name):
        spec = spec_with(matryoshka=(8,))
        create_collection(client, name, spec)
        client.delete_vector_name(name, "full")
        with pytest.raises(ArgumentError, match="it was dropped"):
            diff(client, name, spec)

    def test_a_dropped_size_comes_back(self, client, name):
        spec = spec_with(matryoshka=(8,))
        create_collection(client, name, spec)
        rows = fill(client, name, spec)
        client.delete_vector_name(name, "mrl_8")
        told = diff(client, name, spec)
        assert [one.remedy for one in told.differences] == ["new vector"]
        apply(client, name, told)
        assert diff(client, name, spec).differences == ()
        assert found(client, name, truncate(rows[7][None], 8)[0].tolist(), "mrl_8", 1) == [7]

    # --- collections that others made ---------------------------------------------------------

    def _foreign(self, client, name, params=None, ids=range(COUNT)) -> np.ndarray:
        params = params or models.VectorParams(size=32, distance=models.Distance.COSINE)
        client.create_collection(name, params)
        rows = ENCODER.encode(texts())
        key = "" if isinstance(params, models.VectorParams) else next(iter(params))
        points = [
            models.PointStruct(
                id=one,
                vector=row.tolist() if key == "" else {key: row.tolist()},
                payload={"body": text},
            )
            for one, row, text in zip(ids, rows, texts(), strict=True)
        ]
        client.upsert(name, points, wait=True)
        return rows

    def test_an_unnamed_vector_has_a_spec(self, client, name):
        self._foreign(client, name, ids=[str(uuid4()) for _ in range(COUNT)])
        spec = foreign_spec(client, name, encoder=ENCODER, text="body")
        assert [(one.name, one.size) for one in spec.vectors] == [("", 32)]
        assert (spec.planned, spec.sparse, spec.encoder) == (False, None, ENCODER.info)
        assert spec.fields == Fields(key=None, text=("body",))
        assert spec.vectors[0].quantization is None
        assert CollectionSpec.from_dict(spec.to_dict()) == spec
        assert carried_spec(client, name) is None
        assert spec_of(client, name, encoder=ENCODER, text="body") == spec
        with pytest.raises(NotAPlannedCollectionError):
            spec_of(client, name)

    def test_a_collection_of_ours_keeps_its_own_spec(self, client, name):
        spec = spec_with()
        create_collection(client, name, spec)
        assert spec_of(client, name) == spec_of(client, name, encoder=ENCODER) == spec

    def test_which_vector_is_meant_must_be_clear(self, client, name):
        cosine = models.Distance.COSINE
        client.create_collection(
            name,
            {
                "text": models.VectorParams(size=32, distance=cosine),
                "image": models.VectorParams(size=16, distance=models.Distance.DOT),
                "raw": models.VectorParams(
                    size=32, distance=cosine, datatype=models.Datatype.UINT8
                ),
                "tokens": models.VectorParams(
                    size=8,
                    distance=cosine,
                    multivector_config=models.MultiVectorConfig(comparator="max_sim"),
                ),
            },
        )
        assert foreign_spec(client, name, vector="image").vectors[0].distance == "dot"
        assert foreign_spec(client, name, vector="text", encoder=ENCODER).vectors[0].name == "text"
        small = FakeEncoder(dimension=16)
        assert foreign_spec(client, name, encoder=small).vectors[0].name == "image"
        for options, told in [
            ({}, "more than one dense vector; name one of: "),
            ({"encoder": ENCODER}, "more than one dense vector of the encoder's 32 dimensions"),
            ({"encoder": FakeEncoder(dimension=64)}, "no dense vector of the encoder's 64"),
            ({"vector": "full"}, "'full' is not a dense vector here"),
            ({"vector": "tokens"}, "'tokens' is not a dense vector here"),
            ({"vector": "raw"}, "the scale of its numbers is not stored anywhere"),
            ({"vector": "text", "encoder": small}, "'text' has 32 dimensions, and the encoder"),
        ]:
            with pytest.raises(ArgumentError, match=told):
                foreign_spec(client, name, **options)

    def test_a_missing_collection_is_told(self, client):
        for function in (foreign_spec, spec_of, quantize):
            with pytest.raises(CollectionNotFoundError):
                function(client, "no-such-collection")

    # --- quantize -----------------------------------------------------------------------------

    def _clusters(self, client, name, params=None, count=600, size=64):
        params = params or models.VectorParams(size=size, distance=models.Distance.COSINE)
        client.create_collection(
            name, params, optimizers_config=models.OptimizersConfigDiff(indexing_threshold=10)
        )
        rows = clustered(count, size)
        key = "" if isinstance(params, models.VectorParams) else next(iter(params))
        words = texts(count)
        points = [
            models.PointStruct(
                id=i,
                vector=row if key == "" else {key: row},
                payload={"body": words[i]} if i % 10 else {},
            )
            for i, row in enumerate(rows.tolist())
        ]
        client.upsert(name, points, wait=True)
        wait_until_indexed(client, name)
        return rows

    def _codes(self, client, name, vector=""):
        return foreign_spec(client, name, vector=vector).vectors[0].quantization

    def test_codes_that_find_enough_are_kept(self, client, name):
        self._clusters(client, name)
        report = quantize(client, name, queries=20)
        assert self._codes(client, name) == Turbo(bits=4)
        assert (report.kept, report.reached, report.simulated) == (True, True, None)
        assert report.before.recall == 1.0
        assert report.after.recall >= report.target_recall
        assert (report.points, report.queries, report.vector) == (600, 20, "")
        assert report.before.first_pass_bytes == 600 * 64 * 4
        assert report.after.first_pass_bytes == 600 * (64 // 2 + 8)
        assert (report.after.disk_bytes is not None) is self.embedded
        assert carried_spec(client, name) is None
        assert "kept" in str(report)
        again = quantize(client, name, queries=5)
        assert "nothing to change" in again.note

    def test_codes_that_find_too_little_are_taken_back(self, client, name):
        rows = self._clusters(client, name)
        quantize(client, name, quantization="int8", queries=5, target_recall=0.5)
        report = quantize(
            client,
            name,
            quantization={"kind": "binary", "query_bits": 1},
            queries=40,
            target_recall=1.0,
        )
        if report.reached:
            pytest.fail("one bit of 64 dimensions should not find everything")
        assert report.kept is True  # the codes that it had
        assert "undone: recall" in report.note
        assert self._codes(client, name) == Scalar()
        assert found(client, name, rows[5].tolist(), "", 1) == [5]

    def test_a_dry_run_changes_nothing(self, client, name):
        self._clusters(client, name)
        before = client.get_collection(name).config
        report = quantize(client, name, quantization="binary", queries=10, dry_run=True)
        assert client.get_collection(name).config == before
        assert (report.kept, report.simulated) == (False, 600)
        assert report.after.p50_ms is None
        assert 0.5 < report.after.recall <= 1
        assert "nothing was changed" in report.note

    def test_codes_can_be_taken_away(self, client, name):
        self._clusters(client, name)
        quantize(client, name, quantization="int8", queries=5, target_recall=0.5)
        assert self._codes(client, name) == Scalar()
        report = quantize(client, name, quantization=None, queries=5)
        assert self._codes(client, name) is None
        assert (report.note, report.kept) == ("the codes are removed", True)

    def test_a_named_vector_of_another_distance(self, client, name):
        params = {"v": models.VectorParams(size=64, distance=models.Distance.EUCLID)}
        self._clusters(client, name, params)
        for dry in (True, False):
            report = quantize(client, name, quantization="int8", queries=10, dry_run=dry)
            assert report.reached
        assert self._codes(client, name, "v") == Scalar()

    def test_a_collection_of_ours_gets_it_into_its_metadata(self, client, name):
        spec = spec_with(quantization=None)
        create_collection(client, name, spec)
        fill(client, name, spec)
        quantize(client, name, quantization="turbo2", queries=10, target_recall=0.5)
        assert read_spec(client, name) == vectors(spec, quantization=Turbo(bits=2))
        assert not diff(client, name, read_spec(client, name))

    def test_bm25_is_added_and_filled(self, client, name):
        self._clusters(client, name)
        report = quantize(
            client, name, queries=5, text=("body",), sparse=SparseSpec(language="english")
        )
        assert report.terms == 540  # one text in ten is missing
        spec = foreign_spec(client, name, encoder=FakeEncoder(dimension=64))
        assert (spec.sparse.language, spec.fields.text) == ("english", ("body",))
        assert spec.sparse.mean_length == pytest.approx(5.0)
        query = bm25_encoder(spec.sparse).encode_query("whale")
        hits = client.query_points(
            name,
            query=models.SparseVector(indices=query.indices.tolist(), values=query.values.tolist()),
            using="bm25",
            with_payload=True,
        ).points
        assert hits
        assert all("whale" in one.payload["body"] for one in hits)
        with pytest.raises(ArgumentError, match="has bm25 already"):
            quantize(client, name, queries=5, text=("body",))

    def test_bm25_of_others_is_left_alone(self, client, name):
        self._clusters(client, name)
        client.create_vector_name(
            name,
            "bm25",
            models.SparseVectorNameConfig(sparse=models.SparseVectorConfig(modifier="idf")),
        )
        with pytest.raises(ArgumentError, match="this package did not make"):
            quantize(client, name, queries=5, text=("body",))

    def test_a_text_field_that_is_not_there_is_told(self, client, name):
        self._clusters(client, name)
        with pytest.raises(ArgumentError, match="no payload has text in title"):
            quantize(client, name, queries=5, text=("title",))

    def test_what_is_left_after_an_interruption_is_said(self, client, name, monkeypatch):
        self._clusters(client, name)
        from qdrant_static.measuring import codetrial

        def stopped(*_):
            raise KeyboardInterrupt

        heard: list[str] = []
        with monkeypatch.context() as patched:
            patched.setattr(codetrial, "wait_until_indexed", stopped)
            with pytest.raises(KeyboardInterrupt) as caught:
                quantize(client, name, queries=5, notify=heard.append)
        assert "repeating is harmless" in heard[-1]
        assert caught.value.__notes__ == [heard[-1]]
        assert quantize(client, name, queries=5).reached

    def test_too_few_points_and_wrong_targets_are_told(self, client, name):
        client.create_collection(name, models.VectorParams(size=4, distance=models.Distance.DOT))
        with pytest.raises(ArgumentError, match="too few"):
            quantize(client, name)
        for target in (0, 1.1):
            with pytest.raises(ArgumentError, match="target_recall"):
                quantize(client, name, target_recall=target)
        with pytest.raises(ArgumentError, match="text"):
            quantize(client, name, sparse=SparseSpec())

    def test_another_encoder_is_refused_by_a_collection_of_ours(self, client, name):
        spec = spec_with()
        create_collection(client, name, spec)
        other = CollectionSpec.for_encoder(FakeEncoder("theirs", salt="x", dimension=32))
        with pytest.raises(EncoderMismatchError):
            check_spec(name, read_spec(client, name), other)
