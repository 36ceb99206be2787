"""A forked child has nothing of its parent's collections: it says so, and keeps nothing locked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")

#: The child waits for a line before it ends; the parent says what it could do meanwhile.
PROGRAM = """
import gc, json, os, sys
from qdrant_client import models
from qdrant_static import EdgeClient
from qdrant_static.errors import QdrantStaticError
from qdrant_static.clients.statefolder import StateFolder

root, what = sys.argv[1:]
PARAMS = models.VectorParams(size=1, distance=models.Distance.DOT)
client = EdgeClient(root)
client.create_collection("c", PARAMS)
client.upsert("c", [models.PointStruct(id=1, vector=[1.0], payload={"a": 1})])
client.query_points("c", [1.0])  # starts the engine's threads
state = StateFolder(client.path / "_state" / "c", "c")
told, tell = os.pipe()
wait, go_on = os.pipe()
pid = os.fork()
if pid == 0:
    os.close(go_on)
    answers = []
    for call in (
        lambda: client.count("c"),
        lambda: client.get_collections(),
        lambda: client.create_collection("d", PARAMS),
    ):
        try:
            call()
            answers.append("done")
        except QdrantStaticError as error:
            answers.append(f"{type(error).__name__}: {error}")
    client.close()
    with EdgeClient(root + "-own") as own:
        own.create_collection("own", PARAMS)
        own.upsert("own", [models.PointStruct(id=1, vector=[1.0])])
        answers.append(own.query_points("own", [1.0]).points[0].id)
    os.write(tell, json.dumps(answers).encode() + b"\\n")
    os.read(wait, 1)
    del client
    gc.collect()  # nothing of the parent's engine is freed, which would write its files
    os._exit(0)  # as multiprocessing ends its children
os.close(tell)
os.close(wait)
child = json.loads(os.fdopen(told).readline())
if what == "die":
    print(json.dumps(child), flush=True)
    sys.stdin.readline()
    os._exit(9)
found = {"child": child, "here": client.count("c").count}
found["built"] = client.optimize("c", another_process=True)
found["after the build"] = client.count("c").count
client.upsert("c", [models.PointStruct(id=2, vector=[2.0])])
client.close()
state.close()
StateFolder(client.path / "_state" / "c", "c").close()
with EdgeClient(root) as again:
    found["opened again"] = again.count("c").count
os.write(go_on, b".")
found["child's end"] = os.waitpid(pid, 0)[1]
with EdgeClient(root) as again:
    found["in the end"] = [one.payload for one in again.scroll("c")[0]]
print(json.dumps(found))
"""


def run(folder: Path, what: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", PROGRAM, str(folder), what],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_child_is_refused_by_its_process_and_the_parent_goes_on(tmp_path: Path) -> None:
    program = run(tmp_path / "db", "close")
    out, err = program.communicate(timeout=900)
    assert (program.returncode, err) == (0, "")
    found = json.loads(out)
    *refusals, own = found.pop("child")
    for refusal in refusals:
        assert refusal.startswith("ClientForkedError: this client of ")
        assert f"belongs to process {program.pid}" in refusal
        assert '"spawn"' in refusal
    assert own == 1
    assert found == {
        "here": 1,
        "built": False,
        "after the build": 1,
        "opened again": 2,
        "child's end": 0,
        "in the end": [{"a": 1}, {}],
    }


def test_a_child_that_outlives_its_parent_keeps_nothing_locked(tmp_path: Path) -> None:
    from qdrant_static import EdgeClient
    from qdrant_static.clients.statefolder import StateFolder

    program = run(tmp_path / "db", "die")
    assert program.stdout.readline().startswith("[")
    program.stdin.write("die\n")
    program.stdin.flush()
    assert program.wait(timeout=900) == 9
    with EdgeClient(tmp_path / "db") as client:  # the child ends with the pipe's other end
        assert client.count("c").count == 1
    StateFolder(tmp_path / "db" / "_state" / "c", "c").close()
    program.communicate(timeout=900)
