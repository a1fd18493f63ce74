"""Where a standing car is added to a simulated scene, and the images that show it: in the way of the ego, and away.

In the way: where the ego's own box is some seconds later, so that the drive as it was would run into it. Away: on a lane
within view, but clear of everywhere the ego comes. Both stand on no agent in any frame that is painted, and are seen
without too much in front of them. World frame as in `world/state.py`.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import cv2
import numpy as np

from data_prep.miniworld.render import rig
from data_prep.miniworld.render.painter import Painter
from data_prep.miniworld.scene_recorder import JPEG_QUALITY
from data_prep.miniworld.world import boxes
from data_prep.miniworld.world.state import KEYFRAME_RATE, STATE_RATE, Agent, Scene, Town, WorldState
from data_prep.nuscenes_schema import LIDAR
from dima_jax.constants import CAMERAS, EGO_CENTER_AHEAD
from dima_jax.scoring.edits_file import FRAMES

FUTURE = 6  # key frames of the ego's path that count
AHEAD = (4, 3, 5, 6)  # key frames until the ego is where the car stands in its way; the first that has room is taken
NEAREST = 9.0  # m from the ego's place now to where the car stands in its way: there is room to brake
CLEAR = 6.0  # m from the ego's path to the center of the car that is away from it
BEYOND = 12.0  # m straight on from the path's end that still belong to it
VIEW = (14.0, 28.0)  # m to either side, and ahead or behind: within the student's range
MARGIN = 0.5  # m free around the car
LEAST_VISIBLE = 0.4  # share of the car that nothing hides: nuScenes' second level
TRIES = 8  # places away from the path that are looked at
SIZE = (1.85, 4.65, 1.48)  # m, (width, length, height): a sedan of the town's traffic


class Edited(NamedTuple):
    """A site. box: x, y, heading, length, width in the LiDAR frame of the key frame. images: JPEG files, [FRAMES][6]."""

    boxes: list[np.ndarray]
    images: list[list[list[bytes]]]


def key_states(scene: Scene) -> tuple[WorldState, ...]:
    return scene.states[:: STATE_RATE // KEYFRAME_RATE]


def sites(scene: Scene, town: Town, painter: Painter, every: int, seed: int) -> Iterator[tuple[int, Edited]]:
    """(number of the key frame, its edits: in the way, away) of every `every`-th key frame that has room for both.

    seed: decides where the car away from the path stands.
    """
    states = key_states(scene)
    for k in range(FRAMES - 1, len(states) - FUTURE, every):
        shown = states[k - FRAMES + 1 : k + 1]
        rng = np.random.default_rng([seed, k])
        found = [
            next((car for car in cars if _is_free(car, shown) and _is_seen(car, states[k], painter)), None)
            for cars in (in_the_way(states, k), away(states, k, town, rng))
        ]
        if all(found):
            boxes_of = [_lidar_box(car, states[k]) for car in found]
            yield k, Edited(boxes_of, [[paint(painter, state, car) for state in shown] for car in found])


def paint(painter: Painter, state: WorldState, car: Agent | None = None) -> list[bytes]:
    """The six JPEG files of a state, in the order of CAMERAS, as the data set has them; with a car more, if there is one."""
    if car is not None:
        state = replace(state, agents=(*state.agents, car))
    images = painter.paint(state)
    encoded = [cv2.imencode(".jpg", images[name], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1] for name in CAMERAS]
    return [one.tobytes() for one in encoded]


def in_the_way(states: tuple[WorldState, ...], k: int) -> list[Agent]:
    """Cars where the ego's box is AHEAD key frames later, but for places that it is too near to now."""
    now, cars = states[k].ego, []
    for later in (states[k + steps].ego for steps in AHEAD):
        if np.hypot(later.x - now.x, later.y - now.y) >= NEAREST:
            ahead = rig.RIG[LIDAR].translation[0] + EGO_CENTER_AHEAD
            cars.append(_car(later.x + ahead * np.cos(later.yaw), later.y + ahead * np.sin(later.yaw), later.yaw))
    return cars


def away(states: tuple[WorldState, ...], k: int, town: Town, rng: np.random.Generator) -> list[Agent]:
    """Cars on lanes, in view now and CLEAR of the ego's path, from the first frame that is painted on; in random order."""
    lanes = [lane.centerline for lane in town.lanes.values() if not lane.is_connector]
    starts = np.concatenate([line[:-1] for line in lanes])
    steps = np.concatenate([np.diff(line, axis=0) for line in lanes])
    places = np.concatenate([starts + share * steps for share in (0.2, 0.5, 0.8)])
    yaws = np.tile(np.arctan2(steps[:, 1], steps[:, 0]), 3)
    ego = states[k].ego
    forward = np.array([np.cos(ego.yaw), np.sin(ego.yaw)])
    relative = places - (ego.x, ego.y)
    ahead, aside = relative @ forward, relative @ np.array([-forward[1], forward[0]])
    near = (np.abs(aside) < VIEW[0]) & (np.abs(ahead) < VIEW[1])
    places, yaws = places[near], yaws[near]
    gaps = np.linalg.norm(places[:, None] - _path(states, k)[None], axis=-1).min(axis=1)
    allowed = np.flatnonzero(gaps > CLEAR)
    return [_car(*places[i], yaws[i]) for i in rng.permutation(allowed)[:TRIES]]


def _path(states: tuple[WorldState, ...], k: int) -> np.ndarray:
    """Points [n, 2], at most a meter apart at usual speeds, of where the ego comes, and straight on beyond."""
    poses = [state.ego for state in states[k - FRAMES + 1 : k + FUTURE + 1]]
    corners = np.array([(pose.x, pose.y) for pose in poses])
    last = np.array([np.cos(poses[-1].yaw), np.sin(poses[-1].yaw)])
    corners = np.concatenate([corners, corners[-1:] + BEYOND * last])
    shares = np.linspace(0.0, 1.0, 13)[:, None, None]
    return (corners[:-1] + shares * np.diff(corners, axis=0)).reshape(-1, 2)


def _car(x: float, y: float, yaw: float) -> Agent:
    width, length, height = SIZE
    return Agent(
        id="edit",
        category="vehicle.car",
        x=float(x),
        y=float(y),
        yaw=float(yaw),
        speed=0.0,
        width=width,
        length=length,
        height=height,
        braking=True,
        blinker=0,
        parked=False,
        paint=0,
    )


def _is_free(car: Agent, shown: tuple[WorldState, ...]) -> bool:
    """Whether no agent comes within MARGIN of the car in the frames that are painted."""
    own = _corners([car], MARGIN)
    return not any(len(state.agents) and boxes.overlap(own, _corners(state.agents, 0.0)).any() for state in shown)


def _corners(agents, margin: float) -> np.ndarray:
    x, y, yaw, length, width = (np.array([getattr(a, n) for a in agents]) for n in ("x", "y", "yaw", "length", "width"))
    return boxes.corners(np.stack([x, y], axis=-1), yaw, length + 2 * margin, width + 2 * margin)


def _is_seen(car: Agent, state: WorldState, painter: Painter) -> bool:
    return bool(painter.visibility(replace(state, agents=(*state.agents, car)))[-1] >= LEAST_VISIBLE)


def _lidar_box(car: Agent, state: WorldState) -> np.ndarray:
    pose = np.linalg.inv(rig.sensor_to_world(LIDAR, state.ego))
    x, y = (pose @ (car.x, car.y, 0.0, 1.0))[:2]
    heading = np.arctan2(*(pose[:2, :2] @ (np.cos(car.yaw), np.sin(car.yaw)))[::-1])
    return np.array([x, y, heading, car.length, car.width])
