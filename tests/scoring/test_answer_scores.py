"""Scores of answers by kind, DriveLM's own, and their intervals."""

import numpy as np
import pytest

from dima_jax.scoring import answer_scores
from dima_jax.scoring.answer_files import Question
from dima_jax.scoring.answer_scores import Given

CHOICE = "What is it? A. Slow. B. Fast."


def question(number, text="Why?", truth="So.", kind="planning", scene="s", frame="f", tags=None):
    return Question(f"{scene}_{frame}_{number}", scene, frame, kind, text, truth, tags)


QUESTIONS = [
    question(0, "Which?", "<c1,CAM_BACK,10.0,20.0> and <c2,CAM_BACK,90.0,90.0>", "perception", tags=(2, 3)),
    question(1, CHOICE, "B", "perception", tags=(0,)),
    question(2, "Is <c1,CAM_BACK,10.0,20.0> slow?", "No.", "prediction", tags=(0,)),
    question(3, "Is <c2,CAM_BACK,90.0,90.0> slow?", "Yes.", "prediction", tags=(0,)),
    question(4, "Why?", "No such reason.", tags=(1,)),
]
ANSWERS = ["It is 11.0,21.0", "The correct answer is B", "No.", "I do not know", "No such reason."]


def values(result, group):
    return {name: (row["value"], row["questions"]) for name, row in result["groups"][group].items()}


def test_each_question_counts_where_it_belongs():
    result = answer_scores.score(QUESTIONS, Given(ANSWERS, None, np.array([0.5, 1, 1, 0, 0.25])), None, None)
    found = values(result, "all")
    assert found["exact"] == (2 / 5, 5) and found["choice"] == found["choice_given"] == (1.0, 1)
    assert found["yes_no"] == found["yes_no_given"] == (0.5, 2) and found["judge"] == (0.55, 5)
    f1 = 2 * 1 * 0.5 / (1 + 0.5)
    assert found["coordinates"] == (pytest.approx(f1), 1)
    assert set(result["groups"]) == {"all", "perception", "prediction", "planning"}
    assert values(result, "planning") == {"exact": (1.0, 1), "judge": (0.25, 1)}


def test_drivelm_has_its_own_rule():
    """The answer that is not word for word is wrong, and the object that was not named is not asked about."""
    own = answer_scores.score(QUESTIONS, Given(ANSWERS, None, np.array([0.5, 1, 1, 0, 0.25])), None, None)["drivelm"]
    assert own["available"] and own["left_out"] == 1
    found = {name: (row["value"], row["questions"]) for name, row in own["scores"].items()}
    assert found == {"accuracy": (0.5, 2), "match": (pytest.approx(2 / 3), 1), "judge": (0.25, 1)}
    untagged = [one._replace(tags=None) for one in QUESTIONS]
    own = answer_scores.score(untagged, Given(ANSWERS, None, None), None, None)["drivelm"]
    assert own == {"available": False, "why_not": "needs --truth with DriveLM's 'tag' of each question"}


def drives(scenes, right, per_scene=10):
    """Yes/no questions in scenes; right: how many of each scene's are answered rightly."""
    questions = [
        question(i, "Is it?", "Yes.", scene=f"s{s}", frame=f"f{i}") for s in range(scenes) for i in range(per_scene)
    ]
    return questions, Given(
        ["Yes." if i % per_scene < right[i // per_scene] else "No." for i in range(len(questions))], None, None
    )


def test_intervals_are_of_scenes_where_there_are_enough():
    """All frames of a scene alike: the interval is that of 20 draws, not of 200."""
    questions, given = drives(20, [10, 0] * 10)
    result = answer_scores.score(questions, given, None, None)
    row = result["groups"]["all"]["yes_no"]
    assert (result["resampled"], result["units"], row["value"]) == ("scenes", 20, 0.5)
    assert row["high"] - row["low"] == pytest.approx(2 * 1.96 * 0.5 / np.sqrt(20), rel=0.15)
    questions, given = drives(4, [10, 0] * 2)
    result = answer_scores.score(questions, given, None, None)
    row = result["groups"]["all"]["yes_no"]
    assert (result["resampled"], result["units"]) == ("frames", 40) and row["low"] < 0.4 < 0.6 < row["high"]
    questions, given = drives(1, [1], per_scene=1)
    row = answer_scores.score(questions, given, given, None)
    assert row["groups"]["all"]["yes_no"] == {"value": 1.0, "low": None, "high": None, "questions": 1}
    assert row["blank"]["differences"]["all"]["yes_no"]["verdict"] == answer_scores.TOO_FEW


@pytest.mark.parametrize(
    ("blank", "verdict"),
    [
        ([8] * 30, "undecided"),
        ([7, 9] * 15, "undecided"),
        ([5] * 30, "better_with_images"),
        ([10] * 30, "worse_with_images"),
    ],
)
def test_blank_images_are_compared_on_the_same_questions(blank, verdict):
    questions, given = drives(30, [8] * 30)
    found = answer_scores.score(questions, given, drives(30, blank)[1], None)["blank"]
    row = found["differences"]["all"]["yes_no"]
    assert row["verdict"] == verdict and row["difference"] == pytest.approx(0.8 - np.mean(blank) / 10)
    assert row["blank"] == pytest.approx(np.mean(blank) / 10)
    assert found["unchanged"]["value"] == pytest.approx(1 - np.mean(np.abs(8 - np.array(blank))) / 10)


def test_the_order_of_the_questions_does_not_matter():
    questions, given = drives(6, [1, 2, 3, 4, 5, 6])
    order = np.random.default_rng(0).permutation(len(questions))
    mixed = answer_scores.score(
        [questions[i] for i in order], Given([given.answers[i] for i in order], None, None), None, None
    )
    assert mixed == answer_scores.score(questions, given, None, None)


def test_captions_are_of_free_text_alone():
    tokens = ["a b c", "b", "no", "i know", "no such reason"]
    recorded = ["a b c d", "b", "no", "yes", "no such reason"]
    pytest.importorskip("pycocoevalcap", reason="BLEU, ROUGE-L, CIDEr need the extra language")
    result = answer_scores.score(QUESTIONS, Given(ANSWERS, tokens, None), None, recorded)
    assert result["groups"]["all"]["bleu_1"]["questions"] == 2 and "bleu_1" not in result["groups"]["prediction"]
    assert result["groups"]["all"]["bleu_1"]["value"] == pytest.approx(np.exp(1 - 7 / 6))
    assert result["drivelm"]["scores"]["rouge_l"]["questions"] == 1
