"""Test suites for implementations of an interface; they need pytest.

::

    class TestMine(ClientConformance):
        differences = {"test_info__tells_the_version": Deviation("it has no version")}

        @pytest.fixture
        def client(self):
            return MyClient()
"""

from qdrant_static.testing.aliases import AliasConformance
from qdrant_static.testing.collections import CollectionConformance
from qdrant_static.testing.differences import Deviation
from qdrant_static.testing.points import PointConformance
from qdrant_static.testing.queries import QueryConformance
from qdrant_static.testing.reading import ReadingConformance

__all__ = ["ClientConformance", "Deviation"]


class ClientConformance(
    CollectionConformance,
    AliasConformance,
    PointConformance,
    ReadingConformance,
    QueryConformance,
):
    """Tests of a client with QdrantClient's methods; a Qdrant server passes them.

    A test's name is ``test_<method>__<what must hold>``. A client lists the tests that it does
    not pass in `differences`, with the reasons.
    """
