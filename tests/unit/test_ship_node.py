"""A node's REST door: what errors say, what stays secret, what an upload looks like."""

from __future__ import annotations

import email
import io
import json

import httpx
import pytest
from qdrant_client import QdrantClient

from qdrant_static.errors import AccessDeniedError, EngineError, ServerUnavailableError
from qdrant_static.shipping.nodes.node import Node, collection_path, node_of


def node(answer) -> Node:
    """A node whose server is a function of the request."""
    transport = httpx.MockTransport(answer)
    return Node("http://db:6333/api/", httpx.Client(transport=transport), secrets=("s3cret",))


def says(status: int, error: str = "", **headers: str):
    body = {"status": {"error": error}, "time": 0.0}
    return lambda request: httpx.Response(status, json=body, headers=headers)


class Bytes:
    def __init__(self, *pieces: bytes) -> None:
        self._pieces = pieces
        self.size = sum(map(len, pieces))

    def chunks(self):
        yield from self._pieces


def test_the_result_comes_without_its_envelope():
    def answer(request: httpx.Request) -> httpx.Response:
        assert str(request.url) == "http://db:6333/api/collections/a%2Fb/shards/0?wait=true"
        return httpx.Response(200, json={"result": {"x": 1}, "status": "ok"})

    path = collection_path("a/b", "shards", 0)
    assert node(answer).get(path, wait=True, priority=None) == {"x": 1}


def test_what_is_not_there_is_none_where_that_is_an_answer():
    assert node(says(404, "Not found")).get_or_none("/collections/x") is None
    with pytest.raises(EngineError, match=r"GET /collections/x at http://db:6333/api: 404"):
        node(says(404, "Not found")).get("/collections/x")


@pytest.mark.parametrize(
    ("status", "kind", "says_what"),
    [
        (401, AccessDeniedError, "Invalid key"),
        (403, AccessDeniedError, "Give an API key that may write"),
        (503, ServerUnavailableError, "503: Invalid key"),
        (500, ServerUnavailableError, "500"),
        (413, EngineError, "client_max_body_size"),
        (400, EngineError, "Invalid key"),
        (307, EngineError, "redirects to 'https://other'"),
    ],
)
def test_a_refusal_is_an_error_of_ours(status, kind, says_what):
    with pytest.raises(kind, match=says_what) as caught:
        node(says(status, "Invalid key s3cret", location="https://other")).post("/x", {})
    assert "s3cret" not in str(caught.value)
    assert "http://db:6333" in str(caught.value)


@pytest.mark.parametrize(
    "words",
    [
        "IO error: No space left on device (os error 28)",
        "Service internal error: File IO error: failed to unpack `/qdrant/storage/tmp/c/wal/1`",
    ],
)
def test_a_full_disk_is_not_waited_for(words):
    with pytest.raises(EngineError, match="disk is full"):
        node(says(500, words)).post("/x")


def test_an_answer_of_somebody_else_is_named():
    def page(_):
        return httpx.Response(200, text="<html>hello</html>")

    with pytest.raises(EngineError, match="not Qdrant's: '<html>"):
        node(page).get("/cluster")


def test_a_broken_connection_may_be_tried_again():
    def breaks(_):
        raise httpx.ConnectError("refused for s3cret")

    with pytest.raises(ServerUnavailableError, match="refused for \\*\\*\\*"):
        node(breaks).get("/")


def test_an_upload_is_a_form_of_known_length():
    seen = {}

    def answer(request: httpx.Request) -> httpx.Response:
        content = request.read()
        assert int(request.headers["content-length"]) == len(content)
        assert "transfer-encoding" not in request.headers
        head = f"Content-Type: {request.headers['content-type']}\r\n\r\n".encode()
        (part,) = email.message_from_bytes(head + content).get_payload()
        seen["name"] = part.get_param("name", header="content-disposition")
        seen["file"] = part.get_filename()
        seen["content"] = part.get_payload(decode=True)
        return httpx.Response(200, content=json.dumps({"result": True}))

    heard: list[int] = []
    node(answer).upload("/up", "s.snapshot", Bytes(b"abc", b"defg"), heard.append, wait=True)
    assert seen == {"name": "snapshot", "file": "s.snapshot", "content": b"abcdefg"}
    assert heard == [3, 7]


def test_an_upload_that_is_too_large_for_a_proxy_says_how_large_it_was():
    with pytest.raises(EngineError, match="refuses a body of 2 MB"):
        node(says(413)).upload("/up", "s", Bytes(b"x" * 2_000_000))


def test_a_file_is_written_in_pieces():
    file = io.BytesIO()
    heard: list[int] = []
    big = b"x" * 3_000_000
    answer = lambda request: httpx.Response(200, content=big)  # noqa: E731
    assert node(answer).stream_to("/snapshot", file, heard.append) == len(big)
    assert file.getvalue() == big
    assert heard[-1] == len(big)
    assert len(heard) > 1
    with pytest.raises(EngineError, match="404"):
        node(says(404)).stream_to("/snapshot", file)


def test_a_node_has_the_clients_key_and_shows_it_nowhere():
    client = QdrantClient(
        url="https://user:hush@db.example:7000/prefix",
        api_key="k3y-of-mine",
        headers={"x-tenant": "tenant-7"},
        timeout=7,
        check_compatibility=False,
    )
    with node_of(client) as made:
        assert made.url == "https://db.example:7000/prefix"
        assert made._http.headers["api-key"] == "k3y-of-mine"
        assert made._http.headers["x-tenant"] == "tenant-7"
        assert made._http.timeout.read == 7
        other = made.at("http://10.0.0.2:6333/")
        assert other.url == "http://10.0.0.2:6333"
        for secret in ("k3y", "tenant-7", "hush"):
            assert secret not in repr(made) + repr(other)
    client.close()
