"""Files of answers: what is read, and that whatever is wrong is one line with the ids."""

import json

import numpy as np
import pytest

from dima_jax.errors import UserError
from dima_jax.scoring import answer_files, answer_scores

DRIVELM = {
    "s1": {
        "key_frames": {
            "f1": {
                "QA": {
                    "behavior": [{"Q": "How?", "A": "B", "tag": [0]}],
                    "perception": [
                        {"Q": "Which?", "A": ["One.", "Two."], "tag": [2]},
                        {"Q": "Is it?", "A": "No.", "tag": []},
                    ],
                }
            },
            "f2": {"QA": {"planning": [{"Q": "Why?", "A": "So.", "tag": [1, 3]}]}},
        }
    }
}
IDS = ("s1_f1_0", "s1_f1_1", "s1_f1_2", "s1_f2_0")


def rows(**changes):
    return [{"id": name, "question": f"{name}?", "gt_answer": "yes", "answer": "no", **changes} for name in IDS]


@pytest.fixture
def write(tmp_path):
    def put(content, name="a.json"):
        path = tmp_path / name
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return str(path)

    return put


def test_numbers_follow_the_kinds_of_drivelm(write):
    questions, digest = answer_files.read_recorded(write(DRIVELM))
    assert tuple(one.id for one in questions) == IDS and len(digest) == 16
    assert [one.kind for one in questions] == ["perception", "perception", "behavior", "planning"]
    assert questions[0].truth == "One. Two." and questions[3].tags == (1, 3) and questions[1].tags == ()


def test_a_list_brings_its_own_questions(write):
    file = answer_files.read_answers(write({"method": "x", "results": rows(kind="planning")[::-1]}))
    questions = answer_files.recorded_in(file)
    assert questions[0] == answer_files.Question("s1_f2_0", "s1", "f2", "planning", "s1_f2_0?", "yes", None)
    assert answer_files.aligned(file, questions, "x") == ["no"] * 4
    assert answer_files.read_recorded(file.path)[0] == questions


def test_answers_are_sorted_as_the_questions(write):
    questions, _ = answer_files.read_recorded(write(DRIVELM))
    answers = [{"id": name, "answer": name[-4:]} for name in IDS]
    answers[2]["question"] = "<image>\nHow?"
    file = answer_files.read_answers(write(answers[::-1], "b.json"))
    assert answer_files.aligned(file, questions, "x") == ["f1_0", "f1_1", "f1_2", "f2_0"]


def replaced(number, **changes):
    return [row | changes if i == number else row for i, row in enumerate(rows())]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is no JSON"),
        ('[{"id": "a"', "is no JSON"),
        ("[" * 100_000, "is no JSON"),
        ('[{"id": "a_b_0", "id": "a_b_1"}]', "'id' is there twice"),
        ("3", "is not a list of answers"),
        ("{}", "is not a list of answers"),
        ("[]", "holds no answers"),
        ([1], "entry 0 has no id"),
        ([*rows(), {"answer": "x"}], "entry 4 has no id"),
        (replaced(1, id=3), "entry 1 has no id"),
        ([*rows(), rows()[2]], r"1 id there twice; .*: 's1_f1_2'"),
        (rows(answer=None), r"4 ids whose 'answer' is no text .*: 's1_f1_0', 's1_f1_1', 's1_f1_2'$"),
        (replaced(2, answer=["a"]), r"1 id whose 'answer' .*'s1_f1_2'"),
        (replaced(2, answer="x" * 20_001), r"20,000 characters.*'s1_f1_2'"),
        (replaced(0, kind="poetry"), r"'kind' is none of perception, .*'s1_f1_0'"),
    ],
)
def test_what_is_no_file_of_answers(write, content, message):
    with pytest.raises(UserError, match=message) as error:
        answer_files.read_answers(write(content))
    assert "\n" not in str(error.value) and len(str(error.value)) < 700


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "holds no questions"),
        ({"s": 3}, "is not DriveLM's question file"),
        ({"s": {"key_frames": {"f": {"QA": {"poetry": []}}}}}, r"scene 's', frame 'f'.*unknown kind 'poetry'"),
        ({"s": {"key_frames": {"f": {"QA": {"planning": [{"Q": "a"}]}}}}}, r"at s_f_0 .*no answer was recorded; a file of questions alone"),
        ({"s": {"key_frames": {"f": {"QA": {"planning": [{"Q": "a", "A": 1}]}}}}}, r"at s_f_0 .*another type"),
        ({"s": {"key_frames": {"f": {"QA": {"planning": [{"Q": "a", "A": "b", "tag": 1}]}}}}}, r"at s_f_0 .*tag"),
        (
            {"s": {"key_frames": {"f": {"QA": {"planning": [{"Q": "a", "A": "b", "tag": [1]}, {"Q": "a", "A": "b"}]}}}}},
            r"1 id without 'tag'.*'s_f_1'",
        ),
        (
            {name: {"key_frames": {frame: {"QA": {"planning": [{"Q": "a", "A": "b"}]}}}} for name, frame in (("a_b", "c"), ("a", "b_c"))},
            r"1 id there twice.*'a_b_c_0'",
        ),
    ],
)  # fmt: skip
def test_what_is_not_drivelms_file(write, content, message):
    with pytest.raises(UserError, match=message):
        answer_files.read_recorded(write(content))


def test_every_question_is_answered_once_and_as_it_was_asked(write):
    questions, _ = answer_files.read_recorded(write(DRIVELM))
    for change, message in (
        (lambda found: found[:2], r"b\.json: 2 ids of T missing; .*: 's1_f1_2', 's1_f2_0'"),
        (lambda found: [*found, {"id": "s1_f3_0", "answer": "x"}], r"1 id that T does not have; .*'s1_f3_0'"),
        (lambda found: [found[0] | {"question": "Where?"}, *found[1:]], r"1 id with another question than in T"),
        (lambda found: [found[0] | {"gt_answer": "Three."}, *found[1:]], r"1 id with another recorded answer"),
    ):
        file = answer_files.read_answers(write(change([{"id": name, "answer": "x"} for name in IDS]), "b.json"))
        with pytest.raises(UserError, match=message):
            answer_files.aligned(file, questions, "T")


def test_a_list_without_recorded_answers_needs_them(write):
    for odd, message in (
        ([{"id": "a_b_0", "answer": "x"}], r"1 id without 'question'; give --truth"),
        ([{"id": "a_b_0", "question": "x", "answer": "x"}], r"1 id without 'gt_answer'"),
        ([{"id": "b_0", "question": "x", "gt_answer": "x", "answer": "x"}], "not <scene>_<frame>_<number>"),
    ):
        file = answer_files.read_answers(write(odd))
        with pytest.raises(UserError, match=message):
            answer_files.recorded_in(file)


def test_damaged_files_are_refused_or_scored(tmp_path):
    """Bytes and values changed at random: one line or scores, never another error."""
    rng = np.random.default_rng(0)
    odd = [None, 3, float("nan"), [], {}, "", "\ud800", "Is it A. x B. y", "1.0,2.0" * 50, True, [["a"]]]
    whole = [json.dumps(rows()).encode(), json.dumps(DRIVELM).encode()]
    refused = scored = 0
    for number in range(300):
        is_drivelm = number % 2
        content = bytearray(whole[is_drivelm])
        if number % 3:
            value = json.loads(content)
            _damage(value, rng, odd)
            content = bytearray(json.dumps(value).encode())
        else:
            for _ in range(rng.integers(1, 4)):
                content[rng.integers(len(content))] = rng.integers(256)
            content = content[: rng.integers(1, len(content) + 1)] if number % 2 else content
        path = tmp_path / "x.json"
        path.write_bytes(content)
        try:
            if is_drivelm:
                questions, _ = answer_files.read_recorded(str(path))
                answers = [one.truth for one in questions]
            else:
                file = answer_files.read_answers(str(path))
                questions = answer_files.recorded_in(file)
                answers = answer_files.aligned(file, questions, "itself")
            given = answer_scores.Given(answers, None, None)
            answer_scores.score(questions, given, given, None)
            scored += 1
        except UserError as error:
            assert "\n" not in str(error)
            refused += 1
    assert refused > 50 and scored > 20


def _damage(value, rng, odd):
    """Replaces, removes or repeats something at a random place."""
    while True:
        keys = list(value) if isinstance(value, dict) else list(range(len(value)))
        if not keys:
            return
        key = keys[rng.integers(len(keys))]
        if isinstance(value[key], dict | list) and rng.random() < 0.8:
            value = value[key]
            continue
        if rng.random() < 0.3:
            del value[key]
        elif isinstance(value, list) and rng.random() < 0.5:
            value.append(value[key])
        else:
            value[key] = odd[rng.integers(len(odd))]
        return
