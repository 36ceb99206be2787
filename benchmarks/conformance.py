"""The conformance table: methods x clients, made by running the suite.

    QDRANT_URL=http://localhost:6333 python benchmarks/conformance.py

Prints markdown. A method is *passed* where all its tests pass; else the differences are listed
below the table with their reasons, as `qdrant_static/testing/differences.py` has them.
"""

from __future__ import annotations

import os
import re
from collections import Counter, defaultdict

import pytest

CLIENTS = {
    "TestEdge": "EdgeClient",
    "TestMemory": '":memory:"',
    "TestRest": "server, REST",
    "TestGrpc": "server, gRPC",
}
_NAME = re.compile(r"(Test\w+)::test_([a-z_]+?)__(\w+)(\[.*\])?$")


class Results:
    """Outcomes by method and client, collected while pytest runs."""

    def __init__(self) -> None:
        self.outcomes: dict[str, dict[str, Counter[str]]] = defaultdict(
            lambda: defaultdict(Counter)
        )
        self.notes: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Called by pytest for every phase of every test."""
        if report.when != "call" and report.outcome == "passed":
            return
        found = _NAME.search(report.nodeid)
        if found is None:
            return
        client, method, claim, case = found.groups()
        reason = getattr(report, "wasxfail", "")
        outcome = reason.partition(":")[0] if reason and report.skipped else report.outcome
        self.outcomes[method][client][outcome] += 1
        if reason and report.skipped:
            told = f"{method}: {claim.replace('_', ' ')}{case or ''} - {reason.partition(': ')[2]}"
            self.notes[client][told].append(report.nodeid)

    def cell(self, method: str, client: str) -> str:
        """What one client does with one method."""
        counts = self.outcomes[method][client]
        if not counts:
            return "-"
        if counts["failed"]:
            return f"**{counts['failed']} failed**"
        kinds = [f"{counts[kind]} {kind}" for kind in ("differs", "not supported") if counts[kind]]
        return ", ".join([f"{counts['passed']} passed", *kinds])


def main() -> None:
    """Run the suite on all clients that there are, and print the table."""
    files = ["tests/engine/test_conformance.py"]
    clients = dict(CLIENTS)
    if "QDRANT_URL" in os.environ:
        files.append("tests/server/test_conformance.py")
    else:
        clients = {key: clients[key] for key in ("TestEdge", "TestMemory")}
    results = Results()
    pytest.main([*files, "-q", "--no-header"], plugins=[results])
    print("| method | " + " | ".join(clients.values()) + " |")
    print("|---" * (len(clients) + 1) + "|")
    for method in sorted(results.outcomes):
        cells = " | ".join(results.cell(method, client) for client in clients)
        print(f"| `{method}` | {cells} |")
    for client, title in clients.items():
        print(f"\n{title}:\n")
        print("\n".join(f"- {told}" for told in sorted(results.notes[client])) or "- none")


if __name__ == "__main__":
    main()
