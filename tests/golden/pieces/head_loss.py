"""Golden piece head_loss: assignments, every loss entry and the gradient of their weighted sum."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from dima_jax import geometry
from dima_jax.losses import agents, matching, plan
from dima_jax.losses import map as map_losses
from dima_jax.types import AgentTargets, EgoTargets, MapTargets, StudentOutput
from tests.golden.check import Check, close, scaled

PC_RANGE = (-15.0, -30.0, -2.0, 15.0, 30.0, 2.0)
PERCEPTION = dict(
    agent_class=2.0,
    agent_box=0.25,
    agent_motion=0.2,
    agent_mode=0.2,
    map_class=2.0,
    map_points=1.0,
    map_direction=0.005,
)
PLANNING = dict(plan_imitation=1.0, plan_boundary=1.0, plan_collision=1.0, plan_direction=0.5)
STAGE_2 = dict(agent_class=0.8, agent_box=0.1, map_class=0.8, map_points=0.4)
AGENT_ENTRIES = {"agent_class": "loss_cls", "agent_box": "loss_bbox"}  # our term: the reference's entry
MAP_ENTRIES = {"map_class": "loss_map_cls", "map_points": "loss_map_pts", "map_direction": "loss_map_dir"}
MOTION_ENTRIES = {"agent_motion": "loss_traj", "agent_mode": "loss_traj_cls"}
PLAN_ENTRIES = {
    "plan_imitation": "loss_plan_reg",
    "plan_boundary": "loss_plan_bound",
    "plan_collision": "loss_plan_col",
    "plan_direction": "loss_plan_dir",
}
GRADIENTS = {  # our field: the reference's prediction
    "agent_logits": "all_cls_scores",
    "agent_codes": "all_bbox_preds",
    "agent_future_offsets": "all_traj_preds",
    "agent_mode_logits": "all_traj_cls_scores",
    "map_logits": "map_all_cls_scores",
    "map_points": "map_all_pts_preds",
    "ego_offsets": "ego_fut_preds",
}


def check(folder: Path):
    for path in sorted(folder.glob("*.npz")):
        with np.load(path) as data:
            yield path.name, list(_checks(dict(data)))


def _checks(d):
    weights = _weights(str(d["weights_config"]))
    output, targets = _output(d), targets_of(d)
    query, map_query, order = jax.jit(assign, static_argnums=2)(output, targets, tuple(weights.items()))
    yield from _assignments(d, query, map_query, order)

    yield from entries(jax.jit(means_by_layer)(output, targets, query, map_query, order), d, weights)

    def total(output, *fixed):
        return sum(weights[name] * mean for name, mean in means(output, *fixed).items())

    value, gradient = jax.jit(jax.value_and_grad(total))(output, targets, query, map_query, order)
    yield close("total", value, d["total"], scaled(d["total"]))
    for field, name in GRADIENTS.items():
        ours = np.asarray(getattr(gradient, field))
        golden = d[f"grad/{name}"]
        yield close(f"grad/{name}", ours.reshape(golden.shape), golden, scaled(golden))


def entries(by_layer, d, weights):
    """Every entry of the reference's loss dictionary, where only the layers before the last of a decoder have a number.

    by_layer: from `means_by_layer`.
    """
    names = ((AGENT_ENTRIES, MOTION_ENTRIES), (MAP_ENTRIES, {}), ({}, PLAN_ENTRIES))
    for layers, (in_every_layer, in_the_last) in zip(by_layer, names, strict=True):
        for i, found in enumerate(layers):
            last = i == len(layers) - 1
            for name, entry in {**in_every_layer, **(in_the_last if last else {})}.items():
                entry = entry if last else f"d{i}.{entry}"
                golden = d[f"loss/{entry}"].reshape(())
                yield close(entry, weights[name] * found[name], golden, scaled(golden))


def _weights(config):
    if config.endswith("e2e"):
        return PERCEPTION | PLANNING
    if config.endswith("stage_2"):
        return PERCEPTION | PLANNING | STAGE_2
    if config.endswith("stage_1"):
        return PERCEPTION | dict.fromkeys(PLANNING, 0.0)
    raise ValueError(f"head_loss: unknown weights_config {config!r}")


def assign(output, targets, weights):
    agent_targets, map_targets, _, _ = targets
    weights = dict(weights)
    query = agents.assign(output, agent_targets, class_weight=weights["agent_class"], box_weight=weights["agent_box"])
    map_query, order = map_losses.assign(
        output, map_targets, class_weight=weights["map_class"], points_weight=weights["map_points"]
    )
    return query, map_query, order


def means(output, targets, query, map_query, order):
    """{term: mean}, with the layers of each decoder added up."""
    agent_targets, map_targets, ego, command = targets
    terms = agents.agent_terms(output, agent_targets, query)
    terms |= map_losses.map_terms(output, map_targets, PC_RANGE, map_query, order)
    return _divided(terms | _plan_terms(output, ego, command))


def means_by_layer(output, targets, query, map_query, order):
    """{term: mean} of every layer of the agent decoder, of every layer of the map decoder, and of the plan."""
    agent_targets, map_targets, ego, command = targets
    of_agents = [
        agents.agent_terms(_layer(output, i, "agent_logits", "agent_codes"), agent_targets, query[i : i + 1])
        for i in range(len(query))
    ]
    of_map = [
        map_losses.map_terms(_layer(output, i, "map_logits", "map_points"), map_targets, PC_RANGE, *matched)
        for i, matched in enumerate(zip(map_query[:, None], order[:, None], strict=True))
    ]
    return (
        [_divided(x) for x in of_agents],
        [_divided(x) for x in of_map],
        [_divided(_plan_terms(output, ego, command))],
    )


def _layer(output, i: int, *names: str):
    """The output with layer i alone in these fields."""
    return output.replace(**{name: getattr(output, name)[i : i + 1] for name in names})


def _plan_terms(output, ego, command):
    scene = plan.surroundings(output, PC_RANGE)
    terms = plan.plan_terms(output.ego_offsets, command, ego.future_offsets, ego.future_mask, scene)
    return {f"plan_{name}": term for name, term in terms.items()}


def _divided(terms):
    return {name: term.sum / term.count for name, term in terms.items()}


def _assignments(d, query, map_query, order):
    num_queries, num_map = d["pred/all_cls_scores"].shape[2], d["pred/map_all_cls_scores"].shape[2]
    ours = 1 + matching.target_of_query(query, num_queries)
    yield _equal("assigned_gt_inds", ours, d["assigned_gt_inds"])
    line_of_query = matching.target_of_query(map_query, num_map)
    yield _equal("map_assigned_gt_inds", 1 + line_of_query, d["map_assigned_gt_inds"])
    chosen = jnp.take_along_axis(order, jnp.maximum(line_of_query, 0), axis=-1)
    chosen = jnp.where(line_of_query >= 0, chosen, -1)
    yield _equal("map_order_index", chosen, d["map_order_index"])


def _equal(name, ours, golden):
    return Check(f"{name}, number of differences", float((np.asarray(ours) != golden).sum()), 0.0)


def _output(d):
    p = {name: d[f"pred/{name}"] for name in GRADIENTS.values()}
    fields = {field: jnp.asarray(p[name]) for field, name in GRADIENTS.items()}
    steps = p["ego_fut_preds"].shape[-2]
    motion = p["all_traj_preds"][-1]
    fields["agent_future_offsets"] = jnp.asarray(motion.reshape(*motion.shape[:-1], steps, 2))
    fields["agent_mode_logits"] = jnp.asarray(p["all_traj_cls_scores"][-1])
    return StudentOutput(tokens=None, ego_feature=None, **fields)


def targets_of(d):
    samples = [
        {key.split("/")[1]: value for key, value in d.items() if key.startswith(f"gt{b}/")}
        for b in range(len(d["ego_fut_gt"]))
    ]
    boxes, mask = _pad([_gravity_center(s["boxes"]) for s in samples])
    attributes = [s["attr"] for s in samples]
    agent_targets = AgentTargets(
        boxes=boxes,
        labels=_pad([s["labels"] for s in samples])[0],
        category=_pad([a[:, 27].astype(np.int32) for a in attributes])[0],
        mask=mask,
        future_offsets=_pad([a[:, :12].reshape(-1, 6, 2) for a in attributes])[0],
        future_mask=_pad([a[:, 12:18] > 0 for a in attributes])[0],
        future_yaw=_pad([a[:, 28:34] for a in attributes])[0],
    )
    points, line_mask = _pad([s["map_shifts_v2"] for s in samples])
    map_targets = MapTargets(
        points=points,
        normalized_points=geometry.normalize_xy(points, PC_RANGE),
        order_mask=points.min(axis=(-1, -2)) > -5000,  # the reference pads orders with points at -10000
        labels=_pad([s["map_labels"] for s in samples])[0],
        mask=line_mask,
    )
    ego = EgoTargets(future_offsets=d["ego_fut_gt"], future_mask=d["ego_fut_masks"] > 0, history_offsets=None)
    return agent_targets, map_targets, ego, jnp.asarray(d["ego_fut_cmd"])


def _gravity_center(boxes):
    boxes = boxes.copy()
    boxes[:, 2] += boxes[:, 5] / 2
    return boxes


def _pad(arrays):
    """Arrays [n_b, ...] stacked to [B, max n + 1, ...] (so that padding is always there), and the mask."""
    size = max(len(a) for a in arrays) + 1
    out = np.zeros((len(arrays), size, *arrays[0].shape[1:]), arrays[0].dtype)
    for row, array in zip(out, arrays, strict=True):
        row[: len(array)] = array
    return out, np.arange(size) < np.array([len(a) for a in arrays])[:, None]
