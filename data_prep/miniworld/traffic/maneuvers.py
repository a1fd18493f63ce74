"""Scenes by number: which situation each one shows, and how it is made to happen.

The town is filled with traffic arranged for the wanted situation (vehicles standing in the lane, leaders told to brake
hard), simulated, and then searched for a car whose drive really shows it; that car becomes the ego. If none does, the
next attempt draws new traffic. Tags never come from the intention, only from `detect.py`.
"""

from collections.abc import Callable

import numpy as np

from data_prep.miniworld.traffic import demand, three_point, traffic
from data_prep.miniworld.traffic.curb import furnish
from data_prep.miniworld.traffic.detect import DETECTORS, Drive
from data_prep.miniworld.traffic.motion import Tracks, rate, tracks_of
from data_prep.miniworld.traffic.scene import make_scene
from data_prep.miniworld.world import boxes, net
from data_prep.miniworld.world.state import STATE_RATE, Agent, Scene
from dima_jax.errors import UserError

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
WARM_UP = 11.0  # seconds until the traffic flows
SETTLE = 2.0  # seconds of log before a scene may start, for the rear axles to fall in line
STARTS = (0.0, 2.0, 4.0)  # seconds after SETTLE at which a scene may start
VEHICLES, BICYCLES, PEOPLE = 52, 7, 56
CROWD = 95  # people in town where one is to be yielded to
LEAST_PACE = 1.75  # m/s an ego drives on average at least, so that no scene is spent waiting

MAX_YAW_RATE = 1.1  # rad/s
MAX_LATERAL = 5.5  # m/s2
MAX_BRAKING = 6.5  # m/s2


def wanted_tag(index: int, split: str) -> str:
    """The tag scene `index` of a split must have, "" for an ordinary drive."""
    return CYCLES[split][index % len(CYCLES[split])]


def simulate(index: int, seed: int, split: str, seconds: float = 20.0) -> Scene:
    """Scene `index` of "train" or "val": the same for the same arguments, whatever was simulated before.

    Raises `UserError` if no attempt shows the wanted situation (a scene of few seconds may be too short for it).
    """
    wanted = wanted_tag(index, split)
    if wanted == "three_point_turn" and seconds < three_point.SHORTEST:
        raise UserError(
            f"scene {index} ({split}): a three_point_turn takes {three_point.SHORTEST:g} s, not {seconds:g}"
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
    """One simulation: the drive of its first fitting ego, and what stands at the curbs."""
    blockers = _blockers(rng) if wanted == "overtake" else ()
    people = CROWD if wanted == "yield_to_pedestrian" else PEOPLE
    crowd = demand.make_demand(rng, VEHICLES, BICYCLES, people, blockers)
    meddle = None
    if wanted == "lead_brakes":
        times = tuple(SETTLE + STARTS[-1] + t for t in (2.0, 6.0, 10.0))
        meddle = traffic.HardBraking(times, _possible_egos(crowd))
    standing = furnish(rng, keep_clear=tuple(blocker.edge for blocker in blockers))
    tracks = _tracks(crowd, rng, seconds, meddle)
    drive = _find(tracks, wanted, _possible_egos(crowd), standing, rng, seconds)
    return None if drive is None else (drive, standing)


def _turn_around(wanted: str, rng: np.random.Generator, seconds: float) -> tuple[Drive, tuple[Agent, ...]] | None:
    """One simulation with a street closed to traffic, in which the ego makes its three-point turn."""
    body = demand.FLEET[demand.EGO_BODY]
    edge = str(rng.choice(three_point.straight_streets()))
    crowd = demand.make_demand(rng, VEHICLES, BICYCLES, PEOPLE, closed=frozenset((edge, three_point.opposite(edge))))
    steps = round(seconds * STATE_RATE)
    tracks = _tracks(crowd, rng, seconds, None).window(round(SETTLE * STATE_RATE), steps)
    tracks = tracks.joined_by("ego", body, *three_point.turn_around(edge, body, rng, steps))
    drive = Drive(tracks, len(tracks.ids) - 1)
    parked = furnish(rng)
    standing = tuple(agent for agent, hit in zip(parked, hits(drive, parked, air=1.0), strict=True) if not hit)
    fit = _smooth(drive) and DETECTORS[wanted](drive) and not collides(drive)
    return (drive, standing) if fit else None


def _tracks(
    crowd: demand.Demand, rng: np.random.Generator, seconds: float, meddle: Callable[[float], None] | None
) -> Tracks:
    length = SETTLE + STARTS[-1] + seconds
    return tracks_of(traffic.record(crowd, int(rng.integers(1 << 30)), WARM_UP, length, rng, meddle), crowd.bodies)


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
        if not _smooth(drive) or (wanted and not DETECTORS[wanted](drive)):
            continue
        if not hits(drive, standing).any() and not collides(drive):
            return drive
    return None


def _smooth(drive: Drive) -> bool:
    """Whether the ego is there all the time, gets somewhere, and moves as a car can."""
    if np.isnan(drive.path).any() or drive.traveled[-1] < LEAST_PACE * drive.tracks.steps / STATE_RATE:
        return False
    turning = np.abs(rate(drive.yaw, 2))
    braking = -rate(drive.speed, 4).min()
    return (
        turning.max() < MAX_YAW_RATE and (turning * np.abs(drive.speed)).max() < MAX_LATERAL and braking < MAX_BRAKING
    )


def hits(drive: Drive, standing: tuple[Agent, ...], air: float = 0.0) -> np.ndarray:
    """For each standing agent [n], whether the ego ever comes into its box, grown by `air` meters all around."""
    spots = np.array([[a.x, a.y, a.yaw, a.length + 2 * air, a.width + 2 * air] for a in standing]).reshape(-1, 1, 5)
    still = boxes.corners(spots[..., :2], spots[..., 2], spots[..., 3], spots[..., 4])
    return boxes.overlap(_outlines(drive)[drive.ego], still).any(axis=1)


def collides(drive: Drive) -> bool:
    """Whether the ego's box ever overlaps that of a moving agent."""
    outlines = _outlines(drive)
    own = outlines[drive.ego].copy()
    outlines[drive.ego] = np.nan
    return bool(boxes.overlap(own, outlines).any())


def _outlines(drive: Drive) -> np.ndarray:
    """Everybody's box ten times a second [A, T / 2, 4, 2]."""
    size = np.array([[body.length, body.width] for body in drive.tracks.bodies])
    return boxes.corners(drive.center[:, ::2], drive.tracks.yaw[:, ::2], size[:, :1], size[:, 1:])
