"""Which form of distillation helps? Every form of `distill.form` from a teacher that knows more, and the joint method.

    python -m dima_jax.study --plan=studies/forms.py --out=runs/forms

The positive control first: a teacher that is told where agents will go. If no form brings a student nearer to it, no teacher
that knows less will help by that form here.
"""

from dima_jax.study import arms
from dima_jax.study.arms import ALONE, taught
from dima_jax.study.plan import Arm, Plan

FIRST = arms.learns_first()


def get_plan():
    return Plan(
        title="Which form of distillation helps?",
        **arms.SHARED,
        reference="alone",
        blind="blind",
        arms=(
            arms.alone(),
            arms.blind(),
            arms.privileged(),
            Arm(
                "longer", "The student without a teacher, as long as the teacher: what steps are worth.", ALONE, times=3
            ),
            taught("feature L2", "Standardized features of the privileged teacher.", {"distill.form": "feature_l2"}),
            taught("KL", "Softmaxes of its features, as the paper says.", {"distill.form": "kl"}),
            taught("KL standardized", "Softmaxes of its standardized features.", {"distill.form": "kl_standardized"}),
            arms.plan_of_privileged(),
            taught(
                "plan gated", "Its plan, where it is the better one.", {"distill.form": "plan", "distill.gate": True}
            ),
            Arm(
                "joint no distillation",
                "A tiny LLM on the student's tokens, whose losses reach them.",
                {"loss.distill": 0.0},
            ),
            arms.joint_kl(),
            Arm(
                "joint feature L2",
                "The LLM learns first for half of the steps, is frozen, and then teaches standardized features.",
                {"distill.form": "feature_l2", **FIRST},
            ),
            Arm(
                "joint shared head",
                "The same with one last Linear for both planners, and the features before it.",
                {"distill.form": "shared_head", **FIRST},
            ),
        ),
    )
