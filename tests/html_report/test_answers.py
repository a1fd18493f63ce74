"""Answers of a file, by frame."""

import json

import pytest

from dima_jax.errors import UserError
from dima_jax.html_report import answers


def test_answers_are_of_the_frame_in_their_id(tmp_path):
    rows = [
        {"id": "sc_ene_token1_0", "question": "Q", "answer": "A", "gt_answer": "B"},
        {"id": "sc_ene_token1_1", "answer": "C"},
        {"id": "elsewhere", "answer": "D"},
    ]
    (tmp_path / "a.json").write_text(json.dumps(rows))
    found = answers.by_frame(str(tmp_path / "a.json"))
    assert list(found) == ["token1"]
    assert found["token1"][0] == rows[0] and found["token1"][1]["question"] == ""


def test_another_file_is_refused(tmp_path):
    (tmp_path / "a.json").write_text('{"plans": []}')
    with pytest.raises(UserError, match=r"a\.json"):
        answers.by_frame(str(tmp_path / "a.json"))
