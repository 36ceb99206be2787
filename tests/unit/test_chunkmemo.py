"""The memo as a data structure: any text, any chunk, any thread, against a dictionary in Python."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qdrant_static.encoders.chunkmemo import ChunkMemo, ScanBuffers
from qdrant_static.encoders.chunkscan import ChunkScanner
from qdrant_static.errors import ArgumentError

SEPARATORS = " \t\n\r"


def ids_of(chunk: str) -> list[int]:
    """Some ids of a chunk: 0 to many, as many as its bytes say."""
    raw = chunk.encode()
    return [hash(raw) % 1000 + i for i in range(len(raw) % 7 if len(raw) < 900 else 300)]


def learn(chunks: list[str]) -> list[list[int]]:
    return [ids_of(chunk) for chunk in chunks]


def of_kind(kind: int, chunks: list[str]) -> list[list[int]]:
    return [[kind, len(chunk)] for chunk in chunks]


def plain(texts: list[str]) -> list[list[int]]:
    return [
        [
            i
            for word in text.replace("\n", " ").replace("\t", " ").replace("\r", " ").split(" ")
            if word
            for i in ids_of(word)
        ]
        for text in texts
    ]


def scan(
    scanner: ChunkScanner, texts: Sequence[str], workspace: ScanBuffers | None = None
) -> list[list[int]]:
    raw = [text.encode() for text in texts]
    data = np.frombuffer(b"".join(raw), np.uint8)
    ends = np.cumsum([len(text) for text in raw], dtype=np.int64)
    starts = ends - np.array([len(text) for text in raw], np.int64)
    rows = scanner.scan(data, starts, ends, workspace or ScanBuffers())
    return [
        rows.ids[start : start + count].tolist()
        for start, count in zip(rows.starts, rows.counts, strict=True)
    ]


def scanner_of(
    learn_: Callable[[list[str]], Sequence[Sequence[int] | None]] = learn, **kwargs: object
) -> ChunkScanner:
    return ChunkScanner(ChunkMemo(learn_), plain, **kwargs)  # type: ignore[arg-type]


SHARED = scanner_of()
WORDS = st.text(st.characters(codec="utf-8"), max_size=40) | st.sampled_from(
    [
        "",
        " ",
        "a",
        "a b",
        "\0",
        "\0\0",
        "x" * 8,
        "x" * 9,
        "x" * 16,
        "x" * 17,
        "x" * 24,
        "y" * 1024,
        "y" * 1025,
    ]
)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.lists(WORDS, max_size=60).map(" ".join), max_size=8))
def test_scan_agrees_with_the_definition(texts: list[str]) -> None:
    expected = plain(texts)
    assert scan(SHARED, texts) == expected
    assert scan(SHARED, texts) == expected  # from memory


def test_lengths_around_the_slot_and_the_bound_and_the_end_of_the_buffer() -> None:
    for length in [*range(40), 1023, 1024, 1025, 5000]:
        for tail in ("", " ", "  b"):
            text = "z" * length + tail
            assert scan(SHARED, [text]) == plain([text])


def test_chunks_that_differ_only_by_nul_or_length_are_told_apart() -> None:
    texts = ["ab", "ab\0", "ab\0\0", "\0ab", "\0", "a" * 16, "a" * 16 + "\0", "a" * 17]
    assert scan(SHARED, texts) == plain(texts)


def test_limit_and_dropped_ids() -> None:
    table = {"one": [1], "two": [2, 2], "unk": [0], "mix": [0, 3, 0, 4, 0, 5]}

    def look(chunks: list[str]) -> list[list[int]]:
        return [table[chunk] for chunk in chunks]

    memo = ChunkMemo(look)
    scanner = ChunkScanner(memo, lambda texts: [], drop=0, limit=4)
    texts = ["one unk two", "mix mix", "unk unk", "two two two", "", "  "]
    assert scan(scanner, texts) == [[1, 2, 2], [3, 4, 5, 3], [], [2, 2, 2, 2], [], []]
    raw = b"one unk two"
    rows = scanner.scan(
        np.frombuffer(raw, np.uint8), np.array([0]), np.array([len(raw)]), ScanBuffers()
    )
    assert rows.dropped.tolist() == [1]


def test_a_chunk_that_cannot_stand_alone_sends_its_row_to_the_plain_route() -> None:
    def look(chunks: list[str]) -> list[list[int] | None]:
        return [None if chunk == "poison" else ids_of(chunk) for chunk in chunks]

    scanner = ChunkScanner(ChunkMemo(look), lambda texts: [[-7] for _ in texts], limit=2)
    assert scan(scanner, ["a", "a poison b", "b"]) == [ids_of("a"), [-7], ids_of("b")]
    assert scan(scanner, ["poison"]) == [[-7]]


def test_kinds_are_learned_apart() -> None:
    memo = ChunkMemo([partial(of_kind, kind) for kind in range(3)])
    scanner = ChunkScanner(memo, lambda texts: [], keep_separators=True)
    assert scan(scanner, ["ab ab  ab\nab "]) == [[1, 2, 0, 2, 0, 3, 2, 3, 0, 0]]
    assert scan(scanner, [" ab", "\n", ""]) == [[1, 3], [1, 1], []]


def test_many_chunks_grow_the_memo_and_more_start_it_afresh() -> None:
    memo = ChunkMemo(learn, max_bytes=1 << 20)
    scanner = ChunkScanner(memo, plain)
    workspace = ScanBuffers()
    for block in range(20):
        texts = [" ".join(f"{block}-{row}-{i}" for i in range(100)) for row in range(40)]
        assert scan(scanner, texts, workspace) == plain(texts)
        assert memo.nbytes <= 1 << 20
    assert memo.restarts > 0


def test_one_block_too_large_for_the_memo_is_still_right() -> None:
    scanner = ChunkScanner(ChunkMemo(learn, max_bytes=1 << 20), plain)
    texts = [" ".join(f"{row}:{i}" for i in range(5000)) for row in range(30)]
    assert scan(scanner, texts) == plain(texts)


def test_too_little_memory_is_an_error() -> None:
    with pytest.raises(ArgumentError, match="max_bytes"):
        ChunkMemo(learn, max_bytes=1000)


def test_threads_share_a_memo_while_it_grows() -> None:
    memo = ChunkMemo(learn, max_bytes=4 << 20)
    scanner = ChunkScanner(memo, plain)
    wrong: list[str] = []

    def work(seed: int) -> None:
        workspace = ScanBuffers()
        random = np.random.default_rng(seed)
        for _ in range(30):
            numbers = random.integers(0, 30_000, (20, 50))
            texts = [" ".join(f"word{n}" for n in row) for row in numbers]
            if scan(scanner, texts, workspace) != plain(texts):
                wrong.append(str(seed))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert len(memo) > 10_000
