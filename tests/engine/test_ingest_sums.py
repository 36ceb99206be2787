"""Both sums hold for any table, and what is stored is what a plain model of the rules says."""

from __future__ import annotations

import tempfile
from collections import Counter
from datetime import date, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qdrant_static import CollectionSpec, EdgeClient, ingest
from qdrant_static.ids import point_id
from qdrant_static.reading import jsonl, parquet
from tests.fakes import FakeEncoder, grouped, write_jsonl

ENCODER = FakeEncoder()
SPEC = CollectionSpec.for_encoder(ENCODER, sparse=None, quantization=None)

names = st.text(st.characters(codec="utf-8", exclude_characters="."), min_size=1, max_size=6)
# The engine reads a decimal number exactly if its digits fit 53 bits: quarters below 2**43 do.
numbers = st.integers(-(2**45), 2**45).map(lambda n: n / 4)
scalars = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**63), 2**63 - 1), st.text(max_size=8), numbers,
)  # fmt: skip
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=5,
)  # fmt: skip
keys = st.one_of(
    st.integers(0, 4), st.sampled_from(["a", "b", "0"]), st.none(), st.just(2.5), st.just(True)
)
texts = st.sampled_from(["moon", "tide and sea", " ", "", None, 5])
records = st.builds(
    lambda key, text, extra: {**extra, "id": key, "text": text},
    keys, texts,
    st.dictionaries(names.filter(lambda n: n not in ("id", "text")), values, max_size=2),
)  # fmt: skip
tables = st.lists(records, max_size=14)
policies = st.sampled_from(["reject", "first", "last"])


def is_valid(row: dict) -> bool:
    key, text = row["id"], row["text"]
    key_fits = isinstance(key, int | str) and not isinstance(key, bool)
    return key_fits and isinstance(text, str) and bool(text.strip())


def winners(tables: list[list[dict]], policy: str) -> dict:
    found: dict = {}
    for row in (row for table in tables for row in table if is_valid(row)):
        point = point_id(row["id"])
        if policy == "last" or point not in found:
            found[point] = row
    return found


def check(report, tables: list[list[dict]], policy: str, before: int) -> None:
    rows = [row for table in tables for row in table]
    kept = winners(tables, policy)
    losers = sum(map(is_valid, rows)) - len(kept)
    settled = report.stored + report.payload_updated + report.unchanged
    assert report.read == len(rows)
    assert report.read == settled + report.superseded + sum(report.rejected.values())
    assert report.rejected.get("duplicate_key", 0) == (losers if policy == "reject" else 0)
    assert report.superseded == (0 if policy == "reject" else losers)
    assert report.points_before == before
    assert report.points_after == before + report.new - report.deleted
    assert report.exact


@pytest.fixture(autouse=True)
def small_batches(monkeypatch):
    for module in (jsonl, parquet):
        monkeypatch.setattr(module, "MAX_ROWS", 4)


@settings(
    max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture]
)  # each makes a collection
@given(tables, tables, policies, tables, policies)
def test_both_sums_hold_for_any_table_and_for_its_next_version(first, second, policy, third, then):
    with tempfile.TemporaryDirectory() as name, EdgeClient(Path(name) / "db") as client:
        folder = Path(name)

        def run(tables: list[list[dict]], policy: str, **options):
            paths = [write_jsonl(folder / f"{n}.jsonl", rows) for n, rows in enumerate(tables)]
            return ingest(
                client,
                "c",
                paths,
                **grouped(
                    spec=SPEC,
                    encoder=ENCODER,
                    key="id",
                    text="text",
                    on_duplicate=policy,
                    **options,
                ),
            )

        def stored() -> dict:
            if not client.collection_exists("c"):  # of rows that are all rejected none is made
                return {}
            found, _ = client.scroll("c", limit=1000)
            return {record.id: record.payload for record in found}

        report = run([first, second], policy)
        check(report, [first, second], policy, 0)
        kept = winners([first, second], policy)
        assert stored() == kept
        assert report.new == report.points_after == len(kept)

        again = run([third, second], then, sync=True, delete_missing=True, force=True)
        check(again, [third, second], then, len(kept))
        after = winners([third, second], then)
        assert stored() == after
        if then != "last":  # that one writes a key's rows one after the other
            changes = Counter(
                "new" if point not in kept
                else "same" if kept[point] == row
                else "payload" if kept[point]["text"] == row["text"]
                else "changed"
                for point, row in after.items()
            )  # fmt: skip
            assert again.unchanged == changes["same"]
            assert again.payload_updated == changes["payload"]
            assert again.stored == changes["new"] + changes["changed"]
        assert again.deleted == len(kept.keys() - after.keys())


VALUES = {
    pa.int64(): 1, pa.float64(): 0.5, pa.bool_(): True, pa.string(): "x",
    pa.date32(): date(2024, 2, 29), pa.timestamp("us"): datetime(2024, 2, 29, 1, 2, 3, 4),
    pa.list_(pa.int32()): [1, 2], pa.struct([("a", pa.int8()), ("b", pa.string())]): {"a": 1},
}  # fmt: skip
columns = st.sampled_from(list(VALUES))


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.none() | st.integers(0, 9), st.sampled_from(["a", "b c", "", None])),
             max_size=12),
    st.dictionaries(names.filter(lambda n: n not in ("id", "text")), columns, max_size=3),
    policies,
    st.data(),
)  # fmt: skip
def test_both_sums_hold_for_any_parquet_table(rows, extra, policy, data):
    ids, texts = [row[0] for row in rows], [row[1] for row in rows]
    content = {"id": pa.array(ids, pa.int64()), "text": pa.array(texts, pa.string())}
    for name, kind in extra.items():
        filled = data.draw(st.lists(st.booleans(), min_size=len(rows), max_size=len(rows)))
        content[name] = pa.array([VALUES[kind] if here else None for here in filled], kind)
    with tempfile.TemporaryDirectory() as folder, EdgeClient(Path(folder) / "db") as client:
        path = Path(folder) / "a.parquet"
        pq.write_table(pa.table(content), path, row_group_size=5)
        tables = [[{"id": i, "text": t} for i, t in zip(ids, texts, strict=True)]]
        options = {"spec": SPEC, "encoder": ENCODER, "on_duplicate": policy}
        report = ingest(client, "c", path, **grouped(**options))
        check(report, tables, policy, 0)
        again = ingest(client, "c", path, **grouped(sync=True, **options))
        check(again, tables, policy, report.points_after)
        if policy != "last":
            assert (again.stored, again.payload_updated) == (0, 0)
