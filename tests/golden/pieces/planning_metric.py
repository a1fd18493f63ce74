"""Golden piece planning_metric: occupancy grids, collision flags and published numbers, frame by frame and averaged."""

from pathlib import Path

import numpy as np

from dima_jax.metrics import planning
from tests.golden.check import Check, close

TOLERANCE = 1e-5


def check(folder: Path):
    for path in sorted(folder.glob("*.npz")):
        with np.load(path) as data:
            d = dict(data)
        yield path.name, list(_ego_cells(d) if "rr" in d else _cases(d))


def _ego_cells(d):
    rows, columns = planning._ego_cells()
    yield close("rr", rows, d["rr"], 0)
    yield close("cc", columns, d["cc"], 0)


def _cases(d):
    scores = []
    for case, agents in enumerate(d["num_agents"]):
        fields = _agents(d["gt_boxes"][case, :agents], d["gt_attr"][case, :agents])
        grids = {
            "occ_vehicle": planning.occupancy(**fields, categories=planning.VEHICLE_CATEGORIES),
            "occ_human": planning.occupancy(**fields, categories=planning.HUMAN_CATEGORIES),
        }
        for name, grid in grids.items():
            yield _differences(f"case {case} {name}, cells", grid, np.unpackbits(d[name][case], axis=-1))
        occupied = planning.occupancy(**fields)
        counted = d["fut_valid_flag"][case]
        score = planning.score_frame(d["pred_traj"][case], d["gt_traj"][case], occupied, counted=counted)
        scores.append(score)
        yield _differences(f"case {case} box collision", score.box_collision, d["obj_box_col_step"][case])
        yield _differences(f"case {case} point collision", score.point_collision, d["obj_col_step"][case])
        yield _differences(f"case {case} recorded collision", score.recorded_collision, d["gt_box_col_step"][case])
        if counted:
            yield close(f"case {case} metrics", _published([score]), d["metrics__f64"][case], TOLERANCE)
    yield close("metrics_mean", _published(scores), d["metrics_mean__f64"], TOLERANCE)
    yield close("num_valid", planning.summarize(scores)["stp3-vad"]["frames"], d["num_valid"], 0)


def _agents(boxes, attributes):
    return dict(
        boxes=boxes,
        category=attributes[:, 27].astype(int),
        future_offsets=attributes[:, :12].reshape(-1, 6, 2),
        future_mask=attributes[:, 12:18],
        future_yaw=attributes[:, 28:34],
    )


def _published(scores):
    row = planning.summarize(scores)["stp3-vad"]
    return np.array([row[f"{name}_{s}s"] for name in ("l2", "point_collision", "collision") for s in (1, 2, 3)])


def _differences(name, ours, golden):
    return Check(name, float((ours != golden.astype(bool)).sum()), 0.0)
