"""What is printed of scores of answers."""

import numpy as np

from dima_jax.scoring import answer_scores, answer_tables
from dima_jax.scoring.answer_scores import Given
from tests.scoring.test_answer_scores import ANSWERS, QUESTIONS, drives


def result(questions, given, blank=None, **extra):
    header = {"questions": len(questions), "frames": 1, "scenes": 1}
    part = {"header": header, "captions": {"available": False, "why_not": "needs Java"}}
    return part | extra | answer_scores.score(questions, given, blank, None)


def test_sentences_say_what_cannot_be_told():
    questions, given = drives(30, [8] * 30)
    found = answer_tables.sentences(result(questions, given, drives(30, [7, 9] * 15)[1]))
    assert "yes or no: right, with images 80.0 %, with blank images 80.0 %: cannot be told apart (+0.0 % [" in found[1]
    assert "90.0 % of the answers are the same with blank images." in found
    assert "BLEU, ROUGE-L, CIDEr: not available: needs Java." in found
    assert found[-1].endswith("1,000 resamples of 30 scenes.")
    found = answer_tables.sentences(result(questions, given, drives(30, [5] * 30)[1]))
    assert "better with images (+30.0 % [+30.0, +30.0], 300 questions)" in found[1]


def test_everything_is_printed(capsys):
    judge = {"judge": {"folder": "x", "recorded_answer": 0.9, "another_answer": 0.2}}
    graded = Given(ANSWERS, None, np.full(5, 0.5))
    answer_tables.show(result(QUESTIONS, graded, graded, **judge))
    text = capsys.readouterr().out
    for words in (
        "accuracy: equal to what was recorded │ 2",
        "DriveLM's rule leaves 1 questions out",
        "themselves 90.0 % and those of other questions 20.0 %",
        "perception",
        "local judge: mean grade",
        "50.0 %",
        "too few to say",
        "too narrow",
    ):
        assert words in text, words
