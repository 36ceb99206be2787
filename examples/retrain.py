"""Two nights of a job that fits the model again, and moves to it only if it is better.

pip install "qdrant-static[offline]"
python retrain.py            in a folder of its own
python retrain.py FOLDER     there
"""

import json
import sys
import tempfile
from contextlib import closing
from itertools import product
from pathlib import Path

from qdrant_static import (
    CollectionSpec,
    RetrainJob,
    connect,
    ingest,
    load_encoder,
    point_alias,
)
from qdrant_static.training import AdaptOptions, TrainingTexts, adapt

JOB = """
collection = "articles"
db = "data"

[retrain]
teacher = "wordllama"
judged = "judged"
models = "models"
accept = ["latency", "recall"]   # this example is small, and may run on a busy machine
retire_after_s = 0

[adapt]
epochs = 1
"""
THINGS = ("tides", "sourdough", "volcanoes", "compilers", "whales", "bridges", "glaciers", "maps")
SIDES = ("history", "physics", "economics", "chemistry", "repair", "poetry", "law")
#: How people ask, in other words than the articles'.
ASKED = {
    "history": "what happened in the past with {}",
    "physics": "which forces and energy are behind {}",
    "economics": "how much money {} cost on the market",
    "chemistry": "which molecules and acids are in {}",
    "repair": "how to fix {} that are broken",
    "poetry": "verses and rhymes about {}",
    "law": "which court decides about {}",
}


def write_judged(folder: Path) -> list[dict[str, str]]:
    """Write the articles, the questions, and which article answers which."""
    rows = [
        {"_id": f"{side}/{thing}", "text": f"The {side} of {thing}"}
        for side, thing in product(SIDES, THINGS)
    ]
    (folder / "qrels").mkdir(parents=True)
    queries = [
        {
            "_id": row["_id"],
            "text": ASKED[row["_id"].split("/")[0]].format(row["_id"].split("/")[1]),
        }
        for row in rows
    ]
    for name, records in (("corpus", rows), ("queries", queries)):
        lines = "".join(json.dumps(record) + "\n" for record in records)
        (folder / f"{name}.jsonl").write_text(lines)
    judgements = "".join(f"{row['_id']}\t{row['_id']}\t1\n" for row in rows)
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\n" + judgements)
    return rows


def main(folder: Path) -> None:
    rows = write_judged(folder / "judged")
    (folder / "retrain.toml").write_text(JOB)

    # The model in use has 8 dimensions, too few for these articles.
    small = adapt(
        TrainingTexts.of([row["text"] for row in rows]), teacher="wordllama",
        out=folder / "models" / "small", options=AdaptOptions(dimension=8, epochs=1),
    )  # fmt: skip
    encoder = load_encoder(small.path)
    with closing(connect(folder / "data")) as client:
        spec = CollectionSpec.for_encoder(encoder, sparse=None)
        ingest(client, "articles__v1", rows, spec=spec, encoder=encoder)
        point_alias(client, "articles", "articles__v1")

    job = RetrainJob.load(folder / "retrain.toml")
    print("--- the first night: a model of all dimensions is better")
    report = job.run()
    print(report, "\n")
    assert report.moved

    print("--- the second night: nothing has changed")
    report = job.run()
    print(report)
    assert not report.moved


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as name:
            main(Path(name))
