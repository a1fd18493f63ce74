"""Golden piece head_train_step: the head's losses on recipe weights, and the gradient of every one of its parameters."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from dima_jax import weights
from dima_jax.convert import rules, torch_vad
from tests.golden.check import Check, close, scaled
from tests.golden.pieces import head_loss, head_reduced
from tests.golden.recipe_student import partial, recipe_weights

PREFIX = "pts_bbox_head."
WEIGHTS = head_loss.PERCEPTION | head_loss.PLANNING  # e2e
NO_GRADIENT = -1.0  # what the reference writes for a parameter that nothing reaches


def check(folder: Path):
    for path in sorted(folder.glob("*.npz")):
        with np.load(path) as data:
            yield path.name, list(_checks(dict(data)))


def _checks(d):
    config, table = head_reduced.config_of(d), torch_vad.head_rules(PREFIX)
    foreign = recipe_weights(config, table, head_reduced.HEAD, int(d["recipe_seed"]))
    graph, params = weights.split(partial(config, table, head_reduced.HEAD, foreign))
    trained = {path: value for path, value in params.items() if path.startswith(head_reduced.HEAD)}
    targets = jax.tree.map(jnp.asarray, head_loss.targets_of(one_sample(d)))
    lidar2img, can_bus = (jnp.asarray(d[f"{name}__f64"], jnp.float32)[None] for name in ("lidar2img", "can_bus"))

    def objective(trained, levels):
        model = weights.bind(graph, {**params, **trained})
        bev = model.encode_features(levels, lidar2img, can_bus, jnp.asarray(d["prev_bev"]), jnp.array([True]))
        output = model.decode(bev)
        assigned = head_loss.assign(output, targets, tuple(WEIGHTS.items()))
        total = sum(WEIGHTS[name] * mean for name, mean in head_loss.means(output, targets, *assigned).items())
        return total, (output, head_loss.means_by_layer(output, targets, *assigned))

    levels = head_reduced.features(d, "")
    compute = jax.jit(jax.value_and_grad(objective, argnums=(0, 1), has_aux=True))
    (total, (output, by_layer)), (gradients, level_gradients) = compute(trained, levels)
    yield from head_reduced.predictions(output, d, "")
    yield from head_loss.entries(by_layer, d, WEIGHTS)
    yield close("total", total, d["total"], scaled(d["total"]))
    for i, gradient in enumerate(level_gradients):
        golden = d[f"grad_feat{i}"]
        yield close(f"grad_feat{i}", gradient.transpose(0, 1, 4, 2, 3), golden, scaled(golden, 1e-4))
    yield from _parameters(d, rules.to_state_dict(table, gradients))


def _parameters(d, gradients):
    """Every parameter's gradient norm and sum by its name in the reference, and a few gradients whole."""
    names = [PREFIX + str(name) for name in d["param_names"]]
    constants = {name for name in names if name in torch_vad.CONSTANTS}
    unknown = set(names) - constants ^ set(gradients)
    yield Check(f"parameters with another name {sorted(unknown)[:3]}", float(len(unknown)), 0.0)
    for name, norm, total in zip(names, d["param_grad_norm"], d["param_grad_sum"], strict=True):
        if name in constants:
            continue
        ours = np.asarray(gradients[name], np.float64)
        expected = 0.0 if norm == NO_GRADIENT else norm
        yield close(f"norm {name}", np.linalg.norm(ours), expected, scaled(expected, 1e-4))
        yield close(f"sum {name}", ours.sum(), 0.0 if norm == NO_GRADIENT else total, scaled(expected, 1e-3))
    for key, golden in d.items():
        if key.startswith("grad_full/"):
            ours = gradients[PREFIX + key.removeprefix("grad_full/")]
            yield close(key, ours, golden, scaled(golden, 1e-4))


def one_sample(d):
    """The targets under the names of head_loss, which holds several samples; every step of the ego is valid."""
    renamed = {key.replace("gt/", "gt0/", 1): value for key, value in d.items() if key.startswith("gt/")}
    future = d["gt/ego_fut"]
    return renamed | dict(ego_fut_gt=future, ego_fut_masks=np.ones(future.shape[:2]), ego_fut_cmd=d["gt/ego_cmd"])
