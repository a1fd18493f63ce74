"""Golden piece plan_losses: the three plan constraints with gradients, through the code of training."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from dima_jax.losses import plan
from dima_jax.types import StudentOutput
from tests.golden.check import close

PC_RANGE = (-15.0, -30.0, -2.0, 15.0, 30.0, 2.0)
TERMS = {"bound": ("boundary", 1.0), "dir": ("direction", 0.5), "col": ("collision", 1.0)}  # with VAD's loss weight
INPUTS = {"ego": "ego_fut_preds", "lane": "lane_preds", "agent": "agent_preds", "agent_fut": "agent_fut_preds"}
TOLERANCE = 1e-5  # times the largest golden value, if that is above 1


def check(folder: Path):
    for path in sorted(folder.glob("*.npz")):
        with np.load(path) as data:
            yield path.name, list(_checks(dict(data)))


def _checks(d):
    samples = {key: value for key, value in d.items() if key.endswith(("_preds", "_masks"))}
    arrays = {key: samples.pop(key) for key in INPUTS.values()}
    for short, (name, weight) in TERMS.items():

        def mean(arrays, others, name=name, weight=weight):
            term = _terms(arrays | others)[name]
            return weight * term.sum / term.count

        def per_sample(sample, name=name, weight=weight):
            return weight * _terms({key: value[None] for key, value in sample.items()})[name].sum

        value, gradient = jax.jit(jax.value_and_grad(mean))(arrays, samples)
        yield _close(f"{short}_loss", value, d[f"{short}_loss"])
        elements = d[f"{short}_elem"]
        sums = jax.jit(jax.vmap(per_sample))(arrays | samples)
        yield _close(f"{short}_elem, summed per sample", sums, elements.reshape(len(elements), -1).sum(-1))
        for key, array in INPUTS.items():
            if f"{short}_grad_{key}" in d:
                yield _close(f"{short}_grad_{key}", gradient[array], d[f"{short}_grad_{key}"])


def _close(name, ours, golden):
    return close(name, ours, golden, TOLERANCE * max(1.0, float(np.abs(golden).max(initial=0))))


def _terms(d):
    """All plan terms; the golden's plan is that of the one command there is, and its target is not used."""
    command = jnp.ones((len(d["ego_fut_preds"]), 1))
    target = jnp.zeros_like(d["ego_fut_preds"])
    scene = plan.surroundings(_output(d), PC_RANGE)
    return plan.plan_terms(d["ego_fut_preds"][:, None], command, target, d["ego_fut_masks"] > 0, scene)


def _output(d):
    """The golden's predictions as the student would return them (logits from scores)."""
    centers = d["agent_preds"]
    return StudentOutput(
        tokens=None,
        agent_logits=_logit(d["agent_score_preds"])[None],
        agent_codes=jnp.concatenate([centers, jnp.zeros((*centers.shape[:-1], 8))], axis=-1)[None],
        agent_future_offsets=d["agent_fut_preds"],
        agent_mode_logits=d["agent_fut_cls_preds"],
        map_logits=_logit(d["lane_score_preds"])[None],
        map_points=d["lane_preds"][None],
        ego_offsets=d["ego_fut_preds"][:, None],
        ego_feature=None,
    )


def _logit(score):
    return jnp.log(score) - jnp.log1p(-score)
