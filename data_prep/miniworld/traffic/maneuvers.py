"""Scenes by number: the maneuver that each one shows, and how the simulation is arranged for it.

The town is filled with traffic that makes the wanted maneuver likely (vehicles that block a lane, leaders that brake
hard), simulated, and searched for a car whose drive shows the maneuver; that car becomes the ego. If there is none, the
next attempt draws new traffic. The tags of a scene always come from `tag_detectors.py`, never from the intention.
"""

from collections.abc import Callable, Sequence

import numpy as np

from data_prep.miniworld.traffic import demand, simulation, three_point
from data_prep.miniworld.traffic.motion import Tracks, rate, tracks_of
from data_prep.miniworld.traffic.scene import make_scene
from data_prep.miniworld.traffic.static_agents import place_static_agents
from data_prep.miniworld.traffic.tag_detectors import DETECTORS, Drive
from data_prep.miniworld.world import boxes, road_network
from data_prep.miniworld.world.state import STATE_RATE, Agent, Scene
from dima_jax.errors import UserError

# The tag that each scene must have, in turn; "" is an ordinary drive. Only val has the three-point turn.
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
WARM_UP = 11.0  # seconds until the traffic flows
SETTLE = 2.0  # seconds of log before a scene may start, until the rear axles follow the front
STARTS = (0.0, 2.0, 4.0)  # seconds after SETTLE at which a scene may start
VEHICLES, BICYCLES, PEOPLE = 52, 7, 56
CROWD = 95  # people in town where the ego is to yield to one
MIN_MEAN_SPEED = 1.75  # m/s of the ego over a scene, so that no scene is spent waiting

MAX_YAW_RATE = 1.1  # rad/s
MAX_LATERAL = 5.5  # m/s2
MAX_BRAKING = 6.5  # m/s2


def wanted_tag(index: int, split: str, cycle: Sequence[str] | None = None) -> str:
    """The tag scene `index` of a split must have, "" for an ordinary drive. cycle: as in `simulate`."""
    cycle = cycle or CYCLES[split]
    return cycle[index % len(cycle)]


def simulate(index: int, seed: int, split: str, seconds: float = 20.0, cycle: Sequence[str] | None = None) -> Scene:
    """Scene `index` of `split` ("train" or "val"): the same for the same arguments, whatever was simulated before.

    seed: of the whole data set. seconds: length of the scene. cycle: the tag that each scene must have, in turn; None:
    that of `CYCLES`. Raises `UserError` if no attempt shows the wanted maneuver; a scene of few seconds may be too short
    for it.
    """
    wanted = wanted_tag(index, split, cycle)
    if wanted == "three_point_turn" and seconds < three_point.MIN_SECONDS:
        raise UserError(
            f"scene {index} ({split}): a three_point_turn takes {three_point.MIN_SECONDS:g} s, not {seconds:g}"
        )
    attempt_one = _turn_around if wanted == "three_point_turn" else _search_traffic
    for attempt in range(ATTEMPTS):
        rng = np.random.default_rng([seed, index, sorted(CYCLES).index(split), attempt])
        found = attempt_one(wanted, rng, seconds)
        if found is not None:
            drive, standing = found
            paint = rng.integers(1 << 16, size=len(drive.tracks.ids))
            return make_scene(f"scene-{index + 1:04d}", split, drive, standing, paint)
    raise UserError(
        f"scene {index} ({split}, seed {seed}): no drive of {seconds:g} s shows {wanted!r} in {ATTEMPTS} attempts; "
        "use another seed or longer scenes"
    )


def _search_traffic(wanted: str, rng: np.random.Generator, seconds: float) -> tuple[Drive, tuple[Agent, ...]] | None:
    """One simulation: the drive of its first suitable ego, and the standing agents; None without such an ego."""
    blockers = _blockers(rng) if wanted == "overtake" else ()
    people = CROWD if wanted == "yield_to_pedestrian" else PEOPLE
    crowd = demand.make_demand(rng, VEHICLES, BICYCLES, people, blockers)
    intervene = None
    if wanted == "lead_brakes":
        times = tuple(SETTLE + STARTS[-1] + t for t in (2.0, 6.0, 10.0))
        intervene = simulation.HardBraking(times, _possible_egos(crowd))
    standing = place_static_agents(rng, keep_clear=tuple(blocker.edge for blocker in blockers))
    tracks = _tracks(crowd, rng, seconds, intervene)
    drive = _find(tracks, wanted, _possible_egos(crowd), standing, rng, seconds)
    return None if drive is None else (drive, standing)


def _turn_around(wanted: str, rng: np.random.Generator, seconds: float) -> tuple[Drive, tuple[Agent, ...]] | None:
    """One simulation with a street closed to traffic, in which the ego makes its three-point turn."""
    agent_type = demand.FLEET[demand.EGO_TYPE]
    edge = str(rng.choice(three_point.straight_streets()))
    crowd = demand.make_demand(rng, VEHICLES, BICYCLES, PEOPLE, closed=frozenset((edge, three_point.opposite(edge))))
    steps = round(seconds * STATE_RATE)
    tracks = _tracks(crowd, rng, seconds, None).window(round(SETTLE * STATE_RATE), steps)
    tracks = tracks.with_vehicle("ego", agent_type, *three_point.turn_around(edge, agent_type, rng, steps))
    drive = Drive(tracks, len(tracks.ids) - 1)
    parked = place_static_agents(rng)
    is_hit = hits(drive, parked, clearance=1.0)
    standing = tuple(agent for agent, hit in zip(parked, is_hit, strict=True) if not hit)
    fit = _smooth(drive) and DETECTORS[wanted](drive) and not collides(drive)
    return (drive, standing) if fit else None


def _tracks(
    crowd: demand.Demand, rng: np.random.Generator, seconds: float, intervene: Callable[[float], None] | None
) -> Tracks:
    length = SETTLE + STARTS[-1] + seconds
    return tracks_of(simulation.record(crowd, int(rng.integers(1 << 30)), WARM_UP, length, rng, intervene), crowd.types)


def _possible_egos(crowd: demand.Demand) -> frozenset[str]:
    return frozenset(name for name, agent_type in crowd.types.items() if agent_type == demand.FLEET[demand.EGO_TYPE])


def _blockers(rng: np.random.Generator) -> tuple[demand.Blocker, ...]:
    """Three one-lane streets with a car or truck standing in the lane, and one with a slow excavator."""
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
    return road_network.read_net().getEdge(edge).getLength() / 2


def _find(
    tracks: Tracks,
    wanted: str,
    names: frozenset[str],
    standing: tuple[Agent, ...],
    rng: np.random.Generator,
    seconds: float,
) -> Drive | None:
    """The first drive, in random order, that has the wanted tag, moves smoothly and collides with nobody."""
    steps = round(seconds * STATE_RATE)
    rows = [i for i, name in enumerate(tracks.ids) if name in names]
    tries = [(row, start) for start in STARTS for row in rows]
    windows = {start: tracks.window(round((SETTLE + start) * STATE_RATE), steps) for start in STARTS}
    for k in rng.permutation(len(tries)):
        row, start = tries[k]
        drive = Drive(windows[start], row)
        if not _smooth(drive) or (wanted and not DETECTORS[wanted](drive)):
            continue
        if not hits(drive, standing).any() and not collides(drive):
            return drive
    return None


def _smooth(drive: Drive) -> bool:
    """Whether the ego is present all the time, drives far enough, and moves within the limits of a car."""
    if np.isnan(drive.path).any() or drive.traveled[-1] < MIN_MEAN_SPEED * drive.tracks.steps / STATE_RATE:
        return False
    turning = np.abs(rate(drive.yaw, 2))
    braking = -rate(drive.speed, 4).min()
    return (
        turning.max() < MAX_YAW_RATE and (turning * np.abs(drive.speed)).max() < MAX_LATERAL and braking < MAX_BRAKING
    )


def hits(drive: Drive, standing: tuple[Agent, ...], clearance: float = 0.0) -> np.ndarray:
    """For each standing agent [n], whether the ego's box ever overlaps its box grown by `clearance` meters."""
    spots = np.array([[a.x, a.y, a.yaw, a.length + 2 * clearance, a.width + 2 * clearance] for a in standing]).reshape(
        -1, 1, 5
    )
    still = boxes.corners(spots[..., :2], spots[..., 2], spots[..., 3], spots[..., 4])
    return boxes.overlap(_outlines(drive)[drive.ego], still).any(axis=1)


def collides(drive: Drive) -> bool:
    """Whether the ego's box ever overlaps that of a moving agent."""
    outlines = _outlines(drive)
    own = outlines[drive.ego].copy()
    outlines[drive.ego] = np.nan
    return bool(boxes.overlap(own, outlines).any())


def _outlines(drive: Drive) -> np.ndarray:
    """Corners of every agent's box ten times a second [A, T / 2, 4, 2]."""
    size = np.array([[agent_type.length, agent_type.width] for agent_type in drive.tracks.types])
    return boxes.corners(drive.center[:, ::2], drive.tracks.yaw[:, ::2], size[:, :1], size[:, 1:])
