"""The three-point turn: a scripted maneuver on a kinematic bicycle model, as SUMO has no such maneuver.

The street is closed to other traffic for the scene (`demand.make_demand(closed=...)`), so the script ignores traffic.
The car slows down towards the right curb, turns left until the opposite curb is near, reverses with the wheels turned
the other way, and drives off in the opposite lane.
"""

from dataclasses import dataclass

import numpy as np
from shapely.geometry import LineString

from data_prep.miniworld.traffic.demand import AgentType
from data_prep.miniworld.world import road_network
from data_prep.miniworld.world.state import STATE_RATE
from dima_jax.constants import WHEELBASE

DT = 1.0 / STATE_RATE
LOCK = 0.54  # rad, road wheels at full lock; 4.3 m turning radius of the rear axle
TURNING_RADIUS = WHEELBASE / np.tan(LOCK)
STEER_SPEED = 0.9  # rad/s
ACCEL, BRAKE = 1.4, 1.6  # m/s2
CRAWL, CRUISE = 1.9, 8.0  # m/s
CURB_GAP = 0.5  # meters left between the vehicle and a curb
RUN_UP = (11.0, 19.0)  # meters driven before the turn starts
MIN_SECONDS = 17.0  # shortest scene that holds the whole turn
LANE = 3.4  # meters, lane width
STRIP = 2.4  # meters, width of the parking strip


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
        """Drive DT seconds towards a signed speed and a wheel angle, within the limits of the car."""
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
        """Pure pursuit: the wheel angle that leads to the line v = lane, driven towards `heading` (0 or pi)."""
        aim = np.array([look * np.cos(heading), lane - self.v])
        bearing = np.arctan2(aim[1], aim[0]) - self.yaw
        return float(np.arctan2(2 * WHEELBASE * np.sin(bearing), np.hypot(*aim)))


def straight_streets() -> list[str]:
    """Ids of straight edges with one lane and parking strips, wide and long enough for the turn."""
    edges = []
    for edge in road_network.streets():
        if any(road_network.is_parking_strip(lane) for lane in edge.getLanes()):
            line = LineString(road_network.polyline(road_network.car_lanes(edge)[0].getShape()))
            if line.hausdorff_distance(LineString([line.coords[0], line.coords[-1]])) < 0.2 and line.length > 90.0:
                edges.append(edge.getID())
    return edges


def opposite(edge: str) -> str:
    """Id of the edge of the other direction."""
    ends = road_network.read_net().getEdge(edge)
    back = [e for e in ends.getToNode().getOutgoing() if e.getToNode() == ends.getFromNode() and not e.isSpecial()]
    return back[0].getID()


def turn_around(
    edge: str, agent_type: AgentType, rng: np.random.Generator, steps: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Turn around in the middle of a street, for `steps` states.

    Returns rear axle [T, 2] and yaw [T] in the world, signed speed [T], and lamps [T, 2]: braking (0 or 1), blinker.
    """
    line = LineString(
        road_network.polyline(road_network.car_lanes(road_network.read_net().getEdge(edge))[0].getShape())
    )
    a, b = np.asarray(line.coords[0]), np.asarray(line.coords[-1])
    along = (b - a) / np.hypot(*(b - a))
    left = np.array([-along[1], along[0]])
    run_up, start = float(rng.uniform(*RUN_UP)), float(rng.uniform(0.3, 0.45)) * line.length
    rows = np.array(_script(agent_type, run_up, steps))
    pivot = a + (rows[:, :1] + start) * along + rows[:, 1:2] * left
    return pivot, rows[:, 2] + np.arctan2(along[1], along[0]), rows[:, 3], rows[:, 4:6]


def _script(agent_type: AgentType, run_up: float, steps: int) -> list[tuple[float, float, float, float, float, float]]:
    """(u, v, yaw, speed, braking, blinker) for `steps` states."""
    car = _Car(0.0, 0.0, 0.0, 6.0, 0.0)
    rows = []
    phase = 0
    for _ in range(steps):
        rows.append((car.u, car.v, car.yaw, car.speed, float(car.braking), float(phase < 4)))
        phase = _step_script(car, agent_type, phase, run_up)
    return rows


def _step_script(car: _Car, agent_type: AgentType, phase: int, run_up: float) -> int:
    """One step of the script; returns the next phase.

    0 run-up, 1 forward on left lock, 2 stop and turn the wheels, 3 back on right lock, 4 stop and turn the wheels,
    5 drive off in the opposite lane.
    """
    if phase == 0:
        left = max(run_up - car.u, 0.0)
        car.step(min(6.0, np.sqrt(CRAWL**2 + 2 * 1.3 * left)), car.track(-1.3, 0.0, 6.0))
        return 1 if left == 0.0 else 0
    if phase == 1:
        car.step(CRAWL, LOCK)
        return 2 if _distance_to_curb(car, agent_type) < CURB_GAP + _braking_distance(car) else 1
    if phase == 3:
        car.step(-0.8 * CRAWL, -LOCK)
        fits = car.v + TURNING_RADIUS * (1 + np.cos(car.yaw)) < LANE  # forward from here ends in the opposite lane
        return 4 if fits or _distance_to_curb(car, agent_type) < CURB_GAP + _braking_distance(car) else 3
    if phase in (2, 4):
        wheel = -LOCK if phase == 2 else float(np.clip(car.track(LANE, np.pi, 3.0), -LOCK, LOCK))
        car.step(0.0, car.steer if car.speed != 0.0 else wheel)
        return phase + 1 if car.speed == 0.0 and abs(car.steer - wheel) < 1e-6 else phase
    aligned = abs(car.yaw - np.pi) < 0.25
    car.step(CRUISE if aligned else CRAWL, car.track(LANE, np.pi, 3.0 + abs(car.speed)))
    return 5


def _braking_distance(car: _Car) -> float:
    return car.speed**2 / (2 * BRAKE) + abs(car.speed) * DT


def _distance_to_curb(car: _Car, agent_type: AgentType) -> float:
    """Meters, across the street, from the leading corners of the car to the curb that it moves towards."""
    front, back = agent_type.length - agent_type.rear_overhang, -agent_type.rear_overhang
    right_curb, left_curb = -LANE / 2 - STRIP, 1.5 * LANE + STRIP
    ends = [
        (front if car.speed > 0 else back) * np.sin(car.yaw) + s * agent_type.width / 2 * np.cos(car.yaw)
        for s in (-1, 1)
    ]
    gap = left_curb - car.v - max(ends) if car.speed * np.sin(car.yaw) > 0 else car.v + min(ends) - right_curb
    return float(gap)
