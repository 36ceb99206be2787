"""Write through a journal: a new model takes the old one's place, and no write is lost.

pip install "qdrant-static[offline]"
python livewriter.py
"""

import tempfile
from contextlib import closing
from pathlib import Path

from qdrant_client import models

from qdrant_static import (
    CollectionSpec,
    LiveWriter,
    Record,
    connect,
    create_collection,
    load_encoder,
    replay,
    search,
)


def point_alias_at(client, alias: str, collection: str) -> None:
    create = models.CreateAlias(alias_name=alias, collection_name=collection)
    client.update_collection_aliases([models.CreateAliasOperation(create_alias=create)])


def main() -> None:
    folder = Path(tempfile.mkdtemp())
    encoder = load_encoder("wordllama")
    with closing(connect(folder / "db")) as client:
        create_collection(client, "articles__v1", CollectionSpec.for_encoder(encoder))
        point_alias_at(client, "articles", "articles__v1")

        with LiveWriter(client, "articles", encoders=[encoder]) as writer:
            writer.upsert(
                [
                    Record(key="tides", text="The moon pulls the sea", payload={"year": 2019}),
                    Record(key="bread", text="Yeast makes bread rise", payload={"year": 2021}),
                    Record(key="lava", text="Lava cools to stone", payload={"year": 2021}),
                ]
            )

            # A new generation, with another layout; from now on the journal keeps what it needs.
            spec = CollectionSpec.for_encoder(encoder, matryoshka=(64,))
            create_collection(client, "articles__v2", spec)
            with writer.journal.exclusive("begin"):
                writer.journal.activate("articles__v2", primary="articles__v1")

            # The application goes on writing. (`qdrant-static migrate` also copies the rows that
            # are there already, and checks the result; this shows the journal alone.)
            writer.upsert(Record(key="tides", text="The moon and the sun pull the sea"))
            writer.delete_by_filter(
                models.Filter(
                    must=[models.FieldCondition(key="year", match=models.MatchValue(value=2021))]
                )
            )
            writer.upsert(Record(key="whales", text="Whales sing in the sea"))

            # Behind, then level while the writers wait, then in use: by one request.
            print(*writer.lag(), sep="\n")
            with writer.journal.exclusive("cut-over"):
                done = replay(client, "articles__v2", writer.journal, encoders=[encoder])
                assert done.left == 0
                point_alias_at(client, "articles", "articles__v2")

            # The old generation goes on getting every write, so there is a way back.
            writer.upsert(Record(key="rivers", text="Rivers run to the sea"))
            for name in ("articles__v1", "articles__v2"):
                print(name, client.count(name).count, "records")
            for hit in search(client, "articles", "who sings in the sea?", encoder=encoder):
                print(f"{hit.score:.3f}  {hit.text}")
            assert {one.entries for one in writer.lag()} == {0}


if __name__ == "__main__":
    main()
