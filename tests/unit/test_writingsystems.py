"""The tokenizer of BM25 follows the scripts of the texts, and what it cannot do is said."""

from __future__ import annotations

import pytest

from qdrant_static.collection.bm25 import measured
from qdrant_static.collection.spec import SparseSpec
from qdrant_static.encoders.writingsystems import choose_tokenizer, scripts_of

ENGLISH = "the moon raises the sea"
CHINESE = "\u6211\u559c\u6b22\u5403\u82f9\u679c"
JAPANESE = "\u6708\u306f\u6d77\u3092\u6301\u3061\u4e0a\u3052\u308b"
THAI = "\u0e1e\u0e23\u0e30\u0e08\u0e31\u0e19\u0e17\u0e23\u0e4c\u0e22\u0e01\u0e17\u0e30\u0e40\u0e25"
ARABIC = "\u0627\u0644\u0642\u0645\u0631 \u064a\u0631\u0641\u0639 \u0627\u0644\u0628\u062d\u0631"
RUSSIAN = "\u041b\u0443\u043d\u0430 \u043c\u043e\u0440\u0435"
LAO = "\u0e9e\u0eb0\u0e88\u0eb1\u0e99\u0e8d\u0ebb\u0e81\u0e97\u0eb0\u0ec0\u0ea5"
KOREAN = "\ub2ec\uc740 \ubc14\ub2e4\ub97c"


@pytest.mark.parametrize(
    ("texts", "language", "tokenizer", "told"),
    [
        ([ENGLISH] * 9, "english", "word", []),
        (["caf\u00e9 na\u00efve", "12 \u00b5m"], "french", "word", []),
        ([CHINESE] * 9, "chinese", "multilingual", ["100% Chinese"]),
        ([CHINESE + " and a little English"] * 9, "english", "multilingual", ["100% Chinese"]),
        ([JAPANESE] * 4 + [THAI] * 5 + [ENGLISH] * 91, "english", "multilingual", ["5% Thai"]),
        ([CHINESE] * 4 + [ENGLISH] * 96, "english", "word", ["4% Chinese", "'multilingual'"]),
        ([ARABIC] * 9, "english", "word", ["'english', which do nothing", "if they are arabic"]),
        ([ARABIC] * 9, "arabic", "word", []),
        ([RUSSIAN, ENGLISH], "english", "word", ["50% Cyrillic", "if they are russian or kazakh"]),
        ([ENGLISH] * 9, "japanese", "multilingual", ["japanese has no spaces", "few of the"]),
        ([CHINESE] * 4 + [ENGLISH] * 96, "zh", "multilingual", ["few of the sampled"]),
        ([LAO] * 9, "english", "word", ["no tokenizer divides Lao"]),
        ([KOREAN] * 9, "english", "word", ["100% Korean of the sampled texts"]),
        ([""], "english", "word", []),
    ],
)  # fmt: skip
def test_a_tokenizer_is_chosen_by_the_scripts(texts, language, tokenizer, told):
    chosen, said = choose_tokenizer(texts, language)
    assert chosen == tokenizer
    assert bool(said) == bool(told)
    for part in told:
        assert part in " ".join(said)


def test_a_text_is_of_the_script_of_its_letters():
    assert scripts_of([ENGLISH, "Tokyo (\u6771\u4eac) is the capital of Japan", "123", ""]) == {}
    assert scripts_of(["GDP 3.1% \u4eba\u5747"]) == {"Chinese": 1}


def test_what_is_said_stays(caplog):
    spec = SparseSpec(tokenizer="word", language="chinese", mean_length=7.0)
    assert measured(spec, [CHINESE]) == (spec, [])
    spec, told = measured(SparseSpec(language="chinese"), [CHINESE] * 3)
    assert (spec.tokenizer, spec.mean_length) == ("multilingual", 3.0)
    assert len(told) == 1
    assert measured(SparseSpec(), [ENGLISH])[0].tokenizer is None  # as in earlier versions


def test_a_single_long_text_of_a_sample_does_not_move_the_mean():
    texts = [ENGLISH] * 99 + [ENGLISH * 10_000]
    assert measured(SparseSpec(), texts)[0].mean_length < 5
    assert measured(SparseSpec(), texts, whole=True)[0].mean_length > 200
