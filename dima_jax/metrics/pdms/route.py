"""Which lanes the recorded ego took ("GT-route"): nuScenes has no routes.

The recorded drive of a whole scene is matched to the centerlines of lanes and lane connectors: of all chains of lanes the
one that stays nearest to the drive and follows the map's connections. After the last lane the route goes straight on.
Global coordinates, meters, radians.
"""

import itertools
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import shapely
from jaxtyping import Float, Int

from dima_jax.categories import AREA_LAYERS
from dima_jax.metrics.pdms import areas
from dima_jax.scoring.frames import Same
from dima_jax.scoring.recorded import Truth

SPACING = 2.0  # meters between matched points of a drive
FARTHEST, MOST_TURNED = 4.0, np.pi / 3  # of a drive's point from a centerline that it may be on
NEAR, ALIGNED = 1.0, 0.3  # meters and radians that cost 1
BACKWARD, JUMP, HOPS = 3.0, 8.0, (0.0, 0.1, 0.3, 0.5)  # costs: against the lane, to another, to what follows in 1 to 3
BEHIND, AHEAD = 20.0, 100.0  # meters of the route around the ego that a frame sees


class Lanes(NamedTuple):
    """The centerlines of a place. numbers: of the truth's centers; by position: lines, their lanes' rows, what follows."""

    numbers: Int[np.ndarray, " K"]
    lines: list[shapely.LineString]
    rows: list[int]
    after: list[list[int]]
    tree: shapely.STRtree


class Piece(NamedTuple):
    """A part of a lane: from `begin` to `end` meters along its centerline."""

    lane: int
    begin: float
    end: float


class Route(NamedTuple):
    """What a frame sees of its route. line: the centerline; lanes: rows of the areas in which driving on is legal."""

    line: shapely.LineString
    lanes: frozenset[int]


class _Drive(NamedTuple):
    pieces: list[Piece]
    start: list[float]  # of each piece along the route
    at: dict[int, float]  # {frame: meters along the route}


def route(truth: Truth, index: int, center_ahead: float) -> Route | None:
    """Of one frame; None where no centerline is near the recorded drive. center_ahead: from rear axle to box center."""
    cached = Same(truth.ring_vertices, truth)
    lanes = _lanes(cached, int(truth.location[index]))
    drive = _driven(Same(truth.ego2global, truth), cached, int(truth.scene[index]), center_ahead)
    if index not in drive.at:
        return None
    low, high = drive.at[index] - BEHIND, drive.at[index] + AHEAD
    points, rows = [], []
    for piece, start in zip(drive.pieces, drive.start, strict=True):
        end = start + piece.end - piece.begin
        if start <= high and end >= low:
            begin, stop = (piece.begin + max(low - start, 0), piece.end - max(end - high, 0))
            points.append(_part(lanes.lines[piece.lane], begin, stop))
            rows.append(piece.lane)
    line = np.concatenate(points)
    end = drive.start[-1] + drive.pieces[-1].end - drive.pieces[-1].begin
    if end < high:  # the map ends: straight on
        ahead = line[-1] - line[-2]
        line = np.concatenate([line, line[-1:] + (high - end) * ahead / np.linalg.norm(ahead)])
    kept = np.concatenate([[True], np.linalg.norm(np.diff(line, axis=0), axis=1) > 1e-6])
    return Route(shapely.LineString(line[kept]), _beside(cached, int(truth.location[index]), frozenset(rows)))


def _part(line: shapely.LineString, begin: float, end: float) -> Float[np.ndarray, "n 2"]:
    """At least two points, however short the part is."""
    xy = shapely.get_coordinates(line)
    along = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(xy, axis=0), axis=1))])
    begin = min(begin, along[-1] - 1e-3)
    end = max(end, begin + 1e-3)
    at = np.concatenate([[begin], along[(along > begin) & (along < end)], [end]])
    return np.stack([np.interp(at, along, column) for column in xy.T], axis=1)


@lru_cache(maxsize=16)
def _lanes(areas: Same, place: int) -> Lanes:
    truth = areas.truth
    numbers = np.flatnonzero(truth.area_location[truth.center_lane] == place)
    position = {int(number): i for i, number in enumerate(numbers)}
    lines = [shapely.LineString(truth.center_vertices[slice(*truth.center_start[n : n + 2])]) for n in numbers]
    after = [
        [position[int(m)] for m in truth.center_successors[slice(*truth.center_successor_start[n : n + 2])]]
        for n in numbers
    ]
    return Lanes(numbers, lines, truth.center_lane[numbers].tolist(), after, shapely.STRtree(lines))


@lru_cache(maxsize=256)
def _beside(cached: Same, place: int, taken: frozenset[int]) -> frozenset[int]:
    """Rows of the lanes taken, of those beside them in the same road block, and of connectors between any of these."""
    lanes, blocks = _lanes(cached, place), _blocks(cached, place)
    here = {blocks[lane] for lane in taken} - {-1}
    legal = set(taken) | {lane for lane, block in enumerate(blocks) if block in here}
    before: dict[int, list[int]] = {}
    for lane, following in enumerate(lanes.after):
        for one in following:
            before.setdefault(one, []).append(lane)
    between = {
        lane
        for lane, following in enumerate(lanes.after)
        if legal.intersection(following) and legal.intersection(before.get(lane, ()))
    }
    return frozenset(lanes.rows[lane] for lane in legal | between)


@lru_cache(maxsize=16)
def _blocks(cached: Same, place: int) -> list[int]:
    """The road block (row of the area) that the middle of each lane lies in, -1 for a connector and where there is none."""
    truth, lanes = cached.truth, _lanes(cached, place)
    found = areas.read(truth, place)
    blocks = np.flatnonzero(found.layer == AREA_LAYERS.index("road_block"))
    tree = shapely.STRtree([found.shapes[i] for i in blocks])
    is_lane = truth.area_layer[lanes.rows] == AREA_LAYERS.index("lane")
    result = [-1] * len(lanes.lines)
    for lane in np.flatnonzero(is_lane):
        inside = tree.query(lanes.lines[lane].interpolate(0.5, normalized=True), predicate="intersects")
        if len(inside):
            result[lane] = int(found.rows[blocks[inside.min()]])
    return result


@lru_cache(maxsize=32)
def _driven(poses: Same, cached: Same, scene: int, center_ahead: float) -> _Drive:
    """The whole scene matched: points every SPACING meters and one at each key frame."""
    truth = poses.truth
    frames = np.flatnonzero(truth.scene == scene)
    lanes = _lanes(cached, int(truth.location[frames[0]]))
    pose = truth.ego2global[frames]
    forward = pose[:, :2, 0]
    xy = pose[:, :2, 3] + center_ahead * forward
    yaw = np.unwrap(np.arctan2(forward[:, 1], forward[:, 0]))
    times = [np.arange(len(frames), dtype=float)]
    for k, length in enumerate(np.linalg.norm(np.diff(xy, axis=0), axis=1)):
        times.append(k + np.arange(1, int(length // SPACING) + 1) / (int(length // SPACING) + 1))
    times = np.sort(np.concatenate(times))
    track = np.stack([np.interp(times, np.arange(len(frames)), one) for one in (*xy.T, yaw)], axis=1)
    chain = _chain(lanes, track)
    return _joined(lanes, chain, {i: int(frames[int(t)]) for i, t in enumerate(times) if t == int(t)})


def _candidates(lanes: Lanes, track: Float[np.ndarray, "n 3"]) -> list[list[tuple[int, float, float]]]:
    """(lane, meters along it, cost) of each centerline that each point may be on."""
    result: list[list[tuple[int, float, float]]] = [[] for _ in track]
    if not lanes.lines or not len(track):
        return result
    points = shapely.points(track[:, :2])
    point, lane = lanes.tree.query(points, predicate="dwithin", distance=FARTHEST)
    lines = np.array(lanes.lines, object)[lane]
    along = shapely.line_locate_point(lines, points[point])
    ends = [shapely.line_interpolate_point(lines, np.maximum(along + shift, 0)) for shift in (-0.5, 0.5)]
    step = shapely.get_coordinates(ends[1]) - shapely.get_coordinates(ends[0])
    turned = np.abs((np.arctan2(step[:, 1], step[:, 0]) - track[point, 2] + np.pi) % (2 * np.pi) - np.pi)
    cost = (shapely.distance(lines, points[point]) / NEAR) ** 2 + (turned / ALIGNED) ** 2
    for i in np.lexsort((lane, point)):
        if turned[i] <= MOST_TURNED:
            result[point[i]].append((int(lane[i]), float(along[i]), float(cost[i])))
    return result


def _chain(lanes: Lanes, track: Float[np.ndarray, "n 3"]) -> list[tuple[int, int, float]]:
    """(point, lane, meters along it) of the cheapest chain; points without a centerline near are left out."""
    layers = [(i, found) for i, found in enumerate(_candidates(lanes, track)) if found]
    if not layers:
        return []
    costs, came = [[cost for _, _, cost in layers[0][1]]], [[-1] * len(layers[0][1])]
    for (_, before), (_, now) in itertools.pairwise(layers):
        steps = [
            min((costs[-1][j] + _step(lanes, a, along_a, b, along_b), j) for j, (a, along_a, _) in enumerate(before))
            for b, along_b, _ in now
        ]
        costs.append([step + cost for (step, _), (_, _, cost) in zip(steps, now, strict=True)])
        came.append([j for _, j in steps])
    place = int(np.argmin(costs[-1]))
    chain = []
    for (i, found), back in zip(reversed(layers), reversed(came), strict=True):
        chain.append((i, *found[place][:2]))
        place = back[place]
    return chain[::-1]


def _step(lanes: Lanes, a: int, along_a: float, b: int, along_b: float) -> float:
    if a == b:
        return HOPS[0] if along_b >= along_a - 1.0 else BACKWARD
    way = _way(lanes, a, b)
    return JUMP if way is None else HOPS[len(way)]


def _way(lanes: Lanes, a: int, b: int) -> list[int] | None:
    """The lanes after a up to b, at most three; None where it takes more."""
    ways = [[one] for one in lanes.after[a]]
    for _ in range(len(HOPS) - 1):
        for way in ways:
            if way[-1] == b:
                return way
        ways = [[*way, one] for way in ways if len(way) < len(HOPS) - 1 for one in lanes.after[way[-1]]]
    return None


def _joined(lanes: Lanes, chain: list[tuple[int, int, float]], frame_of: dict[int, int]) -> _Drive:
    """The chain as one route, with the lanes that it passes over, then straight on for AHEAD meters."""
    if not chain:
        return _Drive([], [], {})
    lengths = [line.length for line in lanes.lines]
    pieces, place = [Piece(chain[0][1], 0.0, lengths[chain[0][1]])], {chain[0][0]: 0}
    for (_, a, along_a), (i, b, along_b) in itertools.pairwise(chain):
        if a != b:
            way = _way(lanes, a, b)
            if way is None:  # a lane change, or a way that the map does not have
                pieces[-1] = pieces[-1]._replace(end=max(along_a, pieces[-1].begin))
                pieces.append(Piece(b, along_b, lengths[b]))
            else:
                pieces += [Piece(one, 0.0, lengths[one]) for one in way]
        place[i] = len(pieces) - 1
    left = AHEAD
    while left > 0 and lanes.after[pieces[-1].lane]:
        following = _straight_on(lanes, pieces[-1].lane)
        pieces.append(Piece(following, 0.0, lengths[following]))
        left -= lengths[following]
    start = np.concatenate([[0.0], np.cumsum([piece.end - piece.begin for piece in pieces])]).tolist()
    along = {i: start[place[i]] + max(at - pieces[place[i]].begin, 0.0) for i, _, at in chain}
    return _Drive(pieces, start[:-1], {frame_of[i]: at for i, at in along.items() if i in frame_of})


def _straight_on(lanes: Lanes, lane: int) -> int:
    """What follows a lane with the least turn from its end to the other's."""

    def turn(one: int) -> float:
        begin, end = (shapely.get_coordinates(lanes.lines[k])[-2:] for k in (lane, one))
        a, b = (np.arctan2(*(line[1] - line[0])[::-1]) for line in (begin, end))
        return abs((b - a + np.pi) % (2 * np.pi) - np.pi)

    return min(lanes.after[lane], key=turn)
