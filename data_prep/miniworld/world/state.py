"""The data types that simulation, painter and writer share: plain numbers, independent of SUMO.

World frame: meters, x east, y north, z up, radians counter-clockwise from +x, seconds. The ego pose is nuScenes':
origin on the ground below the center of the rear axle, x forward, y left.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Agent:
    """A road user or movable object other than the ego. (x, y): center of its box on the ground, meters."""

    id: str
    category: str  # nuScenes category name, e.g. "vehicle.car"
    x: float
    y: float
    yaw: float
    speed: float  # m/s along yaw
    width: float
    length: float
    height: float
    braking: bool
    blinker: int  # -1 right, 0 none, 1 left
    parked: bool
    paint: int  # picks its colors, see `render/colors.py`


@dataclass(frozen=True)
class Signal:
    """One traffic-light head. yaw: the direction of travel of the traffic it controls; state: "r", "y" or "g"."""

    id: str
    x: float
    y: float
    yaw: float
    state: str


@dataclass(frozen=True)
class Ego:
    """The ego vehicle at one instant. (x, y, yaw): pose of its rear axle in the world frame, meters and radians.

    Cameras and LiDAR follow the pose alone; the other fields fill the CAN bus and the questions of the data set.
    """

    x: float
    y: float
    yaw: float
    speed: float
    acceleration: float  # m/s2, along yaw
    yaw_rate: float  # rad/s
    steering: float  # steering wheel angle, rad, left positive
    braking: bool
    blinker: int  # -1 right, 0 none, 1 left


@dataclass(frozen=True)
class WorldState:
    """The world at one instant: the ego, the agents within 80 m of it, and every signal head of the town."""

    time: float  # seconds since the start of the scene
    ego: Ego
    agents: tuple[Agent, ...]
    signals: tuple[Signal, ...]


@dataclass(frozen=True)
class Scene:
    """A simulated drive.

    states: STATE_RATE a second, in order of time. tags: the subset of TAGS that the detectors found in `states`.
    description: an English sentence about the drive.
    """

    name: str  # scene-0001
    split: str  # "train" or "val"
    tags: tuple[str, ...]
    description: str
    states: tuple[WorldState, ...]

    def state(self, time: float) -> WorldState:
        """The state nearest to `time`, in seconds since the start; the first or last one beyond either end."""
        index = round(time * STATE_RATE)
        return self.states[min(max(index, 0), len(self.states) - 1)]


TAGS = (
    "turn_left",
    "turn_right",
    "stop_and_resume",
    "yield_to_pedestrian",
    "lead_brakes",
    "overtake",
    "three_point_turn",  # val only
)

STATE_RATE = 20  # states a second
KEYFRAME_RATE = 2  # key frames a second


@dataclass(frozen=True)
class Polygon:
    """An outline [n, 2] (not closed) with holes, world meters."""

    exterior: np.ndarray
    holes: tuple[np.ndarray, ...] = ()


@dataclass(frozen=True)
class Lane:
    """A lane or a connector through a junction. centerline [n, 2] in driving direction; successors: lane ids."""

    id: str
    centerline: np.ndarray
    width: float
    polygon: Polygon
    successors: tuple[str, ...]
    is_connector: bool
    road: str  # id of the road segment or junction it belongs to
    speed_limit: float


@dataclass(frozen=True, eq=False)
class Town:
    """The static world: the layers of a nuScenes map, and the buildings.

    road_segments: (id, polygon, is_intersection). road_dividers separate directions, lane_dividers lanes. crossings:
    (polygon, id of the road or junction). stop_lines: (polygon, ids of the signals that control it). buildings:
    (outline, height). All positions are world meters with the whole town inside [0, size].
    Two towns are equal only if they are the same object, so that functions of a town can be cached.
    """

    size: tuple[float, float]
    lanes: dict[str, Lane]
    road_segments: tuple[tuple[str, Polygon, bool], ...]
    road_dividers: tuple[np.ndarray, ...]
    lane_dividers: tuple[np.ndarray, ...]
    crossings: tuple[tuple[Polygon, str], ...]
    walkways: tuple[Polygon, ...]
    drivable: tuple[Polygon, ...]
    stop_lines: tuple[tuple[Polygon, tuple[str, ...]], ...]
    signals: tuple[Signal, ...]
    buildings: tuple[tuple[np.ndarray, float], ...]
