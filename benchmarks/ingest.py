"""From a Parquet file to a searchable, indexed collection: how long, and beside whom.

    python benchmarks/ingest.py [--rows 171000] [--only NAME ...] [--out ingest.json]
    QDRANT_URL=http://localhost:6333 python benchmarks/ingest.py --server

171,000 passages (the size of TREC-COVID, about 190 MB) of 1,024 dimensions, into Qdrant Edge. The
text is the documentation of the Python that runs this (with ``--data``, a BEIR folder's corpus as
well), repeated with variation. The table behind the vectors is random: speed depends on the
words, not on the weights; recall is therefore measured on clustered vectors, in the same layout.

Three layouts: ``recommended`` (1,024-d for rescoring, without a graph, ``mrl_256`` with one, binary
codes on both), ``bm25`` (the same with BM25) and ``article`` (one 1,024-d vector with HNSW and
binary codes). For each: ``engine`` is the engine alone, given points made beforehand, and ``ours``
is `ingest` on the file. ``recipe`` is what a script does: model2vec encodes a batch, its points go
to the engine one list after another.

Every contender runs in a fresh process. Limits: one machine, Linux's figures of memory, kernels
compiled beforehand (they compile once per installation).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

DIM = 1024
SMALL = 256
BATCH = 1000
TERMS = 2**20
SEED = 7
LAYOUTS = ("recommended", "bm25", "article")


# --- the input --------------------------------------------------------------------------------


def passages(rows: int, data: Path | None) -> Iterator[tuple[str, str]]:
    """(title, text) of about 1.1 KB: documentation, and a corpus if given; varied when repeated."""
    from qdrant_static.cli.demo_corpus import collect

    found = [(entry.name, entry.doc) for entry in collect() if len(entry.doc) > 200]
    if data is not None:
        lines = (data / "corpus.jsonl").read_text().splitlines()
        found += [(row["title"], row["text"]) for row in map(json.loads, lines)]
    dice = random.Random(SEED)  # noqa: S311  # not for secrets
    count = 0
    while True:
        for title, text in found:
            words = text.split()
            while len(" ".join(words)) < 700:
                words += found[dice.randrange(len(found))][1].split()
            at = dice.randrange(len(words))
            yield title, " ".join(words[at:] + words[:at])[:1500]
            count += 1
            if count == rows:
                return


def prepare(folder: Path, rows: int, data: Path | None) -> None:
    """The Parquet file, the model, and what the engine alone is given."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder.mkdir(parents=True, exist_ok=True)
    found = list(passages(rows, data))
    table = pa.table(
        {
            "id": pa.array(range(rows), pa.int64()),
            "title": pa.array([title for title, _ in found]),
            "text": pa.array([text for _, text in found]),
            "year": pa.array([1990 + number % 35 for number in range(rows)], pa.int32()),
        }
    )
    pq.write_table(table, folder / "passages.parquet", row_group_size=20_000, compression="zstd")
    make_model(folder / "model", [text for _, text in found[:8000]])
    megabytes = sum(len(text) for _, text in found) / 1e6
    print(f"{rows:,} passages, {megabytes:,.0f} MB of text", file=sys.stderr)


def make_model(folder: Path, texts: list[str]) -> None:
    """A model2vec folder: WordPiece learned from the texts, random weights of 1,024 dimensions."""
    from safetensors.numpy import save_file
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))  # noqa: S106
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(
        vocab_size=30_000, special_tokens=["[PAD]", "[UNK]"], show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    folder.mkdir(exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    # A few factors, as real tables have: random ones would make all passages alike.
    dice = np.random.default_rng(SEED)
    weights = dice.standard_normal((tokenizer.get_vocab_size(), 64), dtype=np.float32)
    weights = weights @ dice.standard_normal((64, DIM), dtype=np.float32)
    save_file({"embeddings": weights.astype(np.float32)}, folder / "model.safetensors")
    config = {"normalize": True, "model_type": "model2vec", "seq_length": 1_000_000}
    (folder / "config.json").write_text(json.dumps(config))


def encode_beforehand(folder: Path) -> None:
    """All vectors, as files that the engine's run maps."""
    import pyarrow.parquet as pq

    from qdrant_static.encoders.loading import load_folder
    from qdrant_static.encoders.sparse import Bm25Encoder

    table = pq.read_table(folder / "passages.parquet")
    texts = [f"{title} {text}" for title, text in zip(
        table["title"].to_pylist(), table["text"].to_pylist(), strict=True)]  # fmt: skip
    encoder = load_folder(folder / "model")
    encoded = encoder.encode_batch(texts, sizes=(SMALL,)).vectors
    encoded[DIM].tofile(folder / "full.f32")
    encoded[SMALL].tofile(folder / "small.f32")
    mean = Bm25Encoder(language="english").mean_length(texts[:4000])
    rows = Bm25Encoder(language="english", avg_len=mean).encode_documents(texts)
    rows.indices.tofile(folder / "indices.u32")
    rows.values.tofile(folder / "values.f32")
    np.save(folder / "pointers.npy", rows.pointers)


# --- the contenders ---------------------------------------------------------------------------


def engine(folder: Path, place: Path, layout: str) -> dict[str, Any]:
    """The engine alone: points from rows of matrices, one list of them after another.

    Reading what was made beforehand does not count, neither as time nor as memory.
    """
    import pyarrow.parquet as pq
    import qdrant_edge as edge

    place.mkdir()
    shard = edge.EdgeShard.create(str(place), edge_config(layout))
    pointers = np.load(folder / "pointers.npy").tolist() if layout == "bm25" else []
    seconds = 0.0
    row = 0
    with pq.ParquetFile(folder / "passages.parquet") as file:
        for batch in file.iter_batches(BATCH):
            payloads = batch.to_pylist()
            end = row + len(payloads)
            full = part(folder / "full.f32", np.float32, row * DIM, end * DIM).reshape(-1, DIM)
            small = part(folder / "small.f32", np.float32, row * SMALL, end * SMALL)
            small = small.reshape(-1, SMALL)
            if pointers:
                first, last = pointers[row], pointers[end]
                indices = part(folder / "indices.u32", np.uint32, first, last)
                values = part(folder / "values.f32", np.float32, first, last)
            started = time.perf_counter()
            points = []
            for number, payload in enumerate(payloads):
                vector: Any = {"full": memoryview(full[number])}
                if layout != "article":
                    vector["mrl_256"] = memoryview(small[number])
                if pointers:
                    at = slice(pointers[row + number] - first, pointers[row + number + 1] - first)
                    vector["bm25"] = edge.SparseVector(indices[at].tolist(), values[at].tolist())
                points.append(edge.Point(row + number, vector, payload))
            shard.update(edge.UpdateOperation.upsert_points(points))
            seconds += time.perf_counter() - started
            row = end
    started = time.perf_counter()
    shard.flush()
    seconds += time.perf_counter() - started
    started = time.perf_counter()
    shard.optimize()
    shard.flush()
    index = time.perf_counter() - started
    count = shard.count(edge.CountRequest(exact=True))
    shard.close()
    return {
        "wall_s": round(seconds + index, 1), "write_s": round(seconds, 1),
        "index_s": round(index, 1), "points": count, **peak(),
    }  # fmt: skip


def part(path: Path, dtype: Any, first: int, last: int) -> np.ndarray:
    """Numbers of a file, read rather than mapped, so that they do not count as memory."""
    size = np.dtype(dtype).itemsize
    return np.fromfile(path, dtype, count=last - first, offset=first * size)


def edge_config(layout: str) -> Any:
    """The layout in the engine's own terms."""
    import qdrant_edge as edge

    codes = edge.BinaryQuantizationConfig(
        encoding=edge.BinaryQuantizationEncoding.OneBit,
        query_encoding=edge.BinaryQuantizationQueryEncoding.Scalar8Bits,
        memory=edge.Memory.Pinned,
    )

    def vector(size: int, m: int) -> Any:
        return edge.EdgeVectorParams(
            size=size, distance=edge.Distance.Cosine, quantization_config=codes,
            memory=edge.Memory.Cached,
            hnsw_config=edge.HnswIndexConfig(m=m, ef_construct=100, full_scan_threshold=10_000),
        )  # fmt: skip

    if layout == "article":
        return edge.EdgeConfig(vectors={"full": vector(DIM, 16)})
    sparse = {"bm25": edge.EdgeSparseVectorParams(modifier=edge.Modifier.Idf)}
    return edge.EdgeConfig(
        vectors={"full": vector(DIM, 0), "mrl_256": vector(SMALL, 16)},
        sparse_vectors=sparse if layout == "bm25" else {},
    )


def our_spec(encoder: Any, layout: str) -> Any:
    """The layout in ours."""
    from qdrant_static import CollectionSpec

    return CollectionSpec.for_encoder(
        encoder,
        matryoshka=() if layout == "article" else (SMALL,),
        quantization="binary",
        sparse="bm25" if layout == "bm25" else None,
    )


def ours(folder: Path, place: Path, layout: str) -> dict[str, Any]:
    """`ingest` on the file."""
    from qdrant_static import connect, ingest, load_encoder

    encoder = load_encoder(str(folder / "model"))
    encoder.compile_kernels()
    client = connect(place)
    started = time.perf_counter()
    report = ingest(
        client, "c", folder / "passages.parquet", spec=our_spec(encoder, layout), encoder=encoder
    )
    wall = time.perf_counter() - started
    client.close()
    assert report.read == report.stored == report.points_after, report  # noqa: S101
    return {
        "wall_s": round(wall, 1), "write_s": round(report.seconds["load"], 1),
        "index_s": round(report.seconds["index"], 1), "points": report.points_after, **peak(),
    }  # fmt: skip


def again(folder: Path, place: Path, layout: str) -> dict[str, Any]:
    """`ingest(sync=True)`: first, again with nothing changed, again with 1% changed."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    from qdrant_static import RunOptions, connect, ingest, load_encoder

    encoder = load_encoder(str(folder / "model"))
    encoder.compile_kernels()
    source = folder / "sync.parquet"
    shutil.copyfile(folder / "passages.parquet", source)
    figures: dict[str, Any] = {}
    for step in ("first", "unchanged", "changed"):
        if step == "changed":
            table = pq.read_table(source)
            hundredth = pc.divide(table["id"], 100)
            odd = pc.equal(pc.subtract(table["id"], pc.multiply(hundredth, 100)), 5)
            texts = pc.if_else(odd, pc.binary_join_element_wise(table["text"], "anew", " "),
                               table["text"])  # fmt: skip
            table = table.set_column(table.schema.get_field_index("text"), "text", texts)
            pq.write_table(table.cast(pa.schema(table.schema)), source, row_group_size=20_000)
        client = connect(place)
        started = time.perf_counter()
        report = ingest(
            client,
            "c",
            source,
            spec=our_spec(encoder, layout),
            encoder=encoder,
            run_options=RunOptions(sync=step != "first"),
        )
        figures[f"{step}_s"] = round(time.perf_counter() - started, 2)
        figures[f"{step}_stored"] = report.stored
        client.close()
    return {**figures, **peak()}


def recipe(folder: Path, place: Path, layout: str) -> dict[str, Any]:
    """A script: model2vec encodes a batch, its points go to the engine as lists."""
    import pyarrow.parquet as pq
    from model2vec import StaticModel
    from qdrant_client import models

    from qdrant_static import EdgeClient
    from qdrant_static.collection.create import create_collection
    from qdrant_static.encoders.loading import load_folder

    spec = our_spec(load_folder(folder / "model"), layout)
    client = EdgeClient(place, index_after_load=False)
    create_collection(client, "c", spec)
    model = StaticModel.from_pretrained(folder / "model")
    started = time.perf_counter()
    for batch in pq.ParquetFile(folder / "passages.parquet").iter_batches(256):
        rows = batch.to_pylist()
        vectors = model.encode([f"{row['title']} {row['text']}" for row in rows])
        client.upsert("c", [
            models.PointStruct(id=row["id"], payload=row, vector=named(vector.tolist(), layout))
            for row, vector in zip(rows, vectors, strict=True)
        ])  # fmt: skip
    written = time.perf_counter()
    client.optimize("c")
    done = time.perf_counter()
    count = client.count("c", exact=True).count
    client.close()
    return {
        "wall_s": round(done - started, 1), "write_s": round(written - started, 1),
        "index_s": round(done - written, 1), "points": count, **peak(),
    }  # fmt: skip


def named(vector: list[float], layout: str) -> dict[str, list[float]]:
    """A point's vectors."""
    if layout == "article":
        return {"full": vector}
    small = np.asarray(vector[:SMALL], np.float32)
    return {"full": vector, "mrl_256": (small / np.linalg.norm(small)).tolist()}


def recall(folder: Path, place: Path, layout: str) -> dict[str, Any]:
    """recall@10 of the layout's default plan against exact search, on clustered vectors."""
    from qdrant_client import models

    from qdrant_static import CollectionSpec, EdgeClient
    from qdrant_static.collection.create import create_collection
    from qdrant_static.collection.passes import default_plan
    from qdrant_static.collection.plan import SearchPlan
    from qdrant_static.encoders.loading import load_folder
    from qdrant_static.querying.run import Query, answer

    rows = int(os.environ.get("RECALL_ROWS", "171000"))
    dice = np.random.default_rng(SEED)
    centers = dice.standard_normal((2000, 96), dtype=np.float32)
    basis = dice.standard_normal((96, DIM), dtype=np.float32)
    # Matryoshka training puts more into the first dimensions.
    basis *= np.linspace(1.5, 0.5, DIM, dtype=np.float32)
    inner = centers[dice.integers(2000, size=rows + 500)]
    inner += 0.6 * dice.standard_normal(inner.shape, dtype=np.float32)
    vectors = inner @ basis
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    small = vectors[:, :SMALL] / np.linalg.norm(vectors[:, :SMALL], axis=1, keepdims=True)
    spec: CollectionSpec = our_spec(load_folder(folder / "model"), layout)
    client = EdgeClient(place, index_after_load=False)
    create_collection(client, "c", spec)
    for start in range(0, rows, BATCH):
        chunk: dict[str, Any] = {"full": vectors[start : min(start + BATCH, rows)]}
        if layout != "article":
            chunk["mrl_256"] = small[start : min(start + BATCH, rows)]
        client.upload_collection(
            "c", chunk, ids=range(start, min(start + BATCH, rows)), batch_size=BATCH
        )
    client.optimize("c")
    queries = [Query(dense=row) for row in vectors[rows:]]
    found = answer(client, "c", spec, default_plan(spec), queries, limit=10)
    exact = answer(client, "c", spec, SearchPlan(kind="exact"), queries, limit=10)
    client.close()
    del models
    share = np.mean([
        len({hit.id for hit in a} & {hit.id for hit in b}) / 10
        for a, b in zip(found, exact, strict=True)
    ])  # fmt: skip
    return {"recall_at_10": round(float(share), 4), "queries": len(queries), "points": rows}


# --- a server ---------------------------------------------------------------------------------


def server(layout: str, *, indexed: bool) -> Any:
    """A client of the server at QDRANT_URL, and a collection that is there and empty."""
    from qdrant_client import models

    from qdrant_static import connect
    from qdrant_static.collection.create import create_collection
    from qdrant_static.encoders.base import EncoderInfo

    client = connect(os.environ["QDRANT_URL"])
    client.delete_collection("ingest_benchmark")

    class Known:
        info = EncoderInfo(name="made beforehand", dimension=DIM, fingerprint="none")

    create_collection(client, "ingest_benchmark", our_spec(Known(), layout))
    if not indexed:
        client.update_collection(
            "ingest_benchmark", optimizers_config=models.OptimizersConfigDiff(indexing_threshold=0)
        )
    return client


def matrices_of(folder: Path) -> Iterator[tuple[int, dict[str, np.ndarray], list[dict[str, Any]]]]:
    """First row, vectors and payloads of what was made beforehand, a thousand rows at a time."""
    import pyarrow.parquet as pq

    row = 0
    with pq.ParquetFile(folder / "passages.parquet") as file:
        for batch in file.iter_batches(BATCH):
            end = row + batch.num_rows
            vectors = {
                "full": part(folder / "full.f32", np.float32, row * DIM, end * DIM),
                "mrl_256": part(folder / "small.f32", np.float32, row * SMALL, end * SMALL),
            }
            shaped = {name: one.reshape(batch.num_rows, -1) for name, one in vectors.items()}
            yield row, shaped, batch.to_pylist()
            row = end


def sent_by_upload(folder: Path, client: Any, names: tuple[str, ...]) -> float:
    """`QdrantClient.upload_collection` with matrices, the client's best way; seconds."""
    seconds = 0.0
    for row, vectors, payloads in matrices_of(folder):
        started = time.perf_counter()
        client.upload_collection(
            "ingest_benchmark",
            {name: vectors[name] for name in names},
            payload=payloads,
            ids=range(row, row + len(payloads)),
            batch_size=256,
            wait=True,
        )
        seconds += time.perf_counter() - started
    return seconds


def sent_by_sink(folder: Path, client: Any, names: tuple[str, ...]) -> float:
    """Our sink, the same matrices; seconds."""
    from qdrant_static.sinks.serversink import ServerSink
    from qdrant_static.sinks.sink import EncodedBatch

    seconds = 0.0
    sizes = {"full": DIM, "mrl_256": SMALL}
    sink = ServerSink(
        client, "ingest_benchmark", {name: sizes[name] for name in names},
        on_settled=lambda token, done: None,
    )  # fmt: skip
    for row, vectors, payloads in matrices_of(folder):
        started = time.perf_counter()
        batch = EncodedBatch(dense={name: vectors[name] for name in names}, sparse=None)
        sink.submit(row, list(range(row, row + len(payloads))), batch, payloads)
        seconds += time.perf_counter() - started
    started = time.perf_counter()
    sink.flush()
    seconds += time.perf_counter() - started
    sink.close()
    return seconds


def server_points(folder: Path, place: Path, layout: str) -> dict[str, Any]:
    """Time per point of one 1,024-d vector, no index: the client's best way, and ours, in turn."""
    figures: dict[str, list[float]] = {"upload": [], "sink": []}
    for _ in range(3):
        for name, send in (("upload", sent_by_upload), ("sink", sent_by_sink)):
            client = server("article", indexed=False)
            figures[name].append(send(folder, client, ("full",)))
            count = client.count("ingest_benchmark", exact=True).count
            client.close()
    best = {name: min(times) for name, times in figures.items()}
    return {
        "points": count,
        "upload_us": round(best["upload"] / count * 1e6, 1),
        "sink_us": round(best["sink"] / count * 1e6, 1),
        "ratio": round(best["upload"] / best["sink"], 2),
        "all_s": {name: [round(one, 1) for one in times] for name, times in figures.items()},
    }


def server_green(folder: Path, place: Path, layout: str) -> dict[str, Any]:
    """File -> green by `ingest`, beside vectors made beforehand -> green by `upload_collection`."""
    from qdrant_static import RunOptions, ingest, load_encoder
    from qdrant_static.clients.indexing import wait_until_indexed

    client = server("recommended", indexed=True)
    started = time.perf_counter()
    upload = sent_by_upload(folder, client, ("full", "mrl_256"))
    waiting = time.perf_counter()
    wait_until_indexed(client, "ingest_benchmark")
    upload += time.perf_counter() - waiting
    client.delete_collection("ingest_benchmark")
    encoder = load_encoder(str(folder / "model"))
    encoder.compile_kernels()
    started = time.perf_counter()
    report = ingest(
        client,
        "ingest_benchmark",
        folder / "passages.parquet",
        spec=our_spec(encoder, "recommended"),
        encoder=encoder,
        run_options=RunOptions(state=place / "state"),
    )
    wall = time.perf_counter() - started
    client.delete_collection("ingest_benchmark")
    client.close()
    return {
        "upload_s": round(upload, 1), "ours_s": round(wall, 1), "ratio": round(wall / upload, 2),
        "points": report.points_after, "seconds": report.seconds,
    }  # fmt: skip


CONTENDERS = {
    "server-points": server_points, "server-green": server_green,
    "engine": engine, "ours": ours, "recipe": recipe, "sync": again, "recall": recall,
}  # fmt: skip
SERVER = ("server-points:article", "server-green:recommended")
ALL = (
    *(f"{who}:{layout}" for layout in LAYOUTS for who in ("engine", "ours")),
    "recipe:article", "sync:recommended", "recall:recommended",
)  # fmt: skip


def peak() -> dict[str, int]:
    """Peak resident memory, in MB."""
    return {"peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}


def main() -> None:
    """Prepare the input, run every contender in a process of its own, print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=171_000)
    parser.add_argument("--data", type=Path, help="a BEIR folder whose corpus is added")
    parser.add_argument("--work", type=Path, help="where the input is kept between runs")
    parser.add_argument("--only", action="append", choices=(*ALL, *SERVER))
    parser.add_argument("--server", action="store_true", help="into the server at QDRANT_URL")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    options = parser.parse_args()
    work = options.work or Path(tempfile.mkdtemp(prefix="ingest-"))
    if options.measure:
        who, layout = options.measure.split(":")
        place = work / "db"
        shutil.rmtree(place, ignore_errors=True)
        print(json.dumps(CONTENDERS[who](work, place, layout)))
        shutil.rmtree(place, ignore_errors=True)
        return
    if not (work / "passages.parquet").exists():
        prepare(work, options.rows, options.data)
    if not (work / "pointers.npy").exists():
        encode_beforehand(work)
    results: dict[str, dict[str, Any]] = {}
    for name in options.only or (SERVER if options.server else ALL):
        command = [sys.executable, __file__, "--measure", name, "--work", str(work)]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
        results[name] = json.loads(done.stdout.splitlines()[-1])
        print(f"{name}: {json.dumps(results[name])}", flush=True)
    report = {
        "python": platform.python_version(),
        **{name: version(name) for name in ("qdrant-edge-py", "qdrant-client", "model2vec")},
        "rows": options.rows,
        "results": results,
    }
    print(table(results))
    if options.out:
        options.out.write_text(json.dumps(report, indent=2))
    if options.work is None:
        shutil.rmtree(work)


def table(results: dict[str, dict[str, Any]]) -> str:
    """The figures that the goals are about."""
    lines = [
        "| layout | ours s | engine s | ratio | peak over engine MB |",
        "|---|---|---|---|---|",
    ]
    for layout in LAYOUTS:
        mine, bare = results.get(f"ours:{layout}"), results.get(f"engine:{layout}")
        if mine and bare:
            ratio = mine["wall_s"] / bare["wall_s"]
            more = mine["peak_mb"] - bare["peak_mb"]
            lines.append(
                f"| {layout} | {mine['wall_s']} | {bare['wall_s']} | {ratio:.2f} | {more} |"
            )
    if "recipe:article" in results and "ours:article" in results:
        ratio = results["recipe:article"]["wall_s"] / results["ours:article"]["wall_s"]
        lines.append(f"\nthe recipe, its layout: {ratio:.1f} times as long as ours")
    if "sync:recommended" in results:
        one = results["sync:recommended"]
        lines.append(
            f"sync: first {one['first_s']} s, nothing changed {one['unchanged_s']} s "
            f"({one['first_s'] / one['unchanged_s']:.0f}x), {one['changed_stored']:,} changed "
            f"{one['changed_s']} s ({one['changed_s'] / one['first_s']:.0%})"
        )
    if "recall:recommended" in results:
        lines.append(f"recall@10 on clustered vectors: {results['recall:recommended']}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
