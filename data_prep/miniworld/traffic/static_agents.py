"""Agents that do not move: parked vehicles, and a few construction sites with cones, barriers and a worker.

All of them stand on the parking strips of the streets, clear of the lanes and of the junctions.
"""

import numpy as np
from shapely.geometry import LineString

from data_prep.miniworld.traffic.demand import FLEET
from data_prep.miniworld.world import road_network
from data_prep.miniworld.world.state import Agent

JUNCTION_CLEARANCE = 14.0  # meters from either end of a strip
OCCUPANCY = 0.55  # share of the parking places that are taken
SITES = 3  # construction sites in the town

# name in FLEET or (category, width, length, height), share
PARKED = (
    ("compact", 0.36),
    ("sedan", 0.26),
    ("suv", 0.20),
    (("vehicle.truck", 2.10, 6.00, 2.60), 0.06),
    (("vehicle.trailer", 2.00, 4.20, 1.90), 0.04),
    ("motorcycle", 0.04),
    ("bicycle", 0.04),
)


def place_static_agents(rng: np.random.Generator, keep_clear: tuple[str, ...] = ()) -> tuple[Agent, ...]:
    """Parked vehicles and construction sites of the whole town; the strips of the edges `keep_clear` stay empty."""
    strips = [
        (edge.getID(), LineString(road_network.polyline(lane.getShape())))
        for edge in road_network.streets()
        for lane in edge.getLanes()
        if road_network.is_parking_strip(lane) and edge.getID() not in keep_clear
    ]
    sites = set(rng.choice(len(strips), size=min(SITES, len(strips)), replace=False).tolist())
    agents: list[Agent] = []
    for i, (edge, line) in enumerate(strips):
        start, end = JUNCTION_CLEARANCE, line.length - JUNCTION_CLEARANCE
        if i in sites:
            at = float(rng.uniform(start + 8.0, end - 8.0))
            agents += _site(edge, line, at, rng)
            agents += _row(edge, line, start, at - 9.0, rng) + _row(edge, line, at + 9.0, end, rng)
        else:
            agents += _row(edge, line, start, end, rng)
    return tuple(agents)


def _row(edge: str, line: LineString, start: float, end: float, rng: np.random.Generator) -> list[Agent]:
    """Vehicles parked in a line, with gaps, from `start` to `end` meters along a strip."""
    agents = []
    shares = np.array([share for _, share in PARKED])
    place = start
    while True:
        model = PARKED[int(rng.choice(len(PARKED), p=shares / shares.sum()))][0]
        if isinstance(model, str):
            agent_type = FLEET[model]
            model = (agent_type.category, agent_type.width, agent_type.length, agent_type.height)
        length, gap = model[2], float(rng.uniform(0.8, 2.0))
        if place + length > end:
            return agents
        if rng.random() < OCCUPANCY:
            turn, sideways = rng.normal(0.0, 0.02), rng.normal(0.0, 0.06)
            name = f"parked_{edge}_{len(agents)}_{round(place)}"
            agents.append(_standing(name, model, line, place + length / 2, sideways, turn, rng))
        place += length + gap


def _site(edge: str, line: LineString, at: float, rng: np.random.Generator) -> list[Agent]:
    """An excavator, barriers before and behind it, a row of cones towards the lane, a worker."""
    excavator = FLEET["excavator"]
    digger = (excavator.category, 1.90, 4.80, excavator.height)
    barrier, cone = ("movable_object.barrier", 2.0, 0.5, 1.0), ("movable_object.trafficcone", 0.35, 0.35, 0.75)
    worker = ("human.pedestrian.construction_worker", 0.65, 0.70, 1.78)
    plan = [("digger", digger, 0.0, -0.1), ("barrier_a", barrier, -6.5, 0.0), ("barrier_b", barrier, 6.5, 0.0)]
    plan += [(f"cone{i}", cone, s, 0.95) for i, s in enumerate((-5.0, -2.5, 0.0, 2.5, 5.0))]
    plan += [("worker", worker, 4.4, -0.2)]
    return [_standing(f"site_{edge}_{what}", model, line, at + s, side, 0.0, rng) for what, model, s, side in plan]


def _standing(
    name: str,
    model: tuple[str, float, float, float],
    line: LineString,
    place: float,
    sideways: float,
    turn: float,
    rng: np.random.Generator,
) -> Agent:
    """An agent at rest, `place` meters along the strip and `sideways` meters to its left, rotated by `turn` radians."""
    category, width, length, height = model
    (x, y), (x2, y2) = (line.interpolate(place + d).coords[0] for d in (0.0, 0.5))
    yaw = float(np.arctan2(y2 - y, x2 - x))
    x, y = x - sideways * np.sin(yaw), y + sideways * np.cos(yaw)
    paint = int(rng.integers(1 << 16))
    return Agent(
        name, category, float(x), float(y), yaw + float(turn), 0.0, width, length, height, False, 0, True, paint
    )
