"""One picture of one frame: its cameras with boxes and the plan on the road, and the same from above.

    draw_scene("scene.png", images=..., lidar2img=..., plans={"student": waypoints}, ...)

Solid is what the student predicts, thin and pale is what was recorded. Everything is in the LiDAR frame of the frame
(x right, y forward, meters) until it is projected.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import FancyBboxPatch, Patch, Polygon

from dima_jax.camera_lines import EDGES, NEAR, project, to_camera
from dima_jax.constants import AGENT_CLASSES, EGO_CENTER_AHEAD, EGO_LENGTH, EGO_WIDTH, LIDAR_HEIGHT, MAP_CLASSES
from dima_jax.detections import Agents, Lines

LAYOUT = (  # of nuScenes' cameras
    ("CAM_FRONT_LEFT", "CAM_FRONT", "CAM_FRONT_RIGHT"),
    ("CAM_BACK_LEFT", "CAM_BACK", "CAM_BACK_RIGHT"),
)
AGENT_COLORS = dict(
    zip(
        AGENT_CLASSES,
        ["#2f81f7", "#6f5bf0", "#a0702d", "#00a59b", "#9a6ad6", "#7d8590", "#f2792b", "#f0a500", "#ef3f6b", "#b8551a"],
        strict=True,
    )
)
MAP_COLORS = dict(zip(MAP_CLASSES, ("#e3a008", "#c026d3", "#24292f"), strict=True))
PLAN_COLORS = ("#12b76a", "#e8590c", "#1098ad", "#d6336c")  # of the first, second ... plan
RECORDED_COLOR = "#57606a"
PAPER, ROAD, INK = "#ffffff", "#f6f8fa", "#24292f"
SHOWN_SCORE = 0.3  # predictions below are not drawn


def draw_scene(
    path,
    *,
    images: Mapping[str, np.ndarray],
    lidar2img: Mapping[str, np.ndarray],
    plans: Mapping[str, np.ndarray],
    recorded_path: np.ndarray,
    recorded_agents: Agents,
    recorded_lines: Lines,
    agents: Agents,
    lines: Lines,
    pc_range,
    title: str,
) -> None:
    """Writes the picture to `path` (its folder is made).

    images: RGB [H, W, 3] by camera name; nuScenes' have places of their own, others stand in two rows as they come. lidar2img: [4, 4] to the pixels of that image.
    plans: waypoints [F, 2] by name, the first is the important one; recorded_path [F, 2]. agents, lines: predicted.
    """
    agents, lines = _shown(agents), _shown(lines)
    figure = Figure(figsize=(19.2, 7.0), dpi=100, facecolor=PAPER)
    layout = _layout(images)
    columns = len(layout[0])
    grid = figure.add_gridspec(
        2,
        columns + 1,
        width_ratios=(*[3 / columns] * columns, 0.62),
        left=0.008,
        right=0.985,
        top=0.925,
        bottom=0.075,
        wspace=0.025,
        hspace=0.03,
    )
    for row, names in enumerate(layout):
        for column, name in enumerate(names):
            if name in images:
                axes = figure.add_subplot(grid[row, column])
                _draw_camera(axes, name, images[name], lidar2img[name], plans, recorded_path, recorded_agents, agents)
    above = figure.add_subplot(grid[:, columns])
    _draw_map(above, recorded_lines, lines)
    _draw_agents(above, recorded_agents, agents)
    _draw_paths(above, plans, recorded_path, pc_range)
    figure.suptitle(title, x=0.012, y=0.972, ha="left", fontsize=13, color=INK, fontweight="bold")
    _draw_legend(figure, plans, agents, recorded_agents, lines, recorded_lines)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


def _layout(names: Iterable[str]) -> tuple[Sequence[str], Sequence[str]]:
    """Two rows of cameras."""
    names = list(names)
    if set(names) <= {*LAYOUT[0], *LAYOUT[1]}:
        return LAYOUT
    half = -(-len(names) // 2)
    return names[:half], names[half:]


def _shown(predicted):
    keep = np.flatnonzero(predicted.scores >= SHOWN_SCORE)
    return type(predicted)(
        *([field[i] for i in keep] if isinstance(field, list) else field[keep] for field in predicted)
    )


# ---------------------------------------------------------------------------------------------------- cameras


def _draw_camera(axes: Axes, name, image, matrix, plans, recorded_path, recorded_agents, agents):
    height, width = image.shape[:2]
    axes.imshow(image, extent=(0, width, height, 0), interpolation="lanczos")
    _draw_boxes(axes, recorded_agents.boxes, matrix, colors="white", linewidth=0.8, alpha=0.75)
    colors = [AGENT_COLORS[AGENT_CLASSES[label]] for label in agents.labels]
    _draw_boxes(axes, agents.boxes, matrix, colors=colors, linewidth=1.7, alpha=1.0)
    for (plan, waypoints), color in reversed(list(zip(plans.items(), PLAN_COLORS, strict=False))):
        first = plan == next(iter(plans))
        _draw_ribbon(axes, waypoints, matrix, color, width=EGO_WIDTH if first else 0.3, alpha=0.45 if first else 0.7)
    path = _segments(_on_ground(_from_ego(recorded_path)), matrix)
    axes.add_collection(LineCollection(path, colors="white", linewidths=1.6, linestyles=(0, (3, 2))))
    axes.set(xlim=(0, width), ylim=(height, 0), xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    label = name.removeprefix("CAM_").replace("_", " ").lower()
    box = dict(boxstyle="round,pad=0.25", facecolor=INK, alpha=0.65, edgecolor="none")
    axes.text(0.012, 0.975, label, transform=axes.transAxes, va="top", fontsize=9, color="white", bbox=box)


def _draw_boxes(axes: Axes, boxes, matrix, *, colors, linewidth, alpha):
    """Wire boxes; a short stroke on the floor points ahead."""
    for i, box in enumerate(boxes):
        corners = _box_corners(box)
        front, center = corners[:2].mean(0), corners[:4].mean(0)
        wires = np.concatenate([corners[EDGES], [[center, front]]])
        color = colors if isinstance(colors, str) else colors[i]
        drawn = LineCollection(project(wires, np.asarray(matrix)), colors=color, linewidths=linewidth, alpha=alpha)
        axes.add_collection(drawn)


def _draw_ribbon(axes: Axes, waypoints, matrix, color, *, width, alpha):
    """The strip of road the ego would cover, fading with time."""
    path = _dense(_from_ego(waypoints))
    ahead = np.gradient(path, axis=0)
    length = np.linalg.norm(ahead, axis=1, keepdims=True)
    side = np.stack([ahead[:, 1], -ahead[:, 0]], -1) / np.maximum(length, 1e-6) * width / 2
    left, right = _on_ground(path - side), _on_ground(path + side)
    quads = np.stack([left[:-1], right[:-1], right[1:], left[1:]], axis=1)  # [n, 4, 3]
    camera = to_camera(quads, np.asarray(matrix))
    visible = (camera[..., 2] > NEAR).all(-1)
    pixels = camera[visible, :, :2] / camera[visible, :, 2:3]
    fade = np.linspace(alpha, alpha / 3, len(quads))[visible]
    axes.add_collection(PolyCollection(pixels, facecolors=[(*to_rgb(color), a) for a in fade]))


def _box_corners(box):
    """Corners [8, 3] of a box [9]: floor then roof, each front right, front left, rear left, rear right."""
    width, length, height = box[3:6]
    heading = -(box[6] + np.pi / 2)
    ahead, left = np.array([np.cos(heading), np.sin(heading)]), np.array([-np.sin(heading), np.cos(heading)])
    floor = [box[:2] + a * ahead * length / 2 + s * left * width / 2 for a, s in ((1, -1), (1, 1), (-1, 1), (-1, -1))]
    low, high = box[2] - height / 2, box[2] + height / 2
    return np.array([(*xy, z) for z in (low, high) for xy in floor])


def _segments(points, matrix):
    return project(np.stack([points[:-1], points[1:]], axis=1), np.asarray(matrix))


def _from_ego(waypoints):
    """The path from the ego's own place on: [F + 1, 2]."""
    return np.concatenate([np.zeros((1, 2)), np.asarray(waypoints, float)])


def _dense(path, count=60):
    along = np.linspace(0, len(path) - 1, count)
    return np.stack([np.interp(along, np.arange(len(path)), path[:, axis]) for axis in (0, 1)], -1)


def _on_ground(xy):
    return np.concatenate([xy, np.full((*xy.shape[:-1], 1), -LIDAR_HEIGHT)], -1)


# --------------------------------------------------------------------------------------------------- from above


def _draw_map(axes: Axes, recorded: Lines, predicted: Lines):
    for lines, style in ((recorded, dict(linewidths=4, alpha=0.22)), (predicted, dict(linewidths=1.8, alpha=0.95))):
        colors = [MAP_COLORS[MAP_CLASSES[label]] for label in lines.labels]
        axes.add_collection(LineCollection(lines.points, colors=colors, capstyle="round", **style))


def _draw_agents(axes: Axes, recorded: Agents, predicted: Agents):
    """Recorded boxes filled and pale, predicted ones outlined; the future of the likeliest mode, others fainter."""
    for agents, solid in ((recorded, False), (predicted, True)):
        for i, box in enumerate(agents.boxes):
            color = AGENT_COLORS[AGENT_CLASSES[agents.labels[i]]]
            corners = _box_corners(box)[:4, :2]
            axes.add_patch(
                Polygon(
                    corners, facecolor="none" if solid else color, edgecolor=color, alpha=1.0 if solid else 0.28, lw=1.6
                )
            )
            axes.plot(*np.stack([box[:2], corners[:2].mean(0)]).T, color=color, lw=1.2, alpha=1.0 if solid else 0.4)
            _draw_futures(axes, agents, i, color, solid)


def _draw_futures(axes: Axes, agents: Agents, i, color, solid):
    best = agents.mode_scores[i].argmax()
    steps = int(agents.future_mask[i].sum())
    for mode, positions in enumerate(agents.futures[i]):
        path = np.concatenate([agents.boxes[i, None, :2], positions[:steps]])
        if solid:
            axes.plot(*path.T, color=color, lw=1.3 if mode == best else 0.5, alpha=0.9 if mode == best else 0.25)
        else:
            axes.plot(*path.T, color=color, lw=3.0, alpha=0.22, solid_capstyle="round")


def _draw_paths(axes: Axes, plans, recorded_path, pc_range):
    axes.plot(*_from_ego(recorded_path).T, color=RECORDED_COLOR, lw=1.6, ls=(0, (3, 2)), marker="o", ms=3, zorder=5)
    for (_, waypoints), color in reversed(list(zip(plans.items(), PLAN_COLORS, strict=False))):
        axes.plot(*_from_ego(waypoints).T, color=color, lw=2.6, marker="o", ms=4.5, mec="white", mew=0.8, zorder=6)
    corner = (-EGO_WIDTH / 2, EGO_CENTER_AHEAD - EGO_LENGTH / 2)
    style = dict(boxstyle="round,pad=0,rounding_size=0.6", facecolor=INK, edgecolor="white", lw=1.0, zorder=7)
    axes.add_patch(FancyBboxPatch(corner, EGO_WIDTH, EGO_LENGTH, **style))
    axes.set(xlim=(pc_range[0], pc_range[3]), ylim=(pc_range[1], pc_range[4]), aspect="equal", facecolor=ROAD)
    axes.set_xticks(np.arange(np.ceil(pc_range[0] / 10) * 10, pc_range[3] + 1, 10))
    axes.set_yticks(np.arange(np.ceil(pc_range[1] / 10) * 10, pc_range[4] + 1, 10))
    axes.grid(color="#d8dee4", lw=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=7.5, colors=RECORDED_COLOR, length=0)
    axes.yaxis.tick_right()
    axes.spines[:].set_color("#d0d7de")
    axes.set_title("from above (meters)", fontsize=9, color=RECORDED_COLOR, pad=4)


def _draw_legend(figure: Figure, plans, agents, recorded_agents, lines, recorded_lines):
    """Only what the picture holds."""
    handles = [Line2D([], [], color=color, lw=3, label=name) for name, color in zip(plans, PLAN_COLORS, strict=False)]
    handles.append(Line2D([], [], color=RECORDED_COLOR, lw=1.6, ls=(0, (3, 2)), label="recorded path"))
    for label in np.unique(np.concatenate([lines.labels, recorded_lines.labels])).astype(int):
        name = MAP_CLASSES[label]
        handles.append(Line2D([], [], color=MAP_COLORS[name], lw=2.4, label=name.replace("_", " ")))
    for label in np.unique(np.concatenate([agents.labels, recorded_agents.labels])).astype(int):
        name = AGENT_CLASSES[label]
        handles.append(Patch(facecolor=AGENT_COLORS[name], label=name.replace("_", " ")))
    handles.append(Patch(facecolor="#d0d7de", label="pale: recorded"))
    handles.append(Patch(facecolor="none", edgecolor=INK, lw=1.6, label="outlined: predicted"))
    figure.legend(
        handles=handles,
        loc="lower left",
        bbox_to_anchor=(0.006, 0.002),
        ncols=len(handles),
        frameon=False,
        fontsize=9,
        handlelength=1.5,
        columnspacing=1.3,
        labelcolor=INK,
    )
