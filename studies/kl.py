"""Was the KL of the joint method given a fair weight and temperature? Larger weights, and sharper distributions.

    python -m dima_jax.study --plan=studies/kl.py --out=runs/kl

The softmaxes of two features that are not trained to be sharp are nearly uniform, so their KL is small, and its gradient
with it. A weight scales the gradient; a temperature below 1 sharpens both distributions, its square keeps the scale.
"""

from dima_jax.study import arms
from dima_jax.study.plan import Arm, Plan


def get_plan():
    return Plan(
        title="Which weight and temperature does the KL need?",
        **arms.SHARED,
        reference="alone",
        arms=(
            arms.alone(),
            arms.joint_kl(),
            Arm("weight 10", "Ten times the weight.", {**arms.KL, "loss.distill": 10.0}),
            Arm("weight 100", "A hundred times the weight.", {**arms.KL, "loss.distill": 100.0}),
            Arm("temperature 0.1", "Sharper distributions.", {**arms.KL, "loss.distill_temperature": 0.1}),
        ),
    )
