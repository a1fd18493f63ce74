"""The three-point turn: a car driven by a small script on a kinematic bicycle model, as no traffic model does it.

The street is closed to other traffic for the scene (`demand.make_demand(closed=...)`), so the script need not look
around. It slows towards the right curb, turns left until the other curb is near, backs up with the wheels the other way,
and drives off in the opposite lane.
"""

from dataclasses import dataclass

import numpy as np
from shapely.geometry import LineString

from data_prep.miniworld.traffic.demand import Body
from data_prep.miniworld.world import net
from data_prep.miniworld.world.state import STATE_RATE

DT = 1.0 / STATE_RATE
WHEELBASE = 2.588  # meters
LOCK = 0.54  # rad, road wheels at full lock; 4.3 m turning radius of the rear axle
TURNING_RADIUS = WHEELBASE / np.tan(LOCK)
STEER_SPEED = 0.9  # rad/s
ACCEL, BRAKE = 1.4, 1.6  # m/s2
CRAWL, CRUISE = 1.9, 8.0  # m/s
KERB_GAP = 0.5  # meters left between the body and a curb
RUN_UP = (11.0, 19.0)  # meters driven before the wheel is turned
SHORTEST = 17.0  # seconds the whole turn may take
LANE = 3.4  # meters
STRIP = 2.4  # meters, parking strip


@dataclass
class _Car:
    """Rear axle and motion in the street's frame: u along the street, v to the left, 0 at the own lane's center."""

    u: float
    v: float
    yaw: float
    speed: float
    steer: float
    braking: bool = False

    def step(self, target_speed: float, target_steer: float) -> None:
        """Drive DT seconds towards a signed speed and a wheel angle, within what the car can do."""
        slowing = abs(target_speed) < abs(self.speed) - 1e-6
        most = (BRAKE if slowing else ACCEL) * DT
        change = float(np.clip(target_speed - self.speed, -most, most))
        self.braking = slowing or target_speed == 0.0
        self.speed += change
        self.steer += float(
            np.clip(np.clip(target_steer, -LOCK, LOCK) - self.steer, -STEER_SPEED * DT, STEER_SPEED * DT)
        )
        middle = self.yaw + self.speed * np.tan(self.steer) / WHEELBASE * DT / 2
        self.u += self.speed * np.cos(middle) * DT
        self.v += self.speed * np.sin(middle) * DT
        self.yaw += self.speed * np.tan(self.steer) / WHEELBASE * DT

    def track(self, lane: float, heading: float, look: float) -> float:
        """Pure pursuit: the wheel angle that leads back onto the line v = lane, driven towards `heading` (0 or pi)."""
        aim = np.array([look * np.cos(heading), lane - self.v])
        bearing = np.arctan2(aim[1], aim[0]) - self.yaw
        return float(np.arctan2(2 * WHEELBASE * np.sin(bearing), np.hypot(*aim)))


def straight_streets() -> list[str]:
    """Ids of straight edges with one lane and parking strips, wide enough for the turn and long enough for the scene."""
    edges = []
    for edge in net.streets():
        if any(net.is_parking_strip(lane) for lane in edge.getLanes()):
            line = LineString(net.polyline(net.car_lanes(edge)[0].getShape()))
            if line.hausdorff_distance(LineString([line.coords[0], line.coords[-1]])) < 0.2 and line.length > 90.0:
                edges.append(edge.getID())
    return edges


def opposite(edge: str) -> str:
    """Id of the edge of the other direction."""
    ends = net.read_net().getEdge(edge)
    back = [e for e in ends.getToNode().getOutgoing() if e.getToNode() == ends.getFromNode() and not e.isSpecial()]
    return back[0].getID()


def turn_around(
    edge: str, body: Body, rng: np.random.Generator, steps: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Turn around in the middle of a street, for `steps` states.

    Returns rear axle [T, 2] and yaw [T] in the world, signed speed [T], and lamps [T, 2]: braking (0 or 1), blinker.
    """
    line = LineString(net.polyline(net.car_lanes(net.read_net().getEdge(edge))[0].getShape()))
    a, b = np.asarray(line.coords[0]), np.asarray(line.coords[-1])
    along = (b - a) / np.hypot(*(b - a))
    left = np.array([-along[1], along[0]])
    run_up, start = float(rng.uniform(*RUN_UP)), float(rng.uniform(0.3, 0.45)) * line.length
    rows = np.array(_script(body, run_up, steps))
    pivot = a + (rows[:, :1] + start) * along + rows[:, 1:2] * left
    return pivot, rows[:, 2] + np.arctan2(along[1], along[0]), rows[:, 3], rows[:, 4:6]


def _script(body: Body, run_up: float, steps: int) -> list[tuple[float, float, float, float, float, float]]:
    """(u, v, yaw, speed, braking, blinker) for `steps` states."""
    car = _Car(0.0, 0.0, 0.0, 6.0, 0.0)
    rows = []
    phase = 0
    for _ in range(steps):
        rows.append((car.u, car.v, car.yaw, car.speed, float(car.braking), float(phase < 4)))
        phase = _advance(car, body, phase, run_up)
    return rows


def _advance(car: _Car, body: Body, phase: int, run_up: float) -> int:
    """One step of the script; returns the phase to go on with.

    0 run-up, 1 forward on left lock, 2 stop and turn the wheels, 3 back on right lock, 4 stop and turn the wheels,
    5 drive off in the opposite lane.
    """
    if phase == 0:
        left = max(run_up - car.u, 0.0)
        car.step(min(6.0, np.sqrt(CRAWL**2 + 2 * 1.3 * left)), car.track(-1.3, 0.0, 6.0))
        return 1 if left == 0.0 else 0
    if phase == 1:
        car.step(CRAWL, LOCK)
        return 2 if _room(car, body) < KERB_GAP + _braking_distance(car) else 1
    if phase == 3:
        car.step(-0.8 * CRAWL, -LOCK)
        fits = car.v + TURNING_RADIUS * (1 + np.cos(car.yaw)) < LANE  # forward from here ends in the opposite lane
        return 4 if fits or _room(car, body) < KERB_GAP + _braking_distance(car) else 3
    if phase in (2, 4):
        wheel = -LOCK if phase == 2 else float(np.clip(car.track(LANE, np.pi, 3.0), -LOCK, LOCK))
        car.step(0.0, car.steer if car.speed != 0.0 else wheel)
        return phase + 1 if car.speed == 0.0 and abs(car.steer - wheel) < 1e-6 else phase
    aligned = abs(car.yaw - np.pi) < 0.25
    car.step(CRUISE if aligned else CRAWL, car.track(LANE, np.pi, 3.0 + abs(car.speed)))
    return 5


def _braking_distance(car: _Car) -> float:
    return car.speed**2 / (2 * BRAKE) + abs(car.speed) * DT


def _room(car: _Car, body: Body) -> float:
    """Meters the car can go on, in its direction of motion, before a corner of its body reaches the curb ahead."""
    front, back = body.length - body.rear_overhang, -body.rear_overhang
    right_kerb, left_kerb = -LANE / 2 - STRIP, 1.5 * LANE + STRIP
    ends = [
        (front if car.speed > 0 else back) * np.sin(car.yaw) + s * body.width / 2 * np.cos(car.yaw) for s in (-1, 1)
    ]
    gap = left_kerb - car.v - max(ends) if car.speed * np.sin(car.yaw) > 0 else car.v + min(ends) - right_kerb
    return float(gap)
