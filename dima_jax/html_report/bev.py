"""A frame from above as a drawing: map, agents, the recorded path and plans as the ego's box at every step.

LiDAR frame of the key frame: x right, y forward, meters. In the drawing a unit is a meter, and forward is up.
"""

from typing import NamedTuple

import numpy as np
import shapely
from jaxtyping import Float
from markupsafe import Markup

from dima_jax.categories import AREA_LAYERS, CLASS_OF_CATEGORY, LIDARSEG_CATEGORIES
from dima_jax.constants import MAP_CLASSES, STEP_SECONDS
from dima_jax.html_report import svg
from dima_jax.html_report.series import Series
from dima_jax.html_report.worst import Hit
from dima_jax.metrics import polygons
from dima_jax.metrics.protocols.paradrive_std import ego_boxes
from dima_jax.scoring.frames import AgentSelection, FrameTruth, brought
from dima_jax.scoring.recorded import Truth

ALL_CATEGORIES = tuple(range(len(LIDARSEG_CATEGORIES)))
NOW = AgentSelection("now", ALL_CATEGORIES, "none")
LATER = AgentSelection("future", ALL_CATEGORIES, "none")
BEHIND, AHEAD, MARGIN = -14.0, 36.0, 6.0  # meters that are always shown; around what is drawn
ASPECT = 0.8  # width by height
RING = 10.0  # meters between circles
RING_LABEL = 0.6  # radians to the left of forward
NOTE = 1.6  # meters between lines of text
SMALL = ("pedestrian", "bicycle", "motorcycle")


class Window(NamedTuple):
    """What is drawn: x in [-half, half], y in [bottom, top]."""

    half: float
    bottom: float
    top: float


class Struck(NamedTuple):
    """An agent that is struck: its box at that moment (x, y, heading, length, width), the name of its kind."""

    hit: Hit
    box: Float[np.ndarray, " 5"] | None
    kind: str


def struck(truth: Truth, index: int, hits: list[Hit]) -> list[Struck]:
    """box: None where the truth cannot tell where the agent is then."""
    frame, found = FrameTruth(truth, index), []
    for hit in hits:
        boxes = _agents(frame, NOW if _is_now(truth, index, hit.agent) else LATER)
        chosen = [] if boxes is None else np.flatnonzero((boxes.rows == hit.agent) & (boxes.step == hit.step))
        box = boxes.boxes[chosen[0]] if len(chosen) else None
        found.append(Struck(hit, box, kind_of(truth, hit.agent)))
    return found


def kind_of(truth: Truth, agent: int) -> str:
    """The detection class, or the last part of nuScenes' category."""
    category = LIDARSEG_CATEGORIES[truth.category[agent]]
    return CLASS_OF_CATEGORY.get(category, category.rpartition(".")[2]).replace("_", " ")


def draw(
    truth: Truth,
    index: int,
    plans: Float[np.ndarray, "P F 3"] | None,
    series: list[Series],
    found: list[Struck],
    title: str,
) -> Markup:
    """The drawing of key frame `index`. plans: of all rows in the LiDAR frame, or None; found: who is struck by whom."""
    recorded = _recorded(truth, index)
    known = {} if plans is None else {one: plans[one.row] for one in series if np.isfinite(plans[one.row]).all()}
    shown = [recorded[:, :2], *(plan[:, :2] for one, plan in known.items() if one.shown)]
    window = _window(np.concatenate([np.zeros((1, 2)), *shown]))
    layers = [
        _map(truth, index, window),
        _rings(window),
        _others(truth, index, window, found),
        _path("recorded", recorded),
        *(_path(f"plan {one.style}", plan, one) for one, plan in reversed(known.items())),
        _ego(),
        *_collisions(found, plans),
        _scale(window),
    ]
    box = (-window.half, -window.top, 2 * window.half, window.top - window.bottom)
    return svg.picture(box, title, *layers, class_="bev")


def _recorded(truth: Truth, index: int) -> Float[np.ndarray, "F 3"]:
    """Known steps of the recorded path, x, y, heading."""
    if truth.path is None:
        return np.zeros((0, 3))
    mask = np.ones(len(truth.path[index]), bool) if truth.path_mask is None else truth.path_mask[index]
    yaw = np.full(len(mask), np.pi / 2) if truth.path_yaw is None else truth.path_yaw[index]
    return np.concatenate([truth.path[index], yaw[:, None]], axis=-1).astype(np.float64)[mask]


def _window(xy: Float[np.ndarray, "n 2"]) -> Window:
    top, bottom = max(AHEAD, xy[:, 1].max() + MARGIN), min(BEHIND, xy[:, 1].min() - MARGIN)
    half = max(ASPECT * (top - bottom) / 2, np.abs(xy[:, 0]).max() + MARGIN)
    grow = max(2 * half / ASPECT - (top - bottom), 0.0)
    return Window(float(half), float(bottom - grow / 2), float(top + grow / 2))


def _flipped(xy: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n 2"]:
    return np.asarray(xy, np.float64) * np.array([1.0, -1.0])


def _polygon(box: Float[np.ndarray, " 5"], class_: str) -> Markup:
    corners = polygons.corners(np.asarray(box, np.float64)[None])[0]
    return svg.element("polygon", points=svg.points(_flipped(corners)), class_=class_)


def _map(truth: Truth, index: int, window: Window) -> Markup:
    parts = [*_drivable(truth, index, window)]
    if truth.line_start is not None:
        for line in range(*truth.line_start[index : index + 2]):
            xy = truth.line_vertices[slice(*truth.line_vertex_start[line : line + 2])]
            name = MAP_CLASSES[truth.line_label[line]].replace("_", "-")
            parts.append(svg.element("polyline", points=svg.points(_flipped(xy)), class_=f"line {name}"))
    return svg.element("g", *parts, class_="map")


def _drivable(truth: Truth, index: int, window: Window) -> list[Markup]:
    """The drivable area, where the truth has it."""
    if truth.area_layer is None or truth.ego2global is None:
        return []
    pose = np.linalg.inv(FrameTruth(truth, index).lidar2global)
    wanted = truth.area_layer == AREA_LAYERS.index("drivable_area")
    parts = []
    for area in np.flatnonzero(wanted & (truth.area_location == truth.location[index])):
        for ring in range(*truth.area_ring_start[area : area + 2]):
            xy = truth.ring_vertices[slice(*truth.ring_vertex_start[ring : ring + 2])] @ pose[:2, :2].T + pose[:2, 3]
            shape = shapely.make_valid(shapely.Polygon(xy))
            clipped = shapely.clip_by_rect(shape, -window.half, window.bottom, window.half, window.top)
            class_ = "hole" if truth.ring_is_hole[ring] else "road"
            for part in shapely.get_parts(clipped):
                outline = shapely.get_coordinates(part.exterior) if part.geom_type == "Polygon" else np.zeros((0, 2))
                if len(outline):
                    parts.append(svg.element("polygon", points=svg.points(_flipped(outline)), class_=class_))
    return parts


def _rings(window: Window) -> Markup:
    """Circles of 10, 20, ... meters around the LiDAR, with their distances beside the road ahead."""
    parts = []
    for radius in np.arange(RING, window.top, RING):
        parts.append(svg.element("circle", cx=0, cy=0, r=svg.number(radius)))
        x, y = -radius * np.sin(RING_LABEL), -radius * np.cos(RING_LABEL)
        if x > 3.0 - window.half:
            parts.append(svg.text(x, y + 0.4, f"{radius:g} m", text_anchor="middle"))
    return svg.element("g", *parts, class_="rings")


def _scale(window: Window) -> Markup:
    left, y = -window.half + 1.5, -window.bottom - 1.5
    parts = [
        svg.line(left, y, left + RING, y),
        svg.line(left, y - 0.5, left, y + 0.5),
        svg.line(left + RING, y - 0.5, left + RING, y + 0.5),
        svg.text(left + RING / 2, y - 0.9, f"{RING:g} m", text_anchor="middle"),
    ]
    return svg.element("g", *parts, class_="scale")


def _is_now(truth: Truth, index: int, agent: int) -> bool:
    return truth.agent_start is not None and truth.agent_start[index] <= agent < truth.agent_start[index + 1]


def _agents(frame: FrameTruth, selection: AgentSelection):
    """`frame.agents`, or None where the truth lacks what it takes."""
    if not frame.has(*selection.needs):
        return None
    try:
        return frame.agents(selection)
    except ValueError:  # key frames of the future that are not there
        return None


def _others(truth: Truth, index: int, window: Window, found: list[Struck]) -> Markup:
    """Agents where they are now, and where they go."""
    if truth.agent_start is None:
        return svg.NOTHING
    first, end = truth.agent_start[index : index + 2].tolist()
    boxes = brought(truth.boxes[first:end], np.broadcast_to(np.eye(4), (end - first, 4, 4)))
    victims = {one.hit.agent for one in found}
    if truth.instance is not None:
        who = {int(truth.instance[agent]) for agent in victims}
        victims |= {row for row in range(first, end) if int(truth.instance[row]) in who}
    parts = []
    for row, box in zip(range(first, end), boxes, strict=True):
        if not (abs(box[0]) < window.half and window.bottom < box[1] < window.top):
            continue
        kind = kind_of(truth, row)
        class_ = (
            "small"
            if kind in SMALL
            else "vehicle"
            if LIDARSEG_CATEGORIES[truth.category[row]][:4] == "vehi"
            else "thing"
        )
        inside = [svg.element("title", kind), _polygon(box, class_)]
        if truth.future_mask is not None and (mask := truth.future_mask[row]).any():
            path = box[:2] + np.cumsum(truth.future_offsets[row].astype(np.float64), axis=0)[mask]
            if np.abs(path - box[:2]).max() > 0.5:
                inside.append(
                    svg.element("polyline", points=svg.points(_flipped(np.vstack([box[:2], path]))), class_="future")
                )
        parts.append(svg.element("g", *inside, class_="agent struck" if row in victims else "agent"))
    return svg.element("g", *parts, class_="agents")


def _path(class_: str, plan: Float[np.ndarray, "F 3"], series: Series | None = None) -> Markup:
    """The ego's box at every step, and a line through the waypoints."""
    if not len(plan):
        return svg.NOTHING
    xy = _flipped(np.vstack([np.zeros((1, 2)), plan[:, :2]]))
    parts = [svg.element("title", series.name)] if series else []
    parts += [_polygon(box, "box") for box in ego_boxes(plan[None])[0]]
    parts.append(svg.element("polyline", points=svg.points(xy), class_="way"))
    parts += [
        svg.element("circle", cx=svg.number(x), cy=svg.number(y), r="0.28", class_="dot") for x, y in xy[1:].tolist()
    ]
    row = series.row if series else None
    return svg.element("g", *parts, class_=f"{class_}{' off' if series and not series.shown else ''}", data_series=row)


def _ego() -> Markup:
    box = ego_boxes(np.array([[[0.0, 0.0, np.pi / 2]]]))[0, 0]
    nose = np.array([[-0.55, 0.9], [0.0, 1.9], [0.55, 0.9]])
    arrow = svg.element("polyline", points=svg.points(_flipped(nose)), class_="nose")
    return svg.element("g", svg.element("title", "ego"), _polygon(box, "body"), arrow, class_="ego")


def _collisions(found: list[Struck], plans: Float[np.ndarray, "P F 3"] | None) -> list[Markup]:
    """Ego and agent at the moment of each collision; what is written beside them does not overlap."""
    groups, taken = [], []
    for one in found:
        parts, place = [], None
        if plans is not None:
            box = ego_boxes(plans[one.hit.planner][None, one.hit.step : one.hit.step + 1])[0, 0]
            parts.append(_polygon(box, "ego-then"))
            place = box[:2]
        if one.box is not None:
            parts.append(_polygon(one.box, "agent-then"))
            place = one.box[:2]
        if place is None:
            continue
        x, y = _flipped(place[None])[0] + np.array([1.6, -1.6])
        while any(abs(y - other) < NOTE for other in taken):
            y -= NOTE / 4
        taken.append(y)
        seconds = STEP_SECONDS * (one.hit.step + 1)
        parts.append(svg.text(x, y, f"{one.kind}, {seconds:g} s", "note"))
        groups.append(svg.element("g", *parts, class_="collision", data_series=one.hit.planner))
    return groups
