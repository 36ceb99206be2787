"""connect: a path gives the engine in the process, a URL a server; nobody is asked."""

from __future__ import annotations

import pytest
from qdrant_client import QdrantClient

from qdrant_static import EdgeClient, connect
from qdrant_static.errors import ArgumentError


def test_a_path_gives_the_embedded_client_and_creates_nothing(tmp_path):
    for target in (tmp_path / "db", str(tmp_path / "db")):
        client = connect(target)
        assert isinstance(client, EdgeClient)
        assert client.path == tmp_path / "db"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("url", "grpc"),
    [
        ("http://localhost:6333", True),
        ("http://localhost", True),
        ("https://x.example:6333/prefix", True),
        ("http://localhost:7777", False),
    ],
)
def test_a_url_gives_the_servers_client_over_grpc_where_its_port_is_known(url, grpc):
    client = connect(url)
    assert isinstance(client, QdrantClient)
    assert client._client._prefer_grpc is grpc
    client.close()


def test_memory_gives_the_clients_own_imitation():
    client = connect(":memory:")
    assert isinstance(client, QdrantClient)
    assert client.get_collections().collections == []
    client.close()


@pytest.mark.parametrize("target", ["localhost:6333", "qdrant.example.com:443", "10.0.0.1:6333"])
def test_a_server_without_its_scheme_is_an_error_that_gives_it(target):
    with pytest.raises(ArgumentError, match=f"for a server write http://{target}"):
        connect(target)


@pytest.mark.parametrize("url", ["http://[::1", "http://host:notaport", "http://host:99999"])
def test_a_malformed_url_is_an_error(url):
    with pytest.raises(ArgumentError, match="is no URL"):
        connect(url)


@pytest.mark.parametrize("url", ["grpc://localhost:6334", "ftp://x/y", "HTTP://localhost:6333"])
def test_a_url_of_another_scheme_is_not_taken_for_a_directory(url):
    try:
        client = connect(url)
    except ArgumentError:
        return
    assert isinstance(client, QdrantClient)
    client.close()


def test_a_key_over_an_insecure_connection_is_a_warning_that_names_the_host_and_the_caller():
    with pytest.warns(UserWarning, match="insecure connection to db.example") as caught:
        connect("http://db.example:6333", api_key="k").close()
    assert [one.filename for one in caught] == [__file__]


def test_a_file_is_no_place_for_collections(tmp_path):
    file = tmp_path / "articles.jsonl"
    file.write_text("")
    with pytest.raises(ArgumentError, match=r"articles.jsonl' is a file; name a folder"):
        connect(file)
