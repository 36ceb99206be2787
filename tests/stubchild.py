"""In the place of a process that builds a shard: does what its job's bytes say, and nothing else.

``python -m tests.stubchild``. It imports nothing of the package, so that it starts at once.
"""

from __future__ import annotations

import json
import os
import sys


def main() -> None:
    """Read the job; behave."""
    length = int.from_bytes(os.read(0, 8), "big")
    job = b""
    while len(job) < length:
        job += os.read(0, length - len(job))
    counts = {"read": 1, "stored": 1, "rejected": 0}
    sys.stdout.write(json.dumps({"counts": counts, "fraction": None}) + "\n")
    sys.stdout.flush()
    if b"dies" in job:
        sys.stderr.write("something of the system's\n")
        sys.exit(9)
    if b"ends" in job:
        sys.stdout.write(json.dumps({"ended": True}) + "\n")
        return
    if b"unfit" in job:
        sys.stdout.write(json.dumps({"single": "no such model"}) + "\n")
        return
    if b"waits" not in job:
        sys.exit("nobody said what to do")
    said = os.read(0, 64)  # waits until it is told to stop, or alone
    sys.stdout.write(json.dumps({"ended": False, "said": said.decode()}) + "\n")


if __name__ == "__main__":
    main()
