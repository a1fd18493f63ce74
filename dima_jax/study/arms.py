"""Config lines and arms that several studies share (`studies/`), at sizes that a laptop can train many times."""

from collections.abc import Mapping
from typing import Any

from dima_jax.configs import privileged as privileged_config
from dima_jax.study.plan import Arm

SIZES = {  # of every arm: smaller than `configs/vector.py`
    "student.num_modes": 2,
    "student.num_agents": 16,
    "student.num_map": 16,
    "data.max_agents": 16,
    "data.max_map": 16,
    "teacher.llm.layers": 2,
    "teacher.llm.width": 64,
    "teacher.llm.heads": 2,
    "teacher.llm.kv_heads": 2,
    "teacher.llm.ffn_width": 128,
    "teacher.adapter.bev_grid": (6, 3),
    "loss.map_class": 0.0,  # what is told of a line is what is found: a constant, and matching takes time
    "loss.map_points": 0.0,
}
SHARED = dict(data="data/vectors/records", seeds=8, steps=500, batch=16, lines=SIZES)  # fields of a plan
ALONE = {"teacher.enabled": False}
BLIND = {**ALONE, "vector.agent_dropout": 1.0, "vector.line_dropout": 1.0}
FACTS = {**ALONE, "auxiliary.facts": True}
KL = {"distill.form": "kl", "loss.distill": 1.0}
NO_EDITS = {
    "teacher.edit_share": 0.0,
    **{f"loss.edit_{term}": 0.0 for term in ("imitation", "boundary", "collision", "direction", "language")},
}
FROZEN_LLM = {"optim.groups": (("teacher/llm/.*", 0.0), (".*", 1.0))}


def alone() -> Arm:
    """The usual reference."""
    return Arm("alone", "The student without a teacher.", ALONE)


def blind() -> Arm:
    """What the scene is worth."""
    return Arm("blind", "The student that is told its speed and command alone: what the scene is worth.", BLIND)


def privileged() -> Arm:
    """The teacher of the positive control."""
    tests = "The teacher of the positive control: it is told the agents around it and where they go, and learns three times as long."
    return Arm("privileged", tests, privileged_config.LINES, times=3)


def taught(name: str, tests: str, lines: Mapping[str, Any]) -> Arm:
    """A student without an LLM, whose teacher is the privileged one."""
    return Arm(name, tests, {**ALONE, "loss.distill": 1.0, **lines}, teacher="privileged")


def plan_of_privileged() -> Arm:
    """The student that a teacher can help, if any can."""
    return taught("plan", "The privileged teacher's plan.", {"distill.form": "plan"})


def joint_kl() -> Arm:
    """The joint method."""
    tests = "The joint method as the paper has it: a tiny LLM that is trained whole reads the student's tokens."
    return Arm("joint KL", tests, KL)


def learns_first() -> dict[str, Any]:
    """Lines of a teacher that learns for half of the steps, and is frozen when it begins to teach."""
    steps = SHARED["steps"]
    return {
        "loss.distill": 1.0,
        "distill.start_step": steps // 2,
        "distill.ramp_steps": steps // 10,
        "distill.freeze_teacher": True,
    }
