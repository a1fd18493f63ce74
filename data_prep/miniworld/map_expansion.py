"""The town as a nuScenes map expansion (schema 1.3) and as the semantic prior mask of the `map` table.

The devkit's `NuScenesMap` opens only four map names, `BitMap` only four mask files, so the town has one of those names:
**boston-seaport**, where traffic keeps to the right as in the town (readers flip the sign of the steering angle for the
Singapore maps). The coordinates are the meters of the town.

Lane center lines become `arcline_path_3` records of straight pieces (`LSL` paths without arcs) that reproduce the
polylines exactly. Layers that the town does not have (carpark_area) are empty lists.
"""

import math

import cv2
import numpy as np
from shapely import get_parts
from shapely.geometry import LineString, Point, Polygon
from shapely.ops import unary_union

from data_prep.miniworld.nuscenes_tables import token
from data_prep.miniworld.world.state import Polygon as Outline

LOCATION = "boston-seaport"
MASK_FILE = "maps/36092f0b03a857c6a3403e25b4b7aab3.png"  # the name BitMap looks for
MASK_SCALE = 10  # pixels a meter; the devkit assumes 0.1 m
LAMP_HEIGHT = 3.2  # m, middle of a signal head


class _Layers:
    """The layers of the map; each record gets a token from its name."""

    def __init__(self):
        names = ("polygon", "line", "node", "drivable_area", "road_segment", "road_block", "lane", "ped_crossing")
        names += ("walkway", "stop_line", "carpark_area", "road_divider", "lane_divider", "traffic_light")
        self.places = {}
        self.content = {name: [] for name in (*names, "lane_connector")}

    def nodes(self, points):
        """Tokens of the nodes at points [n, 2]; records that share a point share its node, as in nuScenes."""
        tokens = []
        for x, y in np.asarray(points, float).tolist():
            if (x, y) not in self.places:
                self.places[x, y] = token("node", x, y)
                self.content["node"].append({"token": self.places[x, y], "x": x, "y": y})
            tokens.append(self.places[x, y])
        return tokens

    def polygon(self, outline, *name):
        """Adds a `world.state.Polygon` under `name`; returns its token."""
        holes = [{"node_tokens": self.nodes(hole)} for hole in outline.holes]
        record = {"exterior_node_tokens": self.nodes(outline.exterior), "holes": holes}
        self.content["polygon"].append({"token": token("polygon", *name), **record})
        return token("polygon", *name)

    def line(self, points, *name):
        """Adds a polyline [n, 2] under `name`; returns its token."""
        record = {"token": token("line", *name), "node_tokens": self.nodes(points)}
        self.content["line"].append(record)
        return record["token"]

    def last_nodes(self):
        return self.content["line"][-1]["node_tokens"]

    def add(self, layer, name, **fields):
        self.content[layer].append({"token": token(layer, name), **fields})


def expansion(town):
    """The town as the content of `maps/expansion/<location>.json`: a dict of the schema's layers."""
    layers = _Layers()
    _areas(layers, town)
    dividers = _dividers(layers, town)
    for lane in town.lanes.values():
        _lane(layers, lane, dividers)
    _road_blocks(layers, town)
    _signals(layers, town)
    incoming = {key: [] for key in town.lanes}
    for lane in town.lanes.values():
        for successor in lane.successors:
            incoming[successor].append(lane.id)
    return {
        "version": "1.3",
        **layers.content,
        "arcline_path_3": {token("lane", lane.id): _arclines(lane.centerline) for lane in town.lanes.values()},
        "connectivity": {
            token("lane", lane.id): {
                "incoming": [token("lane", other) for other in incoming[lane.id]],
                "outgoing": [token("lane", other) for other in lane.successors],
            }
            for lane in town.lanes.values()
        },
        "canvas_edge": [float(town.size[0]), float(town.size[1])],
    }


def _areas(layers, town):
    area = [layers.polygon(outline, "drivable_area", i) for i, outline in enumerate(town.drivable)]
    layers.add("drivable_area", 0, polygon_tokens=area)
    for key, outline, is_intersection in town.road_segments:
        layers.add(
            "road_segment",
            key,
            polygon_token=layers.polygon(outline, "road_segment", key),
            is_intersection=is_intersection,
            drivable_area_token=token("drivable_area", 0),
        )
    for i, (outline, road) in enumerate(town.crossings):
        polygon = layers.polygon(outline, "ped_crossing", i)
        layers.add("ped_crossing", i, polygon_token=polygon, road_segment_token=token("road_segment", road))
    for i, outline in enumerate(town.walkways):
        layers.add("walkway", i, polygon_token=layers.polygon(outline, "walkway", i))


def _dividers(layers, town):
    """Adds both divider layers; returns [(line, node tokens, segment type)] for the lanes' lists of dividers."""
    segments = [(key, Polygon(outline.exterior)) for key, outline, _ in town.road_segments]
    found = []
    for i, points in enumerate(town.road_dividers):
        middle = LineString(points).interpolate(0.5, normalized=True)
        key = min(segments, key=lambda segment: segment[1].distance(middle))[0]
        line = layers.line(points, "road_divider", i)
        found.append((LineString(points), layers.last_nodes(), "SINGLE_SOLID_YELLOW"))
        layers.add("road_divider", i, line_token=line, road_segment_token=token("road_segment", key))
    for i, points in enumerate(town.lane_dividers):
        line = layers.line(points, "lane_divider", i)
        nodes, kind = layers.last_nodes(), "DOUBLE_DASHED_WHITE"
        found.append((LineString(points), nodes, kind))
        parts = [{"node_token": node, "segment_type": kind} for node in nodes]
        layers.add("lane_divider", i, line_token=line, lane_divider_segments=parts)
    return found


def _lane(layers, lane, dividers):
    polygon = layers.polygon(lane.polygon, "lane", lane.id)
    if lane.is_connector:
        layers.content["lane_connector"].append({"token": token("lane", lane.id), "polygon_token": polygon})
        return
    middle = LineString(lane.centerline)
    borders = {"left": middle.offset_curve(lane.width / 2), "right": middle.offset_curve(-lane.width / 2)}
    layers.add(
        "lane",
        lane.id,
        polygon_token=polygon,
        lane_type="CAR",
        from_edge_line_token=layers.line(_across([lane], 0), "lane", lane.id, "from"),
        to_edge_line_token=layers.line(_across([lane], -1), "lane", lane.id, "to"),
        **{f"{side}_lane_divider_segments": _along(border, dividers) for side, border in borders.items()},
    )


def _along(border, dividers):
    """The segments of the divider along a lane's border; [] at a curb."""
    for line, nodes, kind in dividers:
        middle = line.interpolate(0.5, normalized=True)
        if border.distance(middle) < 0.4 and line.distance(border.interpolate(0.5, normalized=True)) < 0.4:
            return [{"node_token": node, "segment_type": kind} for node in nodes]
    return []


def _road_blocks(layers, town):
    """Adds the road blocks: the area of all lanes of one direction of a road between two junctions."""
    groups = {}
    for lane in town.lanes.values():
        if not lane.is_connector:
            groups.setdefault(lane.road, []).append(lane)
    for road, lanes in groups.items():
        area = unary_union([Polygon(lane.polygon.exterior).buffer(0.05, join_style="mitre") for lane in lanes])
        outline = Outline(np.asarray(max(get_parts(area), key=lambda part: part.area).exterior.coords)[:-1])
        layers.add(
            "road_block",
            road,
            polygon_token=layers.polygon(outline, "road_block", road),
            from_edge_line_token=layers.line(_across(lanes, 0), "road_block", road, "from"),
            to_edge_line_token=layers.line(_across(lanes, -1), "road_block", road, "to"),
            road_segment_token=token("road_segment", road),
        )


def _across(lanes, place):
    """The line [2, 2], left to right, across the start (place 0) or end (place -1) of lanes side by side."""
    line = lanes[0].centerline
    ahead = line[1] - line[0] if place == 0 else line[-1] - line[-2]
    left = np.array([-ahead[1], ahead[0]]) / np.hypot(*ahead)
    borders = np.array([lane.centerline[place] + sign * left * lane.width / 2 for lane in lanes for sign in (1, -1)])
    order = np.argsort(borders @ left)
    return borders[order[[-1, 0]]]


def _signals(layers, town):
    """Adds stop lines and the traffic lights that control them, with the road block of both."""
    ends = [(lane.road, Point(lane.centerline[-1])) for lane in town.lanes.values() if not lane.is_connector]
    block_of_signal = {}
    for i, (outline, signals) in enumerate(town.stop_lines):
        area = Polygon(outline.exterior)
        block = token("road_block", min(ends, key=lambda end: area.distance(end[1]))[0])
        block_of_signal.update(dict.fromkeys(signals, block))
        layers.add(
            "stop_line",
            i,
            polygon_token=layers.polygon(outline, "stop_line", i),
            stop_line_type="TRAFFIC_LIGHT" if signals else "YIELD",
            ped_crossing_tokens=[],
            traffic_light_tokens=[token("traffic_light", key) for key in signals],
            road_block_token=block,
        )
    for signal in town.signals:
        facing = signal.yaw + math.pi  # towards the traffic it controls
        step = 0.3 * np.array([math.cos(facing), math.sin(facing)])
        points = [(signal.x, signal.y), (signal.x + step[0], signal.y + step[1])]
        layers.add(
            "traffic_light",
            signal.id,
            line_token=layers.line(points, "traffic_light", signal.id),
            traffic_light_type="VERTICAL",
            from_road_block_token=block_of_signal[signal.id],
            items=[_lamp(color, height) for color, height in (("RED", 0.6), ("YELLOW", 0.3), ("GREEN", 0.0))],
            pose=_pose(signal.x, signal.y, LAMP_HEIGHT, facing),
        )


def _lamp(color, height):
    return {"color": color, "shape": "CIRCLE", "rel_pos": _pose(0.0, 0.0, height, 0.0), "to_road_block_tokens": []}


def _pose(x, y, z, yaw):
    turn = math.remainder(yaw, 2 * math.pi)
    return {"tx": round(x, 4), "ty": round(y, 4), "tz": z, "rx": 0.0, "ry": 0.0, "rz": round(turn, 6)}


def _arclines(points):
    """A polyline [n, 2] as arcline paths: one straight `LSL` path for each piece longer than a millimeter."""
    paths = []
    for (x0, y0), (x1, y1) in zip(points[:-1].tolist(), points[1:].tolist(), strict=True):
        length, yaw = math.hypot(x1 - x0, y1 - y0), math.atan2(y1 - y0, x1 - x0)
        if length > 1e-3:
            pieces = {"shape": "LSL", "radius": 999.999, "segment_length": [0.0, length, 0.0]}
            paths.append({"start_pose": [x0, y0, yaw], "end_pose": [x1, y1, yaw], **pieces})
    return paths


def semantic_prior(town):
    """Drivable area and walkways as the mask of the `map` table: uint8, 255 inside, north up, 0.1 m per pixel."""
    width, height = (math.ceil(side * MASK_SCALE) for side in town.size)
    image = np.zeros((height, width), np.uint8)
    for outline in (*town.walkways, *town.drivable):
        rings = [outline.exterior, *outline.holes]
        pixels = [
            np.round([0, height] + np.asarray(ring) * [MASK_SCALE, -MASK_SCALE]).astype(np.int32) for ring in rings
        ]
        cv2.fillPoly(image, pixels, 255)  # even-odd: the holes of one call stay open
    return image
