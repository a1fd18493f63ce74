"""The facts of one key frame in DriveLM's terms: where the objects are, what they and the ego do next, and why.

All facts come from the simulation: the state of the key frame and the recorded states of the next three seconds. The
images only decide which objects can be asked about (`views.py`).
"""

import math
from dataclasses import dataclass

import numpy as np

from data_prep.miniworld.drivelm.words import FIXED, describe
from data_prep.miniworld.traffic.demand import EGO_TYPE, FLEET
from dima_jax.constants import EGO_WIDTH

HORIZON = 3.0  # s
STRIDE = 5  # every n-th state of the agents' future is used
KEY_RANGE, KEY_AGENTS = 40.0, 4
STILL, TURNED = 0.5, math.radians(25)  # m/s, rad
SECTORS = {
    "CAM_FRONT": "front",
    "CAM_FRONT_RIGHT": "front right",
    "CAM_FRONT_LEFT": "front left",
    "CAM_BACK": "back",
    "CAM_BACK_LEFT": "back left",
    "CAM_BACK_RIGHT": "back right",
}
EGO_CENTER = 1.3  # m from the rear axle forward to the center of the ego's box
EGO_LENGTH = FLEET[EGO_TYPE].length  # m; the simulated ego is rounded against constants.EGO_LENGTH


@dataclass(frozen=True)
class Object:
    """A visible road user. place: (forward, left) in the ego frame, meters; box: x1, y1, x2, y2 in pixels."""

    id: str
    noun: str  # car, truck, bus, motorcycle, bicycle, pedestrian, ...
    description: str  # "white car"
    camera: str
    box: tuple[float, float, float, float]
    place: tuple[float, float]
    status: str  # moving, stopped, parked or standing
    motion: str  # what it does now and next: "going ahead", "turn left", "turn right", "stopped"
    in_path: bool  # where the ego is about to drive
    ahead: bool
    risk: float  # smallest gap in meters to an ego that keeps its heading and speed

    @property
    def distance(self):
        return math.hypot(*self.place)

    @property
    def sector(self):
        return SECTORS[self.camera]

    @property
    def is_fixed(self):
        """Whether it is a static object, whose status no question asks for."""
        return self.noun in FIXED


@dataclass(frozen=True)
class Light:
    """A visible traffic light head. place: (forward, left) in the ego frame, meters. governs: whether the ego must obey it."""

    id: str
    color: str  # red, yellow or green
    camera: str
    box: tuple[float, float, float, float]
    place: tuple[float, float]
    governs: bool


@dataclass(frozen=True)
class Facts:
    """The facts of one key frame.

    light: color of the traffic light that the ego must obey, or None; action, steering, pace, target: what the ego does
    within the horizon, in DriveLM's words.
    """

    objects: tuple[Object, ...]
    lights: tuple[Light, ...]
    light: str | None
    action: str
    steering: str
    pace: str
    target: str

    def key_objects(self):
        """The most important agents, first those in the ego's path, then those near a collision, then by distance."""
        near = [o for o in self.objects if o.distance < KEY_RANGE and (o.status != "parked" or (o.in_path and o.ahead))]
        near.sort(key=lambda o: (not (o.in_path and o.ahead), o.risk > 1.5, o.distance))
        return near[:KEY_AGENTS]

    def key_light(self):
        """The largest visible head that governs the ego, None if there is none."""
        heads = [head for head in self.lights if head.governs]
        return max(heads, key=lambda head: _area(head.box)) if heads else None


def _area(box):
    return (box[2] - box[0]) * (box[3] - box[1])


def observe(states, now, views, town):
    """Facts of the key frame `states[now]`. views: {id of agent or signal: (camera, box)} of what is visible."""
    future = [state for state in states[now:] if state.time <= states[now].time + HORIZON + 1e-6]
    here = future[0].ego
    later = [{agent.id: agent for agent in state.agents} for state in future[::STRIDE]]
    path = _path(future)
    governing = governing_signals(future[0], town)
    color = {"r": "red", "y": "yellow", "g": "green"}
    objects = tuple(
        _object(agent, future, later, path, views[agent.id]) for agent in future[0].agents if agent.id in views
    )
    lights = tuple(
        Light(
            signal.id,
            color[signal.state],
            *views[signal.id],
            tuple(to_ego(here, (signal.x, signal.y)).tolist()),
            signal.id in governing,
        )
        for signal in future[0].signals
        if signal.id in views
    )
    shown = {signal.id: color[signal.state] for signal in future[0].signals}
    steering, target = _steering(future)
    return Facts(
        objects=objects,
        lights=lights,
        light=next((shown[key] for key in governing if key in shown), None),
        action=_action(future),
        steering=steering,
        pace=_pace(here.speed),
        target=target,
    )


def governing_signals(state, town):
    """Ids of the signals of the stop line ahead of the ego; () where there is none within 45 m."""
    ego = state.ego
    heading = {signal.id: signal.yaw for signal in town.signals}
    for outline, signals in town.stop_lines:
        if not signals or abs(math.remainder(heading[signals[0]] - ego.yaw, 2 * math.pi)) > math.radians(35):
            continue
        local = to_ego(ego, outline.exterior)
        if -1.0 < local[:, 0].min() - EGO_CENTER < 45.0 and local[:, 1].min() < 0.3 and local[:, 1].max() > -0.3:
            return tuple(signals)
    return ()


def to_ego(ego, points):
    """World points [..., 2] in the ego frame (forward, left)."""
    offset = np.asarray(points, float) - (ego.x, ego.y)
    c, s = math.cos(ego.yaw), math.sin(ego.yaw)
    return offset @ np.array([[c, -s], [s, c]])


def _path(future):
    """The path of the ego [n, 2] in its frame: the recorded positions, extended straight ahead by ten meters."""
    way = np.array([(state.ego.x, state.ego.y) for state in future])
    last = future[-1].ego
    beyond = np.arange(1.0, 11.0)[:, None] * [math.cos(last.yaw), math.sin(last.yaw)]
    return to_ego(future[0].ego, np.concatenate([way, way[-1] + beyond]))


def _object(agent, future, snapshots, path, view):
    here, (noun, description) = future[0].ego, describe(agent)
    place = to_ego(here, (agent.x, agent.y))
    side = np.hypot(*(path - place).T).min()
    in_path = bool(side < (EGO_WIDTH + agent.width) / 2 + 0.6)
    later = [snapshot[agent.id] for snapshot in snapshots if agent.id in snapshot]
    still = max(abs(a.speed) for a in later) < STILL
    turned = math.remainder(later[-1].yaw - agent.yaw, 2 * math.pi)
    motion = "stopped" if still else "going ahead"
    if not still and abs(turned) > TURNED and not agent.category.startswith("human."):
        motion = "turn left" if turned > 0 else "turn right"
    if agent.category.startswith("human."):
        status = "moving" if abs(agent.speed) > STILL else "standing"
    else:
        status = "parked" if agent.parked else "moving" if abs(agent.speed) > STILL else "stopped"
    return Object(
        id=agent.id,
        noun=noun,
        description=description,
        camera=view[0],
        box=view[1],
        place=(float(place[0]), float(place[1])),
        status=status,
        motion=motion,
        in_path=in_path,
        ahead=bool(place[0] > EGO_CENTER),
        risk=_straight_on_gap(agent, future, snapshots),
    )


def _discs(xy, yaw, length, width):
    """A box at T instants as three discs: centers [T, 3, 2] and their radius. xy [T, 2]: center of the box; yaw [T]."""
    along = np.array([-1.0, 0.0, 1.0]) * max(length - width, 0.0) / 2
    forward = np.stack([np.cos(yaw), np.sin(yaw)], -1)
    return xy[:, None] + along[None, :, None] * forward[:, None], width / 2


def _straight_on_gap(agent, future, snapshots):
    """Smallest gap in meters, over the horizon, to an ego that keeps its heading and speed."""
    theirs = [snapshot[agent.id] for snapshot in snapshots if agent.id in snapshot]
    ego, start = future[0].ego, future[0].time
    seen = [state.time - start for state, s in zip(future[::STRIDE], snapshots, strict=True) if agent.id in s]
    reach = EGO_CENTER + ego.speed * np.array(seen)
    xy = np.array([ego.x, ego.y]) + reach[:, None] * [math.cos(ego.yaw), math.sin(ego.yaw)]
    mine, radius = _discs(xy, np.full(len(xy), ego.yaw), EGO_LENGTH, EGO_WIDTH)
    places = np.array([(a.x, a.y, a.yaw) for a in theirs])
    others, other_radius = _discs(places[:, :2], places[:, 2], agent.length, agent.width)
    between = mine[:, :, None] - others[:, None]
    return float(np.sqrt((between**2).sum(-1).min())) - radius - other_radius


def _steering(future):
    """DriveLM's steering phrase and the target action."""
    turned = math.remainder(future[-1].ego.yaw - future[0].ego.yaw, 2 * math.pi)
    speeds = [state.ego.speed for state in future]
    side = "left" if turned > 0 else "right"
    if abs(turned) < math.radians(4):
        phrase = "going straight"
    elif abs(turned) < math.radians(15):
        phrase = f"slightly steering to the {side}"
    else:
        phrase = f"steering to the {side}"
    if max(map(abs, speeds)) < STILL:
        return phrase, "stationary"
    if min(speeds) < -STILL:
        return phrase, "back up"
    return phrase, f"turn {side}" if abs(turned) > TURNED else "go straight"


def _pace(speed):
    for limit, words in ((STILL, "not moving"), (4.0, "driving slowly"), (8.0, "driving with normal speed")):
        if abs(speed) < limit:
            return words
    return "driving fast" if abs(speed) < 14.0 else "driving very fast"


def _action(future):
    """What the ego does within the horizon, in DriveLM's words (lower case, no stop)."""
    egos = [state.ego for state in future]
    first, last = egos[0].speed, egos[-1].speed
    turned = math.remainder(egos[-1].yaw - egos[0].yaw, 2 * math.pi)
    aside = to_ego(egos[0], (egos[-1].x, egos[-1].y))[1]
    if max(abs(ego.speed) for ego in egos) < STILL:
        return "keep stationary"
    if min(ego.speed for ego in egos) < -STILL:
        return "back up"
    if abs(last) < STILL:
        return "brake suddenly" if min(ego.acceleration for ego in egos) < -4.0 else "brake gently to a stop"
    if abs(turned) > TURNED:
        return "turn left" if turned > 0 else "turn right"
    if abs(aside) > 1.2 and abs(turned) < math.radians(12):
        return "slightly offset to the left" if aside > 0 else "slightly offset to the right"
    if last > first + 1.5:
        return "accelerate and go ahead"
    if last < first - 1.5:
        braking = any(ego.braking for ego in egos)
        return "slow down and go ahead" if braking else "decelerate gradually without braking"
    return "keep going at the same speed"
