"""Memory does not grow with the input."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.fakes import REPOSITORY, run_python

#: Everything but the engine: its part is replaced by a sink that takes all.
JOB = """
import json, resource, sys
from pathlib import Path
sys.path.insert(0, sys.argv[3])
from qdrant_static import CollectionSpec, EdgeClient, ingest, load_encoder
from qdrant_static.ingestion import finishing
from qdrant_static.ingestion import run
from qdrant_static.sinks import sink

sink.store = lambda *_arguments: {}
finishing.build_index = lambda *_arguments, **_options: None
run.Finish.count = lambda _self, totals, **_options: (totals.new, totals.new)
run.Finish.read_back = lambda *_arguments: 0
encoder = load_encoder(sys.argv[2])
encoder.compile_kernels()
folder = Path(sys.argv[1])

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # MiB, on Linux

with EdgeClient(folder / "db") as client:
    before = peak()
    spec = CollectionSpec.for_encoder(encoder, sparse=None)
    report = ingest(client, "c", folder / "a.parquet", spec=spec, encoder=encoder)
print(json.dumps({"read": report.read, "stored": report.stored, "before": before, "peak": peak()}))
"""


@pytest.mark.parametrize(
    "rows",
    [
        pytest.param(200_000, id="200 thousand"),
        pytest.param(5_000_000, id="5 million", marks=pytest.mark.full),
    ],
)
def test_a_large_file_takes_no_more_memory_than_a_small_one(tmp_path, model_folder, rows):
    pytest.importorskip("resource")
    writer = None
    for start in range(0, rows, 50_000):
        numbers = range(start, start + 50_000)
        table = pa.table(
            {
                "id": [f"key-{n}" for n in numbers],
                "text": [f"short row {n} " + "the moon and the tide " * 17 for n in numbers],
            }
        )
        writer = writer or pq.ParquetWriter(
            tmp_path / "a.parquet", table.schema, compression="none", use_dictionary=False
        )
        writer.write_table(table)
    writer.close()
    done = run_python(JOB, tmp_path, model_folder, REPOSITORY, cwd=tmp_path, timeout_s=1200)
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert (found["read"], found["stored"]) == (rows, rows)
    assert found["peak"] < 1200
    assert found["peak"] - found["before"] < 200
