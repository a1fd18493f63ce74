"""Golden piece planning_metric: occupancy grids, collision flags and published numbers, frame by frame and averaged."""

from pathlib import Path

import numpy as np

from dima_jax.constants import EGO_CENTER_AHEAD
from dima_jax.metrics import raster
from dima_jax.metrics.protocols import base, stp3_vad
from dima_jax.scoring.frames import followed
from tests.golden.check import Check, close

TOLERANCE = 1e-5
HUMANS, VEHICLES = range(2, 9), range(14, 24)
DEFINITION = stp3_vad.PROTOCOL.definition
QUANTITIES = ("l2", "point_collision", "collision")


def check(folder: Path):
    for path in sorted(folder.glob("*.npz")):
        with np.load(path) as data:
            d = dict(data)
        yield path.name, list(_ego_cells(d) if "rr" in d else _cases(d))


def _ego_cells(d):
    along, across = raster.ego_cells(stp3_vad.GRID, EGO_CENTER_AHEAD)
    yield close("rr", along, d["rr"], 0)
    yield close("cc", across, d["cc"], 0)


def _cases(d):
    scores = []
    for case, agents in enumerate(d["num_agents"]):
        boxes, attributes = d["gt_boxes"][case, :agents], d["gt_attr"][case, :agents]
        for name, categories in (("occ_vehicle", VEHICLES), ("occ_human", HUMANS)):
            grid = _grid(boxes, attributes, categories)
            yield _differences(f"case {case} {name}, cells", grid, np.unpackbits(d[name][case], axis=-1))
        occupied = _grid(boxes, attributes, [*VEHICLES, *HUMANS])
        steps, recorded = _score(d["pred_traj"][case], d["gt_traj"][case], occupied)
        counted = bool(d["fut_valid_flag"][case])
        scores.append((steps, counted))
        yield _differences(f"case {case} box collision", steps["collision"], d["obj_box_col_step"][case])
        yield _differences(f"case {case} point collision", steps["point_collision"], d["obj_col_step"][case])
        yield _differences(f"case {case} recorded collision", recorded, d["gt_box_col_step"][case])
        if counted:
            yield close(f"case {case} metrics", _published([(steps, True)]), d["metrics__f64"][case], TOLERANCE)
    yield close("metrics_mean", _published(scores), d["metrics_mean__f64"], TOLERANCE)
    yield close("num_valid", sum(counted for _, counted in scores), d["num_valid"], 0)


def _grid(boxes, attributes, categories):
    """The golden boxes are those that the protocol selects, whatever their points and place."""
    chosen = np.flatnonzero(np.isin(attributes[:, 27].astype(int), categories))
    mask = attributes[chosen, 12:18] > 0
    offsets, yaw = attributes[chosen, :12].reshape(-1, 6, 2), attributes[chosen, 28:34]
    agents = followed(chosen, boxes[chosen], offsets, mask, yaw)
    grids = np.zeros((6, stp3_vad.GRID.cells, stp3_vad.GRID.cells), np.uint8)
    for step, corners in zip(agents.step, raster.pixels(stp3_vad.GRID, agents.boxes), strict=True):
        raster.fill(grids[step], corners)
    return grids.view(bool)


def _score(plan, path, occupied):
    """({quantity: [F]}, whether the recorded path collides [F])."""
    plans = np.stack([plan, path]).astype(np.float32)
    inside, *point = stp3_vad.point_cells(plans)
    struck, points = (
        occupied[np.arange(6)[:, None], rows, columns].any(axis=-1)
        for rows, columns in (raster.level_box_cells(stp3_vad.GRID, plans), point)
    )
    points &= inside
    values = {"l2": np.linalg.norm(plans[0] - plans[1], axis=-1)}
    return values | {"collision": struck[0] & ~struck[1], "point_collision": points[0] & ~struck[1]}, struck[1]


def _published(scores):
    """Means over the frames that count, of l2, point_collision and collision at 1, 2 and 3 s."""
    values = {name: np.array([steps[name] for steps, _ in scores], np.float64) for name in QUANTITIES}
    entered = np.array([counted for _, counted in scores])
    masks = {name: np.ones(value.shape, bool) for name, value in values.items()}
    value, weight = base.reduce(DEFINITION, values, masks, entered)
    means = dict(zip((column.name for column in DEFINITION.columns), value[weight[:, 0] > 0].mean(axis=0), strict=True))
    return np.array([means[f"{name}_{s}s"] for name in QUANTITIES for s in (1, 2, 3)])


def _differences(name, ours, golden):
    return Check(name, float((ours != golden.astype(bool)).sum()), 0.0)
