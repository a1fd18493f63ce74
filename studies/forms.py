"""Which form of distillation helps? Every form of `distill.form` from a teacher that knows more, and the joint method.

    python -m dima_jax.study --plan=studies/forms.py --out=runs/forms

The positive control first: a teacher that is told where agents will go. If no form brings a student nearer to it, no teacher
that knows less will help by that form here.
"""

from dima_jax.study.plan import Arm, Plan

STEPS = 600
SIZES = {  # of every arm: smaller than `configs/vector.py`, so that twelve arms of eight seeds can be had on a laptop
    "student.num_modes": 2,
    "student.num_agents": 16,
    "student.num_map": 16,
    "data.max_agents": 16,
    "data.max_map": 16,
    "teacher.llm.layers": 2,
    "teacher.llm.width": 64,
    "teacher.llm.ffn_width": 128,
    "teacher.adapter.bev_grid": (6, 3),
    "loss.map_class": 0.0,  # what is told of a line is what is found: a constant, and matching takes time
    "loss.map_points": 0.0,
}
ALONE = {"teacher.enabled": False}
BLIND = {**ALONE, "vector.agent_dropout": 1.0, "vector.line_dropout": 1.0}
PRIVILEGED = {
    **ALONE,
    "vector.future": True,
    "vector.velocity": True,
    "vector.agent_dropout": 0.0,
    "vector.line_dropout": 0.0,
    "vector.jitter": 0.0,
    "vector.range_noise": 0.0,
}
TAUGHT_FIRST = {
    "loss.distill": 1.0,
    "distill.start_step": STEPS // 2,
    "distill.ramp_steps": STEPS // 10,
    "distill.freeze_teacher": True,
}


def taught(name: str, tests: str, lines: dict) -> Arm:
    """A student whose teacher is the privileged one."""
    return Arm(name, tests, {**ALONE, "loss.distill": 1.0, **lines}, teacher="privileged")


def get_plan():
    return Plan(
        title="Which form of distillation helps?",
        data="data/vectors/records",
        seeds=8,
        steps=STEPS,
        batch=16,
        reference="alone",
        blind="blind",
        lines=SIZES,
        arms=(
            Arm("alone", "The student without a teacher.", ALONE),
            Arm("blind", "The student that is told its speed and command alone: what the scene is worth.", BLIND),
            Arm(
                "privileged",
                "The teacher of the positive control: it is told the agents around it, and where they go.",
                PRIVILEGED,
            ),
            taught("feature L2", "Standardized features of the privileged teacher.", {"distill.form": "feature_l2"}),
            taught("KL", "Softmaxes of its features, as the paper says.", {"distill.form": "kl"}),
            taught("KL standardized", "Softmaxes of its standardized features.", {"distill.form": "kl_standardized"}),
            taught("plan", "Its plan.", {"distill.form": "plan"}),
            taught(
                "plan gated", "Its plan, where it is the better one.", {"distill.form": "plan", "distill.gate": True}
            ),
            Arm(
                "joint no distillation",
                "A tiny LLM on the student's tokens, whose losses reach them.",
                {"loss.distill": 0.0},
            ),
            Arm("joint KL", "The joint method as the paper has it.", {"distill.form": "kl", "loss.distill": 1.0}),
            Arm(
                "joint feature L2",
                "The LLM learns first for half of the steps, is frozen, and then teaches standardized features.",
                {"distill.form": "feature_l2", **TAUGHT_FIRST},
            ),
            Arm(
                "joint shared head",
                "The same with one last Linear for both planners, and the features before it.",
                {"distill.form": "shared_head", **TAUGHT_FIRST},
            ),
        ),
    )
