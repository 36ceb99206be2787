"""Long texts become passages; no text is lost."""

from __future__ import annotations

import uuid
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from qdrant_static.collection.spec import Fields
from qdrant_static.encoders.readinglimit import ReadingLimit
from qdrant_static.encoders.static import StaticEncoder
from qdrant_static.errors import ArgumentError
from qdrant_static.ids import text_key
from qdrant_static.reading import passages as module
from qdrant_static.reading.batch import Batch
from qdrant_static.reading.options import Passages
from qdrant_static.reading.passagecuts import cut_all
from qdrant_static.reading.passages import bounds_of, cut, fit, split, token_offsets
from qdrant_static.reading.payloads import PayloadRows
from qdrant_static.reading.rejects import Reject
from tests.fakes import FakeEncoder
from tests.small_tokenizers import wordpiece


@pytest.fixture(scope="module")
def bytes_tokenizer() -> Tokenizer:
    """A token per byte: characters of several bytes have several tokens."""
    tokenizer = Tokenizer(
        models.BPE({c: i for i, c in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}, [])
    )
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def words(texts):
    """A token per word, as a tokenizer's offsets have it."""
    found = []
    for text in texts:
        tokens, at = [], 0
        for word in text.split():
            at = text.index(word, at)
            tokens.append((at, at + len(word)))
            at += len(word)
        found.append(tokens)
    return found


def cut_words(text: str, **settings) -> list[str]:
    return cut(text, words([text])[0], Passages(**settings))


def test_a_passage_has_so_many_tokens_and_the_white_space_after_them():
    assert cut_words(" one two  three\nfour five ", tokens=2) == [
        " one two  ",
        "three\nfour ",
        "five ",
    ]


def test_passages_overlap_by_tokens():
    assert cut_words("1 2 3 4 5 6 7", tokens=4, overlap=2) == ["1 2 3 4 ", "3 4 5 6 ", "5 6 7"]


@pytest.mark.parametrize("text", ["", "  ", "one", " one two "])
def test_a_short_text_is_one_passage_as_it_is(text):
    assert cut_words(text, tokens=2) == [text]


def test_a_cut_is_between_words_where_there_is_a_place_in_the_second_half():
    pieces = [(0, 2), (3, 5), (5, 7), (7, 9), (10, 12)]  # "ab cdefgh ij": cd ef gh are one word
    assert cut("ab cdefgh ij", pieces, Passages(tokens=3)) == ["ab cdef", "gh ij"]
    assert cut("ab cdefgh ij", pieces, Passages(tokens=4)) == ["ab cdefgh ", "ij"]
    pieces = [(0, 1), (2, 3), (4, 5), (5, 6), (6, 7)]
    assert cut("a b cde", pieces, Passages(tokens=3)) == ["a b ", "cde"]


@given(st.text(max_size=80), st.integers(1, 12), st.data())
def test_no_text_is_lost_and_no_passage_is_too_long(bytes_tokenizer, text, size, data):
    overlap = data.draw(st.integers(0, size - 1))
    offsets = token_offsets(bytes_tokenizer)
    (tokens,) = offsets([text])
    starts = sorted({start for start, stop in tokens if stop > start})
    apart = cut(text, tokens, Passages(tokens=size))
    assert "".join(apart) == text
    at = 0
    for piece in apart:
        assert sum(at <= start < at + len(piece) for start in starts) <= size
        at += len(piece)
    lapped = cut(text, tokens, Passages(tokens=size, overlap=overlap))
    assert all(piece in text for piece in lapped)
    assert sum(map(len, lapped)) >= len(text)
    assert text.startswith(lapped[0])
    assert text.endswith(lapped[-1])


def batch(texts, keys=None, **more) -> Batch:
    rows = pa.record_batch(
        {"id": pa.array(range(len(texts))), "text": texts, "n": [7] * len(texts)}
    )
    return Batch(
        file="f", unit="row", positions=range(len(texts)), keys=keys,
        texts=pa.array(texts, pa.large_string()), payloads=PayloadRows(rows), rejects=[], **more,
    )  # fmt: skip


def test_a_passage_carries_its_parents_key_and_its_number():
    (got,) = split(batch(["1 2 3", "4"], keys=["a", "b"]), Passages(tokens=2), words, ("text",))
    assert got.keys == [("a", 0), ("a", 1), ("b", 0)]
    assert got.texts.to_pylist() == ["1 2 ", "3", "4"]
    assert got.payloads[1] == {"id": 0, "n": 7, "parent": "a", "passage": 1, "text": "3"}
    assert (list(got.positions), got.passages) == ([0, 0, 1], [0, 1, 0])
    assert (len(got), got.rows, got.start, got.stop) == (3, 2, 0, 2)
    one = got.reject(1, "refused", "no")
    assert (one.position, got.take([0, 2]).rows) == (0, 2)
    got.rejects.append(one)
    assert got.rows == 2


@pytest.mark.parametrize(
    ("key", "parts", "parent"),
    [
        (None, (text_key("1 2 3"),), text_key("1 2 3")),
        (("x", 5), ("x", 5), ["x", 5]),
        (uuid.UUID(int=1), (uuid.UUID(int=1),), str(uuid.UUID(int=1))),
    ],
)
def test_a_parent_of_any_key(key, parts, parent):
    keys = None if key is None else [key]
    (got,) = split(batch(["1 2 3"], keys=keys), Passages(tokens=2), words, ("text",))
    assert got.keys == [(*parts, 0), (*parts, 1)]
    assert got.payloads[0]["parent"] == parent


def test_the_fields_say_where_key_and_text_are():
    assert Passages().fields == Fields(key=("parent", "passage"), text=("text",))
    payload = {"parent": "a", "passage": 3, "text": "t"}
    assert (Passages().fields.key_of(payload), Passages().fields.text_of(payload)) == (
        ("a", 3),
        "t",
    )


def test_batches_of_passages_are_bounded_and_tile_the_rows(monkeypatch):
    monkeypatch.setattr(module, "MAX_ROWS", 5)
    rows = batch(["1 2 3 4"] * 4, keys=list("abcd"), start=0, stop=9)
    rejects = [Reject(reason="no_text", message="", file="f", unit="row", position=p)
               for p in (0, 1, 5, 8)]  # fmt: skip
    rows = Batch(
        file="f", unit="row", positions=[2, 3, 6, 7], keys=rows.keys, texts=rows.texts,
        payloads=rows.payloads, rejects=rejects, start=0, stop=9,
    )  # fmt: skip
    got = list(split(rows, Passages(tokens=2), words, ("text",)))
    assert [(one.start, one.stop) for one in got] == [(0, 6), (6, 9)]
    assert [[r.position for r in one.rejects] for one in got] == [[0, 1, 5], [8]]
    assert [one.rows for one in got] == [5, 3]
    (empty,) = split(rows.take([]), Passages(), words, ())
    assert (len(empty), empty.rows, empty.start, empty.stop) == (0, 4, 0, 9)


def test_a_field_of_the_rows_is_never_written_over():
    with pytest.raises(ArgumentError, match="a field 'n' of their own"):
        list(split(batch(["1"]), Passages(number="n"), words, ("text",)))
    with pytest.raises(ArgumentError, match="a field 'text' of their own"):
        list(split(batch(["1"]), Passages(), words, ()))


@pytest.mark.parametrize(
    "wrong", [{"tokens": 0}, {"tokens": 2, "overlap": 2}, {"overlap": -1}, {"parent": "passage"}]
)
def test_settings_that_cannot_work_are_errors(wrong):
    with pytest.raises(ArgumentError, match="passages"):
        Passages(**wrong)


def test_an_encoder_without_a_tokenizer_is_an_error():
    with pytest.raises(ArgumentError, match="no tokenizer"):
        token_offsets(FakeEncoder())


def test_a_static_encoder_cuts_by_its_own_tokens(model_folder):
    from qdrant_static import load_encoder

    encoder = load_encoder(str(model_folder))
    offsets = token_offsets(encoder)
    text = "the cat of the sea in a ship"
    assert cut(text, offsets([text])[0], Passages(tokens=3)) == [
        "the cat of ",
        "the sea in ",
        "a ship",
    ]


# --- as the encoder reads them -----------------------------------------------------------------


def byte_level(texts=("the tide", "the cat of the sea")) -> Tokenizer:
    """Byte-level BPE with a few merges: a rare character is several tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=280, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def llama_like() -> Tokenizer:
    """A mark before every text and in place of blanks; bytes for what is unknown."""
    letters = ["<unk>", *(f"<0x{byte:02X}>" for byte in range(256)), "\u2581", *"abcdet", "\u2581t"]
    vocabulary = {token: number for number, token in enumerate(letters)}
    tokenizer = Tokenizer(
        models.BPE(vocabulary, [("\u2581", "t")], unk_token=letters[0], byte_fallback=True)
    )
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")]
    )
    return tokenizer


def word_level() -> Tokenizer:
    """A token a word, most of them unknown: few tokens of many characters."""
    tokenizer = Tokenizer(models.WordLevel({UNKNOWN: 0, "the": 1, "cat": 2}, unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return tokenizer


UNKNOWN = "[UNK]"
MEASURED = {
    "byte-level": byte_level(),
    "llama": llama_like(),
    "wordpiece": wordpiece(),
    "word-level": word_level(),
}
AWKWARD_PIECES = [
    "the cat", " ", "\n\n", "e\u0301", "a\u0308\u0323", "\U0001f600", "\u4f60\u597d", "zzzzzzzz",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467", "\U0001f44d\U0001f3fd", "x" * 40,
    "\u12a5\u1295\u12f4", "\ufb01", "\u00a0", "tided", ". ",
]  # fmt: skip
TEXTS = st.one_of(st.lists(st.sampled_from(AWKWARD_PIECES), max_size=40).map("".join), st.text())


@pytest.mark.parametrize("kind", MEASURED)
@given(data=st.data())
@settings(max_examples=25)
def test_no_passage_has_more_tokens_than_asked_as_the_encoder_reads_it(kind, data):
    tokenizer = MEASURED[kind]
    table = np.ones((tokenizer.get_vocab_size(), 2), np.float32)
    encoder = StaticEncoder(
        table=table, tokenizer=tokenizer, name=kind, normalize=False, keep_unknown=True,
        max_length=data.draw(st.none() | st.integers(20, 40)),
        max_characters=data.draw(st.none() | st.integers(20, 60)),
        prompt=data.draw(st.sampled_from(["", "the: "])),
    )  # fmt: skip
    counted = token_offsets(encoder)
    size = data.draw(st.integers(9, 40))
    asked = Passages(tokens=size, overlap=data.draw(st.integers(0, 3)))
    passages, _ = fit(asked, counted)
    texts = data.draw(st.lists(TEXTS, max_size=4))
    for text, pieces in zip(texts, cut_all(texts, counted, bounds_of(passages)), strict=True):
        for piece in pieces:
            tokens = len(tokenizer.encode(piece, add_special_tokens=False).ids)
            assert tokens <= size or len(piece) == 1
            if len(piece) > 1:  # what is read is the whole passage
                whole = tokenizer.encode(encoder.prompt + piece, add_special_tokens=False).ids
                assert encoder._tokens.plain.ids(encoder.prompt + piece)[0].tolist() == whole
        assert covers(pieces, text, exactly=not asked.overlap)


def covers(pieces: list[str], text: str, *, exactly: bool) -> bool:
    """Whether the passages make the text, each beginning where the one before ends, or earlier."""
    if exactly or len(pieces) == 1:
        return "".join(pieces) == text
    ends = {0}
    for piece in pieces:
        ends = {at + len(piece) for at in range(max(ends) + 1) if text.startswith(piece, at)} or {
            -1
        }
    return max(ends) == len(text)


def test_a_character_of_several_tokens_counts_as_several():
    ethiopic = "\u12a5\u1295\u12f4\u1275 \u1290\u1205 \u12db\u122c \u12f0\u1205\u1293 " * 6
    counted = token_offsets(MEASURED["byte-level"])
    (pieces,) = cut_all([ethiopic], counted, bounds_of(Passages(tokens=32)))
    sizes = counted.first.count(pieces)
    assert "".join(pieces) == ethiopic
    assert max(sizes) <= 32
    assert min(sizes[:-1]) >= 16


def test_a_letter_keeps_its_marks_and_an_emoji_its_parts():
    family = "\U0001f468\u200d\U0001f469\u200d\U0001f467"
    thumb = "\U0001f44d\U0001f3fd"
    text = (family + thumb + "e\u0301") * 9
    (pieces,) = cut_all(
        [text], token_offsets(MEASURED["byte-level"]), bounds_of(Passages(tokens=25))
    )
    assert "".join(pieces) == text
    assert len(pieces) > 9
    for piece in pieces:
        assert piece[0] in (family[0], thumb[0], "e")


def test_what_has_no_place_to_cut_is_cut_between_characters():
    counted = token_offsets(MEASURED["word-level"])  # a word of any length is one token
    for text in ("z" * 1000, "the " + "z" * 1000 + " cat", " " * 50 + "z" * 90):
        (pieces,) = cut_all([text], counted, bounds_of(Passages(tokens=5, characters=64)))
        assert "".join(pieces) == text
        assert max(map(len, pieces)) <= 64
    assert cut_all(["the cat"], counted, bounds_of(Passages(tokens=1, characters=1))) == [
        list("the cat")
    ]


def test_a_tokenizer_that_truncates_hides_nothing():
    tokenizer = word_level()
    tokenizer.enable_truncation(4)
    tokenizer.enable_padding(length=9)
    text = "the cat " * 20
    counted = token_offsets(tokenizer)
    assert len(counted([text])[0]) == 40
    passages, told = fit(Passages(tokens=10), counted)
    assert passages.tokens == 4
    assert told == ["passages have 4 tokens, not 10: 'Tokenizer' reads no more of a text"]
    (pieces,) = cut_all([text], counted, bounds_of(passages))
    assert [len(piece.split()) for piece in pieces] == [4] * 10
    with pytest.raises(ArgumentError, match=r"overlap: 4 of the 4 tokens .* leave nothing new"):
        fit(Passages(tokens=10, overlap=4), counted)


def test_passages_are_short_enough_for_every_encoder():
    class Late:
        tokenizer = MEASURED["byte-level"]
        info = replace(FakeEncoder("late").info, max_length=24)

    text = "\U0001f600 the cat " * 12
    counted = token_offsets(MEASURED["word-level"], Late(), FakeEncoder(), None)
    passages, told = fit(Passages(tokens=30), counted)
    assert passages.tokens == 30
    assert told == ["passages are cut to 24 tokens of 'late' as well"]
    (pieces,) = cut_all([text], counted, bounds_of(passages))
    assert "".join(pieces) == text
    assert max(ReadingLimit.of(Late()).count(pieces)) <= 24
