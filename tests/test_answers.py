"""Asking the teacher: streamed and batched answers agree, DriveLM's form, going on after a stop, clear refusals."""

import json

import numpy as np
import pytest

from dima_jax import answers, checkpoints
from dima_jax.data import sequences
from dima_jax.errors import UserError
from dima_jax.policy import Frame
from dima_jax.scoring import answer_files

MAX_TOKENS = 6


@pytest.fixture(scope="module")
def run(joint_run):
    """Its records hold two DriveLM questions, in scene-0061 (train)."""
    return joint_run.folder


@pytest.fixture(scope="module")
def asker(run):
    config = checkpoints.load_student(run)[0]
    return answers.Asker(run, config, MAX_TOKENS)


@pytest.fixture(scope="module")
def frames(asker):
    return sequences.Drives(asker.config, "train")


def test_the_trained_weights_are_the_checkpoints(run, asker):
    stored = checkpoints.load_trainable(run)
    assert any(path.startswith("teacher/lora/") for path in stored)
    for path, value in stored.items():
        np.testing.assert_array_equal(asker.params[path], value, err_msg=path)


def test_streamed_and_batched_answers_agree(asker, frames):
    """An untrained teacher talks nonsense, but the same nonsense."""
    tokens = asker.encode(frames, 2)
    questions = ["What is ahead?", "A much longer question about what the ego vehicle should do now?"]
    batched = asker.answers(tokens, questions)
    assert ["".join(asker.stream(tokens, question)).strip() for question in questions] == batched
    assert any(batched)


def test_a_long_question_makes_room(asker):
    text = asker._prompt(["short", "x" * 150])
    assert text.tokens.shape == (2, 192) and text.mask.sum(axis=1).tolist() == [23, 168]


def test_the_history_counts(asker, frames):
    """The BEV of the frame before is seen, as in training."""
    after_history = asker.encode(frames, 3)
    asker.policy.reset()
    asker.policy.step(Frame.from_batch(frames[3].frame))
    alone = asker.policy.student_output.tokens
    assert float(np.abs(np.asarray(after_history.bev) - np.asarray(alone.bev)).max()) > 1e-4


def test_blank_images_are_black(run, asker, frames):
    """The rest of the frame stays; answers of one kind are not gone on with as those of the other."""
    blank = answers.Asker(run, asker.config, MAX_TOKENS, blank_images=True)
    seen = []
    step, blank.policy.step = blank.policy.step, lambda frame: seen.append(frame) or step(frame)
    tokens = blank.encode(frames, 3)
    given = Frame.from_batch(frames[3].frame)
    assert given.images.any() and not any(frame.images.any() for frame in seen)
    np.testing.assert_array_equal(seen[-1].can_bus, given.can_bus)
    assert float(np.abs(np.asarray(tokens.bev) - np.asarray(asker.encode(frames, 3).bev)).max()) > 1e-4
    assert blank.source != asker.source


def test_a_split_is_answered_in_drivelms_form_and_goes_on(asker, frames, tmp_path, monkeypatch, capsys):
    out = tmp_path / "answers.json"
    answers.answer_split(asker, frames, out, limit=None, show=1)
    written = json.loads(out.read_text())
    assert [set(one) for one in written] == [{"id", "kind", "question", "gt_answer", "answer"}] * 2
    scene = frames.frames[0].record["scene"]["token"]
    assert [one["id"] for one in written] == [f"{scene}_smp_0010_{i}" for i in range(2)]
    assert written[1]["gt_answer"] == "Keep going at the same speed."
    asked = frames[frames.records.samples.index("smp_0010")].questions
    assert [one["kind"] for one in written] == [kind for kind, _, _ in asked] != ["", ""]
    assert "2 answers" in capsys.readouterr().out

    left = [asker.source | {"split": "train"}, ["smp_0010", [dict(one, answer="as before") for one in written]]]
    partial = out.with_name("answers.json.partial")
    partial.write_text("".join(json.dumps(line) + "\n" for line in left) + '["smp_0011", [{"id"')  # stopped in a line
    monkeypatch.setattr(asker, "answers", None)  # nothing is asked twice
    answers.answer_split(asker, frames, out, limit=None, show=0)
    assert {one["answer"] for one in json.loads(out.read_text())} == {"as before"}
    assert not partial.exists()


def test_questions_without_recorded_answers_are_answered(asker, frames, tmp_path, monkeypatch, capsys):
    whole = sequences.Drives.__getitem__

    def unanswered(self, index):
        frame = whole(self, index)
        return frame._replace(questions=[(kind, question, "") for kind, question, _ in frame.questions])

    monkeypatch.setattr(sequences.Drives, "__getitem__", unanswered)
    out = tmp_path / "answers.json"
    answers.answer_split(asker, frames, out, limit=None, show=1)
    assert "2 answers, no recorded answers to compare with" in capsys.readouterr().out
    with pytest.raises(UserError, match=r"answers\.json: 2 ids without 'gt_answer'"):
        answer_files.read_recorded(str(out))


def test_answers_of_another_checkpoint_are_not_gone_on_with(asker, frames, tmp_path):
    partial = tmp_path / "answers.json.partial"
    left = json.dumps(asker.source | {"split": "train", "checkpoint": "another"}) + "\n"
    partial.write_text(left)
    with pytest.raises(UserError, match=r"answers\.json\.partial holds answers of .*another.*delete it"):
        answers.answer_split(asker, frames, tmp_path / "answers.json", None, 0)
    assert partial.read_text() == left


def test_refusals(run, asker, frames, tmp_path):
    with pytest.raises(UserError, match=r"absent.*no such sample"):
        answers.answer_one(asker, frames, "absent", "What is ahead?")
    with pytest.raises(UserError, match="holds no questions"):
        answers.answer_split(asker, sequences.Drives(asker.config, "val"), tmp_path / "none.json", None, 0)
    config = asker.config.copy_and_resolve_references()
    config.teacher.enabled = False
    with pytest.raises(UserError, match="without a teacher"):
        answers.Asker(run, config, MAX_TOKENS)
