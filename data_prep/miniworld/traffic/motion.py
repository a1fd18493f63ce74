"""From SUMO's log to smooth motion: 20 Hz tracks with rear axles, headings and speeds.

SUMO moves the front bumper along the lane, and its headings jump. The rear axle of a real car follows its front on a
tractrix: R = F - d (F - R_before) / |F - R_before|. The rule is causal, so a closed loop can use it too. The tracks of
people are smoothed with a Gaussian of 0.35 s and split where SUMO lets them jump.
"""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d

from data_prep.miniworld.traffic.demand import AgentType
from data_prep.miniworld.traffic.simulation import STEP, Log
from data_prep.miniworld.world.state import STATE_RATE

SUBSTEPS = round(STEP * STATE_RATE)
MAX_STEP = 1.0  # meters a person may move in one SUMO step; a longer step splits the track
BRAKE_BIT, LEFT_BIT, RIGHT_BIT = 8, 2, 1


@dataclass
class Tracks:
    """The motion of A agents over T states at STATE_RATE; NaN where an agent is absent.

    pivot [A, T, 2]: rear axle of a vehicle, center of a person, meters. yaw, speed (signed, along yaw) [A, T].
    offset [A]: meters from the pivot forward to the center of the box. braking, blinker (-1 right, 1 left) [A, T].
    lights: for each state, {traffic light id: SUMO's state string}.
    """

    ids: list[str]
    types: list[AgentType]
    pivot: np.ndarray
    yaw: np.ndarray
    speed: np.ndarray
    offset: np.ndarray
    braking: np.ndarray
    blinker: np.ndarray
    lights: list[dict[str, str]]

    @property
    def steps(self) -> int:
        return self.pivot.shape[1]

    @property
    def center(self) -> np.ndarray:
        """Box centers [A, T, 2]."""
        ahead = np.stack([np.cos(self.yaw), np.sin(self.yaw)], axis=-1)
        return self.pivot + self.offset[:, None, None] * ahead

    def window(self, start: int, steps: int) -> "Tracks":
        """The same agents over the states [start, start + steps)."""
        part = slice(start, start + steps)
        arrays = (self.pivot[:, part], self.yaw[:, part], self.speed[:, part], self.offset)
        return Tracks(self.ids, self.types, *arrays, self.braking[:, part], self.blinker[:, part], self.lights[part])

    def with_vehicle(
        self, name: str, agent_type: AgentType, pivot: np.ndarray, yaw: np.ndarray, speed: np.ndarray, lamps: np.ndarray
    ) -> "Tracks":
        """The tracks with one more vehicle in the last row.

        pivot [T, 2], yaw and speed [T], lamps [T, 2]: braking (0 or 1) and blinker (-1, 0 or 1).
        """
        return Tracks(
            [*self.ids, name],
            [*self.types, agent_type],
            np.concatenate([self.pivot, pivot[None]]),
            np.concatenate([self.yaw, yaw[None]]),
            np.concatenate([self.speed, speed[None]]),
            np.append(self.offset, agent_type.length / 2 - agent_type.rear_overhang),
            np.concatenate([self.braking, lamps[None, :, 0] > 0]),
            np.concatenate([self.blinker, lamps[None, :, 1].astype(int)]),
            self.lights,
        )


def tracks_of(log: Log, types: dict[str, AgentType]) -> Tracks:
    """The tracks of a log. Agents keep their ids; the later pieces of a split track get "_1", "_2", ... appended."""
    names, kinds, raw = [], [], []
    for name, rows in log.rows.items():
        pieces = _split_at_jumps(rows) if types[name].sumo_class == "pedestrian" else [rows]
        for i, piece in enumerate(pieces):
            names.append(name if i == 0 else f"{name}_{i}")
            kinds.append(types[name])
            raw.append(piece)
    grid = np.full((len(raw), log.steps, 4), np.nan)  # x, y, angle, signal bits
    for i, rows in enumerate(raw):
        grid[i, rows[:, 0].astype(int), : rows.shape[1] - 1] = rows[:, 1:]
    position, bits = _upsample(grid[..., :2]), np.repeat(np.nan_to_num(grid[..., 3]).astype(int), SUBSTEPS, axis=1)
    heading = np.repeat(np.pi / 2 - np.radians(grid[..., 2]), SUBSTEPS, axis=1)
    walks = np.array([agent_type.sumo_class == "pedestrian" for agent_type in kinds])
    reach = np.array([agent_type.length - agent_type.rear_overhang for agent_type in kinds])
    pivot, yaw = np.empty_like(position), np.empty_like(heading)
    pivot[~walks], yaw[~walks] = follow_front(position[~walks], heading[~walks], reach[~walks])
    for i in np.flatnonzero(walks):
        pivot[i], yaw[i] = _pedestrian_motion(position[i])
    offset = np.array([0.0 if w else b.length / 2 - b.rear_overhang for w, b in zip(walks, kinds, strict=True)])
    braking = (bits & BRAKE_BIT) > 0
    blinker = ((bits & LEFT_BIT) > 0).astype(int) - ((bits & RIGHT_BIT) > 0).astype(int)
    lights = [state for state in log.lights for _ in range(SUBSTEPS)]
    return Tracks(names, kinds, pivot, yaw, along_speed(pivot, yaw), offset, braking, blinker, lights)


def follow_front(front: np.ndarray, heading: np.ndarray, reach: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rear axles [A, T, 2] and yaws [A, T] of vehicles whose fronts move along `front` [A, T, 2].

    heading [A, T]: yaw at the first state of each; reach [A]: meters from rear axle to front.
    """
    start = front - reach[:, None, None] * np.stack([np.cos(heading), np.sin(heading)], axis=-1)
    rear = np.empty_like(front)
    before = np.full_like(front[:, 0], np.nan)
    for t in range(front.shape[1]):
        before = np.where(np.isnan(before), start[:, t], before)
        link = front[:, t] - before
        rear[:, t] = before = front[:, t] - reach[:, None] * link / np.linalg.norm(link, axis=-1, keepdims=True)
    link = front - rear
    return rear, np.arctan2(link[..., 1], link[..., 0])


def along_speed(pivot: np.ndarray, yaw: np.ndarray) -> np.ndarray:
    """Signed speed along yaw [A, T] over the last SUMO step; zero at the first states of an agent."""
    moved = np.zeros_like(pivot)
    moved[:, SUBSTEPS:] = np.nan_to_num(pivot[:, SUBSTEPS:] - pivot[:, :-SUBSTEPS]) / STEP
    return moved[..., 0] * np.cos(yaw) + moved[..., 1] * np.sin(yaw)


def rate(values: np.ndarray, span: int) -> np.ndarray:
    """Backward difference of values [T] over `span` states, per second; the first states repeat the first value."""
    out = np.empty_like(values)
    out[span:] = (values[span:] - values[:-span]) * (STATE_RATE / span)
    out[:span] = out[span]
    return out


def _upsample(values: np.ndarray) -> np.ndarray:
    """[A, S, 2] at SUMO's steps to [A, S * SUBSTEPS, 2] by linear interpolation; the last value is held."""
    after = np.concatenate([values[:, 1:], values[:, -1:]], axis=1)
    after = np.where(np.isnan(after), values, after)
    parts = [values + (after - values) * (k / SUBSTEPS) for k in range(SUBSTEPS)]
    return np.stack(parts, axis=2).reshape(values.shape[0], -1, 2)


def _split_at_jumps(rows: np.ndarray) -> list[np.ndarray]:
    """The rows of a person, split where SUMO lets the person jump; pieces shorter than a second are dropped."""
    hops = np.hypot(*np.diff(rows[:, 1:3], axis=0).T) > MAX_STEP
    pieces = np.split(rows, np.flatnonzero(hops) + 1)
    return [piece for piece in pieces if len(piece) >= round(1.0 / STEP)]


def _pedestrian_motion(position: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Smoothed positions [T, 2] and headings [T] of a person: along the motion, held while standing."""
    here = np.flatnonzero(~np.isnan(position[:, 0]))
    out, yaw = np.full_like(position, np.nan), np.full(len(position), np.nan)
    smooth = gaussian_filter1d(position[here], 0.35 * STATE_RATE, axis=0, mode="nearest")
    velocity = np.gradient(smooth, 1.0 / STATE_RATE, axis=0)
    moving = np.flatnonzero(np.hypot(velocity[:, 0], velocity[:, 1]) > 0.25)
    out[here], yaw[here] = smooth, 0.0
    if len(moving):
        last = np.clip(np.searchsorted(moving, np.arange(len(here)), side="right") - 1, 0, None)
        yaw[here] = np.arctan2(velocity[:, 1], velocity[:, 0])[moving[last]]
    return out, yaw
