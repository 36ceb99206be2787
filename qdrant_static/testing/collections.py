"""Tests of creating, describing, changing and deleting collections."""

from __future__ import annotations

from typing import Any

import pytest
from qdrant_client import models

from qdrant_static.testing.base import SIZE, Conformance, ids, make, matrix, stored

_DENSE = models.VectorParams(size=SIZE, distance=models.Distance.COSINE)
QUANTIZATIONS: dict[str, models.QuantizationConfig] = {
    "scalar": models.ScalarQuantization(
        scalar=models.ScalarQuantizationConfig(type=models.ScalarType.INT8, quantile=0.75)
    ),
    "product": models.ProductQuantization(
        product=models.ProductQuantizationConfig(compression=models.CompressionRatio.X4)
    ),
    "binary": models.BinaryQuantization(
        binary=models.BinaryQuantizationConfig(
            encoding=models.BinaryQuantizationEncoding.TWO_BITS,
            query_encoding=models.BinaryQuantizationQueryEncoding.SCALAR8BITS,
        )
    ),
    "turbo": models.TurboQuantization(
        turbo=models.TurboQuantQuantizationConfig(bits=models.TurboQuantBitSize.BITS4)
    ),
}


class CollectionConformance(Conformance):
    """Tests of collections."""

    def test_create_collection__unnamed_vector(self, client: Any, name: str) -> None:
        assert client.create_collection(name, vectors_config=_DENSE)
        vectors = client.get_collection(name).config.params.vectors
        assert (vectors.size, vectors.distance) == (SIZE, models.Distance.COSINE)

    def test_create_collection__named_sparse_and_multi_vectors(
        self, client: Any, name: str
    ) -> None:
        make(client, name)
        params = client.get_collection(name).config.params
        assert set(params.vectors) == {"d", "m"}
        assert params.vectors["m"].multivector_config.comparator == "max_sim"
        assert set(params.sparse_vectors) == {"s"}

    @pytest.mark.parametrize("distance", list(models.Distance))
    def test_create_collection__distances(
        self, client: Any, name: str, distance: models.Distance
    ) -> None:
        client.create_collection(name, models.VectorParams(size=SIZE, distance=distance))
        assert client.get_collection(name).config.params.vectors.distance == distance

    @pytest.mark.parametrize("kind", sorted(QUANTIZATIONS))
    def test_create_collection__quantizations(self, client: Any, name: str, kind: str) -> None:
        wanted = QUANTIZATIONS[kind]
        client.create_collection(name, _DENSE, quantization_config=wanted)
        assert client.get_collection(name).config.quantization_config == wanted

    @pytest.mark.parametrize("kind", sorted(QUANTIZATIONS))
    def test_create_collection__quantization_of_one_vector(
        self, client: Any, name: str, kind: str
    ) -> None:
        wanted = QUANTIZATIONS[kind]
        params = _DENSE.model_copy(update={"quantization_config": wanted})
        client.create_collection(name, {"d": params, "plain": _DENSE})
        vectors = client.get_collection(name).config.params.vectors
        assert vectors["d"].quantization_config == wanted
        assert vectors["plain"].quantization_config is None

    @pytest.mark.parametrize("datatype", ["float32", "float16", "uint8"])
    def test_create_collection__datatypes(self, client: Any, name: str, datatype: str) -> None:
        params = _DENSE.model_copy(
            update={"datatype": models.Datatype(datatype), "distance": models.Distance.DOT}
        )
        client.create_collection(name, params)
        client.upsert(name, [models.PointStruct(id=1, vector=[float(n) for n in range(SIZE)])])
        assert stored(client, name, 1, vectors=True)[1] == [float(n) for n in range(SIZE)]

    def test_create_collection__hnsw_and_optimizers(self, client: Any, name: str) -> None:
        client.create_collection(
            name,
            _DENSE,
            hnsw_config=models.HnswConfigDiff(m=24, ef_construct=64),
            optimizers_config=models.OptimizersConfigDiff(indexing_threshold=5000),
            on_disk_payload=False,
        )
        config = client.get_collection(name).config
        assert (config.hnsw_config.m, config.hnsw_config.ef_construct) == (24, 64)
        assert config.hnsw_config.full_scan_threshold == 10_000
        assert config.optimizer_config.indexing_threshold == 5000
        assert config.params.on_disk_payload is False

    def test_create_collection__metadata(self, client: Any, name: str) -> None:
        wanted = {"encoder": {"name": "é", "sizes": [1, 2]}, "yes": True}
        make(client, name, metadata=wanted)
        assert client.get_collection(name).config.metadata == wanted

    def test_create_collection__no_vectors(self, client: Any, name: str) -> None:
        assert client.create_collection(name, vectors_config={})

    def test_create_collection__twice_is_refused(self, client: Any, filled: str) -> None:
        with self.refused():
            make(client, filled)
        assert client.count(filled).count == 20

    @pytest.mark.parametrize("bad", ["", "a/b", "../x", "/tmp/x", "nul\0", "x" * 256, "a:b"])  # noqa: S108
    def test_create_collection__bad_names_are_refused(self, client: Any, bad: str) -> None:
        with self.refused():
            make(client, bad)

    def test_recreate_collection__empties(self, client: Any, filled: str) -> None:
        with pytest.warns(DeprecationWarning, match="recreate_collection"):
            assert client.recreate_collection(filled, vectors_config=_DENSE)
        assert client.count(filled).count == 0

    def test_update_collection__settings(self, client: Any, filled: str) -> None:
        assert client.update_collection(
            filled,
            hnsw_config=models.HnswConfigDiff(m=8),
            optimizers_config=models.OptimizersConfigDiff(indexing_threshold=7000),
            quantization_config=QUANTIZATIONS["scalar"],
            vectors_config={
                "d": models.VectorParamsDiff(
                    hnsw_config=models.HnswConfigDiff(m=4),
                    quantization_config=QUANTIZATIONS["binary"],
                    on_disk=True,
                )
            },
            sparse_vectors_config={
                "s": models.SparseVectorParams(index=models.SparseIndexParams(on_disk=True))
            },
        )
        config = client.get_collection(filled).config
        assert (config.hnsw_config.m, config.hnsw_config.ef_construct) == (8, 100)
        assert config.optimizer_config.indexing_threshold == 7000
        assert config.quantization_config == QUANTIZATIONS["scalar"]
        vector = config.params.vectors["d"]
        assert (vector.hnsw_config.m, vector.on_disk) == (4, True)
        assert vector.quantization_config == QUANTIZATIONS["binary"]
        assert config.params.sparse_vectors["s"].index.on_disk is True
        assert client.count(filled).count == 20

    def test_update_collection__quantization_off(self, client: Any, name: str) -> None:
        make(client, name, quantization_config=QUANTIZATIONS["scalar"])
        client.update_collection(name, quantization_config=models.Disabled.DISABLED)
        assert client.get_collection(name).config.quantization_config is None

    def test_update_collection__metadata_is_merged(self, client: Any, name: str) -> None:
        make(client, name, metadata={"a": 1, "b": {"x": 1}, "c": 3})
        client.update_collection(name, metadata={"b": {"y": 2}, "c": None})
        assert client.get_collection(name).config.metadata == {"a": 1, "b": {"y": 2}}

    def test_update_collection__an_unknown_vector_is_refused(
        self, client: Any, filled: str
    ) -> None:
        with self.refused():
            client.update_collection(
                filled, vectors_config={"none": models.VectorParamsDiff(on_disk=True)}
            )

    def test_update_collection__a_missing_one_is_refused(self, client: Any, name: str) -> None:
        with self.refused():
            client.update_collection(name, metadata={"a": 1})

    def test_delete_collection__says_whether_there_was_one(self, client: Any, filled: str) -> None:
        assert client.delete_collection(filled)
        assert not client.collection_exists(filled)
        assert not client.delete_collection(filled)

    def test_collection_exists__says_so(self, client: Any, name: str) -> None:
        assert not client.collection_exists(name)
        make(client, name)
        assert client.collection_exists(name)

    def test_get_collection__counts(self, client: Any, filled: str) -> None:
        info = client.get_collection(filled)
        assert info.points_count == 20
        assert info.status is not None

    def test_get_collection__a_missing_one_is_refused(self, client: Any, name: str) -> None:
        with self.refused():
            client.get_collection(name)

    def test_get_collections__lists(self, client: Any, filled: str) -> None:
        assert filled in [each.name for each in client.get_collections().collections]

    def test_create_vector_name__dense(self, client: Any, filled: str) -> None:
        config = models.DenseVectorNameConfig(
            dense=models.DenseVectorConfig(size=3, distance=models.Distance.DOT)
        )
        client.create_vector_name(filled, "new", config)
        client.create_vector_name(filled, "new", config)
        assert client.get_collection(filled).config.params.vectors["new"].size == 3
        client.upsert(filled, [models.PointStruct(id=50, vector={"new": [1.0, 2.0, 3.0]})])
        hits = client.query_points(filled, query=[1.0, 0.0, 0.0], using="new").points
        assert ids(hits) == [50]

    def test_create_vector_name__sparse(self, client: Any, filled: str) -> None:
        client.create_vector_name(
            filled,
            "terms",
            models.SparseVectorNameConfig(
                sparse=models.SparseVectorConfig(modifier=models.Modifier.IDF)
            ),
        )
        params = client.get_collection(filled).config.params
        assert params.sparse_vectors["terms"].modifier == models.Modifier.IDF

    def test_create_vector_name__a_different_one_is_refused(self, client: Any, filled: str) -> None:
        config = models.DenseVectorNameConfig(
            dense=models.DenseVectorConfig(size=3, distance=models.Distance.DOT)
        )
        with self.refused():
            client.create_vector_name(filled, "d", config)

    def test_delete_vector_name__drops_it(self, client: Any, filled: str) -> None:
        client.delete_vector_name(filled, "m")
        client.delete_vector_name(filled, "m")
        assert set(client.get_collection(filled).config.params.vectors) == {"d"}
        with self.refused():
            client.upsert(filled, [models.PointStruct(id=50, vector={"m": [[1.0, 2.0]]})])
        assert client.count(filled).count == 20

    @pytest.mark.parametrize(
        "schema",
        [
            models.PayloadSchemaType.KEYWORD,
            "integer",
            models.TextIndexParams(
                type=models.TextIndexType.TEXT,
                tokenizer=models.TokenizerType.WORD,
                min_token_len=2,
                lowercase=True,
            ),
            models.IntegerIndexParams(
                type=models.IntegerIndexType.INTEGER, lookup=True, range=False
            ),
        ],
    )
    def test_create_payload_index__types(self, client: Any, filled: str, schema: Any) -> None:
        client.create_payload_index(filled, "n", schema)
        info = client.get_collection(filled).payload_schema["n"]
        wanted = schema if isinstance(schema, str) else schema.type.value
        assert info.data_type == wanted
        if not isinstance(schema, str):
            said = schema.model_dump(exclude_none=True)
            assert info.params.model_dump(exclude_none=True).items() >= said.items()

    def test_create_payload_index__without_a_type_is_refused(
        self, client: Any, filled: str
    ) -> None:
        with self.refused():
            client.create_payload_index(filled, "n")

    def test_delete_payload_index__drops_it(self, client: Any, filled: str) -> None:
        client.create_payload_index(filled, "n", "integer")
        client.delete_payload_index(filled, "n")
        client.delete_payload_index(filled, "n")
        assert "n" not in client.get_collection(filled).payload_schema

    def test_upsert__a_missing_collection_is_refused(self, client: Any, name: str) -> None:
        point = models.PointStruct(id=1, vector=matrix(1)[0].tolist())
        with self.refused():
            client.upsert(name, [point])
