"""From tracks to a `Scene`: at every state the full motion of the ego, the agents near it, and the signals."""

import numpy as np

from data_prep.miniworld.traffic.demand import BLOCKER
from data_prep.miniworld.traffic.motion import Tracks, rate
from data_prep.miniworld.traffic.tag_detectors import Drive, tags_of
from data_prep.miniworld.world import road_network
from data_prep.miniworld.world.state import STATE_RATE, Agent, Ego, Scene, Signal, WorldState
from data_prep.miniworld.world.town import load_town
from dima_jax.constants import WHEELBASE

AGENT_RANGE = 80.0  # meters around the ego within which agents are part of a state
STEERING_RATIO = 14.0  # angle of the steering wheel to that of the road wheels

TAG_PHRASES = {
    "turn_left": "turns left at a junction",
    "turn_right": "turns right at a junction",
    "stop_and_resume": "stops and drives on",
    "yield_to_pedestrian": "yields to a pedestrian",
    "lead_brakes": "brakes behind a vehicle that brakes hard",
    "overtake": "overtakes through the opposite lane",
    "three_point_turn": "turns around in three points",
}


def make_scene(name: str, split: str, drive: Drive, standing: tuple[Agent, ...], paint: np.ndarray) -> Scene:
    """The scene of a drive. standing: the agents that never move; paint [A]: the `Agent.paint` of each track."""
    tags = tags_of(drive)
    doing = ", ".join(TAG_PHRASES[tag] for tag in tags) if tags else "follows the road"
    description = f"The car {doing}."
    egos, signals = ego_states(drive), _signals(drive)
    agents = _agents(drive, standing, paint)
    states = tuple(WorldState(t / STATE_RATE, egos[t], agents[t], signals[t]) for t in range(drive.tracks.steps))
    return Scene(name, split, tags, description, states)


def ego_states(drive: Drive) -> list[Ego]:
    """The ego at every state; acceleration and yaw rate are backward differences."""
    tracks, row = drive.tracks, drive.ego
    acceleration, turning = rate(drive.speed, 4), rate(drive.yaw, 2)
    steering = _steering(drive.speed, turning)
    return [
        Ego(
            x=float(tracks.pivot[row, t, 0]),
            y=float(tracks.pivot[row, t, 1]),
            yaw=_wrap(float(tracks.yaw[row, t])),
            speed=float(drive.speed[t]),
            acceleration=float(acceleration[t]),
            yaw_rate=float(turning[t]),
            steering=float(steering[t]),
            braking=bool(tracks.braking[row, t]),
            blinker=int(tracks.blinker[row, t]),
        )
        for t in range(tracks.steps)
    ]


def _steering(speed: np.ndarray, turning: np.ndarray) -> np.ndarray:
    """Steering wheel angles [T], rad, from the curvature of the path; interpolated where the car hardly moves."""
    moving = np.flatnonzero(np.abs(speed) > 0.5)
    if len(moving) == 0:
        return np.zeros_like(speed)
    angle = STEERING_RATIO * np.arctan(WHEELBASE * turning[moving] / speed[moving])
    return np.interp(np.arange(len(speed)), moving, angle)


def _agents(drive: Drive, standing: tuple[Agent, ...], paint: np.ndarray) -> list[tuple[Agent, ...]]:
    """Agents within AGENT_RANGE of the ego, state by state: moving ones by id, then standing ones."""
    tracks, center = drive.tracks, drive.center
    offset = np.array([[agent.x, agent.y] for agent in standing]).reshape(-1, 1, 2) - drive.path[None]
    near_standing = np.hypot(offset[..., 0], offset[..., 1]) < AGENT_RANGE
    distance = np.linalg.norm(np.nan_to_num(center, nan=1e6) - drive.path[None], axis=-1)
    distance[drive.ego] = np.inf
    blocks = [name.startswith(BLOCKER) for name in tracks.ids]
    out = []
    for t in range(tracks.steps):
        moving = [
            _agent(tracks, center, int(i), t, int(paint[i]), blocks[i])
            for i in np.flatnonzero(distance[:, t] < AGENT_RANGE)
        ]
        out.append((*moving, *(standing[i] for i in np.flatnonzero(near_standing[:, t]))))
    return out


def _agent(tracks: Tracks, center: np.ndarray, i: int, t: int, paint: int, blocker: bool) -> Agent:
    agent_type, speed = tracks.types[i], float(tracks.speed[i, t])
    return Agent(
        id=tracks.ids[i],
        category=agent_type.category,
        x=float(center[i, t, 0]),
        y=float(center[i, t, 1]),
        yaw=_wrap(float(tracks.yaw[i, t])),
        speed=speed,
        width=agent_type.width,
        length=agent_type.length,
        height=agent_type.height,
        braking=bool(tracks.braking[i, t]),
        blinker=int(tracks.blinker[i, t]),
        parked=blocker and speed < 0.05,
        paint=paint,
    )


def _signals(drive: Drive) -> list[tuple[Signal, ...]]:
    """All signal heads of the town at every state; equal states share one tuple."""
    heads, links = load_town().signals, road_network.signal_links()
    made: dict[tuple[str, ...], tuple[Signal, ...]] = {}
    out = []
    for lights in drive.tracks.lights:
        key = tuple(lights[light] for light in sorted(lights))
        if key not in made:
            shown = {
                edge: road_network.signal_state(lights[light], indices) for edge, (light, indices) in links.items()
            }
            made[key] = tuple(Signal(h.id, h.x, h.y, h.yaw, shown[h.id.rsplit(".", 1)[0]]) for h in heads)
        out.append(made[key])
    return out


def _wrap(angle: float) -> float:
    """The same angle in [-pi, pi)."""
    return float((angle + np.pi) % (2 * np.pi) - np.pi)
