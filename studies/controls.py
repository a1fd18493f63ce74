"""Does an LLM teach more than its labels? The student beside everything that an LLM could be mistaken for.

    python -m dima_jax.study --plan=studies/controls.py --out=runs/controls

`labels` learns what the answers say by plain heads, without an LLM: what the LLM brings beyond it is the LLM's own.
"""

from dima_jax.study import arms
from dima_jax.study.plan import Arm, Plan


def get_plan():
    return Plan(
        title="Does an LLM teach more than its labels?",
        **arms.SHARED,
        reference="alone",
        blind="blind",
        situations={"three-point turns": ("three_point_turn",)},
        arms=(
            arms.alone(),
            arms.blind(),
            arms.privileged(),
            arms.plan_of_privileged(),
            Arm("labels", "The facts of the questions' answers as plain labels, without an LLM.", arms.FACTS),
            arms.joint_kl(),
            Arm("random LLM", "The same with an LLM of random frozen weights, and LoRA.", arms.KL | arms.FROZEN_LLM),
            Arm(
                "frozen tokens",
                "The same LLM reads the student's tokens as constants: it cannot shape them, and still distills.",
                {**arms.KL, "teacher.shapes_student": False},
            ),
        ),
    )
