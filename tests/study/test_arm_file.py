"""A finished arm's file: read as it was written, trained again when damaged, refused when another plan made it."""

import numpy as np
import pytest

from dima_jax.errors import UserError
from dima_jax.study import arm_file
from dima_jax.study.training import Trained
from dima_jax.types import TaughtEgo
from tests.study import mini

TOKENS = ["a", "b", "c"]
HASHES = {"train": "1" * 16, "val": "2" * 16}


def trained(*, teaches=False) -> Trained:
    rng = np.random.default_rng(0)
    taught = TaughtEgo(rng.random((2, 5, 64), np.float32), rng.random((2, 5, 3, 6, 2), np.float32))
    curves = {"loss": rng.random((2, 4), np.float32), "l2_student": np.full((2, 4), np.nan, np.float32)}
    plans, llm_plans = rng.random((2, 2, 3, 6, 2), np.float32)
    return Trained(plans, curves, llm_plans if teaches else None, taught if teaches else None)


def inputs(name="alone", teacher="", **changes):
    plan = mini.plan(**changes)
    return arm_file.inputs(plan, plan.arm(name), HASHES, teacher, "none")


@pytest.mark.parametrize("name", ["alone", "privileged"])
def test_is_read_as_it_was_written(tmp_path, name):
    path, whole = arm_file.path_of(tmp_path, name), trained(teaches=name == "privileged")
    written = arm_file.write(path, TOKENS, whole, 12.5, inputs(name))
    done = arm_file.read(path, TOKENS, inputs(name))
    assert (done.seconds, done.content_hash) == (12.5, written.content_hash)
    np.testing.assert_array_equal(done.trained.plans, whole.plans)
    assert done.trained.curves.keys() == whole.curves.keys()
    np.testing.assert_array_equal(done.trained.curves["l2_student"], whole.curves["l2_student"])
    assert (done.trained.taught is None) == (done.trained.llm_plans is None) == (name == "alone")
    if name == "privileged":
        np.testing.assert_array_equal(done.trained.taught.ego_offsets, whole.taught.ego_offsets)
        np.testing.assert_array_equal(done.trained.llm_plans, whole.llm_plans)


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        (dict(seeds=3), "seeds=2, the plan says 3"),
        (dict(steps=5), "config.train.max_steps=4, the plan says 5"),
        (dict(lines={**mini.lines(), "vector.jitter": 0.7}), "config.vector.jitter=0.2, the plan says 0.7"),
    ],
)
def test_another_plan_is_refused_by_what_differs(tmp_path, changes, word):
    path = arm_file.path_of(tmp_path, "alone")
    arm_file.write(path, TOKENS, trained(), 1.0, inputs())
    with pytest.raises(UserError, match="give another --out, or delete the file") as found:
        arm_file.read(path, TOKENS, inputs(**changes))
    assert word in str(found.value)


def test_what_changes_no_number_is_not_asked(tmp_path):
    path = arm_file.path_of(tmp_path, "alone")
    arm_file.write(path, TOKENS, trained(), 1.0, inputs())
    other = inputs(records="elsewhere", title="Another", questions=7, lines={**mini.lines(), "data.workers": 7})
    assert arm_file.read(path, TOKENS, other) is not None


def test_other_records_another_teacher_and_other_frames_are_refused(tmp_path):
    path = arm_file.path_of(tmp_path, "taught")
    arm_file.write(path, TOKENS, trained(), 1.0, inputs("taught", "abc"))
    with pytest.raises(UserError, match="teacher='abc', the plan says 'abd'"):
        arm_file.read(path, TOKENS, inputs("taught", "abd"))
    with pytest.raises(UserError, match="val records="):
        arm_file.read(path, TOKENS, inputs("taught", "abc") | {"val records": "3"})
    with pytest.raises(UserError, match="is of other val frames"):
        arm_file.read(path, ["a", "b", "d"], inputs("taught", "abc"))


def test_an_arm_that_teaches_nobody_any_more_is_kept(tmp_path):
    path = arm_file.path_of(tmp_path, "privileged")
    arm_file.write(path, TOKENS, trained(teaches=True), 1.0, inputs("privileged"))
    few = mini.plan().arms[::2]
    assert arm_file.read(path, TOKENS, inputs("privileged", arms=few)).trained.taught is None


def test_an_arm_that_teaches_now_is_refused_without_what_it_says(tmp_path):
    path, plan = arm_file.path_of(tmp_path, "alone"), mini.plan()
    arm_file.write(path, TOKENS, trained(), 1.0, inputs())
    arms = (*plan.arms, mini.Arm("new", "More.", mini.ALONE, teacher="alone"))
    with pytest.raises(UserError, match="teaches=False, the plan says True"):
        arm_file.read(path, TOKENS, inputs(arms=arms))


@pytest.mark.parametrize("damage", [b"", b"no npz file", None])
def test_a_damaged_file_is_trained_again(tmp_path, capsys, damage):
    path = arm_file.path_of(tmp_path, "alone")
    assert arm_file.read(path, TOKENS, inputs()) is None and not capsys.readouterr().out
    arm_file.write(path, TOKENS, trained(), 1.0, inputs())
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(bytes(content) if damage is None else damage)
    assert arm_file.read(path, TOKENS, inputs()) is None
    assert capsys.readouterr().out.startswith("alone is trained again: ")


def test_names_stay_in_the_folder(tmp_path):
    assert arm_file.path_of(tmp_path, "../x").parent == tmp_path / "arms"


def test_a_file_of_a_later_version_is_refused_and_kept(tmp_path, monkeypatch):
    path = arm_file.path_of(tmp_path, "alone")
    monkeypatch.setattr(arm_file, "VERSION", 2)
    arm_file.write(path, TOKENS, trained(), 1.0, inputs())
    monkeypatch.setattr(arm_file, "VERSION", 1)
    with pytest.raises(UserError, match="is of version 2"):
        arm_file.read(path, TOKENS, inputs())


def test_what_a_cache_holds_counts_and_not_where_it_lies():
    def of(cache, content="abc"):
        arm = mini.Arm("read", "From files.", {**mini.ALONE, "distill.form": "feature_l2"}, cache=cache)
        return inputs("read", content, arms=(mini.plan().arms[0], arm))

    assert of("here") == of("there") and of("here") != of("here", "abd")


def test_an_llm_that_does_not_drive_is_another_arm():
    arms = (mini.plan().arms[0], mini.Arm("joint", "With an LLM."))
    both = [inputs("joint", arms=arms, llm_drives=drives) for drives in (True, False)]
    assert both[0] != both[1] and "llm drives" not in both[0]
    assert inputs("alone", arms=arms, llm_drives=False) == inputs("alone", arms=arms)
