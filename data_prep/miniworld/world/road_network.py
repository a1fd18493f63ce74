"""SUMO's road network of the town, read once: streets, lanes, and the connections that each signal head controls.

Only this module and `town.py` handle most of sumolib's objects; the rest of the simulator works with lane ids, edge ids
and numpy polylines.
"""

from functools import lru_cache
from pathlib import Path

import numpy as np
import sumolib

NET_FILE = Path(__file__).parent / "town.net.xml"


@lru_cache(maxsize=1)
def read_net() -> sumolib.net.Net:
    """The compiled network, junction lanes and pedestrian lanes included."""
    return sumolib.net.readNet(str(NET_FILE), withInternal=True, withPedestrianConnections=True)


@lru_cache(maxsize=1)
def streets() -> tuple[sumolib.net.edge.Edge, ...]:
    """The edges between junctions, one for each direction, ordered by id."""
    return tuple(sorted(read_net().getEdges(withInternal=False), key=lambda e: e.getID()))


def car_lanes(edge: sumolib.net.edge.Edge) -> list[sumolib.net.lane.Lane]:
    """The lanes of an edge that cars may use, from right to left."""
    return [lane for lane in edge.getLanes() if lane.allows("passenger")]


def is_parking_strip(lane: sumolib.net.lane.Lane) -> bool:
    """Whether the lane is closed to every moving road user."""
    return not any(lane.allows(kind) for kind in ("passenger", "bicycle", "pedestrian"))


def polyline(shape: list[tuple[float, float]]) -> np.ndarray:
    """A lane's shape as [n, 2], repeated points removed."""
    points = np.asarray(shape, dtype=np.float64)[:, :2]
    keep = np.ones(len(points), dtype=bool)
    keep[1:] = np.hypot(*np.diff(points, axis=0).T) > 1e-3
    return points[keep]


@lru_cache(maxsize=1)
def signal_links() -> dict[str, tuple[str, tuple[int, ...]]]:
    """{edge id: (traffic light id, indices of the edge's car links in the state string of that light)}."""
    links: dict[str, tuple[str, list[int]]] = {}
    for light in read_net().getTrafficLights():
        for in_lane, _, index in light.getConnections():
            if in_lane.allows("passenger"):
                links.setdefault(in_lane.getEdge().getID(), (light.getID(), []))[1].append(index)
    return {edge: (light, tuple(sorted(set(indices)))) for edge, (light, indices) in sorted(links.items())}


def signal_state(light_state: str, links: tuple[int, ...]) -> str:
    """The color of a signal head, "r", "y" or "g", from SUMO's state string of its traffic light."""
    shown = {light_state[i].lower() for i in links}
    return "g" if "g" in shown else "y" if "y" in shown else "r"
