"""A real server's collections -> embedded ones: every kind, as it was, with nothing built anew."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import httpx
import numpy as np
import pytest
from qdrant_client import QdrantClient, models

from qdrant_static import CollectionSpec, EdgeClient, RunOptions, ingest, load_encoder
from qdrant_static.clients.retry import RetryPolicy
from qdrant_static.collection.diff import diff
from qdrant_static.collection.serverspec import ServerSpec
from qdrant_static.errors import (
    AccessDeniedError,
    ArgumentError,
    CannotPullError,
    CollectionExistsError,
    CollectionNotFoundError,
    ServerUnavailableError,
    VerificationError,
)
from qdrant_static.querying.run import Searcher
from qdrant_static.shipping.progress import PullProgress
from qdrant_static.shipping.pull import pull
from tests.fakes import run_cli, write_jsonl
from tests.server.own_cluster import OwnCluster
from tests.server.own_server import OwnServer, needs_binary

pytestmark = pytest.mark.server

POINTS, SIZE, QUERIES = 1200, 64, 20
#: So few kilobytes that every shard of a test has a graph.
SMALL = models.OptimizersConfigDiff(indexing_threshold=50)
#: So long the server may take to index them; only a defect reaches it, in seconds.
PATIENCE_S = 60.0
#: What is down stays so.
SOON = RetryPolicy(first_s=0.1, longest_s=0.5, budget_s=3.0)
HNSW, BINARY = models.HnswConfigDiff, models.BinaryQuantizationConfig


def dense(size: int = SIZE, distance: str = "Cosine", **options: Any) -> models.VectorParams:
    return models.VectorParams(size=size, distance=models.Distance(distance), **options)


def binary(**options: Any) -> models.BinaryQuantization:
    return models.BinaryQuantization(binary=BINARY(**options))


def int8(**options: Any) -> models.ScalarQuantization:
    return models.ScalarQuantization(
        scalar=models.ScalarQuantizationConfig(type=models.ScalarType.INT8, **options)
    )


def turbo(bits: str) -> models.TurboQuantization:
    return models.TurboQuantization(
        turbo=models.TurboQuantQuantizationConfig(bits=models.TurboQuantBitSize(bits))
    )


def product() -> models.ProductQuantization:
    return models.ProductQuantization(
        product=models.ProductQuantizationConfig(compression=models.CompressionRatio.X16)
    )


STARTS = "sea tide moon ship whale bread yeast oven lava ash stone forest river bridge engine wheel"
ENDS = "side light man less ful work house land born way craft ward wise like proof bound"
LATE = models.MultiVectorConfig(comparator=models.MultiVectorComparator.MAX_SIM)


@dataclass(frozen=True)
class Kind:
    """A collection as somebody may have made it."""

    vectors: Any
    sparse: dict[str, models.SparseVectorParams] | None = None
    options: dict[str, Any] = field(default_factory=dict)
    #: So few bits that many points are equally near, and their order is chance: the graph is
    #: compared by asking it without them.
    coarse: bool = False

    @property
    def shards(self) -> int:
        """Two where the answers are the same to the last digit.

        A server weighs a term by the points of one shard, and rescores the candidates of each
        shard by themselves.
        """
        if self.sparse or "quantization_config" in self.options:
            return 1
        params = self.vectors.values() if isinstance(self.vectors, dict) else [self.vectors]
        return 1 if any(one.quantization_config for one in params) else 2


KINDS = {
    "unnamed": Kind(dense()),
    "unnamed, dot": Kind(dense(distance="Dot")),
    "two distances": Kind({"a": dense(distance="Euclid"), "b": dense(16, "Manhattan")}),
    "no graph on one": Kind({"full": dense(), "small": dense(16, hnsw_config=HNSW(m=0))}),
    "a graph of its own": Kind(
        {"full": dense(hnsw_config=HNSW(m=24, ef_construct=50, payload_m=8)), "b": dense(32)},
        options={"hnsw_config": HNSW(m=12, full_scan_threshold=20, on_disk=True)},
    ),
    "sparse": Kind(
        {"full": dense()},
        {
            "bm25": models.SparseVectorParams(modifier=models.Modifier.IDF),
            "disk": models.SparseVectorParams(
                index=models.SparseIndexParams(
                    on_disk=True, full_scan_threshold=100, datatype=models.Datatype.FLOAT16
                )
            ),
        },
    ),
    "sparse alone": Kind({}, {"bm25": models.SparseVectorParams(modifier=models.Modifier.IDF)}),
    "late": Kind({"full": dense(), "late": dense(16, multivector_config=LATE)}),
    "binary": Kind(
        {"full": dense()},
        options={
            "quantization_config": binary(
                always_ram=True,
                query_encoding=models.BinaryQuantizationQueryEncoding.SCALAR8BITS,
            )
        },
    ),
    "binary, two bits": Kind(
        {
            "full": dense(
                quantization_config=binary(encoding=models.BinaryQuantizationEncoding.TWO_BITS)
            ),
            "b": dense(32),
        },
        coarse=True,
    ),
    "int8": Kind({"full": dense(quantization_config=int8(quantile=0.99, always_ram=True))}),
    "int8 of all, on disk": Kind(
        {"full": dense(on_disk=True), "b": dense(32)}, options={"quantization_config": int8()}
    ),
    "product": Kind({"full": dense(quantization_config=product())}),
    "turbo4": Kind({"full": dense()}, options={"quantization_config": turbo("bits4")}),
    "turbo2": Kind({"full": dense(quantization_config=turbo("bits2"))}),
    "float16": Kind({"full": dense(datatype=models.Datatype.FLOAT16)}),
    "uint8": Kind({"full": dense(datatype=models.Datatype.UINT8, distance="Dot")}),
    "on disk": Kind(
        {"full": dense(on_disk=True, hnsw_config=HNSW(on_disk=True))},
        options={"on_disk_payload": True},
    ),
    "payload in memory": Kind({"full": dense()}, options={"on_disk_payload": False}),
    "mapped": Kind(
        {"full": dense()},
        options={
            "optimizers_config": models.OptimizersConfigDiff(
                indexing_threshold=50, memmap_threshold=20, default_segment_number=3
            )
        },
    ),
    "inline": Kind(
        {"full": dense(quantization_config=binary(), on_disk=True)},
        options={"hnsw_config": HNSW(on_disk=True, inline_storage=True)},
        coarse=True,
    ),
}
INDEXES: dict[str, Any] = {
    "kw": models.KeywordIndexParams(type="keyword", is_tenant=True, on_disk=True),
    "list": "keyword",
    "n": models.IntegerIndexParams(type="integer", lookup=True, range=True),
    "only": models.IntegerIndexParams(type="integer", lookup=True, range=False),
    "f": models.FloatIndexParams(type="float", is_principal=True),
    "geo": "geo",
    "yes": "bool",
    "when": models.DatetimeIndexParams(type="datetime", on_disk=True),
    "id": models.UuidIndexParams(type="uuid"),
    "text": models.TextIndexParams(
        type="text",
        tokenizer=models.TokenizerType.WORD,
        min_token_len=2,
        max_token_len=15,
        lowercase=True,
        phrase_matching=True,
        stopwords=models.StopwordsSet(languages=[models.Language.ENGLISH], custom=["foo"]),
        stemmer=models.SnowballParams(
            type=models.Snowball.SNOWBALL, language=models.SnowballLanguage.ENGLISH
        ),
    ),
    "inner.n": "integer",
}


def payload(number: int) -> dict[str, Any]:
    return {
        "kw": f"k{number % 7}", "list": ["a", f"b{number % 3}"], "n": number, "only": number % 5,
        "f": number / 3, "geo": {"lon": number % 90, "lat": number % 45}, "yes": number % 2 == 0,
        "when": f"2024-01-{number % 28 + 1:02}T00:00:00Z", "id": str(UUID(int=number % 9)),
        "text": f"running foo dogs number {number % 4}", "inner": {"n": number % 6},
    }  # fmt: skip


def match(key: str, value: Any) -> models.FieldCondition:
    return models.FieldCondition(key=key, match=models.MatchValue(value=value))


FILTERS: list[Any] = [
    None,
    match("kw", "k3"),
    match("list", "b1"),
    models.FieldCondition(key="n", range=models.Range(gte=100, lt=700)),
    match("only", 2),
    models.FieldCondition(key="f", range=models.Range(gt=200.0)),
    models.FieldCondition(
        key="geo",
        geo_radius=models.GeoRadius(center=models.GeoPoint(lon=10, lat=10), radius=900_000),
    ),
    match("yes", True),
    models.FieldCondition(key="when", range=models.DatetimeRange(gte="2024-01-20T00:00:00Z")),
    match("id", str(UUID(int=4))),
    models.FieldCondition(key="text", match=models.MatchText(text="dog 3")),
    models.FieldCondition(key="text", match=models.MatchPhrase(phrase="dogs number")),
    match("inner.n", 4),
]


@pytest.fixture(scope="module", params=[True, False], ids=["grpc", "rest"])
def server(request) -> Iterator[QdrantClient]:
    url = os.environ["QDRANT_URL"]
    client = QdrantClient(
        url=url,
        prefer_grpc=request.param,
        grpc_port=(urlsplit(url).port or 6333) + 1,
        check_compatibility=False,
        timeout=60,
    )
    yield client
    client.close()


@pytest.fixture
def there(server) -> Iterator[str]:
    name = f"there-{uuid4().hex[:8]}"
    yield name
    server.delete_collection(name)


@pytest.fixture
def local(tmp_path) -> Iterator[EdgeClient]:
    with EdgeClient(tmp_path / "copy") as client:
        yield client


def rows(count: int, size: int, seed: int = 0, *, whole: bool = False) -> np.ndarray:
    random = np.random.default_rng(seed)
    if whole:
        return random.integers(0, 255, (count, size)).astype(np.float32)
    return random.standard_normal((count, size)).astype(np.float32)


def column(params: models.VectorParams, count: int, seed: int) -> list[Any]:
    made = rows(count, params.size, seed, whole=params.datatype == models.Datatype.UINT8)
    if params.multivector_config is None:
        return made.tolist()
    return [[row.tolist(), (row[::-1]).tolist()] for row in made]


def terms(number: int) -> models.SparseVector:
    indices = sorted({number % 11, number % 17 + 20, number % 5 + 50})
    return models.SparseVector(indices=indices, values=[1.0 + number % 3] * len(indices))


def make(server, name, kind: Kind, *, shards: int = 2, points: int = POINTS, indexed=None) -> None:
    options = {"optimizers_config": SMALL, **kind.options}
    server.create_collection(
        name,
        vectors_config=kind.vectors,
        sparse_vectors_config=kind.sparse,
        shard_number=shards,
        metadata={"owner": "somebody"},
        **options,
    )
    for key, schema in (indexed or {"n": "integer"}).items():
        server.create_payload_index(name, key, schema, wait=True)
    store(server, name, kind, range(points))
    settle(server, name)


def store(server, name, kind: Kind, numbers: range) -> None:
    unnamed = isinstance(kind.vectors, models.VectorParams)
    params = {"": kind.vectors} if unnamed else kind.vectors
    columns = {key: column(one, numbers.stop, i) for i, (key, one) in enumerate(params.items())}
    for start in range(numbers.start, numbers.stop, 300):
        batch = []
        for number in range(start, min(start + 300, numbers.stop)):
            vector = {key: values[number] for key, values in columns.items()}
            vector |= {key: terms(number) for key in kind.sparse or {}}
            point_id = number if number % 3 else str(UUID(int=number))
            batch.append(
                models.PointStruct(
                    id=point_id, vector=vector[""] if unnamed else vector, payload=payload(number)
                )
            )
        server.upsert(name, batch, wait=True)


def settle(server, name) -> None:
    until = time.monotonic() + PATIENCE_S
    calm = 0
    while time.monotonic() < until:
        calm = calm + 1 if server.get_collection(name).status == "green" else 0
        if calm == 3:
            return
        time.sleep(0.05)
    raise AssertionError("the server does not come to rest")


def segments(local: EdgeClient, name: str) -> list[str]:
    return sorted(path.name for path in local.path.glob(f"{name}/shards/0/segments/*"))


def asked(kind: Kind) -> list[tuple[Any, str | None]]:
    """Queries, each with the vector that it is for."""
    unnamed = isinstance(kind.vectors, models.VectorParams)
    params = {"": kind.vectors} if unnamed else kind.vectors
    found: list[tuple[Any, str | None]] = []
    for i, (key, one) in enumerate(params.items()):
        found += [(query, key or None) for query in column(one, QUERIES, 100 + i)]
    for key in kind.sparse or {}:
        found += [(terms(number), key) for number in range(QUERIES)]
    return found


def differing(
    server, there, local, name, queries, conditions=(None,), *, coarse: bool = False
) -> list[Any]:
    """The questions whose answers differ in ids or scores."""
    params = models.SearchParams(quantization=models.QuantizationSearchParams(ignore=coarse))
    wrong = []
    for number, (query, using) in enumerate(queries):
        condition = conditions[number % len(conditions)]
        only = None if condition is None else models.Filter(must=[condition])
        arguments = {
            "query": query, "using": using, "query_filter": only, "limit": 10,
            "search_params": params,
        }  # fmt: skip
        theirs = server.query_points(there, **arguments).points
        ours = local.query_points(name, **arguments).points
        same = len(theirs) == len(ours) and np.allclose(
            [one.score for one in theirs], [one.score for one in ours], rtol=1e-5, atol=1e-6
        )
        # Points with one score come in any order, and the last of them, or its twin.
        scores = [round(one.score, 4) for one in theirs]
        clear = {one.id for one, score in zip(theirs, scores, strict=True) if score != scores[-1]}
        if not same or not clear <= {one.id for one in ours}:
            wrong.append((using, condition, theirs, ours))
    return wrong


def edited(local, name, kind: Kind) -> None:
    """Edits of points that were pulled take: of the oldest and of the newest."""
    total = local.count(name).count
    ids = [1, 2, POINTS - 2, POINTS - 1, str(UUID(int=POINTS - 3))]
    local.set_payload(name, {"n": -5}, points=ids)
    assert [one.payload["n"] for one in local.retrieve(name, ids)] == [-5] * len(ids)
    minus = models.Filter(must=[match("n", -5)])
    assert local.count(name, count_filter=minus).count == len(ids)
    local.delete(name, ids[2:])
    assert local.count(name).count == total - 3
    assert {one.id for one in local.retrieve(name, ids)} == {1, 2}
    first = local.retrieve(name, [1], with_vectors=True)[0]
    local.upsert(name, [models.PointStruct(id=2, vector=first.vector, payload={"n": 77})])
    assert local.retrieve(name, [2])[0].payload == {"n": 77}


@pytest.mark.parametrize("kind", KINDS)
def test_a_collection_comes_as_it_is(kind, server, there, local):
    one = KINDS[kind]
    make(server, there, one, shards=one.shards)
    report = pull(server, there, local, name="copy")
    assert (report.points, report.shards) == (POINTS, tuple(range(one.shards)))
    assert report.complete
    assert report.bytes > 0
    before = segments(local, "copy")
    assert report.segments == len(before)
    assert differing(server, there, local, "copy", asked(one), coarse=one.coarse) == []
    number = models.FieldCondition(key="n", range=models.Range(gte=300, lt=500))
    assert differing(server, there, local, "copy", asked(one), [number], coarse=one.coarse) == []
    # With other queries open files would be held: the folders are compared, not their contents.
    assert not local.optimize("copy")
    assert segments(local, "copy") == before
    info, copied = server.get_collection(there), local.get_collection("copy")
    assert copied.indexed_vectors_count == info.indexed_vectors_count
    assert copied.config.metadata == {"owner": "somebody"}
    assert copied.payload_schema == info.payload_schema
    edited(local, "copy", one)
    local.release()
    assert local.count("copy").count == POINTS - 3


def test_payload_indexes_of_all_kinds_come_along(server, there, local):
    kind = Kind({"full": dense()})
    make(server, there, kind, indexed=INDEXES)
    pull(server, there, local, name="copy")
    assert (
        local.get_collection("copy").payload_schema == server.get_collection(there).payload_schema
    )
    queries = asked(kind) * 2
    assert differing(server, there, local, "copy", queries, FILTERS) == []
    for condition in FILTERS[1:]:
        only = models.Filter(must=[condition])
        count = local.count("copy", count_filter=only).count
        assert 0 < count == server.count(there, count_filter=only, exact=True).count, condition
    assert not local.optimize("copy")


def test_one_shard_alone_is_said_to_be_a_part(server, there, local):
    kind = Kind({"full": dense()})
    make(server, there, kind, shards=3)
    report = pull(server, there, local, shards=[2, 0])
    assert report.shards == (0, 2)
    assert not report.complete
    assert "Not the whole collection: shard 0, 2 of 3" in str(report)
    assert 0 < report.points < POINTS
    rest = pull(server, there, local, shards=[1], name="rest")
    assert report.points + rest.points == POINTS
    with pytest.raises(ArgumentError, match=r"shards: \[3\] given; there are: \[0, 1, 2\]"):
        pull(server, there, local, shards=[0, 3], name="none")
    assert not local.collection_exists("none")


def test_an_alias_is_pulled_under_its_own_name(server, there, local):
    make(server, there, Kind(dense()), points=50)
    alias = f"alias-{there}"
    create = models.CreateAlias(collection_name=there, alias_name=alias)
    server.update_collection_aliases([models.CreateAliasOperation(create_alias=create)])
    report = pull(server, alias, local)
    assert (report.collection, report.source, report.points) == (alias, there, 50)


def test_an_empty_collection_can_be_pulled_and_filled(server, there, local):
    kind = Kind({"full": dense()})
    make(server, there, kind, points=0)
    assert pull(server, there, local, name="copy").points == 0
    store(local, "copy", kind, range(40))
    assert local.count("copy").count == 40


def test_one_that_is_here_is_left_alone(server, there, local):
    make(server, there, Kind(dense()), points=20)
    pull(server, there, local)
    local.delete(there, [1, 2])
    with pytest.raises(CollectionExistsError, match="nothing was changed"):
        pull(server, there, local)
    assert local.count(there).count == 18
    assert pull(server, there, local, name="another").points == 20


def test_one_that_is_not_there_is_named(server, local):
    with pytest.raises(CollectionNotFoundError, match="no collection 'nowhere' in http"):
        pull(server, "nowhere", local)
    assert local.get_collections().collections == []


def test_the_server_keeps_no_snapshot(server, there, local):
    make(server, there, Kind(dense()), points=300)
    pull(server, there, local)
    url = f"{os.environ['QDRANT_URL'].rstrip('/')}/collections/{there}"
    for place in ("snapshots", "shards/0/snapshots", "shards/1/snapshots"):
        assert httpx.get(f"{url}/{place}").json()["result"] == []


def test_its_progress_is_told(server, there, local):
    make(server, there, Kind(dense()), points=300)
    heard: list[PullProgress] = []
    report = pull(server, there, local, progress=heard.append)
    assert [one.sent_bytes for one in heard] == sorted(one.sent_bytes for one in heard)
    assert heard[-1] == PullProgress(
        phase="opening", sent_bytes=report.bytes, total_bytes=0, shards_done=2, shards=2
    )


def test_an_interruption_leaves_nothing(server, there, local):
    make(server, there, Kind(dense()), points=300)

    def stop(progress: PullProgress) -> None:
        if progress.shards_done == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pull(server, there, local, progress=stop)
    assert local.get_collections().collections == []
    assert not (local.path / there).exists()
    assert pull(server, there, local).points == 300


def test_writes_meanwhile_leave_whole_points(server, there, local):
    """Every point is as it was before or after a write, and what was acknowledged is in it."""
    # The server's own threshold: below it nothing is rewritten, and the pull need not wait.
    kind = Kind({"full": dense(16), "b": dense(16)}, options={"optimizers_config": None})
    make(server, there, kind, points=400)
    over = threading.Event()
    acknowledged = [0]

    def write() -> None:
        for turn in range(1, 10_000):
            if over.is_set():
                return
            value = [float(turn)] * 16
            batch = [
                models.PointStruct(id=10_000 + i, vector={"full": value, "b": value},
                                   payload={"turn": turn})
                for i in range(20)
            ]  # fmt: skip
            server.upsert(there, batch, wait=True)
            acknowledged[0] = turn

    writer = threading.Thread(target=write)
    writer.start()
    try:
        while acknowledged[0] < 3:
            time.sleep(0.01)
        certain = acknowledged[0]
        pull(server, there, local)
    finally:
        over.set()
        writer.join()
    found = local.retrieve(there, list(range(10_000, 10_020)), with_vectors=True)
    assert len(found) == 20
    for one in found:
        turn = one.payload["turn"]
        assert turn >= certain
        one_of_all = [1 / 4] * 16  # cosine: stored at the length 1
        assert np.allclose(one.vector["full"], one_of_all)
        assert np.allclose(one.vector["b"], one_of_all)
    local.set_payload(there, {"turn": -1}, points=[10_000])
    assert local.retrieve(there, [10_000])[0].payload["turn"] == -1


def test_what_is_not_waited_for_is_in_it(server, there, local):
    make(server, there, Kind(dense()), points=100)
    for start in range(100, 600, 100):
        points = [
            models.PointStruct(id=number, vector=row.tolist(), payload={})
            for number, row in enumerate(rows(100, SIZE), start=20_000 + start)
        ]
        server.upsert(there, points, wait=False)
    assert pull(server, there, local, shards=[0, 1]).points == 600


@pytest.mark.parametrize(("shards", "plan"), [(1, None), (2, "dense")])
def test_a_collection_of_ours_is_searched_by_its_name(
    shards, plan, server, there, local, tmp_path, shared
):
    """Two hundred questions, with the default plan too: the server's hits, ids and scores.

    Of several shards BM25 differs, see `Kind.shards`; and codes of one bit for 64 dimensions are
    often equal, so that other candidates are rescored.
    """
    folder = shared / "models" / "potion-base-2M"
    if not folder.exists():
        pytest.skip("the folder of shared data has no such model")
    encoder = load_encoder(str(folder))
    random = np.random.default_rng(5)
    # Many words and lengths: few texts are equally good.
    words = [f"{start}{end}" for start in STARTS.split() for end in ENDS.split()]
    texts = [" ".join(random.choice(words, random.integers(5, 60))) for _ in range(3000)]
    records = [{"id": i, "text": text, "group": i % 4} for i, text in enumerate(texts)]
    spec = CollectionSpec.for_encoder(
        encoder,
        matryoshka=(32,),
        quantization="int8",
        payload_indexes={"group": "integer"},
        server=ServerSpec(shards=shards),
    )
    ingest(
        server,
        there,
        str(write_jsonl(tmp_path / "texts.jsonl", records)),
        spec=spec,
        encoder=encoder,
        key="id",
        text=("text",),
        run_options=RunOptions(state=tmp_path / "state"),
    )
    server.update_collection(there, optimizers_config=SMALL)
    time.sleep(0.5)
    settle(server, there)
    pull(server, there, local)
    before = segments(local, there)
    theirs = Searcher(server, there, encoder=encoder)
    ours = Searcher(local, there, encoder=encoder)
    only = models.Filter(must=[match("group", 2)])
    for number in range(200):
        question = " ".join(random.choice(words, 3))
        condition = only if number % 2 else None
        there_hits = theirs.search(question, limit=10, plan=plan, query_filter=condition)
        here_hits = ours.search(question, limit=10, plan=plan, query_filter=condition)
        scores = [one.score for one in there_hits]
        assert np.allclose(scores, [one.score for one in here_hits], atol=1e-5), question
        clear = {one.id for one in there_hits if one.score > scores[-1] + 1e-5}
        assert clear <= {one.id for one in here_hits}
    assert not local.optimize(there)
    assert segments(local, there) == before
    assert diff(local, there, spec).differences == ()


def test_the_command(server, there, tmp_path):
    make(server, there, Kind(dense()), points=100)
    url = os.environ["QDRANT_URL"]
    arguments = ("pull", there, "--from", url, "--db", tmp_path / "copy")
    done = run_cli(*arguments, "--as", "mine", "--shard", "1", "--json", cwd=tmp_path)
    assert done.code == 0, done.err
    assert '"complete": false' in done.out
    again = run_cli(*arguments, "--as", "mine", cwd=tmp_path)
    assert (again.code, "exists" in again.err) == (2, True)
    whole = run_cli(*arguments, cwd=tmp_path)
    assert (whole.code, "100 points" in whole.out) == (0, True), whole.err
    missing = run_cli("pull", "nowhere", *arguments[2:], cwd=tmp_path)
    assert (missing.code, "no collection 'nowhere'" in missing.err) == (2, True)


@needs_binary
@pytest.mark.filterwarnings("ignore:Api key is used with an insecure connection")
def test_a_key_that_may_not(tmp_path):
    with OwnServer(tmp_path, settings="api_key: all, read_only_api_key: look") as own:
        writer = own.client(api_key="all")
        make(writer, "there", Kind(dense()), points=30)
        with EdgeClient(tmp_path / "copy") as local:
            with pytest.raises(AccessDeniedError):
                pull(own.client(api_key="wrong"), "there", local)
            with pytest.raises((AccessDeniedError, CannotPullError)):
                pull(own.client(api_key="look"), "there", local)
            assert local.get_collections().collections == []
            assert pull(writer, "there", local).points == 30


@needs_binary
def test_a_cluster_of_which_a_node_is_down(tmp_path):
    """Each shard comes from a node that has it; with replicas, also while one is away."""
    with OwnCluster(tmp_path / "cluster") as cluster:
        client = cluster.nodes[0].client()
        kind = Kind({"full": dense()})
        client.create_collection(
            "there", vectors_config=kind.vectors, shard_number=4, replication_factor=2
        )
        client.create_collection("apart", vectors_config=kind.vectors, shard_number=4)
        for name in ("there", "apart"):
            store(client, name, kind, range(POINTS))
        with EdgeClient(tmp_path / "copy") as local:
            assert (
                pull(client, "there", local, peers=cluster.addresses, retry=SOON).points == POINTS
            )
            edited(local, "there", kind)
            # Without replicas half of the shards are at the other node alone.
            assert pull(client, "apart", local, peers=cluster.addresses).points == POINTS
            edited(local, "apart", kind)
            cluster.nodes[1].kill()
            report = pull(client, "there", local, name="again", peers=cluster.addresses, retry=SOON)
            assert (report.points, report.shards) == (POINTS, (0, 1, 2, 3))
            with pytest.raises((ServerUnavailableError, CannotPullError)):
                pull(client, "apart", local, name="half", peers=cluster.addresses, retry=SOON)
            assert not local.collection_exists("half")


@needs_binary
def test_shard_keys_are_collections_of_their_own(tmp_path):
    """Two shard keys may hold the same id."""
    with OwnCluster(tmp_path / "cluster", nodes=1) as cluster:
        client = cluster.nodes[0].client()
        client.create_collection(
            "there", vectors_config=dense(4), sharding_method=models.ShardingMethod.CUSTOM
        )
        for key in ("a", "b"):
            client.create_shard_key("there", key)
            point = models.PointStruct(id=1, vector=[1.0, 0, 0, 0], payload={"key": key})
            client.upsert("there", [point], shard_key_selector=key)
        with EdgeClient(tmp_path / "copy") as local:
            with pytest.raises(VerificationError, match="2 points with 1 different ids"):
                pull(client, "there", local)
            assert not local.collection_exists("there")
            assert pull(client, "there", local, shards=[1]).points == 1
