"""Scenes by number: which situation each one shows, and how it is made to happen.

The town is filled with traffic arranged for the wanted situation (vehicles standing in the lane, leaders told to brake
hard), simulated, and then searched for a car whose drive really shows it; that car becomes the ego. If none does, the
next attempt draws new traffic. Tags never come from the intention, only from `detect.py`.
"""

import numpy as np

from dima_jax.errors import UserError
from dima_jax.world import boxes, demand, net, traffic
from dima_jax.world.detect import DETECTORS, Drive
from dima_jax.world.kerb import furnish
from dima_jax.world.motion import Tracks, rate, tracks_of, yaw_rate
from dima_jax.world.scene import make_scene
from dima_jax.world.state import STATE_RATE, Agent, Scene

# What scene after scene shows; "" is an ordinary drive. Only val has the three-point turn.
CYCLES = {
    "train": (
        "turn_left",
        "stop_and_resume",
        "turn_right",
        "overtake",
        "yield_to_pedestrian",
        "lead_brakes",
        "",
        "turn_right",
        "stop_and_resume",
        "turn_left",
    ),
    "val": (
        "three_point_turn",
        "turn_left",
        "stop_and_resume",
        "overtake",
        "turn_right",
        "yield_to_pedestrian",
        "lead_brakes",
        "",
        "turn_right",
        "turn_left",
    ),
}

ATTEMPTS = 12
WARM_UP = 12.0  # seconds until the traffic flows
SETTLE = 2.0  # seconds of log before a scene may start, for the rear axles to fall in line
STARTS = (0.0, 3.0, 6.0)  # seconds after SETTLE at which a scene may start
VEHICLES, BICYCLES, PEOPLE = 52, 7, 64
FEWEST_METRES = 35.0  # an ego drives at least this far

MAX_YAW_RATE = 1.1  # rad/s
MAX_LATERAL = 5.5  # m/s2
MAX_BRAKING = 9.0  # m/s2


def wanted_tag(index: int, split: str) -> str:
    """The tag scene `index` of a split must have, "" for an ordinary drive."""
    return CYCLES[split][index % len(CYCLES[split])]


def simulate(index: int, seed: int, split: str, seconds: float = 20.0) -> Scene:
    """Scene `index` of "train" or "val": the same for the same arguments, whatever was simulated before.

    Raises `UserError` if no attempt shows the wanted situation (a scene of few seconds may be too short for it).
    """
    wanted = wanted_tag(index, split)
    for attempt in range(ATTEMPTS):
        rng = np.random.default_rng([seed, index, sorted(CYCLES).index(split), attempt])
        found = _attempt(wanted, rng, seconds)
        if found is not None:
            drive, standing, paint = found
            return make_scene(f"scene-{index + 1:04d}", split, drive, standing, paint)
    raise UserError(
        f"scene {index} ({split}, seed {seed}): no drive of {seconds:g} s shows {wanted!r} in {ATTEMPTS} attempts; "
        "use another seed or longer scenes"
    )


def _attempt(
    wanted: str, rng: np.random.Generator, seconds: float
) -> tuple[Drive, tuple[Agent, ...], np.ndarray] | None:
    """One simulation and its first fitting ego, what stands at the kerbs, and a paint number for each track."""
    blockers = _blockers(rng) if wanted == "overtake" else ()
    crowd = demand.make_demand(rng, VEHICLES, BICYCLES, PEOPLE, blockers)
    meddle = None
    if wanted == "lead_brakes":
        times = tuple(SETTLE + STARTS[-1] + t for t in (2.0, 6.0, 10.0))
        meddle = traffic.HardBraking(times, _possible_egos(crowd))
    standing = furnish(rng, keep_clear=tuple(blocker.edge for blocker in blockers))
    length = SETTLE + STARTS[-1] + seconds
    log = traffic.record(crowd, int(rng.integers(1 << 30)), WARM_UP, length, rng, meddle)
    tracks = tracks_of(log, crowd.bodies)
    paint = rng.integers(1 << 16, size=len(tracks.ids))
    drive = _find(tracks, wanted, _possible_egos(crowd), standing, rng, seconds)
    return None if drive is None else (drive, standing, paint)


def _possible_egos(crowd: demand.Demand) -> frozenset[str]:
    return frozenset(name for name, body in crowd.bodies.items() if body == demand.FLEET[demand.EGO_BODY])


def _blockers(rng: np.random.Generator) -> tuple[demand.Blocker, ...]:
    """Three one-lane streets with a car or truck standing in the lane, one with a creeping excavator."""
    edges = [str(edge) for edge in rng.permutation(demand.one_lane_streets())]
    streets: list[str] = []
    for edge in edges:
        if edge[2:] + edge[:2] not in streets and len(streets) < 4:  # never both directions of a street
            streets.append(edge)
    standing = [
        demand.Blocker(edge, str(rng.choice(["sedan", "suv", "truck"])), _middle(edge) + float(rng.uniform(-8.0, 12.0)))
        for edge in streets[:3]
    ]
    return (*standing, demand.Blocker(streets[3], "excavator", None))


def _middle(edge: str) -> float:
    return net.read_net().getEdge(edge).getLength() / 2


def _find(
    tracks: Tracks,
    wanted: str,
    names: frozenset[str],
    standing: tuple[Agent, ...],
    rng: np.random.Generator,
    seconds: float,
) -> Drive | None:
    """The first drive, in random order, that shows what is wanted and is fit to be shown."""
    steps = round(seconds * STATE_RATE)
    rows = [i for i, name in enumerate(tracks.ids) if name in names]
    tries = [(row, start) for start in STARTS for row in rows]
    windows = {start: tracks.window(round((SETTLE + start) * STATE_RATE), steps) for start in STARTS}
    for k in rng.permutation(len(tries)):
        row, start = tries[k]
        drive = Drive(windows[start], row)
        if _smooth(drive) and (not wanted or DETECTORS[wanted](drive)) and not touches(drive, standing):
            return drive
    return None


def _smooth(drive: Drive) -> bool:
    """Whether the ego is there all the time, gets somewhere, and moves as a car can."""
    if np.isnan(drive.path).any() or drive.travelled[-1] < FEWEST_METRES:
        return False
    turning = np.abs(yaw_rate(drive.yaw[None])[0])
    braking = -rate(drive.speed, 4).min()
    return (
        turning.max() < MAX_YAW_RATE and (turning * np.abs(drive.speed)).max() < MAX_LATERAL and braking < MAX_BRAKING
    )


def touches(drive: Drive, standing: tuple[Agent, ...]) -> bool:
    """Whether the ego's box ever overlaps anybody's, ten times a second."""
    tracks, every = drive.tracks, slice(None, None, 2)
    size = np.array([[body.length, body.width] for body in tracks.bodies])
    centre, yaw = drive.centre[:, every], tracks.yaw[:, every]
    own = boxes.corners(centre[drive.ego], yaw[drive.ego], *np.broadcast_to(size[drive.ego], (yaw.shape[1], 2)).T)
    near = np.flatnonzero((np.linalg.norm(centre - centre[drive.ego], axis=-1) < 12.0).any(axis=1))
    for i in near[near != drive.ego]:
        other = boxes.corners(centre[i], yaw[i], *np.broadcast_to(size[i], (yaw.shape[1], 2)).T)
        if boxes.overlap(own, other).any():
            return True
    for agent in standing:
        spot = np.array([agent.x, agent.y])
        if np.hypot(*(drive.path - spot).T).min() < 12.0:
            other = boxes.corners(spot, np.float64(agent.yaw), np.float64(agent.length), np.float64(agent.width))
            if boxes.overlap(own, other[None]).any():
                return True
    return False
