"""Rule-made questions say what is there."""

import numpy as np

from dima_jax.data import questions
from dima_jax.data.prompts import ByteTokenizer
from tests.data.test_targets import agents


def record(group, qa=(), command=2, steps=2.0):
    path = np.zeros((6, 2), np.float32)
    path[:, 1] = steps
    kinds, asked, answers = zip(*qa, strict=True) if qa else ((), (), ())
    return {
        "agents": group,
        "ego": {"command": command, "future_offsets": path, "future_mask": np.ones(6, bool)},
        "qa": {"kinds": list(kinds), "questions": list(asked), "answers": list(answers)},
    }


def test_position_motion_and_relation():
    group = agents([(0, 10.0), (-5.0, 10.0)], ["vehicle.car", "human.pedestrian.adult"])
    group["future_offsets"][1] = 0
    group["future_offsets"][0] = [(0, 2 - 0.3 * t) for t in range(6)]
    pairs = dict(questions.rule_questions(record(group)))
    assert pairs["Where is the nearest car?"] == "Ahead, 10 meters away."
    assert pairs["How does the car ahead move?"] == "It goes straight and slows down."
    assert pairs["How does the pedestrian ahead to the left move?"] == "It stands still."
    assert pairs["Where is the pedestrian seen from the car ahead?"] == "To the left of it."
    assert pairs["What will the ego vehicle do?"] == "It goes straight and keeps its speed."


def test_turns_have_a_side():
    left = np.array([(-0.2 * t * t, 2.0) for t in range(6)])
    assert questions._motion(left) == "It turns left and speeds up."
    assert questions._motion(left * (-1, 1)) == "It turns right and speeds up."


def test_an_empty_scene_still_has_questions():
    pairs = questions.rule_questions(record(agents(np.zeros((0, 2))), command=1, steps=0.0))
    assert ("What will the ego vehicle do?", "It stays where it is.") in pairs


def test_drivelm_comes_first_and_the_choice_follows_the_rng():
    qa = [("planning", f"Question {i}?", "Yes.") for i in range(4)]
    known = record(agents([(0, 10.0)]), qa)
    asked = {ByteTokenizer().decode(choose(known, seed).tokens) for seed in range(30)}
    assert asked == {f"USER: {question} ASSISTANT: Yes." for _, question, _ in qa}
    np.testing.assert_array_equal(choose(known, 3).tokens, choose(known, 3).tokens)


def test_a_question_without_a_recorded_answer_is_not_learned_from():
    known = record(agents([(0, 10.0)]), [("planning", "Why?", ""), ("planning", "Where?", "Ahead.")])
    assert questions.candidates(known)[0] == [("Where?", "Ahead.")]
    alone = record(agents([(0, 10.0)]), [("planning", "Why?", "")])
    assert "Why?" not in {ByteTokenizer().decode(choose(alone, seed).tokens) for seed in range(9)}


def choose(known, seed):
    return questions.choose(questions.candidates(known), ByteTokenizer(), 96, np.random.default_rng(seed))


def test_a_question_that_does_not_fit_gives_way():
    long = record(agents([(0, 10.0)]), [("planning", "Why?" * 40, "Yes.")])
    text = ByteTokenizer().decode(choose(long, 0).tokens)
    assert choose(long, 0).cut == 0 and "Why?" not in text
