"""DriveLM's question file: order, bad tags, other files."""

import json

import pytest

from data_prep import qa
from dima_jax.errors import UserError
from tests import tiny_root


@pytest.mark.parametrize(
    ("tag", "problem"),
    [("<c1,CAM_TOP,1.0,2.0>", "names no camera"), ("<c1,CAM_BACK,here,2.0>", "names no pixel"), ("<c1>", "names no camera")],
)  # fmt: skip
def test_tag_that_names_nothing(tmp_path, tag, problem):
    path = tiny_root.drivelm(tmp_path / "drivelm.json", tag=tag)
    with pytest.raises(UserError, match=rf"drivelm\.json: scene scn0, sample smp_0010: {tag} {problem} \(perception"):
        qa.read(str(path))


def test_questions_in_file_order_and_other_files_refused(tmp_path):
    pairs = qa.read(str(tiny_root.drivelm(tmp_path / "drivelm.json")))["smp_0010"]
    assert pairs["kinds"] == ("perception", "planning") and pairs["answers"][0] == "Moving."
    (tmp_path / "other.json").write_text('[{"question": 1}]')
    with pytest.raises(UserError, match=r"other\.json: not in DriveLM's v1\.1 format"):
        qa.read(str(tmp_path / "other.json"))
    with pytest.raises(UserError, match="no such file"):
        qa.read(str(tmp_path / "none.json"))


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        ({"Q": "What is ahead?", "A": None}, "the answer to perception question 'What is ahead?' is None, no text"),
        ({"Q": "What is ahead?", "A": ["A car.", 3]}, "the answer to perception question 'What is ahead?' is"),
        ({"Q": None, "A": "A car."}, "a perception question is None, no text"),
        ({"Q": "Ahead\ud800?", "A": "A car."}, "a perception question is 'Ahead\\ud800?', no text"),
        ({"Q": "What is ahead?", "A": "\udfff"}, "the answer to perception question 'What is ahead?' is"),
        ({"Q": "What is ahead?"}, "perception question 'What is ahead?' has no answer, others of this file have one"),
    ],
)
def test_a_question_without_text_names_scene_sample_and_question(tmp_path, pair, message):
    path = tmp_path / "drivelm.json"
    answered = {"Q": "What is behind?", "A": "A car."}
    frames = {"smp_0010": {"QA": {"perception": [pair], "planning": [answered]}, "key_object_infos": {}}}
    path.write_text(json.dumps({"scn0": {"key_frames": frames}}))
    with pytest.raises(UserError) as raised:
        qa.read(str(path))
    assert str(raised.value).startswith(f"{path}: scene scn0, sample smp_0010: {message}")
    path.write_text(json.dumps({"scn0": {"key_frames": {"a": {"QA": {}}}}, "scn1": {"key_frames": {"a": {"QA": {}}}}}))
    with pytest.raises(UserError, match="sample a is in scene scn1 and in another one"):
        qa.read(str(path))


def test_a_file_of_questions_alone_is_kept_beside_one_with_answers(tmp_path):
    with_answers = tiny_root.drivelm(tmp_path / "drivelm.json")
    alone = tmp_path / "questions.json"
    frames = {"other": {"QA": {"perception": [{"Q": "What is ahead?"}], "planning": [{"Q": "What next?"}]}}}
    alone.write_text(json.dumps({"scn1": {"key_frames": frames}}))
    found = qa.read(f"{with_answers},{alone}")
    assert found["other"]["questions"] == ("What is ahead?", "What next?") and found["other"]["answers"] == ("", "")
    assert found["smp_0010"]["answers"][0] == "Moving."
    with pytest.raises(UserError, match=r"questions\.json: sample other is in another file of --drivelm, too"):
        qa.read(f"{alone},{with_answers},{alone}")


def test_tags_outside_of_the_image():
    inside = "<c1,CAM_FRONT,0.0,900> and <c2,CAM_BACK,1600,12.5> and <c3,CAM_UP,1,2>"
    outside = [
        "<c5,CAM_FRONT_RIGHT,2343.0,298.0>",
        "<c6,CAM_BACK,-1.0,3>",
        "<c7,CAM_BACK,nan,3>",
        "<c8,CAM_BACK,3,inf>",
    ]
    assert qa.outside_image(inside + "".join(outside)) == outside
