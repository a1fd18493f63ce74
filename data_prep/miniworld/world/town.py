"""The static town: every map layer of nuScenes, derived from SUMO's compiled road network.

| layer | comes from |
|---|---|
| lanes | lanes open to cars, center line buffered by half the width; connectors through junctions |
| road segments | union of an edge's carriageway lanes (bicycle lane and parking strip included); junction areas |
| dividers | left borders: of the leftmost lane (between directions), of the other lanes (between lanes) |
| crossings, walkways | SUMO's crossings; sidewalks and walking areas |
| stop lines, signals | the end of each approach; two heads per approach, at the line and beyond the junction |
| buildings | `buildings.py` |

World frame: meters, x east, y north, everything inside [0, size].
"""

from functools import lru_cache

import numpy as np
import shapely
import shapely.ops
import sumolib
from shapely.geometry import LineString

from data_prep.miniworld.world import road_network
from data_prep.miniworld.world.buildings import place_buildings
from data_prep.miniworld.world.state import Lane, Polygon, Signal, Town

MARGIN = 36.0  # meters around the outermost street
SEAM = 0.05  # meters; closes the cracks between neighboring lanes
SPUR = 0.3  # meters; removes thin spurs between two walkways
WEDGE = 1.0  # meters; closes the wedges between a junction and a street that meets it at an angle
STOP_LINE_DEPTH = 0.5  # meters along the road


@lru_cache(maxsize=1)
def load_town() -> Town:
    """The town with all its layers; the same object at every call."""
    streets = road_network.streets()
    junctions = sorted(road_network.read_net().getNodes(), key=lambda n: n.getID())
    walking, sidewalk_lines = _walkways(streets)
    walkways = shapely.union_all(walking)
    segments = _road_segments(streets, junctions, walkways)
    drivable = _close(_close(shapely.union_all([area for _, area, _ in segments])), -SPUR)
    x_max, y_max = drivable.bounds[2:]
    size = (float(np.ceil(x_max + MARGIN)), float(np.ceil(y_max + MARGIN)))
    signals, stop_lines = _signals(streets, drivable)
    return Town(
        size=size,
        lanes=_lanes(streets),
        road_segments=tuple((i, _polygons(area)[0], junction) for i, area, junction in segments),
        road_dividers=tuple(
            _left_border(road_network.car_lanes(e)[-1]) for e in streets if e.getFromNode().getID() < _to(e)
        ),
        lane_dividers=tuple(_left_border(lane) for e in streets for lane in e.getLanes()[:-1] if not _is_walk(lane)),
        crossings=_crossings(),
        walkways=tuple(p for area in walking for p in _polygons(area)),
        drivable=tuple(_polygons(drivable, crumb=20.0)),  # drops the slivers behind the walkways at corners
        stop_lines=stop_lines,
        signals=signals,
        buildings=place_buildings(sidewalk_lines, shapely.union_all([drivable, walkways]), size),
    )


def _to(edge: sumolib.net.edge.Edge) -> str:
    return edge.getToNode().getID()


def _is_walk(lane: sumolib.net.lane.Lane) -> bool:
    return lane.allows("pedestrian")


def _strip(lane: sumolib.net.lane.Lane) -> shapely.Polygon:
    """The ground a lane covers."""
    return LineString(road_network.polyline(lane.getShape())).buffer(
        lane.getWidth() / 2, cap_style="flat", join_style="mitre"
    )


def _left_border(lane: sumolib.net.lane.Lane) -> np.ndarray:
    """The lane's left edge [n, 2], in driving direction."""
    line = LineString(road_network.polyline(lane.getShape()))
    return np.asarray(line.offset_curve(lane.getWidth() / 2, join_style="mitre").coords)


def _close(area: shapely.Geometry, reach: float = SEAM) -> shapely.Geometry:
    """Morphological closing: cracks narrower than twice `reach` meters are filled; negative: opening, spurs removed."""
    return area.buffer(reach, join_style="mitre").buffer(-reach, join_style="mitre")


def _polygons(area: shapely.Geometry, crumb: float = 1.0) -> list[Polygon]:
    """The `Polygon`s of a shapely area, the largest first; pieces below `crumb` square meters are dropped."""
    parts = [p for p in shapely.get_parts(shapely.make_valid(area)) if p.geom_type == "Polygon" and p.area > crumb]
    parts.sort(key=lambda p: -p.area)
    return [
        Polygon(np.asarray(p.exterior.coords)[:-1], tuple(np.asarray(h.coords)[:-1] for h in p.interiors))
        for p in parts
    ]


def _walkways(streets: tuple[sumolib.net.edge.Edge, ...]) -> tuple[list[shapely.Geometry], list[LineString]]:
    """Sidewalks and walking areas, and the sidewalks' center lines."""
    lanes = [lane for e in streets for lane in e.getLanes() if _is_walk(lane)]
    corners = [e.getLane(0) for e in road_network.read_net().getEdges() if e.getFunction() == "walkingarea"]
    areas = [shapely.make_valid(shapely.Polygon(lane.getShape())) for lane in corners if len(lane.getShape()) > 2]
    return [_strip(lane) for lane in lanes] + areas, [
        LineString(road_network.polyline(lane.getShape())) for lane in lanes
    ]


def _crossings() -> tuple[tuple[Polygon, str], ...]:
    """Zebra crossings, each with the id of its junction."""
    edges = sorted(
        (e for e in road_network.read_net().getEdges() if e.getFunction() == "crossing"), key=lambda e: e.getID()
    )
    return tuple((_polygons(_strip(e.getLane(0)))[0], e.getID()[1:].rsplit("_", 1)[0]) for e in edges)


def _road_segments(
    streets: tuple[sumolib.net.edge.Edge, ...], junctions: list[sumolib.net.node.Node], walkways: shapely.Geometry
) -> list[tuple[str, shapely.Geometry, bool]]:
    """(edge or junction id, road area, whether it is a junction).

    SUMO's junction outlines include the corners where people walk, so the walkways are subtracted.
    """
    roads = [
        (e.getID(), _close(shapely.union_all([_strip(lane) for lane in e.getLanes() if not _is_walk(lane)])), False)
        for e in streets
    ]
    crossing = shapely.union_all(
        [_strip(e.getLane(0)) for e in road_network.read_net().getEdges() if e.getFunction() == "crossing"]
    )
    cut = walkways.difference(crossing)
    carriageway = shapely.union_all([area for _, area, _ in roads])
    for junction in junctions:
        ground = shapely.make_valid(shapely.Polygon(junction.getShape()))
        near = ground.buffer(5.0)
        joined = _close(shapely.union(ground, carriageway.intersection(near)), WEDGE).intersection(near)
        roads.append((junction.getID(), joined.difference(shapely.union(carriageway, cut)).buffer(0), True))
    return roads


def _lanes(streets: tuple[sumolib.net.edge.Edge, ...]) -> dict[str, Lane]:
    """Lanes and the connectors between them; SUMO splits some connectors in two, here each is one lane."""
    lanes: dict[str, Lane] = {}
    for edge in streets:
        for lane in road_network.car_lanes(edge):
            links = [link for link in lane.getOutgoing() if link.getToLane().allows("passenger")]
            links = [link for link in links if not link.getToLane().getEdge().isSpecial()]
            for link in links:
                lanes[link.getViaLaneID()] = _connector(link)
            vias = tuple(link.getViaLaneID() for link in links)
            lanes[lane.getID()] = _lane(lane, vias)
    return dict(sorted(lanes.items()))


def _lane(lane: sumolib.net.lane.Lane, successors: tuple[str, ...]) -> Lane:
    centerline = road_network.polyline(lane.getShape())
    area = _polygons(_strip(lane))[0]
    return Lane(
        lane.getID(), centerline, lane.getWidth(), area, successors, False, lane.getEdge().getID(), lane.getSpeed()
    )


def _connector(link: sumolib.net.connection.Connection) -> Lane:
    """The lane through a junction, from the end of one lane to the start of the next."""
    pieces, via = [], link.getViaLaneID()
    while via:
        piece = road_network.read_net().getLane(via)
        pieces.append(road_network.polyline(piece.getShape()))
        via = piece.getOutgoing()[0].getViaLaneID()
    start, end = (
        road_network.polyline(link.getFromLane().getShape())[-1],
        road_network.polyline(link.getToLane().getShape())[0],
    )
    centerline = road_network.polyline([start, *np.concatenate(pieces), end])
    width, first = link.getToLane().getWidth(), road_network.read_net().getLane(link.getViaLaneID())
    area = LineString(centerline).buffer(width / 2, cap_style="flat")
    junction = link.getJunction().getID()
    successors = (link.getToLane().getID(),)
    return Lane(first.getID(), centerline, width, _polygons(area)[0], successors, True, junction, first.getSpeed())


def _signals(
    streets: tuple[sumolib.net.edge.Edge, ...], drivable: shapely.Geometry
) -> tuple[tuple[Signal, ...], tuple[tuple[Polygon, tuple[str, ...]], ...]]:
    """Signal heads at the right curb, at the stop line and beyond the junction; and the stop line of each approach."""
    signals, stop_lines = [], []
    for edge in streets:
        rightmost, leftmost = road_network.car_lanes(edge)[0], road_network.car_lanes(edge)[-1]
        end, ahead = _end(rightmost)
        right = np.array([ahead[1], -ahead[0]])
        near_side = end + right * rightmost.getWidth() / 2
        far_side = _end(leftmost)[0] - right * leftmost.getWidth() / 2
        back = ahead * STOP_LINE_DEPTH
        line = Polygon(np.array([far_side - back, near_side - back, near_side, far_side]))
        heads: tuple[str, ...] = ()
        if edge.getID() in road_network.signal_links():
            yaw = float(np.arctan2(ahead[1], ahead[0]))
            reach = float(np.hypot(*np.ptp(np.asarray(edge.getToNode().getShape())[:, :2], axis=0)))
            near = _off_road(near_side, right, drivable, 12.0)
            beyond = _last_on_road(near_side, ahead, edge.getToNode(), reach)
            far = _off_road(beyond, right, drivable, 12.0)
            heads = (f"{edge.getID()}.near", f"{edge.getID()}.far")
            signals += [Signal(i, float(p[0]), float(p[1]), yaw, "r") for i, p in zip(heads, (near, far), strict=True)]
        stop_lines.append((line, heads))
    return tuple(signals), tuple(stop_lines)


def _end(lane: sumolib.net.lane.Lane) -> tuple[np.ndarray, np.ndarray]:
    """Last point of a lane and the unit direction there."""
    points = road_network.polyline(lane.getShape())
    step = points[-1] - points[-2]
    return points[-1], step / np.hypot(*step)


def _last_on_road(start: np.ndarray, ahead: np.ndarray, junction: sumolib.net.node.Node, reach: float) -> np.ndarray:
    """Where the ray from `start` leaves the junction."""
    ray = LineString([start, start + ahead * reach])
    inside = ray.intersection(shapely.make_valid(shapely.Polygon(junction.getShape())))
    distance = max(float(np.dot(np.asarray(p) - start, ahead)) for p in shapely.get_coordinates(inside))
    return start + ahead * (distance + 1.0)


def _off_road(point: np.ndarray, right: np.ndarray, drivable: shapely.Geometry, reach: float) -> np.ndarray:
    """The first place to the right of `point` with 0.6 m to the road. Raises ValueError if there is none in `reach`."""
    for step in np.arange(0.0, reach, 0.2):
        place = point + right * step
        if drivable.distance(shapely.Point(place)) >= 0.6:
            return place
    raise ValueError(f"no curb within {reach} m to the right of {point}")
