"""How much RAM and disk, how many machines: known before anything is built.

python examples/capacity.py
"""

from qdrant_static.cli.capacity import snippet
from qdrant_static.collection.capacity import Corpus
from qdrant_static.collection.cluster import Machine
from qdrant_static.collection.layouts import plan_capacity
from qdrant_static.collection.vectorspec import SparseSpec
from qdrant_static.encoders.base import EncoderInfo

# With an encoder at hand: load_encoder(...).info
encoder = EncoderInfo(name="any", dimension=1024, fingerprint="any")

for rows in (100_000, 10_000_000, 1_000_000_000):
    plan = plan_capacity(
        encoder,
        Corpus(rows=rows, payload_bytes=800, text_bytes=600),
        target_recall=0.97,
        machine=Machine(memory=128 * 1000**3),
        replicas=2,
        sparse=SparseSpec(),
    )
    chosen = plan.chosen
    assert chosen is not None
    print(f"{rows:,} rows: {chosen.name}")
    print(f"  {chosen.taken.ram / 1e9:,.1f} GB in RAM, {chosen.taken.disk / 1e9:,.1f} GB on disk")
    print(f"  {chosen.cluster} for {plan.target_recall:.0%} of the exact hits")
    for reason in plan.reasons:
        print(f"  - {reason}")

print("\nThe last one as a spec:\n")
print(snippet(chosen))
