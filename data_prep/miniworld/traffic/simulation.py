"""Runs SUMO for one scene and logs the motion of all vehicles and people.

One simulation per process at a time (SUMO's library has one global state); it is closed before the function returns,
so the same demand and seed give the same log whatever ran before. SUMO steps at 10 Hz; `motion.py` turns the log into
20 Hz tracks.
"""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import libsumo
import numpy as np

from data_prep.miniworld.traffic.demand import Demand
from data_prep.miniworld.world import road_network

STEP = 0.1  # seconds


@dataclass
class Log:
    """Positions of every vehicle and person, and the states of the traffic lights, step by step.

    A vehicle's row: step, x, y of the middle of its front bumper, SUMO's angle (degrees clockwise from north), signal
    bits. A person's row: step, x, y.
    """

    steps: int
    rows: dict[str, np.ndarray] = field(default_factory=dict)  # id -> [n, 5] or [n, 3]
    lights: list[dict[str, str]] = field(default_factory=list)  # step -> light id -> state string


def record(
    demand: Demand,
    seed: int,
    warm_up: float,
    seconds: float,
    rng: np.random.Generator,
    intervene: Callable[[float], None] | None = None,
) -> Log:
    """Simulate `warm_up` seconds, then `seconds` more, and log the latter.

    rng: draws the phases of the traffic lights. intervene(seconds since the log began): called before each logged step.
    """
    options = f"--step-length {STEP} --seed {seed} --lanechange.duration 3 --time-to-teleport -1"
    quiet = "--collision.action none --no-step-log true --no-warnings true --duration-log.disable true"
    with tempfile.TemporaryDirectory() as scratch:
        routes = Path(scratch) / "routes.rou.xml"
        routes.write_text(demand.xml)
        libsumo.start(["sumo", "-n", str(road_network.NET_FILE), "-r", str(routes), *options.split(), *quiet.split()])
        try:
            return _run(round(warm_up / STEP), round(seconds / STEP), rng, intervene)
        finally:
            libsumo.close()


def _run(warm_up: int, steps: int, rng: np.random.Generator, intervene: Callable[[float], None] | None) -> Log:
    _randomize_phases(rng)
    for _ in range(warm_up):
        libsumo.simulationStep()
    log = Log(steps)
    rows: dict[str, list[tuple[float, ...]]] = {}
    for step in range(steps):
        if intervene is not None:
            intervene(step * STEP)
        libsumo.simulationStep()
        _read(step, rows)
        log.lights.append({i: libsumo.trafficlight.getRedYellowGreenState(i) for i in libsumo.trafficlight.getIDList()})
    log.rows = {name: np.array(rows[name]) for name in sorted(rows)}
    return log


def _randomize_phases(rng: np.random.Generator) -> None:
    """Start every traffic light at a random point of its cycle, else all scenes would have the same phases."""
    for light in libsumo.trafficlight.getIDList():
        phases = libsumo.trafficlight.getAllProgramLogics(light)[0].phases
        phase = int(rng.integers(len(phases)))
        libsumo.trafficlight.setPhase(light, phase)
        libsumo.trafficlight.setPhaseDuration(light, float(rng.uniform(0.2, 1.0)) * phases[phase].duration)


def _read(step: int, rows: dict[str, list[tuple[float, ...]]]) -> None:
    position, angle, signals = libsumo.vehicle.getPosition, libsumo.vehicle.getAngle, libsumo.vehicle.getSignals
    for name in libsumo.vehicle.getIDList():
        rows.setdefault(name, []).append((step, *position(name), angle(name), signals(name)))
    position = libsumo.person.getPosition
    for name in libsumo.person.getIDList():
        rows.setdefault(name, []).append((step, *position(name)))


class HardBraking:
    """Makes leading vehicles brake hard in front of a possible ego; to be passed as `intervene`.

    At each of `times` (seconds of the log) up to three moving vehicles with one of `followers` close behind brake with
    DECELERATION to a stop, stand for HOLD seconds and drive on.
    """

    DECELERATION = 6.0  # m/s2
    HOLD = 2.0  # seconds

    def __init__(self, times: tuple[float, ...], followers: frozenset[str]):
        self._times = list(times)
        self._followers = followers
        self._halt: dict[str, float] = {}  # leader -> when it comes to rest
        self._release: dict[str, float] = {}

    def __call__(self, time: float) -> None:
        if self._times and time >= self._times[0]:
            self._times.pop(0)
            for leader in self._leaders()[:3]:
                speed = libsumo.vehicle.getSpeed(leader)
                libsumo.vehicle.setSpeedMode(leader, 0)
                libsumo.vehicle.slowDown(leader, 0.0, speed / self.DECELERATION)
                self._halt[leader] = time + speed / self.DECELERATION
        for leader in [name for name, at in self._halt.items() if time >= at]:
            del self._halt[leader]
            libsumo.vehicle.setSpeed(leader, 0.0)
            self._release[leader] = time + self.HOLD
        for leader in [name for name, at in self._release.items() if time >= at]:
            del self._release[leader]
            libsumo.vehicle.setSpeedMode(leader, 31)
            libsumo.vehicle.setSpeed(leader, -1)

    def _leaders(self) -> list[str]:
        """Ids of vehicles faster than 6 m/s with one of the followers 6 to 22 m behind on the same street."""
        found = []
        for name in sorted(set(libsumo.vehicle.getIDList()) & self._followers):
            ahead = libsumo.vehicle.getLeader(name, 30.0)
            if not ahead or not 6.0 < ahead[1] < 22.0 or ahead[0] in self._halt or ahead[0] in self._release:
                continue
            same_street = libsumo.vehicle.getRoadID(ahead[0]) == libsumo.vehicle.getRoadID(name)
            if same_street and min(libsumo.vehicle.getSpeed(name), libsumo.vehicle.getSpeed(ahead[0])) > 6.0:
                found.append(ahead[0])
        return sorted(set(found))
