"""Plans of arms that were never trained, on a truth that was never driven: how far off each is, is known."""

from collections.abc import Mapping

import numpy as np

from dima_jax.study import outcome
from dima_jax.study.arm_file import Done
from dima_jax.study.plan import Arm, Plan
from dima_jax.study.scores import Scores
from dima_jax.study.training import Trained
from tests.scoring.fake import fake_truth
from tests.study import mini

OFF = {"alone": 0.5, "blind": 1.0, "better": 0.3, "the same": 0.5}  # meters to the side, at every step
HASHES = {"train": "1" * 16, "val": "2" * 16}


def plan(off: Mapping[str, float] = OFF, **changes) -> Plan:
    arms = tuple(Arm(name, f"<b>{name}</b>", mini.ALONE) for name in off)
    return mini.plan(arms=arms, reference="alone", blind="blind", **changes)


def scores(off: Mapping[str, float] = OFF, seeds: int = 4) -> Scores:
    found = Scores(fake_truth(scenes=12, frames=9))
    for number, (name, far) in enumerate(off.items()):
        rng = np.random.default_rng(number)
        noise = rng.normal(0, 0.02, (seeds, *found.truth.path.shape))
        found.add(name, found.truth.tokens.tolist(), found.truth.path + np.array([far, 0.0]) + noise)
    return found


def done(off: Mapping[str, float] = OFF, seeds: int = 4) -> dict[str, Done]:
    curve = np.linspace(2.0, 0.5, 7)[None].repeat(seeds, axis=0)
    nothing = np.full(curve.shape, np.nan)
    curves = {"loss": curve, "plan_loss": curve / 2, "l2_student": curve, "l2_teacher": nothing}
    return {name: Done(Trained(np.zeros((seeds, 1, 6, 2)), curves, None, None), 61.0, "abc") for name in off}


def result(off: Mapping[str, float] = OFF, missing: tuple[str, ...] = ()) -> dict:
    kept = {name: far for name, far in off.items() if name not in missing}
    told = dict(file="studies/x.py", command="python -m dima_jax.study <x>", created="")
    return outcome.build(plan(off, seeds=4), done(kept), scores(kept), HASHES, **told)
