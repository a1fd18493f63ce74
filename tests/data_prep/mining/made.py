"""Tracks made by hand: the ego starts at the origin and drives towards +x."""

import numpy as np

from data_prep.mining.tracks import Agents, Tracks
from dima_jax.categories import LIDARSEG_CATEGORIES

STEP = 0.5  # s
CAR, PERSON, BARRIER = "vehicle.car", "human.pedestrian.adult", "movable_object.barrier"


def tracks(speeds, turns=0.0, agents=(), roads=None, turning=None):
    """speeds: m/s of each step, negative in reverse; turns: degrees of each step, left positive; agents: of `agent`."""
    speeds = np.asarray(speeds, float)
    turns = np.radians(np.broadcast_to(np.asarray(turns, float), speeds.shape))
    yaw = np.concatenate([[0.0], np.cumsum(turns)])
    middle = yaw[:-1] + turns / 2
    moves = STEP * speeds[:, None] * np.stack([np.cos(middle), np.sin(middle)], axis=-1)
    center = np.concatenate([np.zeros((1, 2)), np.cumsum(moves, axis=0)])
    count = len(yaw)
    places = [np.broadcast_to(np.asarray(place, float), (count, 2)) for _, place, _ in agents]
    headings = [np.broadcast_to(np.radians(np.asarray(heading, float)), count) for _, _, heading in agents]
    return Tracks(
        scene="scene-0001",
        tokens=tuple(f"t{i}" for i in range(count)),
        time=STEP * np.arange(count),
        center=center,
        yaw=yaw,
        turning=np.zeros(count, bool) if turning is None else np.asarray(turning),
        agents=Agents(
            np.array([LIDARSEG_CATEGORIES.index(name) for name, _, _ in agents], int),
            np.array(places).reshape(-1, count, 2),
            np.array(headings).reshape(-1, count),
        ),
        roads=roads,
    )


def agent(category, place, heading=0.0):
    """place: (x, y) or one for each key frame, meters; heading: degrees, one or one for each key frame."""
    return category, place, heading


def moving(start, speeds, heading=0.0):
    """Places [T, 2] of what moves straight on from `start` at the speeds of the steps, m/s; heading: degrees."""
    along = np.concatenate([[0.0], STEP * np.cumsum(np.asarray(speeds, float))])
    return np.asarray(start) + along[:, None] * [np.cos(np.radians(heading)), np.sin(np.radians(heading))]


def frames(mask):
    return np.flatnonzero(mask).tolist()
