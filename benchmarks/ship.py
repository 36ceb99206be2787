"""Built here and shipped, or indexed by the server that serves: time, CPU, and what readers feel.

    python benchmarks/ship.py --url http://localhost:6333 [--rows 171000] [--json ship.json]

171,000 passages of about 1 KB, as Parquet, become a collection of a server: 1,024 dimensions for
rescoring and ``mrl_256`` with the graph, binary codes on both. Two contenders, each in a fresh
process: ``ingest`` sends points over gRPC and waits until the server has indexed them; ``ship``
is ``ingest(build=BuildHere())``, which builds the same collection beside the file, sends it as
snapshots and has the server prove it. All the while a reader in a process of its own asks another
collection 20 times a second: first with nothing else going on, then during each contender.

The server must run on this machine: its CPU seconds are those of its process (``--server-pid``; by
default the one that listens on the port). What it spends on the reader is measured while idle and
taken off. Its collections ``ship_benchmark*`` are deleted before and after.

Limits: one machine and one shard unless ``--shards`` says otherwise, so server, contender and
reader share its cores; the time of a query includes what its process waits for a core. Linux only
(/proc). Vectors are of a random table: speed depends on words, not on weights. Kernels are compiled
beforehand. p95 of a short window rests on few queries; how many is in the JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from ingest import DIM, SMALL, our_spec, prepare

TARGET = "ship_benchmark"
READ = "ship_benchmark_read"
QUERIES_S = 20
READ_POINTS, READ_DIM = 20_000, 256
#: So long nothing may begin in the server after a contender has said that it is done, in seconds.
AFTER_S = 5.0
SEED = 7
CONTENDERS = ("ingest", "ship")


# --- the server, seen from outside ------------------------------------------------------------


@dataclass(frozen=True)
class Server:
    """Where it is, and which process it is.

    Attributes:
        url: Of REST.
        grpc_port: Of gRPC.
        pid: Of the process whose CPU seconds count.
    """

    url: str
    grpc_port: int
    pid: int

    def client(self) -> Any:
        """As `connect` makes it, with gRPC also behind an unusual port."""
        from qdrant_client import QdrantClient

        return QdrantClient(
            url=self.url, grpc_port=self.grpc_port, prefer_grpc=True, timeout=300,
            api_key=os.environ.get("QDRANT_API_KEY"), check_compatibility=False,
        )  # fmt: skip

    def cpu_s(self) -> float:
        """User and system time of all its threads since it started, in seconds."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def listener(port: int) -> int:
    """The process that listens on a port of this machine."""
    sockets = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port:
                sockets.add(f"socket:[{fields[9]}]")
    for place in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if os.readlink(place) in sockets:
                return int(place.parts[2])
        except OSError:  # it has ended, or is not ours to look at
            continue
    raise SystemExit(f"no process of ours listens on port {port} of this machine: --server-pid?")


# --- the reader -------------------------------------------------------------------------------


def fill_read(client: Any) -> None:
    """The collection that is read: indexed before anything is measured."""
    from qdrant_client import models

    from qdrant_static.clients.indexing import wait_until_indexed

    client.delete_collection(READ)
    client.create_collection(
        READ, models.VectorParams(size=READ_DIM, distance=models.Distance.COSINE)
    )
    client.upload_collection(READ, vectors=clustered(READ_POINTS), batch_size=500, wait=True)
    wait_until_indexed(client, READ)


def clustered(count: int) -> np.ndarray:
    """float32 (count, READ_DIM): topics, and points around them."""
    dice = np.random.default_rng(SEED)
    topics = dice.standard_normal((500, READ_DIM), dtype=np.float32)
    rows = topics[dice.integers(500, size=count)]
    return rows + 0.7 * dice.standard_normal(rows.shape, dtype=np.float32)


def read(server: Server, out: Path) -> None:
    """Ask until standard input ends; a line per query: when it was due, sent and answered."""
    import threading

    client = server.client()
    queries = clustered(1000)
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    with out.open("w", buffering=1) as lines:
        started, number = time.monotonic(), 0
        while not ended.is_set():
            due = started + number / QUERIES_S
            time.sleep(max(0.0, due - time.monotonic()))
            sent = time.monotonic()
            hits = client.query_points(READ, queries[number % 1000].tolist(), limit=10).points
            assert len(hits) == 10, hits  # noqa: S101
            lines.write(f"{due} {sent} {time.monotonic()}\n")
            number += 1


@contextmanager
def reader(server: Server, out: Path) -> Iterator[Path]:
    """The reader's process, and the file that it writes."""
    command = [*itself(server), "--measure", "read", "--out", str(out)]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        try:
            while not out.exists() or not out.stat().st_size:
                if process.poll() is not None:
                    raise SystemExit("the reader has ended")
                time.sleep(0.1)
            yield out
            if process.poll() is not None:
                raise SystemExit("the reader has ended: its figures are not those of the run")
        finally:
            assert process.stdin is not None  # noqa: S101
            process.stdin.close()


def answers(out: Path, window: tuple[float, float]) -> tuple[list[float], list[float]]:
    """Milliseconds of the queries that were due in a window: from being sent, from being due.

    The second is what a server that stands still for a second looks like to all who come
    meanwhile, and not to the one who was first.
    """
    sent_ms, due_ms = [], []
    for line in out.read_text().splitlines():
        try:
            due, sent, answered = map(float, line.split())
        except ValueError:  # its end is not written yet
            continue
        if window[0] <= due < window[1]:
            sent_ms.append(1e3 * (answered - sent))
            due_ms.append(1e3 * (answered - due))
    return sent_ms, due_ms


def p95(values: list[float]) -> float:
    """The 95th percentile; NaN of nothing."""
    return float(np.percentile(values, 95)) if values else float("nan")


# --- the contenders ---------------------------------------------------------------------------


def contend(name: str, server: Server, work: Path, shards: int, bulk: bool) -> dict[str, Any]:
    """File -> live, by one of the two ways; times are of the machine's monotonic clock."""
    from dataclasses import replace

    from qdrant_static import RunOptions, ingest, load_encoder
    from qdrant_static.collection.serverspec import ServerSpec

    client = server.client()
    encoder = load_encoder(str(work / "model"))
    encoder.compile_kernels()
    spec = our_spec(encoder, "recommended")
    if shards > 1:
        spec = replace(spec, server=ServerSpec(shards=shards))
    build = None
    ends: list[float] = []
    if name == "ship":
        from qdrant_static import BuildHere

        build, bulk = BuildHere(shards=shards, keep=True), False
        stamp(ends)
    before = used()
    started = time.monotonic()
    report = ingest(
        client,
        TARGET,
        work / "passages.parquet",
        spec=spec,
        encoder=encoder,
        run_options=RunOptions(state=work / "state", bulk=bulk),
        build=build,
    )
    ended = time.monotonic()
    assert report.read == report.stored == report.points_after, report  # noqa: S101
    client.close()
    if report.shipment is None:
        busy = started, ended
    else:  # from its first question to its last proof
        laps = ("prepare_s", "send_s", "copy_s", "prove_s")
        busy = ends[0] - sum(report.shipment[lap] for lap in laps), ends[0]
    return {
        "wall_s": ended - started, "busy": busy, "on_server_s": busy[1] - busy[0],
        "phases_s": {phase: round(value, 2) for phase, value in report.seconds.items()},
        "own_cpu_s": round(used() - before, 2), "shipment": report.shipment,
    }  # fmt: skip


def stamp(ends: list[float]) -> None:
    """Have the end of a shipment noted: what comes after it (the ledger) is no server's work."""
    from qdrant_static.shipping import push

    real = push.ship

    def ship(*given: Any, **named: Any) -> Any:
        found = real(*given, **named)
        ends.append(time.monotonic())
        return found

    push.ship = ship


def used() -> float:
    """CPU seconds of this process and of those it has ended."""
    return sum(
        sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )


def measure(name: str, server: Server, asked: argparse.Namespace, work: Path, read: Path) -> Any:
    """One contender beside the reader: idle, then it, then what is left for the server to do."""
    client = server.client()
    client.delete_collection(TARGET)
    shutil.rmtree(work / "state", ignore_errors=True)
    quiet(server)
    idle = time.monotonic(), time.monotonic() + asked.idle
    cpu = server.cpu_s()
    time.sleep(asked.idle)
    idle_rate = (server.cpu_s() - cpu) / asked.idle

    before, begun = server.cpu_s(), time.monotonic()
    command = [*itself(server), "--measure", name, "--work", str(work),
               "--shards", str(asked.shards), *(["--bulk"] if asked.bulk else [])]  # fmt: skip
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    cpu, took = server.cpu_s() - before, time.monotonic() - begun
    told = json.loads(done.stdout.splitlines()[-1])

    queued = 0
    until = time.monotonic() + AFTER_S
    before, begun = server.cpu_s(), time.monotonic()
    while time.monotonic() < until:
        found = client.get_optimizations(TARGET)
        queued = max(queued, found.summary.queued_optimizations + len(found.running))
        time.sleep(0.2)
    left = server.cpu_s() - before - idle_rate * (time.monotonic() - begun)

    info = client.get_collection(TARGET)
    idle_ms, during_ms = answers(read, idle), answers(read, tuple(told["busy"]))
    figures = {
        **told,
        "server_cpu_raw_s": cpu,
        "server_cpu_s": cpu - idle_rate * took,
        "server_cpu_after_s": left,
        "idle_cpu_share": idle_rate,
        "idle_ms": idle_ms[0], "during_ms": during_ms[0],
        "idle_due_ms": idle_ms[1], "during_due_ms": during_ms[1],
        "queued_after": queued,
        "indexed_vectors": info.indexed_vectors_count,
        "points_lost": points_lost(client, asked.rows),
        "edits_lost": edits_lost(client, asked.rows, asked.edits),
    }  # fmt: skip
    client.delete_collection(TARGET)
    client.close()
    shutil.rmtree(work / "state", ignore_errors=True)
    return figures


def quiet(server: Server) -> None:
    """Return when the server does nothing but answer the reader."""
    for _ in range(60):
        before = server.cpu_s()
        time.sleep(1)
        if server.cpu_s() - before < 0.15:
            return
    raise SystemExit("the server is busy with something else")


def points_lost(client: Any, rows: int) -> int:
    """By exact count; and of ids chosen by chance, by asking for each."""
    dice = random.Random(SEED)  # noqa: S311
    ids = dice.sample(range(rows), min(rows, 10_000))
    found = 0
    for start in range(0, len(ids), 1000):
        found += len(client.retrieve(TARGET, ids[start : start + 1000], with_payload=False))
    return max(rows - int(client.count(TARGET, exact=True).count), len(ids) - found)


def edits_lost(client: Any, rows: int, count: int) -> int:
    """Payloads set, points written anew, points deleted: how many of them are not seen."""
    from qdrant_client import models

    dice = random.Random(SEED + 1)  # noqa: S311
    ids = dice.sample(range(rows), min(rows, count))
    vectors = np.random.default_rng(SEED).standard_normal((len(ids), DIM), dtype=np.float32)
    for number, one in enumerate(ids):
        if number % 3 == 0:
            client.set_payload(TARGET, {"edited": number}, points=[one], wait=True)
        elif number % 3 == 1:
            vector = {"full": vectors[number].tolist(), "mrl_256": vectors[number, :SMALL].tolist()}
            point = models.PointStruct(id=one, vector=vector, payload={"edited": number})
            client.upsert(TARGET, [point], wait=True)
        else:
            client.delete(TARGET, [one], wait=True)
    seen = {one.id: (one.payload or {}).get("edited") for one in client.retrieve(TARGET, ids)}
    return sum(
        (one in seen) if number % 3 == 2 else seen.get(one) != number
        for number, one in enumerate(ids)
    )


# --- the program ------------------------------------------------------------------------------


def itself(server: Server) -> list[str]:
    """The command of a process of this program's own."""
    return [
        sys.executable, __file__, "--url", server.url, "--grpc-port", str(server.grpc_port),
        "--server-pid", str(server.pid),
    ]  # fmt: skip


def main() -> None:
    """Prepare the input, measure both contenders, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--url", default=os.environ.get("QDRANT_URL"), help="[QDRANT_URL]")
    parser.add_argument("--grpc-port", type=int, help="[the URL's, and one]")
    parser.add_argument("--server-pid", type=int, help="[the process that listens at the URL]")
    parser.add_argument("--rows", type=int, default=171_000)
    parser.add_argument("--shards", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=1, help="both contenders, so many times")
    parser.add_argument(
        "--bulk", action="store_true", help="have the ordinary way index at its end"
    )
    parser.add_argument("--idle", type=float, default=20.0, help="seconds before each contender")
    parser.add_argument("--edits", type=int, default=300)
    parser.add_argument("--work", type=Path, help="where the input is kept between runs")
    parser.add_argument("--json", type=Path, help="a file for all figures")
    parser.add_argument("--measure", choices=(*CONTENDERS, "read"), help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if not asked.url:
        parser.error("--url, or QDRANT_URL")
    port = urlsplit(asked.url).port or 6333
    server = Server(asked.url, asked.grpc_port or port + 1, asked.server_pid or listener(port))
    if asked.measure == "read":
        read(server, asked.out)
        return
    if asked.measure:
        print(json.dumps(contend(asked.measure, server, asked.work, asked.shards, asked.bulk)))
        return
    work = asked.work or Path(tempfile.mkdtemp(prefix="ship-"))
    if not (work / "passages.parquet").exists():
        prepare(work, asked.rows, None)
    if (there := rows_of(work / "passages.parquet")) != asked.rows:
        parser.error(f"{work} holds {there:,} rows: give --rows {there}, or another --work")
    report = run(server, asked, work)
    print(table(report))
    if asked.json:
        asked.json.write_text(json.dumps(report, indent=2) + "\n")
    if asked.work is None:
        shutil.rmtree(work)


def rows_of(path: Path) -> int:
    """The rows of a Parquet file."""
    import pyarrow.parquet as pq

    return int(pq.ParquetFile(path).metadata.num_rows)


def run(server: Server, asked: argparse.Namespace, work: Path) -> dict[str, Any]:
    """All rounds; all figures."""
    client = server.client()
    results: dict[str, list[dict[str, Any]]] = {name: [] for name in CONTENDERS}
    try:
        fill_read(client)
        with tempfile.TemporaryDirectory() as folder, reader(server, Path(folder, "read")) as out:
            for _ in range(asked.rounds):
                for name in CONTENDERS:
                    found = measure(name, server, asked, work, out)
                    results[name].append(found)
                    told = {k: v for k, v in found.items() if not k.endswith("_ms")}
                    print(f"{name}: {json.dumps(told)}", file=sys.stderr, flush=True)
    finally:
        for name in (TARGET, READ):
            client.delete_collection(name)
    info = client.info()
    client.close()
    return {
        "server": f"{info.title} {info.version}",
        "python": platform.python_version(),
        **{name: version(name) for name in ("qdrant-edge-py", "qdrant-client")},
        "cores": len(os.sched_getaffinity(0)),
        "rows": asked.rows, "shards": asked.shards, "rounds": asked.rounds, "bulk": asked.bulk,
        "edits": asked.edits,
        "figures": {name: summed(found) for name, found in results.items()},
        "results": results,
    }  # fmt: skip


def summed(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    """Rounds of one contender: medians; all their queries together; the worst of the losses."""
    idle, during, idle_due, during_due = (
        [ms for one in rounds for ms in one[name]]
        for name in ("idle_ms", "during_ms", "idle_due_ms", "during_due_ms")
    )
    return {
        **{
            name: round(statistics.median(one[name] for one in rounds), 2)
            for name in ("on_server_s", "server_cpu_s", "server_cpu_after_s", "wall_s", "own_cpu_s")
        },
        "idle_p95_ms": round(p95(idle), 2), "during_p95_ms": round(p95(during), 2),
        "during_over_idle": round(p95(during) / p95(idle), 2),
        "due_during_over_idle": round(p95(during_due) / p95(idle_due), 2),
        "during_max_ms": round(max(during, default=float("nan")), 1),
        "queries_idle": len(idle), "queries_during": len(during),
        **{
            name: max(one[name] for one in rounds)
            for name in ("queued_after", "points_lost", "edits_lost")
        },
    }  # fmt: skip


def table(report: dict[str, Any]) -> str:
    """What the goals are about."""
    ingest, ship = (report["figures"][name] for name in CONTENDERS)

    def over(name: str) -> float:
        return float(ship[name] / ingest[name])

    lines = [
        f"{report['server']}, {report['rows']:,} points, {report['shards']} shard(s), "
        f"{report['cores']} cores, {report['rounds']} round(s)\n",
        "| figure | ingest | ship | ratio | goal |",
        "|---|---|---|---|---|",
    ]
    for told, name, goal, unit in (
        ("on the server until searchable and fully indexed", "on_server_s", 1 / 5, "s"),
        ("CPU of the server process", "server_cpu_s", 1 / 15, "s"),
        ("file -> live", "wall_s", 1.0, "s"),
    ):
        ratio = over(name)
        lines.append(
            f"| {told} | {ingest[name]:.1f} {unit} | {ship[name]:.1f} {unit} | "
            f"{ratio:.3f} | <= {goal:.3f}{_met(ratio <= goal)} |"
        )
    lines.append(
        f"| readers' p95, idle -> during | {ingest['idle_p95_ms']:.1f} -> "
        f"{ingest['during_p95_ms']:.1f} ms ({ingest['during_over_idle']:.2f}x) | "
        f"{ship['idle_p95_ms']:.1f} -> {ship['during_p95_ms']:.1f} ms | "
        f"{ship['during_over_idle']:.2f}x | <= 1.30x{_met(ship['during_over_idle'] <= 1.3)} |"
    )
    for told, name in (
        ("optimizations queued after", "queued_after"),
        ("points lost", "points_lost"),
        ("edits lost", "edits_lost"),
    ):
        lines.append(f"| {told} | {ingest[name]} | {ship[name]} | | 0{_met(not ship[name])} |")
    lines.append(
        f"\nreaders' queries during: {ingest['queries_during']} and {ship['queries_during']}; "
        f"counted from when they were due: {ingest['due_during_over_idle']:.2f}x and "
        f"{ship['due_during_over_idle']:.2f}x; CPU of the contender itself: "
        f"{ingest['own_cpu_s']:.1f} s and {ship['own_cpu_s']:.1f} s"
    )
    return "\n".join(lines)


def _met(met: bool) -> str:
    return "" if met else " (missed)"


if __name__ == "__main__":
    main()
