"""Compute the RAM, disk and machines that a collection needs, before it exists.

python examples/capacity.py
"""

from qdrant_static import Corpus, EncoderInfo, Machine, SparseSpec, capacity, spec_to_toml

# With an encoder at hand: load_encoder(...).info
encoder = EncoderInfo(name="any", dimension=1024, fingerprint="any")

for rows in (100_000, 10_000_000, 1_000_000_000):
    plan = capacity(
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
print(spec_to_toml(chosen.spec, short=True))
