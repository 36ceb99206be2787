"""Suites that every implementation of an interface passes; they need pytest.

::

    class TestMine(ClientConformance):
        differences = {"test_info__tells_the_version": "mine has none"}

        @pytest.fixture
        def client(self):
            return MyClient()
"""

from qdrant_static.testing.aliases import AliasConformance
from qdrant_static.testing.collections import CollectionConformance
from qdrant_static.testing.points import PointConformance
from qdrant_static.testing.queries import QueryConformance
from qdrant_static.testing.reading import ReadingConformance

__all__ = ["ClientConformance"]


class ClientConformance(
    CollectionConformance,
    AliasConformance,
    PointConformance,
    ReadingConformance,
    QueryConformance,
):
    """What a client with QdrantClient's methods must do; a server is the measure.

    A test's name is ``test_<method>__<what must hold>``.
    """
