"""card.json in a model's folder: which encoder the model was fitted to."""

from __future__ import annotations

import json

import pytest

from qdrant_static import load_encoder
from qdrant_static.encoders.modelcard import CARD, fitted_to, read_card
from qdrant_static.errors import InvalidModelError
from tests.fakes import build_static_model


def test_a_folder_without_a_card_has_none(tmp_path):
    assert read_card(tmp_path) is None
    assert fitted_to(tmp_path) == ()


def test_a_card_without_a_teacher_names_none(tmp_path):
    (tmp_path / CARD).write_text('{"recipe": "rotate"}')
    assert read_card(tmp_path) == {"recipe": "rotate"}
    assert fitted_to(tmp_path) == ()


@pytest.mark.parametrize(
    "content", ["[]", "{", '{"teacher": 1}', '{"teacher": {"fingerprint": 3}}', '{"teacher": {}}']
)
def test_a_damaged_card_is_an_error_that_names_the_folder(tmp_path, content):
    (tmp_path / CARD).write_text(content)
    with pytest.raises(InvalidModelError, match=str(tmp_path)):
        fitted_to(tmp_path)


def test_a_card_with_a_head_for_documents_names_both(tmp_path):
    card = {"teacher": {"fingerprint": "raw"}, "documents": {"fingerprint": "head"}}
    (tmp_path / CARD).write_text(json.dumps(card))
    assert fitted_to(tmp_path) == ("head", "raw")


def test_a_loaded_model_says_what_it_was_fitted_to(tmp_path):
    plain = load_encoder(build_static_model(tmp_path / "model")).info
    (tmp_path / "model" / CARD).write_text(json.dumps({"teacher": {"fingerprint": "abc"}}))
    fitted = load_encoder(tmp_path / "model").info
    assert (plain.fitted_to, fitted.fitted_to) == ((), ("abc",))
    # A card changes no vector.
    assert fitted == plain
    assert fitted.fingerprint == plain.fingerprint
