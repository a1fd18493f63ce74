"""Plans: what is wrong in one is one line that names the place; what an arm's config becomes; which arm goes first."""

from dataclasses import replace
from pathlib import Path

import pytest

from dima_jax import config_check
from dima_jax.config_kinds import DISTILL_FORMS
from dima_jax.errors import UserError
from dima_jax.study import plan as plans
from dima_jax.study.plan import Arm
from dima_jax.study.power import Components
from tests.study import mini

FILE = """
from tests.study import mini

def get_plan():
    return mini.plan({})
"""


def arm(name="other", lines=mini.ALONE, **changes) -> Arm:
    return Arm(name, "Something.", lines, **changes)


def with_arms(*arms):
    return {"arms": (*mini.plan().arms, *arms)}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (dict(seeds=0), "seeds is 0: must be an integer, 1 or more"),
        (dict(steps=2.5), "steps is 2.5: must be an integer"),
        (dict(title=""), "title is '': must be a text"),
        (dict(arms=()), "arms is (): must be two Arms or more"),
        (dict(assumed=(0.1, 0.1, 0.1)), "assumed is (0.1, 0.1, 0.1): must be power.Components"),
        (
            dict(assumed=Components("a", 0, 0)),
            "assumed is Components(seed='a', scene=0, rest=0): must be power.Components",
        ),
        (dict(lines={1: 2}), "lines is {1: 2}: must be {config key: value}"),
        (with_arms(arm(lines={None: 2})), "arms[3].lines is {None: 2}: must be"),
        (
            dict(lines={**mini.lines(), "data.shuffle_scenes": 2}),
            "config.data.shuffle_scenes=2: must be 0, as a study mixes the windows of all scenes",
        ),
        (dict(situations={"cut in": "t.json:cut_in"}), "situations is {'cut in': 't.json:cut_in'}: must be {name: ("),
        (dict(reference="nobody"), "reference is 'nobody': must be one of alone, taught, privileged"),
        (dict(blind="nobody"), "blind is 'nobody': must be"),
        (with_arms(arm("alone")), "arms[3].name is 'alone': must be the name of one arm alone"),
        (with_arms(arm("a, b")), "arms[3].name is 'a, b': must be without a comma"),
        (with_arms(arm(" ")), "arms[3].name is ' ': must be a text"),
        (with_arms(arm(times=0)), "arms[3].times is 0: must be an integer, 1 or more"),
        (with_arms(arm(cache=3)), "arms[3].cache is 3: must be the folder of a teacher's cache"),
        (with_arms(arm(cache="x", teacher="alone")), "arms[3].cache is 'x': must be \"\" beside the teacher 'alone'"),
        (
            with_arms(arm(lines={**mini.ALONE, "distill.form": "shared_head"}, cache="x")),
            "arms[3] 'other': config.distill.form='shared_head': must be another than shared_head with distill.cache",
        ),
        (
            with_arms(arm(lines={}, cache="x")),
            "arms[3] 'other': config.distill.cache='x': must be empty beside a teacher",
        ),
        (dict(llm_drives=1), "llm_drives is 1: must be True or False"),
        (with_arms(arm(teacher="nobody")), "arms[3].teacher is 'nobody': must be one of"),
        (with_arms(arm(teacher="other")), "arms[3].teacher is 'other': must be an arm that it does not teach"),
        (
            with_arms(arm("a", teacher="b"), arm("b", teacher="a")),
            "arms[3].teacher is 'b': must be an arm that it does not teach",
        ),
        (
            with_arms(arm(lines={"vector.jiter": 1.0})),
            "arms[3] 'other': config.vector.jiter=1.0: unknown key; did you mean config.vector.jitter?",
        ),
        (with_arms(arm(lines={"vector.jitter": -1.0})), "arms[3] 'other': config.vector.jitter=-1.0: must be a finite"),
        (with_arms(arm(lines={"seed": 3})), "arms[3] 'other': config.seed=3: is set by the study; leave the line out"),
        (with_arms(arm(lines={"mesh.data": 2})), "config.mesh.data=2: is set by the study"),
        (with_arms(arm(lines={"vector.enabled": False})), "arms[3] 'other': config"),
        (
            dict(lines={**mini.lines(), "data.history": 1}),
            "arms[0] 'alone': config.data.history=1: must be 0, as a study",
        ),
        (
            dict(lines={**mini.lines(), "data.flip": 0.5}),
            "config.data.flip=0.5: must be 0, as a study mirrors no frame",
        ),
        (with_arms(arm(lines={"data.command": False})), "config.data.command=False: must stand in the plan's lines"),
        (with_arms(arm(lines={"train.init_from": "x"})), "config.train.init_from='x': is set by the study"),
        (
            with_arms(arm(lines={**mini.ALONE, "distill.form": "shared_head"}, teacher="alone")),
            "arms[3] 'other': config.distill.form='shared_head': must be another than shared_head with distill.cache",
        ),
        (
            with_arms(arm(lines={**mini.ALONE, "student.width": 64}, teacher="alone")),
            "arms[3] 'other': config.student.width=64: must be its teacher's, 32",
        ),
        (with_arms(arm(lines={"distill.start_step": 4})), "config.distill.start_step=4: must be below the 4 steps"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(changes, words):
    with pytest.raises(UserError) as found:
        plans.check(mini.plan(**changes))
    assert words in str(found.value) and "\n" not in str(found.value)


def test_a_good_plan_is_read_from_a_file_and_may_be_changed(tmp_path):
    path = tmp_path / "plan.py"
    path.write_text(FILE.format(""))
    assert plans.load(str(path)) == mini.plan()
    assert plans.load(str(path), seeds=5, steps=None) == mini.plan(seeds=5)
    path.write_text(FILE.format("seeds=-1"))
    with pytest.raises(UserError, match=r"plan\.py: seeds is -1"):
        plans.load(str(path))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x = 1", "get_plan() is missing or returns no dima_jax.study.plan.Plan"),
        ("def get_plan():\n    return {}", "get_plan() is missing or returns no"),
        ("def get_plan():\n    return 1 / 0", "ZeroDivisionError: division by zero"),
        ("def get_plan(:", "SyntaxError"),
    ],
)
def test_a_file_that_holds_no_plan_is_named(tmp_path, text, words):
    path = tmp_path / "plan.py"
    path.write_text(text)
    with pytest.raises(UserError) as found:
        plans.load(str(path))
    assert str(found.value).startswith(f"{path}: ") and words in str(found.value)


def test_a_file_that_is_absent_is_named():
    with pytest.raises(UserError, match=r"--plan=absent\.py: no such file"):
        plans.load("absent.py")


def test_some_arms_bring_the_reference_and_their_teachers(tmp_path):
    path = tmp_path / "plan.py"
    path.write_text(FILE.format("blind='privileged'"))
    assert [one.name for one in plans.load(str(path), arms=["taught"]).arms] == ["alone", "taught", "privileged"]
    other = plans.load(str(path), reference="privileged", arms=["privileged", "taught"])
    assert [one.name for one in other.ordered()] == ["privileged", "taught"]
    few = plans.load(str(path), arms=["alone", "privileged"])
    assert [one.name for one in few.arms] == ["alone", "privileged"] and few.blind == "privileged"
    with pytest.raises(UserError, match="--arms: there is no arm 'nobody'"):
        plans.load(str(path), arms=["nobody"])


def test_the_reference_goes_first_and_a_teacher_before_whom_it_teaches():
    plan = replace(mini.plan(), reference="privileged")
    assert [one.name for one in plan.ordered()] == ["privileged", "alone", "taught"]
    assert [one.name for one in mini.plan().ordered()] == ["alone", "privileged", "taught"]
    assert mini.plan().teachers() == {"privileged"}


def test_an_arm_has_the_plans_lines_and_its_own():
    plan = mini.plan("records", lines={**mini.lines(), "vector.jitter": 0.5, "loss.distill": 0.3})
    config = plans.config_of(plan, plan.arm("taught"))
    assert (config.vector.jitter, config.loss.distill, config.distill.form) == (0.5, 0.3, "feature_l2")
    assert (config.data.path, config.data.batch_size, config.train.max_steps) == ("records", 2, 4)
    longer = replace(plan, arms=(*plan.arms, arm("long", times=3)), steps=5)
    assert plans.config_of(longer, longer.arm("long")).train.max_steps == 15
    assert config.distill.cache == "arm privileged" and not plans.config_of(plan, plan.arm("alone")).distill.cache
    assert config.mesh.to_dict() == config.mesh.to_dict() | dict(data=1, fsdp=1, model=1)


def test_what_is_assumed_is_in_meters():
    assert mini.plan().assumed == Components(0.03, 0.06, 0.05)


def test_a_teacher_without_its_pupils_still_keeps_what_it_says(tmp_path):
    file = tmp_path / "plan.py"
    file.write_text(FILE.format(""))
    few = plans.load(str(file), arms=["privileged"])
    assert [one.name for one in few.arms] == ["alone", "privileged"] and few.teachers() == {"privileged"}


@pytest.mark.parametrize("file", sorted(Path("studies").glob("*.py")), ids=str)
def test_a_shipped_plan_can_be_run_as_it_stands(file):
    plan = plans.load(str(file))
    seeds = 2 if file.stem == "lora" else 8  # an LLM of 135 million weights in every step
    assert (plan.data, plan.seeds) == ("data/vectors/records", seeds) and f"--plan={file}" in file.read_text()
    configs = {one.name: config_check.flat(plans.config_of(plan, one)) for one in plan.arms}
    distinct = [configs[one.name] | {"teacher": one.teacher} for one in plan.arms]
    assert all(one not in distinct[:number] for number, one in enumerate(distinct))


def test_the_shipped_plan_has_every_form():
    plan = plans.load("studies/forms.py")
    forms = {plans.config_of(plan, one).distill.form for one in plan.arms if one.lines.get("loss.distill")}
    assert forms == set(DISTILL_FORMS)


def test_the_llm_of_the_loop_is_smollm2_in_the_demo():
    """And its control has the same shape; both stay frozen but for LoRA."""
    from dima_jax.configs import demo_smollm2

    plan, teacher = plans.load("studies/lora.py"), demo_smollm2.get_config().teacher
    read, drawn = (plans.config_of(plan, plan.arm(name)) for name in ("SmolLM2", "random LLM"))
    assert read.teacher.llm == drawn.teacher.llm == teacher.llm
    assert (read.teacher.weights, read.teacher.tokenizer) == (teacher.weights, teacher.tokenizer)
    assert (drawn.teacher.weights, drawn.teacher.tokenizer) == ("", teacher.tokenizer)
    assert dict(read.optim.groups)["teacher/llm/.*"] == 0.0 == dict(drawn.optim.groups)["teacher/llm/.*"]


def test_texts_are_read_by_both_llms():
    plan = plans.load("studies/pretrained.py")
    caches = [one.cache for one in plan.arms]
    assert (
        len(set(caches)) == 3
        and caches[0] == ""
        and all(f"--out={one}" in Path("studies/pretrained.py").read_text() for one in caches[1:])
    )
