"""A nightly job: a job file, two nights, a crash of the input, and the question in the morning.

python nightly.py            in a folder of its own
python nightly.py FOLDER     there
"""

import json
import sys
import tempfile
from contextlib import closing
from pathlib import Path

from qdrant_static import Job, connect, verify
from qdrant_static.errors import DeletionRefusedError

JOB = """
collection = "articles"
paths = ["articles.jsonl"]
db = "data"
encoder = "wordllama"

[spec]
matryoshka = [64]

[ingest]
sync = true
delete_missing = true
max_rejects = "1%"
"""


def write(path: Path, rows: list[dict]) -> None:
    """What another program leaves every evening."""
    path.write_text("\n".join(json.dumps(row) for row in rows) + "\n")


def main(folder: Path) -> None:
    rows = [
        {"id": f"doi/{n}", "title": f"Article {n}", "text": f"On subject {n % 17}, part {n}."}
        for n in range(400)
    ]
    job_file = folder / "nightly.toml"
    job_file.write_text(JOB)
    job = Job.load(job_file)

    print("--- the first night: everything is new")
    write(folder / "articles.jsonl", rows)
    print(job.run(), "\n")

    print("--- the second night: two texts have changed, a title, and three articles have gone")
    rows[0]["text"] = "Another subject."
    rows[1]["text"] = "Yet another one."
    rows[2]["title"] = "A better title"
    write(folder / "articles.jsonl", rows[:-3])
    report = job.run()
    print(report, "\n")
    assert (report.stored, report.payload_updated, report.deleted) == (3, 0, 3)

    print("--- the third night: the other program has left half of a file")
    write(folder / "articles.jsonl", rows[:200])
    try:
        job.run()
    except DeletionRefusedError as error:
        print(f"exit code {error.exit_code}: {error}\n")

    print("--- in the morning: is everything in?")
    with closing(connect(folder / "data")) as client:
        print(verify(client, "articles"))
    manifest = json.loads(report.manifest.read_text())
    print("the second night's manifest says", {k: manifest[k] for k in ("read", "new", "deleted")})


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as name:
            main(Path(name))
