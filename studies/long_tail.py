"""Does what questions say reach the plan? Situations whose path no arm is shown, while their questions stay.

    python -m data_prep.mine --data=data/vectors/records --split=train --out=data/vectors/tokens-train.json
    python -m data_prep.mine --data=data/vectors/records --split=val --out=data/vectors/tokens-val.json
    python -m dima_jax.study --plan=studies/long_tail.py --out=runs/long_tail

Each situation is scored apart. What the paths themselves would have brought: the same arms of `studies/controls.py`.
"""

from dima_jax.study import arms
from dima_jax.study.plan import Arm, Plan

MINED = ("cut_in", "yield_to_pedestrian", "yield_to_vehicle", "stop_and_resume")
TRAIN, VAL = "data/vectors/tokens-train.json", "data/vectors/tokens-val.json"
LINES = {**arms.SIZES, "data.hold_out_paths": ("three_point_turn", *(f"{TRAIN}:{tag}" for tag in MINED))}


def get_plan():
    return Plan(
        title="Does what questions say reach the plan?",
        **arms.SHARED | {"lines": LINES},
        reference="alone",
        situations={"three-point turns": ("three_point_turn",)}
        | {tag.replace("_", " "): (f"{VAL}:{tag}",) for tag in MINED},
        arms=(
            arms.alone(),
            Arm("labels", "The facts of the questions' answers as plain labels, without an LLM.", arms.FACTS),
            Arm(
                "LLM",
                "A tiny LLM that is asked about these situations shapes the student's tokens.",
                {"loss.distill": 0.0},
            ),
            Arm(
                "LLM distilled",
                "The same, and the student learns from its feature, as the paper has it.",
                arms.KL,
            ),
            Arm(
                "LLM distilled not asked",
                "The same, but the LLM learns no answer: what distillation brings without the questions.",
                {**arms.KL, "loss.language": 0.0, "loss.edit_language": 0.0},
            ),
        ),
    )
