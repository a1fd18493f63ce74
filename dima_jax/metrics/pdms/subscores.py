"""All sub-scores of the plans of one frame, of the recorded path and of the reference driver.

Each is driven by the same vehicle from the same start among the same recorded traffic. A sub-score whose data the truth
lacks at a frame is not there.
"""

from typing import NamedTuple

import numpy as np
import shapely
from jaxtyping import Float

from dima_jax.categories import LIGHT_STATES
from dima_jax.constants import EGO_CENTER_AHEAD, EGO_LENGTH, EGO_WIDTH, STEP_SECONDS
from dima_jax.metrics import polygons
from dima_jax.metrics.pdms import areas, collisions, comfort, ego_start, progress, reference, tracker
from dima_jax.metrics.pdms.areas import Flags
from dima_jax.metrics.pdms.collisions import Collisions, Ego
from dima_jax.metrics.pdms.route import Route, route
from dima_jax.metrics.pdms.tracker import EVERY, SAMPLES, STEPS, States
from dima_jax.metrics.pdms.tracks import tracks
from dima_jax.scoring.recorded import Truth

NEEDS = ("masks", "scenes", "places", "poses", "ego_paths", "ego_yaw", "agents", "instances", "areas")


class Subscores(NamedTuple):
    """Of B = P + 1 drives, the plans and then the recorded path. told: {name: [B]}; meters: along the route.

    reference: meters of the reference driver, by the names of its multipliers; None where the recorded path is what
    progress is measured against.
    """

    told: dict[str, Float[np.ndarray, " B"]]
    meters: Float[np.ndarray, " B"]
    reference: dict[str, float] | None
    states: States
    collisions: Collisions


def subscores(truth: Truth, index: int, plans: Float[np.ndarray, "P 6 3"]) -> Subscores:
    """plans: x, y, heading of the rear axle in the ego frame. nc, ttc, c, hc always; dac, ddc, lk, tlc where they can be."""
    begin = ego_start.start(truth, index)
    others = tracks(truth, index)
    pose = truth.ego2global[index]
    center_ahead = float(truth.lidar2ego[index, 0, 3]) + EGO_CENTER_AHEAD
    way = route(truth, index, center_ahead)
    local = None if way is None else shapely.transform(way.line, lambda xy: (xy - pose[:2, 3]) @ pose[:2, :2])
    human = np.column_stack([truth.ego_path[index], truth.ego_path_yaw[index]])
    driven = [plans, human[None]]
    if local is not None:
        aim = max(begin.speed, np.linalg.norm(np.diff(human[:, :2], axis=0, prepend=0.0), axis=1).max() / STEP_SECONDS)
        center = np.array([center_ahead, 0.0])
        driven.append(reference.plan(local, others, center, center_ahead, begin.speed, aim)[None])
    states = tracker.simulate(np.concatenate(driven), begin.speed, begin.acceleration, begin.steering)
    boxes, rear = _boxes(states, center_ahead)
    found = areas.read(truth, int(truth.location[index]))
    told_areas = areas.flags(found, _points(boxes, rear) @ pose[:2, :2].T + pose[:2, 3])
    across = told_areas.several_lanes | told_areas.off_road
    ego = Ego(boxes, rear, states.speed, across, told_areas.crossing[..., areas.REAR])
    struck = collisions.no_collision(ego, others)
    told = {
        "nc": struck.nc,
        "ttc": collisions.time_to_collision(ego, others),
        "c": comfort.comfortable(states, center_ahead).astype(float),
        "hc": comfort.comfortable(comfort.joined(begin.past, states), center_ahead).astype(float),
        **_on_map(found, told_areas, boxes[..., :2], way, local),
        **_lights(truth, index, boxes),
    }
    count = len(plans) + 1
    meters, compared = _progress(local, boxes, human, center_ahead), None
    if local is not None:
        compared = {"meters": float(meters[-1])} | {name: float(value[-1]) for name, value in told.items()}
    return Subscores(
        {name: value[:count] for name, value in told.items()},
        meters[:count],
        compared,
        States(*(one[:count] for one in states)),
        Collisions(*(one[:count] for one in struck)),
    )


def _boxes(states: States, center_ahead: float) -> tuple[np.ndarray, np.ndarray]:
    """(boxes [B, T, 5], rear axles [B, T, 2])."""
    rear = np.stack([states.x, states.y], axis=-1)
    center = rear + center_ahead * np.stack([np.cos(states.heading), np.sin(states.heading)], axis=-1)
    size = np.broadcast_to([EGO_LENGTH, EGO_WIDTH], center.shape)
    return np.concatenate([center, states.heading[..., None], size], axis=-1), rear


def _points(boxes: Float[np.ndarray, "B T 5"], rear: Float[np.ndarray, "B T 2"]) -> Float[np.ndarray, "B T 6 2"]:
    corners = polygons.corners(boxes.reshape(-1, 5)).reshape(*boxes.shape[:2], 4, 2)
    return np.concatenate([corners, boxes[:, :, None, :2], rear[:, :, None]], axis=2)


def _on_map(
    found: areas.Map, told: Flags, centers: np.ndarray, way: Route | None, local: shapely.LineString | None
) -> dict[str, np.ndarray]:
    result = {}
    if areas.has(found, "drivable_area"):
        result["dac"] = areas.drivable_compliance(told)
    if way is not None:
        result["ddc"] = areas.direction_compliance(told, centers, way.lanes)
        result["lk"] = progress.lane_keeping(local, centers, told.crossing[..., areas.CENTER])
    return result


def _progress(
    local: shapely.LineString | None, boxes: np.ndarray, human: Float[np.ndarray, "6 3"], center_ahead: float
) -> Float[np.ndarray, " B"]:
    """Along the centerline, or where there is none along the recorded path, which then goes straight on."""
    if local is None:
        path = np.concatenate([np.zeros((1, 3)), human])
        xy = path[:, :2] + center_ahead * np.stack([np.cos(path[:, 2]), np.sin(path[:, 2])], axis=-1)
        end = xy[-1] + 100.0 * np.array([np.cos(path[-1, 2]), np.sin(path[-1, 2])])
        local = shapely.LineString(np.concatenate([xy, end[None]]))
    return progress.progress(local, boxes[:, 0, :2], boxes[:, -1, :2])


def _lights(truth: Truth, index: int, boxes: Float[np.ndarray, "B T 5"]) -> dict[str, np.ndarray]:
    """A light has the state of the last key frame at every sample."""
    if truth.light_start is None:
        return {}
    frames, steps = ego_start.around(truth, index, 0, STEPS)
    red: dict[int, np.ndarray] = {}
    for frame, step in zip(frames.tolist(), steps.tolist(), strict=True):
        shown = slice(*truth.light_start[frame : frame + 2])
        for line, state in zip(truth.light_stop_line[shown].tolist(), truth.light_state[shown].tolist(), strict=True):
            samples = red.setdefault(line, np.zeros(SAMPLES, bool))
            samples[step * EVERY : (step + 1) * EVERY] = LIGHT_STATES[state] == "red"
    pose = truth.ego2global[index]
    found = areas.read(truth, int(truth.location[index]))
    reach = np.hypot(*np.moveaxis(boxes[..., :2], -1, 0)).max() + EGO_LENGTH
    near = (found.bounds[:, :2] <= pose[:2, 3] + reach).all(axis=1) & (found.bounds[:, 2:] >= pose[:2, 3] - reach).all(
        axis=1
    )
    shapes = {int(found.rows[i]): found.shapes[i] for i in np.flatnonzero(near & np.isin(found.rows, list(red)))}
    local = [shapely.transform(shape, lambda xy: (xy - pose[:2, 3]) @ pose[:2, :2]) for shape in shapes.values()]
    return {
        "tlc": collisions.red_lights(boxes, local, np.array([red[row] for row in shapes], bool).reshape(-1, SAMPLES))
    }
