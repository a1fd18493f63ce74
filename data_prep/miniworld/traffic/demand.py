"""The traffic demand of one scene as SUMO reads it: vehicles and people of given types, with their routes.

Routes are random walks over the road network; all agents are present from the first second, spread over the town, and
travel for longer than a scene. All random choices come from the given generator.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from data_prep.miniworld.world import road_network

ROUTE_EDGES = 9
BLOCKER = "blocker"  # prefix of the ids of vehicles that block a lane
STRAIGHT_WEIGHT = 2.0  # of going straight at a junction, against 1 for either turn


@dataclass(frozen=True)
class AgentType:
    """Size and dynamics of a kind of agent: meters, m/s, m/s2. rear_overhang: from the rear end to the rear axle.

    sumo_class: SUMO's vehicle class. share: its share of the drawn vehicles or people.
    """

    category: str
    sumo_class: str
    width: float
    length: float
    height: float
    rear_overhang: float = 0.0
    top_speed: float = 15.0
    accel: float = 2.0
    decel: float = 3.5
    share: float = 0.0


EGO_TYPE = "compact"  # vehicles of this type can become the ego; its size is that of the ego vehicle

FLEET = {
    "compact": AgentType("vehicle.car", "passenger", 1.73, 4.08, 1.56, 0.69, share=0.58),
    "sedan": AgentType("vehicle.car", "passenger", 1.85, 4.65, 1.48, 0.95, share=0.14),
    "suv": AgentType("vehicle.car", "passenger", 1.95, 4.85, 1.78, 0.95, share=0.10),
    "truck": AgentType("vehicle.truck", "truck", 2.40, 7.40, 3.10, 1.80, top_speed=12.0, accel=1.2, share=0.06),
    "bus": AgentType("vehicle.bus.rigid", "bus", 2.50, 10.50, 3.20, 2.80, top_speed=12.0, accel=1.2, share=0.05),
    "motorcycle": AgentType("vehicle.motorcycle", "motorcycle", 0.80, 2.10, 1.50, 0.35, accel=2.8, share=0.07),
    "bicycle": AgentType("vehicle.bicycle", "bicycle", 0.60, 1.80, 1.70, 0.35, top_speed=4.5, accel=1.0),
    "excavator": AgentType("vehicle.construction", "truck", 2.30, 6.00, 3.00, 1.60, top_speed=2.2, accel=0.8),
}

PEOPLE = {
    "adult": AgentType("human.pedestrian.adult", "pedestrian", 0.65, 0.70, 1.75, top_speed=1.4, share=0.88),
    "child": AgentType("human.pedestrian.child", "pedestrian", 0.50, 0.50, 1.25, top_speed=1.2, share=0.12),
}


@dataclass(frozen=True)
class Blocker:
    """A vehicle that blocks a one-lane street: it stands at `position` (meters), or drives slowly if that is None."""

    edge: str
    agent_type: str
    position: float | None


@dataclass(frozen=True)
class Demand:
    """The traffic of one scene. xml: SUMO's route file; types: the type of every vehicle and person in it, by id."""

    xml: str
    types: dict[str, AgentType]
    blockers: tuple[Blocker, ...]


def make_demand(
    rng: np.random.Generator,
    vehicles: int,
    bicycles: int,
    people: int,
    blockers: tuple[Blocker, ...] = (),
    closed: frozenset[str] = frozenset(),
) -> Demand:
    """Draw the traffic of one scene: numbers of vehicles, bicycles and people.

    Each blocker gets six additional cars whose routes lead from the edges before it past it. closed: edges without
    vehicles.
    """
    types: dict[str, AgentType] = {}
    lines = [_vehicle_type(name, agent_type) for name, agent_type in (FLEET | PEOPLE).items()]
    for i, blocker in enumerate(blockers):
        lines.append(_blocker(f"{BLOCKER}{i}", blocker, rng))
        types[f"{BLOCKER}{i}"] = FLEET[blocker.agent_type]
        for j in range(6):
            before = str(rng.choice(_before(blocker.edge)))
            route = [before, *_walk(blocker.edge, "passenger", rng, closed)]
            lines.append(_vehicle(f"visitor{i}_{j}", EGO_TYPE, route, 'departPos="random_free"'))
            types[f"visitor{i}_{j}"] = FLEET[EGO_TYPE]
    taken = closed | {blocker.edge for blocker in blockers}
    starts = [edge.getID() for edge in road_network.streets() if edge.getID() not in taken]
    for i in range(vehicles):
        name = _draw(FLEET, rng)
        route = _walk(str(rng.choice(starts)), FLEET[name].sumo_class, rng, closed)
        lines.append(_vehicle(f"vehicle{i}", name, route, 'departPos="random_free"'))
        types[f"vehicle{i}"] = FLEET[name]
    for i in range(bicycles):
        route = _walk(str(rng.choice(sorted(_ways("bicycle")))), "bicycle", rng, closed)
        lines.append(_vehicle(f"bicycle{i}", "bicycle", route, 'departPos="random_free"'))
        types[f"bicycle{i}"] = FLEET["bicycle"]
    for i in range(people):
        name = _draw(PEOPLE, rng)
        lines.append(_person(f"person{i}", name, rng))
        types[f"person{i}"] = PEOPLE[name]
    return Demand("<routes>\n" + "\n".join(lines) + "\n</routes>\n", types, blockers)


def one_lane_streets() -> list[str]:
    """Ids of the edges with a single lane for cars, where overtaking needs the opposite lane."""
    return [edge.getID() for edge in road_network.streets() if len(road_network.car_lanes(edge)) == 1]


def _draw(table: dict[str, AgentType], rng: np.random.Generator) -> str:
    names = [name for name, agent_type in table.items() if agent_type.share > 0]
    shares = np.array([table[name].share for name in names])
    return str(rng.choice(names, p=shares / shares.sum()))


@lru_cache(maxsize=4)
def _ways(kind: str) -> dict[str, tuple[tuple[str, float], ...]]:
    """Edge id to ((next edge id, weight), ...) for a vehicle class; edges it cannot use are left out."""
    ways: dict[str, dict[str, float]] = {}
    for edge in road_network.streets():
        for lane in edge.getLanes():
            if not lane.allows(kind):
                continue
            options = ways.setdefault(edge.getID(), {})
            for link in lane.getOutgoing():
                if link.getToLane().allows(kind) and not link.getTo().isSpecial():
                    options[link.getTo().getID()] = STRAIGHT_WEIGHT if link.getDirection() == "s" else 1.0
    return {edge: tuple(sorted(options.items())) for edge, options in ways.items()}


def _before(edge: str) -> list[str]:
    """Edges from which cars can drive into `edge`."""
    return [start for start, options in sorted(_ways("passenger").items()) if edge in dict(options)]


def _walk(start: str, kind: str, rng: np.random.Generator, closed: frozenset[str]) -> list[str]:
    """A random walk of ROUTE_EDGES edges from `start` that never enters the edges `closed`."""
    kind = "bicycle" if kind == "bicycle" else "passenger"
    route = [start]
    while len(route) < ROUTE_EDGES:
        options = [way for way in _ways(kind)[route[-1]] if way[0] not in closed]
        weights = np.array([weight for _, weight in options])
        route.append(options[int(rng.choice(len(options), p=weights / weights.sum()))][0])
    return route


@lru_cache(maxsize=64)
def _edges_at(junction: str) -> tuple[str, ...]:
    """Ids of the edges that end or start at a junction."""
    node = road_network.read_net().getNode(junction)
    return tuple(sorted({e.getID() for e in (*node.getIncoming(), *node.getOutgoing()) if not e.isSpecial()}))


def _vehicle_type(name: str, agent_type: AgentType) -> str:
    box = f'length="{agent_type.length}" width="{agent_type.width}" height="{agent_type.height}"'
    size = f'vClass="{agent_type.sumo_class}" {box}'
    if agent_type.sumo_class == "pedestrian":
        return f'<vType id="{name}" {size} maxSpeed="{agent_type.top_speed}" minGap="0.4"/>'
    motion = (
        f'accel="{agent_type.accel}" decel="{agent_type.decel}" emergencyDecel="8.0" sigma="0" tau="1.2" minGap="2.2"'
    )
    manners = 'speedFactor="normc(0.97,0.06,0.85,1.1)" jmStoplineGap="0.8" lcStrategic="1.5"'
    return f'<vType id="{name}" {size} maxSpeed="{agent_type.top_speed}" {motion} {manners}/>'


def _vehicle(name: str, agent_type: str, route: list[str], placing: str, stop: str = "") -> str:
    head = f'<vehicle id="{name}" type="{agent_type}" depart="0" departLane="best" departSpeed="0" {placing}>'
    return f'{head}<route edges="{" ".join(route)}"/>{stop}</vehicle>'


def _blocker(name: str, blocker: Blocker, rng: np.random.Generator) -> str:
    route = _walk(blocker.edge, "truck", rng, frozenset())
    if blocker.position is None:
        return _vehicle(name, blocker.agent_type, route, 'departPos="40"')
    edge = road_network.read_net().getEdge(blocker.edge)
    lane = road_network.car_lanes(edge)[0].getID()
    end = blocker.position
    stop = f'<stop lane="{lane}" startPos="{end - 2:.2f}" endPos="{end:.2f}" duration="10000"/>'
    return _vehicle(name, blocker.agent_type, route, f'departPos="{end:.2f}"', stop)


def _person(name: str, agent_type: str, rng: np.random.Generator) -> str:
    """A person who starts within 60 m of a junction, walks to it and on along another of its streets."""
    first = road_network.streets()[int(rng.integers(len(road_network.streets())))]
    others = [edge for edge in _edges_at(first.getToNode().getID()) if edge != first.getID()]
    second = others[int(rng.integers(len(others)))]
    position = max(first.getLength() - rng.uniform(2.0, 60.0), 1.0)
    walk = f'<walk edges="{first.getID()} {second}"/>'
    return f'<person id="{name}" type="{agent_type}" depart="0" departPos="{position:.2f}">{walk}</person>'
