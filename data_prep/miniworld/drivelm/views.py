"""The camera and 2D box of each visible road user and traffic light of a key frame.

Pixels are those of a 1600x900 image, as in DriveLM, whatever size is painted. A view is (camera, (x1, y1, x2, y2)).
"""

import math
from typing import NamedTuple

import numpy as np

from data_prep.miniworld.drivelm.facts import to_ego
from data_prep.miniworld.render import rig
from data_prep.miniworld.render.street_furniture import SIGNAL_HEIGHT, SIGNAL_WIDTH
from data_prep.miniworld.visibility import Boxes, image_boxes, visible_fraction
from dima_jax.constants import CAMERAS

MIN_VISIBLE, MAX_RANGE = 0.4, 50.0  # visible share, meters
MIN_AREA, MIN_HEAD_AREA = 250.0, 60.0  # pixels of 1600x900, of a road user and of a signal head
SIGNAL_BOTTOM = 2.1  # m; lower end of a signal head
SIGNAL_RANGE = 60.0  # m


class _Head(NamedTuple):
    """A signal head as an object with a box, for `Boxes`."""

    id: str
    x: float
    y: float
    yaw: float
    length: float = 0.3
    width: float = SIGNAL_WIDTH
    height: float = SIGNAL_HEIGHT - SIGNAL_BOTTOM


def views(state, shares, walls):
    """{id of agent or signal: view} of everything in the world state that is clearly visible.

    shares [agents]: visible share of each agent; walls [W, 2, 2]: ground lines of the nearby houses, which can occlude
    signals. A view is that of the camera with the largest 2D box.
    """
    ego = state.ego
    agents = [
        agent
        for agent, share in zip(state.agents, shares, strict=True)
        if share >= MIN_VISIBLE and math.hypot(*to_ego(ego, (agent.x, agent.y))) <= MAX_RANGE
    ]
    heads = _visible_heads(state, walls)
    things = [*agents, *heads]
    if not things:
        return {}
    to_image = np.stack(
        [
            rig.intrinsic(channel, *rig.FULL_SIZE) @ np.linalg.inv(rig.sensor_to_world(channel, ego))[:3]
            for channel in CAMERAS
        ]
    )
    bottoms = [0.0] * len(agents) + [SIGNAL_BOTTOM] * len(heads)
    boxes = image_boxes(Boxes(things, bottoms), to_image, rig.FULL_SIZE)
    areas = np.nan_to_num((boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1]))
    least = np.array([MIN_AREA] * len(agents) + [MIN_HEAD_AREA] * len(heads))
    found = {}
    for index, camera in enumerate(areas.argmax(0)):
        if areas[camera, index] >= least[index]:
            box = tuple(round(float(value), 1) for value in boxes[camera, index])
            found[things[index].id] = (CAMERAS[camera], box)
    return found


def _visible_heads(state, walls):
    """Signal heads that face the ego, are near, and are occluded by neither house nor vehicle."""
    heads = [_Head(s.id, s.x, s.y, s.yaw) for s in state.signals if _faces(s, state.ego)]
    origin = rig.sensor_to_world("CAM_FRONT", state.ego)[:3, 3]
    shares = visible_fraction(Boxes(heads, SIGNAL_BOTTOM), origin, walls, Boxes(state.agents))
    return [head for head, share in zip(heads, shares, strict=True) if share >= MIN_VISIBLE]


def _faces(signal, ego):
    """Whether the lamps of a signal face the ego, near enough to tell their color."""
    ahead, left = to_ego(ego, (signal.x, signal.y))
    turned = math.remainder(signal.yaw - ego.yaw, 2 * math.pi)
    return math.cos(turned) * ahead + math.sin(turned) * left > 0 and math.hypot(ahead, left) < SIGNAL_RANGE
