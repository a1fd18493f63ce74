"""The tags of a drive: one detector per tag, each a function of the recorded motion only.

A drive is the tracks of a scene and the row of the ego in them. "Ahead" means along the path that the ego drives
afterwards, so a car in the next lane, or on a street that the ego does not take, is never its leader.
"""

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import shapely

from data_prep.miniworld.traffic.motion import Tracks, rate
from data_prep.miniworld.world import road_network
from data_prep.miniworld.world.state import STATE_RATE, TAGS
from data_prep.miniworld.world.town import load_town


@dataclass
class Drive:
    """The tracks of a scene and the row of the ego."""

    tracks: Tracks
    ego: int

    @cached_property
    def center(self) -> np.ndarray:
        return self.tracks.center

    @cached_property
    def path(self) -> np.ndarray:
        """The ego's box centers [T, 2]."""
        return self.center[self.ego]

    @cached_property
    def yaw(self) -> np.ndarray:
        return np.unwrap(self.tracks.yaw[self.ego])

    @cached_property
    def speed(self) -> np.ndarray:
        return self.tracks.speed[self.ego]

    @cached_property
    def traveled(self) -> np.ndarray:
        """Meters driven since the first state [T]."""
        return np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(self.path, axis=0).T))])

    @cached_property
    def people(self) -> np.ndarray:
        """Rows that are people [A]."""
        return np.array([agent_type.sumo_class == "pedestrian" for agent_type in self.tracks.types])

    def ahead(self, t: int, reach: float, half_width: float) -> tuple[np.ndarray, np.ndarray]:
        """Rows of the agents on the next `reach` meters of the path at state t, and their distances along it (centers).

        half_width: greatest distance of a center from the path, meters.
        """
        last = int(np.searchsorted(self.traveled, self.traveled[t] + reach))
        way = self.path[t : last + 1 : 2]
        gap = np.linalg.norm(self.center[:, t, None] - way[None], axis=-1)
        gap[self.ego] = np.inf
        nearest = np.argmin(np.nan_to_num(gap, nan=np.inf), axis=1)
        rows = np.flatnonzero(np.nan_to_num(gap.min(axis=1), nan=np.inf) < half_width)
        distance = self.traveled[t : last + 1 : 2][nearest[rows]] - self.traveled[t]
        return rows[distance > 1.0], distance[distance > 1.0]


def tags_of(drive: Drive) -> tuple[str, ...]:
    """Every tag whose detector fires, in the order of TAGS."""
    return tuple(tag for tag in TAGS if DETECTORS[tag](drive))


def turns(drive: Drive) -> list[float]:
    """Signed heading change (left positive, rad) over each junction driven through, until 1.5 s after it."""
    inside = shapely.contains_xy(_junctions(), drive.path)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], inside, [False]]).astype(int)))
    after = round(1.5 * STATE_RATE)
    end = len(inside) - 1
    return [float(drive.yaw[min(b + after, end)] - drive.yaw[max(a - 5, 0)]) for a, b in edges.reshape(-1, 2)]


def turned_left(drive: Drive) -> bool:
    """A change of more than 60 degrees to the left at a junction."""
    return any(change > np.radians(60) for change in turns(drive))


def turned_right(drive: Drive) -> bool:
    """A change of more than 60 degrees to the right at a junction."""
    return any(change < -np.radians(60) for change in turns(drive))


def stopped_and_resumed(drive: Drive) -> bool:
    """Drove, stood for 1.5 s or more, drove on faster than 3 m/s."""
    for start, end in _standing(drive, 0.2, 1.5):
        if drive.speed[:start].max(initial=0.0) > 3.0 and drive.speed[end:].max(initial=0.0) > 3.0:
            return True
    return False


def yielded_to_person(drive: Drive) -> bool:
    """Slowed below 1.5 m/s for a person walking on the road within 13 m, not for a light or vehicle; then drove on."""
    for start, end in _standing(drive, 1.5, 0.4):
        came_fast = drive.speed[max(0, start - 8 * STATE_RATE) : start].max(initial=0.0) > 3.0
        if not came_fast or drive.traveled[-1] - drive.traveled[start] < 10.0 or end >= len(drive.speed):
            continue
        if any(_waits_for_person(drive, t) for t in range(start, end, 4)):
            return True
    return False


def _waits_for_person(drive: Drive, t: int) -> bool:
    rows, distance = drive.ahead(t, 13.0, 2.5)
    walking = drive.people[rows] & (drive.tracks.speed[rows, t] > 0.4)
    on_road = shapely.contains_xy(_carriageway(), drive.center[rows, t])
    vehicles, near = drive.ahead(t, 12.0, 1.6)
    blocked = (~drive.people[vehicles] & (near < 12.0)).any()
    return bool((walking & on_road & (distance > 2.0)).any()) and not blocked and not _held_by_light(drive, t)


def leader_braked(drive: Drive) -> bool:
    """The leader braked with 4.5 m/s2 or more over half a second; the ego slowed by 3 m/s, with up to 2.5 m/s2."""
    span, horizon = STATE_RATE // 2, 3 * STATE_RATE
    own = rate(drive.speed, 4)
    for t in range(span, len(drive.speed) - horizon, 4):
        if drive.speed[t] < 4.0 or drive.speed[t] - drive.speed[t : t + horizon].min() < 3.0:
            continue
        if own[t : t + horizon].min() > -2.5:
            continue
        rows, _ = drive.ahead(t, 35.0, 1.4)
        rows = rows[~drive.people[rows]]
        aligned = np.cos(drive.tracks.yaw[rows, t] - drive.yaw[t]) > 0.7
        before, now = drive.tracks.speed[rows, t - span], drive.tracks.speed[rows, t]
        if (aligned & (before > 4.0) & ((now - before) * STATE_RATE / span < -4.5)).any():
            return True
    return False


def overtook(drive: Drive) -> bool:
    """Was in a lane of the other direction for a second or more and passed a vehicle from there."""
    opposite = np.zeros(len(drive.yaw), dtype=bool)
    for area, line in _lane_strips():
        inside = shapely.contains_xy(area, drive.path)
        if inside.any():
            along = _direction(line, drive.path[inside])
            opposite[inside] |= np.cos(along - drive.yaw[inside]) < -0.8
    for a, b in np.flatnonzero(np.diff(np.concatenate([[0], opposite, [0]]))).reshape(-1, 2):
        if (
            b - a >= STATE_RATE
            and b < len(opposite)
            and _passed_someone(drive, max(a - 20, 0), min(b + 20, len(opposite) - 1))
        ):
            return True
    return False


def _passed_someone(drive: Drive, start: int, end: int) -> bool:
    """Whether some vehicle was ahead at `start` and behind at `end`, within 5 m to the right in between."""
    offset = drive.center[:, start : end + 1] - drive.path[start : end + 1]
    cos, sin = np.cos(drive.yaw[start : end + 1]), np.sin(drive.yaw[start : end + 1])
    along = offset[..., 0] * cos + offset[..., 1] * sin
    across = offset[..., 1] * cos - offset[..., 0] * sin
    beside = ((np.abs(along) < 1.0) & (across < -1.5) & (across > -5.0)).any(axis=1)
    same_way = np.cos(drive.tracks.yaw[:, start] - drive.yaw[start]) > 0.7
    return bool((beside & same_way & (along[:, 0] > 2.0) & (along[:, -1] < -2.0) & ~drive.people).any())


def turned_in_three_points(drive: Drive) -> bool:
    """Reversed for half a second or more and ended up facing the other way (more than 150 degrees)."""
    reversing = int((drive.speed < -0.3).sum())
    return reversing >= STATE_RATE // 2 and abs(drive.yaw[-1] - drive.yaw[0]) > np.radians(150)


DETECTORS = {
    "turn_left": turned_left,
    "turn_right": turned_right,
    "stop_and_resume": stopped_and_resumed,
    "yield_to_pedestrian": yielded_to_person,
    "lead_brakes": leader_braked,
    "overtake": overtook,
    "three_point_turn": turned_in_three_points,
}


def _standing(drive: Drive, below: float, seconds: float) -> list[tuple[int, int]]:
    """Spans [start, end) slower than `below` m/s for at least `seconds`."""
    slow = np.concatenate([[0], np.abs(drive.speed) < below, [0]])
    spans = np.flatnonzero(np.diff(slow)).reshape(-1, 2)
    return [(int(a), int(b)) for a, b in spans if b - a >= seconds * STATE_RATE]


def _held_by_light(drive: Drive, t: int) -> bool:
    """Whether the stop line of the ego's lanes within 12 m ahead shows red or yellow."""
    lines = _stop_lines()
    offset = lines.middle - drive.path[t]
    cos, sin = np.cos(drive.yaw[t]), np.sin(drive.yaw[t])
    along, across = offset @ (cos, sin), offset @ (-sin, cos)
    aligned = np.cos(lines.yaw - drive.yaw[t]) > 0.85
    here = np.flatnonzero((along > 0.0) & (along < 12.0) & (np.abs(across) < 4.0) & aligned)
    lights = drive.tracks.lights[t]
    return any(road_network.signal_state(lights[lines.light[i]], lines.links[i]) != "g" for i in here)


@dataclass(frozen=True)
class _StopLines:
    middle: np.ndarray
    yaw: np.ndarray
    light: list[str]
    links: list[tuple[int, ...]]


@lru_cache(maxsize=1)
def _stop_lines() -> _StopLines:
    heads = {signal.id: signal for signal in load_town().signals}
    lines = [(polygon, ids[0]) for polygon, ids in load_town().stop_lines if ids]
    links = [road_network.signal_links()[head.rsplit(".", 1)[0]] for _, head in lines]
    middle = np.array([polygon.exterior.mean(axis=0) for polygon, _ in lines])
    yaw = np.array([heads[head].yaw for _, head in lines])
    return _StopLines(middle, yaw, [light for light, _ in links], [indices for _, indices in links])


@lru_cache(maxsize=1)
def _junctions() -> shapely.Geometry:
    return _prepared([polygon for _, polygon, junction in load_town().road_segments if junction])


@lru_cache(maxsize=1)
def _carriageway() -> shapely.Geometry:
    return _prepared(list(load_town().drivable))


@lru_cache(maxsize=1)
def _lane_strips() -> list[tuple[shapely.Geometry, np.ndarray]]:
    return [
        (_prepared([lane.polygon]), lane.centerline) for lane in load_town().lanes.values() if not lane.is_connector
    ]


def _prepared(polygons: list) -> shapely.Geometry:
    area = shapely.union_all([shapely.Polygon(p.exterior, p.holes) for p in polygons])
    shapely.prepare(area)
    return area


def _direction(line: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Heading of the polyline's segment nearest to each point."""
    steps = np.diff(line, axis=0)
    middles = (line[1:] + line[:-1]) / 2
    nearest = np.argmin(np.linalg.norm(points[:, None] - middles[None], axis=-1), axis=1)
    return np.arctan2(steps[nearest, 1], steps[nearest, 0])
