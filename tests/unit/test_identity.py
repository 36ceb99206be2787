"""What a run is recognized by, in whichever process."""

from __future__ import annotations

from tests.fakes import REPOSITORY, run_python

CODE = """
from qdrant_static import CollectionSpec
from qdrant_static.encoders.base import EncoderInfo
from qdrant_static.ledger.runidentity import identity
spec = CollectionSpec.for_encoder(EncoderInfo(name="e", dimension=8, fingerprint="f"))
print(identity(spec, "f", {"flat": frozenset("abcdefghij"), "kind": {1.5: None}}))
"""


def test_it_is_the_same_in_every_process():
    """Sets have another order in each."""
    found = {run_python(CODE, cwd=REPOSITORY).out for _ in range(3)}
    assert len(found) == 1
    assert "options" in found.pop()
