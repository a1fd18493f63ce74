"""The rows of the paper's Table 4, each with the losses and tokens of the rows above it.

    python -m dima_jax.study --plan=studies/table4.py --out=runs/table4

Row 7, the future BEV, is not in vector mode: there is no raster of a later frame.
"""

from dima_jax.study import arms
from dima_jax.study.plan import Arm, Plan

LLM_ALONE = {"distill.form": "kl", "loss.distill": 0.0, "loss.reconstruction": 0.0, **arms.NO_EDITS}
DISTILLED = {**LLM_ALONE, "loss.distill": 1.0}
RECONSTRUCTED = {**DISTILLED, "loss.reconstruction": 1.0}


def get_plan():
    return Plan(
        title="The rows of Table 4",
        **arms.SHARED,
        reference="1 alone",
        arms=(
            Arm("1 alone", "The student without a teacher.", arms.ALONE),
            Arm("2 BEV", "An LLM that reads the BEV, answers and plans.", {**LLM_ALONE, "teacher.tokens": ("bev",)}),
            Arm("3 and map", "It reads the map, too.", {**LLM_ALONE, "teacher.tokens": ("bev", "map")}),
            Arm("4 and agents and ego", "It reads everything.", LLM_ALONE),
            Arm("5 and distillation", "The student learns from its feature.", DISTILLED),
            Arm("6 and reconstruction", "It fills in masked BEV cells.", RECONSTRUCTED),
            Arm("8 and editing", "It plans in edited scenes: the whole method.", arms.KL),
        ),
    )
